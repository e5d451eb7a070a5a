use crate::batch::ChangeBatch;
use crate::error::Result;
use crate::position::SourcePosition;
use crate::progress::{BarrierKind, Generation};
use crate::schema::{TableId, TableSchema};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a source yields at once: it is kept whole, with its position, or not at all.
#[derive(Debug)]
pub struct SourceBatch {
    /// What happened, in order.
    pub items: Vec<SourceItem>,
    /// Up to where the source is complete once `items` are kept.
    pub position: SourcePosition,
}

/// One thing that a source says, in order with the others of its batch.
///
/// Offsets (of schema versions, marks, barriers) are filled in by whoever appends to the log: "here" is the place after
/// all changes of the table that came before the item.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceItem {
    /// A table's columns from here on. Always before the first changes of a table, and again when the layout or key changes.
    Schema {
        /// The new version.
        schema: Arc<TableSchema>,
        /// The statement that made it, if one did.
        ddl: Option<String>,
    },
    /// Changes of one table.
    Changes(ChangeBatch),
    /// All rows before here go (or are of another key); see [`BarrierKind`].
    Barrier {
        /// The table.
        table: TableId,
        /// What made it.
        kind: BarrierKind,
    },
    /// A snapshot began, went on or ended. `began_at` and `ended_at` are filled in by the writer of the log. One that begins, of a new
    /// number, ends a stop of its table, which is to be forgotten.
    Generation(Generation),
    /// Creates of this table are new from here.
    CreatesAreNew {
        /// The table.
        table: TableId,
        /// The generation after whose end they are new; 0 takes an earlier word back: from here they may be old.
        generation: u64,
    },
    /// The table cannot be followed any further; the others go on.
    Stop(TableStop),
}

/// Why a table had to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableStop {
    /// The table.
    pub table: TableId,
    /// The kind of reason.
    pub reason: StopReason,
    /// What happened, where, and the ways on; several lines.
    pub message: String,
    /// Where in the source's log.
    pub position: SourcePosition,
}

/// The kinds of reason for which a table stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StopReason {
    /// DDL changed rows without row events, or in a way that only a new snapshot can follow.
    RowsChangedByDdl,
    /// DDL that cannot be understood.
    UnknownDdl,
    /// A column type that is not supported.
    UnsupportedType,
    /// A row that cannot be decoded.
    UndecodableRow,
    /// An update or delete of a table without a key.
    NoKey,
    /// The table was dropped.
    Dropped,
    /// Somebody asked for it to be read again: a source that is started with this stop does that.
    ReadAgain,
}

/// What a source needs to go on: the newest progress records of its log.
#[derive(Debug, Clone, Default)]
pub struct RecoveredState {
    /// Where it stopped. `None`: it begins where the server is now, and reads every table, also those that are known here.
    pub position: Option<SourcePosition>,
    /// The newest schema of each table.
    pub schemas: Vec<TableSchema>,
    /// The newest snapshot of each table.
    pub generations: Vec<Generation>,
    /// Tables whose creates are marked new, with the generation of the mark.
    pub marks: Vec<(TableId, u64)>,
    /// Stopped tables. They stay stopped, but for those of [`StopReason::ReadAgain`].
    pub stops: Vec<TableStop>,
}

/// A database's changes, in order, for ever.
///
/// # Contract
/// - **Order**: changes of one key are yielded in the order in which the server committed them. What a snapshot yields of a
///   key is never older than what was yielded before.
/// - **Atomicity**: a source transaction is not split over batches unless it exceeds the source's stated size.
/// - **Restart**: started again with the state that was kept with batch *n*, a source yields exactly what followed batch *n*.
///   Progress is only in the batches; a source keeps nothing anywhere else and writes nothing into the database.
/// - **Cancellation**: dropping the future of [`next`](Self::next) loses nothing.
/// - **Memory**: a source holds at most the bytes that it was configured with, whatever the size of transactions.
/// - **Errors**: after an error the source is done; make a new one from the kept state. One table's trouble is an item
///   ([`SourceItem::Stop`]), not an error.
#[async_trait]
pub trait ChangeSource: Send {
    /// The next batch; waits until there is one. `None`: the source was asked to end and has ended.
    async fn next(&mut self) -> Result<Option<SourceBatch>>;
}
