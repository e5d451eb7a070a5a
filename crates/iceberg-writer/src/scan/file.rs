//! One Parquet file as columns of the table, found by field id.

use crate::error::{Error, ErrorKind, Result};
use crate::schema::arrow_type;
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, StructArray, new_null_array};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::DataType;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use iceberg::io::FileRead;
use iceberg::spec::{DataFile, NestedFieldRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::sync::Arc;

/// Smaller files are read in one go.
const WHOLE: u64 = 1 << 20;

enum Source {
    Whole(Bytes),
    Ranges(Box<dyn FileRead>, u64),
}

impl AsyncFileReader for Source {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move {
            match self {
                Self::Ranges(file, _) => (**file).read(range).await.map_err(|e| ParquetError::External(Box::new(e))),
                Self::Whole(bytes) => {
                    let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
                    if start > end || end > bytes.len() {
                        return Err(ParquetError::EOF(format!("the file has {} bytes, and byte {end} is wanted", bytes.len())));
                    }
                    Ok(bytes.slice(start..end))
                }
            }
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = match self {
                Self::Whole(bytes) => u64::try_from(bytes.len())?,
                Self::Ranges(_, size) => *size,
            };
            let reader =
                ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Skip).with_prefetch_hint(Some(64 << 10));
            reader.load_and_finish(self, size).await.map(Arc::new)
        }
        .boxed()
    }
}

/// Reads a file as the wanted fields.
pub(crate) struct DataReader {
    stream: ParquetRecordBatchStream<Source>,
    path: String,
    /// For each wanted field its type, and its column among those read; `None` if the file has none: it was added later.
    columns: Vec<(DataType, Option<usize>)>,
}

impl DataReader {
    pub(crate) async fn open(table: &Table, file: &DataFile, fields: &[NestedFieldRef], batch_rows: usize) -> Result<Self> {
        let path = file.file_path();
        let what = || format!("reading {path} of table {}", table.name());
        let input = table.file_io().new_input(path).map_err(|e| Error::iceberg(what(), e))?;
        let source = if file.file_size_in_bytes() <= WHOLE {
            Source::Whole(input.read().await.map_err(|e| Error::iceberg(what(), e))?)
        } else {
            Source::Ranges(input.reader().await.map_err(|e| Error::iceberg(what(), e))?, file.file_size_in_bytes())
        };
        let builder = ParquetRecordBatchStreamBuilder::new(source).await.map_err(|e| Error::parquet(what(), e))?;
        let roots = builder.parquet_schema().root_schema().get_fields();
        if !roots.is_empty() && roots.iter().all(|r| !r.get_basic_info().has_id()) {
            return Err(Error::new(ErrorKind::Unsupported, format!("{}: the file has no field ids", what())));
        }
        let root_of = |id: i32| roots.iter().position(|r| r.get_basic_info().has_id() && r.get_basic_info().id() == id);
        let found: Vec<Option<usize>> = fields.iter().map(|f| root_of(f.id)).collect();
        let mut read: Vec<usize> = found.iter().flatten().copied().collect();
        read.sort_unstable();
        read.dedup();
        let mut columns = Vec::with_capacity(fields.len());
        for (field, root) in fields.iter().zip(found) {
            if root.is_none() && field.required {
                return Err(Error::new(
                    ErrorKind::Corrupt,
                    format!("{}: it has no column {}, which is NOT NULL", what(), field.name),
                ));
            }
            columns.push((arrow_type(&field.field_type)?, root.and_then(|r| read.binary_search(&r).ok())));
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let stream = builder.with_projection(mask).with_batch_size(batch_rows).build().map_err(|e| Error::parquet(what(), e))?;
        Ok(Self { stream, path: path.to_owned(), columns })
    }

    /// The next rows: one array for each field, and their number.
    pub(crate) async fn next(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let Some(batch) = self.stream.next().await else { return Ok(None) };
        let batch = batch.map_err(|e| Error::parquet(format!("reading {}", self.path), e))?;
        let rows = batch.num_rows();
        let columns = self
            .columns
            .iter()
            .map(|(r#type, at)| match at.and_then(|i| batch.columns().get(i)) {
                Some(array) => conform(array, r#type).map_err(|e| Error::arrow(format!("reading {}", self.path), e)),
                None => Ok(new_null_array(r#type, rows)),
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Some((columns, rows)))
    }
}

/// The array in the wanted type: promotions and the names of nested fields; an array that fits is itself.
pub(super) fn conform(array: &ArrayRef, to: &DataType) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
    if array.data_type() == to {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let array = array.as_struct();
            let children = fields
                .iter()
                .map(|f| match array.column_by_name(f.name()) {
                    Some(child) => conform(child, f.data_type()),
                    None => Ok(new_null_array(f.data_type(), array.len())),
                })
                .collect::<std::result::Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new(fields.clone(), children, array.nulls().cloned())?))
        }
        (DataType::List(_), DataType::List(element)) => {
            let array = array.as_list::<i32>();
            let values = conform(array.values(), element.data_type())?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), array.offsets().clone(), values, array.nulls().cloned())?))
        }
        _ => cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }),
    }
}
