//! One value in its event form: from an Arrow column, on the hot path, and from the row form, for defaults in schemas.

use crate::base64_text;
use crate::decimal;
use crate::number_text::{write_double, write_float, write_integer};
use crate::string_text::write_string;
use crate::time_text::write_instant;
use crate::wire::Wire;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, ListArray, StringArray};
use arrow_buffer::NullBuffer;
use cdc_core::Value;

/// One column of a batch, taken apart once per batch.
pub(crate) struct ColumnView<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

enum Values<'a> {
    Boolean(&'a BooleanArray),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Decimal(&'a [i128]),
    Float(&'a [f32]),
    Double(&'a [f64]),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Uuid(&'a FixedSizeBinaryArray),
    Geometry { wkb: &'a BinaryArray, srid: &'a [i32], srid_nulls: Option<&'a NullBuffer> },
    Vector { list: &'a ListArray, elements: &'a [f32] },
}

impl<'a> ColumnView<'a> {
    /// Takes apart `array`, which must have the Arrow type of the logical type that `wire` was made of.
    pub fn new(array: &'a ArrayRef, wire: Wire) -> Option<Self> {
        let values = match wire {
            Wire::Boolean => Values::Boolean(array.as_boolean_opt()?),
            Wire::Int32 { .. } => Values::Int32(array.as_primitive_opt::<Int32Type>()?.values()),
            Wire::Days => Values::Int32(array.as_primitive_opt::<Date32Type>()?.values()),
            Wire::Int64 { .. } => Values::Int64(array.as_primitive_opt::<Int64Type>()?.values()),
            Wire::Millis | Wire::Micros | Wire::Instant => {
                Values::Int64(array.as_primitive_opt::<TimestampMicrosecondType>()?.values())
            }
            Wire::WrappedU64 | Wire::ExactU64 | Wire::Decimal { .. } | Wire::DecimalText { .. } => {
                Values::Decimal(array.as_primitive_opt::<Decimal128Type>()?.values())
            }
            Wire::Float | Wire::FloatAsDouble => Values::Float(array.as_primitive_opt::<Float32Type>()?.values()),
            Wire::Double => Values::Double(array.as_primitive_opt::<Float64Type>()?.values()),
            Wire::Text | Wire::WideDecimal { .. } | Wire::WideDecimalText { .. } => Values::Text(array.as_string_opt::<i32>()?),
            Wire::Bytes | Wire::Bits { .. } => Values::Bytes(array.as_binary_opt::<i32>()?),
            Wire::Uuid => Values::Uuid(array.as_fixed_size_binary_opt().filter(|a| a.value_length() == 16)?),
            Wire::Geometry { .. } => {
                let shape = array.as_struct_opt()?;
                let srid = shape.column_by_name("srid")?.as_primitive_opt::<Int32Type>()?;
                let wkb = shape.column_by_name("wkb")?.as_binary_opt::<i32>()?;
                Values::Geometry { wkb, srid: srid.values(), srid_nulls: srid.nulls() }
            }
            Wire::Vector => {
                let list = array.as_list_opt::<i32>()?;
                Values::Vector { list, elements: list.values().as_primitive_opt::<Float32Type>()?.values() }
            }
            // Forms that are read only; an encoder refuses the modes that have them.
            Wire::DayText | Wire::TimeText | Wire::Nanos | Wire::UrlBase64 | Wire::Hex => return None,
        };
        Some(Self { nulls: array.nulls(), values })
    }

    /// Appends the value in `row`, which must be a row of the batch. `None` if it is no value of its type; part of it may be appended.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>, wire: Wire, row: usize) -> Option<()> {
        if self.nulls.is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return Some(());
        }
        match (&self.values, wire) {
            (Values::Int32(values), _) => write_integer(out, i64::from(*values.get(row)?)),
            (Values::Int64(values), Wire::Millis) => write_integer(out, values.get(row)?.div_euclid(1000)),
            (Values::Int64(values), Wire::Instant) => {
                out.push(b'"');
                write_instant(out, *values.get(row)?);
                out.push(b'"');
            }
            (Values::Int64(values), _) => write_integer(out, *values.get(row)?),
            (Values::Text(values), Wire::WideDecimal { scale, .. }) => write_wide(out, values.value(row), scale)?,
            (Values::Text(values), _) => write_string(out, values.value(row)),
            (Values::Decimal(values), wire) => write_decimal(out, wire, *values.get(row)?)?,
            (Values::Double(values), _) => write_double(out, *values.get(row)?),
            (Values::Float(values), wire) => write_single(out, wire, *values.get(row)?),
            (Values::Boolean(values), _) => write_boolean(out, values.value(row)),
            (Values::Bytes(values), wire) => write_bytes(out, wire, values.value(row))?,
            (Values::Uuid(values), _) => write_uuid(out, values.value(row))?,
            (Values::Geometry { wkb, srid, srid_nulls }, wire) => {
                let known = !srid_nulls.is_some_and(|nulls| nulls.is_null(row));
                write_geometry(out, wire, wkb.value(row), srid.get(row).copied().filter(|_| known))?;
            }
            (Values::Vector { list, elements }, _) => {
                let offsets = list.value_offsets();
                let (from, to) = (*offsets.get(row)?, *offsets.get(row.checked_add(1)?)?);
                write_vector(out, elements.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)?);
            }
        }
        Some(())
    }
}

