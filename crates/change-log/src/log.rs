use crate::error::{Error, ErrorKind, Result};
use crate::records::Records;
use async_trait::async_trait;
use std::fmt;

/// The identity of a whole log; a log that was made anew has another one. For Kafka, the cluster id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogIdentity(String);

impl LogIdentity {
    /// An identity from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a topic is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TopicSpec {
    /// How many partitions, from 1.
    pub partitions: i32,
    /// Only the newest record of each key is kept, for ever. Every record must have a key; a record without a value
    /// removes its key, and itself goes after a while.
    pub compacted: bool,
}

impl TopicSpec {
    /// A topic of one partition that keeps all records.
    pub fn new() -> Self {
        Self { partitions: 1, compacted: false }
    }

    /// A topic of one partition that keeps the newest record of each key.
    pub fn compacted() -> Self {
        Self { partitions: 1, compacted: true }
    }
}

impl Default for TopicSpec {
    fn default() -> Self {
        Self::new()
    }
}

/// A topic that is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicInfo {
    /// Its name.
    pub name: String,
    /// Its identity, a UUID: a topic that was deleted and created again has another one.
    pub id: String,
    /// Its partitions are `0..partitions`.
    pub partitions: i32,
    /// Only the newest record of each key is kept.
    pub compacted: bool,
}

/// Records for one partition.
#[derive(Debug, Clone)]
pub struct Append {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The records, in order. Their offsets are given by the log.
    pub records: Records,
    /// The offset that the first record of this transaction in the partition must get; with another one nothing of the transaction is
    /// kept. `None`: any. For whoever writes down offsets in the very transaction that gives them.
    pub first_offset: Option<i64>,
}

impl Append {
    /// These records for this partition, at whatever offset it has come to.
    pub fn new(topic: impl Into<String>, partition: i32, records: Records) -> Self {
        Self { topic: topic.into(), partition, records, first_offset: None }
    }

    /// The same, to be kept only at this offset.
    #[must_use]
    pub fn at(mut self, first_offset: i64) -> Self {
        self.first_offset = Some(first_offset);
        self
    }
}

/// What is appended at once: all of it or nothing, each partition's records in the order given.
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// The parts. A partition may occur several times.
    pub appends: Vec<Append>,
}

/// The proof that a transaction is durable; only a log makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// For each partition that the transaction names, in the order of their first occurrence: topic, partition, and the offset
    /// that the next transaction's first record gets, if nobody else appends: the one after the last record and its
    /// [commit marker](ChangeLog::marker_offsets).
    pub next_offsets: Vec<(String, i32, i64)>,
}

/// What a read found.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Records at or after the offset asked for, in order; may be empty.
    pub records: Records,
    /// From where to read on. It may be beyond the last record: offsets can be missing (compaction, aborted transactions).
    pub next_offset: i64,
    /// There was nothing more to read, as far as the reader knew. [`next`](OffsetRange::next) may be higher still: asked for later, and
    /// for Kafka because a transaction is undecided.
    pub at_end: bool,
}

/// The offsets of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    /// The first that is kept; records before it are gone.
    pub first: i64,
    /// The one that the next record gets. For Kafka, the high watermark: a transaction before it may be undecided still, and
    /// a read does not come so far before it is.
    pub next: i64,
}

/// A log of records in topics of partitions, appended to in transactions and read by offset.
///
/// # Contract
/// - **Order.** The records of a partition have rising offsets from 0, in the order in which they were appended. A read yields them
///   in this order, without leaving one out that is kept. Offsets are never given twice, even after deletion of old records.
/// - **Atomicity.** The records of a [`Transaction`] become readable in all its partitions, or never in any. Readers see only
///   transactions that are complete and durable (read-committed). Between processes the partitions become readable one shortly after
///   the other; but once one is, the [`next`](OffsetRange::next) offset of every other, asked for afterwards, is above the records there,
///   so that who reads up to it has them.
/// - **Gaps.** Where the end of a transaction is a record of its own (Kafka's commit marker), and where records were aborted or compacted away,
///   offsets are left out. [`marker_offsets`](Self::marker_offsets) says how many an undisturbed transaction leaves out.
/// - **Durability.** An [`Appended`] is a promise: the transaction survives the end of the process and, where the storage keeps what
///   it has flushed, of the machine. A crash keeps a prefix of the transactions in the order in which they were appended, which includes
///   every promised one.
/// - **Duplicates.** A log adds none: a transaction is in it once or not at all. A caller who does not know (see cancellation) must
///   ask: take a new [`producer`](Self::producer), read the progress that was to be in the transaction, go on from there.
/// - **Fencing.** Of all producers with the same transactional id only the newest can append. When `producer` has returned, every
///   earlier transaction of its predecessors is readable or never will be.
/// - **Removal.** Logs of this crate's own let records go only after they were [released](Self::release), never by age or size alone. A topic that
///   nobody applies must be released by its owner. Kafka goes by the topic's own retention: there a release moves the consumer group, and
///   [`expiring`](Self::expiring) says what retention comes close to. Compacted topics keep the newest record of each key and need no release.
/// - **Cancellation.** Dropping the future of any method but `append` and the changes of topics has no effect on the log. A dropped
///   append may be kept or not; the same holds for a dropped `create_topic`, `delete_topic` or `producer`.
/// - **Errors.** They carry topic, partition and offset where there is one. Unless the kind is [`ErrorKind::Io`] or
///   [`ErrorKind::Unavailable`], an error of a change means that nothing of it was kept, and the log goes on. After those two the outcome is
///   known when the log has been opened again, or a new [`producer`](Self::producer) taken.
/// - **Timestamps.** They begin at 1. Kafka takes 0 for now, and refuses those before 1970 and more than an hour ahead of its clock.
///
/// All methods may be called from many tasks at once, on a tokio runtime.
#[async_trait]
pub trait ChangeLog: Send + Sync {
    /// Which log this is.
    fn identity(&self) -> &LogIdentity;

