//! What the statements of the binary log mean for captured tables.
//!
//! A small reader of our own: it must understand what can change tables, and must know when it does not. Everything about
//! columns is checked again, by [`RowPlan::new`](crate::RowPlan::new) against the next table map event.

mod alter;
mod apply;
mod column;
#[cfg(test)]
mod conversion_tests;
#[cfg(test)]
mod damage_tests;
pub(crate) mod lexer;
pub(crate) mod parser;
mod statement;
#[cfg(test)]
mod tests;

pub use apply::{AlterClass, Alteration};
pub(crate) use column::DefaultClause;
pub use statement::{AlterTable, PartitionMove, Statement, parse_statement};

use crate::event_body::Query;

/// How the server and the session that wrote a statement read SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// MariaDB, otherwise MySQL.
    pub mariadb: bool,
    /// Double quotes enclose names (`sql_mode` ANSI_QUOTES).
    pub ansi_quotes: bool,
    /// A backslash in a string is a backslash (`sql_mode` NO_BACKSLASH_ESCAPES).
    pub no_backslash_escapes: bool,
    /// REAL is FLOAT (`sql_mode` REAL_AS_FLOAT).
    pub real_as_float: bool,
    /// Values that do not fit are refused (`sql_mode` STRICT_TRANS_TABLES or STRICT_ALL_TABLES), otherwise they are changed.
    pub strict: bool,
    /// A CHAR is read with all of its blanks (`sql_mode` PAD_CHAR_TO_FULL_LENGTH), also where an ALTER TABLE copies it.
    pub padded_char: bool,
    /// A TIMESTAMP column without further words is as any other (`explicit_defaults_for_timestamp`), otherwise it is NOT NULL
    /// and the first one has the current time as its default.
    pub explicit_timestamps: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            mariadb: false,
            ansi_quotes: false,
            no_backslash_escapes: false,
            real_as_float: false,
            strict: false,
            padded_char: false,
            explicit_timestamps: true,
        }
    }
}

impl Dialect {
    /// The dialect of a statement's session, as far as its event tells.
    pub fn of(query: &Query<'_>, mariadb: bool) -> Self {
        let mode = query.sql_mode.unwrap_or(0);
        Self {
            mariadb,
            ansi_quotes: query.ansi_quotes(),
            no_backslash_escapes: query.no_backslash_escapes(),
            real_as_float: mode & 1 != 0,
            strict: mode & (1 << 21 | 1 << 22) != 0,
            padded_char: mode & (1 << 31) != 0,
            explicit_timestamps: query.explicit_defaults_for_timestamp.unwrap_or(true),
        }
    }
}
