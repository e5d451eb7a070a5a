//! What a comparison found.

use serde::Serialize;
use std::collections::BTreeMap;

/// What to compare.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Source tables, `database.table`; all if empty.
    pub tables: Vec<String>,
    /// Compare about so many percent of the keys; all if `None`.
    pub sample_percent: Option<f64>,
    /// How many differences of each table to keep with their values; all are counted.
    pub differences_kept: usize,
}

/// What [`verify`](crate::verify) found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VerifyReport {
    /// The tables, by name.
    pub tables: Vec<TableVerdict>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// The verdict on one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableVerdict {
    /// `database.table`.
    pub table: String,
    /// Rows read from the source.
    pub source_rows: u64,
    /// Rows read from the mirror.
    pub mirror_rows: u64,
    /// Rows that differ and did not change at the source while that was found out.
    pub different: u64,
    /// Rows that changed at the source each time they were looked at. They are not known to be equal.
    pub unsettled: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Values that Debezium's wire cannot carry and that are mapped to another one on both sides: zero dates in columns that cannot be
    /// NULL, by column.
    pub mapped: BTreeMap<String, u64>,
}

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The row's key, `column=value, ...`; of a table without a key the whole row.
    pub key: String,
    /// What is wrong with it.
    pub kind: DifferenceKind,
    /// How often it is in the source.
    pub source_count: u64,
    /// How often it is in the mirror.
    pub mirror_count: u64,
    /// The columns whose values differ.
    pub columns: Vec<ColumnDifference>,
}

/// The kinds of difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// It is only in the source.
    MissingInMirror,
    /// It is only in the mirror.
    OnlyInMirror,
    /// It is in the mirror more often, or less often, than in the source.
    MoreThanOnce,
    /// Values differ.
    Values,
}

/// A value that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDifference {
    /// The column.
    pub column: String,
    /// Its value in the source, as text; `NULL` is NULL.
    pub source: String,
    /// Its value in the mirror.
    pub mirror: String,
}

impl VerifyReport {
    /// True if every row of every table is known to be the same on both sides.
    pub fn equal(&self) -> bool {
        self.tables.iter().all(TableVerdict::equal)
    }
}

impl TableVerdict {
    /// True if every row is known to be the same on both sides.
    pub fn equal(&self) -> bool {
        self.different == 0 && self.unsettled == 0
    }

    /// All mapped values.
    pub fn mapped_values(&self) -> u64 {
        self.mapped.values().sum()
    }
}
