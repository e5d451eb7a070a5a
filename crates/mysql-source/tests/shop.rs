//! A shop that changes while it is read.

use crate::support::{Copy, Follower, both, config, poll, run, seed};

use cdc_core::{ChangeSource, SnapshotMarker};
use mysql_async::prelude::Queryable;
use mysql_source::{MysqlSource, SnapshotMode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const SHOP: [&str; 4] = [
    "CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(60) NOT NULL, credit DECIMAL(10,2))",
    "CREATE TABLE orders (id BIGINT PRIMARY KEY AUTO_INCREMENT, customer INT, note VARCHAR(200), status ENUM('new','paid') DEFAULT 'new')",
    "CREATE TABLE order_items (order_id BIGINT, line SMALLINT UNSIGNED, product VARCHAR(20) CHARACTER SET latin1, PRIMARY KEY (order_id, line))",
    "CREATE TABLE notes (a INT, b VARCHAR(20))",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_shop_is_read_and_followed() {
    both("quiet", async |server, database, mut admin| {
        run(&mut admin, &SHOP).await;
        run(
            &mut admin,
            &[
                "INSERT INTO customers VALUES (1, 'Anne', 1.50), (2, 'Bör', NULL), (3, '', 0)",
                "INSERT INTO orders VALUES (1, 1, 'first', 'paid')",
                "INSERT INTO notes VALUES (1, 'x'), (1, 'x'), (NULL, NULL)",
            ],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        follower.assert_equals().await;
        use SnapshotMarker as M;
        assert_eq!(follower.table("customers").markers, [M::First, M::True, M::LastInCollection]);
        assert_eq!(follower.table("orders").markers, [M::Last]);
        assert_eq!(follower.table("notes").markers, [M::FirstInCollection, M::True, M::LastInCollection]);
        run(
            &mut admin,
            &[
                "UPDATE customers SET name = 'Anna' WHERE id = 1",
                "UPDATE customers SET id = 9 WHERE id = 2",
                "BEGIN",
                "INSERT INTO orders (customer, note) VALUES (9, 'second'), (9, NULL)",
                "INSERT INTO order_items VALUES (2, 1, 'a'), (2, 2, 'ß')",
                "DELETE FROM customers WHERE id = 3",
                "INSERT INTO customers VALUES (3, 'again', 3)",
                "COMMIT",
                "INSERT INTO notes VALUES (2, 'y')",
                "CREATE TABLE later (id INT PRIMARY KEY, v VARCHAR(9))",
                "INSERT INTO later VALUES (1, 'a'), (2, 'b')",
            ],
        )
        .await;
        follower.catch_up().await;
        follower.assert_equals().await;
        let customers = follower.table("customers");
        assert_eq!(customers.ops, [('c', 1), ('d', 1), ('r', 3), ('u', 2)].into());
        let origin = follower.copy.origins.iter().rfind(|o| o.transaction.gtid.is_some()).unwrap();
        assert_ne!(origin.transaction.server_id, 0);
        assert_eq!(origin.thread.is_some(), server.is_mysql());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_move_while_chunks_are_read_arrive_exactly_once() {
    let seed = seed();
    both("moving", async |server, database, mut admin| {
        run(&mut admin, &SHOP).await;
        for i in 0..20 {
            let values: Vec<String> = (0..100).map(|j| format!("({}, 'n{j}', {j})", i * 200 + j * 2)).collect();
            run(&mut admin, &[&format!("INSERT INTO customers VALUES {}", values.join(","))]).await;
        }
        run(&mut admin, &["INSERT INTO orders (customer, note, status) SELECT id, name, IF(id % 4, 'new', 'paid') FROM customers"]).await;
        run(&mut admin, &["INSERT INTO order_items SELECT id, id % 7, LEFT(note, 20) FROM orders"]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in 0..2u64 {
            let (stop, mut conn) = (Arc::clone(&stop), server.admin(database).await);
            let mut rng = StdRng::seed_from_u64(seed + writer);
            writers.push(tokio::spawn(async move {
                let mut done = 0;
                while !stop.load(Ordering::Relaxed) {
                    let (a, b) = (rng.random_range(0..4000), rng.random_range(0..4000));
                    let sql = match rng.random_range(0..7) {
                        0 => format!("UPDATE IGNORE customers SET id = {b} WHERE id = {a}"),
                        1 => format!("DELETE FROM customers WHERE id = {a}"),
                        2 => format!("REPLACE INTO customers VALUES ({a}, 'w{writer}', {b})"),
                        3 => format!("UPDATE customers SET credit = credit + 1 WHERE id BETWEEN {a} AND {}", a + 20),
                        4 => format!("UPDATE IGNORE order_items SET line = {} WHERE order_id BETWEEN {a} AND {}", b % 50, a + 3),
                        5 => format!("UPDATE orders SET status = IF(status = 'new', 'paid', 'new'), id = id + 10000 * ({b} % 2) WHERE id = {a}"),
                        _ => format!("INSERT INTO notes VALUES ({a}, 'x{b}')"),
                    };
                    // Two writers deadlock at times; the loser's statement simply did not happen.
                    if let Err(e) = conn.query_drop(&sql).await {
                        assert!(e.to_string().contains("1213") || e.to_string().contains("1062"), "{sql}: {e}");
                    }
                    done += 1;
                }
                done
            }));
        }
        let mut follower = Follower::start(&server, database, |c| c.chunk_rows(70).snapshot_threads(2)).await;
        follower.until("the snapshot", Copy::is_settled).await;
        let before = follower.copy.events();
        follower.until("changes after it", |c| c.events() > before + 50).await;
        stop.store(true, Ordering::Relaxed);
        let mut statements = 0;
        for writer in writers {
            statements += writer.await.unwrap();
        }
        follower.catch_up().await;
        follower.assert_equals().await;
        assert!(statements > 50, "{statements} statements ran beside the snapshot");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_and_new_columns_are_followed_and_what_rewrites_rows_stops_its_table_alone() {
    both("ddl", async |server, database, mut admin| {
        run(&mut admin, &SHOP).await;
        run(
            &mut admin,
            &["INSERT INTO customers VALUES (1, 'Anne', 1), (2, 'Bob', 2)", "INSERT INTO order_items VALUES (1, 1, 'a')"],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(
            &mut admin,
            &[
                "ALTER TABLE customers ADD COLUMN address TEXT DEFAULT NULL",
                "INSERT INTO customers VALUES (3, 'Cid', 3, 'here')",
                "UPDATE customers SET address = 'there' WHERE id = 1",
                "TRUNCATE TABLE order_items",
                "INSERT INTO order_items VALUES (7, 7, 'z')",
                "ALTER TABLE orders ADD COLUMN qty INT NOT NULL DEFAULT 5",
                "UPDATE notes SET b = 'none'",
                "INSERT INTO notes VALUES (1, 'x')",
            ],
        )
        .await;
        follower.catch_up().await;
        assert_eq!(follower.table("notes").stop, None, "no row was updated");
        run(&mut admin, &["UPDATE notes SET b = 'one'", "INSERT INTO customers VALUES (4, 'Dee', 4, NULL)"]).await;
        follower.catch_up().await;
        follower.assert_equals().await;
        let stop = follower.table("orders").stop.clone().expect("orders goes on");
        assert!(stop.contains("qty") && stop.contains("lakehouse resnapshot"), "{stop}");
        let stop = follower.table("notes").stop.clone().expect("notes goes on");
        assert!(stop.contains("no key"), "{stop}");
        assert_eq!(follower.table("customers").schema.as_ref().unwrap().version, 2);

        run(
            &mut admin,
            &[
                "DROP TABLE order_items",
                "CREATE TABLE order_items (sku VARCHAR(9) PRIMARY KEY, n INT)",
                "INSERT INTO order_items VALUES ('s', 1)",
            ],
        )
        .await;
        poll("the new table", async || {
            follower.catch_up().await;
            (follower.table("order_items").stop.is_none()).then_some(())
        })
        .await;
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_other_modes_read_only_what_is_there_or_only_what_changes() {
    both("modes", async |server, database, mut admin| {
        run(&mut admin, &SHOP).await;
        run(&mut admin, &["INSERT INTO customers VALUES (1, 'Anne', 1), (2, 'Bob', 2)", "INSERT INTO notes VALUES (1, 'x')"])
            .await;

        let only = config(&server, database).snapshot_mode(SnapshotMode::InitialOnly).build().unwrap();
        let mut source = MysqlSource::start(only, Default::default()).await.unwrap();
        let mut copy = Copy::default();
        while let Some(batch) = source.next().await.unwrap() {
            copy.apply(batch);
        }
        assert!(copy.is_settled());
        copy.assert_equals(&server, database).await;

        let changes = config(&server, database).snapshot_mode(SnapshotMode::NoData).build().unwrap();
        let mut source = MysqlSource::start(changes.clone(), Default::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.until(&mut source, "the columns", |c| c.tables.len() == SHOP.len()).await;
        run(&mut admin, &["INSERT INTO customers VALUES (3, 'Cid', 3)", "UPDATE customers SET credit = 9 WHERE id = 1"]).await;
        let target = mysql_source::current_position(&changes).await.unwrap();
        copy.until(&mut source, "the changes", |c| c.has_reached(&target)).await;
        assert_eq!(copy.table(database, "customers").ops, [('c', 1), ('u', 1)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_ordered_anew_while_its_table_is_read_loses_no_row() {
    both("reordered", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE t (k VARCHAR(20) COLLATE utf8mb4_general_ci PRIMARY KEY, v INT)"]).await;
        let values: Vec<String> = (0..1_500).map(|i| format!("('{}{i:04}', {i})", if i % 2 == 0 { 'k' } else { 'K' })).collect();
        run(&mut admin, &[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
        let mut follower = Follower::start(&server, database, |c| c.chunk_rows(1)).await;
        let rows = |c: &Copy| c.state.generations.first().map_or(0, |g| g.rows);
        follower.until("the first rows", |c| rows(c) > 0).await;
        // Before, K0001 came after k0000; now all capitals come first.
        run(&mut admin, &["ALTER TABLE t MODIFY k VARCHAR(20) COLLATE utf8mb4_bin", "INSERT INTO t VALUES ('K', -1)"]).await;
        follower.catch_up().await;
        assert!(follower.copy.state.generations[0].number > 1, "the table was read before its key changed: nothing was tested");
        follower.assert_equals().await;
    })
    .await;
}