/// Appends a value in row form. `None` if it is no value of `wire`.
pub(crate) fn write_value(out: &mut Vec<u8>, wire: Wire, value: &Value) -> Option<()> {
    match (wire, value) {
        (_, Value::Null) => out.extend_from_slice(b"null"),
        (Wire::Boolean, Value::Boolean(v)) => write_boolean(out, *v),
        (Wire::Boolean, Value::Int(v @ (0 | 1))) => write_boolean(out, *v == 1),
        (Wire::Int32 { .. } | Wire::Int64 { .. }, Value::Boolean(v)) => write_integer(out, i64::from(*v)),
        (Wire::Int32 { .. } | Wire::Int64 { .. } | Wire::Days | Wire::Micros, Value::Int(v)) => write_integer(out, *v),
        (Wire::Int64 { .. }, Value::UInt(v)) => write_integer(out, i64::try_from(*v).ok()?),
        (Wire::Millis, Value::Int(v)) => write_integer(out, v.div_euclid(1000)),
        (Wire::Instant, Value::Int(v)) => {
            out.push(b'"');
            write_instant(out, *v);
            out.push(b'"');
        }
        (Wire::WrappedU64 | Wire::ExactU64 | Wire::Decimal { .. } | Wire::DecimalText { .. }, Value::UInt(v)) => {
            write_decimal(out, wire, i128::from(*v))?
        }
        (Wire::WrappedU64 | Wire::ExactU64, Value::Int(v)) => write_decimal(out, wire, i128::from(*v))?,
        (Wire::Decimal { precision, scale } | Wire::DecimalText { precision, scale }, Value::Int(v)) => {
            write_decimal(out, wire, decimal::parse_text(v.to_string().as_bytes(), precision, scale)?)?;
        }
        (Wire::Decimal { precision, scale } | Wire::DecimalText { precision, scale }, Value::Decimal(text)) => {
            write_decimal(out, wire, decimal::parse_text(text.as_bytes(), precision, scale)?)?;
        }
        (Wire::WideDecimal { scale, .. }, Value::Decimal(text)) => write_wide(out, text, scale)?,
        (Wire::WideDecimalText { .. }, Value::Decimal(text)) => write_string(out, text),
        (Wire::Float | Wire::FloatAsDouble, Value::Float(v)) => write_single(out, wire, *v),
        (Wire::Float, Value::Double(v)) => write_float(out, *v as f32),
        (Wire::Double | Wire::FloatAsDouble, Value::Double(v)) => write_double(out, *v),
        (Wire::Double, Value::Float(v)) => write_double(out, f64::from(*v)),
        (Wire::Text, Value::String(v)) => write_string(out, v),
        (Wire::Bytes | Wire::Bits { .. }, Value::Bytes(v)) => write_bytes(out, wire, v)?,
        (Wire::Bytes, Value::String(v)) => write_bytes(out, wire, v.as_bytes())?,
        (Wire::Uuid, Value::Bytes(v)) => write_uuid(out, v)?,
        (Wire::Geometry { .. }, Value::Geometry { wkb, srid }) => write_geometry(out, wire, wkb, *srid)?,
        (Wire::Vector, Value::Vector(v)) => write_vector(out, v),
        _ => return None,
    }
    Some(())
}

