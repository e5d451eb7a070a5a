use std::fmt;

/// A boxed error of another layer, kept as the source of an [`Error`].
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The client cannot be built so, or a name or value cannot be sent.
    Configuration,
    /// The server cannot be reached, or did not answer in the time that was given.
    Unavailable,
    /// The server does not let this user in.
    Authentication,
    /// The statement failed in the server: [`Error::server`] says how.
    Statement,
    /// The server does not know the query any more: it was started again, or nobody asked for rows for too long.
    Gone,
    /// The answer is none of Trino's protocol, or larger than allowed.
    Protocol,
    /// A value is not of the type that was asked for, or there is no such column.
    Conversion,
    /// The query was ended before all rows had come: its task stopped with the runtime.
    Interrupted,
}

/// An error of the client: what happened, to what, and what to do next. Messages can have several lines.
///
/// Neither the messages nor `Debug` hold a password, or an address of a running query, which is as good as one.
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    query_id: Option<String>,
    server: Option<ServerError>,
    source: Option<BoxError>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), query_id: None, server: None, source: None }))
    }

    pub(crate) fn configuration(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// The failure of a statement.
    pub(crate) fn statement(query_id: &str, sql: &str, server: ServerError) -> Self {
        let mut error = Self::new(ErrorKind::Statement, server.describe(query_id, sql));
        error.0.server = Some(server);
        error.of_query(query_id)
    }

    #[must_use]
    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    #[must_use]
    pub(crate) fn of_query(mut self, query_id: &str) -> Self {
        self.0.query_id = Some(query_id.to_owned());
        self
    }

    /// The kind, for deciding what to do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The query that it happened to, as the server calls it; `None` before there is one.
    pub fn query_id(&self) -> Option<&str> {
        self.0.query_id.as_deref()
    }

    /// What the server said of a statement that failed.
    pub fn server(&self) -> Option<&ServerError> {
        self.0.server.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

/// Whose fault a [`ServerError`] is, as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerErrorType {
    /// The statement's, or its session's: `USER_ERROR`.
    User,
    /// The server's: `INTERNAL_ERROR`.
    Internal,
    /// There is not enough memory, time or room: `INSUFFICIENT_RESOURCES`.
    InsufficientResources,
    /// A system behind the server: `EXTERNAL`.
    External,
    /// A type that this crate does not know.
    Other,
}

impl ServerErrorType {
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "USER_ERROR" => Self::User,
            "INTERNAL_ERROR" => Self::Internal,
            "INSUFFICIENT_RESOURCES" => Self::InsufficientResources,
            "EXTERNAL" => Self::External,
            _ => Self::Other,
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::User => "an error of the statement",
            Self::Internal => "an error inside the server",
            Self::InsufficientResources => "the server's limits",
            Self::External => "an error of a system behind the server",
            Self::Other => "an error",
        }
    }
}

/// What the server says of a statement that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    pub(crate) name: String,
    pub(crate) code: i32,
    pub(crate) error_type: ServerErrorType,
    pub(crate) message: String,
    pub(crate) position: Option<Position>,
}

/// A place in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, counted from 1.
    pub line: u32,
    /// The character in it, counted from 1.
    pub column: u32,
}

impl ServerError {
    /// The error's name: `TABLE_NOT_FOUND`, `USER_CANCELED`. [All names](https://github.com/trinodb/trino/blob/476/core/trino-spi/src/main/java/io/trino/spi/StandardErrorCode.java).
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The error's number.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Whose fault it is.
    pub fn error_type(&self) -> ServerErrorType {
        self.error_type
    }

    /// The server's own words.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Where in the statement it was noticed, if the statement's text is wrong.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    fn describe(&self, query_id: &str, sql: &str) -> String {
        let Self { name, code, message, error_type, position } = self;
        let mut text = format!("{message}\n  {name} ({code}), {}; query {query_id}", error_type.describe());
        if let Some(shown) = position.and_then(|position| failing_line(sql, position)) {
            text.push_str("\n\n");
            text.push_str(&shown);
        }
        text
    }
}

/// A line of a statement, and a caret below a character of it. Of a long line only what is near.
fn failing_line(sql: &str, position: Position) -> Option<String> {
    const BEFORE: usize = 80;
    const AFTER: usize = 40;
    let line = sql.split('\n').nth(usize::try_from(position.line).ok()?.checked_sub(1)?)?.trim_end_matches('\r');
    let at = usize::try_from(position.column).ok()?.checked_sub(1)?;
    // An error at the end of a statement is one character behind it.
    if at > line.chars().count() {
        return None;
    }
    let skipped = at.saturating_sub(BEFORE);
    let shown: String = line.chars().skip(skipped).take(BEFORE + AFTER).collect();
    let prefix = if skipped > 0 { "..." } else { "" };
    let number = format!("{} | ", position.line);
    // A tab is as wide below the line as in it.
    let indent: String = shown.chars().take(at - skipped).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let suffix = if line.chars().count() > skipped + BEFORE + AFTER { "..." } else { "" };
    Some(format!("  {number}{prefix}{shown}{suffix}\n  {}{indent}^", " ".repeat(number.len() + prefix.len())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn shown(sql: &str, line: u32, column: u32) -> Option<String> {
        failing_line(sql, Position { line, column })
    }

    #[test]
    fn the_caret_is_below_the_character() {
        assert_eq!(shown("SELECT\n\tä, x\r\nFROM t", 2, 5).unwrap(), "  2 | \tä, x\n      \t   ^");
        assert_eq!(shown("SELECT", 1, 7).unwrap(), "  1 | SELECT\n            ^");
        for (line, column) in [(0, 1), (1, 0), (2, 1), (1, 8), (u32::MAX, u32::MAX)] {
            assert_eq!(shown("SELECT", line, column), None);
        }
    }

    #[test]
    fn of_a_long_line_only_what_is_near_is_shown() {
        let sql = format!("{}X{}", "a".repeat(5000), "b".repeat(5000));
        let text = shown(&sql, 1, 5001).unwrap();
        let (line, caret) = text.split_once('\n').unwrap();
        assert_eq!(line, format!("  1 | ...{}X{}...", "a".repeat(80), "b".repeat(39)));
        assert_eq!(line.find('X'), caret.find('^'));
    }

    #[test]
    fn the_error_of_a_statement_says_all_there_is() {
        let server = ServerError {
            name: "COLUMN_NOT_FOUND".to_owned(),
            code: 47,
            error_type: ServerErrorType::User,
            message: "line 1:8: Column 'x' cannot be resolved".to_owned(),
            position: Some(Position { line: 1, column: 8 }),
        };
        let error = Error::statement("2026_1", "SELECT x", server);
        let expected = "line 1:8: Column 'x' cannot be resolved\n  COLUMN_NOT_FOUND (47), an error of the statement; query 2026_1\n\n  1 | SELECT x\n             ^";
        assert_eq!(
            (error.to_string().as_str(), error.query_id(), error.kind()),
            (expected, Some("2026_1"), ErrorKind::Statement)
        );
    }
}
