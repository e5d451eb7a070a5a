//! What a comparison found.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Who reads the mirror's rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyEngine {
    /// Our own reader.
    #[default]
    Builtin,
    /// The Trino server that [`MirrorConfig::trino`](crate::MirrorConfig::trino) names.
    Trino,
}

/// What to compare.
#[derive(Debug, Clone, Default)]
pub struct VerifyOptions {
    /// Source tables, `database.table`; all if empty.
    pub tables: Vec<String>,
    /// Compare about so many percent of the keys; all if `None`.
    pub sample_percent: Option<f64>,
    /// How many differences of each table to keep with their values; all are counted.
    pub differences_kept: usize,
    /// Who reads the mirror's rows.
    pub engine: VerifyEngine,
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
    /// Rows that changed at the source each time they were looked at, and those beyond the first 100,000 that seemed different. They
    /// are not known to be equal.
    pub unsettled: u64,
    /// The first differences.
    pub differences: Vec<Difference>,
    /// Values that Debezium's wire cannot carry and that are mapped to another one on both sides: zero dates in columns that cannot be
    /// NULL, by column.
    pub mapped: BTreeMap<String, u64>,
    /// Why it could not be compared: then nothing is known of its rows.
    pub not_compared: Option<String>,
    /// Why the mirror no longer follows it. Its rows are compared all the same.
    pub stopped: Option<String>,
}

/// A row that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The row's key; of a table without one the whole row.
    pub key: Vec<KeyPart>,
    /// What is wrong with it.
    pub kind: DifferenceKind,
    /// How often it is in the source.
    pub source_count: u64,
    /// How often it is in the mirror.
    pub mirror_count: u64,
    /// The columns whose values differ, where the row is on both sides.
    pub columns: Vec<ColumnDifference>,
}

/// A column of a key and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyPart {
    /// The column.
    pub column: String,
    /// Its value as text; `None` is NULL.
    pub value: Option<String>,
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

impl fmt::Display for Difference {
    /// The key, then a line for each thing that is wrong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.key.iter().enumerate() {
            write!(f, "{}{}={}", if i == 0 { "" } else { ", " }, part.column, Shown(part.value.as_deref()))?;
        }
        match self.kind {
            DifferenceKind::MissingInMirror => write!(f, "\n  only in the source")?,
            DifferenceKind::OnlyInMirror => write!(f, "\n  only in the mirror")?,
            DifferenceKind::MoreThanOnce => {
                write!(f, "\n  the source has it {}×, the mirror {}×", self.source_count, self.mirror_count)?;
            }
            DifferenceKind::Values => {}
        }
        for c in &self.columns {
            write!(f, "\n  {}: source {}, mirror {}", c.column, Shown(c.source.as_deref()), Shown(c.mirror.as_deref()))?;
        }
        Ok(())
    }
}

/// A value as people read it: in quotes where it would be mistaken for something else, or its blanks be overlooked.
struct Shown<'a>(Option<&'a str>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("NULL"),
            Some(text)
                if text.is_empty() || text == "NULL" || text.chars().any(|c| !c.is_alphanumeric() && !"+-.:_".contains(c)) =>
            {
                write!(f, "{text:?}")
            }
            Some(text) => f.write_str(text),
        }
    }
}

/// A value that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnDifference {
    /// The column.
    pub column: String,
    /// Its value in the source, as text; `None` is NULL.
    pub source: Option<String>,
    /// Its value in the mirror.
    pub mirror: Option<String>,
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
        self.different == 0 && self.unsettled == 0 && self.not_compared.is_none()
    }

    /// All mapped values.
    pub fn mapped_values(&self) -> u64 {
        self.mapped.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_key_columns_and_both_values_so_that_none_is_mistaken() {
        let some = |text: &str| Some(text.to_owned());
        let part = |column: &str, value| KeyPart { column: column.to_owned(), value };
        let difference = Difference {
            key: vec![part("id", some("7")), part("name", some("NULL")), part("x", None)],
            kind: DifferenceKind::MoreThanOnce,
            source_count: 1,
            mirror_count: 2,
            columns: vec![
                ColumnDifference { column: "v".to_owned(), source: some("a"), mirror: some("a ") },
                ColumnDifference { column: "w".to_owned(), source: None, mirror: some("") },
            ],
        };
        let shown = "id=7, name=\"NULL\", x=NULL\n  the source has it 1×, the mirror 2×\n  v: source a, mirror \"a \"\n  w: source NULL, mirror \"\"";
        assert_eq!(difference.to_string(), shown);
    }
}
