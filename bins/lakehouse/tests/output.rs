//! Standard output and standard error that are closed, full, or read by nobody.

use crate::support::{Desk, finish};
use harness::server::Kind;
use std::io::Read;
use std::process::Stdio;

fn desk(database: &str) -> Desk {
    let desk = Desk::new(Kind::Mysql, database);
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    desk.init();
    desk.catch_up();
    desk
}

const COMMANDS: [&[&str]; 8] = [
    &["tables"],
    &["tables", "--json"],
    &["status"],
    &["snapshots", "cli_output.t"],
    &["check"],
    &["verify"],
    &["log"],
    &["log", "cli_output.cli_output.t"],
];

#[test]
fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
    let desk = desk("cli_output");
    for args in COMMANDS {
        let mut command = desk.prepare(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""), "{args:?}");

        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = desk.prepare(args).stdout(full).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{args:?}: {err}");
        let start = if args.contains(&"--json") { "{" } else { "error: " };
        assert!(err.starts_with(start) && err.contains("cannot be written out"), "{args:?}: {err}");
    }
}

#[test]
fn a_mirror_goes_on_when_nobody_can_read_its_messages() {
    let desk = desk("cli_unread");
    desk.sql("INSERT INTO t VALUES (2)");
    for (i, args) in [&["run", "--until-caught-up", "-v"][..], &["run", "--until-caught-up", "--json"]].iter().enumerate() {
        desk.sql(&format!("INSERT INTO t VALUES ({})", 10 + i));
        let mut command = desk.prepare(args);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
        desk.ok(&["verify"]);
    }
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = desk.prepare(&["run", "--until-caught-up", "-v"]).stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn log_lines_are_text_or_json_and_only_as_many_as_asked_for() {
    let desk = desk("cli_lines");
    assert_eq!(desk.run(&["run", "--until-caught-up", "-q"]).err, "");
    let ran = desk.run(&["run", "--until-caught-up", "-q", "-v", "--json"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "-q wins");
    let ran = desk.run(&["verify", "-v", "--log-format", "json", "--json"]);
    assert!(ran.code == 0 && !ran.err.is_empty(), "{ran:#?}");
    for line in ran.err.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["level"] == "INFO" && line["timestamp"].is_string(), "{line}");
    }
    assert!(ran.err.contains("no process runs the mirror: it is brought up to date here"), "{}", ran.err);
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(result["tables"][0]["source_rows"], 1);
    assert!(!desk.run(&["verify", "-v"]).err.contains('\x1b'), "colours are for terminals");
}

#[test]
fn not_even_the_most_talkative_log_has_the_password() {
    let desk = desk("cli_trace");
    desk.sql("INSERT INTO t VALUES (2)");
    for args in [&["check"][..], &["run", "--until-caught-up"], &["verify"]] {
        let mut command = desk.prepare(args);
        command.env("RUST_LOG", "trace");
        let ran = finish(command); // looks for the password
        assert!(ran.code == 0 && (args[0] == "check" || !ran.err.is_empty()), "{args:?}: {:.2000}", ran.err);
    }
}
