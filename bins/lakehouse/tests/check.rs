//! `check`: what is required, what is worth knowing, and the exit code.

use crate::support::{Desk, PASSWORD, both, finish};
use harness::server::Kind;
use serde_json::Value;

/// The result of one check.
fn one<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("no {name}: {report:#}"))
}

fn found(check: &Value) -> (&str, &str) {
    (check["found"].as_str().unwrap(), check["fix"].as_str().unwrap_or_default())
}

#[test]
fn what_cannot_be_mirrored_in_full_is_said_before_it_stops() {
    both("cli_check", |desk| {
        desk.sql(
            "CREATE TABLE plain (id INT PRIMARY KEY); CREATE TABLE nokey (a INT UNIQUE, t TEXT NOT NULL, UNIQUE KEY (t(10)));
             CREATE TABLE floating (f DOUBLE PRIMARY KEY); CREATE TABLE odd (id INT PRIMARY KEY, v VARCHAR(5) CHARACTER SET swe7);
             CREATE TABLE child (id INT PRIMARY KEY, p INT, q INT, CONSTRAINT goes FOREIGN KEY (p) REFERENCES plain (id) ON DELETE CASCADE,
             CONSTRAINT stays FOREIGN KEY (q) REFERENCES plain (id))",
        );
        desk.init();
        let missing = [
            "--set",
            "database.include.list=cli_check,cli_chekc",
            "--set",
            "table.include.list=cli_check\\..*,cli_check\\.plian",
        ];
        let report = desk.json(&[&["check"], &missing[..]].concat());
        assert_eq!(report["ok"], true, "these are notes: {report:#}");
        for (name, is, helps) in [
            (
                "columns of cli_check.odd",
                "cli_check.odd.v varchar(5): the character set swe7 is not supported",
                "table.exclude.list",
            ),
            (
                "key of cli_check.nokey",
                "no primary or unique key of whole columns without NULLs",
                "ALTER TABLE `cli_check`.`nokey` ADD PRIMARY KEY",
            ),
            ("key of cli_check.floating", "f is of the type double, by which Iceberg cannot delete", "make it a DECIMAL"),
            ("database cli_chekc", "there is none of that name", "SHOW DATABASES"),
            ("table cli_check\\.plian", "no table of that name is there", "it is database.table"),
        ] {
            let (is_really, helps_really) = found(one(&report, name));
            assert!(is_really.contains(is) && helps_really.contains(helps), "{name}: {is_really} → {helps_really}");
        }
        assert!(
            found(one(&report, "columns of cli_check.odd"))
                .0
                .ends_with("the table is not mirrored: it stops at once, the others go on")
        );
        let cascade = one(&report, "foreign key goes of cli_check.child");
        assert!(found(cascade).0.starts_with("ON DELETE CASCADE: "), "{cascade}");
        match desk.server.kind {
            Kind::Mysql => {
                assert!(found(cascade).0.ends_with("this server logs the rows that it changes by it") && cascade["fix"].is_null())
            }
            Kind::Mariadb => {
                assert!(found(cascade).0.contains("this server does not log the rows") && !found(cascade).1.is_empty())
            }
        }
        assert!(!report.to_string().contains("foreign key stays"), "a key that only refuses changes nothing");
        assert_eq!(found(one(&report, "row metadata")), ("binlog_row_metadata = FULL", ""));

        // The same for people, and what was foretold happens.
        let text = desk.ok(&["check"]).out;
        assert!(text.lines().any(|l| l.starts_with("  note   columns of cli_check.odd: ")), "{text}");
        let headline = text.lines().next().unwrap();
        assert!(headline.starts_with("ready: ") && headline.ends_with(" with a note"), "{text}");
        let described = desk.json(&["init", &desk.url(), "-c", "again.toml"]);
        let odd = described["tables"].as_array().unwrap().iter().find(|t| t["table"] == "cli_check.odd").unwrap();
        let nokey = described["tables"].as_array().unwrap().iter().find(|t| t["table"] == "cli_check.nokey").unwrap();
        assert_eq!(nokey["key"], serde_json::json!([]), "neither NULLs nor the beginning of a text tell rows apart");
        assert!(odd["remarks"][0].as_str().unwrap().contains("swe7"), "{odd}");
        let ran = desk.run(&["run", "--until-caught-up"]);
        assert!(ran.code == 4 && ran.err.contains("error: cli_check.odd has stopped: ") && ran.err.contains("swe7"), "{ran:#?}");
    });
}

