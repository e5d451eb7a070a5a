use crate::checkpoint::{Checkpoint, SINK_PROPERTY, checkpoint_tag};
use crate::error::Result;
use crate::refusal::Refusal;
use std::collections::{BTreeMap, HashMap};

/// What a snapshot did, in Iceberg's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Added rows.
    Append,
    /// Put files in the place of others with the same rows (compaction).
    Replace,
    /// Added and removed rows.
    Overwrite,
    /// Removed rows.
    Delete,
}

impl Operation {
    /// Iceberg's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Overwrite => "overwrite",
            Self::Delete => "delete",
        }
    }
}

/// One snapshot of a table, as [`trace`] walks them.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotView<'a> {
    /// Its id.
    pub id: i64,
    /// The snapshot that it was made upon.
    pub parent: Option<i64>,
    /// What it did.
    pub operation: Operation,
    /// Its summary.
    pub summary: &'a HashMap<String, String>,
}

/// A commit by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignCommit {
    /// The snapshot.
    pub snapshot: i64,
    /// What it did.
    pub operation: Operation,
    /// Who says to have made it (`engine-name` of the summary).
    pub by: String,
}

/// How a branch's head stands to the sink's last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Descent {
    /// The sink has never committed, as far as can be seen.
    Fresh,
    /// The head comes from the snapshot that the sink's tag names.
    FromTag,
    /// The tag names another snapshot than the newest of this sink in the head's ancestry.
    Elsewhere {
        /// The snapshot that the tag names.
        tagged: i64,
    },
    /// There is a checkpoint in the ancestry, but no tag.
    TagMissing,
    /// The ancestry ends at a snapshot that is no longer there, before the tagged one.
    Broken {
        /// That snapshot.
        missing: i64,
    },
}

/// What lies between the sink's last commit and the head of its branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// How the head stands to the sink's last commit.
    pub descent: Descent,
    /// Commits of others since then (all, if the sink has never committed), oldest first.
    pub foreign: Vec<ForeignCommit>,
    /// Another sink whose tag or commits are in the table.
    pub other_sink: Option<String>,
    /// The table has live data files. Only looked at when there is no checkpoint.
    pub has_rows: bool,
    /// If a Kafka Connect sink has made a snapshot in the ancestry (`kafka.connect.offsets.*`), the offsets before which the table was found to
    /// have just all events: topic to partition to next offset; empty if it was not. Only looked at when there is no checkpoint.
    pub predecessor: Option<BTreeMap<String, BTreeMap<i32, i64>>>,
}

impl Lineage {
    /// That of a head which the sink itself has just made.
    pub fn own() -> Self {
        Self { descent: Descent::FromTag, foreign: Vec::new(), other_sink: None, has_rows: true, predecessor: None }
    }
}

/// Walks from a branch's head back to the newest snapshot of this sink: its checkpoint, and what happened since.
///
/// `snapshot` looks a snapshot up, `tags` gives every tag with its snapshot. Stops at the first snapshot of this sink, which
/// usually is the head itself. `has_rows` and `predecessor` of the result are left empty: they matter only without a
/// checkpoint, and cost a look at other places.
///
/// # Errors
/// A checkpoint that cannot be read ([`Checkpoint::from_properties`]).
pub fn trace<'a>(
    sink: &str,
    branch: &str,
    head: Option<i64>,
    snapshot: impl Fn(i64) -> Option<SnapshotView<'a>>,
    tags: impl Iterator<Item = (&'a str, i64)>,
) -> Result<(Option<Checkpoint>, Lineage)> {
    let own_tag = checkpoint_tag(sink, branch);
    let (mut tagged, mut other_sink) = (None, None);
    for (name, id) in tags {
        if name == own_tag {
            tagged = Some(id);
        } else if let Some(other) = name.strip_prefix("cdc-checkpoint.").and_then(|r| r.split('.').next())
            && other != sink
        {
            other_sink = Some(other.to_owned());
        }
    }
    let (mut at, mut foreign, mut missing, mut found) = (head, Vec::new(), None, None);
    while let Some(id) = at {
        let Some(view) = snapshot(id) else {
            missing = Some(id);
            break;
        };
        match view.summary.get(SINK_PROPERTY) {
            Some(by) if by == sink => {
                found = Checkpoint::from_properties(view.summary)?.map(|checkpoint| (id, checkpoint));
                if found.is_some() {
                    break;
                }
            }
            Some(by) => other_sink = Some(by.clone()),
            None => {}
        }
        let by = view.summary.get("engine-name").map_or("an unnamed program", String::as_str).to_owned();
        foreign.push(ForeignCommit { snapshot: id, operation: view.operation, by });
        at = view.parent;
    }
    foreign.reverse();
    let descent = match (&found, tagged, missing) {
        (Some((id, _)), Some(tag), _) if *id == tag => Descent::FromTag,
        (Some(_), Some(tagged), _) => Descent::Elsewhere { tagged },
        (Some(_), None, _) => Descent::TagMissing,
        (None, Some(_), Some(missing)) => Descent::Broken { missing },
        (None, Some(tagged), None) => Descent::Elsewhere { tagged },
        (None, None, _) => Descent::Fresh,
    };
    let lineage = Lineage { descent, foreign, other_sink, has_rows: false, predecessor: None };
    Ok((found.map(|(_, checkpoint)| checkpoint), lineage))
}

