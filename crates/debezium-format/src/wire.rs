//! How a column's values look in an event: decided once per column from its logical type, the modes and the connector.

use crate::config::{BigintUnsigned, BinaryMode, Connector, DecimalMode, Profile, TimePrecision};
use cdc_core::{Column, LogicalType};

/// The form of one column's values. Each belongs to exactly one Arrow type, [`LogicalType::arrow_type`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// `true`, `false`.
    Boolean,
    /// A number between two bounds, in an `Int32` column.
    Int32 { min: i32, max: i32 },
    /// A number between two bounds, in an `Int64` column.
    Int64 { min: i64, max: i64 },
    /// Days, in a `Date32` column.
    Days,
    /// An ISO day, in a `Date32` column.
    DayText,
    /// `BIGINT UNSIGNED` as a wrapping signed number, in a `Decimal128(20, 0)` column.
    WrappedU64,
    /// `BIGINT UNSIGNED` as base64 of a number, in a `Decimal128(20, 0)` column.
    ExactU64,
    /// Base64 of an unscaled number, in a `Decimal128` column.
    Decimal { precision: u8, scale: u8 },
    /// Plain text, in a `Decimal128` column.
    DecimalText { precision: u8, scale: u8 },
    /// Base64 of an unscaled number, in a `Utf8` column.
    WideDecimal { precision: u8, scale: u8 },
    /// Plain text, in a `Utf8` column.
    WideDecimalText { precision: u8, scale: u8 },
    /// A `float` number.
    Float,
    /// A 32-bit float that Debezium declares as `double` (`FLOAT(7,3)`).
    FloatAsDouble,
    /// A `double` number.
    Double,
    /// Base64 of a fixed number of bytes.
    Bits { bytes: u8 },
    /// A string.
    Text,
    /// Base64.
    Bytes,
    /// Base64 with `-` and `_`, in a `Binary` column.
    UrlBase64,
    /// Hexadecimal digits, in a `Binary` column.
    Hex,
    /// Milliseconds, in a microsecond column.
    Millis,
    /// Microseconds, in a microsecond column without a zone.
    Micros,
    /// Nanoseconds, in a microsecond column.
    Nanos,
    /// An ISO time of day, in a column of microseconds.
    TimeText,
    /// ISO text, in a microsecond column; in UTC if the column has a zone.
    Instant,
    /// An object of well-known binary and spatial reference system; a point has x and y as well.
    Geometry { point: bool },
    /// An array of numbers.
    Vector,
    /// Hexadecimal text with hyphens, in a 16-byte column.
    Uuid,
}

impl Wire {
    /// The form of `column`; `None` if this crate does not know the type.
    pub fn of(column: &Column, profile: Profile) -> Option<Self> {
        Some(match column.logical_type {
            LogicalType::Boolean => Self::Boolean,
            LogicalType::Integer { bits: 64, unsigned: true } => match profile.bigint_unsigned {
                BigintUnsigned::Long => Self::WrappedU64,
                // Debezium's connectors write these as Decimals whatever the mode of the decimals.
                BigintUnsigned::Precise => Self::ExactU64,
            },
            LogicalType::Integer { bits: 64, .. } => Self::Int64 { min: i64::MIN, max: i64::MAX },
            LogicalType::Integer { bits: 32, unsigned: true } => Self::Int64 { min: 0, max: u32::MAX as i64 },
            LogicalType::Integer { bits, unsigned } => match (bits, unsigned) {
                (8, false) => Self::Int32 { min: -0x80, max: 0x7f },
                (8, true) => Self::Int32 { min: 0, max: 0xff },
                (16, false) => Self::Int32 { min: -0x8000, max: 0x7fff },
                (16, true) => Self::Int32 { min: 0, max: 0xffff },
                (24, false) => Self::Int32 { min: -0x80_0000, max: 0x7f_ffff },
                (24, true) => Self::Int32 { min: 0, max: 0xff_ffff },
                (32, false) => Self::Int32 { min: i32::MIN, max: i32::MAX },
                _ => return None,
            },
            LogicalType::Decimal { precision, scale } => match (precision <= 38, profile.decimals) {
                (true, DecimalMode::Precise) => Self::Decimal { precision, scale },
                (true, DecimalMode::String) => Self::DecimalText { precision, scale },
                (false, DecimalMode::Precise) => Self::WideDecimal { precision, scale },
                (false, DecimalMode::String) => Self::WideDecimalText { precision, scale },
            },
            // Debezium reads the scale of FLOAT(M,D) as a wish for a double.
            LogicalType::Float if column.native.scale.is_some() => Self::FloatAsDouble,
            LogicalType::Float => Self::Float,
            LogicalType::Double => Self::Double,
            LogicalType::Bits { length } => Self::Bits { bytes: length.div_ceil(8) },
            LogicalType::String
            | LogicalType::Enum { .. }
            | LogicalType::Set { .. }
            | LogicalType::Json
            | LogicalType::Inet { .. } => Self::Text,
            LogicalType::Binary => match profile.binary {
                // The same text, whether Connect makes it of bytes or Debezium itself.
                BinaryMode::Bytes | BinaryMode::Base64 => Self::Bytes,
                BinaryMode::Base64UrlSafe => Self::UrlBase64,
                BinaryMode::Hex => Self::Hex,
            },
            LogicalType::Date => match profile.time {
                TimePrecision::IsoString => Self::DayText,
                _ => Self::Days,
            },
            LogicalType::Time { fraction } => match profile.time {
                TimePrecision::Connect => Self::Millis,
                TimePrecision::Adaptive if fraction <= 3 => Self::Millis,
                TimePrecision::IsoString => Self::TimeText,
                TimePrecision::Nanoseconds => Self::Nanos,
                _ => Self::Int64 { min: i64::MIN, max: i64::MAX },
            },
            LogicalType::Timestamp { fraction } => match profile.time {
                TimePrecision::Connect => Self::Millis,
                TimePrecision::IsoString => Self::Instant,
                TimePrecision::Nanoseconds => Self::Nanos,
                TimePrecision::AdaptiveTimeMicroseconds | TimePrecision::Adaptive if fraction <= 3 => Self::Millis,
                _ => Self::Micros,
            },
            LogicalType::TimestampTz { .. } => Self::Instant,
            LogicalType::Year => Self::Int32 { min: i32::MIN, max: i32::MAX },
            LogicalType::Geometry { point } => Self::Geometry { point },
            LogicalType::Vector => Self::Vector,
            LogicalType::Uuid => Self::Uuid,
            _ => return None,
        })
    }
}

