//! What is compared with the recordings, and how.

use super::Golden;
use super::differences::Differences;
use super::json_leaves::{Leaf, leaves};
use std::collections::HashMap;

/// One scenario on one server.
pub struct Scenario {
    /// `mysql` or `mariadb`.
    pub kind: &'static str,
    /// As recorded: `default`, `schemaless`.
    pub name: &'static str,
}

/// What differs from run to run and is not compared. Everything else is, byte by byte.
fn is_volatile(path: &str, kind: &str, from_snapshot: bool) -> bool {
    match payload_path(path) {
        // The clock of who writes the event.
        Some("ts_ms" | "ts_us" | "ts_ns") => true,
        // The clock of who reads the rows; of the server's commit. MariaDB tells the statement's time, which the SQL sets.
        Some("source.ts_ms" | "source.ts_us" | "source.ts_ns") => from_snapshot || kind == "mysql",
        // The number of the session.
        Some("source.thread") => kind == "mysql",
        _ => false,
    }
}

/// The path inside an event, with or without a schema around it.
fn payload_path(path: &str) -> Option<&str> {
    let path = path.strip_prefix("value.")?;
    Some(path.strip_prefix("payload.").unwrap_or(path))
}

/// A record in leaves, less what is volatile.
fn record_leaves(record: &Golden, kind: &str) -> Vec<Leaf> {
    let from_snapshot = record.value.is_some() && record.envelope()["op"] == "r";
    let mut all = leaves("key", record.key.as_deref().unwrap_or("null"));
    all.extend(leaves("value", record.value.as_deref().unwrap_or("null")));
    all.retain(|leaf| !is_volatile(&leaf.path, kind, from_snapshot));
    for (i, (name, value)) in record.headers.iter().enumerate() {
        all.push(Leaf { path: format!("headers.{i}.name"), raw: name.clone() });
        let mut value = leaves(&format!("headers.{i}.value"), value);
        if name == "__debezium.context.runId" {
            value.retain(|leaf| !leaf.path.ends_with(".payload")); // a new one in each run
        }
        all.extend(value);
    }
    all
}

/// By how many bytes our log file is shorter: its head has the server's past in it. One number for a whole run.
pub fn shift(recorded: &[Golden], ours: &[Golden]) -> i64 {
    let first = |records: &[Golden]| {
        let snapshot = records.iter().filter(|r| r.value.is_some()).map(Golden::envelope).find(|e| e["op"] == "r");
        snapshot.unwrap()["source"]["pos"].as_i64().unwrap()
    };
    first(recorded) - first(ours)
}

/// Something that is not the same: where, the recorded bytes, ours.
pub type Difference = (String, Option<String>, Option<String>);

fn differing(recorded: &[Leaf], ours: &[Leaf], shift: i64) -> Vec<Difference> {
    let by_path = |leaves: &[Leaf]| leaves.iter().map(|l| (l.path.clone(), l.raw.clone())).collect::<HashMap<_, _>>();
    let (theirs_by_path, ours_by_path) = (by_path(recorded), by_path(ours));
    let mut out = Vec::new();
    for leaf in recorded {
        let mut theirs = leaf.raw.clone();
        if payload_path(&leaf.path) == Some("source.pos") {
            theirs = (theirs.parse::<i64>().unwrap() - shift).to_string();
        }
        let found = ours_by_path.get(&leaf.path);
        if found != Some(&theirs) {
            out.push((leaf.path.clone(), Some(theirs), found.cloned()));
        }
    }
    let only_ours = ours.iter().filter(|leaf| !theirs_by_path.contains_key(&leaf.path));
    out.extend(only_ours.map(|leaf| (leaf.path.clone(), None, Some(leaf.raw.clone()))));
    let order = |leaves: &[Leaf], others: &HashMap<String, String>| {
        leaves.iter().map(|l| l.path.clone()).filter(|path| others.contains_key(path)).collect::<Vec<_>>()
    };
    if order(recorded, &ours_by_path) != order(ours, &theirs_by_path) {
        out.push(("the order of fields".to_owned(), None, None));
    }
    out
}

/// Compares records with the recorded ones, one by one. What differs and is not listed is returned, readable.
pub fn compare(
    scenario: &Scenario,
    recorded: &[&Golden],
    ours: &[&Golden],
    shift: i64,
    listed: &mut Differences,
    elsewhere: &dyn Fn(&str, &str) -> bool,
) -> Vec<String> {
    let mut unexpected = Vec::new();
    for (n, (theirs, our)) in recorded.iter().zip(ours).enumerate() {
        let (theirs_leaves, our_leaves) = (record_leaves(theirs, scenario.kind), record_leaves(our, scenario.kind));
        for (path, recorded, found) in differing(&theirs_leaves, &our_leaves, shift) {
            if !listed.covers(scenario, &theirs.topic, &path) && !elsewhere(theirs.table(), &path) {
                unexpected.push(format!(
                    "{} {}: {} #{n} {path}: recorded {recorded:?}, ours {found:?}",
                    scenario.kind, scenario.name, theirs.topic
                ));
            }
        }
    }
    unexpected
}

/// A record as a converter without schemas writes it.
pub fn without_schemas(record: &Golden) -> Golden {
    let payload = |text: &String| match text.strip_prefix("{\"schema\":") {
        None => text.clone(),
        Some(rest) => rest.split_once(",\"payload\":").unwrap().1.strip_suffix('}').unwrap().to_owned(),
    };
    Golden { key: record.key.as_ref().map(payload), value: record.value.as_ref().map(payload), ..record.clone() }
}
