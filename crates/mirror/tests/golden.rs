//! The SQL of the recordings, played on real servers: what comes out is what the real Debezium wrote, byte for byte.
//!
//! The recordings and where they are from: `crates/debezium-format/tests/goldens`; the SQL: `golden/README.md`.

mod chain;
mod compare;
mod differences;
mod json_leaves;
#[path = "../../debezium-format/tests/golden.rs"]
mod recorded;

use crate::support::{Server, dev, poll};
use chain::{ByHand, Played, SourceHalf};
use compare::{Scenario, compare, shift, without_schemas};
use differences::Differences;
use mysql_async::prelude::Queryable;
use recorded::{Golden, load};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

/// Tables that are mirrored up to a certain place: how many records they have by then, and words of the reason.
const STOPS: [(&str, &str, usize, &str); 2] =
    [("default", "no_pk", 3, "no key by which to find it"), ("default", "products", 11, "ADD COLUMN color")];

/// Tables that are made while a source runs: it reads their rows by a snapshot of their own, and Debezium has their inserts.
const MADE_WHILE_STREAMING: [&str; 4] = ["ctas", "like_table", "new_table", "renamed_table"];

/// `BIGINT UNSIGNED`, which a mirror writes as a decimal (`bigint.unsigned.handling.mode=precise`).
fn is_unsigned_bigint(table: &str, path: &str) -> bool {
    let columns = [("all_types", "c_bigint_u"), ("default_types", "d_bigint_u"), ("not_null_types", "e")];
    columns.iter().any(|(of, column)| {
        *of == table && [format!("value.before.{column}"), format!("value.after.{column}")].iter().any(|value| value == path)
    })
}

/// A server in the state from which the recordings begin: file names, positions and GTIDs repeat.
struct GoldenServer {
    server: Server,
}

impl GoldenServer {
    fn start(kind: &'static str) -> Self {
        let settings: &[&str] = match kind {
            "mysql" => &[
                "server_uuid=11111111-2222-3333-4444-555555555555",
                "server_id=223344",
                "max_allowed_packet=256M",
                "binlog_row_metadata=MINIMAL",
                "sql_mode=",
            ],
            _ => &["server_id=223366", "binlog_row_metadata=MINIMAL", "sql_mode="],
        };
        let options: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
        Self { server: Server::start(kind, "golden", &options) }
    }

    /// Empties the server's log and makes the tables.
    async fn begin(&self, schema: &[&str]) {
        let reset = if self.server.is_mysql() { "RESET BINARY LOGS AND GTIDS" } else { "RESET MASTER" };
        self.sql(&format!("DROP DATABASE IF EXISTS inventory; DROP DATABASE IF EXISTS otherdb; {reset}"));
        self.play(schema);
        if !self.server.is_mysql() {
            self.sql("SET sql_mode=''; UPDATE inventory.zero_dates SET y_zero=2001");
        }
        self.sql("FLUSH BINARY LOGS");
        if !self.server.is_mysql() {
            // The server notes at its leisure that the file before this one is needed no more.
            let mut admin = self.server.admin("").await;
            poll("the checkpoint", async || {
                let events: Vec<mysql_async::Row> = admin.query("SHOW BINLOG EVENTS IN 'mariadb-bin.000002'").await.unwrap();
                let info = |row: &mysql_async::Row| row.get::<String, _>("Info").unwrap();
                events.iter().any(|row| info(row) == "mariadb-bin.000002").then_some(())
            })
            .await;
        }
    }

    fn client(&self) -> Command {
        let mut command = Command::new(dev(self.server.kind));
        command.args(["sql", "golden", "--comments"]);
        if !self.server.is_mysql() {
            command.arg("--force"); // as recorded
        }
        command.stdout(Stdio::null());
        command
    }

    fn sql(&self, statements: &str) {
        assert!(self.client().args(["-e", statements]).status().unwrap().success(), "{statements}");
    }

    /// Runs files in the server's own client: in the log, a statement is its text with its comments.
    fn play(&self, files: &[&str]) {
        for file in files {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/sql/{file}.sql"));
            let status = self.client().stdin(std::fs::File::open(path).unwrap()).status().unwrap();
            assert!(status.success() || !self.server.is_mysql(), "{file}");
        }
    }
}

/// Every topic of one scenario; what is unexpected, readable.
fn check(scenario: &Scenario, played: &Played, exact_profile: bool, listed: &mut Differences) -> Vec<String> {
    let mut recorded = load(&format!("{}-{}", scenario.kind, scenario.name));
    if exact_profile {
        recorded = recorded.iter().map(without_schemas).collect();
    }
    let shift = shift(&recorded, &played.records);
    let elsewhere = |table: &str, path: &str| exact_profile && is_unsigned_bigint(table, path);
    let topics: BTreeSet<&str> = recorded.iter().chain(&played.records).map(|r| r.topic.as_str()).collect();
    let mut wrong = Vec::new();
    for topic in topics {
        let of_topic = |records: &'_ [Golden]| records.iter().filter(|r| r.topic == topic).cloned().collect::<Vec<_>>();
        let (theirs, ours) = (of_topic(&recorded), of_topic(&played.records));
        let table = topic.rsplit('.').next().unwrap();
        if MADE_WHILE_STREAMING.contains(&table) {
            continue;
        }
        let stop = STOPS.iter().find(|(name, of, ..)| *name == scenario.name && *of == table);
        let expected = stop.map_or(theirs.len(), |(_, _, records, _)| *records);
        if ours.len() != expected {
            wrong.push(format!("{topic}: {} records of {expected}", ours.len()));
        }
        let said = played.stops.get(table).map_or("", String::as_str);
        if stop.is_some_and(|(.., why)| !said.contains(why)) || (stop.is_none() && !said.is_empty()) {
            wrong.push(format!("{topic}: stopped: {said:?}"));
        }
        let (theirs, ours): (Vec<&Golden>, Vec<&Golden>) = (theirs.iter().collect(), ours.iter().collect());
        wrong.extend(compare(scenario, &theirs, &ours, shift, listed, &elsewhere));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_of_the_recordings_gives_the_recorded_events_on_both_servers() {
    let on = async |kind: &'static str| {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            return;
        }
        let golden = GoldenServer::start(kind);
        let mut listed = Differences::load();
        let mut wrong = Vec::new();
        let of_server: [&[&str]; 2] = match kind {
            "mysql" => [&["01_schema", "01b_mysql_only"], &["02b_mysql_only", "02_stream"]],
            _ => [&["01_schema", "01c_mariadb_only"], &["02c_mariadb_only", "02_stream"]],
        };
        for (name, [tables, changes]) in [("default", of_server), ("schemaless", [&["01_schema"], &["10_small_stream"]])] {
            golden.begin(tables).await;
            let by_hand = ByHand::start(&golden.server, name == "default").await;
            let source_half = SourceHalf::start(&golden.server).await;
            golden.play(changes);
            let scenario = Scenario { kind, name };
            wrong.extend(check(&scenario, &by_hand.end().await, false, &mut listed));
            wrong.extend(check(&scenario, &source_half.end().await, true, &mut listed));
        }
        assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
        let stale = listed.stale(kind);
        assert!(stale.is_empty(), "differences.tsv lists what does not differ on {kind}:\n{}", stale.join("\n"));
    };
    tokio::join!(on("mysql"), on("mariadb"));
}
