//! What a field of a Connect schema is as a column: its logical type and the form of its values. See "Reading what others wrote" in the
//! README for the table.

use crate::columns::{ColumnBuffer, Data};
use crate::config::Profile;
use crate::connect_field::ConnectField;
use crate::decimal;
use crate::general::read_value;
use crate::reader::Reader;
use crate::wire::Wire;
use cdc_core::{Column, LogicalType, NativeType, Value};

/// A field as a column, without an id.
pub(crate) struct ForeignColumn {
    pub column: Column,
    pub wire: Wire,
    /// What the writer may have lost of the values.
    pub loss: Option<&'static str>,
}

const MILLISECONDS: &str = "its writer cuts fractions of seconds off behind the third digit (time.precision.mode=connect)";
const TIME_OF_DAY: &str = "its writer has null for times outside of 00:00 to 24:00 (time.precision.mode=connect or isostring)";
const MILLISECONDS_OF_DAY: &str = "its writer cuts fractions of seconds off behind the third digit, and has null for times outside of 00:00 to \
     24:00 (time.precision.mode=connect)";
const BINARY_FRACTION: &str = "its writer rounds the decimals to binary fractions (decimal.handling.mode=double)";

/// The column of `field`. `text` is the text that the field was read from. The error says what has no column.
pub(crate) fn foreign_column(text: &[u8], field: &ConnectField) -> Result<ForeignColumn, String> {
    let native = native_type(field);
    let (logical_type, form, loss) = meaning(field, &native)?;
    let shape = matches!(logical_type, LogicalType::Geometry { .. });
    let comment = field.parameter("__debezium.source.column.comment").or(field.doc.as_deref().filter(|_| !shape));
    let mut column = Column {
        field_id: 0,
        name: field.field.clone().unwrap_or_default(),
        logical_type,
        nullable: field.optional,
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: comment.filter(|c| !c.is_empty()).map(str::to_owned),
        native,
    };
    let wire = match form {
        Some(wire) => wire,
        None => Wire::of(&column, Profile::default()).ok_or_else(|| format!("its type {} has no column", description(field)))?,
    };
    column.default = field.default.and_then(|at| default_value(text, at, wire, &column.logical_type));
    Ok(ForeignColumn { column, wire, loss })
}

/// The type of the source, where `column.propagate.source.type` or `datatype.propagate.source.type` names it; else Connect's, for
/// messages.
fn native_type(field: &ConnectField) -> NativeType {
    let number = |name| field.parameter(name).and_then(|n| n.parse().ok());
    let Some(name) = field.parameter("__debezium.source.column.type") else {
        return NativeType { declaration: description(field), ..NativeType::default() };
    };
    let (length, scale) = (number("__debezium.source.column.length"), number("__debezium.source.column.scale"));
    let lower = name.to_lowercase();
    let (base, rest) = lower.split_once(' ').map_or((lower.as_str(), String::new()), |(base, rest)| (base, format!(" {rest}")));
    let declaration = match (length, scale) {
        (Some(length), Some(scale)) => format!("{base}({length},{scale}){rest}"),
        (Some(length), None) => format!("{base}({length}){rest}"),
        _ => format!("{base}{rest}"),
    };
    NativeType { name: name.to_uppercase(), declaration, length, scale, ..NativeType::default() }
}

fn description(field: &ConnectField) -> String {
    field.name.as_ref().map_or_else(|| field.kind.clone(), |name| format!("{} {name}", field.kind))
}

/// The first word of the source's type, and whether it is unsigned.
fn base_type(native: &NativeType) -> (&str, bool) {
    let mut words = native.name.split_whitespace();
    let base = words.next().unwrap_or_default();
    (base, words.any(|word| word == "UNSIGNED" || word == "ZEROFILL"))
}

pub(crate) fn holds_bytes(native: &NativeType) -> bool {
    matches!(base_type(native).0, "BINARY" | "VARBINARY" | "TINYBLOB" | "BLOB" | "MEDIUMBLOB" | "LONGBLOB" | "BYTEA")
}

fn holds_decimals(native: &NativeType) -> bool {
    matches!(base_type(native).0, "DECIMAL" | "NUMERIC" | "DEC" | "FIXED")
}

