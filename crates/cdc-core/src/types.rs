use arrow_schema::{DataType, Field, TimeUnit};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The Arrow field metadata key under which Parquet and Iceberg keep a column's field id.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// What a column means, independent of a server's spelling of it.
///
/// Each logical type has exactly one Arrow form, [`LogicalType::arrow_type`], which is also the one that Iceberg
/// tables hold: batches flow from a source to a table without a conversion.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LogicalType {
    /// True or false. MySQL: `BIT(1)`.
    Boolean,
    /// A whole number of 8, 16, 24, 32 or 64 bits.
    Integer {
        /// Width in bits on the server: 8, 16, 24, 32, 64.
        bits: u8,
        /// No negative values.
        unsigned: bool,
    },
    /// An exact decimal. Up to 38 digits it is a number in columns, above it is its plain text.
    Decimal {
        /// Digits in all, 1 to 65.
        precision: u8,
        /// Digits after the point, 0 to 30.
        scale: u8,
    },
    /// IEEE 754, 32 bits.
    Float,
    /// IEEE 754, 64 bits.
    Double,
    /// A bit string of 2 to 64 bits, held little-endian in `(length + 7) / 8` bytes, as Debezium writes it.
    Bits {
        /// Length in bits.
        length: u8,
    },
    /// Text, always UTF-8 in columns whatever the server's character set.
    String,
    /// Bytes.
    Binary,
    /// A calendar day, in days since 1970-01-01.
    Date,
    /// A signed duration of up to 838:59:59.999999 (MySQL's `TIME`), in microseconds.
    Time {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// A wall clock reading without a zone (MySQL's `DATETIME`), in microseconds since 1970-01-01 00:00.
    Timestamp {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// An instant (MySQL's `TIMESTAMP`), in microseconds since the Unix epoch, UTC.
    TimestampTz {
        /// Fraction digits, 0 to 6.
        fraction: u8,
    },
    /// A year, 1901 to 2155, or 0.
    Year,
    /// One of a list of texts.
    Enum {
        /// The allowed values, in their order.
        values: Vec<String>,
    },
    /// Any of a list of texts, as the comma-separated text in definition order.
    Set {
        /// The allowed values, in their order.
        values: Vec<String>,
    },
    /// A JSON document as the server prints it.
    Json,
    /// A shape: well-known binary and its spatial reference system.
    Geometry {
        /// The column is declared as `POINT`: Debezium's event also carries x and y.
        point: bool,
    },
    /// A list of 32-bit floats.
    Vector,
    /// A UUID, 16 bytes.
    Uuid,
    /// An IP address as text.
    Inet {
        /// IPv6 (and IPv4 in it), otherwise IPv4.
        v6: bool,
    },
}

impl LogicalType {
    /// The one Arrow type of this logical type.
    ///
    /// | logical | Arrow |
    /// |---|---|
    /// | integers to 24 bits unsigned, 32 signed | `Int32` |
    /// | 32 bits unsigned, 64 signed | `Int64` |
    /// | 64 bits unsigned | `Decimal128(20, 0)` |
    /// | decimal to 38 digits, above | `Decimal128(p, s)`, `Utf8` |
    /// | bits, binary | `Binary` |
    /// | time | `Int64`, microseconds |
    /// | timestamp, timestamp with zone | `Timestamp(us)`, `Timestamp(us, "+00:00")` |
    /// | year | `Int32` |
    /// | geometry | `Struct<wkb: Binary, srid: Int32?>` |
    /// | vector | `List<element: Float32>` |
    /// | uuid | `FixedSizeBinary(16)` |
    /// | text, enum, set, JSON, inet | `Utf8` |
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Integer { bits: 64, unsigned: true } => DataType::Decimal128(20, 0),
            Self::Integer { bits: 64, .. } | Self::Integer { bits: 32, unsigned: true } => DataType::Int64,
            Self::Integer { .. } | Self::Year => DataType::Int32,
            Self::Decimal { precision, scale } if *precision <= 38 => DataType::Decimal128(*precision, *scale as i8),
            Self::Decimal { .. } => DataType::Utf8,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Bits { .. } | Self::Binary => DataType::Binary,
            Self::String | Self::Enum { .. } | Self::Set { .. } | Self::Json | Self::Inet { .. } => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Time { .. } => DataType::Int64,
            Self::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
            Self::Geometry { .. } => DataType::Struct(
                vec![Field::new("wkb", DataType::Binary, false), Field::new("srid", DataType::Int32, true)].into(),
            ),
            Self::Vector => DataType::List(Arc::new(Field::new("element", DataType::Float32, false))),
            Self::Uuid => DataType::FixedSizeBinary(16),
        }
    }

    /// May be one of a table's equality (identifier) columns: the Iceberg specification forbids floats there, and
    /// nested values cannot be compared by readers.
    pub fn can_be_identifier(&self) -> bool {
        !matches!(self, Self::Float | Self::Double | Self::Geometry { .. } | Self::Vector)
    }
}
