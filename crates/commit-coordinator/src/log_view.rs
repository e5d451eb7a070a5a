use crate::error::Result;
use crate::span::{BarrierKind, Covered, Span};
use crate::transport::Receipt;
use async_trait::async_trait;
use std::collections::BTreeMap;

/// What a log says of itself at one moment: read when partitions are assigned, and before each commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogView {
    /// The log's identity.
    pub log: String,
    /// The topics that were asked for and exist.
    pub topics: BTreeMap<String, TopicView>,
}

/// One topic of a [`LogView`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicView {
    /// The topic's own identity.
    pub id: String,
    /// Every partition.
    pub partitions: BTreeMap<i32, PartitionView>,
    /// How many partitions the source's barriers announce, if they announce any: so many may be there without being known
    /// to the checkpoint yet.
    pub announced: Option<usize>,
}

/// One partition of a [`TopicView`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PartitionView {
    /// The first offset that the log still has.
    pub first: i64,
    /// The offset after the last record (the high watermark).
    pub next: i64,
    /// Records before this offset may be removed soon: progress below it should be committed now. `first` where retention
    /// is far away.
    pub expiring: i64,
}

/// A log that can be looked at.
#[async_trait]
pub trait LogInspector: Send + Sync + 'static {
    /// The log's identity, and these topics as they are now. A topic that does not exist is left out.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) is tried again; any other kind stops the table.
    async fn view(&self, topics: &[String]) -> Result<LogView>;
}

/// Records that were read from one log partition.
#[derive(Debug)]
pub struct Fetch<R> {
    /// The records, in offset order; may be empty although `next` moved (control, aborted and compacted records).
    pub records: R,
    /// How many records there are.
    pub count: usize,
    /// Their size in bytes, for budgets.
    pub bytes: usize,
    /// The offset after the last of them; `from` if there is none.
    pub end: i64,
    /// The read position after them, which may lie further on.
    pub next: i64,
}

/// A log as a worker reads it.
///
/// # Contract
/// - **Read committed**: records of open or aborted transactions are never returned; `next` passes them once they are closed.
/// - **Order**: offsets of a partition only grow, and what was read once is read again at the same offset.
#[async_trait]
pub trait SpanLog: LogInspector {
    /// What is read: cheap to move.
    type Records: Send + 'static;

    /// Records of `[from, until)`, about `max_bytes` of them and at least one if there is one; returns at once, maybe empty.
    ///
    /// # Errors
    /// An offset that the log no longer has is an error of kind [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable):
    /// the worker then looks at the log again, and the refusal names what is lost.
    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        until: Option<i64>,
        max_bytes: usize,
    ) -> Result<Fetch<Self::Records>>;

    /// Returns once there may be something to read at or after this offset. Cancel-safe.
    async fn wait(&self, topic: &str, partition: i32, from: i64) -> Result<()>;

    /// What a receipt covers is in the table: the log may let go of it, and advisory group offsets may move.
    ///
    /// # Errors
    /// Are logged and otherwise ignored: the table holds the truth.
    async fn release(&self, receipt: &Receipt) -> Result<()>;
}

/// A barrier that the source wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarrierLine {
    /// From 1, without gaps in one table.
    pub number: u64,
    /// What it does.
    pub kind: BarrierKind,
    /// An empty span for **every** log partition of the table.
    pub at: Vec<Span>,
}

impl BarrierLine {
    /// Where the barrier lies in a log partition.
    pub fn offset(&self, topic: &str, partition: i32) -> Option<i64> {
        self.at.iter().find(|s| s.partition == partition && s.topic == topic).map(|s| s.from)
    }
}

/// What holds for the records from some offset on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Facts {
    /// The schema version that they were written under.
    pub schema_version: u32,
    /// The snapshot of the source table that they belong to or follow.
    pub generation: u64,
    /// The first later offset from which other facts hold, as far as is known now.
    pub until: Option<i64>,
}

/// Where the newest snapshot of the source table begins in the log: a table that is begun there has every row once the snapshot is
/// complete, which it may be already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerationStart {
    /// Its number.
    pub number: u64,
    /// An empty span for every log partition, where the snapshot began.
    pub began_at: Vec<Span>,
    /// The number of the last barrier at or before its beginning.
    pub barrier: u64,
    /// The schema version at its beginning.
    pub schema_version: u32,
}

/// The source's progress records, as far as they concern one table.
///
/// # Contract
/// After [`catch_up_to`](Self::catch_up_to) returned, everything is known that the source wrote in the transactions of the records before
/// that offset. A closed transaction's marker may reach the partitions at different moments, and a broker that has been deposed and does not
/// know it says that a log ends where it ended once: so this rests on what the progress records say themselves of the data that goes with
/// them, not on where the progress log ends.
///
/// [`catch_up`](Self::catch_up) reads the progress log, read-committed, to the high watermark that is asked for **after the call began**.
#[async_trait]
pub trait ProgressView: Send {
    /// Reads on to the end; see the contract.
    async fn catch_up(&mut self) -> Result<()>;

    /// Reads on until all is known that goes with the records before `next` of this partition; see the contract.
    ///
    /// # Errors
    /// Also if nothing is said of these records for a while: then nobody can know what goes with them.
    async fn catch_up_to(&mut self, topic: &str, partition: i32, next: i64) -> Result<()>;

    /// Where the partition ends as far as is known: who has read it up to there has all records of [`position`](Self::position). `None` if
    /// the source has never told of it.
    fn log_end(&self, topic: &str, partition: i32) -> Option<i64>;

    /// Returns once there may be something new. Cancel-safe.
    async fn wait(&mut self) -> Result<()>;

    /// The barrier of this number, if the source wrote it (and has not deleted it because the log begins after it).
    fn barrier(&self, number: u64) -> Option<BarrierLine>;

    /// The newest barrier that removes every row of the table, if the source wrote one (and has not deleted it): what lies before
    /// it need not be applied.
    fn newest_removal(&self) -> Option<BarrierLine>;

    /// What holds for records at or after this offset.
    fn facts(&self, topic: &str, partition: i32, at: i64) -> Facts;

    /// The newest source position.
    fn position(&self) -> Option<Covered>;
}