/// What to do when others add or delete rows of a mirrored table (`iceberg.foreign.writes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ForeignWrites {
    /// Stop the table.
    #[default]
    Stop,
    /// Go on, mark it as touched, and never skip a delete in it again.
    Warn,
}

/// Whether others changed the table's rows since the sink's last commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignRows {
    /// They did not.
    None,
    /// They did, which is accepted: the checkpoint is marked as touched.
    Accepted,
    /// They did, which is refused. Only a barrier that removes all rows, theirs too, may still be committed upon this head.
    Refused(Refusal),
}

impl ForeignRows {
    /// The refusal, if it is one.
    pub(crate) fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::None | Self::Accepted => None,
        }
    }
}

/// Checks a head before anything is committed upon it; tells whether others changed the table's rows since the last commit.
///
/// # Errors
/// The refusal of whatever is to be committed.
pub fn assess(
    sink: &str,
    branch: &str,
    head: Option<i64>,
    lineage: &Lineage,
    writes: ForeignWrites,
) -> Result<ForeignRows, Refusal> {
    if let Some(other) = &lineage.other_sink {
        return Err(Refusal::OtherSink { sink: other.clone() });
    }
    match (&lineage.descent, head) {
        (Descent::Fresh, _) => return Ok(ForeignRows::None),
        (Descent::FromTag, _) => {}
        (Descent::Elsewhere { tagged }, head) => return Err(Refusal::NotDescended { head, last: *tagged }),
        (Descent::TagMissing, _) => return Err(Refusal::TagMissing { tag: checkpoint_tag(sink, branch) }),
        (Descent::Broken { missing }, head) => {
            return Err(Refusal::LineageBroken { head: head.unwrap_or_default(), missing: *missing });
        }
    }
    let changed = lineage.foreign.iter().find(|c| c.operation != Operation::Replace);
    Ok(match (changed, writes) {
        (None, _) => ForeignRows::None,
        (Some(_), ForeignWrites::Warn) => ForeignRows::Accepted,
        (Some(commit), ForeignWrites::Stop) => ForeignRows::Refused(Refusal::ForeignRows {
            snapshot: commit.snapshot,
            operation: commit.operation.as_str().to_owned(),
            by: commit.by.clone(),
        }),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::checkpoint::{CHECKPOINT_VERSION, TopicCheckpoint};

    fn own(commit: &str) -> HashMap<String, String> {
        let checkpoint = Checkpoint {
            version: CHECKPOINT_VERSION,
            sink: "shop".into(),
            branch: "main".into(),
            log: "l".into(),
            topics: BTreeMap::from([("t".into(), TopicCheckpoint { id: "i".into(), next: BTreeMap::from([(0, 1)]) })]),
            barrier: 0,
            commit: commit.into(),
            generation: 0,
            schema_version: 1,
            touched: false,
            covered: None,
            source_ts_us: 0,
        };
        checkpoint.to_properties().unwrap().into_iter().collect()
    }

    /// Snapshots 1, 2, ... each upon the one before; `None` has been expired.
    fn walk(history: &[Option<(Operation, HashMap<String, String>)>], tags: &[(&str, i64)]) -> (Option<Checkpoint>, Lineage) {
        let find = |id: i64| {
            let entry = history.get(usize::try_from(id - 1).unwrap())?.as_ref()?;
            Some(SnapshotView { id, parent: (id > 1).then_some(id - 1), operation: entry.0, summary: &entry.1 })
        };
        let head = (!history.is_empty()).then_some(i64::try_from(history.len()).unwrap());
        trace("shop", "main", head, find, tags.iter().copied()).unwrap()
    }

    /// Whether others' rows are there and accepted.
    fn verdict(lineage: &Lineage, writes: ForeignWrites) -> Result<bool, Refusal> {
        match assess("shop", "main", Some(9), lineage, writes)? {
            ForeignRows::Refused(refusal) => Err(refusal),
            rows => Ok(rows == ForeignRows::Accepted),
        }
    }

    const TAG: &str = "cdc-checkpoint.shop.main";

    #[test]
    fn the_newest_commit_of_the_sink_is_found_below_a_compaction_which_is_accepted() {
        let foreign = HashMap::from([("engine-name".to_owned(), "spark".to_owned())]);
        let (checkpoint, lineage) = walk(
            &[Some((Operation::Append, own("a"))), Some((Operation::Append, own("b"))), Some((Operation::Replace, foreign))],
            &[(TAG, 2)],
        );
        assert_eq!(checkpoint.unwrap().commit, "b");
        assert_eq!(lineage.foreign, [ForeignCommit { snapshot: 3, operation: Operation::Replace, by: "spark".into() }]);
        assert_eq!(verdict(&lineage, ForeignWrites::Stop), Ok(false));
    }

    #[test]
    fn rows_added_by_others_stop_the_table_or_mark_it_as_touched() {
        let history = [Some((Operation::Append, own("a"))), Some((Operation::Append, HashMap::new()))];
        let (_, lineage) = walk(&history, &[(TAG, 1)]);
        assert_eq!(verdict(&lineage, ForeignWrites::Stop).unwrap_err().code(), "foreign-rows");
        assert_eq!(verdict(&lineage, ForeignWrites::Warn), Ok(true));
    }

    #[test]
    fn a_branch_that_was_rolled_back_does_not_descend_from_the_last_commit() {
        let (checkpoint, lineage) = walk(&[Some((Operation::Append, own("a")))], &[(TAG, 2)]);
        assert_eq!(checkpoint.unwrap().commit, "a");
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err().code(), "not-descended");
        let (_, lineage) = walk(&[], &[(TAG, 2)]);
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err().code(), "not-descended");
    }

    #[test]
    fn an_ancestry_with_a_hole_and_a_removed_tag_are_refused() {
        let (_, lineage) = walk(&[None, Some((Operation::Replace, HashMap::new()))], &[(TAG, 1)]);
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err(), Refusal::LineageBroken { head: 9, missing: 1 });
        let (_, lineage) = walk(&[Some((Operation::Append, own("a")))], &[]);
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err().code(), "tag-missing");
    }

    #[test]
    fn a_table_of_another_sink_is_refused_by_its_tag_and_by_its_commits() {
        let (_, lineage) = walk(&[], &[("cdc-checkpoint.other.main", 4)]);
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err(), Refusal::OtherSink { sink: "other".into() });
        let others = HashMap::from([(SINK_PROPERTY.to_owned(), "third".to_owned())]);
        let (_, lineage) = walk(&[Some((Operation::Append, others))], &[]);
        assert_eq!(verdict(&lineage, ForeignWrites::Warn).unwrap_err(), Refusal::OtherSink { sink: "third".into() });
        let (_, lineage) = walk(&[], &[("cdc-checkpoint.shop.audit", 4), ("v1.0", 3)]);
        assert_eq!(verdict(&lineage, ForeignWrites::Stop), Ok(false));
    }
}
