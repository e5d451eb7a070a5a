//! Decoding rows of a query (binary protocol, connection in utf8mb4 and `time_zone = '+00:00'`) into the same columns as row
//! images, so that a snapshot and the stream give the same values.

use crate::decode::push_vector;
use crate::decode_buffers::{ColumnBuffer, RowBuffers, Values};
use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use crate::value::Literal;
use crate::{decimal, geometry, temporal};
use cdc_core::{LogicalType, TableSchema};
use mysql_async::{Row, Value};
use std::sync::Arc;

/// Decodes rows that have a table's columns in the order of its schema.
///
/// The rows must come over the binary protocol (prepared statements): the text protocol rounds FLOAT.
#[derive(Debug)]
pub struct SnapshotRowDecoder {
    schema: Arc<TableSchema>,
}

impl SnapshotRowDecoder {
    /// A decoder for rows of this schema version.
    pub fn new(schema: Arc<TableSchema>) -> Self {
        Self { schema }
    }

    /// The schema version of the rows.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Appends one row. A failed row leaves nothing behind.
    pub fn append(&self, row: &Row, buffers: &mut RowBuffers) -> DecodeResult<()> {
        self.append_values((0..row.len()).map(|i| row.as_ref(i).unwrap_or(&Value::NULL)), buffers)
    }

    /// Appends one row: a value for each column. A failed row leaves nothing behind.
    pub fn append_values<'v>(
        &self,
        row: impl ExactSizeIterator<Item = &'v Value>,
        buffers: &mut RowBuffers,
    ) -> DecodeResult<()> {
        let columns = self.schema.columns.len();
        if row.len() != columns || buffers.columns.len() != columns {
            let message = format!("a row of {} has {} values instead of {columns}", self.schema.table, row.len());
            return Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, message));
        }
        for ((value, column), buffer) in row.zip(&self.schema.columns).zip(&mut buffers.columns) {
            if let Err(e) = append(value, &column.logical_type, buffer) {
                buffers.roll_back();
                return Err(e.within(&column.name).within(&self.schema.table));
            }
        }
        buffers.appended(1);
        Ok(())
    }
}

fn append(value: &Value, logical: &LogicalType, column: &mut ColumnBuffer) -> DecodeResult<()> {
    use LogicalType as L;
    let unexpected = || {
        DecodeError::new(DecodeErrorKind::LayoutMismatch, format!("a query gives {value:?} for a column of {logical:?}"))
    };
    if matches!(value, Value::NULL) {
        return column.push_null();
    }
    match (logical, value, &mut column.values) {
        (L::Integer { .. } | L::Year, _, Values::Int32(v)) => {
            v.push(whole(value).and_then(|n| i32::try_from(n).ok()).ok_or_else(unexpected)?);
        }
        (L::Integer { .. }, _, Values::Int64(v)) => {
            v.push(whole(value).and_then(|n| i64::try_from(n).ok()).ok_or_else(unexpected)?);
        }
        (L::Integer { .. }, _, Values::Decimal(v)) => v.push(whole(value).ok_or_else(unexpected)?),
        (L::Decimal { scale, .. }, Value::Bytes(text), Values::Decimal(v)) => v.push(decimal::unscaled_of_text(text, *scale)?),
        (L::Float, Value::Float(n), Values::Float(v)) => v.push(*n),
        (L::Double, Value::Double(n), Values::Double(v)) => v.push(*n),
        (L::Boolean, Value::Bytes(bits), Values::Boolean(v)) => v.push(bits.last().is_some_and(|b| b & 1 != 0)),
        (L::Bits { length }, Value::Bytes(bits), Values::Binary(v)) => {
            let bytes = usize::from(length.div_ceil(8));
            v.push_with(|out| {
                out.extend(bits.iter().rev().copied().chain(std::iter::repeat(0)).take(bytes));
                Ok(())
            })?;
        }
        (L::Uuid, Value::Bytes(text), Values::Uuid(v)) => v.push(uuid(text).ok_or_else(unexpected)?),
        (_, Value::Bytes(text), Values::Text(v)) => {
            std::str::from_utf8(text).map_err(|_| DecodeError::invalid("the server sent text that is not UTF-8"))?;
            v.push(text)?;
        }
        (L::Binary, Value::Bytes(bytes), Values::Binary(v)) => {
            // BINARY(n) is padded by the server already.
            v.push(bytes)?;
        }
        (L::Date, Value::Date(y, m, d, ..), Values::Date(v)) => {
            match temporal::days(u32::from(*y), u32::from(*m), u32::from(*d)) {
                Some(days) => v.push(days),
                None => return column.push_mapped_date(),
            }
        }
        (L::Timestamp { .. } | L::TimestampTz { .. }, Value::Date(y, mo, d, h, mi, s, us), Values::Int64(v)) => {
            let [y, mo, d, h, mi, s] = [u32::from(*y), (*mo).into(), (*d).into(), (*h).into(), (*mi).into(), (*s).into()];
            match temporal::timestamp(y, mo, d, h, mi, s, *us) {
                Some(us) => v.push(us),
                None => return column.push_mapped_date(),
            }
        }
        (L::Time { .. }, Value::Time(negative, days, h, m, s, us), Values::Int64(v)) => {
            let hours = days.checked_mul(24).and_then(|d| d.checked_add(u32::from(*h))).filter(|h| *h <= 838);
            let magnitude = temporal::clock(hours.ok_or_else(unexpected)?, u32::from(*m), u32::from(*s), *us);
            v.push(if *negative { -magnitude } else { magnitude });
        }
        (L::Geometry { .. }, Value::Bytes(internal), Values::Geometry { wkb, srid }) => {
            let (system, shape) = geometry::split(internal)?;
            wkb.push(shape)?;
            srid.push(system);
        }
        (L::Vector, Value::Bytes(raw), Values::Vector { ends, floats }) => push_vector(raw, ends, floats)?,
        _ => return Err(unexpected()),
    }
    column.valid();
    Ok(())
}

fn whole(value: &Value) -> Option<i128> {
    match value {
        Value::Int(n) => Some(i128::from(*n)),
        Value::UInt(n) => Some(i128::from(*n)),
        _ => None,
    }
}

fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let digits: String = text.iter().map(|&b| char::from(b)).filter(|c| *c != '-').collect();
    match Literal::hex(&digits) {
        Some(Literal::Hex(bytes)) => bytes.try_into().ok(),
        _ => None,
    }
}
