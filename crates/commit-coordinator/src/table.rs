use crate::checkpoint::Checkpoint;
use crate::error::{Error, Result};
use crate::lineage::Lineage;
use crate::span::BarrierKind;
use async_trait::async_trait;
use std::fmt;

/// A branch of a table at one moment.
#[derive(Debug, Clone)]
pub struct Head<K> {
    /// The table's UUID.
    pub table_uuid: String,
    /// The branch's newest snapshot.
    pub snapshot: Option<i64>,
    /// The checkpoint of the newest snapshot of this sink in the ancestry.
    pub checkpoint: Option<Checkpoint>,
    /// What lies between that and the head.
    pub lineage: Lineage,
    /// The very metadata that was read: [`MirrorTable::swap`] succeeds only if it is still the table's.
    pub token: K,
}

/// What a swap does to the table.
#[derive(Debug)]
pub enum Change<'a, F> {
    /// Adds the files of these deltas; none of them: only the checkpoint moves.
    Delta(Vec<&'a F>),
    /// Does what the barrier says.
    Barrier(BarrierKind),
    /// Puts these files in the place of those that they name: the same rows, in a snapshot of the kind
    /// [`Replace`](crate::Operation::Replace).
    Rewrite(&'a F),
}

/// Why a swap did not (surely) succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum SwapError {
    /// The table has other metadata than the head that was given. Nothing was changed.
    Conflict,
    /// It cannot be told whether the swap happened, or whether it will still happen (time-out, 500, 502, 504). Files and
    /// metadata of the attempt must be kept.
    Unknown(Error),
    /// It did not happen and never will. Kind [`Unavailable`](crate::ErrorKind::Unavailable): try again.
    Failed(Error),
    /// These files cannot be committed upon this head (a data file that a position delete names has gone, or one that a rewrite
    /// replaces): the worker must write the span again, and who rewrites must look again at what there is. Nothing was changed.
    Rewrite(String),
}

impl fmt::Display for SwapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("somebody else has committed to the table"),
            Self::Unknown(e) => write!(f, "it is not known whether the commit happened: {e}"),
            Self::Failed(e) => write!(f, "the commit failed: {e}"),
            Self::Rewrite(why) => write!(f, "the files cannot be committed: {why}"),
        }
    }
}

impl std::error::Error for SwapError {}

/// One branch of one table, as the protocol sees it: a checkpoint, and a compare-and-swap that moves it with the files.
///
/// # Contract
/// - **Atomicity**: [`swap`](Self::swap) adds the files, writes the checkpoint into the new snapshot's summary
///   ([`Checkpoint::to_properties`]) and moves the tag ([`checkpoint_tag`](crate::checkpoint_tag)) in one step, or does nothing.
/// - **Compare**: it succeeds only if the table's metadata is the one that `base` was read from.
/// - **Order**: an equality delete of a snapshot reaches data of older snapshots only.
/// - **Rewrite**: [`Change::Rewrite`] succeeds only if every file that it replaces is live in `base`, and nobody has added deletes
///   by position against one of them since it was read; else it is [`SwapError::Rewrite`]. A table that is no longer what `base`
///   says is a conflict, here too: the files may be gone because an earlier attempt of the same rewrite has landed. The new files keep the
///   data sequence number of the newest file that they replace, so that equality deletes which came meanwhile, or will come,
///   reach them.
/// - **Files** that were handed to `swap` are never deleted by it, whatever its outcome.
/// - **Cancellation**: a dropped future of `swap` is an unknown outcome; the swap may still happen.
#[async_trait]
pub trait MirrorTable: Send + Sync + 'static {
    /// What a worker wrote for a span: names of files and what is needed to add them. Small.
    type Files: Send + Sync + 'static;
    /// Names one version of the table's metadata.
    type Token: Clone + PartialEq + Send + Sync + 'static;

    /// The table's name, for messages.
    fn name(&self) -> &str;

    /// The branch as it is now; `None` if the table does not exist.
    async fn head(&self) -> Result<Option<Head<Self::Token>>>;

    /// Changes the table if it still is what `base` says; returns the new head.
    async fn swap(
        &self,
        base: &Head<Self::Token>,
        change: Change<'_, Self::Files>,
        checkpoint: &Checkpoint,
    ) -> Result<Head<Self::Token>, SwapError>;

    /// The snapshot of the commit with this id, if it is in the branch's ancestry now.
    async fn find_commit(&self, commit: &str) -> Result<Option<i64>>;
}