type Meaning = (LogicalType, Option<Wire>, Option<&'static str>);

/// Logical type, form of the values if it is not the one under [`Profile::default`], and what is lost.
fn meaning(field: &ConnectField, native: &NativeType) -> Result<Meaning, String> {
    let name = field.name.as_deref().unwrap_or_default();
    let plain = |logical| Ok((logical, None, None));
    match (field.kind.as_str(), name) {
        ("int32", "io.debezium.time.Date" | "org.apache.kafka.connect.data.Date") => plain(LogicalType::Date),
        ("string", "io.debezium.time.IsoDate") => Ok((LogicalType::Date, Some(Wire::DayText), None)),
        ("int32", "io.debezium.time.Time") => Ok((LogicalType::Time { fraction: 3 }, Some(Wire::Millis), None)),
        ("int32", "org.apache.kafka.connect.data.Time") => {
            Ok((LogicalType::Time { fraction: 3 }, Some(Wire::Millis), Some(MILLISECONDS_OF_DAY)))
        }
        ("int64", "io.debezium.time.MicroTime") => plain(LogicalType::Time { fraction: 6 }),
        ("int64", "io.debezium.time.NanoTime") => Ok((LogicalType::Time { fraction: 6 }, Some(Wire::Nanos), None)),
        ("string", "io.debezium.time.IsoTime") => {
            Ok((LogicalType::Time { fraction: 6 }, Some(Wire::TimeText), Some(TIME_OF_DAY)))
        }
        ("int64", "io.debezium.time.Timestamp") => plain(LogicalType::Timestamp { fraction: 3 }),
        ("int64", "org.apache.kafka.connect.data.Timestamp") => {
            Ok((LogicalType::Timestamp { fraction: 3 }, None, Some(MILLISECONDS)))
        }
        ("int64", "io.debezium.time.MicroTimestamp") => plain(LogicalType::Timestamp { fraction: 6 }),
        ("int64", "io.debezium.time.NanoTimestamp") => Ok((LogicalType::Timestamp { fraction: 6 }, Some(Wire::Nanos), None)),
        ("string", "io.debezium.time.IsoTimestamp") => Ok((LogicalType::Timestamp { fraction: 6 }, Some(Wire::Instant), None)),
        ("string", "io.debezium.time.ZonedTimestamp") => plain(LogicalType::TimestampTz { fraction: 6 }),
        ("int32", "io.debezium.time.Year") => plain(LogicalType::Year),
        ("bytes", "org.apache.kafka.connect.data.Decimal") => exact_decimal(field, native),
        ("bytes", "io.debezium.data.Bits") => match field.parameter("length").and_then(|n| n.parse().ok()) {
            Some(length @ 1..=64) => plain(LogicalType::Bits { length }),
            _ => plain(LogicalType::Binary),
        },
        ("string", "io.debezium.data.Json") => plain(LogicalType::Json),
        ("string", "io.debezium.data.Uuid") => plain(LogicalType::Uuid),
        ("string", "io.debezium.data.Enum" | "io.debezium.data.EnumSet") => plain(match field.parameter("allowed") {
            Some(allowed) if name.ends_with("Set") => LogicalType::Set { values: allowed_values(allowed) },
            Some(allowed) => LogicalType::Enum { values: allowed_values(allowed) },
            None => LogicalType::String,
        }),
        (
            "struct",
            "io.debezium.data.geometry.Point" | "io.debezium.data.geometry.Geometry" | "io.debezium.data.geometry.Geography",
        ) => {
            let known = |f: &ConnectField| matches!(f.field.as_deref(), Some("x" | "y" | "wkb" | "srid"));
            match field.fields.iter().find(|f| !known(f)).and_then(|f| f.field.as_ref()) {
                None => plain(LogicalType::Geometry { point: name.ends_with("Point") }),
                Some(part) => Err(format!("its type {name} has a part {part:?} besides x, y, wkb and srid")),
            }
        }
        ("array", "io.debezium.data.FloatVector") if field.items.as_ref().is_some_and(|i| i.kind == "float" && !i.optional) => {
            plain(LogicalType::Vector)
        }
        ("struct", "io.debezium.data.VariableScaleDecimal") => {
            Err("its decimals have a scale each, which no column has (decimal.handling.mode=string writes them as text)"
                .to_owned())
        }
        // A semantic type that is not known: its values are those of the type under it.
        ("boolean", _) => plain(LogicalType::Boolean),
        ("int8", _) => plain(LogicalType::Integer { bits: 8, unsigned: false }),
        ("int16", _) => plain(integer(16, native)),
        ("int32", _) => plain(integer(32, native)),
        ("int64", _) => plain(integer(64, native)),
        ("float", _) => plain(LogicalType::Float),
        ("double", _) => Ok((LogicalType::Double, None, holds_decimals(native).then_some(BINARY_FRACTION))),
        ("string", "") if holds_decimals(native) => Ok(decimal_text(native)),
        ("string", _) => plain(LogicalType::String),
        ("bytes", _) => plain(LogicalType::Binary),
        _ => Err(format!("its type {} has no column", description(field))),
    }
}

/// A whole number of Connect's width; the source's own type says more, where it is known and fits into that width.
fn integer(bits: u8, native: &NativeType) -> LogicalType {
    let (base, unsigned) = base_type(native);
    let own = match base {
        "TINYINT" => 8,
        "SMALLINT" => 16,
        "MEDIUMINT" => 24,
        "INT" | "INTEGER" => 32,
        "BIGINT" => 64,
        _ => bits,
    };
    // What Debezium writes an integer of this type as.
    let written = match (own, unsigned) {
        (8, _) | (16, false) => 16,
        (16, true) | (24, _) | (32, false) => 32,
        _ => 64,
    };
    if written == bits { LogicalType::Integer { bits: own, unsigned } } else { LogicalType::Integer { bits, unsigned: false } }
}

/// Connect's `Decimal`. Without a precision it has the largest that is a number in columns.
fn exact_decimal(field: &ConnectField, native: &NativeType) -> Result<Meaning, String> {
    let scale = field.parameter("scale").unwrap_or("0");
    let digits = field.parameter("connect.decimal.precision");
    let refused = || {
        let digits = digits.map_or_else(String::new, |digits| format!("{digits} digits and "));
        format!(
            "its decimals have {digits}scale {scale}, beyond 65 digits and scale 30 (decimal.handling.mode=string writes text)"
        )
    };
    let scale = scale.parse::<u8>().ok().filter(|scale| *scale <= 30).ok_or_else(refused)?;
    let precision = match digits {
        Some(digits) => digits.parse::<u8>().ok().filter(|p| (1..=65).contains(p)).ok_or_else(refused)?,
        None => 38,
    };
    if scale == 0 && base_type(native) == ("BIGINT", true) {
        return Ok((LogicalType::Integer { bits: 64, unsigned: true }, Some(Wire::ExactU64), None));
    }
    // PostgreSQL's numeric(3,5) has no digits before the point.
    Ok((LogicalType::Decimal { precision: precision.max(scale), scale }, None, None))
}

/// A decimal as text, if the source's type says how many digits it has.
fn decimal_text(native: &NativeType) -> Meaning {
    let small = |n: Option<u32>| n.and_then(|n| u8::try_from(n).ok());
    let scale = native.scale.map_or(Some(0), |scale| small(Some(scale)));
    match (small(native.length), scale) {
        (Some(precision @ 1..=65), Some(scale @ 0..=30)) if scale <= precision => {
            let wire = match precision <= 38 {
                true => Wire::DecimalText { precision, scale },
                false => Wire::WideDecimalText { precision, scale },
            };
            (LogicalType::Decimal { precision, scale }, Some(wire), None)
        }
        _ => (LogicalType::String, None, None),
    }
}

/// The values in the parameter `allowed`: separated by commas, a comma in a value has a backslash before it.
fn allowed_values(allowed: &str) -> Vec<String> {
    let mut values = vec![String::new()];
    let mut rest = allowed.chars().peekable();
    while let Some(c) = rest.next() {
        match (c, values.last_mut()) {
            ('\\', Some(value)) if rest.next_if_eq(&',').is_some() => value.push(','),
            (',', _) => values.push(String::new()),
            (c, Some(value)) => value.push(c),
            (_, None) => {}
        }
    }
    values
}

/// The default whose text begins at `at`. None for one that is no value of its column, and for the epoch in a column of points in
/// time: Debezium writes that for `CURRENT_TIMESTAMP` and for zero dates. No row depends on a default: events carry every value.
fn default_value(text: &[u8], at: usize, wire: Wire, logical: &LogicalType) -> Option<Value> {
    let mut buffer = ColumnBuffer::new(wire);
    read_value(&mut Reader::new(text, at), wire, &mut buffer, 0, &mut Vec::new(), &mut Vec::new()).ok()?;
    let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let value = match (&buffer.data, logical) {
        (Data::Boolean(values), _) => Value::Boolean((values.len() == 1).then(|| values.get_bit(0))?),
        (Data::Int32(values), _) => Value::Int(i64::from(*values.first()?)),
        (Data::Int64(values), _) => Value::Int(*values.first()?),
        (Data::Decimal(values), LogicalType::Decimal { scale, .. }) => {
            let mut out = Vec::new();
            decimal::write_text(&mut out, *values.first()?, *scale);
            Value::Decimal(string(&out)?)
        }
        (Data::Decimal(values), _) => Value::UInt(u64::try_from(*values.first()?).ok()?),
        (Data::Float(values), _) => Value::Float(*values.first()?),
        (Data::Double(values), _) => Value::Double(*values.first()?),
        (Data::Text(values), LogicalType::Decimal { .. }) => Value::Decimal(string(&values.data)?),
        (Data::Text(values), _) => Value::String(string(&values.data)?),
        (Data::Bytes(values), _) => Value::Bytes(values.data.clone()),
        (Data::Uuid(values), _) => Value::Bytes(values.first()?.to_vec()),
        (Data::Geometry { wkb, srid, no_srid }, _) => {
            Value::Geometry { wkb: wkb.data.clone(), srid: srid.first().copied().filter(|_| no_srid.is_empty()) }
        }
        (Data::Vector { elements, .. }, _) => Value::Vector(elements.clone()),
    };
    let point_in_time = matches!(logical, LogicalType::Date | LogicalType::Timestamp { .. } | LogicalType::TimestampTz { .. });
    (!point_in_time || value != Value::Int(0)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::allowed_values;

    #[test]
    fn allowed_values_may_have_commas() {
        assert_eq!(allowed_values("a,b,c\\,d,e'f"), ["a", "b", "c,d", "e'f"]);
        assert_eq!(allowed_values("a\\b,\\,"), ["a\\b", ","]);
        assert_eq!(allowed_values(""), [""]);
    }
}
