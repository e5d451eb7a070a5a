use std::fmt;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What kind of failure an [`Error`] is; decides how a caller goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The offset is below the first kept record or above the next one. Records may have been removed before they were applied.
    OffsetOutOfRange,
    /// There is no such topic, or the topic has no such partition.
    UnknownTopic,
    /// A newer producer with the same transactional id exists; this one can never append again.
    Fenced,
    /// The records would not get the offsets that their writer expected: somebody else has appended to the partition, or a
    /// transaction was aborted. Nothing was kept.
    UnexpectedOffset,
    /// The log does not let this client do so: wrong credentials, or a right is missing. Trying again does not help.
    Denied,
    /// What is stored is not what was written. The message names the file and the position.
    Corrupt,
    /// No room for the append: nothing of it was kept, and the log goes on as soon as there is room.
    DiskFull,
    /// Another process has the log open.
    InUse,
    /// The storage failed. Whether an append that ends so was kept is known only when the log has been opened again.
    Io,
    /// The log's servers cannot be reached, or do not answer in time; trying again may help. Whether an append that ends so was kept is
    /// known only when a new producer has been taken.
    Unavailable,
    /// The request can never succeed as it is: a bad topic name, a different specification, a batch that is too large.
    Invalid,
    /// Anything else.
    Other,
}

/// An error of a change log: what happened, to what (topic, partition, offset), and what to do next.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    source: Option<BoxError>,
}

impl Error {
    /// An error with a complete, readable message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), topic: None, partition: None, offset: None, source: None }))
    }

    /// The same error about a topic.
    #[must_use]
    pub fn at_topic(mut self, topic: impl Into<String>) -> Self {
        self.0.topic = Some(topic.into());
        self
    }

    /// The same error about a partition of a topic.
    #[must_use]
    pub fn at_partition(mut self, topic: impl Into<String>, partition: i32) -> Self {
        self.0.topic = Some(topic.into());
        self.0.partition = Some(partition);
        self
    }

    /// The same error about an offset.
    #[must_use]
    pub fn at_offset(mut self, offset: i64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// The same error with the cause kept for `source()`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The topic concerned, if one is.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition concerned, if one is.
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// The offset concerned, if one is.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    pub(crate) fn unknown_topic(topic: &str) -> Self {
        Self::new(ErrorKind::UnknownTopic, format!("the log has no topic {topic}: create it first, or correct the name"))
            .at_topic(topic)
    }

    pub(crate) fn unknown_partition(topic: &str, partition: i32, partitions: impl fmt::Display) -> Self {
        Self::new(
            ErrorKind::UnknownTopic,
            format!("topic {topic} has no partition {partition}: it has {partitions}, counted from 0"),
        )
        .at_partition(topic, partition)
    }

    pub(crate) fn out_of_range(topic: &str, partition: i32, offset: i64, first: i64, next: i64) -> Self {
        let next_step = if offset < first {
            "records were removed before they were read: what was to apply them must be built anew"
        } else {
            "the reader is ahead of the log: the log was replaced by another or by an older copy"
        };
        Self::new(
            ErrorKind::OffsetOutOfRange,
            format!("offset {offset} is not in {topic}/{partition}, which holds {first} up to {next}: {next_step}"),
        )
        .at_partition(topic, partition)
        .at_offset(offset)
    }

    pub(crate) fn keyless(topic: &str) -> Self {
        Self::new(
            ErrorKind::Invalid,
            format!("a record without a key cannot go into {topic}, which keeps the newest of each key: give it one"),
        )
    }

    pub(crate) fn unexpected_offset(topic: &str, partition: i32, expected: i64, got: i64) -> Self {
        Self::new(
            ErrorKind::UnexpectedOffset,
            format!(
                "the next record of {topic}/{partition} would get offset {got} where its writer expected {expected}: somebody else writes to this topic; stop the other writer"
            ),
        )
        .at_partition(topic, partition)
        .at_offset(got)
    }

    pub(crate) fn fenced(transactional_id: &str) -> Self {
        Self::new(
            ErrorKind::Fenced,
            format!(
                "a newer producer with the transactional id {transactional_id} has taken over: stop this one, and read the progress again before appending"
            ),
        )
    }

    pub(crate) fn too_large(what: impl fmt::Display, limit: usize) -> Self {
        Self::new(ErrorKind::Invalid, format!("{what} exceeds {limit} bytes, the most that one batch of records holds: split it"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
