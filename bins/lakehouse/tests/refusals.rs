//! Command lines and files that cannot be used: exit code 2, and the word that was meant.

use crate::support::{Desk, both, finish};
use harness::server::Kind;
use serde_json::Value;

fn desk(database: &str) -> Desk {
    let desk = Desk::new(Kind::Mysql, database);
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
    desk.init();
    desk
}

#[test]
fn a_typo_in_the_file_is_refused_with_the_key_that_was_meant() {
    let desk = desk("cli_typo");
    let text = std::fs::read_to_string(desk.path("mirror.toml")).unwrap();
    for (from, to, said) in [
        (
            "\"database.hostname\"",
            "\"database.hostnam\"",
            "unknown key [source] \"database.hostnam\"\n  → did you mean \"database.hostname\"?",
        ),
        ("\"iceberg.catalog.uri\"", "\"iceberg.catalog.url\"", "→ did you mean \"iceberg.catalog.uri\"?"),
        ("[sink]", "[sync]", "unknown section or key sync"),
        ("[sink]\n", "[sink]\n\"topic.prefix\" = \"x\"\n", "→ it belongs in [source]"),
        (
            "\"database.port\" = ",
            "\"database.port\" = \"a\" # ",
            "[source] \"database.port\" = \"a\" cannot be used\n  → write a port, 1 to 65535",
        ),
        ("[sink]\n", "[sink]\niceberg.catalog = \"x\"\niceberg.catalog.type = \"jdbc\"\n", "→ write dotted keys in quotes"),
        ("\"database.user\" = \"cli\"", "\"database.user\" = \"cli", "mirror.toml is not valid TOML: line 8, column "),
        ("[log]\n", "\"snapshot.mode\" = \"never_heard\"\n[log]\n", "never_heard"),
        ("[log]\n", "\"column.exclude.list\" = \"x\"\n[log]\n", "\"column.exclude.list\" is not supported yet"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(changed, text, "{from}");
        std::fs::write(desk.path("mirror.toml"), changed).unwrap();
        for command in ["check", "run", "verify"] {
            let message = desk.fails(2, &[command, "-q"]);
            assert!(message.contains(said), "{to}: {message}");
        }
    }
    std::fs::write(desk.path("mirror.toml"), text).unwrap();
    let message = desk.fails(2, &["tables", "--set", "comit.interval=1"]);
    assert!(message.starts_with("error: --set: unknown key \"comit.interval\"\n  → "), "{message}");
    assert!(desk.fails(2, &["tables", "-c", "nowhere.toml"]).contains("→ make one: lakehouse init mysql://"));
    // Who only looks around needs no password.
    for (command, code) in [("tables", 0), ("status", 0), ("check", 2), ("run", 2)] {
        let mut prepared = desk.prepare(&[command]);
        prepared.env_remove("MYSQL_PWD");
        let ran = finish(prepared);
        let said = ran.err.contains("database.password names the environment variable MYSQL_PWD, which is not set");
        assert_eq!((ran.code, said), (code, code == 2), "{command}: {}", ran.err);
    }
}

#[test]
fn a_key_that_is_not_needed_is_named_once_and_ignored() {
    let desk = desk("cli_note");
    let args = ["tables", "--set", "max.batch.size=1000"];
    let ran = desk.run(&args);
    assert_eq!((ran.code, ran.out.lines().next()), (0, Some("catalog lake: 0 tables")));
    assert!(
        ran.err.starts_with("note: \"max.batch.size\" is not needed and ignored: ") && ran.err.lines().count() == 1,
        "{}",
        ran.err
    );
    desk.ok(&[&args[..], &["-q"]].concat());
    desk.json(&args);
}

#[test]
fn a_command_line_that_is_not_understood_ends_with_2() {
    let desk = desk("cli_usage");
    for args in [&["tabels"][..], &["tables", "--no-such"], &[], &["snapshots"], &["init"], &["verify", "--engine", "none"]] {
        let ran = desk.run(args);
        assert!(ran.code == 2 && ran.out.is_empty() && ran.err.contains("--help"), "{args:?}: {ran:#?}");
    }
    assert!(desk.run(&["tabels"]).err.contains("tables"), "the word that was meant");
    for url in ["postgres://a@b/c", "mysql://cli@127.0.0.1", "mysql://127.0.0.1/x", "mysql://cli@127.0.0.1:x/y"] {
        let message = desk.fails(2, &["init", "-c", "new.toml", url]);
        assert!(message.contains("→ write mysql://user@host:3306/database"), "{url}: {message}");
    }
    let message = desk.fails(2, &["init", "-c", "new.toml", &desk.url().replace("%75", "%76")]);
    assert!(message.contains("has no table in a database "), "{message}");
    for percent in ["0", "101%", "-1", "x", "NaN"] {
        let message = desk.fails(2, &["verify", &format!("--sample={percent}")]);
        assert!(message.contains("--sample 5%"), "{percent}: {message}");
    }
}

#[test]
fn a_table_or_topic_that_is_not_there_is_named_with_those_that_are() {
    both("cli_names", |desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        desk.init();
        desk.catch_up();
        let message = desk.fails(2, &["snapshots", "cli_names.u"]);
        assert!(message.contains("no table cli_names.u in the catalog lake\n  → there are cli_names.t\n"), "{message}");
        let message = desk.fails(2, &["verify", "cli_names.u"]);
        assert!(message.contains("no captured table cli_names.u in the source"), "{message}");
        let message = desk.fails(2, &["log", "cli_names.cli_names.u"]);
        assert!(
            message.contains("no topic cli_names.cli_names.u in the log") && message.contains("cli_names.cli_names.t"),
            "{message}"
        );
        // The same as a document, with nothing on standard output.
        let ran = desk.run(&["snapshots", "cli_names.u", "--json"]);
        let document: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((ran.code, ran.out.as_str()), (2, ""));
        assert!(document["error"].as_str().unwrap().starts_with("no table cli_names.u"), "{document}");
    });
}

#[test]
fn a_database_that_is_not_there_is_refused_before_anything_is_made() {
    both("cli_nowhere", |desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY)");
        desk.init();
        let message = desk.fails(2, &["run", "-q", "--set", "database.include.list=cli_nowhree"]);
        assert!(message.contains("no database of 127.0.0.1:") && message.contains("matches database.include.list"), "{message}");
    });
}
