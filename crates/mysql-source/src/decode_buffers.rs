//! The columns that row images are decoded into, by the stream and by snapshots alike, until they become Arrow arrays.

use crate::decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
use arrow_array::types::{Decimal128Type, TimestampMicrosecondType};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, FixedSizeBinaryArray, Float32Array, Float64Array, Int32Array, Int64Array,
    ListArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType, Field, SchemaRef};
use cdc_core::TableSchema;
use std::sync::Arc;

/// Row images of one table under one schema version, in columns.
///
/// Rows are appended by [`RowPlan::decode`](crate::RowPlan::decode) (row events) and
/// [`SnapshotRowDecoder::append`](crate::SnapshotRowDecoder::append) (rows of a query); a row that fails leaves nothing behind.
#[derive(Debug)]
pub struct RowBuffers {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    pub(crate) columns: Vec<ColumnBuffer>,
    rows: usize,
}

/// One column.
#[derive(Debug)]
pub(crate) struct ColumnBuffer {
    pub(crate) values: Values,
    /// Made at the first NULL.
    validity: Option<BooleanBufferBuilder>,
    nullable: bool,
    /// Part of the table's key.
    in_key: bool,
    /// Zero and partial dates that became NULL or the epoch.
    mapped: u64,
}

/// The values of one column, in the Arrow form of its logical type.
#[derive(Debug)]
pub(crate) enum Values {
    Boolean(Vec<bool>),
    Int32(Vec<i32>),
    /// Also times and timestamps.
    Int64(Vec<i64>),
    Date(Vec<i32>),
    Decimal(Vec<i128>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Text(VarBytes),
    Binary(VarBytes),
    Uuid(Vec<[u8; 16]>),
    Geometry {
        wkb: VarBytes,
        srid: Vec<Option<i32>>,
    },
    Vector {
        ends: Vec<i32>,
        floats: Vec<f32>,
    },
}

/// Values of varying length, one after the other.
#[derive(Debug, Default)]
pub(crate) struct VarBytes {
    data: Vec<u8>,
    ends: Vec<i32>,
}

impl VarBytes {
    #[inline]
    pub(crate) fn push(&mut self, value: &[u8]) -> DecodeResult<()> {
        self.data.extend_from_slice(value);
        self.end_value()
    }

    /// Appends a value that writes itself at the end of the data; if it fails, nothing is left.
    #[inline]
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>) -> DecodeResult<()>) -> DecodeResult<()> {
        let start = self.data.len();
        if let Err(e) = write(&mut self.data) {
            self.data.truncate(start);
            return Err(e);
        }
        self.end_value()
    }

    #[inline]
    fn end_value(&mut self) -> DecodeResult<()> {
        match i32::try_from(self.data.len()) {
            Ok(end) => {
                self.ends.push(end);
                Ok(())
            }
            Err(_) => {
                self.truncate(self.ends.len());
                Err(too_large())
            }
        }
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(row).copied().unwrap_or(start);
        self.data.get(start as usize..end as usize).unwrap_or(&[])
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.data.truncate(self.ends.last().map_or(0, |&end| end as usize));
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        (offsets(&mut self.ends), Buffer::from_vec(std::mem::take(&mut self.data)))
    }
}

#[cold]
fn too_large() -> DecodeError {
    let message = "one column of a batch would hold more than 2 GiB: finish the batch earlier (a smaller memory budget)";
    DecodeError::new(DecodeErrorKind::TooLarge, message)
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len().saturating_add(1));
    offsets.push(0);
    offsets.append(ends);
    // The ends are ascending because values are only appended.
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

