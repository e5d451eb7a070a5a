//! A source that is stopped anywhere goes on with exactly what is missing.

use crate::support::{Copy, Follower, both, config, run};
use cdc_core::ChangeSource;
use mysql_async::prelude::Queryable;
use mysql_source::MysqlSource;

const TABLES: [&str; 3] = [
    "CREATE TABLE a (id INT PRIMARY KEY, v VARCHAR(40))",
    "CREATE TABLE b (k VARCHAR(10), n INT, v DECIMAL(12,3), PRIMARY KEY (k, n))",
    "CREATE TABLE c (v INT)",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_after_every_batch_loses_and_doubles_nothing() {
    both("restart", async |server, database, mut admin| {
        run(&mut admin, &TABLES).await;
        run(
            &mut admin,
            &[
                "CREATE DATABASE IF NOT EXISTS mysql_source_elsewhere",
                "CREATE TABLE IF NOT EXISTS mysql_source_elsewhere.t (id INT)",
            ],
        )
        .await;
        let values: Vec<String> = (0..300).map(|i| format!("({i}, 'v{i}')")).collect();
        run(&mut admin, &[&format!("INSERT INTO a VALUES {}", values.join(","))]).await;
        run(
            &mut admin,
            &["INSERT INTO b SELECT CONCAT('k', id % 5), id, id / 7 FROM a", "INSERT INTO c SELECT id FROM a LIMIT 20"],
        )
        .await;
        // Large transactions are split: rows of other tables in them are counted, too.
        let config = config(&server, database).chunk_rows(40).max_transaction_bytes(2_000).build().unwrap();
        let mut copy = Copy::default();
        let mut split = 0;
        for round in 0.. {
            if round % 3 == 0 && round < 45 {
                let n = round * 100;
                run(
                    &mut admin,
                    &[
                        "BEGIN",
                        &format!(
                            "UPDATE a SET v = CONCAT('r{round}-', id) WHERE id BETWEEN {} AND {}",
                            round * 5,
                            round * 5 + 150
                        ),
                        &format!("INSERT INTO a SELECT id + 1000 + {n}, v FROM a WHERE id < 30"),
                        &format!("INSERT INTO mysql_source_elsewhere.t SELECT id FROM a WHERE id < {}", 20 + round),
                        &format!("UPDATE b SET n = n + 10000 WHERE n < {n} AND n % 3 = 0"),
                        &format!("INSERT INTO c VALUES ({round})"),
                        "DELETE FROM a WHERE id > 1000 AND id % 4 = 1",
                        "COMMIT",
                    ],
                )
                .await;
            }
            let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
            if round >= 45 {
                copy.catch_up(&mut source, &config).await;
                break;
            }
            for _ in 0..1 + round % 4 {
                // Nothing more comes once everything is here.
                let now = mysql_source::current_position(&config).await.unwrap();
                if copy.is_settled() && copy.has_reached(&now) {
                    break;
                }
                let next = tokio::time::timeout(crate::support::DEADLINE, source.next()).await.unwrap();
                let batch = next.unwrap().unwrap();
                split += usize::from(batch.position.log.row > 0);
                copy.apply(batch);
            }
        }
        copy.assert_equals(&server, database).await;
        assert!(split > 0, "no transaction was split");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_were_made_anew_are_read_wherever_the_source_ends_behind_that() {
    both("anew", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
                "CREATE TABLE u (id INT PRIMARY KEY)",
                "CREATE TABLE other (id INT PRIMARY KEY)",
                "INSERT INTO t VALUES (1, 1)",
                "INSERT INTO u VALUES (1)",
            ],
        )
        .await;
        let config = config(&server, database).batch_rows(10).build().unwrap();
        let mut copy = Copy::default();
        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        copy.catch_up(&mut source, &config).await;
        drop(source);
        run(
            &mut admin,
            &[
                "CREATE TABLE t_new (id INT PRIMARY KEY, v INT)",
                "INSERT INTO t_new VALUES (7, 7)",
                "RENAME TABLE t TO t_old, t_new TO t",
                "DROP TABLE u",
                "CREATE TABLE u (id INT PRIMARY KEY)",
                "INSERT INTO u VALUES (8)",
            ],
        )
        .await;
        for id in 0..200 {
            run(&mut admin, &[&format!("INSERT INTO other VALUES ({id})")]).await;
        }
        for _ in 0..12 {
            let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
            let next = tokio::time::timeout(crate::support::DEADLINE, source.next()).await.unwrap();
            copy.apply(next.unwrap().unwrap());
        }
        let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
        // It is a new table, found at each start and known to the copy only when its columns were read.
        copy.until(&mut source, "t_old", |c| c.tables.contains_key(&format!("{database}.t_old"))).await;
        copy.catch_up(&mut source, &config).await;
        copy.assert_equals(&server, database).await;
        for table in ["t", "u"] {
            assert_eq!(copy.table(database, table).stop, None);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_is_made_again_without_a_gap() {
    both("killed", async |server, database, mut admin| {
        run(&mut admin, &TABLES).await;
        let mut follower = Follower::caught_up(&server, database).await;
        for round in 0..4 {
            run(&mut admin, &[&format!("INSERT INTO a SELECT {round} * 1000 + seq.n, 'x' FROM (WITH RECURSIVE s AS (SELECT 1 n UNION ALL SELECT n + 1 FROM s WHERE n < 500) SELECT n FROM s) seq")]).await;
            let dumps = crate::support::dumps(&mut admin).await;
            assert!(!dumps.is_empty());
            for id in dumps {
                // Another test's, or gone by itself.
                let _ = admin.query_drop(format!("KILL {id}")).await;
            }
            run(&mut admin, &[&format!("UPDATE a SET v = 'y{round}' WHERE id % 10 = {round}"), "DELETE FROM a WHERE id % 97 = 1"]).await;
            follower.catch_up().await;
            follower.assert_equals().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_that_comes_at_once_is_read_without_a_gap() {
    both("backlog", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE a (id INT PRIMARY KEY, v INT)"]).await;
        let config = config(&server, database).build().unwrap();
        let mut copy = Copy::default();
        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        copy.catch_up(&mut source, &config).await;
        drop(source);
        // Small transactions, five events each: thousands of events wait in the connection, whatever is asked for at a time.
        for first in (0..2_000).step_by(100) {
            let inserts: Vec<String> = (first..first + 100).map(|id| format!("INSERT INTO a VALUES ({id}, 1)")).collect();
            admin.query_drop(inserts.join(";")).await.unwrap();
        }
        let before = copy.events();
        let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
        copy.catch_up(&mut source, &config).await;
        assert_eq!(copy.events() - before, 2_000);
        copy.assert_equals(&server, database).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tagged_transactions_and_those_of_other_domains_are_gone_on_with() {
    both("tags", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE a (id INT PRIMARY KEY, v INT)"]).await;
        let config = config(&server, database).build().unwrap();
        let mut copy = Copy::default();
        let (tag, no_tag): (&[&str], &[&str]) = match server.is_mysql() {
            true => (&["SET gtid_next = 'AUTOMATIC:backup'"], &["SET gtid_next = 'AUTOMATIC'"]),
            false => (&["SET gtid_domain_id = 7", "SET server_id = 77"], &["SET gtid_domain_id = 0", "SET server_id = 78"]),
        };
        for round in 0..4 {
            let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
            copy.catch_up(&mut source, &config).await;
            for (n, session) in [tag, no_tag, tag].into_iter().enumerate() {
                run(&mut admin, session).await;
                let id = round * 10 + n;
                run(&mut admin, &[&format!("INSERT INTO a VALUES ({id}, 0)"), &format!("UPDATE a SET v = 1 WHERE id = {id}")])
                    .await;
            }
            run(&mut admin, no_tag).await;
            if round % 2 == 0 {
                copy.catch_up(&mut source, &config).await;
                copy.assert_equals(&server, database).await;
            }
        }
        let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
        copy.catch_up(&mut source, &config).await;
        copy.assert_equals(&server, database).await;
        assert_eq!(copy.events(), 24);
        let origins =
            copy.state.position.as_ref().unwrap().transactions.0.keys().filter(|o| o.ends_with(":backup") || *o == "7").count();
        assert_eq!(origins, 1);
    })
    .await;
}
