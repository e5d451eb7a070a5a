//! Changes of a table's definition: what needs no rows is applied, everything else stops the table, and only that one.

use crate::support::{both, caught_up, headline, start, stop, stopped};
use mirror::Halves;

#[tokio::test(flavor = "multi_thread")]
async fn an_alter_that_changed_rows_silently_stops_its_table_and_says_how_to_go_on() {
    both("alter", async |mut f| {
        f.sql(&[
            "CREATE TABLE defaulted (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE converted (id INT PRIMARY KEY, v VARCHAR(20))",
            "CREATE TABLE fine (id INT PRIMARY KEY, v INT)",
            "INSERT INTO defaulted VALUES (1, 1), (2, 2)",
            "INSERT INTO converted VALUES (1, '1'), (2, '2')",
            "INSERT INTO fine VALUES (1, 1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.assert_equal().await;
        f.sql(&[
            "INSERT INTO defaulted VALUES (3, 3)",
            "ALTER TABLE defaulted ADD COLUMN status VARCHAR(10) NOT NULL DEFAULT 'new'",
            "INSERT INTO defaulted VALUES (4, 4, 'paid')",
            "ALTER TABLE converted MODIFY v INT",
            "INSERT INTO converted VALUES (3, 3)",
            "ALTER TABLE fine ADD COLUMN w INT, ADD INDEX (v)",
            "INSERT INTO fine VALUES (2, 2, 2)",
        ])
        .await;
        caught_up(&mirror).await;
        for (table, statement) in [("defaulted", "ADD COLUMN status"), ("converted", "MODIFY v INT")] {
            let name = f.name(table);
            let message = stopped(&mirror, &name).await;
            assert!(headline(&message).contains(&name), "the first line names the table: {message}");
            assert!(message.contains(statement), "{message}");
            assert!(message.contains(&format!("→ read it again: lakehouse resnapshot {name}")), "{message}");
        }
        f.assert_equal_except(&["defaulted", "converted"]).await;
        assert_eq!(f.table("defaulted").await.scan().count().await.unwrap(), 3, "rows up to the ALTER are in");
        let status = stop(mirror).await;
        assert_eq!(status.stopped().count(), 2);

        f.sql(&["INSERT INTO fine VALUES (3, 3, NULL)", "INSERT INTO converted VALUES (4, 4)"]).await;
        let status = f.once().await;
        assert_eq!(status.stopped().count(), 2, "a restart must not forget that tables have stopped");
        f.assert_equal_except(&["defaulted", "converted"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_made_dropped_and_made_again_are_followed() {
    both("madeanew", async |mut f| {
        f.sql(&["CREATE TABLE first (id INT PRIMARY KEY)", "INSERT INTO first VALUES (1)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&[
            "CREATE TABLE later (id INT PRIMARY KEY, v TEXT)",
            "INSERT INTO later VALUES (1, 'a'), (2, NULL)",
            "CREATE TABLE copied AS SELECT id + 1 AS n FROM later",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        f.sql(&[
            "DROP TABLE later",
            "CREATE TABLE later (id BIGINT PRIMARY KEY, v TEXT, w DATE)",
            "INSERT INTO later VALUES (7, 'anew', '2024-02-29')",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        let status = stop(mirror).await;
        assert_eq!(status.stopped().count(), 0, "{status:#?}");
        // Read in one go: dropped and there again.
        f.sql(&["DROP TABLE later", "CREATE TABLE later (id INT PRIMARY KEY)", "INSERT INTO later VALUES (1)"]).await;
        f.once().await;
        f.assert_equal().await;
        let read = f.events("later").await.of('r');
        f.sql(&["INSERT INTO later VALUES (2)"]).await;
        assert_eq!(f.once().await.stopped().count(), 0, "it is followed after a restart, too");
        f.assert_equal().await;
        assert_eq!(f.events("later").await.of('r'), read, "it was read, and is not read once more");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_stopped_for_its_columns_is_followed_when_it_is_made_anew() {
    both("unsupported", async |mut f| {
        // It never had columns that the log could know.
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(9) CHARACTER SET swe7)", "CREATE TABLE u (id INT PRIMARY KEY)"])
            .await;
        let mirror = f.caught_up_mirror().await;
        stopped(&mirror, &f.name("t")).await;
        f.sql(&[
            "DROP TABLE t",
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "INSERT INTO t VALUES (1, 1)",
            "INSERT INTO u VALUES (1)",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_changed_there_and_back_are_followed_however_far_the_tables_are_behind() {
    both("thereandback", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT NOT NULL)", "INSERT INTO t VALUES (1, 1)"]).await;
        f.once().await;
        // All of it is in the log before a table is opened: a version's rows are written while those before are committed.
        let mut log_only = f.config();
        log_only.halves = Halves::Source;
        let mirror = start(log_only).await;
        f.sql(&[
            "INSERT INTO t VALUES (2, 2)",
            "ALTER TABLE t MODIFY v INT NULL",
            "INSERT INTO t VALUES (3, NULL)",
            "UPDATE t SET v = 3 WHERE id = 3",
            "ALTER TABLE t MODIFY v INT NOT NULL",
            "INSERT INTO t VALUES (4, 4)",
            "ALTER TABLE t ADD COLUMN w INT",
            "INSERT INTO t VALUES (5, 5, 5)",
        ])
        .await;
        caught_up(&mirror).await;
        stop(mirror).await;
        let mut tables_only = f.config();
        tables_only.halves = Halves::Sink;
        let mirror = start(tables_only).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_only_table_was_dropped_waits_for_the_next() {
    both("onlytable", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["DROP TABLE t"]).await;
        stopped(&mirror, &f.name("t")).await;
        stop(mirror).await;
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (2, 2)"]).await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["CREATE TABLE u (id INT PRIMARY KEY)", "INSERT INTO u VALUES (1)"]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
    })
    .await;
}
