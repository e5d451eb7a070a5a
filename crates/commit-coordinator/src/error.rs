use crate::refusal::Refusal;
use std::fmt;

/// A boxed error of another layer, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is; decides how the protocol goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Going on could lose, double or falsify rows: see [`Error::refusal`]. The table stops.
    Refused,
    /// A store, a log or a peer cannot be reached now. Worker and coordinator try again.
    Unavailable,
    /// A checkpoint in a table's history cannot be read.
    Checkpoint,
    /// A record cannot be turned into rows. The table stops.
    Record,
    /// A setting that cannot be used.
    Configuration,
    /// The process was asked to stop before the outcome of what had been offered was known. Nothing is lost: the next
    /// start reads it from the table.
    Interrupted,
    /// Anything else. The table stops.
    Other,
}

/// An error of the protocol or of a part that was plugged into it: what happened, to what, what to do next.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    refusal: Option<Box<Refusal>>,
    source: Option<BoxError>,
}

impl Error {
    /// An error with a complete, readable message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), refusal: None, source: None }
    }

    /// The refusal of a table's commits, with its ways on in the message.
    pub fn refused(table: &str, refusal: Refusal) -> Self {
        let mut message = format!("the table {table} is stopped to keep its rows exact: {refusal}");
        for way in refusal.ways_on() {
            message.push_str("\n  → ");
            message.push_str(&way);
        }
        Self { kind: ErrorKind::Refused, message, refusal: Some(Box::new(refusal)), source: None }
    }

    /// The same error with the cause kept for `source()`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Why commits were refused, if they were.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
