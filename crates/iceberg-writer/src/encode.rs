//! Rows to the bytes of a Parquet file.

use crate::error::{Error, ErrorKind, Result};
use crate::schema::{arrow_type, parquet_schema};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use foldhash::HashSet;
use foldhash::fast::RandomState;
use iceberg::spec::NestedField;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::hash::BuildHasher;
use std::sync::Arc;

/// How values are laid out in Parquet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ValueEncoding {
    /// Dictionaries where values repeat, plain elsewhere: what every reader knows.
    #[default]
    Portable,
    /// Delta encodings where values do not repeat: a third less CPU and a tenth fewer bytes. Spark's vectorised reader (Iceberg
    /// 1.10) cannot read such text columns unless `read.parquet.vectorization.enabled` is false.
    Delta,
}

/// Below this many rows a file is written without compression: setting up a compressor for each column costs more than it saves.
const COMPRESS_FROM_ROWS: usize = 400;
/// So many rows are looked at to see whether a column's values repeat.
const SAMPLE: usize = 2_000;
/// Longer text is cut in the statistics of a column chunk (rightly rounded down and up).
const BOUND_BYTES: usize = 64;

pub(crate) struct Encoded {
    pub bytes: Bytes,
    pub metadata: ParquetMetaData,
    pub rows: usize,
}

/// The Arrow schema of a file's rows: plain fields, as nullable as the table says.
pub(crate) fn file_arrow_schema(fields: &[&NestedField]) -> Result<SchemaRef> {
    let fields =
        fields.iter().map(|f| Ok(Field::new(&f.name, arrow_type(&f.field_type)?, !f.required))).collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Writes one file. Batches hold exactly the columns of `fields`, in their order; each goes when it is written.
pub(crate) fn encode(
    fields: &[&NestedField],
    batches: Vec<Vec<ArrayRef>>,
    encoding: ValueEncoding,
    row_group_rows: usize,
) -> Result<Encoded> {
    let rows: usize = batches.iter().map(|b| b.first().map_or(0, |c| c.len())).sum();
    let mut file = FileEncoder::new(fields, &batches, rows, encoding, row_group_rows)?;
    for columns in batches {
        file.write(columns)?;
    }
    file.finish()
}

/// One file that is written batch by batch.
pub(crate) struct FileEncoder {
    schema: SchemaRef,
    writer: ArrowWriter<Vec<u8>>,
    rows: usize,
}

const ENCODING: &str = "encoding rows as Parquet";

impl FileEncoder {
    /// A file of about `rows` rows, whose values are like those of `sample`.
    pub(crate) fn new(
        fields: &[&NestedField],
        sample: &[Vec<ArrayRef>],
        rows: usize,
        encoding: ValueEncoding,
        row_group_rows: usize,
    ) -> Result<Self> {
        let schema = file_arrow_schema(fields)?;
        let options = ArrowWriterOptions::new()
            .with_properties(properties(fields, sample, rows, encoding, row_group_rows))
            .with_parquet_schema(parquet_schema(fields)?)
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options)
            .map_err(|e| Error::parquet(ENCODING, e))?;
        Ok(Self { schema, writer, rows: 0 })
    }

    /// Rows in the columns of the fields, in their order.
    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|e| Error::new(ErrorKind::Invalid, format!("rows do not fit the table's columns: {e}")).with_source(e))?;
        self.rows = self.rows.saturating_add(batch.num_rows());
        self.writer.write(&batch).map_err(|e| Error::parquet(ENCODING, e))
    }

    /// Bytes that the file has so far, those of the open row group as they will be encoded.
    pub(crate) fn bytes(&self) -> usize {
        self.writer.bytes_written().saturating_add(self.writer.in_progress_size())
    }

    /// Memory that the open row group takes.
    pub(crate) fn open_bytes(&self) -> usize {
        self.writer.memory_size()
    }

    /// Ends the row group.
    pub(crate) fn end_row_group(&mut self) -> Result<()> {
        self.writer.flush().map_err(|e| Error::parquet(ENCODING, e))
    }

    /// What is finished of the file and was not taken before.
    pub(crate) fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(self.writer.inner_mut()))
    }

    /// The file; of its bytes those that were not taken before.
    pub(crate) fn finish(mut self) -> Result<Encoded> {
        let metadata = self.writer.finish().map_err(|e| Error::parquet(ENCODING, e))?;
        Ok(Encoded { bytes: self.take(), metadata, rows: self.rows })
    }
}

