use crate::error::{Error, ErrorKind, Result};
use crate::span::Covered;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// The checkpoint format that this version writes, and the only one that it reads.
pub const CHECKPOINT_VERSION: u32 = 1;

/// The snapshot summary property that holds the checkpoint, as compact JSON.
pub const CHECKPOINT_PROPERTY: &str = "cdc.checkpoint";
/// The snapshot summary property that repeats the commit id, for looking an attempt up.
pub const COMMIT_ID_PROPERTY: &str = "cdc.commit-id";
/// The snapshot summary property that repeats the sink's id.
pub const SINK_PROPERTY: &str = "cdc.sink";
/// The snapshot summary property that repeats the time of the newest change, in microseconds since the Unix epoch.
pub const SOURCE_TS_PROPERTY: &str = "cdc.source-ts-us";
/// The snapshot summary property that repeats the next offsets for people: `orders-0:120 orders-1:97`.
pub const OFFSETS_PROPERTY: &str = "cdc.next-offsets";

/// The name of the tag that is moved with each commit of a sink on a branch, so that expiry by others keeps the checkpoint.
pub fn checkpoint_tag(sink: &str, branch: &str) -> String {
    format!("cdc-checkpoint.{sink}.{branch}")
}

/// The sink's state: what of the log is in the table. It lies in the summary of each snapshot that the sink makes, and
/// nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// [`CHECKPOINT_VERSION`].
    #[serde(rename = "v")]
    pub version: u32,
    /// The sink's id, without a dot.
    pub sink: String,
    /// The branch that the commit was made on.
    pub branch: String,
    /// The log's identity.
    pub log: String,
    /// Every topic that feeds the table, with **every** of its partitions.
    pub topics: BTreeMap<String, TopicCheckpoint>,
    /// The number of the last barrier that is committed; 0 before the first.
    pub barrier: u64,
    /// The name of the commit attempt that made the snapshot.
    pub commit: String,
    /// The newest snapshot of the source table that rows came from.
    pub generation: u64,
    /// The newest schema version that rows were written under.
    #[serde(rename = "schema")]
    pub schema_version: u32,
    /// Others have added or deleted rows: no insert may skip its delete any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touched: bool,
    /// The source position up to which the table is complete, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered: Option<Covered>,
    /// The newest change that is in the table, microseconds since the Unix epoch; 0 if there is none.
    #[serde(rename = "ts")]
    pub source_ts_us: i64,
}

/// One topic of a [`Checkpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicCheckpoint {
    /// The topic's own identity: another one after it was deleted and made anew.
    pub id: String,
    /// For each partition the next offset to apply.
    pub next: BTreeMap<i32, i64>,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl Checkpoint {
    /// The next offset to apply of a log partition; `None` if the table is not fed by it.
    pub fn next(&self, topic: &str, partition: i32) -> Option<i64> {
        self.topics.get(topic)?.next.get(&partition).copied()
    }

    /// Every log partition with its next offset.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.topics.iter().flat_map(|(name, topic)| topic.next.iter().map(move |(p, next)| (name.as_str(), *p, *next)))
    }

    /// The snapshot summary properties of a commit with this checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] if it would not be readable again (see [`Checkpoint::from_properties`]).
    pub fn to_properties(&self) -> Result<BTreeMap<String, String>> {
        self.validate()?;
        let json = serde_json::to_string(self)
            .map_err(|e| Error::new(ErrorKind::Checkpoint, "the checkpoint cannot be written as JSON").with_source(e))?;
        let offsets: Vec<String> = self.partitions().map(|(t, p, next)| format!("{t}-{p}:{next}")).collect();
        Ok(BTreeMap::from([
            (CHECKPOINT_PROPERTY.to_owned(), json),
            (COMMIT_ID_PROPERTY.to_owned(), self.commit.clone()),
            (SINK_PROPERTY.to_owned(), self.sink.clone()),
            (SOURCE_TS_PROPERTY.to_owned(), self.source_ts_us.to_string()),
            (OFFSETS_PROPERTY.to_owned(), offsets.join(" ")),
        ]))
    }

    /// The checkpoint in a snapshot's summary; `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] if there is one that this version cannot read, that contradicts itself, or whose commit id
    /// is not the one in [`COMMIT_ID_PROPERTY`]: somebody changed it, and no offset in it can be trusted.
    pub fn from_properties(properties: &HashMap<String, String>) -> Result<Option<Self>> {
        let Some(json) = properties.get(CHECKPOINT_PROPERTY) else { return Ok(None) };
        let invalid = |e: serde_json::Error| {
            Error::new(
                ErrorKind::Checkpoint,
                format!("the property {CHECKPOINT_PROPERTY} of the snapshot is not a checkpoint ({e}); it was damaged, so the table must be rebuilt from a new snapshot of the source"),
            )
            .with_source(e)
        };
        let VersionOnly { v } = serde_json::from_str(json).map_err(invalid)?;
        if v != CHECKPOINT_VERSION {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                format!(
                    "the checkpoint of the snapshot has version {v}, this program reads version {CHECKPOINT_VERSION}: use the program that wrote it, or a newer one"
                ),
            ));
        }
        let checkpoint: Self = serde_json::from_str(json).map_err(invalid)?;
        checkpoint.validate()?;
        match properties.get(COMMIT_ID_PROPERTY) {
            Some(id) if *id == checkpoint.commit => Ok(Some(checkpoint)),
            other => Err(Error::new(
                ErrorKind::Checkpoint,
                format!(
                    "the snapshot's {CHECKPOINT_PROPERTY} names the commit {}, its {COMMIT_ID_PROPERTY} {}: the summary was changed by hand, the table must be rebuilt",
                    checkpoint.commit,
                    other.map_or("is missing", String::as_str),
                ),
            )),
        }
    }

    fn validate(&self) -> Result<()> {
        let wrong =
            |what: &str| Err(Error::new(ErrorKind::Checkpoint, format!("a checkpoint of the sink {:?} {what}", self.sink)));
        check_sink_id(&self.sink)?;
        if self.version != CHECKPOINT_VERSION {
            return wrong("has another format version");
        }
        if self.branch.is_empty() || self.log.is_empty() || self.commit.is_empty() {
            return wrong("lacks its branch, log or commit id");
        }
        if self.topics.is_empty() || self.topics.values().any(|t| t.id.is_empty() || t.next.is_empty()) {
            return wrong("lacks topics, their ids or their partitions");
        }
        if self.partitions().any(|(_, p, next)| p < 0 || next < 0) {
            return wrong("holds a negative partition or offset");
        }
        Ok(())
    }
}