/// A column's schema as Kafka Connect describes it, without optionality, default and field name.
pub(crate) struct Semantic {
    /// `type`, with what comes between it and `optional`.
    pub body: String,
    /// `name`; its version is always 1.
    pub name: Option<&'static str>,
    /// `doc`.
    pub doc: Option<String>,
    /// `parameters`, in Debezium's order.
    pub parameters: Vec<(&'static str, String)>,
}

impl Semantic {
    /// The schema of `column`, whose form is `wire`.
    pub fn of(column: &Column, wire: Wire, connector: Connector) -> Self {
        let plain = |kind: &str| Self { body: format!("\"type\":\"{kind}\""), name: None, doc: None, parameters: Vec::new() };
        let named = |kind: &str, name| Self { name: Some(name), ..plain(kind) };
        let decimal = |precision: u8, scale: u8| Self {
            parameters: vec![("scale", scale.to_string()), ("connect.decimal.precision", precision.to_string())],
            ..named("bytes", "org.apache.kafka.connect.data.Decimal")
        };
        let allowed = |name, values: &[String]| Self {
            parameters: vec![("allowed", values.iter().map(|v| v.replace(',', "\\,")).collect::<Vec<_>>().join(","))],
            ..named("string", name)
        };
        let mut schema = match (&column.logical_type, wire) {
            (_, Wire::ExactU64) => decimal(20, 0),
            (_, Wire::Decimal { precision, scale } | Wire::WideDecimal { precision, scale }) => decimal(precision, scale),
            (_, Wire::DecimalText { .. } | Wire::WideDecimalText { .. }) => plain("string"),
            (LogicalType::Boolean, _) => plain("boolean"),
            (LogicalType::Integer { bits: 8, .. } | LogicalType::Integer { bits: 16, unsigned: false }, _) => plain("int16"),
            (LogicalType::Year, _) => named("int32", "io.debezium.time.Year"),
            (LogicalType::Date, _) => named("int32", "io.debezium.time.Date"),
            (LogicalType::Time { .. }, _) => named("int64", "io.debezium.time.MicroTime"),
            (_, Wire::Int32 { .. }) => plain("int32"),
            (_, Wire::Int64 { .. } | Wire::WrappedU64) => plain("int64"),
            (_, Wire::Float) => plain("float"),
            (_, Wire::FloatAsDouble | Wire::Double) => plain("double"),
            (LogicalType::Bits { length }, _) => {
                Self { parameters: vec![("length", length.to_string())], ..named("bytes", "io.debezium.data.Bits") }
            }
            (_, Wire::Millis) => named("int64", "io.debezium.time.Timestamp"),
            (_, Wire::Micros) => named("int64", "io.debezium.time.MicroTimestamp"),
            (_, Wire::Instant) => named("string", "io.debezium.time.ZonedTimestamp"),
            (LogicalType::Enum { values }, _) => allowed("io.debezium.data.Enum", values),
            (LogicalType::Set { values }, _) => allowed("io.debezium.data.EnumSet", values),
            (LogicalType::Json, _) if connector == Connector::Mysql => named("string", "io.debezium.data.Json"),
            (_, Wire::Bytes) => plain("bytes"),
            (_, Wire::Geometry { point: true }) => Self {
                body: concat!(
                    r#""type":"struct","fields":[{"type":"double","optional":false,"field":"x"},"#,
                    r#"{"type":"double","optional":false,"field":"y"},{"type":"bytes","optional":true,"field":"wkb"},"#,
                    r#"{"type":"int32","optional":true,"field":"srid"}]"#
                )
                .to_owned(),
                name: Some("io.debezium.data.geometry.Point"),
                doc: Some("Geometry (POINT)".to_owned()),
                parameters: Vec::new(),
            },
            (_, Wire::Geometry { point: false }) => Self {
                body: concat!(
                    r#""type":"struct","fields":[{"type":"bytes","optional":false,"field":"wkb"},"#,
                    r#"{"type":"int32","optional":true,"field":"srid"}]"#
                )
                .to_owned(),
                name: Some("io.debezium.data.geometry.Geometry"),
                doc: Some("Geometry".to_owned()),
                parameters: Vec::new(),
            },
            (_, Wire::Vector) => Self {
                body: r#""type":"array","items":{"type":"float","optional":false}"#.to_owned(),
                name: Some("io.debezium.data.FloatVector"),
                doc: None,
                parameters: Vec::new(),
            },
            (_, Wire::Uuid) => named("string", "io.debezium.data.Uuid"),
            _ => plain("string"),
        };
        // Debezium's MariaDB connector hands comments on, its MySQL connector does not.
        if connector == Connector::Mariadb && schema.doc.is_none() {
            schema.doc = column.comment.clone();
        }
        schema
    }
}
