use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a table's commits are refused: going on could lose, double or falsify rows, and a person must decide.
///
/// The rules are those of the protocol's section on refusals (docs/exactly-once.md). [`fmt::Display`] says what happened,
/// [`Refusal::ways_on`] what can be done, [`Refusal::code`] is a stable name for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "refusal", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Refusal {
    /// The log has another identity than the one that the table was fed from.
    LogReplaced {
        /// The identity in the checkpoint.
        expected: String,
        /// The identity now.
        found: String,
    },
    /// A topic that feeds the table does not exist.
    TopicMissing {
        /// The topic.
        topic: String,
    },
    /// A topic was deleted and made anew.
    TopicReplaced {
        /// The topic.
        topic: String,
        /// The id in the checkpoint.
        expected: String,
        /// The id now.
        found: String,
    },
    /// A topic has other partitions than the checkpoint knows, and no barrier announced them.
    PartitionsChanged {
        /// The topic.
        topic: String,
        /// How many the checkpoint knows.
        known: usize,
        /// How many there are.
        found: usize,
    },
    /// Records were removed from the log before they were applied.
    BelowLogStart {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to apply.
        next: i64,
        /// The first offset that the log still has.
        first: i64,
    },
    /// The table holds more of the log than the log itself.
    BeyondLogEnd {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The next offset to apply.
        next: i64,
        /// The offset after the log's last record.
        end: i64,
    },
    /// The table does not exist (any more).
    TableMissing,
    /// The table was dropped and another one has its name.
    TableReplaced {
        /// The UUID of the table that was followed.
        expected: String,
        /// The UUID now.
        found: String,
    },
    /// The branch was moved to a snapshot that does not come from the sink's last commit.
    NotDescended {
        /// The head of the branch.
        head: Option<i64>,
        /// The sink's last commit, as the tag says.
        last: i64,
    },
    /// It cannot be told whether the head comes from the sink's last commit: a snapshot between them has been expired.
    LineageBroken {
        /// The head of the branch.
        head: i64,
        /// The snapshot that is missing.
        missing: i64,
    },
    /// The tag that protects the sink's last commit was removed.
    TagMissing {
        /// The tag.
        tag: String,
    },
    /// First start on a table that has rows which are not from this sink.
    RowsWithoutCheckpoint,
    /// First start on a table of another sink whose offsets do not cover every log partition.
    PredecessorIncomplete {
        /// The topic of the first partition without an offset.
        topic: String,
        /// That partition.
        partition: i32,
    },
    /// First start with a log that has lost its beginning and that of the newest snapshot of the source table.
    BeginningMissing {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The first offset that the log still has.
        first: i64,
    },
    /// Rows were added or deleted by somebody else.
    ForeignRows {
        /// The snapshot that did.
        snapshot: i64,
        /// Its operation.
        operation: String,
        /// Who says to have made it.
        by: String,
    },
    /// The table is mirrored by another sink.
    OtherSink {
        /// That sink's id.
        sink: String,
    },
    /// Rows behind a barrier were committed before it.
    BarrierCrossed {
        /// The barrier.
        number: u64,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the barrier lies.
        at: i64,
        /// What is committed.
        next: i64,
    },
    /// A barrier that is committed lies further on in the log than what comes next.
    LogRewound {
        /// The barrier.
        number: u64,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where the log has it.
        at: i64,
        /// The next offset to apply.
        next: i64,
    },
    /// A delta covers a log partition that does not feed the table.
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// A delta contradicts itself.
    Malformed {
        /// How.
        what: String,
    },
}

const REBUILD: &str = "rebuild the table from a new snapshot of the source";

