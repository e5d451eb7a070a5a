//! A catalog on a server: what people read when it cannot be used, and that looking needs no more than reading.

use crate::support::{Desk, PASSWORD};
use harness::server::Kind;
use std::path::Path;
use std::process::Command;

/// The port of the PostgreSQL that all tests share.
fn postgres() -> u16 {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/postgres");
    let output = Command::new(&script).args(["start", "shared", "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    u16::try_from(info["port"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_catalog_that_cannot_be_reached_or_refuses_ends_with_3_and_says_what_to_check() {
    let desk = Desk::new(Kind::Mysql, "cli_catalogs");
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
    desk.init();
    let (mysql, postgres) = (desk.server.info.port, postgres());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let password = format!("iceberg.catalog.jdbc.password={PASSWORD}");
    for (uri, said) in [
        (format!("jdbc:postgresql://127.0.0.1:{postgres}/postgres"), "check user and password"),
        (format!("jdbc:mysql://127.0.0.1:{mysql}/cli_catalogs"), "check user and password"),
        (format!("jdbc:postgresql://127.0.0.1:{nobody}/lake"), "check that the server runs and that host and port are right"),
        (format!("jdbc:mysql://127.0.0.1:{nobody}/lake"), "check that the server runs and that host and port are right"),
        ("jdbc:postgresql://no-such-host.invalid/lake".to_owned(), "check that the server runs and that host and port are right"),
        ("jdbc:mariadb://no-such-host.invalid/lake".to_owned(), "check that the server runs and that host and port are right"),
    ] {
        let set = format!("iceberg.catalog.uri={uri}");
        for command in [&["tables"][..], &["status"], &["snapshots", "cli_catalogs.t"], &["run", "--until-caught-up", "-q"]] {
            let sets = ["--set", &set, "--set", "iceberg.catalog.jdbc.user=admin", "--set", &password];
            let message = desk.fails(3, &[command, &sets].concat());
            let server = uri.trim_start_matches("jdbc:").split('/').nth(2).unwrap();
            assert!(message.contains(said) && message.contains(server), "{command:?} {uri}: {message}");
        }
    }
}

#[test]
fn an_address_that_cannot_be_used_ends_with_2_without_its_password() {
    let desk = Desk::new(Kind::Mysql, "cli_catalog_uri");
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
    desk.init();
    for (uri, said) in [
        ("jdbc:postgresql://db/lake", "[sink] needs \"iceberg.catalog.jdbc.user\" for the catalog postgresql://db:5432/lake"),
        ("jdbc:postgresql://u:S3cret%20%C3%9F$pw@db", "names no database"),
        (
            "jdbc:mysql://u:S3cret%20%C3%9F$pw@db/lake?oddity=1",
            "the parameter oddity of the address mysql://db:3306/lake is not known",
        ),
        ("jdbc:db2://db/lake", "is not there yet; write jdbc:postgresql://"),
    ] {
        for command in ["tables", "run", "check"] {
            let message = desk.fails(2, &[command, "--set", &format!("iceberg.catalog.uri={uri}")]);
            assert!(message.contains(said) && !message.contains("S3cret"), "{command} {uri}: {message}");
        }
    }
}

#[test]
fn a_mirror_runs_with_a_catalog_on_postgresql_and_is_looked_at() {
    let desk = Desk::new(Kind::Mysql, "cli_catalog_pg");
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    desk.init();
    let port = postgres();
    let run = |sql: &str| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/postgres");
        let output = Command::new(&script).args(["sql", "shared", "-c", sql]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run("DROP DATABASE IF EXISTS cli_catalog_pg");
    run("CREATE DATABASE cli_catalog_pg");
    let file = desk.path("mirror.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("\"iceberg.catalog.uri\"")).collect();
    let sink = format!(
        "[sink]\n\"iceberg.catalog.uri\" = \"jdbc:postgresql://127.0.0.1:{port}/cli_catalog_pg\"\n\"iceberg.catalog.jdbc.user\" = \"admin\"\n\
         \"iceberg.catalog.jdbc.password\" = \"${{env:CATALOG_PASSWORD}}\""
    );
    std::fs::write(&file, lines.join("\n").replace("[sink]", &sink)).unwrap();
    let ended = |args: &[&str]| {
        let mut command = desk.prepare(args);
        command.env("CATALOG_PASSWORD", "admin");
        crate::support::finish(command)
    };
    let before = ended(&["tables", "--json"]);
    assert!(before.code == 0 && before.out.contains("\"tables\":[]"), "{before:#?}");
    let ran = ended(&["run", "--until-caught-up", "-q"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let tables = ended(&["tables"]);
    assert!(tables.code == 0 && tables.out.contains("cli_catalog_pg.t"), "{tables:#?}");
    let verified = ended(&["verify"]);
    assert!(verified.code == 0 && verified.out.contains("equal"), "{verified:#?}");
    assert_eq!(ended(&["snapshots", "cli_catalog_pg.t"]).code, 0);
    // Who asks the catalog needs its password.
    let without = desk.fails(2, &["tables"]);
    assert!(
        without.contains("iceberg.catalog.jdbc.password names the environment variable CATALOG_PASSWORD, which is not set"),
        "{without}"
    );
}