impl ColumnBuffer {
    fn new(field: &Field, in_key: bool) -> DecodeResult<Self> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 | DataType::Timestamp(..) => Values::Int64(Vec::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal(Vec::new()),
            DataType::Float32 => Values::Float(Vec::new()),
            DataType::Float64 => Values::Double(Vec::new()),
            DataType::Utf8 => Values::Text(VarBytes::default()),
            DataType::Binary => Values::Binary(VarBytes::default()),
            DataType::FixedSizeBinary(16) => Values::Uuid(Vec::new()),
            DataType::Struct(_) => Values::Geometry { wkb: VarBytes::default(), srid: Vec::new() },
            DataType::List(_) => Values::Vector { ends: Vec::new(), floats: Vec::new() },
            other => {
                let message = format!("column {} has the type {other}, which no row can be decoded to", field.name());
                return Err(DecodeError::new(DecodeErrorKind::UnsupportedType, message));
            }
        };
        Ok(Self { values, validity: None, nullable: field.is_nullable(), in_key, mapped: 0 })
    }

    /// Says that the value just pushed is one.
    #[inline]
    pub(crate) fn valid(&mut self) {
        if let Some(validity) = &mut self.validity {
            validity.append(true);
        }
    }

    /// Appends NULL. Fails if the column may not be NULL.
    #[inline]
    pub(crate) fn push_null(&mut self) -> DecodeResult<()> {
        if !self.nullable {
            let message =
                "the row has NULL where the known schema says NOT NULL: the table was changed in a way that was not seen";
            return Err(DecodeError::new(DecodeErrorKind::LayoutMismatch, message));
        }
        let rows = self.len();
        match &mut self.values {
            Values::Boolean(v) => v.push(false),
            Values::Int32(v) | Values::Date(v) => v.push(0),
            Values::Int64(v) => v.push(0),
            Values::Decimal(v) => v.push(0),
            Values::Float(v) => v.push(0.0),
            Values::Double(v) => v.push(0.0),
            Values::Text(v) | Values::Binary(v) => v.push(&[])?,
            Values::Uuid(v) => v.push([0; 16]),
            Values::Geometry { wkb, srid } => {
                wkb.push(&[])?;
                srid.push(None);
            }
            Values::Vector { ends, floats } => ends.push(i32::try_from(floats.len()).map_err(|_| too_large())?),
        }
        let validity = self.validity.get_or_insert_with(|| {
            let mut all_valid = BooleanBufferBuilder::new(rows.saturating_add(64));
            all_valid.append_n(rows, true);
            all_valid
        });
        validity.append(false);
        Ok(())
    }

    /// Appends what a date that no calendar has becomes: NULL if the column may be NULL, else the epoch; counted. Fails in a key,
    /// where it would become that of another row.
    #[cold]
    pub(crate) fn push_mapped_date(&mut self) -> DecodeResult<()> {
        if self.in_key {
            return Err(DecodeError::invalid(
                "the key holds a date that no calendar has (zero or partial), which could not be told from others: \
                 give the row another key, or leave the table out",
            ));
        }
        self.mapped = self.mapped.saturating_add(1);
        if self.nullable {
            return self.push_null();
        }
        match &mut self.values {
            Values::Int64(v) => v.push(0),
            Values::Date(v) => v.push(0),
            _ => return Err(DecodeError::invalid("a date lies in a column of another type")),
        }
        Ok(())
    }

    fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(v) => v.len(),
            Values::Int32(v) | Values::Date(v) => v.len(),
            Values::Int64(v) => v.len(),
            Values::Decimal(v) => v.len(),
            Values::Float(v) => v.len(),
            Values::Double(v) => v.len(),
            Values::Text(v) | Values::Binary(v) => v.len(),
            Values::Uuid(v) => v.len(),
            Values::Geometry { srid, .. } => srid.len(),
            Values::Vector { ends, .. } => ends.len(),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(v) => v.truncate(rows),
            Values::Int32(v) | Values::Date(v) => v.truncate(rows),
            Values::Int64(v) => v.truncate(rows),
            Values::Decimal(v) => v.truncate(rows),
            Values::Float(v) => v.truncate(rows),
            Values::Double(v) => v.truncate(rows),
            Values::Text(v) | Values::Binary(v) => v.truncate(rows),
            Values::Uuid(v) => v.truncate(rows),
            Values::Geometry { wkb, srid } => {
                wkb.truncate(rows);
                srid.truncate(rows);
            }
            Values::Vector { ends, floats } => {
                ends.truncate(rows);
                floats.truncate(ends.last().map_or(0, |&end| end as usize));
            }
        }
        if let Some(validity) = &mut self.validity {
            validity.truncate(rows.min(validity.len()));
        }
    }

    fn bytes(&self) -> usize {
        let var = |v: &VarBytes| v.data.len() + 4 * v.ends.len();
        match &self.values {
            Values::Boolean(v) => v.len(),
            Values::Int32(v) | Values::Date(v) => 4 * v.len(),
            Values::Int64(v) => 8 * v.len(),
            Values::Decimal(v) => 16 * v.len(),
            Values::Float(v) => 4 * v.len(),
            Values::Double(v) => 8 * v.len(),
            Values::Text(v) | Values::Binary(v) => var(v),
            Values::Uuid(v) => 16 * v.len(),
            Values::Geometry { wkb, srid } => var(wkb) + 8 * srid.len(),
            Values::Vector { ends, floats } => 4 * (ends.len() + floats.len()),
        }
    }

    fn is_null(&self, row: usize) -> bool {
        self.validity.as_ref().is_some_and(|v| row < v.len() && !v.get_bit(row))
    }

    fn finish(&mut self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let nulls = self.validity.take().map(|mut v| NullBuffer::new(v.finish()));
        self.mapped = 0;
        Ok(match (&mut self.values, data_type) {
            (Values::Boolean(v), _) => Arc::new(BooleanArray::new(BooleanBuffer::from(std::mem::take(v)), nulls)),
            (Values::Int32(v), _) => Arc::new(Int32Array::try_new(std::mem::take(v).into(), nulls)?),
            (Values::Date(v), _) => Arc::new(Date32Array::try_new(std::mem::take(v).into(), nulls)?),
            (Values::Int64(v), DataType::Timestamp(_, zone)) => Arc::new(
                PrimitiveArray::<TimestampMicrosecondType>::try_new(std::mem::take(v).into(), nulls)?
                    .with_timezone_opt(zone.clone()),
            ),
            (Values::Int64(v), _) => Arc::new(Int64Array::try_new(std::mem::take(v).into(), nulls)?),
            (Values::Decimal(v), _) => Arc::new(
                PrimitiveArray::<Decimal128Type>::try_new(std::mem::take(v).into(), nulls)?.with_data_type(data_type.clone()),
            ),
            (Values::Float(v), _) => Arc::new(Float32Array::try_new(std::mem::take(v).into(), nulls)?),
            (Values::Double(v), _) => Arc::new(Float64Array::try_new(std::mem::take(v).into(), nulls)?),
            (Values::Text(v), _) => {
                let (offsets, data) = v.take();
                Arc::new(StringArray::try_new(offsets, data, nulls)?)
            }
            (Values::Binary(v), _) => {
                let (offsets, data) = v.take();
                Arc::new(BinaryArray::try_new(offsets, data, nulls)?)
            }
            (Values::Uuid(v), _) => {
                let data = Buffer::from_vec(std::mem::take(v).into_flattened());
                Arc::new(FixedSizeBinaryArray::try_new(16, data, nulls)?)
            }
            (Values::Geometry { wkb, srid }, DataType::Struct(fields)) => {
                let (offsets, data) = wkb.take();
                let wkb: ArrayRef = Arc::new(BinaryArray::try_new(offsets, data, None)?);
                let srid: ArrayRef = Arc::new(Int32Array::from(std::mem::take(srid)));
                Arc::new(StructArray::try_new(fields.clone(), vec![wkb, srid], nulls)?)
            }
            (Values::Vector { ends, floats }, DataType::List(field)) => {
                let floats: ArrayRef = Arc::new(Float32Array::from(std::mem::take(floats)));
                Arc::new(ListArray::try_new(field.clone(), offsets(ends), floats, nulls)?)
            }
            (_, other) => return Err(ArrowError::SchemaError(format!("a column of {other} was decoded to something else"))),
        })
    }

    /// Appends one value in a form that is equal for equal values alone and says where it ends.
    fn append_key(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            out.push(0);
            return;
        }
        out.push(1);
        let mut var = |value: &[u8]| {
            out.extend_from_slice(&(value.len() as u64).to_le_bytes());
            out.extend_from_slice(value);
        };
        match &self.values {
            Values::Boolean(v) => out.push(v.get(row).copied().unwrap_or_default().into()),
            Values::Int32(v) | Values::Date(v) => out.extend(v.get(row).copied().unwrap_or_default().to_le_bytes()),
            Values::Int64(v) => out.extend(v.get(row).copied().unwrap_or_default().to_le_bytes()),
            Values::Decimal(v) => out.extend(v.get(row).copied().unwrap_or_default().to_le_bytes()),
            Values::Float(v) => out.extend(v.get(row).copied().unwrap_or_default().to_le_bytes()),
            Values::Double(v) => out.extend(v.get(row).copied().unwrap_or_default().to_le_bytes()),
            Values::Text(v) | Values::Binary(v) => var(v.get(row)),
            Values::Uuid(v) => out.extend(v.get(row).copied().unwrap_or_default()),
            Values::Geometry { wkb, .. } => var(wkb.get(row)),
            Values::Vector { .. } => {}
        }
    }
}

