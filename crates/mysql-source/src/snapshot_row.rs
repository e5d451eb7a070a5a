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
    pub fn append_values<'v>(&self, row: impl ExactSizeIterator<Item = &'v Value>, buffers: &mut RowBuffers) -> DecodeResult<()> {
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
    let unexpected =
        || DecodeError::new(DecodeErrorKind::LayoutMismatch, format!("a query gives {value:?} for a column of {logical:?}"));
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
        (L::Decimal { .. }, Value::Bytes(text), Values::Text(v)) => v.push(decimal::without_zerofill(text))?,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::ddl::Dialect;
    use crate::schema_read::tests::schema_of_rows;
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
    use cdc_core::TableId;

    fn decoder(columns: &[(&str, bool)]) -> (SnapshotRowDecoder, RowBuffers) {
        keyed_decoder(columns, "none")
    }

    fn keyed_decoder(columns: &[(&str, bool)], key: &str) -> (SnapshotRowDecoder, RowBuffers) {
        let row = |&(declaration, nullable): &(&str, bool)| {
            let charset = declaration.contains("char").then(|| "latin1".to_owned());
            let nullable = if nullable { "YES" } else { "NO" };
            let name = Some(declaration.to_owned());
            [name.clone(), name, Some(nullable.to_owned()), None, Some(String::new()), charset, None]
        };
        let rows: Vec<_> = columns.iter().map(row).collect();
        let schema = Arc::new(schema_of_rows(&TableId::new("d", "t"), &rows, key, Dialect::default()));
        (SnapshotRowDecoder::new(Arc::clone(&schema)), RowBuffers::new(schema).unwrap())
    }

    #[test]
    fn values_of_a_query_become_those_of_the_stream() {
        let (decoder, mut buffers) = decoder(&[
            ("bigint unsigned", true),
            ("decimal(12,2)", true),
            ("bit(12)", true),
            ("time(6)", true),
            ("timestamp", true),
            ("date", true),
            ("varchar(9)", true),
            ("point", true),
        ]);
        let row = [
            Value::UInt(u64::MAX),
            Value::Bytes(b"-1.50".to_vec()),
            Value::Bytes(vec![8, 1]),
            Value::Time(true, 34, 22, 59, 59, 1),
            Value::Date(2024, 2, 29, 1, 2, 3, 4),
            Value::Date(2024, 2, 29, 0, 0, 0, 0),
            Value::Bytes("caf\u{e9}".into()),
            Value::Bytes(vec![0xe6, 0x10, 0, 0, 1, 2]),
        ];
        decoder.append_values(row.iter(), &mut buffers).unwrap();
        decoder.append_values(vec![Value::NULL; 8].iter(), &mut buffers).unwrap();
        let batch = buffers.finish().unwrap();
        assert_eq!(batch.num_rows(), 2);
        assert!(batch.columns().iter().all(|c| c.is_valid(0) && c.is_null(1)));
        assert_eq!(batch.column(0).as_primitive::<Decimal128Type>().value(0), i128::from(u64::MAX));
        assert_eq!(batch.column(1).as_primitive::<Decimal128Type>().value(0), -150);
        assert_eq!(batch.column(2).as_binary::<i32>().value(0), [1, 8]);
        assert_eq!(batch.column(3).as_primitive::<Int64Type>().value(0), -3_020_399_000_001);
        assert_eq!(batch.column(4).as_primitive::<TimestampMicrosecondType>().value(0), 19_782 * 86_400_000_000 + 3_723_000_004);
        assert_eq!(batch.column(5).as_primitive::<Date32Type>().value(0), 19_782);
        assert_eq!(batch.column(6).as_string::<i32>().value(0), "caf\u{e9}");
        assert_eq!(batch.column(7).as_struct().column(0).as_binary::<i32>().value(0), [1, 2]);
    }

    #[test]
    fn a_failed_row_leaves_the_rows_before_it() {
        let (decoder, mut buffers) = decoder(&[("int", false), ("varchar(9)", false)]);
        let good = [Value::Int(1), Value::Bytes(b"one".to_vec())];
        decoder.append_values(good.iter(), &mut buffers).unwrap();
        for bad in
            [[Value::Int(2), Value::NULL], [Value::Int(2), Value::Bytes(vec![0xff])], [Value::Int(1 << 40), Value::Bytes(vec![])]]
        {
            assert!(decoder.append_values(bad.iter(), &mut buffers).is_err(), "{bad:?}");
        }
        assert!(decoder.append_values(good[..1].iter(), &mut buffers).is_err());
        let mut key = Vec::new();
        buffers.append_key(0, &[1], &mut key);
        assert_eq!(key, [&[1, 3, 0, 0, 0, 0, 0, 0, 0][..], b"one"].concat());
        assert_eq!(buffers.finish().unwrap().num_rows(), 1);
    }

    #[test]
    fn dates_that_no_calendar_has_are_null_or_the_epoch_and_are_counted() {
        let (decoder, mut buffers) = decoder(&[("date", true), ("datetime", false)]);
        let zero = [Value::Date(0, 0, 0, 0, 0, 0, 0), Value::Date(2020, 1, 0, 1, 1, 1, 0)];
        decoder.append_values(zero.iter(), &mut buffers).unwrap();
        assert_eq!(buffers.mapped_dates().collect::<Vec<_>>(), [1, 1]);
        let batch = buffers.finish().unwrap();
        assert!(batch.column(0).is_null(0));
        assert_eq!(batch.column(1).as_primitive::<TimestampMicrosecondType>().value(0), 0);
    }

    #[test]
    fn in_a_key_they_are_refused_since_two_rows_would_become_one() {
        let (decoder, mut buffers) = keyed_decoder(&[("date", false), ("datetime", false)], "date");
        let good = [Value::Date(1970, 1, 1, 0, 0, 0, 0), Value::Date(0, 0, 0, 0, 0, 0, 0)];
        decoder.append_values(good.iter(), &mut buffers).unwrap();
        let zero = [Value::Date(0, 0, 0, 0, 0, 0, 0), Value::Date(2020, 1, 1, 1, 1, 1, 0)];
        let e = decoder.append_values(zero.iter(), &mut buffers).unwrap_err();
        assert!(e.to_string().contains("the key holds a date that no calendar has"), "{e}");
        assert_eq!(buffers.finish().unwrap().num_rows(), 1);
    }
}
