use std::fmt;

/// A boxed error of another layer, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration cannot be used. Exit code 2.
    Configuration,
    /// A server, disk or file cannot be reached or refuses. Exit code 3.
    Unavailable,
    /// Stopped to keep data safe; the message names the table, the position and the ways on. Exit code 4.
    Unsafe,
    /// Anything else, a fault of ours. Exit code 3.
    Other,
}

/// An error of a mirror: what happened, to what, and what to do next. Messages can have several lines.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl Error {
    /// An error with a complete, readable message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// A [`ErrorKind::Configuration`] error.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// The same error with the cause kept for `source()`.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// True if it is that the log's servers are away, which passes.
    pub(crate) fn is_log_away(&self) -> bool {
        let log = self.source.as_deref().and_then(|source| source.downcast_ref::<change_log::Error>());
        log.is_some_and(|e| e.kind() == change_log::ErrorKind::Unavailable)
    }

    /// True if servers of the log or of the catalog are away, or the catalog is held by somebody: that passes.
    pub(crate) fn passes(&self) -> bool {
        use iceberg_writer::ErrorKind as Kind;
        let catalog = self.source.as_deref().and_then(|source| source.downcast_ref::<iceberg_writer::Error>());
        self.is_log_away() || catalog.is_some_and(|e| matches!(e.kind(), Kind::Busy | Kind::Unreachable))
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The exit code that a program should end with (documented in `docs/command-line.md`).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Configuration => 2,
            ErrorKind::Unavailable | ErrorKind::Other => 3,
            ErrorKind::Unsafe => 4,
        }
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

impl From<cdc_core::Error> for Error {
    fn from(e: cdc_core::Error) -> Self {
        let kind = match e.kind() {
            cdc_core::ErrorKind::Configuration => ErrorKind::Configuration,
            cdc_core::ErrorKind::Unavailable => ErrorKind::Unavailable,
            cdc_core::ErrorKind::Unsafe | cdc_core::ErrorKind::Invalid => ErrorKind::Unsafe,
            _ => ErrorKind::Other,
        };
        Self::new(kind, e.to_string()).with_source(e)
    }
}

impl From<change_log::Error> for Error {
    fn from(e: change_log::Error) -> Self {
        use change_log::ErrorKind as Kind;
        let kind = match e.kind() {
            Kind::OffsetOutOfRange | Kind::UnknownTopic | Kind::Fenced | Kind::UnexpectedOffset | Kind::Corrupt => {
                ErrorKind::Unsafe
            }
            Kind::DiskFull | Kind::InUse | Kind::Io | Kind::Unavailable | Kind::Denied => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        Self::new(kind, e.to_string()).with_source(e)
    }
}

impl From<debezium_format::Error> for Error {
    fn from(e: debezium_format::Error) -> Self {
        Self::new(ErrorKind::Unsafe, e.to_string()).with_source(e)
    }
}

impl From<iceberg_writer::Error> for Error {
    fn from(e: iceberg_writer::Error) -> Self {
        use iceberg_writer::ErrorKind as Kind;
        let kind = match e.kind() {
            Kind::Busy | Kind::Unreachable | Kind::NotWritable | Kind::DiskFull | Kind::Io => ErrorKind::Unavailable,
            Kind::NotFound | Kind::ForeignTable | Kind::Corrupt | Kind::Schema | Kind::NoKey | Kind::Unsupported => {
                ErrorKind::Unsafe
            }
            _ => ErrorKind::Other,
        };
        Self::new(kind, e.to_string()).with_source(e)
    }
}