impl RowBuffers {
    /// Empty buffers for rows of this schema version.
    pub fn new(schema: Arc<TableSchema>) -> DecodeResult<Self> {
        let arrow = schema.arrow_schema();
        let column = |(i, f): (usize, &Arc<Field>)| ColumnBuffer::new(f, schema.key.contains(&i));
        let columns = arrow.fields().iter().enumerate().map(column).collect::<DecodeResult<_>>()?;
        Ok(Self { schema, arrow, columns, rows: 0 })
    }

    /// The schema version of the rows.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Row images held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of the values held.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(ColumnBuffer::bytes).sum()
    }

    /// For each column, how many dates that no calendar has (zero, partial) became NULL or, in a NOT NULL column, the epoch,
    /// since the last [`finish`](Self::finish).
    pub fn mapped_dates(&self) -> impl Iterator<Item = u64> {
        self.columns.iter().map(|c| c.mapped)
    }

    /// Appends the columns of a held row as bytes that are equal for equal values only, each saying where it ends: an identity
    /// for sets of keys. Columns or rows that do not exist append nothing.
    pub fn append_key(&self, row: usize, columns: &[usize], out: &mut Vec<u8>) {
        if row < self.rows {
            columns.iter().filter_map(|&i| self.columns.get(i)).for_each(|c| c.append_key(row, out));
        }
    }

    /// The rows as Arrow arrays in [`TableSchema::arrow_schema`]; the buffers are empty afterwards.
    pub fn finish(&mut self) -> DecodeResult<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        let arrays = self.columns.iter_mut().zip(self.arrow.fields()).map(|(c, f)| c.finish(f.data_type()));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        arrays
            .collect::<Result<Vec<_>, _>>()
            .and_then(|arrays| RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options))
            .map_err(|e| DecodeError::invalid(format!("rows of {} do not form a batch: {e}", self.schema.table)))
    }

    /// Counts rows that were appended to every column.
    #[inline]
    pub(crate) fn appended(&mut self, rows: usize) {
        self.rows = self.rows.saturating_add(rows);
    }

    /// Removes what was appended to columns since the last counted row.
    #[cold]
    pub(crate) fn roll_back(&mut self) {
        let rows = self.rows;
        self.columns.iter_mut().for_each(|c| c.truncate(rows));
    }
}
