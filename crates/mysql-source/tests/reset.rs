//! Logs that were reset or purged, servers that went away: what can be gone on with is, exactly, and what cannot is refused.

use crate::support::{Copy, DEADLINE, Server, config, dumps, poll, run};
use cdc_core::{ChangeSource, ErrorKind, RecoveredState};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use mysql_source::{MysqlSource, MysqlSourceConfig};

/// The server is reset under whoever follows it: one test at a time.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Runs a test on both servers, which nobody else follows and which have no past, in a database of its own.
async fn on_own_servers<F: AsyncFn(&Server, &str, Conn)>(name: &str, test: F) {
    let _alone = ONE_AT_A_TIME.lock().await;
    for kind in ["mysql", "mariadb"] {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            continue;
        }
        eprintln!("== {name} on {kind}");
        let server = Server::start(kind, "source-reset", &[]);
        let mut admin = server.admin("").await;
        run(&mut admin, &[&format!("DROP DATABASE IF EXISTS {name}"), reset_statement(kind)]).await;
        run(&mut admin, &[&format!("CREATE DATABASE {name}"), &format!("USE {name}")]).await;
        test(&server, name, admin).await;
        let mut admin = server.admin("").await;
        run(&mut admin, &[&format!("DROP DATABASE {name}")]).await;
    }
}

fn reset_statement(kind: &str) -> &'static str {
    if kind == "mysql" { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" }
}

/// Everything that is committed by now; the source is gone, also for the server.
async fn read_once(config: &MysqlSourceConfig, admin: &mut Conn) -> Copy {
    let mut copy = Copy::default();
    let mut source = MysqlSource::start(config.clone(), RecoveredState::default()).await.unwrap();
    copy.catch_up(&mut source, config).await;
    drop(source);
    no_dumps(admin).await;
    copy
}

/// A server does not purge what it is just sending to somebody.
async fn no_dumps(admin: &mut Conn) {
    poll("the end of the dump", async || {
        let dumps = dumps(admin).await;
        for id in &dumps {
            // It may have gone by itself meanwhile.
            let _ = admin.query_drop(format!("KILL {id}")).await;
        }
        dumps.is_empty().then_some(())
    })
    .await;
}

/// Resets the log, in another second than the one in which its first file was made: the file's time of creation tells the two apart.
async fn reset(admin: &mut Conn, kind: &str, created: u32) {
    poll("another second", async || {
        let now: Option<u64> = admin.query_first("SELECT UNIX_TIMESTAMP()").await.unwrap();
        (now.unwrap() > u64::from(created)).then_some(())
    })
    .await;
    run(admin, &[reset_statement(kind)]).await;
}

async fn refused(config: &MysqlSourceConfig, copy: &Copy) -> String {
    let e = MysqlSource::start(config.clone(), copy.state.clone()).await.expect_err("it goes on");
    assert_eq!(e.kind(), ErrorKind::Unsafe, "{e}");
    e.to_string()
}

async fn logs(admin: &mut Conn) -> Vec<String> {
    let rows: Vec<mysql_async::Row> = admin.query("SHOW BINARY LOGS").await.unwrap();
    rows.iter().map(|r| r.get(0).unwrap()).collect()
}

/// Purges all files but the newest.
async fn purge(admin: &mut Conn) {
    let newest = logs(admin).await.pop().unwrap();
    // MariaDB keeps a file until the storage engine has flushed what is in it.
    poll("the purge", async || {
        run(admin, &[&format!("PURGE BINARY LOGS TO '{newest}'")]).await;
        (logs(admin).await.first() == Some(&newest)).then_some(())
    })
    .await;
}

async fn insert(admin: &mut Conn, ids: std::ops::Range<u32>) {
    for id in ids {
        run(admin, &[&format!("INSERT INTO t VALUES ({id}, 'row {id}')")]).await;
    }
}

