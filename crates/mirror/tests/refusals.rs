//! What must be refused loudly, because going on could lose, double or falsify rows (docs/exactly-once.md).

use crate::support::other_writer::{self, INT, row};
use crate::support::{Fixture, both, caught_up, failure, headline, start, stop, stopped, within};
use cdc_core::{Op, TableSchema};
use iceberg_writer::{Table, TableName, TableOptions};
use mirror::{ErrorKind, ForeignWrites, MirrorConfig};
use std::sync::Arc;

const TABLE: [&str; 2] = ["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1), (2, 2)"];

/// The columns of `TABLE`.
fn schema(f: &Fixture) -> Arc<TableSchema> {
    other_writer::schema(f, "t", &[("id", INT), ("v", INT)], &[0])
}

/// Another program adds the row (100, 100).
async fn add_a_row(f: &Fixture, table: &Table) {
    other_writer::write(table, &schema(f), &[(Op::Create, row(&["100", "100"]))]).await;
}

/// The mirror stops the table `t` at once; returns the message.
async fn stops_at_start(config: MirrorConfig, f: &Fixture) -> String {
    let mirror = start(config).await;
    let message = stopped(&mirror, &f.name("t")).await;
    within("the end of a mirror that has only stopped tables", mirror.ended()).await.unwrap();
    drop(stop(mirror).await);
    message
}

fn count(rows: &[crate::support::Row]) -> usize {
    rows.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_log_than_the_one_that_fed_the_table_is_refused() {
    both("newlog", async |mut f| {
        f.sql(&TABLE).await;
        f.once().await;
        std::fs::remove_dir_all(f.log_folder()).unwrap();
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        for _ in 0..2 {
            let message = stops_at_start(f.config(), &f).await;
            assert!(headline(&message).contains(&f.name("t")), "{message}");
            assert!(message.contains("it was fed from the log ") && message.contains(", but the log is now "), "{message}");
            assert!(message.contains("→ point the sink at the log that it was fed from"), "{message}");
            assert_eq!(count(&f.mirrored("t").await), 2, "the table is as it was");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_from_the_catalog_stops_and_is_not_made_anew_without_its_rows() {
    both("dropped", async |mut f| {
        f.sql(&TABLE).await;
        f.sql(&["CREATE TABLE other (id INT PRIMARY KEY)"]).await;
        let mirror = f.caught_up_mirror().await;
        let name = TableName::new(&f.database, "t");
        assert!(f.catalog().await.drop_table(&name).await.unwrap());
        f.sql(&["INSERT INTO t VALUES (3, 3)", "INSERT INTO other VALUES (1)"]).await;
        let message = stopped(&mirror, &f.name("t")).await;
        assert!(message.contains("it does not exist in the catalog any more"), "{message}");
        assert!(message.contains("→ restore the table in the catalog"), "{message}");
        f.sql(&["INSERT INTO other VALUES (2)"]).await;
        caught_up(&mirror).await;
        f.assert_equal_except(&["t"]).await;
        stop(mirror).await;

        // Another table of that name is not taken for it.
        let table = f.catalog().await.create_table(&name, &schema(&f), TableOptions::default()).await.unwrap();
        add_a_row(&f, &table).await;
        let mirror = start(f.config()).await;
        let message = stopped(&mirror, &f.name("t")).await;
        assert!(message.contains("it has rows, but no checkpoint of this sink"), "{message}");
        stop(mirror).await;
        assert_eq!(count(&f.mirrored("t").await), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_replaced_while_the_mirror_runs_stops() {
    both("replaced", async |mut f| {
        f.sql(&TABLE).await;
        let mirror = f.caught_up_mirror().await;
        let (catalog, name) = (f.catalog().await, TableName::new(&f.database, "t"));
        assert!(catalog.drop_table(&name).await.unwrap());
        catalog.create_table(&name, &schema(&f), TableOptions::default()).await.unwrap();
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        let message = stopped(&mirror, &f.name("t")).await;
        let replaced = message.contains("it was dropped and made anew (UUID ");
        // Between the two steps there was none.
        assert!(replaced || message.contains("it does not exist in the catalog any more"), "{message}");
        assert!(message.contains("→ restore the table"), "{message}");
        stop(mirror).await;
        assert_eq!(f.mirrored("t").await.len(), 0, "nothing was written into the other table");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_rows_of_others_is_not_begun_with() {
    both("hasrows", async |mut f| {
        f.sql(&TABLE).await;
        let catalog = f.catalog().await;
        let name = TableName::new(&f.database, "t");
        let table = catalog.create_table(&name, &schema(&f), TableOptions::default()).await.unwrap();
        add_a_row(&f, &table).await;
        let message = stops_at_start(f.config(), &f).await;
        assert!(message.contains("it has rows, but no checkpoint of this sink: they would be doubled"), "{message}");
        assert!(message.contains("→ empty the table, or drop it and let the sink create it"), "{message}");
        assert_eq!(count(&f.mirrored("t").await), 1);
        // The last of these ways works.
        assert!(catalog.drop_table(&name).await.unwrap());
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_sink_mirrors_is_refused() {
    both("othersink", async |mut f| {
        f.sql(&TABLE).await;
        f.once().await;
        let mut config = f.config();
        config.sink.id = "second".to_owned();
        config.log.kind = mirror::LogKind::Local(f.folder.path().join("log of the second"));
        let message = stops_at_start(config, &f).await;
        assert!(message.contains("it is mirrored by the sink \"mirror\": two sinks in one table double its rows"), "{message}");
        assert!(message.contains("→ stop the other sink and use its id"), "{message}");
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_stop_a_table_unless_the_user_wants_them() {
    both("foreign", async |mut f| {
        f.sql(&TABLE).await;
        let mirror = f.caught_up_mirror().await;
        add_a_row(&f, &f.table("t").await).await;
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        let message = stopped(&mirror, &f.name("t")).await;
        assert!(message.contains("changed its rows, and is not from this sink"), "{message}");
        assert!(message.contains("→ roll the branch back to the sink's last commit"), "{message}");
        assert!(message.contains("→ keep the others' rows: set iceberg.foreign.writes=warn"), "{message}");
        stop(mirror).await;
        let message = stops_at_start(f.config(), &f).await;
        assert!(message.contains("changed its rows, and is not from this sink"), "{message}");

        let mut config = f.config();
        config.sink.foreign_writes = ForeignWrites::Warn;
        let mirror = start(config).await;
        // A key that the other program has written: an insert of it is an upsert from now on.
        f.sql(&["INSERT INTO t VALUES (100, 5)", "UPDATE t SET v = 10 WHERE id = 1"]).await;
        caught_up(&mirror).await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
        f.assert_equal().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_mirror_on_the_same_log_is_told_who_has_it() {
    both("second", async |mut f| {
        f.sql(&TABLE).await;
        let mirror = f.caught_up_mirror().await;
        let (kind, message) = failure(f.config()).await;
        assert_eq!(kind, ErrorKind::Unavailable, "{message}");
        assert!(message.contains(&std::process::id().to_string()) && message.contains("log"), "{message}");
        f.sql(&["INSERT INTO t VALUES (3, 3)"]).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        f.assert_equal().await;
    })
    .await;
}
