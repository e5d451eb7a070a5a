//! Changes that are easily got wrong.

use crate::support::{Row, both, caught_up, start, stop, stopped};
use std::time::Duration;

fn rows(rows: &[&[&str]]) -> Vec<Row> {
    rows.iter().map(|row| row.iter().map(|v| Some((*v).to_owned())).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_changes_the_key_moves_the_row() {
    both("keychange", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (a INT, b VARCHAR(10), v INT, PRIMARY KEY (a, b))",
            "INSERT INTO t VALUES (1, 'x', 10), (1, 'y', 20), (2, 'x', 30)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&[
            "UPDATE t SET a = 9 WHERE a = 1 AND b = 'x'",
            "UPDATE t SET b = 'X', v = 21 WHERE b = 'y'",
            // Keys that are swapped: every key is deleted and written again.
            "BEGIN",
            "UPDATE t SET a = 100 WHERE a = 2",
            "UPDATE t SET a = 2 WHERE a = 9",
            "UPDATE t SET a = 9 WHERE a = 100",
            "COMMIT",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(f.mirrored("t").await, rows(&[&["1", "X", "21"], &["2", "x", "10"], &["9", "x", "30"]]));
        stop(mirror).await;
        // Each is a delete, a tombstone and a create, as Debezium has it.
        assert_eq!(f.events("t").await.ops, [('r', 3), ('d', 5), ('-', 5), ('c', 5)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_deleted_and_inserted_again_in_one_commit_is_there_once() {
    both("reinsert", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)"]).await;
        f.once().await;
        let before = f.table("t").await.metadata().snapshots().len();
        f.sql(&[
            "DELETE FROM t WHERE id = 1",
            "INSERT INTO t VALUES (1, 11)",
            "INSERT INTO t VALUES (4, 4)",
            "DELETE FROM t WHERE id = 4",
            "INSERT INTO t VALUES (4, 44)",
            "INSERT INTO t VALUES (5, 5)",
            "DELETE FROM t WHERE id = 5",
            "DELETE FROM t WHERE id = 2",
            "INSERT INTO t VALUES (2, 22)",
            "DELETE FROM t WHERE id = 2",
        ])
        .await;
        let mut config = f.config();
        config.sink.commit_interval = Duration::from_secs(2);
        let mirror = start(config).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(f.mirrored("t").await, rows(&[&["1", "11"], &["3", "3"], &["4", "44"]]));
        stop(mirror).await;
        let added = f.table("t").await.metadata().snapshots().len() - before;
        assert_eq!(added, 1, "the changes were not one span, and nothing was tested");
        assert_eq!(f.events("t").await.ops, [('r', 3), ('d', 5), ('-', 5), ('c', 5)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_three_tables_arrives_whole_and_a_rolled_back_one_not_at_all() {
    both("threetables", async |mut f| {
        f.sql(&[
            "CREATE TABLE accounts (id INT PRIMARY KEY, money DECIMAL(20,4))",
            "CREATE TABLE bookings (id INT PRIMARY KEY AUTO_INCREMENT, account INT, amount DECIMAL(20,4))",
            "CREATE TABLE journal (line INT PRIMARY KEY, text VARCHAR(30))",
            "INSERT INTO accounts VALUES (1, 100), (2, 0)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        for (line, end) in ["COMMIT", "ROLLBACK", "COMMIT"].iter().enumerate() {
            f.sql(&[
                "BEGIN",
                "UPDATE accounts SET money = money - 12.3456 WHERE id = 1",
                "INSERT INTO bookings (account, amount) VALUES (1, -12.3456)",
                "SAVEPOINT s",
                &format!("INSERT INTO journal VALUES ({line} + 1000, 'undone')"),
                "ROLLBACK TO SAVEPOINT s",
                "INSERT INTO bookings (account, amount) VALUES (2, 12.3456)",
                "UPDATE accounts SET money = money + 12.3456 WHERE id = 2",
                &format!("INSERT INTO journal VALUES ({line}, 'moved')"),
                end,
            ])
            .await;
        }
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(f.mirrored("accounts").await, rows(&[&["1", "75.3088"], &["2", "24.6912"]]));
        assert_eq!(f.mirrored("journal").await, rows(&[&["0", "moved"], &["2", "moved"]]));
        stop(mirror).await;
        assert_eq!(f.events("accounts").await.ops, [('r', 2), ('u', 4)].into());
        assert_eq!(f.events("bookings").await.ops, [('c', 4)].into());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncate_empties_the_table_at_its_place_between_the_rows() {
    both("truncate", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE other (id INT PRIMARY KEY)",
            "INSERT INTO t VALUES (1, 1), (2, 2)",
            "INSERT INTO other VALUES (1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&[
            "INSERT INTO t VALUES (3, 3)",
            "TRUNCATE TABLE t",
            "INSERT INTO t VALUES (1, 10), (4, 40)",
            "TRUNCATE t",
            "INSERT INTO t VALUES (4, 41)",
            "INSERT INTO other VALUES (2)",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(f.mirrored("t").await, rows(&[&["4", "41"]]));
        f.sql(&["TRUNCATE TABLE t", "INSERT INTO other VALUES (3)"]).await;
        caught_up(&mirror).await;
        crate::support::poll("the last truncate", async || f.mirrored("t").await.is_empty().then_some(())).await;
        f.assert_equal().await;
        stop(mirror).await;
        f.assert_equal_by_oracle(&[]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_without_a_key_are_appended_and_an_update_of_one_stops_that_table_alone() {
    both("nokey", async |mut f| {
        f.sql(&[
            "CREATE TABLE log (at INT, what VARCHAR(10))",
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO log VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
            "INSERT INTO t VALUES (1, 1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["INSERT INTO log VALUES (1, 'a'), (2, 'b')", "INSERT INTO log VALUES (NULL, NULL)"]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        let before = f.mirrored("log").await;
        assert_eq!(before.len(), 6);

        f.sql(&["UPDATE log SET what = 'c' WHERE at = 2", "INSERT INTO t VALUES (2, 2)"]).await;
        let name = f.name("log");
        let message = stopped(&mirror, &name).await;
        assert!(message.contains(&name) && message.contains("key") && message.contains("→"), "{message}");
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        caught_up(&mirror).await;
        f.assert_equal_except(&["log"]).await;
        assert_eq!(f.mirrored("log").await, before, "a table that has stopped keeps what it had");
        let status = stop(mirror).await;
        assert_eq!(status.stopped().map(|(table, _)| table).collect::<Vec<_>>(), [name.as_str()]);

        // It stays stopped, and says so again.
        f.sql(&["DELETE FROM t WHERE id = 1"]).await;
        let status = f.once().await;
        assert_eq!(status.stopped().map(|(table, _)| table).collect::<Vec<_>>(), [name.as_str()]);
        f.assert_equal_except(&["log"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_only_table_has_stopped_ends_and_the_status_says_why() {
    both("alone", async |mut f| {
        f.sql(&["CREATE TABLE log (at INT)", "INSERT INTO log VALUES (1), (2)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["DELETE FROM log WHERE at = 1"]).await;
        crate::support::within("the end", mirror.ended()).await.unwrap();
        let status = stop(mirror).await;
        let (table, message) = status.stopped().next().expect("no table has stopped");
        assert_eq!(table, f.name("log"));
        assert!(message.contains("→"), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_foreign_key_deleted_and_that_comes_back_is_there_once() {
    both("cascades", async |mut f| {
        f.sql(&[
            "CREATE TABLE parent (id INT PRIMARY KEY)",
            "CREATE TABLE child (id INT PRIMARY KEY, parent INT, v INT, FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE)",
            "CREATE TABLE later (id INT PRIMARY KEY, parent INT, v INT)",
            "INSERT INTO parent VALUES (1)",
            "INSERT INTO child VALUES (1, 1, 1)",
            "INSERT INTO later VALUES (1, 1, 1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["ALTER TABLE later ADD FOREIGN KEY (parent) REFERENCES parent (id) ON DELETE CASCADE"]).await;
        for v in 2..8 {
            f.sql(&[
                "INSERT INTO parent VALUES (2)",
                &format!("INSERT INTO child VALUES (2, 2, {v})"),
                &format!("INSERT INTO later VALUES (2, 2, {v})"),
            ])
            .await;
            caught_up(&mirror).await;
            f.assert_equal().await;
            // MariaDB does not log that the children go.
            f.sql(&["DELETE FROM parent WHERE id = 2"]).await;
        }
        f.sql(&["INSERT INTO parent VALUES (2)", "INSERT INTO child VALUES (2, 2, 9)", "INSERT INTO later VALUES (2, 2, 9)"]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;
        f.once().await;
        f.sql(&["DELETE FROM parent WHERE id = 2", "INSERT INTO parent VALUES (2)", "INSERT INTO later VALUES (2, 2, 10)"]).await;
        f.sql(&["INSERT INTO child VALUES (2, 2, 10)"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_table_has_caught_up_when_it_is_empty_and_not_before() {
    both("truncated", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)"]).await;
        let mirror = f.caught_up_mirror().await;
        for round in 0..10 {
            f.sql(&[&format!("INSERT INTO t VALUES ({round})")]).await;
            caught_up(&mirror).await;
            assert_eq!(f.mirrored("t").await, rows(&[&[&round.to_string()]]));
            f.sql(&["TRUNCATE TABLE t"]).await;
            caught_up(&mirror).await;
            assert_eq!(f.mirrored("t").await, rows(&[]), "round {round}");
        }
        // A mirror that is asked to stop leaves no truncation behind that it had captured.
        f.sql(&["INSERT INTO t VALUES (1)"]).await;
        caught_up(&mirror).await;
        f.sql(&["TRUNCATE TABLE t"]).await;
        let (name, mut status) = (f.name("t"), mirror.watch());
        status.wait_for(|s| s.tables[&name].log_barrier == 11).await.unwrap();
        stop(mirror).await;
        assert_eq!(f.mirrored("t").await, rows(&[]));
    })
    .await;
}
