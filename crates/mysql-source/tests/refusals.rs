//! What a source refuses, and in which words.

use crate::support::{Copy, Server, both, config, run};
use cdc_core::{ChangeSource, ErrorKind};
use mysql_source::{MysqlSource, MysqlSourceConfig, TlsMode, preflight};

async fn refusal(config: MysqlSourceConfig) -> (ErrorKind, String) {
    let e = MysqlSource::start(config, Default::default()).await.expect_err("it started");
    (e.kind(), e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_or_refuses_is_named_with_what_to_do() {
    both("refuse", async |server, database| {
        let (kind, message) = refusal(config(&server, database).password("wrong").build().unwrap()).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(
            message.starts_with("cannot log in to 127.0.0.1:")
                && message.contains("→ check database.user")
                && !message.contains("wrong"),
            "{message}"
        );

        let (kind, message) = refusal(config(&server, database).port(1).build().unwrap()).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(message.starts_with("cannot reach 127.0.0.1:1"), "{message}");

        let nowhere = MysqlSourceConfig::builder("no-such-host.invalid").user("u").build().unwrap();
        let (_, message) = refusal(nowhere).await;
        assert!(message.contains("no-such-host.invalid"), "{message}");

        let mut admin = server.admin("").await;
        run(&mut admin, &["DROP USER IF EXISTS poor", "CREATE USER poor IDENTIFIED BY 'poor'", "GRANT SELECT ON *.* TO poor"])
            .await;
        let (kind, message) = refusal(config(&server, database).user("poor").password("poor").build().unwrap()).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(message.contains("→ GRANT REPLICATION SLAVE ON *.* TO 'poor'@'%'"), "{message}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_is_used_where_it_is_asked_for() {
    let server = Server::start("mysql", "source", &[]);
    let with = |mode| config(&server, "t_tls").tls(mode).build().unwrap();
    for mode in [TlsMode::Disabled, TlsMode::Preferred, TlsMode::Required] {
        preflight(&with(mode)).await.unwrap();
    }
    let e = preflight(&with(TlsMode::VerifyIdentity)).await.unwrap_err();
    assert!(e.to_string().starts_with("cannot make an encrypted connection"), "{e}");
}

#[tokio::test(flavor = "multi_thread")]
async fn purged_and_reset_logs_stop_the_source() {
    for kind in ["mysql", "mariadb"] {
        // Its own: after a reset the transactions of other tests would get the numbers that this one remembers.
        let server = Server::start(kind, "source-reset", &[]);
        let mut admin = server.admin("").await;
        run(
            &mut admin,
            &["DROP DATABASE IF EXISTS t_purge", "CREATE DATABASE t_purge", "USE t_purge", "CREATE TABLE t (id INT PRIMARY KEY)"],
        )
        .await;
        let config = config(&server, "t_purge").build().unwrap();
        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.catch_up(&mut source, &config).await;
        drop(source);

        let logs = async |admin: &mut mysql_async::Conn| -> Vec<String> {
            use mysql_async::prelude::Queryable;
            let rows: Vec<mysql_async::Row> = admin.query("SHOW BINARY LOGS").await.unwrap();
            rows.iter().map(|r| r.get(0).unwrap()).collect()
        };
        // A server does not purge what it is just sending to somebody.
        crate::support::poll("the end of the dump", async || {
            let dumps = crate::support::dumps(&mut admin).await;
            for id in &dumps {
                // It may have gone by itself meanwhile.
                let _ = mysql_async::prelude::Queryable::query_drop(&mut admin, format!("KILL {id}")).await;
            }
            dumps.is_empty().then_some(())
        })
        .await;
        run(&mut admin, &["INSERT INTO t VALUES (1)", "FLUSH BINARY LOGS", "INSERT INTO t VALUES (2)", "FLUSH BINARY LOGS"])
            .await;
        let newest = logs(&mut admin).await.pop().unwrap();
        // MariaDB keeps a file until the storage engine has flushed what is in it.
        crate::support::poll("the purge", async || {
            run(&mut admin, &[&format!("PURGE BINARY LOGS TO '{newest}'")]).await;
            (logs(&mut admin).await.first() == Some(&newest)).then_some(())
        })
        .await;
        let e = MysqlSource::start(config.clone(), copy.state.clone()).await.expect_err("it goes on over a gap");
        assert_eq!(e.kind(), ErrorKind::Unsafe);
        let message = e.to_string();
        assert!(message.starts_with("cannot read the binary log of 127.0.0.1:") && message.contains("purged"), "{message}");
        assert!(message.contains("→ go on now: lakehouse resnapshot --only-needed"), "{message}");

        // Once as soon as the logs are reset, and once when they have grown beyond the place where this one stopped: the numbers
        // of files, offsets and transactions are then all there again, of other changes.
        let reset = if server.is_mysql() { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
        run(&mut admin, &[reset]).await;
        let e = MysqlSource::start(config.clone(), copy.state.clone()).await.expect_err("it goes on after a reset");
        assert_eq!(e.kind(), ErrorKind::Unsafe);
        for _ in 0..2 {
            let numbers = copy.state.position.as_ref().unwrap().transactions.0.values().flat_map(|s| s.intervals().to_vec());
            let more = numbers.map(|(_, end)| end).max().unwrap() + 5;
            // A file's time of creation is kept in whole seconds.
            let second = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            crate::support::poll("the next second", async || {
                (std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() > second + 1).then_some(())
            })
            .await;
            run(&mut admin, &[reset]).await;
            for i in 0..more {
                run(&mut admin, &[&format!("REPLACE INTO t VALUES ({i})")]).await;
            }
            let went_on = async {
                let mut source = MysqlSource::start(config.clone(), copy.state.clone()).await?;
                loop {
                    source.next().await?;
                }
            };
            let e: Result<(), cdc_core::Error> = tokio::time::timeout(crate::support::DEADLINE, went_on).await.unwrap();
            let e = e.expect_err("it goes on in a log that is not the one that it read");
            assert_eq!(e.kind(), ErrorKind::Unsafe);
            assert!(e.to_string().contains("reset"), "{e}");
            // The second time, the place is in the file that the reset makes first.
            copy = Copy::default();
            let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
            copy.catch_up(&mut source, &config).await;
        }
        run(&mut admin, &["DROP DATABASE t_purge"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_lacks_columns_stops_its_table_and_is_not_filled_up() {
    both("partial", async |server, database| {
        let mut admin = server.admin(database).await;
        run(&mut admin, &["CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT)", "INSERT INTO t VALUES (1, 1, 1)"]).await;
        let config = config(&server, database).build().unwrap();
        let mut source = MysqlSource::start(config.clone(), Default::default()).await.unwrap();
        let mut copy = Copy::default();
        copy.catch_up(&mut source, &config).await;
        run(&mut admin, &["SET SESSION binlog_row_image = MINIMAL", "UPDATE t SET v = 2 WHERE id = 1"]).await;
        copy.until(&mut source, "the stop", |c| c.table(database, "t").stop.is_some()).await;
        let message = copy.table(database, "t").stop.clone().unwrap();
        assert!(message.contains("binlog_row_image"), "{message}");
        assert_eq!(copy.table(database, "t").ops, [('r', 1)].into());
    })
    .await;
}
