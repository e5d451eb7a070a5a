//! Servers and users that are not fit: each is said in the first line, with what to do.

use crate::support::{Fixture, Server, both, caught_up, failure, headline, run, start, stop};
use mirror::{ErrorKind, MirrorConfig, Secret};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_server_that_is_not_there_are_told_apart() {
    both("password", async |f| {
        let mut config = f.config();
        config.source.password = Secret::new("hunter2");
        let (kind, message) = failure(config).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert_eq!(headline(&message), format!("cannot log in to 127.0.0.1:{} as \"mirror\"", f.server.port));
        assert!(message.contains("→ check database.user and database.password") && !message.contains("hunter2"), "{message}");

        let mut config = f.config();
        config.source.port = 1;
        let (kind, message) = failure(config).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert!(headline(&message).starts_with("cannot reach 127.0.0.1:1"), "{message}");
        assert!(!f.warehouse().join(&f.database).exists(), "nothing was made");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_grants_are_named_with_the_statement_that_grants_them() {
    both("grants", async |mut f| {
        let user = format!("poor_{}", std::process::id());
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY)",
            &format!("DROP USER IF EXISTS {user}"),
            &format!("CREATE USER {user} IDENTIFIED BY 'poor'"),
            &format!("GRANT SELECT ON *.* TO {user}"),
        ])
        .await;
        let mut config = f.config();
        config.source.user = user.clone();
        config.source.password = Secret::new("poor");
        let (kind, message) = failure(config.clone()).await;
        assert_eq!(kind, ErrorKind::Unavailable);
        assert_eq!(headline(&message), format!("127.0.0.1:{} is not set up for change capture", f.server.port));
        for privilege in ["REPLICATION SLAVE", "REPLICATION CLIENT"] {
            assert!(message.contains(&format!("→ GRANT {privilege} ON *.* TO '{user}'@'%'")), "{message}");
        }
        // With just these it works.
        f.sql(&[&format!("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}")]).await;
        let mirror = start(config).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        f.assert_equal().await;
        f.sql(&[&format!("DROP USER {user}")]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_not_there_is_said_at_once() {
    both("nodatabase", async |f| {
        let mut config = f.config();
        config.source.database_include = Some("no_such_database".to_owned());
        let (kind, message) = failure(config).await;
        assert_eq!(kind, ErrorKind::Configuration, "{message}");
        let expected =
            format!("no database of 127.0.0.1:{} matches database.include.list and database.exclude.list", f.server.port);
        assert_eq!(headline(&message), expected);
        assert!(message.contains(" sees ") && message.contains("→ check the name against SHOW DATABASES"), "{message}");
    })
    .await;
}

/// A mirror of a server with these settings does not start; the message names the setting and what helps.
async fn unfit(f: &Fixture, found: &str, way: &str) {
    let (kind, message) = failure(f.config()).await;
    assert_eq!(kind, ErrorKind::Unavailable, "{message}");
    assert_eq!(headline(&message), format!("127.0.0.1:{} is not set up for change capture", f.server.port));
    assert!(message.contains(found), "{message}");
    assert!(message.contains(way), "{message}");
    let checks = mirror::check(&f.config()).await.unwrap();
    assert!(checks.iter().any(|c| !c.ok && c.found.contains(found.split_once(": ").unwrap().1)), "{checks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statement_format_and_servers_without_gtids_are_refused() {
    for kind in ["mysql", "mariadb"] {
        let server = Server::start(kind, "mirror-unfit", &["--fresh"]);
        let mut f = Fixture::on(server, "unfit").await;
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        f.sql(&["SET GLOBAL binlog_format = 'STATEMENT'"]).await;
        unfit(&f, "row format: binlog_format = STATEMENT", "binlog_format = 'ROW'").await;
        f.sql(&["SET GLOBAL binlog_format = 'ROW'", "SET GLOBAL binlog_row_image = 'MINIMAL'"]).await;
        unfit(&f, "whole rows: binlog_row_image = MINIMAL", "binlog_row_image = 'FULL'").await;
        f.sql(&["SET GLOBAL binlog_row_image = 'FULL'"]).await;
        f.once().await;
        if f.server.is_mysql() {
            for step in ["ON_PERMISSIVE", "OFF_PERMISSIVE", "OFF"] {
                f.sql(&[&format!("SET GLOBAL gtid_mode = {step}")]).await;
            }
            unfit(&f, "GTIDs: gtid_mode = OFF", "set gtid_mode = ON").await;
        }
        f.server.remove();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_binary_log_is_refused() {
    for kind in ["mysql", "mariadb"] {
        let server = Server::start(kind, "mirror-nolog", &["--fresh", "--set", "skip-log-bin"]);
        let f = Fixture::on(server, "nobinlog").await;
        unfit(&f, "binary log: log_bin = OFF", "add log_bin = mysql-bin").await;
        f.server.remove();
    }
}

/// The configuration of a file is the one of the builder.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_from_a_file_mirrors_as_well() {
    both("fromfile", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let file = f.folder.path().join("mirror.toml");
        let text = format!(
            "[source]\n\"database.hostname\" = \"127.0.0.1\"\n\"database.port\" = {}\n\"database.user\" = \"mirror\"\n\
             \"database.password\" = \"mirror\"\n\"database.include.list\" = \"{}\"\n\"topic.prefix\" = \"shop\"\n",
            f.server.port, f.database
        );
        std::fs::write(&file, text).unwrap();
        let mirror = start(MirrorConfig::read(&file, &[]).unwrap()).await;
        caught_up(&mirror).await;
        f.sql(&["INSERT INTO t VALUES (2)"]).await;
        caught_up(&mirror).await;
        stop(mirror).await;
        f.assert_equal().await;
        let mut admin = f.server.admin("").await;
        run(&mut admin, &[&format!("DROP DATABASE {}", f.database)]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_whose_catalog_is_locked_by_somebody_stops_when_it_is_asked_to_and_loses_nothing() {
    both("lockedcatalog", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        let mirror = f.caught_up_mirror().await;
        let hold = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE'); print('held', flush=True); input()";
        let mut holder = tokio::process::Command::new("python3")
            .args(["-c", hold])
            .arg(f.config().sink.catalog_address.sqlite_path().unwrap())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = [0; 4];
        tokio::io::AsyncReadExt::read_exact(holder.stdout.as_mut().unwrap(), &mut said).await.unwrap();
        f.sql(&["INSERT INTO t VALUES (2)"]).await;
        let captured = |s: &mirror::MirrorStatus| s.source.events == 2;
        crate::support::within("the change", mirror.watch().wait_for(captured)).await.unwrap();
        // The last commit cannot be made: the next start makes it.
        drop(crate::support::within("stopping", mirror.stop()).await);
        holder.kill().await.unwrap();
        f.once().await;
        f.assert_equal().await;
        assert_eq!(f.events("t").await.ops, [('r', 1), ('c', 1)].into());
    })
    .await;
}
