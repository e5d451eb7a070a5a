use std::borrow::Cow;
use std::fmt;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A column type or setting that this format cannot carry.
    Configuration,
    /// Bytes that are not JSON: the record is damaged, or was written by another converter.
    Syntax,
    /// JSON that is not an event of this table's schema version: an unknown or missing column, no `op`, a doubled key.
    Schema,
    /// An embedded schema that is none of Kafka Connect's, or describes no row of a table.
    EmbeddedSchema,
    /// A value that does not fit its column exactly.
    Value,
    /// More than a batch can hold. Finish the batch and decode the record again.
    Full,
}

/// An event that could not be encoded or decoded: what happened, to which table and column, at which byte.
///
/// After a failed [`Decoder::decode`](crate::Decoder::decode) nothing of the record is in the batch.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    table: String,
    column: Option<String>,
    offset: Option<usize>,
    what: Cow<'static, str>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, table: impl fmt::Display, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, table: table.to_string(), column: None, offset: None, what: what.into() }
    }

    #[must_use]
    pub(crate) fn in_column(mut self, column: impl Into<String>) -> Self {
        self.column = Some(column.into());
        self
    }

    pub(crate) fn from_fault(fault: Fault, table: impl fmt::Display, column: Option<String>) -> Self {
        Self { kind: fault.kind, table: table.to_string(), column, offset: Some(fault.at), what: fault.what }
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The offset of the offending byte in the record's value.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// The column that could not be read or written.
    pub fn column(&self) -> Option<&str> {
        self.column.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of {}", self.table)?;
        if let Some(column) = &self.column {
            write!(f, ", column {column}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", at byte {offset}")?;
        }
        write!(f, ": {}; ", self.what)?;
        f.write_str(match self.kind {
            ErrorKind::Configuration => "exclude the column, or change the setting",
            ErrorKind::Syntax => "read the record's bytes: they are damaged, or of another converter than the one configured",
            ErrorKind::Schema => "the table's schema and the event do not belong together: check which schema version wrote it",
            ErrorKind::EmbeddedSchema => {
                "check that the topic holds Debezium's change events of a table, written by JsonConverter with schemas.enable"
            }
            ErrorKind::Value => "the value cannot be held exactly: check the column's type on both sides",
            ErrorKind::Full => "finish the batch and decode the record again",
        })
    }
}

impl std::error::Error for Error {}

/// A failure inside a record, before table and column are known. Built only when something is wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    pub kind: ErrorKind,
    pub at: usize,
    pub what: Cow<'static, str>,
}

impl Fault {
    #[cold]
    pub fn syntax(at: usize, what: &'static str) -> Self {
        Self { kind: ErrorKind::Syntax, at, what: what.into() }
    }

    #[cold]
    pub fn schema(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::Schema, at, what: what.into() }
    }

    #[cold]
    pub fn embedded(at: usize, what: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: ErrorKind::EmbeddedSchema, at, what: what.into() }
    }

    #[cold]
    pub fn value(at: usize, what: &'static str) -> Self {
        Self { kind: ErrorKind::Value, at, what: what.into() }
    }

    #[cold]
    pub fn full(at: usize) -> Self {
        Self { kind: ErrorKind::Full, at, what: "a column of the batch has reached 2 GiB".into() }
    }
}