impl Refusal {
    /// A stable name: `below-log-start`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::LogReplaced { .. } => "log-replaced",
            Self::TopicMissing { .. } => "topic-missing",
            Self::TopicReplaced { .. } => "topic-replaced",
            Self::PartitionsChanged { .. } => "partitions-changed",
            Self::BelowLogStart { .. } => "below-log-start",
            Self::BeyondLogEnd { .. } => "beyond-log-end",
            Self::TableMissing => "table-missing",
            Self::TableReplaced { .. } => "table-replaced",
            Self::NotDescended { .. } => "not-descended",
            Self::LineageBroken { .. } => "lineage-broken",
            Self::TagMissing { .. } => "tag-missing",
            Self::RowsWithoutCheckpoint => "rows-without-checkpoint",
            Self::PredecessorIncomplete { .. } => "predecessor-incomplete",
            Self::BeginningMissing { .. } => "beginning-missing",
            Self::ForeignRows { .. } => "foreign-rows",
            Self::OtherSink { .. } => "other-sink",
            Self::BarrierCrossed { .. } => "barrier-crossed",
            Self::LogRewound { .. } => "log-rewound",
            Self::UnknownPartition { .. } => "unknown-partition",
            Self::Malformed { .. } => "malformed",
        }
    }

    /// True if the table goes on in spite of it behind a barrier that removes all its rows, as the source sends one before it reads
    /// the table again: what was refused lies before it.
    pub fn ends_at_removal(&self) -> bool {
        matches!(self, Self::BelowLogStart { .. } | Self::ForeignRows { .. } | Self::BeginningMissing { .. })
    }

    /// What can be done, best first.
    pub fn ways_on(&self) -> Vec<String> {
        let ways: &[&str] = match self {
            Self::LogReplaced { .. } => &[
                "point the sink at the log that it was fed from",
                "if that log is gone for good, rebuild the table from a new snapshot of the source",
            ],
            Self::TopicMissing { .. } | Self::TopicReplaced { .. } => {
                &["if the topic was removed by mistake, restore it with its records", REBUILD]
            }
            Self::PartitionsChanged { .. } => &[
                "keys may now lie in another partition than their older events, so order is lost: rebuild the table from a new snapshot of the source",
            ],
            Self::BelowLogStart { .. } => &[REBUILD, "keep the log longer than the sink may stand still"],
            Self::BeyondLogEnd { .. } | Self::LogRewound { .. } => {
                &["the log was restored from an older copy or lost its end: restore the newer one", REBUILD]
            }
            Self::TableMissing => {
                &["restore the table in the catalog", "remove the sink's state for it and let the sink create and fill it anew"]
            }
            Self::TableReplaced { .. } => {
                &["restore the table that was there", "drop the new one and let the sink create and fill it anew"]
            }
            Self::NotDescended { .. } => &["move the branch back to the sink's last commit (the tag names it)", REBUILD],
            Self::LineageBroken { .. } | Self::TagMissing { .. } => {
                &["let the sink itself expire snapshots, and keep its tags", REBUILD]
            }
            Self::RowsWithoutCheckpoint | Self::PredecessorIncomplete { .. } => {
                &["use another table name", "empty the table, or drop it and let the sink create it"]
            }
            Self::BeginningMissing { .. } => &[
                "let the source read the table again (a new snapshot)",
                "if older rows are not wanted, say that the first start is `earliest`",
            ],
            Self::ForeignRows { .. } => &[
                "roll the branch back to the sink's last commit (the tag names it)",
                "keep the others' rows: set iceberg.foreign.writes=warn; the table then is no exact mirror any more",
            ],
            Self::OtherSink { .. } => &["stop the other sink and use its id", "use another table name"],
            Self::BarrierCrossed { .. } => &[REBUILD],
            Self::UnknownPartition { .. } | Self::Malformed { .. } => {
                &["this is a defect of the program: report it with this message; the table is as it was"]
            }
        };
        ways.iter().map(|w| (*w).to_owned()).collect()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LogReplaced { expected, found } => {
                write!(f, "it was fed from the log {expected}, but the log is now {found}: its offsets mean something else")
            }
            Self::TopicMissing { topic } => write!(f, "the topic {topic}, which feeds it, does not exist in the log"),
            Self::TopicReplaced { topic, expected, found } => write!(
                f,
                "the topic {topic} was deleted and made anew (id {expected} became {found}): its offsets mean something else"
            ),
            Self::PartitionsChanged { topic, known, found } => {
                write!(f, "the topic {topic} has {found} partitions, {known} are known, and no barrier announced the change")
            }
            Self::BelowLogStart { topic, partition, next, first } => write!(
                f,
                "the log removed records of {topic}-{partition} before they were applied: offset {next} is next, the log now begins at {first} ({} offsets are lost)",
                first.saturating_sub(*next)
            ),
            Self::BeyondLogEnd { topic, partition, next, end } => write!(
                f,
                "offset {next} of {topic}-{partition} is next, but the log ends at {end}: it has lost records that are in the table"
            ),
            Self::TableMissing => f.write_str("it does not exist in the catalog any more"),
            Self::TableReplaced { expected, found } => {
                write!(f, "it was dropped and made anew (UUID {expected} became {found})")
            }
            Self::NotDescended { head: Some(head), last } => {
                write!(f, "its branch was moved to snapshot {head}, which does not come from the sink's last commit {last}")
            }
            Self::NotDescended { head: None, last } => {
                write!(f, "its branch has no snapshot any more, the sink's last commit is {last}")
            }
            Self::LineageBroken { head, missing } => write!(
                f,
                "snapshot {missing} between its head {head} and the sink's last commit was expired: it cannot be told what happened since"
            ),
            Self::TagMissing { tag } => write!(f, "the tag {tag}, which protects the sink's last commit, was removed"),
            Self::RowsWithoutCheckpoint => f.write_str("it has rows, but no checkpoint of this sink: they would be doubled"),
            Self::PredecessorIncomplete { topic, partition } => {
                write!(
                    f,
                    "it has rows of a Kafka Connect sink, which left no offset that is good for {topic}-{partition} of this log"
                )
            }
            Self::BeginningMissing { topic, partition, first } => write!(
                f,
                "the log of {topic}-{partition} begins at offset {first} and holds no whole snapshot of the source table: older rows would be missing"
            ),
            Self::ForeignRows { snapshot, operation, by } => {
                write!(f, "snapshot {snapshot} ({operation}, by {by}) changed its rows, and is not from this sink")
            }
            Self::OtherSink { sink } => write!(f, "it is mirrored by the sink {sink:?}: two sinks in one table double its rows"),
            Self::BarrierCrossed { number, topic, partition, at, next } => write!(
                f,
                "barrier {number} lies at offset {at} of {topic}-{partition}, but offsets up to {next} were committed before it"
            ),
            Self::LogRewound { number, topic, partition, at, next } => write!(
                f,
                "barrier {number} is committed and offset {next} of {topic}-{partition} is next, but the log has that barrier at offset {at}: it is an older copy that was gone on with"
            ),
            Self::UnknownPartition { topic, partition } => {
                write!(f, "a delta covers {topic}-{partition}, which its checkpoint does not know")
            }
            Self::Malformed { what } => write!(f, "a delta contradicts itself: {what}"),
        }
    }
}
