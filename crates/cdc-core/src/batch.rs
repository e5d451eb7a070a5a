use crate::schema::TableSchema;
use arrow_array::RecordBatch;
use std::sync::Arc;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// A row read by a snapshot (`r`).
    Read = b'r',
    /// A row inserted (`c`).
    Create = b'c',
    /// A row changed (`u`). A change of the key is a delete and a create.
    Update = b'u',
    /// A row deleted (`d`).
    Delete = b'd',
}

impl Op {
    /// Debezium's letter.
    pub fn letter(self) -> u8 {
        self as u8
    }

    /// The operation of Debezium's letter.
    pub fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'r' => Self::Read,
            b'c' => Self::Create,
            b'u' => Self::Update,
            b'd' => Self::Delete,
            _ => return None,
        })
    }
}

/// Where a snapshot row stands in its snapshot (Debezium's `source.snapshot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SnapshotMarker {
    /// Not of a snapshot.
    #[default]
    False,
    /// Of a snapshot, neither first nor last of its table.
    True,
    /// The first row of the first table.
    First,
    /// The first row of a later table.
    FirstInCollection,
    /// The last row of a table that is not the last.
    LastInCollection,
    /// The last row of the last table.
    Last,
}

/// The transaction that a change belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TransactionInfo {
    /// Its GTID as the server prints it.
    pub gtid: Option<Arc<str>>,
    /// The log file that holds it.
    pub file: Arc<str>,
    /// The id of the server that wrote it; 0 for snapshot rows.
    pub server_id: u32,
    /// When it was committed, microseconds since the Unix epoch (whole seconds where the server records no more).
    pub ts_us: i64,
}

/// Where a group of changes was read: one row event of a log, or one chunk of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The transaction.
    pub transaction: TransactionInfo,
    /// The position of the event in its file.
    pub pos: u64,
    /// The id of the session that made it, where known.
    pub thread: Option<u64>,
    /// The statement that made it, where the server logs it and it was asked for.
    pub query: Option<Arc<str>>,
    /// When the source processed it, nanoseconds since the Unix epoch.
    pub processed_ns: i64,
}

/// "No such image" in [`Change::before`] and [`Change::after`].
pub const NO_IMAGE: u32 = u32::MAX;

/// The index of a row in [`ChangeBatch::images`], or [`NO_IMAGE`].
pub type RowImage = u32;

/// One change: which images, of which event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it did.
    pub op: Op,
    /// The row before, or [`NO_IMAGE`].
    pub before: RowImage,
    /// The row after, or [`NO_IMAGE`].
    pub after: RowImage,
    /// Index into [`ChangeBatch::origins`].
    pub origin: u32,
    /// The row's number in its event, from 0.
    pub row: u32,
    /// Snapshot marker.
    pub marker: SnapshotMarker,
}

/// Changes of one table under one schema version, in the order in which the server made them.
///
/// Row images lie in columns, each once: an insert owns one row of `images`, an update two.
#[derive(Debug, Clone)]
pub struct ChangeBatch {
    /// The schema version of all images.
    pub schema: Arc<TableSchema>,
    /// The row images, in [`TableSchema::arrow_schema`].
    pub images: RecordBatch,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What the changes refer to by [`Change::origin`].
    pub origins: Vec<Origin>,
}

impl ChangeBatch {
    /// Bytes held by the images.
    pub fn memory_size(&self) -> usize {
        self.images.get_array_memory_size() + self.changes.len() * size_of::<Change>() + self.origins.len() * size_of::<Origin>()
    }
}