/// A sink's id is part of the name of a tag: not empty, letters, digits, `-` and `_`.
///
/// # Errors
/// [`ErrorKind::Configuration`] for another one.
pub fn check_sink_id(sink: &str) -> Result<()> {
    let good = !sink.is_empty() && sink.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    good.then_some(()).ok_or_else(|| {
        Error::new(ErrorKind::Configuration, format!("{sink:?} cannot be a sink's id: use letters, digits, - and _ only"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn sample() -> Checkpoint {
        Checkpoint {
            version: CHECKPOINT_VERSION,
            sink: "shop".into(),
            branch: "main".into(),
            log: "log-1".into(),
            topics: BTreeMap::from([(
                "shop.orders".into(),
                TopicCheckpoint { id: "t-1".into(), next: BTreeMap::from([(0, 12), (1, 0)]) },
            )]),
            barrier: 3,
            commit: "c-9".into(),
            generation: 1,
            schema_version: 2,
            touched: false,
            covered: Some(Covered { position: r#"{"file":"bin.000003"}"#.into(), ts_us: 5 }),
            source_ts_us: 1_700_000_000_000_001,
        }
    }

    fn properties(checkpoint: &Checkpoint) -> HashMap<String, String> {
        checkpoint.to_properties().unwrap().into_iter().collect()
    }

    #[test]
    fn a_checkpoint_comes_back_from_its_properties_and_people_can_read_them() {
        let read = Checkpoint::from_properties(&properties(&sample())).unwrap().unwrap();
        assert_eq!(read, sample());
        assert_eq!(properties(&sample())[OFFSETS_PROPERTY], "shop.orders-0:12 shop.orders-1:0");
        assert_eq!(Checkpoint::from_properties(&HashMap::new()).unwrap(), None);
    }

    #[test]
    fn a_checkpoint_of_another_version_or_with_unknown_fields_is_not_guessed_at() {
        for (from, to, says) in [
            (r#""v":1"#, r#""v":2"#, "has version 2"),
            (r#""barrier":3"#, r#""barrier":3,"extra":1"#, "unknown field"),
            (r#""barrier":3"#, r#""barrier":-3"#, "not a checkpoint"),
            (r#""0":12"#, r#""0":-12"#, "negative"),
            (r#""barrier":3,"#, "", "missing field"),
        ] {
            let mut p = properties(&sample());
            let json = p[CHECKPOINT_PROPERTY].replace(from, to);
            assert_ne!(json, p[CHECKPOINT_PROPERTY], "the sample no longer holds {from}");
            p.insert(CHECKPOINT_PROPERTY.into(), json);
            let e = Checkpoint::from_properties(&p).unwrap_err();
            assert!(e.kind() == ErrorKind::Checkpoint && e.to_string().contains(says), "{e}");
        }
    }

    #[test]
    fn a_summary_that_was_changed_by_hand_is_not_trusted() {
        let mut p = properties(&sample());
        p.insert(COMMIT_ID_PROPERTY.into(), "c-8".into());
        assert!(Checkpoint::from_properties(&p).unwrap_err().to_string().contains("c-8"));
    }

    #[test]
    fn a_sink_id_with_a_dot_is_refused() {
        assert!(check_sink_id("a.b").is_err());
        assert!(check_sink_id("").is_err());
        assert!(check_sink_id("shop_1-x").is_ok());
    }
}
