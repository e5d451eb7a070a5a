use crate::types::{FIELD_ID_KEY, LogicalType};
use crate::value::Value;
use arrow_schema::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The name of a source table: database (or schema) and table, exactly as the server spells them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId {
    /// Database (MySQL) or schema (PostgreSQL).
    pub database: String,
    /// Table.
    pub table: String,
}

impl TableId {
    /// A table's name.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Self {
        Self { database: database.into(), table: table.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.table)
    }
}

/// How a generated column gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generated {
    /// Stored in the row, and in the row events.
    Stored,
    /// Computed when read.
    Virtual,
}

/// A column's type as the server declares it, for schema-change events and for messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct NativeType {
    /// The base name in upper case, with `UNSIGNED` where it applies: `INT UNSIGNED`, `VARCHAR`, `ENUM`.
    pub name: String,
    /// The full declaration as `information_schema.columns.column_type` prints it: `varchar(255)`.
    pub declaration: String,
    /// Length or display width or precision, where declared.
    pub length: Option<u32>,
    /// Scale, where declared.
    pub scale: Option<u32>,
    /// Character set of text, `None` for others.
    pub charset: Option<String>,
    /// Collation of text.
    pub collation: Option<String>,
}

/// One column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Its identity over renames and moves; from 1, never used twice in one table.
    pub field_id: i32,
    /// Its name, as the server spells it.
    pub name: String,
    /// What it means.
    pub logical_type: LogicalType,
    /// May hold NULL.
    pub nullable: bool,
    /// The declared constant default; `Some(Value::Null)` is an explicit or implied NULL, `None` is no constant default.
    pub default: Option<Value>,
    /// The declared default is an expression such as `CURRENT_TIMESTAMP`.
    pub default_expression: Option<String>,
    /// The server numbers it.
    pub auto_increment: bool,
    /// It is generated.
    pub generated: Option<Generated>,
    /// Its comment, if not empty.
    pub comment: Option<String>,
    /// The server's own declaration.
    pub native: NativeType,
}

/// A table's columns and key under one version.
///
/// Column order is the server's. A version is written once and never changes; rows name the version they were read under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The table.
    pub table: TableId,
    /// From 1, one more for each change of layout or key.
    pub version: u32,
    /// All columns, in the server's order.
    pub columns: Vec<Column>,
    /// Indices into `columns` of the key, in key order: the primary key, else the first unique key without NULLs; empty if
    /// there is none.
    pub key: Vec<usize>,
    /// The highest field id ever given in this table.
    pub last_field_id: i32,
    /// The table's comment, if not empty.
    pub comment: Option<String>,
    /// The table's default character set.
    pub charset: Option<String>,
}

impl TableSchema {
    /// The columns of the key, in key order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.key.iter().filter_map(|&i| self.columns.get(i))
    }

    /// The Arrow schema of row images under this version: one field per column, with its field id as metadata.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::arrow_field).collect::<Vec<_>>()))
    }
}

impl Column {
    /// The Arrow field of this column, with its field id as metadata.
    pub fn arrow_field(&self) -> Field {
        Field::new(&self.name, self.logical_type.arrow_type(), self.nullable)
            .with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), self.field_id.to_string())]))
    }
}