    /// Creates a topic and returns it when it is durable. If it is there already with an equal specification, returns that one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: the name is not 1 to 249 of the characters `a-z A-Z 0-9 . _ -`, the number of partitions is not from 1
    /// to 10,000, or a topic of that name with another specification is there.
    async fn create_topic(&self, name: &str, spec: TopicSpec) -> Result<TopicInfo>;

    /// The topic of that name, if it is there.
    async fn topic(&self, name: &str) -> Result<Option<TopicInfo>>;

    /// All topics, by name.
    async fn topics(&self) -> Result<Vec<TopicInfo>>;

    /// Deletes a topic and its records. Those who wait on it get [`ErrorKind::UnknownTopic`].
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`] if it is not there.
    async fn delete_topic(&self, name: &str) -> Result<()>;

    /// The one who may append under this id from now on; see *Fencing*.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the id is empty or longer than 249 bytes.
    async fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>>;

    /// The offsets that can be read now.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`].
    async fn offsets(&self, topic: &str, partition: i32) -> Result<OffsetRange>;

    /// Records at or after `from`, without waiting: as many as there are, until their keys and values reach about
    /// `max_bytes`, but at least one if there is one. Fewer may be returned; an empty batch is [at the end](Fetched::at_end).
    ///
    /// # Errors
    /// [`ErrorKind::OffsetOutOfRange`] below the first kept offset and above the next one; [`ErrorKind::UnknownTopic`];
    /// [`ErrorKind::Corrupt`] where the stored bytes are not those that were written.
    async fn read(&self, topic: &str, partition: i32, from: i64, max_bytes: usize) -> Result<Fetched>;

    /// Waits until a read's `next_offset` can be above `beyond`.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`], also when the topic is deleted meanwhile.
    async fn wait(&self, topic: &str, partition: i32, beyond: i64) -> Result<()>;

    /// Says that everything before `applied` is applied and may go when retention says so. A lower offset than before changes
    /// nothing. It is not made durable at once: whoever applies says it again after a start.
    ///
    /// # Errors
    /// [`ErrorKind::OffsetOutOfRange`] if `applied` is above the next offset; [`ErrorKind::UnknownTopic`].
    async fn release(&self, topic: &str, partition: i32, applied: i64) -> Result<()>;

    /// Records before this offset may be removed soon, released or not. The first kept offset where nothing goes before its release.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownTopic`].
    async fn expiring(&self, topic: &str, partition: i32) -> Result<i64> {
        Ok(self.offsets(topic, partition).await?.first)
    }

    /// How many offsets the end of a transaction takes in each of its partitions, behind its records there.
    fn marker_offsets(&self) -> i64 {
        0
    }
}

/// The one who appends under a transactional id.
#[async_trait]
pub trait Producer: Send {
    /// Appends a transaction and returns when it is durable.
    ///
    /// # Errors
    /// [`ErrorKind::Fenced`]: a newer producer has this id; [`ErrorKind::UnknownTopic`]; [`ErrorKind::UnexpectedOffset`]: the records would not be
    /// where [`Append::first_offset`] says; [`ErrorKind::Invalid`]: a record without a key for a compacted topic, or one that is
    /// larger than the topic takes; [`ErrorKind::DiskFull`]: nothing was kept, try again when there is room; [`ErrorKind::Io`], [`ErrorKind::Unavailable`].
    async fn append(&mut self, transaction: Transaction) -> Result<Appended>;
}

/// Refuses what Kafka would refuse, so that a topic can move there.
pub(crate) fn check_topic(name: &str, spec: TopicSpec) -> Result<()> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 249 || !name.bytes().all(legal) || name == "." || name == ".." {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("{name:?} cannot name a topic: use 1 to 249 of the characters a-z A-Z 0-9 . _ -"),
        )
        .at_topic(name));
    }
    if !(1..=10_000).contains(&spec.partitions) {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("topic {name} cannot have {} partitions: 1 to 10,000 are possible", spec.partitions),
        )
        .at_topic(name));
    }
    Ok(())
}

pub(crate) fn check_existing(info: &TopicInfo, spec: TopicSpec) -> Result<()> {
    if info.partitions == spec.partitions && info.compacted == spec.compacted {
        return Ok(());
    }
    let kind = |compacted| if compacted { "compacted" } else { "not compacted" };
    Err(Error::new(
        ErrorKind::Invalid,
        format!(
            "topic {} is there with {} partitions, {}, and was asked for with {}, {}: ask for it as it is, or delete it first",
            info.name,
            info.partitions,
            kind(info.compacted),
            spec.partitions,
            kind(spec.compacted)
        ),
    )
    .at_topic(&info.name))
}

pub(crate) fn check_transactional_id(id: &str) -> Result<()> {
    if id.is_empty() || id.len() > 249 {
        return Err(Error::new(
            ErrorKind::Invalid,
            format!("a transactional id has 1 to 249 bytes, this one has {}: name the producer after what it copies", id.len()),
        ));
    }
    Ok(())
}
