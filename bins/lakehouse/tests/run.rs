//! `run`: how it ends, what it leaves, and what it says when it must not go on.

use crate::support::{Desk, both};
use serde_json::json;

/// Long enough that only the end of a run commits.
const NO_COMMITS: [&str; 2] = ["--set", "iceberg.control.commit.interval-ms=3600000"];

/// A mirror that is caught up, and has stopped.
fn caught_up(desk: &Desk) {
    desk.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2)");
    desk.init();
    desk.catch_up();
}

fn records(desk: &Desk) -> u64 {
    desk.json(&["tables"])["tables"][0]["records"].as_u64().unwrap()
}

#[test]
fn sigterm_and_ctrl_c_end_a_run_with_a_last_commit_and_exit_code_0() {
    both("cli_signal", |desk| {
        caught_up(&desk);
        for (signal, before) in [("TERM", 2), ("INT", 6)] {
            let running = desk.start(&[&["run"], &NO_COMMITS[..]].concat());
            // The first change after a start is committed at once, the next ones when their time has come.
            desk.sql(&format!("INSERT INTO t VALUES ({before} + 1, 1)"));
            desk.wait_for("t", |t| t["status"]["applied"] == before + 1);
            desk.sql(&format!("INSERT INTO t VALUES ({before} + 2, 1), ({before} + 3, 1), ({before} + 4, 1)"));
            let status = desk.wait_for("t", |t| t["status"]["log_end"] == before + 4);
            assert_eq!((&status["status"]["applied"], records(&desk)), (&json!(before + 1), before + 1), "not committed yet");
            assert_eq!(desk.json(&["status"])["running"], running.pid());
            let ran = running.end(signal);
            assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{ran:#?}");
            assert!(ran.err.ends_with("stopped: 4 changes captured, 2 commits to 1 table\n"), "{}", ran.err);
            assert_eq!(records(&desk), before + 4, "SIG{signal}: what was captured is committed");
            assert_eq!(desk.json(&["status"])["running"], json!(null));
        }
        desk.ok(&["verify"]);
        // To watch has no other end either.
        let watching = desk.start(&["status", "--watch"]);
        desk.poll("the status", || std::fs::read_to_string(desk.path("out.txt")).unwrap().contains("not running").then_some(()));
        assert_eq!(watching.end("INT").code, 0);
    });
}

#[test]
fn a_run_that_is_interrupted_before_it_has_caught_up_ends_with_130_and_loses_nothing() {
    both("cli_interrupt", |desk| {
        desk.sql("CREATE TABLE t (id INT PRIMARY KEY, v INT); INSERT INTO t VALUES (1, 1), (2, 2)");
        desk.init();
        std::thread::scope(|scope| {
            // Somebody else's lock keeps the table from being read.
            let held = scope.spawn(|| drop(desk.server.sql("USE cli_interrupt; LOCK TABLES t WRITE; SELECT SLEEP(80) AS held")));
            let holder = desk.poll("the lock", || {
                let sql =
                    "SELECT id FROM information_schema.processlist WHERE db = 'cli_interrupt' AND info LIKE 'SELECT SLEEP(80)%'";
                // The server cannot show a statement with a character of four bytes, which another test may run just now.
                desk.server.sql(sql).ok()?.trim().parse::<u64>().ok()
            });
            let running = desk.start(&["run", "--until-caught-up"]);
            desk.poll("the start", || desk.path("log").exists().then_some(()));
            let ran = running.end("INT");
            assert_eq!((ran.code, ran.out.as_str()), (130, ""), "{ran:#?}");
            desk.server.sql(&format!("KILL {holder}")).unwrap();
            held.join().unwrap();
        });
        desk.catch_up();
        desk.ok(&["verify"]);
        // Ended by a signal or not: the last line of status says how it was.
        let ran = desk.run(&["run", "--until-caught-up", "--json"]);
        let last: serde_json::Value = serde_json::from_str(ran.out.lines().last().unwrap()).unwrap();
        let table = &last["tables"]["cli_interrupt.t"];
        assert_eq!(
            (&table["applied"], &table["log_end"], &table["phase"]),
            (&json!(2), &json!(2), &json!("streaming")),
            "{last}"
        );
        assert_eq!((ran.code, ran.err.as_str(), &last["ended"]), (0, "", &json!(true)));
    });
}

#[test]
fn a_second_run_and_a_look_into_the_log_are_told_which_process_holds_it() {
    both("cli_second", |desk| {
        caught_up(&desk);
        let running = desk.start(&["run"]);
        desk.sql("INSERT INTO t VALUES (3, 3)");
        desk.wait_for("t", |t| t["status"]["applied"] == 3);
        for args in [&["run", "-q"][..], &["run", "-q", "--until-caught-up"], &["log"]] {
            let message = desk.fails(3, args);
            assert!(message.contains(&format!("in use by process {}", running.pid())), "{args:?}: {message}");
        }
        // The first one is not disturbed, and is what `verify` compares.
        desk.sql("UPDATE t SET v = 9 WHERE id = 1");
        let verified = desk.ok(&["verify"]).out;
        assert!(verified.starts_with("equal: 1 table, 3 rows"), "{verified}");
        assert_eq!(running.end("TERM").code, 0);
    });
}

#[test]
fn a_stopped_table_is_named_with_the_ways_on_and_the_others_go_on() {
    both("cli_stopped", |desk| {
        desk.sql("CREATE TABLE nokey (a INT); INSERT INTO nokey VALUES (1), (2); CREATE TABLE other (id INT PRIMARY KEY)");
        desk.init();
        desk.catch_up();
        desk.sql("UPDATE nokey SET a = 3 WHERE a = 1; INSERT INTO other VALUES (1)");
        for _ in 0..2 {
            let ran = desk.run(&["run", "--until-caught-up", "-q"]);
            assert!(ran.code == 4 && ran.out.is_empty(), "{ran:#?}");
            let said = "error: cli_stopped.nokey has stopped: a row was updated, and the table has no key by which to find it\n";
            assert_eq!((ran.err.matches(said).count(), ran.err.matches("followed any further").count()), (1, 0), "{}", ran.err);
            assert!(ran.err.contains("\n  → ALTER TABLE `cli_stopped`.`nokey` ADD PRIMARY KEY (...), or ADD UNIQUE KEY (...) of whole columns that cannot be NULL\n  → then read it again: lakehouse resnapshot cli_stopped.nokey\n"), "{}", ran.err);
            let status = desk.run(&["status", "--json"]);
            assert_eq!((status.code, status.err.as_str()), (4, ""));
            let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
            let phases: Vec<_> = status["tables"].as_array().unwrap().iter().map(|t| &t["status"]["phase"]).collect();
            assert_eq!(phases, [&json!("stopped"), &json!("streaming")], "{status:#}");
        }
        let ran = desk.run(&["run", "--until-caught-up", "-q", "--log-format", "json"]);
        let line: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((&line["level"], &line["fields"]["stopped"]), (&json!("ERROR"), &json!("cli_stopped.nokey")), "{line}");
        let ran = desk.run(&["verify"]);
        assert!(ran.code == 1 && ran.out.contains("cli_stopped.nokey has stopped: a row was updated"), "{ran:#?}");
        assert!(ran.out.starts_with("DIFFERENT: 1 of 2 tables; "), "{}", ran.out);
        desk.ok(&["verify", "cli_stopped.other"]);
        let ran = desk.run(&["status", "-q"]);
        assert!(ran.code == 4 && ran.out.starts_with("cli_stopped.nokey has stopped: "), "{ran:#?}");
        assert!(!ran.out.contains("cli_stopped.other"), "{}", ran.out);
    });
}

#[test]
fn a_stopped_table_that_was_mended_is_read_again_and_followed() {
    both("cli_again", |desk| {
        desk.sql("CREATE TABLE nokey (a INT); INSERT INTO nokey VALUES (1), (2); CREATE TABLE other (id INT PRIMARY KEY)");
        desk.init();
        desk.catch_up();
        let nothing = desk.ok(&["resnapshot", "--only-needed"]).out;
        assert!(nothing.starts_with("nothing is to be read again: ") && nothing.lines().count() == 1, "{nothing}");
        desk.sql("UPDATE nokey SET a = 3 WHERE a = 1");
        assert_eq!(desk.run(&["run", "--until-caught-up", "-q"]).code, 4);
        desk.sql("ALTER TABLE nokey ADD PRIMARY KEY (a)");

        let running = desk.start(&["run"]);
        desk.poll("the start", || running.err().contains("mirroring cli@").then_some(()));
        let message = desk.fails(3, &["resnapshot"]);
        assert!(message.contains("\n  → stop the mirror first"), "{message}");
        running.end("TERM");
        let message = desk.fails(2, &["resnapshot", "cli_again.nokey", "cli_again.nothing"]);
        assert!(message.starts_with("error: cli_again.nothing is not captured\n  → "), "{message}");

        let found = desk.json(&["resnapshot", "--only-needed"]);
        let table = &found["tables"][0];
        assert_eq!((&table["table"], &table["records"]), (&json!("cli_again.nokey"), &json!(2)), "{found}");
        assert!(table["stopped"].as_str().unwrap().contains("has no key by which to find it"), "{found}");
        assert_eq!((found["tables"].as_array().unwrap().len(), &found["position_given_up"]), (1, &json!(null)));
        // Asked for twice, it is done once.
        let text = desk.ok(&["resnapshot", "--only-needed"]).out;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines[0], lines[3]), ("1 table is read again when the mirror starts", "next: lakehouse run"), "{text}");
        assert_eq!(desk.json(&["status"])["tables"][0]["status"]["phase"], "waiting");
        desk.catch_up();
        desk.sql("DELETE FROM nokey WHERE a = 3");
        desk.catch_up();
        assert!(desk.ok(&["verify"]).out.starts_with("equal: 2 tables, 1 row,"));
    });
}
