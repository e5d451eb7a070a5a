use serde::{Deserialize, Serialize};

/// One value in row form: for defaults, keys of progress, tests and tools. Never on the hot path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Value {
    /// SQL NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// Any signed integer, a year, days of a date, microseconds of a time or timestamp.
    Int(i64),
    /// An unsigned integer above `i64::MAX`, or any value of a `BIGINT UNSIGNED`.
    UInt(u64),
    /// A 32-bit float.
    Float(f32),
    /// A 64-bit float.
    Double(f64),
    /// A decimal's plain text, exactly as many fraction digits as its scale.
    Decimal(String),
    /// Text.
    String(String),
    /// Bytes; bit strings little-endian; a UUID's 16 bytes.
    Bytes(Vec<u8>),
    /// A shape.
    Geometry {
        /// Well-known binary.
        wkb: Vec<u8>,
        /// Spatial reference system, if it has one.
        srid: Option<i32>,
    },
    /// A vector of floats.
    Vector(Vec<f32>),
}

/// A row in row form, in the order of its schema's columns.
pub type Row = Vec<Value>;