#[test]
fn a_requirement_that_is_not_met_fails_the_check_with_the_statement_that_helps() {
    both("cli_grants", |desk| {
        desk.sql(&format!(
            "CREATE TABLE t (id INT PRIMARY KEY);
             CREATE USER IF NOT EXISTS cli_poor@'%' IDENTIFIED BY '{PASSWORD}'; GRANT SELECT ON cli_grants.* TO cli_poor@'%'"
        ));
        desk.init();
        let before = std::fs::read_dir(desk.folder.path()).unwrap().count();
        let ran = desk.run(&["check", "--set", "database.user=cli_poor"]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:#?}");
        assert!(ran.out.starts_with("not ready: 2 of ") && !ran.out.contains("next: lakehouse run"), "{}", ran.out);
        for privilege in ["REPLICATION SLAVE", "REPLICATION CLIENT"] {
            let failed = format!(
                "  FAILED privilege {privilege}: not granted to cli_poor\n         → GRANT {privilege} ON *.* TO 'cli_poor'@'%'\n"
            );
            assert!(ran.out.contains(&failed), "{}", ran.out);
        }
        let ran = desk.run(&["check", "--json", "--set", "database.user=cli_poor"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(
            (ran.code, &report["ok"], &one(&report, "privilege REPLICATION SLAVE")["ok"]),
            (1, &Value::Bool(false), &Value::Bool(false))
        );
        let ran = desk.run(&["check", "--set", "database.include.list=nothing_here"]);
        assert!(ran.code == 1 && ran.out.contains("  FAILED captured tables: no database on the server matches"), "{ran:#?}");
        let file = desk.path("file");
        std::fs::write(&file, "").unwrap();
        let ran = desk.run(&["check", "--set", "iceberg.catalog.warehouse=file/x"]);
        assert!(ran.code == 1 && ran.out.contains("  FAILED warehouse: "), "{ran:#?}");
        std::fs::remove_file(file).unwrap();
        assert_eq!(std::fs::read_dir(desk.folder.path()).unwrap().count(), before, "check changes nothing");

        // What check says is what run does.
        let refused = desk.fails(3, &["run", "--set", "database.user=cli_poor", "-q"]);
        assert!(refused.contains("→ GRANT REPLICATION SLAVE ON *.* TO 'cli_poor'@'%'"), "{refused}");
    });
}

#[test]
fn a_server_that_logs_rows_without_names_is_noted() {
    both("cli_metadata", |desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        desk.init();
        // A server of its own: others read this setting meanwhile.
        let server =
            harness::server::Server::start(desk.server.kind, "minimal", false, &["binlog_row_metadata=MINIMAL"]).unwrap();
        server
            .sql("CREATE DATABASE IF NOT EXISTS cli_metadata; CREATE TABLE IF NOT EXISTS cli_metadata.t (id INT PRIMARY KEY)")
            .unwrap();
        let port = format!("database.port={}", server.info.port);
        let args = ["check", "--json", "--set", &port, "--set", "database.user=mirror", "--set", "database.password=mirror"];
        let report = desk.json(&args[..1].iter().chain(&args[2..]).copied().collect::<Vec<_>>());
        let (is, helps) = found(one(&report, "row metadata"));
        assert!(is.starts_with("binlog_row_metadata = MINIMAL: rows are logged without column names"), "{is}");
        assert!(helps.contains("binlog_row_metadata = 'FULL'"), "{helps}");
        server.remove().unwrap();
    });
}

#[test]
fn a_server_that_cannot_be_reached_or_refuses_is_no_failed_check() {
    both("cli_reach", |desk: Desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        desk.init();
        for command in ["check", "run", "verify"] {
            let message = desk.fails(3, &[command, "-q", "--set", "database.port=1"]);
            assert!(message.starts_with("error: cannot reach 127.0.0.1:1\n"), "{message}");
            assert_eq!(message.matches("refused").count(), 1, "{message}");
            let message = desk.fails(3, &[command, "-q", "--set", "database.password=wr0ng-one"]);
            assert!(message.starts_with("error: cannot log in to 127.0.0.1:") && !message.contains("wr0ng-one"), "{message}");
            assert!(message.contains("\n  → check database.user and database.password\n"), "{message}");
        }
        // What is not begun is not announced.
        desk.fails(3, &["run", "--set", "database.port=1"]);
        desk.fails(2, &["run", "--set", "table.include.list=(a"]);
        let mut init = desk.prepare(&["init", &desk.url(), "-c", "never.toml"]);
        init.env("MYSQL_PWD", "wr0ng-one");
        let ran = finish(init);
        assert!(ran.code == 3 && ran.out.is_empty() && ran.err.contains("cannot log in to"), "{ran:#?}");
        let mut init = desk.prepare(&["init", &desk.url(), "-c", "never.toml"]);
        init.env_remove("MYSQL_PWD");
        let ran = finish(init);
        assert!(
            ran.code == 3 && ran.err.contains("→ no password was given: export MYSQL_PWD=..., or --password-file"),
            "{ran:#?}"
        );
        assert!(!desk.path("never.toml").exists());
        let nobody = desk.fails(3, &["check", "--set", "database.user=cli_nobody"]);
        assert!(nobody.starts_with("error: cannot log in to 127.0.0.1:") && nobody.contains("→ check database.user"), "{nobody}");
    });
}

#[test]
fn tables_that_would_be_one_in_the_catalog_are_found_before_anything_is_captured() {
    both("cli_case", |desk| {
        desk.sql(
            "CREATE TABLE ab (id INT PRIMARY KEY); CREATE TABLE AB (id INT PRIMARY KEY); CREATE TABLE b (id INT PRIMARY KEY)",
        );
        let init = desk.init().out;
        let note =
            "note: cli_case.ab: cli_case.AB would be the same table cli_case.ab in the catalog, where names are lower-cased: ";
        assert!(init.contains(note), "{init}");
        let ran = desk.run(&["check"]);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{ran:#?}");
        assert!(
            ran.out.starts_with("not ready: 1 of ") && ran.out.contains("  FAILED name cli_case.ab in the catalog: "),
            "{}",
            ran.out
        );
        let ran = desk.run(&["check", "-q"]);
        assert!(ran.code == 1 && ran.out.starts_with("  FAILED name cli_case.ab") && ran.out.lines().count() == 2, "{ran:#?}");
        // What it says helps. The server sorts the two as it likes.
        let (_, setting) = ran.out.split_once("\"table.exclude.list\" = '").unwrap();
        let set = format!("table.exclude.list={}", setting.split_once('\'').unwrap().0);
        assert!(desk.ok(&["check", "-q", "--set", &set]).out.is_empty());
    });
}
