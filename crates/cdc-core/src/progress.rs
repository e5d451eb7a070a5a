use crate::position::SourcePosition;
use crate::schema::{TableId, TableSchema};
use crate::source::TableStop;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A place in every log partition of one table's topic: partition to the offset of the next record.
pub type OffsetVector = BTreeMap<i32, i64>;

/// What a source keeps of itself in the log's compacted progress topic, in the same transaction as the data.
///
/// Each record has a key ([`Progress::key`]); the newest record of a key counts. The source reads them to go on where it
/// stopped; a sink reads them to know schemas, barriers and from where creates are new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Progress {
    /// Up to where the data is complete.
    Position(SourcePosition),
    /// A table's columns, and from where in its topic they hold.
    Schema(SchemaVersion),
    /// A snapshot of a table.
    Generation(Generation),
    /// Creates are certainly new from here.
    Mark(Mark),
    /// A line in a topic that no commit may span.
    Barrier(Barrier),
    /// A table that the source had to stop.
    Stop(TableStop),
    /// Who writes from here on: the newest run of the source. One that finds another's has been succeeded.
    Run(String),
    /// Where a topic ends behind this transaction.
    LogEnd(LogEnd),
}

/// The key of a progress record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProgressKey {
    /// The one position.
    Position,
    /// A schema version of a table.
    Schema {
        /// The table.
        table: TableId,
        /// [`TableSchema::version`].
        version: u32,
    },
    /// The newest snapshot of a table.
    Generation {
        /// The table.
        table: TableId,
    },
    /// The newest mark of a table.
    Mark {
        /// The table.
        table: TableId,
    },
    /// One barrier of a table.
    Barrier {
        /// The table.
        table: TableId,
        /// [`Barrier::number`].
        number: u64,
    },
    /// The stop of a table.
    Stop {
        /// The table.
        table: TableId,
    },
    /// The newest run.
    Run,
    /// The newest end of a topic.
    LogEnd {
        /// The topic.
        topic: String,
    },
}

/// A schema version and from where it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchemaVersion {
    /// The columns.
    pub schema: TableSchema,
    /// The table's topic.
    pub topic: String,
    /// Records at or after these offsets were written under this version, those before under an older one.
    pub starts_at: OffsetVector,
    /// The form of its events: Kafka Connect's and Debezium's own keys with the values that whoever reads them must know
    /// (`value.converter.schemas.enable`, `decimal.handling.mode`). Empty if the writer did not say.
    #[serde(default)]
    pub format: BTreeMap<String, String>,
}

/// One snapshot of a table, from its first chunk to its end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The table.
    pub table: TableId,
    /// From 1, one more for each snapshot of the table.
    pub number: u64,
    /// How far it is.
    pub state: GenerationState,
    /// The offsets at its beginning: its `r` records are at or after them.
    pub began_at: OffsetVector,
    /// What the source needs to go on in the middle, in its own form (ranges and their last keys).
    pub resume: String,
    /// Rows read so far.
    pub rows: u64,
    /// An estimate of all rows, for progress displays.
    pub estimated_rows: Option<u64>,
}

/// How far a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// Chunks are being read.
    Running,
    /// All rows are in the log, before these offsets.
    Complete {
        /// The offsets at its end.
        ended_at: OffsetVector,
    },
}

/// From where a create is certainly of a key that no older record of the generation holds (snapshot protocol).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The table.
    pub table: TableId,
    /// The generation that it belongs to; of no generation (0), it says that creates may be old.
    pub generation: u64,
    /// Creates at or after these offsets are new.
    pub creates_are_new_from: OffsetVector,
}

/// Where a topic ends behind the transaction that this is part of, its marker included.
///
/// A transaction says so of each topic that it writes to, after all else that it says but its position. Who has read this of a record's
/// topic, with an end behind the record, knows all that the source said up to that record's transaction, whatever the log's servers say
/// of where the progress topic ends; who has read a topic up to the newest end before a position has all records of that position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEnd {
    /// The topic.
    pub topic: String,
    /// Its records so far are before these offsets.
    pub next: OffsetVector,
}

/// What made a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum BarrierKind {
    /// All rows went at once.
    Truncate,
    /// The table was dropped and made anew, or a keyless snapshot begins again: all rows go.
    Recreate,
    /// The table's key columns changed.
    KeyChange,
    /// The number of log partitions changed.
    Partitions,
}

/// A line in a table's topic: everything before it is committed on its own, then the barrier, then what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// The table.
    pub table: TableId,
    /// From 1 in each table, without gaps.
    pub number: u64,
    /// What made it.
    pub kind: BarrierKind,
    /// Records before these offsets are before the barrier.
    pub at: OffsetVector,
}

impl Progress {
    /// The record's key in the compacted topic.
    pub fn key(&self) -> ProgressKey {
        match self {
            Self::Position(_) => ProgressKey::Position,
            Self::Schema(s) => ProgressKey::Schema { table: s.schema.table.clone(), version: s.schema.version },
            Self::Generation(g) => ProgressKey::Generation { table: g.table.clone() },
            Self::Mark(m) => ProgressKey::Mark { table: m.table.clone() },
            Self::Barrier(b) => ProgressKey::Barrier { table: b.table.clone(), number: b.number },
            Self::Stop(s) => ProgressKey::Stop { table: s.table.clone() },
            Self::Run(_) => ProgressKey::Run,
            Self::LogEnd(end) => ProgressKey::LogEnd { topic: end.topic.clone() },
        }
    }
}
