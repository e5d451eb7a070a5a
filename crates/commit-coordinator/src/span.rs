use serde::{Deserialize, Serialize};
use std::fmt;

/// A run of offsets `[from, to)` of one log partition. Empty (`from == to`) in barriers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The topic.
    pub topic: String,
    /// The partition of the topic.
    pub partition: i32,
    /// The first offset that is covered.
    pub from: i64,
    /// The offset after the last one that is covered: the read position, beyond control and aborted records.
    pub to: i64,
}

impl Span {
    /// The span `[from, to)`.
    pub fn new(topic: impl Into<String>, partition: i32, from: i64, to: i64) -> Self {
        Self { topic: topic.into(), partition, from, to }
    }

    /// The empty span at an offset.
    pub fn at(topic: impl Into<String>, partition: i32, offset: i64) -> Self {
        Self::new(topic, partition, offset, offset)
    }

    /// True if no offset is covered.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{} [{}, {})", self.topic, self.partition, self.from, self.to)
    }
}

/// What a barrier does to the rows that are in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BarrierKind {
    /// All rows go.
    Truncate,
    /// The source table was dropped and made anew: all rows go.
    Recreate,
    /// The key columns changed; rows stay.
    KeyChange,
    /// The number of log partitions changed; rows stay. Partitions that the checkpoint does not know begin at 0.
    Partitions,
}

impl BarrierKind {
    /// True if the barrier removes every row of the table.
    pub fn removes_rows(self) -> bool {
        matches!(self, Self::Truncate | Self::Recreate)
    }
}

/// What a claim wants to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Commit rows; or, where the spans held none, only the progress over them.
    Advance,
    /// Commit the barrier of this number, a snapshot of its own, with an empty span for every log partition. One that keeps rows
    /// needs every partition to be exactly there, one that removes them needs none to be beyond.
    Barrier {
        /// From 1, without gaps in one table.
        number: u64,
        /// What it does.
        kind: BarrierKind,
    },
    /// Put files in the place of others with the same rows, a snapshot of its own without a span. The checkpoint does not move.
    Rewrite,
}

/// The covered source position: opaque here, compared by nobody in this crate.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Covered {
    /// The position, in the source's own form (JSON).
    pub position: String,
    /// The commit time of the position's last change, microseconds since the Unix epoch.
    pub ts_us: i64,
}

/// Everything of a delta that the commit rule looks at: all but the files.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Claim {
    /// What is covered: at most one span for each log partition; none in rewrites.
    pub spans: Vec<Span>,
    /// What is to happen.
    pub act: Act,
    /// The number of the last barrier before the spans; for a barrier, the one before it.
    pub after_barrier: u64,
    /// The schema version that the rows were written under.
    pub schema_version: u32,
    /// The snapshot of the source table that the rows belong to or follow.
    pub generation: u64,
    /// The source position that is complete in the table once this claim is committed, where the worker knows it.
    pub covered: Option<Covered>,
    /// The newest change in the spans, microseconds since the Unix epoch; 0 if there is none.
    pub source_ts_us: i64,
    /// Some insert was written without a delete because nobody else had changed the table's rows.
    pub skips_deletes: bool,
}

impl Claim {
    /// A claim of rows in these spans, after barrier 0, under schema version 1 of generation 0.
    pub fn advance(spans: Vec<Span>) -> Self {
        Self {
            spans,
            act: Act::Advance,
            after_barrier: 0,
            schema_version: 1,
            generation: 0,
            covered: None,
            source_ts_us: 0,
            skips_deletes: false,
        }
    }

    /// The claim of a barrier at its vector: an empty span for every log partition.
    pub fn barrier(number: u64, kind: BarrierKind, at: Vec<Span>) -> Self {
        Self { act: Act::Barrier { number, kind }, after_barrier: number.saturating_sub(1), ..Self::advance(at) }
    }

    /// The claim of files that are to take the place of others. It says nothing of the log: whether they still can is seen in the
    /// table ([`Change::Rewrite`](crate::Change::Rewrite)).
    pub fn rewrite() -> Self {
        Self { act: Act::Rewrite, ..Self::advance(Vec::new()) }
    }
}
