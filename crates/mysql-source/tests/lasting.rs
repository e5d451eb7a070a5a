//! What goes wrong for long, or comes in sizes, names and moments that are not everyday.

use crate::support::{Copy, Follower, Server, both, config, poll, run};
use cdc_core::{ChangeSource, Error, ErrorKind, Value};
use mysql_async::prelude::Queryable;
use mysql_source::{MysqlSource, SnapshotMode};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_can_never_be_read_ends_the_source_though_others_change_meanwhile() {
    both("unreadable", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE broken (id INT PRIMARY KEY)",
                "INSERT INTO broken VALUES (1)",
                "CREATE TABLE busy (id INT PRIMARY KEY AUTO_INCREMENT)",
                "ALTER TABLE broken DISCARD TABLESPACE",
            ],
        )
        .await;
        let config = config(&server, database).reconnect_limit(Duration::from_secs(2)).build().unwrap();
        let mut source = MysqlSource::start(config, Default::default()).await.unwrap();
        let start = Instant::now();
        let error: Error = loop {
            assert!(start.elapsed() < Duration::from_secs(30), "it is tried for ever");
            run(&mut admin, &["INSERT INTO busy VALUES ()"]).await;
            if let Ok(Err(e)) = tokio::time::timeout(Duration::from_millis(20), source.next()).await {
                break e;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().starts_with(&format!("reading {database}.broken failed on ")), "{error}");
        assert!(start.elapsed() >= Duration::from_secs(2), "it was given up after {:?}", start.elapsed());
        run(&mut admin, &["DROP TABLE broken"]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_dropped_before_its_creates_were_known_to_be_new_does_not_end_the_source() {
    both("gone_early", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE t (id INT PRIMARY KEY)", "CREATE TABLE other (id INT PRIMARY KEY AUTO_INCREMENT)"]).await;
        let limit = Duration::from_millis(500);
        let mut follower = Follower::start(&server, database, |c| c.reconnect_limit(limit)).await;
        follower.catch_up().await;
        follower.copy.state.marks.retain(|(table, _)| table.table != "t");
        run(&mut admin, &["DROP TABLE t"]).await;
        follower.restart().await;
        let start = Instant::now();
        while start.elapsed() < limit * 4 {
            run(&mut admin, &["INSERT INTO other VALUES ()"]).await;
            follower.catch_up().await;
        }
        let stop = follower.table("t").stop.clone().expect("t goes on");
        assert!(stop.contains("it was dropped"), "{stop}");
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_captured_in_whichever_case_its_name_is_written_where_the_server_folds_names() {
    for kind in ["mysql", "mariadb"] {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            continue;
        }
        let server = Server::start(kind, "source-lower", &["--set", "lower_case_table_names=1"]);
        let mut admin = server.admin("").await;
        run(&mut admin, &["DROP DATABASE IF EXISTS T_LOWER", "CREATE DATABASE T_Lower", "USE T_LOWER"]).await;
        run(&mut admin, &["CREATE TABLE First (id INT PRIMARY KEY)", "INSERT INTO FIRST VALUES (1)"]).await;
        let mut follower = Follower::caught_up(&server, "t_lower").await;
        run(
            &mut admin,
            &[
                "CREATE TABLE LATER (id INT PRIMARY KEY, v VARCHAR(9))",
                "INSERT INTO Later VALUES (1, 'one')",
                "CREATE TABLE T_LOWER.Source (id INT PRIMARY KEY)",
                "INSERT INTO source VALUES (7)",
                "RENAME TABLE SOURCE TO Moved",
                "INSERT INTO First VALUES (2)",
            ],
        )
        .await;
        follower
            .until("the new tables", |c| ["later", "moved"].iter().all(|t| c.tables.contains_key(&format!("t_lower.{t}"))))
            .await;
        follower.catch_up().await;
        run(
            &mut admin,
            &["ALTER TABLE LaTer ADD COLUMN w INT", "INSERT INTO LATER VALUES (2, 'two', 2)", "TRUNCATE TABLE FIRST"],
        )
        .await;
        follower.catch_up().await;
        follower.assert_equals().await;
        for table in ["first", "later", "moved"] {
            assert_eq!(follower.table(table).stop, None, "{table}");
        }
        assert!(follower.copy.tables.keys().all(|name| *name == name.to_lowercase()), "{:?}", follower.copy.tables.keys());
        run(&mut admin, &["DROP DATABASE T_LOWER"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rebuilt_between_a_view_and_its_query_is_read_on() {
    both("rebuilt", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE t (id INT PRIMARY KEY, v INT)"]).await;
        let values: Vec<String> = (0..4_000).map(|i| format!("({i}, {i})")).collect();
        run(&mut admin, &[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
        let mut follower = Follower::start(&server, database, |c| c.chunk_rows(1)).await;
        let rows = |c: &Copy| c.state.generations.first().map_or(0, |g| g.rows);
        follower.until("the first rows", |c| rows(c) > 0).await;
        run(&mut admin, &["LOCK TABLES t WRITE"]).await;
        let mut watcher = server.admin(database).await;
        poll("the query that waits for the lock", async || {
            let sql = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'mirror' AND state LIKE 'Waiting for table%' \
                 AND info LIKE '%`{database}`.`t`%'"
            );
            let waiting: u64 = watcher.query_first(sql).await.unwrap().unwrap();
            (waiting > 0).then_some(())
        })
        .await;
        // Nothing of it says in the log that rows or columns changed.
        let rebuilt: Vec<mysql_async::Row> = admin.query("OPTIMIZE TABLE t").await.unwrap();
        assert!(!rebuilt.is_empty());
        run(&mut admin, &["UNLOCK TABLES", "UPDATE t SET v = -1 WHERE id % 100 = 0"]).await;
        follower.catch_up().await;
        assert_eq!(follower.table("t").stop, None);
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_size_are_read_within_the_memory_that_is_given() {
    both("large", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE keyed (id INT PRIMARY KEY, v LONGBLOB)", "CREATE TABLE keyless (id INT, v LONGBLOB)"])
            .await;
        for id in 0..24 {
            // Small rows first: what the first chunks are like says nothing of the others.
            let size = if id < 8 { 10 } else { 1 << 20 };
            run(&mut admin, &[&format!("INSERT INTO keyed VALUES ({id}, REPEAT('{}', {size}))", id % 10)]).await;
        }
        run(&mut admin, &["INSERT INTO keyless SELECT * FROM keyed"]).await;
        let mut follower = Follower::start(&server, database, |c| c.memory_bytes(8 << 20)).await;
        // Nobody takes what is read: the source comes to a rest.
        let mut quiet = 0;
        poll("a rest", async || {
            let sql = format!(
                "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'mirror' AND info LIKE '%`{database}`.`keyed`%'"
            );
            let busy: u64 = admin.query_first(sql).await.unwrap().unwrap();
            quiet = if busy == 0 { quiet + 1 } else { 0 };
            (quiet > 100).then_some(())
        })
        .await;
        follower.catch_up().await;
        assert!(follower.copy.largest < 8 << 20, "{} bytes were held at once", follower.copy.largest);
        follower.assert_equals().await;
        for table in ["keyed", "keyless"] {
            let table = follower.table(table);
            assert_eq!(table.ops, [('r', 24)].into());
            // An eighth of the memory for each, reached with a row of 1 MiB.
            assert!(table.largest < 5 << 19, "{} bytes were read at once", table.largest);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_that_was_made_while_the_mirror_was_down_all_rows_come_also_without_snapshots() {
    both("made_meanwhile", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE old (id INT PRIMARY KEY)", "INSERT INTO old VALUES (1), (2)"]).await;
        let config = config(&server, database).snapshot_mode(SnapshotMode::NoData).build().unwrap();
        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.until(&mut source, "the columns", |c| c.tables.contains_key(&format!("{database}.old"))).await;
        // What a program does that starts: nothing happens, and nothing is read.
        run(&mut admin, &["CREATE TABLE IF NOT EXISTS old (id INT PRIMARY KEY)", "INSERT INTO old VALUES (3)"]).await;
        let target = mysql_source::current_position(&config).await.unwrap();
        copy.until(&mut source, "the row", |c| c.has_reached(&target)).await;
        drop(source);
        run(
            &mut admin,
            &[
                "CREATE TABLE plain (id INT PRIMARY KEY)",
                "INSERT INTO plain VALUES (1)",
                "CREATE TABLE IF NOT EXISTS made (id INT PRIMARY KEY)",
                "INSERT INTO made VALUES (1), (2)",
                "CREATE TABLE IF NOT EXISTS made (id INT PRIMARY KEY)",
                "INSERT INTO made VALUES (3)",
                "CREATE TABLE IF NOT EXISTS old (id INT PRIMARY KEY)",
            ],
        )
        .await;
        let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
        let whole =
            |c: &Copy, name: &str| c.tables.get(&format!("{database}.{name}")).is_some_and(|t| t.ops.values().sum::<usize>() > 0);
        copy.until(&mut source, "the rows of a table that was made", |c| whole(c, "plain")).await;
        run(&mut admin, &["INSERT INTO made VALUES (4)"]).await;
        let target = mysql_source::current_position(&config).await.unwrap();
        // Its rows are read while the stream goes on: one that is written meanwhile may come first.
        let read = |c: &Copy| c.tables.get(&format!("{database}.made")).is_some_and(|t| t.complete);
        copy.until(&mut source, "what was written since", |c| c.has_reached(&target) && read(c)).await;
        let rows = |name: &str| copy.table(database, name).ops.values().sum::<usize>();
        assert_eq!([rows("plain"), rows("made"), rows("old")], [1, 4, 1]);
    })
    .await;
}

/// Prepares an XA transaction in a session of its own, which is to commit it.
async fn prepared(server: &Server, database: &str, xid: &str, statement: &str) -> mysql_async::Conn {
    let mut session = server.admin(database).await;
    let [start, end, prepare] = ["START", "END", "PREPARE"].map(|verb| format!("XA {verb} '{xid}'"));
    run(&mut session, &[&start, statement, &end, &prepare]).await;
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_prepared_before_their_table_was_captured_are_not_lost_without_a_word() {
    both("prepared", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                "CREATE TABLE early (id INT PRIMARY KEY)",
                "CREATE TABLE rolled (id INT PRIMARY KEY)",
                "CREATE TABLE other (id INT PRIMARY KEY)",
                "INSERT INTO early VALUES (1)",
            ],
        )
        .await;
        let mut first = prepared(&server, database, "t1", "INSERT INTO early VALUES (2)").await;
        let mut second = prepared(&server, database, "t2", "INSERT INTO rolled VALUES (2)").await;
        // The statement is to be looked for in more than one file.
        run(&mut admin, &["FLUSH BINARY LOGS"]).await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(&mut second, &["XA ROLLBACK 't2'"]).await;
        run(&mut first, &["XA COMMIT 't1'"]).await;
        run(&mut admin, &["INSERT INTO early VALUES (3)", "INSERT INTO other VALUES (3)", "INSERT INTO rolled VALUES (3)"]).await;
        follower.catch_up().await;
        let stop = follower.table("early").stop.clone().expect("its row 2 is lost without a word");
        assert!(stop.contains("XA") && stop.contains("lakehouse resnapshot"), "{stop}");
        for table in ["other", "rolled"] {
            assert_eq!(follower.table(table).stop, None, "{table}");
            assert_eq!(follower.table(table).ops, [('c', 1)].into(), "{table}");
        }

        // Prepared in the stream, while the table's columns and rows are being read.
        run(&mut admin, &["CREATE TABLE late (id INT PRIMARY KEY)"]).await;
        let mut third = prepared(&server, database, "t3", "INSERT INTO late VALUES (1)").await;
        follower.restart().await;
        follower.until("the new table", |c| c.tables.contains_key(&format!("{database}.late"))).await;
        follower.catch_up().await;
        run(&mut third, &["XA COMMIT 't3'"]).await;
        run(&mut admin, &["INSERT INTO other VALUES (4)"]).await;
        follower.catch_up().await;
        follower.assert_equals().await;
        let stop = follower.table("late").stop.clone().expect("late goes on");
        assert!(stop.contains("XA"), "{stop}");
        assert_eq!(follower.table("other").stop, None);
        run(&mut admin, &["INSERT INTO other VALUES (5)"]).await;
        follower.catch_up().await;
        follower.assert_equals().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_values_with_characters_of_four_bytes_are_those_of_the_log() {
    both("emoji", async |server, database, mut admin| {
        run(
            &mut admin,
            &[
                // In most collations of MariaDB, characters of four bytes are all the same.
                "CREATE TABLE t (id INT PRIMARY KEY, mood ENUM('😀', '?', 'ä😡z') DEFAULT 'ä😡z', tags SET('🍎', 'pear', '🍋')) \
                 COLLATE utf8mb4_bin",
                "INSERT INTO t VALUES (1, '😀', '🍎,pear')",
            ],
        )
        .await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(
            &mut admin,
            &[
                "INSERT INTO t VALUES (2, 'ä😡z', '🍋'), (3, '?', '')",
                "UPDATE t SET tags = 'pear,🍋' WHERE id = 1",
                "DELETE FROM t WHERE id = 2",
            ],
        )
        .await;
        follower.catch_up().await;
        assert_eq!(follower.table("t").stop, None);
        follower.assert_equals().await;
        let lists = |follower: &Follower| {
            let schema = follower.table("t").schema.clone().unwrap();
            [format!("{:?}", schema.columns[1].logical_type), format!("{:?}", schema.columns[2].logical_type)]
        };
        let told = [r#"Enum { values: ["😀", "?", "ä😡z"] }"#.to_owned(), r#"Set { values: ["🍎", "pear", "🍋"] }"#.to_owned()];
        assert_eq!(lists(&follower), told);
        assert_eq!(follower.table("t").schema.as_ref().unwrap().columns[1].default, Some(Value::String("ä😡z".to_owned())));
        let version = follower.table("t").schema.as_ref().unwrap().version;
        run(
            &mut admin,
            &["ALTER TABLE t MODIFY mood ENUM('😀', '?', 'ä😡z', '🐢') DEFAULT 'ä😡z'", "INSERT INTO t VALUES (4, '🐢', NULL)"],
        )
        .await;
        follower.catch_up().await;
        follower.assert_equals().await;
        assert_eq!(follower.table("t").schema.as_ref().unwrap().version, version + 1);
        assert_eq!(follower.table("t").stop, None);
    })
    .await;
}