const TABLE: &str = "CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(2000))";

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_reset_is_refused_however_much_was_written_since() {
    on_own_servers("t_reset", async |server, database, mut admin| {
        run(&mut admin, &[TABLE]).await;
        insert(&mut admin, 0..20).await;
        let config = config(server, database).build().unwrap();
        let mut copy = read_once(&config, &mut admin).await;
        let place = copy.state.position.clone().unwrap();
        assert!(place.log_created > 0, "{place:?}");

        reset(&mut admin, server.kind, place.log_created).await;
        let message = refused(&config, &copy).await;
        assert!(message.contains("has") && message.contains("this mirror has"), "{message}");

        // By now the server has all the numbers that the mirror has, and the log is longer than where it stopped.
        insert(&mut admin, 20..80).await;
        let end = mysql_source::current_position(&config).await.unwrap();
        assert!(end.transactions.contains(&place.transactions) && end.log.offset > place.log.offset, "{end:?}");
        let message = refused(&config, &copy).await;
        assert!(message.starts_with(&format!("cannot go on with the binary log of 127.0.0.1:{}", server.port)), "{message}");
        let why = format!("{} is another file than the one that this mirror has read", place.log.file);
        assert!(message.contains(&why) && message.contains(reset_statement(server.kind)), "{message}");
        assert!(message.contains("→ or read the tables again: lakehouse resnapshot"), "{message}");

        // The same numbers, but less of a log: seen also if the time of the file is not known, as in records of old.
        let mut before = copy.state.position.take().unwrap();
        before.log_created = 0;
        before.log.offset = end.log.offset + 1;
        copy.state.position = Some(before);
        let message = refused(&config, &copy).await;
        assert!(message.contains(&format!("has {} bytes", end.log.offset)), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_reset_under_a_running_source_ends_it() {
    on_own_servers("t_reset_live", async |server, database, mut admin| {
        run(&mut admin, &[TABLE]).await;
        insert(&mut admin, 0..20).await;
        let config = config(server, database).build().unwrap();
        let mut source = MysqlSource::start(config.clone(), RecoveredState::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.catch_up(&mut source, &config).await;
        let created = copy.state.position.as_ref().unwrap().log_created;

        reset(&mut admin, server.kind, created).await;
        insert(&mut admin, 20..80).await;
        let before = copy.events();
        let ended = async {
            loop {
                match source.next().await {
                    Ok(batch) => copy.apply(batch.expect("the source has ended without a word")),
                    Err(e) => break e,
                }
            }
        };
        let e = tokio::time::timeout(DEADLINE, ended).await.expect("it follows a log that was reset");
        assert_eq!(e.kind(), ErrorKind::Unsafe, "{e}");
        assert_eq!(copy.events(), before, "changes of the new log were taken for those of the old one");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_files_stop_the_source_only_if_it_still_needs_them() {
    on_own_servers("t_purge", async |server, database, mut admin| {
        run(&mut admin, &[TABLE]).await;
        let config = config(server, database).build().unwrap();
        let mut copy = read_once(&config, &mut admin).await;

        run(&mut admin, &["FLUSH BINARY LOGS"]).await;
        purge(&mut admin).await;
        insert(&mut admin, 0..3).await;
        let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await.unwrap();
        copy.catch_up(&mut source, &config).await;
        copy.assert_equals(server, database).await;
        assert_eq!(copy.events(), 3);
        drop(source);
        no_dumps(&mut admin).await;

        insert(&mut admin, 3..4).await;
        run(&mut admin, &["FLUSH BINARY LOGS"]).await;
        insert(&mut admin, 4..5).await;
        run(&mut admin, &["FLUSH BINARY LOGS"]).await;
        purge(&mut admin).await;
        let message = refused(&config, &copy).await;
        assert!(message.starts_with("cannot read the binary log of 127.0.0.1:") && message.contains("purged"), "{message}");
        assert!(message.contains("→ go on now: lakehouse resnapshot --only-needed"), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_or_stopped_and_comes_back_is_followed_without_a_gap() {
    on_own_servers("t_gone", async |server, database, mut admin| {
        run(&mut admin, &[TABLE]).await;
        let values: Vec<String> = (0..4_000).map(|id| format!("({id}, REPEAT('x', 500))")).collect();
        run(&mut admin, &[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
        // The first time in the middle of the snapshot.
        let config = config(server, database).chunk_rows(50).build().unwrap();
        let mut source = MysqlSource::start(config.clone(), RecoveredState::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.until(&mut source, "a chunk", |copy| copy.tables.values().any(|t| !t.ops.is_empty())).await;
        for (round, verb) in ["kill9", "stop", "kill9"].into_iter().enumerate() {
            run(&mut admin, &[&format!("UPDATE t SET v = 'round {round}' WHERE id % 10 = {round}")]).await;
            drop(admin);
            server.act(verb);
            server.act("start");
            admin = server.admin(database).await;
            run(
                &mut admin,
                &["DELETE FROM t WHERE id % 10 = 9 LIMIT 100", &format!("INSERT INTO t VALUES ({}, 'new')", 5_000 + round)],
            )
            .await;
            copy.catch_up(&mut source, &config).await;
            copy.assert_equals(server, database).await;
        }
        assert_eq!(copy.table(database, "t").ops.get(&'c'), Some(&3));
    })
    .await;
}
