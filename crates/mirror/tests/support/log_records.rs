//! What the log holds of a table: every change must be there once.

use change_log::ChangeLog;
use std::collections::{BTreeMap, BTreeSet};

/// The events of one topic.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// How many of each kind: `r`, `c`, `u`, `d`, `t`, and tombstones as `-`.
    pub ops: BTreeMap<char, usize>,
    /// Records in all.
    pub records: usize,
}

impl Events {
    /// How many there are of one kind.
    pub fn of(&self, op: char) -> usize {
        self.ops.get(&op).copied().unwrap_or(0)
    }
}

/// Reads a topic from its beginning. Offsets must have no gap, but for Kafka's markers, and no change may be there twice.
pub async fn events(log: &dyn ChangeLog, topic: &str) -> Events {
    let gapless = log.marker_offsets() == 0;
    let range = log.offsets(topic, 0).await.unwrap();
    let (mut at, mut found, mut seen) = (range.first, Events::default(), BTreeSet::new());
    while at < range.next {
        let fetched = log.read(topic, 0, at, 1 << 20).await.unwrap();
        for record in fetched.records.iter() {
            assert!(record.offset == at || !gapless, "{topic}: a gap in the log");
            at = record.offset + 1;
            found.records += 1;
            let Some(value) = record.value else {
                *found.ops.entry('-').or_default() += 1;
                continue;
            };
            let event: serde_json::Value = serde_json::from_slice(value).unwrap();
            let op = event["op"].as_str().unwrap().chars().next().unwrap();
            *found.ops.entry(op).or_default() += 1;
            if op != 'r' {
                let source = &event["source"];
                let place = format!("{} {} {} {op}", source["file"], source["pos"], source["row"]);
                assert!(source["file"].is_string() && source["pos"].is_number() && source["row"].is_number(), "{event}");
                assert!(seen.insert(place.clone()), "{topic}: the change at {place} is in the log twice");
            }
        }
        assert!(fetched.next_offset == at || !gapless, "{topic}: a gap in the log");
        if fetched.next_offset <= at && fetched.records.is_empty() {
            log.wait(topic, 0, at).await.unwrap();
        }
        at = fetched.next_offset;
    }
    found
}
