use std::fmt;

/// A boxed error of another layer, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A namespace, table, snapshot or file does not exist (any more).
    NotFound,
    /// A namespace or table exists already.
    AlreadyExists,
    /// The table in the catalog is not the one that was loaded: another UUID.
    ForeignTable,
    /// A file or the catalog's database holds something that cannot be read as what it should be.
    Corrupt,
    /// Another process holds the catalog's database. Trying again may help.
    Busy,
    /// The server of the catalog's database cannot be reached, or refuses this user. Trying again may help.
    Unreachable,
    /// A folder, a file or the catalog's database may not be written.
    NotWritable,
    /// No space is left.
    DiskFull,
    /// Reading or writing failed otherwise. Trying again may help.
    Io,
    /// A schema cannot be had in Iceberg, or cannot become the wanted one.
    Schema,
    /// An update or delete of a table that has no key to delete by.
    NoKey,
    /// The caller passed something that does not fit.
    Invalid,
    /// The table uses something that this crate does not do.
    Unsupported,
    /// Anything else.
    Other,
}

/// An error of the table writer: what happened, to what, and what to do next.
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

    /// An error of the iceberg crate while doing `what`; keeps the kind and words of our own storage if it began there.
    pub(crate) fn iceberg(what: impl fmt::Display, e: iceberg::Error) -> Self {
        let own = std::error::Error::source(&e).and_then(|s| s.downcast_ref::<Self>()).map(|s| (s.kind, s.message.clone()));
        match own {
            Some((kind, message)) => Self::new(kind, format!("{what}: {message}")).with_source(e),
            None => {
                let kind = match e.kind() {
                    iceberg::ErrorKind::DataInvalid => ErrorKind::Corrupt,
                    iceberg::ErrorKind::FeatureUnsupported => ErrorKind::Unsupported,
                    iceberg::ErrorKind::TableNotFound | iceberg::ErrorKind::NamespaceNotFound => ErrorKind::NotFound,
                    _ => ErrorKind::Other,
                };
                Self::new(kind, format!("{what}: {}", e.message())).with_source(e)
            }
        }
    }

    /// An error of Parquet while doing `what`.
    pub(crate) fn parquet(what: impl fmt::Display, e: parquet::errors::ParquetError) -> Self {
        let own = std::error::Error::source(&e)
            .and_then(|s| s.downcast_ref::<iceberg::Error>())
            .and_then(|s| std::error::Error::source(s))
            .and_then(|s| s.downcast_ref::<Self>())
            .map(|s| (s.kind, s.message.clone()));
        match own {
            Some((kind, message)) => Self::new(kind, format!("{what}: {message}")).with_source(e),
            None => Self::new(ErrorKind::Corrupt, format!("{what}: {e}")).with_source(e),
        }
    }

    /// An error of Arrow while doing `what`.
    pub(crate) fn arrow(what: impl fmt::Display, e: arrow_schema::ArrowError) -> Self {
        Self::new(ErrorKind::Invalid, format!("{what}: {e}")).with_source(e)
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
