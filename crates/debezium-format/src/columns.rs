//! The columns of a batch while it is decoded: one growing buffer per column, with a way back to the last whole row.

use crate::wire::Wire;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, MutableBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, Fields};
use std::sync::Arc;

/// A column's values. A null has a placeholder in every buffer.
pub(crate) enum Data {
    Boolean(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Decimal(Vec<i128>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(Bytes),
    Bytes(Bytes),
    Uuid(Vec<[u8; 16]>),
    Geometry { wkb: Bytes, srid: Vec<i32>, no_srid: Vec<u32> },
    Vector { ends: Vec<i32>, elements: Vec<f32> },
}

/// Values of different lengths, one after the other.
#[derive(Default)]
pub(crate) struct Bytes {
    pub ends: Vec<i32>,
    pub data: Vec<u8>,
}

impl Bytes {
    /// Ends a value whose bytes were appended to `data`; `None` above 2 GiB, which the rollback of the row then undoes.
    #[inline]
    pub fn end(&mut self) -> Option<()> {
        self.ends.push(i32::try_from(self.data.len()).ok()?);
        Some(())
    }

    #[inline]
    pub fn push(&mut self, value: &[u8]) -> Option<()> {
        self.data.extend_from_slice(value);
        self.end()
    }

    /// The value that was ended last; a null is empty.
    pub fn last(&self) -> Option<&[u8]> {
        let (&end, before) = self.ends.split_last()?;
        self.data.get(end_of(before)..end.unsigned_abs() as usize)
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.data.truncate(end_of(&self.ends));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let bytes = self.data.len();
        let data = std::mem::replace(&mut self.data, Vec::with_capacity(bytes));
        (offsets(&mut self.ends), Buffer::from_vec(data))
    }
}

fn end_of(ends: &[i32]) -> usize {
    ends.last().map_or(0, |&end| end.unsigned_abs() as usize)
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut all = Vec::with_capacity(ends.len().saturating_add(1));
    all.push(0);
    all.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(all))
}

/// Takes a buffer's contents and leaves one of the same capacity.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let rows = values.len();
    std::mem::replace(values, Vec::with_capacity(rows))
}

/// One column.
pub(crate) struct ColumnBuffer {
    pub data: Data,
    /// The rows that are null, ascending.
    nulls: Vec<u32>,
}

impl ColumnBuffer {
    /// An empty column for values of `wire`.
    pub fn new(wire: Wire) -> Self {
        let data = match wire {
            Wire::Boolean => Data::Boolean(BooleanBufferBuilder::new(0)),
            Wire::Int32 { .. } | Wire::Days | Wire::DayText => Data::Int32(Vec::new()),
            Wire::Int64 { .. } | Wire::Millis | Wire::Micros | Wire::Nanos | Wire::TimeText | Wire::Instant => {
                Data::Int64(Vec::new())
            }
            Wire::WrappedU64 | Wire::ExactU64 | Wire::Decimal { .. } | Wire::DecimalText { .. } => Data::Decimal(Vec::new()),
            Wire::Float | Wire::FloatAsDouble => Data::Float(Vec::new()),
            Wire::Double => Data::Double(Vec::new()),
            Wire::Text | Wire::WideDecimal { .. } | Wire::WideDecimalText { .. } => Data::Text(Bytes::default()),
            Wire::Bytes | Wire::UrlBase64 | Wire::Hex | Wire::Bits { .. } => Data::Bytes(Bytes::default()),
            Wire::Uuid => Data::Uuid(Vec::new()),
            Wire::Geometry { .. } => Data::Geometry { wkb: Bytes::default(), srid: Vec::new(), no_srid: Vec::new() },
            Wire::Vector => Data::Vector { ends: Vec::new(), elements: Vec::new() },
        };
        Self { data, nulls: Vec::new() }
    }

    /// Appends a null as row `row`.
    pub fn push_null(&mut self, row: u32) -> Option<()> {
        self.nulls.push(row);
        match &mut self.data {
            Data::Boolean(values) => values.append(false),
            Data::Int32(values) => values.push(0),
            Data::Int64(values) => values.push(0),
            Data::Decimal(values) => values.push(0),
            Data::Float(values) => values.push(0.0),
            Data::Double(values) => values.push(0.0),
            Data::Text(values) | Data::Bytes(values) => return values.end(),
            Data::Uuid(values) => values.push([0; 16]),
            Data::Geometry { wkb, srid, .. } => {
                srid.push(0);
                return wkb.end();
            }
            Data::Vector { ends, elements } => ends.push(i32::try_from(elements.len()).ok()?),
        }
        Some(())
    }

