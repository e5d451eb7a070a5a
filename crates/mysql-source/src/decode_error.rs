use std::fmt;

/// A result of decoding.
pub type DecodeResult<T> = std::result::Result<T, DecodeError>;

/// What kind of trouble a [`DecodeError`] is; decides what has to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The bytes end before the value does, or a length points outside of them.
    Truncated,
    /// The event's CRC32 does not fit its bytes.
    Checksum,
    /// An event type that nobody here knows, and that may not be skipped.
    UnknownEvent,
    /// A known event of a server feature that is not supported (encryption, compression, partial JSON).
    UnsupportedFeature,
    /// The table map does not describe the columns of the known schema.
    LayoutMismatch,
    /// The row image lacks columns.
    PartialImage,
    /// A column type or character set that is not supported.
    UnsupportedType,
    /// A value that its type does not allow.
    InvalidValue,
    /// A batch would grow beyond what one Arrow array holds (2 GiB of text or bytes in a column).
    TooLarge,
}

/// Bytes, a declaration or a statement that could not be decoded: what, where, and what to do.
///
/// Nothing is left behind in the buffers that were being filled.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: DecodeErrorKind,
    offset: Option<usize>,
    message: String,
}

impl DecodeError {
    /// An error with a complete, readable message.
    #[cold]
    pub(crate) fn new(kind: DecodeErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, offset: None, message: message.into() }))
    }

    /// The bytes end too early.
    #[cold]
    pub(crate) fn truncated(what: &str, offset: usize) -> Self {
        Self::new(DecodeErrorKind::Truncated, format!("the bytes end inside {what}")).at(offset)
    }

    /// A value that its type does not allow.
    #[cold]
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(DecodeErrorKind::InvalidValue, message)
    }

    /// The same error at a byte offset, unless it has one already.
    #[cold]
    pub(crate) fn at(mut self, offset: usize) -> Self {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// The same error with `context: ` in front of its message.
    #[cold]
    pub(crate) fn within(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// What is wrong, without the place.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// The offset in the bytes that were given to be decoded (for row values: in the rows of the event), where known.
    pub fn offset(&self) -> Option<usize> {
        self.0.offset
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("kind", &self.0.kind)
            .field("offset", &self.0.offset)
            .field("message", &self.0.message)
            .finish()
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match self.0.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<DecodeError> for cdc_core::Error {
    /// Undecodable bytes are never skipped: a person must decide.
    fn from(error: DecodeError) -> Self {
        cdc_core::Error::new(cdc_core::ErrorKind::Unsafe, error.to_string()).with_source(error)
    }
}