fn write_boolean(out: &mut Vec<u8>, value: bool) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

#[inline]
fn write_decimal(out: &mut Vec<u8>, wire: Wire, value: i128) -> Option<()> {
    match wire {
        // The value's lower 64 bits: what Java makes of an unsigned long.
        Wire::WrappedU64 => write_integer(out, u64::try_from(value).ok()?.cast_signed()),
        Wire::ExactU64 if u64::try_from(value).is_err() => return None,
        Wire::DecimalText { scale, .. } => {
            out.push(b'"');
            decimal::write_plain(out, value, scale);
            out.push(b'"');
        }
        _ => {
            out.push(b'"');
            decimal::write_base64(out, value);
            out.push(b'"');
        }
    }
    Some(())
}

fn write_wide(out: &mut Vec<u8>, text: &str, scale: u8) -> Option<()> {
    out.push(b'"');
    decimal::write_base64_of_text(out, text.as_bytes(), scale)?;
    out.push(b'"');
    Some(())
}

fn write_single(out: &mut Vec<u8>, wire: Wire, value: f32) {
    if wire == Wire::FloatAsDouble { write_double(out, f64::from(value)) } else { write_float(out, value) }
}

fn write_bytes(out: &mut Vec<u8>, wire: Wire, value: &[u8]) -> Option<()> {
    if let Wire::Bits { bytes } = wire
        && value.len() != bytes as usize
    {
        return None;
    }
    out.push(b'"');
    base64_text::encode(value, out);
    out.push(b'"');
    Some(())
}

fn write_uuid(out: &mut Vec<u8>, value: &[u8]) -> Option<()> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    if value.len() != 16 {
        return None;
    }
    out.push(b'"');
    for (i, &byte) in value.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[HEX[(byte >> 4) as usize & 15], HEX[(byte & 15) as usize]]);
    }
    out.push(b'"');
    Some(())
}

fn write_geometry(out: &mut Vec<u8>, wire: Wire, wkb: &[u8], srid: Option<i32>) -> Option<()> {
    out.push(b'{');
    if wire == (Wire::Geometry { point: true }) {
        let (x, y) = point_of(wkb)?;
        out.extend_from_slice(b"\"x\":");
        write_double(out, x);
        out.extend_from_slice(b",\"y\":");
        write_double(out, y);
        out.push(b',');
    }
    out.extend_from_slice(b"\"wkb\":\"");
    base64_text::encode(wkb, out);
    out.extend_from_slice(b"\",\"srid\":");
    match srid {
        Some(srid) => write_integer(out, i64::from(srid)),
        None => out.extend_from_slice(b"null"),
    }
    out.push(b'}');
    Some(())
}

/// The coordinates of a point in well-known binary: byte order, type 1, two doubles.
fn point_of(wkb: &[u8]) -> Option<(f64, f64)> {
    let (&order, rest) = wkb.split_first()?;
    let (&kind, rest) = rest.split_first_chunk::<4>()?;
    let (&x, rest) = rest.split_first_chunk::<8>()?;
    let y: [u8; 8] = rest.try_into().ok()?;
    match order {
        1 if u32::from_le_bytes(kind) == 1 => Some((f64::from_le_bytes(x), f64::from_le_bytes(y))),
        0 if u32::from_be_bytes(kind) == 1 => Some((f64::from_be_bytes(x), f64::from_be_bytes(y))),
        _ => None,
    }
}

fn write_vector(out: &mut Vec<u8>, elements: &[f32]) {
    out.push(b'[');
    for (i, &element) in elements.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_float(out, element);
    }
    out.push(b']');
}