    /// Forgets everything behind the first `rows` rows.
    pub fn truncate(&mut self, rows: usize) {
        let forget = |nulls: &mut Vec<u32>| {
            while nulls.last().is_some_and(|&last| last as usize >= rows) {
                nulls.pop();
            }
        };
        forget(&mut self.nulls);
        match &mut self.data {
            Data::Boolean(values) => values.truncate(rows),
            Data::Int32(values) => values.truncate(rows),
            Data::Int64(values) => values.truncate(rows),
            Data::Decimal(values) => values.truncate(rows),
            Data::Float(values) => values.truncate(rows),
            Data::Double(values) => values.truncate(rows),
            Data::Text(values) | Data::Bytes(values) => values.truncate(rows),
            Data::Uuid(values) => values.truncate(rows),
            Data::Geometry { wkb, srid, no_srid } => {
                wkb.truncate(rows);
                srid.truncate(rows);
                forget(no_srid);
            }
            Data::Vector { ends, elements } => {
                ends.truncate(rows);
                elements.truncate(end_of(ends));
            }
        }
    }

    /// Bytes held by the values.
    pub fn bytes(&self) -> usize {
        match &self.data {
            Data::Boolean(values) => values.len() / 8,
            Data::Int32(values) => values.len().saturating_mul(4),
            Data::Int64(values) => values.len().saturating_mul(8),
            Data::Decimal(values) => values.len().saturating_mul(16),
            Data::Float(values) => values.len().saturating_mul(4),
            Data::Double(values) => values.len().saturating_mul(8),
            Data::Text(values) | Data::Bytes(values) => values.data.len().saturating_add(values.ends.len().saturating_mul(4)),
            Data::Uuid(values) => values.len().saturating_mul(16),
            Data::Geometry { wkb, srid, .. } => wkb.data.len().saturating_add(srid.len().saturating_mul(8)),
            Data::Vector { ends, elements } => ends.len().saturating_add(elements.len()).saturating_mul(4),
        }
    }

    /// The column of `rows` rows as an array of `kind`; the buffer is empty afterwards.
    pub fn finish(&mut self, kind: &DataType, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = null_buffer(&mut self.nulls, rows);
        Ok(match (&mut self.data, kind) {
            (Data::Boolean(values), _) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            (Data::Int32(values), DataType::Date32) => Arc::new(Date32Array::try_new(take(values).into(), nulls)?),
            (Data::Int32(values), _) => Arc::new(Int32Array::try_new(take(values).into(), nulls)?),
            (Data::Int64(values), DataType::Timestamp(_, zone)) => {
                Arc::new(TimestampMicrosecondArray::try_new(take(values).into(), nulls)?.with_timezone_opt(zone.clone()))
            }
            (Data::Int64(values), _) => Arc::new(Int64Array::try_new(take(values).into(), nulls)?),
            (Data::Decimal(values), kind) => {
                let array = Decimal128Array::try_new(take(values).into(), nulls)?;
                match kind {
                    DataType::Decimal128(precision, scale) => Arc::new(array.with_precision_and_scale(*precision, *scale)?),
                    _ => Arc::new(array),
                }
            }
            (Data::Float(values), _) => Arc::new(Float32Array::try_new(take(values).into(), nulls)?),
            (Data::Double(values), _) => Arc::new(Float64Array::try_new(take(values).into(), nulls)?),
            (Data::Text(values), _) => {
                let (offsets, data) = values.finish();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            (Data::Bytes(values), _) => {
                let (offsets, data) = values.finish();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            (Data::Uuid(values), _) => {
                let values = std::mem::take(values).into_flattened();
                Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(values), nulls)?)
            }
            (Data::Geometry { wkb, srid, no_srid }, kind) => {
                let DataType::Struct(fields) = kind else {
                    return Err(ArrowError::SchemaError("a shape that is no struct".to_owned()));
                };
                let (offsets, data) = wkb.finish();
                let wkb: ArrayRef = Arc::new(BinaryArray::try_new(offsets, data, None)?);
                let srid: ArrayRef = Arc::new(Int32Array::try_new(take(srid).into(), null_buffer(no_srid, rows))?);
                Arc::new(StructArray::try_new(Fields::clone(fields), vec![wkb, srid], nulls)?)
            }
            (Data::Vector { ends, elements }, kind) => {
                let element = match kind {
                    DataType::List(field) => Arc::clone(field),
                    _ => Arc::new(Field::new("element", DataType::Float32, false)),
                };
                let values = Arc::new(Float32Array::try_new(take(elements).into(), None)?);
                Arc::new(ListArray::try_new(element, offsets(ends), values, nulls)?)
            }
        })
    }

    /// Says that the row just appended to a geometry column, `row`, has no reference system.
    pub fn without_srid(&mut self, row: u32) {
        if let Data::Geometry { no_srid, .. } = &mut self.data {
            no_srid.push(row);
        }
    }
}

fn null_buffer(nulls: &mut Vec<u32>, rows: usize) -> Option<NullBuffer> {
    if nulls.is_empty() {
        return None;
    }
    let mut bits = vec![0xff_u8; rows.div_ceil(8)];
    for row in nulls.drain(..) {
        if let Some(byte) = bits.get_mut(row as usize / 8) {
            *byte &= !(1 << (row % 8));
        }
    }
    let bits = BooleanBuffer::new(MutableBuffer::from(bits).into(), 0, rows);
    Some(NullBuffer::new(bits))
}
