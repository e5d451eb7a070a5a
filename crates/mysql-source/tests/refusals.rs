//! What a source refuses, and in which words.

use crate::support::{Follower, Server, both, config, run};
use cdc_core::ErrorKind;
use mysql_source::{MysqlSource, MysqlSourceConfig, TlsMode, preflight};

async fn refusal(config: MysqlSourceConfig) -> (ErrorKind, String) {
    let e = MysqlSource::start(config, Default::default()).await.expect_err("it started");
    (e.kind(), e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_or_refuses_is_named_with_what_to_do() {
    both("refuse", async |server, database, _| {
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
async fn an_image_that_lacks_columns_stops_its_table_and_is_not_filled_up() {
    both("partial", async |server, database, mut admin| {
        run(&mut admin, &["CREATE TABLE t (id INT PRIMARY KEY, v INT, w INT)", "INSERT INTO t VALUES (1, 1, 1)"]).await;
        let mut follower = Follower::caught_up(&server, database).await;
        run(&mut admin, &["SET SESSION binlog_row_image = MINIMAL", "UPDATE t SET v = 2 WHERE id = 1"]).await;
        follower.until("the stop", |c| c.table(database, "t").stop.is_some()).await;
        let message = follower.table("t").stop.clone().unwrap();
        assert!(message.contains("binlog_row_image"), "{message}");
        assert_eq!(follower.table("t").ops, [('r', 1)].into());
    })
    .await;
}
