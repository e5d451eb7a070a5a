//! The seam between the catalog and its database: statements with numbered parameters, and what became of a transaction.

use super::sql::Text;
use crate::error::{Error, Result};
use async_trait::async_trait;
use std::fmt;

/// A value that goes into a statement.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Text(&'a str),
    Long(i64),
    LongOrNull(Option<i64>),
}

/// A value that comes out of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Text(String),
    Long(i64),
}

impl Cell {
    pub(super) fn text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text),
            Self::Long(n) => Some(n.to_string()),
        }
    }

    pub(super) fn long(&self) -> Option<i64> {
        match self {
            Self::Long(n) => Some(*n),
            Self::Null | Self::Text(_) => None,
        }
    }
}

/// One statement of a transaction.
pub(super) struct Statement<'a> {
    pub text: &'a Text,
    pub values: Vec<Value<'a>>,
    /// It must change one row, or the transaction changes nothing.
    pub one_row: bool,
}

/// Statements that happen together or not at all.
pub(super) struct Transaction<'a> {
    pub statements: Vec<Statement<'a>>,
    /// A test may end the process before and after the COMMIT of a swap.
    pub is_swap: bool,
}

/// What became of a transaction.
pub(super) enum Outcome {
    /// It happened.
    Done,
    /// A statement that had to change one row changed none: nothing happened.
    Unmet,
    /// It failed, and certainly changed nothing.
    Failed(Error),
    /// It failed after its COMMIT was sent: it may have happened, or happen yet.
    Unknown(Error),
}

/// A catalog's database.
#[async_trait]
pub(super) trait Database: fmt::Debug + Send + Sync {
    /// The rows of a statement that changes nothing.
    async fn rows(&self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>>;

    /// Runs a transaction. If its future is dropped the outcome is unknown.
    async fn transact(&self, transaction: &Transaction<'_>) -> Outcome;

    /// Closes all connections and waits until they are closed. Later calls fail.
    async fn close(&self);
}
