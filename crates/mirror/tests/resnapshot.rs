//! Tables that are read again: what stopped them is behind them, and not a row of before is left.

use crate::support::{Fixture, Server, both, caught_up, failure, headline, other_writer, poll, start, stop, stopped, within};
use cdc_core::Op;
use iceberg_writer::TableName;
use mirror::{ErrorKind, Halves, Mirror, MirrorConfig, ReadAgain, Resnapshot, resnapshot};

/// The tables that are to be read again, without the database.
fn names<'a>(f: &Fixture, found: &'a Resnapshot) -> Vec<&'a str> {
    let database = format!("{}.", f.database);
    found.tables.iter().map(|t| t.table.strip_prefix(&database).unwrap()).collect()
}

async fn again(f: &Fixture, tables: &[&str]) -> Resnapshot {
    let tables = tables.iter().map(|t| f.name(t)).collect();
    resnapshot(&f.config(), &ReadAgain::Tables(tables)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_tables_are_read_again_and_followed_from_there_on() {
    both("again", async |mut f| {
        f.sql(&[
            "CREATE TABLE converted (id INT PRIMARY KEY, v VARCHAR(20), w INT)",
            "CREATE TABLE keyless (v INT)",
            "CREATE TABLE fine (id INT PRIMARY KEY, v INT)",
            "INSERT INTO converted VALUES (1, '1', 1), (2, '2', 2)",
            "INSERT INTO keyless VALUES (1), (1)",
            "INSERT INTO fine VALUES (1, 1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&[
            "ALTER TABLE converted MODIFY v INT, RENAME COLUMN w TO x",
            "DELETE FROM keyless LIMIT 1",
            "DELETE FROM converted WHERE id = 1",
            "INSERT INTO converted VALUES (3, 3, 3)",
            "INSERT INTO fine VALUES (2, 2)",
        ])
        .await;
        for table in ["converted", "keyless"] {
            stopped(&mirror, &f.name(table)).await;
        }
        stop(mirror).await;
        f.sql(&["INSERT INTO converted VALUES (4, 4, NULL)", "INSERT INTO keyless VALUES (5)"]).await;

        let found = resnapshot(&f.config(), &ReadAgain::OnlyNeeded).await.unwrap();
        assert_eq!(names(&f, &found), ["converted", "keyless"]);
        assert!(found.tables.iter().all(|t| t.stopped.is_some() && t.records == Some(2)), "{found:?}");
        assert_eq!(found.position_given_up, None);
        let mirror = f.caught_up_mirror().await;
        assert_eq!(mirror.status().stopped().count(), 0);
        f.assert_equal().await;
        f.sql(&[
            "INSERT INTO converted VALUES (5, 5, 5)",
            "UPDATE converted SET v = 40 WHERE id = 4",
            "DELETE FROM converted WHERE id = 2",
            "INSERT INTO keyless VALUES (6)",
            "INSERT INTO fine VALUES (3, 3)",
        ])
        .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;
        assert_eq!(f.events("fine").await.of('r'), 1, "what was not asked for is not read again");

        // Nothing is wrong any more, and nothing is done.
        let found = resnapshot(&f.config(), &ReadAgain::OnlyNeeded).await.unwrap();
        assert_eq!(names(&f, &found), Vec::<&str>::new());
        // Stopped once more, it stays so over restarts, whatever was done about the stop before.
        f.sql(&["DELETE FROM keyless LIMIT 1"]).await;
        for _ in 0..2 {
            assert_eq!(f.once().await.stopped().map(|(table, _)| table.to_owned()).collect::<Vec<_>>(), [f.name("keyless")]);
        }
        f.assert_equal_except(&["keyless"]).await;
        again(&f, &["KeyLess"]).await;
        f.once().await;
        f.assert_equal().await;
    })
    .await;
}

/// The commits of `t` stop, also after another start; it is needed to read it again, which helps.
async fn helps(f: &mut Fixture, config: &MirrorConfig, says: &str) {
    for _ in 0..2 {
        let mirror = start(config.clone()).await;
        let message = stopped(&mirror, &f.name("t")).await;
        assert!(message.contains(says), "{message}");
        assert!(message.ends_with(&format!("\n  → read it again: lakehouse resnapshot {}", f.name("t"))), "{message}");
        stop(mirror).await;
    }
    let found = resnapshot(config, &ReadAgain::OnlyNeeded).await.unwrap();
    assert_eq!(names(f, &found), ["t"]);
    assert!(found.tables[0].stopped.as_ref().is_some_and(|why| why.contains(says)), "{found:?}");
    let mirror = start(config.clone()).await;
    caught_up(&mirror).await;
    assert_eq!(stop(mirror).await.stopped().count(), 0);
    f.assert_equal().await;
    let found = resnapshot(config, &ReadAgain::OnlyNeeded).await.unwrap();
    assert_eq!(names(f, &found), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_row_cannot_be_found_by_its_float_key_goes_on_behind_it_until_the_next() {
    both("againfloat", async |mut f| {
        f.sql(&["CREATE TABLE t (k FLOAT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (0.1, 1), (0.2, 2)"]).await;
        f.once().await;
        let config = f.config();
        for v in [10, 20] {
            f.sql(&[&format!("UPDATE t SET v = {v} WHERE k > 0.15"), "INSERT INTO t VALUES (RAND(), 3)"]).await;
            helps(&mut f, &config, "an update of ").await;
            f.sql(&["INSERT INTO t VALUES (RAND(), 4)"]).await;
            f.once().await;
            f.assert_equal().await;
        }
    })
    .await;
}

async fn insert_3_mib(f: &mut Fixture) {
    for i in 0..1500 {
        f.sql(&[&format!("INSERT INTO t VALUES ({}, REPEAT('x', 2000))", 10 + i)]).await;
    }
}

/// All files of the log but the newest are lost.
fn lose_old_segments(f: &Fixture) {
    let newest = f.last_segment();
    for entry in std::fs::read_dir(f.log_folder()).unwrap() {
        let path = entry.unwrap().path();
        let segment = path.extension().is_some_and(|e| e == "log" || e == "index");
        if segment && path.file_stem() != newest.file_stem() {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_log_lost_are_not_needed_by_a_table_that_is_read_again() {
    both("againlost", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))", "INSERT INTO t VALUES (1, 'a'), (2, 'b')"]).await;
        f.once().await;
        let mut config = f.config();
        config.log.segment_bytes = 1 << 20;
        config.halves = Halves::Source;
        let mirror = start(config.clone()).await;
        insert_3_mib(&mut f).await;
        f.sql(&["DELETE FROM t WHERE id = 1"]).await;
        let captured = |s: &mirror::MirrorStatus| s.source.events >= 1501;
        within("all changes", mirror.watch().wait_for(captured)).await.unwrap();
        stop(mirror).await;
        config.halves = Halves::Both;
        lose_old_segments(&f);
        helps(&mut f, &config, "the log removed records of ").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_others_go_when_a_table_is_read_again() {
    both("againforeign", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"]).await;
        f.once().await;
        let schema = other_writer::schema(&f, "t", &[("id", other_writer::INT), ("v", other_writer::INT)], &[0]);
        other_writer::write(&f.table("t").await, &schema, &[(Op::Create, other_writer::row(&["100", "100"]))]).await;
        f.sql(&["INSERT INTO t VALUES (2, 2)"]).await;
        let config = f.config();
        helps(&mut f, &config, ") changed its rows, and is not from this sink").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_from_the_catalog_is_made_again_when_it_is_read_again() {
    both("againdropped", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))"]).await;
        let mut config = f.config();
        config.log.segment_bytes = 1 << 20;
        let mirror = start(config.clone()).await;
        insert_3_mib(&mut f).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        // Its rows cannot come from there.
        lose_old_segments(&f);
        assert!(f.catalog().await.drop_table(&TableName::new(&f.database, "t")).await.unwrap());
        helps(&mut f, &config, "it does not exist in the catalog any more").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_moment_of_reading_again_leads_to_the_same_rows() {
    both("againcrash", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "CREATE TABLE u (id INT PRIMARY KEY, v INT)"]).await;
        let rows: Vec<String> = (0..3000).map(|i| format!("({i}, {i})")).collect();
        f.sql(&[&format!("INSERT INTO t VALUES {}", rows.join(",")), "INSERT INTO u VALUES (1, 1)"]).await;
        let mut config = f.config();
        config.source.snapshot_fetch_size = 64;
        let mirror = start(config.clone()).await;
        caught_up(&mirror).await;
        f.sql(&["UPDATE t SET v = v + 1 WHERE id % 2 = 0", "DELETE FROM t WHERE id < 500"]).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        again(&f, &["t"]).await;
        for wait_for in [0, 1, 600, 1500] {
            let mirror = start_after_crash(&config).await;
            let mut status = mirror.watch();
            let name = f.name("t");
            let far = status.wait_for(|s| s.tables.get(&name).is_some_and(|t| t.snapshot_rows >= wait_for));
            tokio::time::timeout(crate::support::DEADLINE, far).await.expect("it never comes so far").unwrap();
            f.sql(&[&format!("UPDATE t SET v = -1 WHERE id = {}", 600 + wait_for), "UPDATE u SET v = v + 1"]).await;
            drop(mirror); // as a crash
        }
        let mirror = start_after_crash(&config).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;
    })
    .await;
}

/// The tasks of a mirror that was dropped hold the log a moment longer.
async fn start_after_crash(config: &MirrorConfig) -> Mirror {
    poll("the log", async || match Mirror::start(config.clone()).await {
        Ok(mirror) => Some(mirror),
        Err(e) if e.to_string().contains("is in use by process") => None,
        Err(e) => panic!("the mirror does not start: {e}"),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_hole_in_the_binary_log_every_table_is_read_again_and_no_deleted_row_survives() {
    for kind in ["mysql", "mariadb"] {
        let server = Server::start(kind, "mirror-again", &["--fresh"]);
        let mut f = Fixture::on(server, "hole").await;
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
            "CREATE TABLE left_alone (id INT PRIMARY KEY)",
            "CREATE TABLE gone (id INT PRIMARY KEY)",
            "CREATE TABLE anew (id INT PRIMARY KEY)",
            "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
            "INSERT INTO left_alone VALUES (1)",
            "INSERT INTO gone VALUES (1)",
            "INSERT INTO anew VALUES (1)",
        ])
        .await;
        let mirror = f.caught_up_mirror().await;
        f.sql(&["DROP TABLE anew"]).await;
        stopped(&mirror, &f.name("anew")).await;
        stop(mirror).await;
        f.sql(&[
            "DELETE FROM t WHERE id = 1",
            "UPDATE t SET v = 20 WHERE id = 2",
            "DROP TABLE gone",
            "CREATE TABLE anew (id INT PRIMARY KEY, w TEXT)",
            "INSERT INTO anew VALUES (2, 'w')",
            "CREATE TABLE later (id INT PRIMARY KEY)",
            "INSERT INTO later VALUES (1)",
        ])
        .await;
        lose_the_log(&mut f).await;
        f.sql(&["INSERT INTO t VALUES (4, 4)"]).await;
        let (error, message) = failure(f.config()).await;
        assert_eq!(error, ErrorKind::Unsafe, "{message}");
        assert!(message.contains("lakehouse resnapshot"), "{message}");

        let found = resnapshot(&f.config(), &ReadAgain::OnlyNeeded).await.unwrap();
        assert_eq!(names(&f, &found), ["gone", "left_alone", "t"], "what was dropped is read when it is there again");
        let why = found.position_given_up.expect("it goes on from before the hole");
        assert!(headline(&why).starts_with("cannot "), "{why}");
        let mirror = f.caught_up_mirror().await;
        assert_eq!(mirror.status().stopped().map(|(table, _)| table.to_owned()).collect::<Vec<_>>(), [f.name("gone")]);
        f.sql(&["UPDATE t SET v = 40 WHERE id = 4", "INSERT INTO anew VALUES (3, NULL)", "INSERT INTO left_alone VALUES (2)"])
            .await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;

        // The same of all that can happen to a log: it is another one.
        let reset = if f.server.is_mysql() { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
        f.sql(&["DELETE FROM t WHERE id = 3", reset, "DELETE FROM t WHERE id = 2"]).await;
        let (error, message) = failure(f.config()).await;
        assert!(error == ErrorKind::Unsafe && message.contains("lakehouse resnapshot"), "{message}");
        let found = resnapshot(&f.config(), &ReadAgain::All).await.unwrap();
        assert_eq!(names(&f, &found), ["anew", "later", "left_alone", "t"]);
        f.once().await;
        f.assert_equal().await;
        f.server.remove();
    }
}

/// The server purges everything that the mirror has not read.
async fn lose_the_log(f: &mut Fixture) {
    f.sql(&["FLUSH BINARY LOGS", "INSERT INTO t VALUES (5, 5)", "FLUSH BINARY LOGS"]).await;
    let files: Vec<mysql_async::Row> = mysql_async::prelude::Queryable::query(&mut f.admin, "SHOW BINARY LOGS").await.unwrap();
    let newest: String = files.last().unwrap().get(0).unwrap();
    // A server keeps what it is just sending, for as long as it has not seen that nobody listens.
    let purge = format!("PURGE BINARY LOGS TO '{newest}'");
    poll("the purge", async || {
        f.sql(&[&purge]).await;
        let files: Vec<mysql_async::Row> =
            mysql_async::prelude::Queryable::query(&mut f.admin, "SHOW BINARY LOGS").await.unwrap();
        (files.len() == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_again_is_refused_and_nothing_is_changed() {
    both("againrefused", async |mut f| {
        let refused = async |config: &MirrorConfig, which: ReadAgain| {
            let e = resnapshot(config, &which).await.expect_err("it is taken");
            (e.kind(), e.to_string())
        };
        let (kind, message) = refused(&f.config(), ReadAgain::All).await;
        assert!(kind == ErrorKind::Unavailable && message.ends_with("→ lakehouse run makes it"), "{message}");

        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mirror: Mirror = f.caught_up_mirror().await;
        let (kind, message) = refused(&f.config(), ReadAgain::All).await;
        assert!(kind == ErrorKind::Unavailable && message.contains("→ stop the mirror first"), "{message}");
        stop(mirror).await;

        let (kind, message) = refused(&f.config(), ReadAgain::Tables(vec![f.name("t"), f.name("u")])).await;
        assert_eq!((kind, headline(&message)), (ErrorKind::Configuration, &*format!("{} is not captured", f.name("u"))));
        assert!(message.contains(&f.name("t")), "{message}");

        let mut config = f.config();
        config.source.port = 1;
        let (kind, message) = refused(&config, ReadAgain::OnlyNeeded).await;
        assert!(kind == ErrorKind::Unavailable && message.starts_with("cannot reach 127.0.0.1:1"), "{message}");

        f.once().await;
        f.assert_equal().await;
        assert_eq!(f.events("t").await.of('r'), 1, "nothing was read again");
    })
    .await;
}