fn properties(
    fields: &[&NestedField],
    batches: &[Vec<ArrayRef>],
    rows: usize,
    encoding: ValueEncoding,
    row_group_rows: usize,
) -> WriterProperties {
    let compression = if rows < COMPRESS_FROM_ROWS { Compression::UNCOMPRESSED } else { Compression::ZSTD(ZstdLevel::default()) };
    let mut p = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(compression)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(BOUND_BYTES))
        .set_offset_index_disabled(true)
        .set_max_row_group_row_count(Some(row_group_rows.max(1)))
        .set_created_by(concat!("iceberg-writer ", env!("CARGO_PKG_VERSION")).to_owned());
    let sampled = batches.iter().map(|b| b.first().map_or(0, |c| c.len())).sum();
    for (i, field) in fields.iter().enumerate() {
        if dictionary_pays(batches, i, sampled) {
            continue;
        }
        let path = ColumnPath::new(vec![field.name.clone()]);
        p = p.set_column_dictionary_enabled(path.clone(), false);
        let kind = batches.first().and_then(|b| b.get(i)).map(|c| c.data_type());
        if encoding == ValueEncoding::Delta && rows >= COMPRESS_FROM_ROWS {
            match kind {
                Some(DataType::Utf8 | DataType::Binary) => p = p.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY),
                Some(DataType::Int32 | DataType::Int64 | DataType::Date32 | DataType::Timestamp(..)) => {
                    p = p.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
                }
                _ => {}
            }
        }
    }
    p.build()
}

/// True if a dictionary would be small: of a sample spread over the rows, at most half the values are distinct.
///
/// UUIDs never have one (Spark's vectorised reader in Iceberg 1.10 cannot read it), nested columns keep the default.
fn dictionary_pays(batches: &[Vec<ArrayRef>], column: usize, rows: usize) -> bool {
    let Some(kind) = batches.first().and_then(|b| b.get(column)).map(|c| c.data_type()) else { return true };
    if matches!(kind, DataType::FixedSizeBinary(_) | DataType::Boolean | DataType::Float32 | DataType::Float64) {
        return false;
    }
    if matches!(kind, DataType::Struct(_) | DataType::List(_)) {
        return true;
    }
    if rows < COMPRESS_FROM_ROWS {
        return false;
    }
    let hasher = RandomState::default();
    let step = rows.div_ceil(SAMPLE).max(1);
    let mut distinct: HashSet<u64> = HashSet::with_capacity_and_hasher(SAMPLE, foldhash::fast::RandomState::default());
    let (mut seen, mut skip) = (0_usize, 0_usize);
    for array in batches.iter().filter_map(|b| b.get(column)) {
        let mut row = skip;
        while row < array.len() {
            if !array.is_null(row)
                && let Some(h) = value_hash(array, row, &hasher)
            {
                seen += 1;
                distinct.insert(h);
            }
            row += step;
        }
        skip = row - array.len();
    }
    distinct.len() * 2 <= seen
}

fn value_hash(array: &ArrayRef, row: usize, hasher: &RandomState) -> Option<u64> {
    Some(match array.data_type() {
        DataType::Int32 => hasher.hash_one(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => hasher.hash_one(array.as_primitive::<Int64Type>().value(row)),
        DataType::Date32 => hasher.hash_one(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => hasher.hash_one(array.as_primitive_opt::<TimestampMicrosecondType>()?.value(row)),
        DataType::Decimal128(..) => hasher.hash_one(array.as_primitive::<Decimal128Type>().value(row)),
        DataType::Utf8 => hasher.hash_one(array.as_string::<i32>().value(row)),
        DataType::Binary => hasher.hash_one(array.as_binary::<i32>().value(row)),
        _ => return None,
    })
}
