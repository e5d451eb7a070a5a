//! The visibility trap: a transaction is in the binary log, and with us, before any SELECT shows it.

use crate::support::{Follower, Server, poll, run};
use mysql_async::prelude::Queryable;

/// The server's words for: a commit waits, after it is in the log and before tables show it, for a replica that never comes.
fn hold(server: &Server) -> (&'static str, &'static str, &'static str) {
    match server.is_mysql() {
        true => (
            "SET GLOBAL rpl_semi_sync_source_timeout = 600000, GLOBAL rpl_semi_sync_source_wait_for_replica_count = 1, GLOBAL rpl_semi_sync_source_wait_point = AFTER_SYNC",
            "SET GLOBAL rpl_semi_sync_source_enabled = ON",
            "SET GLOBAL rpl_semi_sync_source_enabled = OFF",
        ),
        false => (
            "SET GLOBAL rpl_semi_sync_master_timeout = 600000, GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC",
            "SET GLOBAL rpl_semi_sync_master_enabled = ON",
            "SET GLOBAL rpl_semi_sync_master_enabled = OFF",
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_held_between_log_and_table_while_a_chunk_is_read_is_not_lost() {
    for kind in ["mysql", "mariadb"] {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            continue;
        }
        let server = Server::start(kind, "source-held", &[]);
        let mut admin = server.admin("").await;
        let (prepare, on, off) = hold(&server);
        if server.is_mysql() {
            // It is installed already if an earlier run was cut.
            let _ = admin.query_drop("INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'").await;
        }
        run(&mut admin, &[off, prepare, "DROP DATABASE IF EXISTS t_trap", "CREATE DATABASE t_trap", "USE t_trap"]).await;
        run(
            &mut admin,
            &["CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20))", "INSERT INTO t VALUES (1, 'old'), (2, 'old'), (3, 'old')"],
        )
        .await;

        let log_end = async |admin: &mut mysql_async::Conn| -> (String, u64) {
            let sql = if kind == "mysql" { "SHOW BINARY LOG STATUS" } else { "SHOW MASTER STATUS" };
            let row: mysql_async::Row = admin.query_first(sql).await.unwrap().unwrap();
            (row.get(0).unwrap(), row.get(1).unwrap())
        };
        let before = log_end(&mut admin).await;
        run(&mut admin, &[on]).await;
        let mut writer = server.admin("t_trap").await;
        let held = tokio::spawn(async move { run(&mut writer, &["UPDATE t SET v = 'new' WHERE id = 2"]).await });
        poll("the commit in the log", async || (log_end(&mut admin).await != before).then_some(())).await;
        let visible: String = admin.query_first("SELECT v FROM t WHERE id = 2").await.unwrap().unwrap();
        assert_eq!(visible, "old", "the server shows the row: nothing is held, and nothing is tested");

        // The source starts, and reads the table, while the commit hangs.
        let mut follower = Follower::start(&server, "t_trap", |c| c).await;
        follower.until("the table's columns", |c| c.tables.contains_key("t_trap.t")).await;
        let _ = tokio::time::timeout(std::time::Duration::from_millis(800), follower.until("never", |_| false)).await;
        let visible: String = admin.query_first("SELECT v FROM t WHERE id = 2").await.unwrap().unwrap();
        assert_eq!(visible, "old");
        assert!(!held.is_finished());
        run(&mut admin, &[off]).await;
        held.await.unwrap();
        follower.catch_up().await;
        follower.assert_equals().await;
        run(&mut admin, &["DROP DATABASE t_trap"]).await;
    }
}
