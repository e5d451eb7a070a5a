//! One span of changes to data and delete files.

use crate::collapse::{Chosen, Collapse, NewRows};
use crate::encode::{Encoded, ValueEncoding, encode};
use crate::error::{Error, ErrorKind, Result};
use crate::evolve::evolved;
use crate::key::KeyEncoder;
use crate::metrics::data_file;
use crate::schema::equality_ids;
use crate::table::Table;
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_select::filter::filter;
use cdc_core::{Op, TableSchema};
use iceberg::spec::{DataContentType, DataFile, NestedField, SchemaRef};
use std::sync::Arc;

/// How files are written.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WriterConfig {
    /// A row group ends after so many rows. 131,072 unless told.
    pub row_group_rows: usize,
    /// How values are laid out.
    pub encoding: ValueEncoding,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { row_group_rows: 131_072, encoding: ValueEncoding::default() }
    }
}

/// What a span held and became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeltaStats {
    /// Events that were written in.
    pub events: u64,
    /// Rows in the data file.
    pub rows: u64,
    /// Keys in the delete file.
    pub deletes: u64,
    /// Bytes of both files.
    pub bytes: u64,
}

/// Finished files of one span, not yet part of any snapshot.
///
/// They stay valid over conflicts: commit them again on the refreshed table, if the span still follows its checkpoint.
#[derive(Debug, Clone)]
pub struct DeltaFiles {
    /// Data files: at most one.
    pub data: Vec<DataFile>,
    /// Equality-delete files: at most one.
    pub deletes: Vec<DataFile>,
    /// What they hold.
    pub stats: DeltaStats,
    pub(crate) table_uuid: uuid::Uuid,
    /// The columns that they were written with.
    pub(crate) schema: SchemaRef,
}

/// Takes the changes of one span, under one schema version, and writes its files.
///
/// Within the span the first event of a key decides whether older versions are deleted, the last one decides the row. The
/// deletes are global, so they reach older versions wherever they are. All batches are held until [`finish`](Self::finish);
/// the caller ends the span when [`bytes`](Self::bytes) reaches its budget.
pub struct DeltaWriter {
    table: Table,
    source: Arc<TableSchema>,
    schema: SchemaRef,
    config: WriterConfig,
    key: Option<SpanKey>,
    batches: Vec<RecordBatch>,
    batch_bytes: usize,
    events: u64,
}

struct SpanKey {
    columns: Vec<usize>,
    ids: Vec<i32>,
    collapse: Collapse,
}

impl DeltaWriter {
    /// A writer of changes under `source` for `table`, whose schema is, or is about to become, that of `source`
    /// (see [`Commit::with_schema`](crate::Commit::with_schema)).
    ///
    /// # Errors
    /// [`ErrorKind::Schema`]: the table cannot become that.
    pub fn new(table: &Table, source: Arc<TableSchema>, config: WriterConfig) -> Result<Self> {
        let schema = match evolved(table.schema(), &source, table.has_rows())? {
            Some(schema) => Arc::new(schema),
            None => Arc::clone(table.schema()),
        };
        let key = match equality_ids(&source) {
            Some(ids) => {
                let types: Vec<_> = source.key_columns().map(|c| c.logical_type.arrow_type()).collect();
                let nullable = source.key_columns().any(|c| c.nullable);
                let collapse = Collapse::new(KeyEncoder::new(&types, nullable)?);
                Some(SpanKey { columns: source.key.clone(), ids, collapse })
            }
            None => None,
        };
        Ok(Self { table: table.clone(), source, schema, config, key, batches: Vec::new(), batch_bytes: 0, events: 0 })
    }

    /// Takes in one batch: for each event its row (`after`; of a delete, `before`) and operation, in the order of the log.
    ///
    /// `rows` has the schema's [`arrow_schema`](TableSchema::arrow_schema). On an error nothing of the batch is taken in.
    ///
    /// # Errors
    /// [`ErrorKind::NoKey`]: an update or delete, and the table has no key to delete by; or an insert that is not certainly new, and
    /// its key cannot be deleted by. [`ErrorKind::Invalid`]: rows of other columns, or not one operation for each.
    pub fn write(&mut self, rows: &RecordBatch, ops: &[Op], new: NewRows<'_>) -> Result<()> {
        self.check(rows, ops)?;
        if rows.num_rows() == 0 {
            return Ok(());
        }
        match &mut self.key {
            Some(key) => {
                let columns: Vec<ArrayRef> = key.columns.iter().filter_map(|&i| rows.columns().get(i)).map(Arc::clone).collect();
                key.collapse.add(&columns, ops, new)?;
            }
            None => self.check_appends(ops, new)?,
        }
        self.events = self.events.saturating_add(u64::try_from(ops.len()).unwrap_or(u64::MAX));
        self.batch_bytes = self.batch_bytes.saturating_add(rows.get_array_memory_size());
        self.batches.push(rows.clone());
        Ok(())
    }

    /// Without a key to delete by, only rows that are certainly new can be taken in.
    ///
    /// A source that knows no key sends each row once. One that has a key, of floats, may send a row that was inserted while the
    /// table was read twice: as read and as created.
    fn check_appends(&self, ops: &[Op], new: NewRows<'_>) -> Result<()> {
        let keyless = self.source.key.is_empty();
        let old = ops.iter().enumerate().find(|(row, op)| match op {
            Op::Update | Op::Delete => true,
            Op::Read | Op::Create => !keyless && !new.is_new(*row),
        });
        let Some((_, op)) = old else { return Ok(()) };
        let what = match op {
            Op::Update => "an update",
            Op::Delete => "a delete",
            Op::Read | Op::Create => "an insert that may have come before",
        };
        let why = if keyless { "it has no key" } else { "its key holds a float, which Iceberg cannot delete by" };
        Err(Error::new(
            ErrorKind::NoKey,
            format!(
                "{what} of {} cannot be applied: {why}, so the old row cannot be found; add a primary key, or leave the table out",
                self.source.table
            ),
        ))
    }

    fn check(&self, rows: &RecordBatch, ops: &[Op]) -> Result<()> {
        let fits = rows.num_columns() == self.source.columns.len()
            && rows.columns().iter().zip(&self.source.columns).all(|(a, c)| *a.data_type() == c.logical_type.arrow_type());
        if fits && ops.len() == rows.num_rows() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            format!(
                "a batch of {} rows with {} operations in columns {:?} is not one of {} in schema version {}",
                rows.num_rows(),
                ops.len(),
                rows.schema().fields().iter().map(|f| f.data_type()).collect::<Vec<_>>(),
                self.source.table,
                self.source.version
            ),
        ))
    }

    /// Bytes held: batches and keys.
    pub fn bytes(&self) -> usize {
        self.batch_bytes.saturating_add(self.key.as_ref().map_or(0, |k| k.collapse.bytes()))
    }

    /// Events taken in.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// True if nothing was taken in.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Writes the files. Encoding happens on a blocking thread. An empty span, or one whose changes cancel out, has none.
    ///
    /// # Errors
    /// Of the storage: `DiskFull`, `NotWritable`, `Io`. A file that was written whole may be left; nobody names it.
    pub async fn finish(self) -> Result<DeltaFiles> {
        let Self { table, schema, config, key, batches, events, .. } = self;
        let (ids, columns, chosen) = match key {
            Some(k) => (k.ids, k.columns, Some(k.collapse)),
            None => (Vec::new(), Vec::new(), None),
        };
        let encode_schema = Arc::clone(&schema);
        let encode_ids = ids.clone();
        let (data, deletes) = tokio::task::spawn_blocking(move || {
            encode_span(&encode_schema, &config, batches, chosen.map(Collapse::finish), &columns, &encode_ids)
        })
        .await
        .map_err(|e| Error::new(ErrorKind::Other, "encoding a span was cut off").with_source(e))??;

        let mut files = DeltaFiles {
            data: Vec::new(),
            deletes: Vec::new(),
            stats: DeltaStats { events, ..DeltaStats::default() },
            table_uuid: table.uuid(),
            schema: Arc::clone(&schema),
        };
        let folder = format!("{}/data", table.metadata().location());
        let span = uuid::Uuid::now_v7();
        if let Some(encoded) = data {
            let path = format!("{folder}/{span}-data.parquet");
            let fields: Vec<&NestedField> = schema.as_struct().fields().iter().map(Arc::as_ref).collect();
            let file = put(&table, path, encoded, DataContentType::Data, &fields, None).await?;
            files.stats.rows = file.record_count();
            files.stats.bytes = file.file_size_in_bytes();
            files.data.push(file);
        }
        if let Some(encoded) = deletes {
            cdc_failpoint::hit("table-before-delete-file");
            let path = format!("{folder}/{span}-deletes.parquet");
            let fields = key_fields(&schema, &ids)?;
            let file = put(&table, path, encoded, DataContentType::EqualityDeletes, &fields, Some(ids)).await?;
            files.stats.deletes = file.record_count();
            files.stats.bytes = files.stats.bytes.saturating_add(file.file_size_in_bytes());
            files.deletes.push(file);
        }
        Ok(files)
    }
}

impl DeltaFiles {
    /// True if there is nothing to commit but progress.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.deletes.is_empty()
    }

    /// Deletes the files. Only for files that were never offered to a commit whose outcome is not certainly "no".
    pub async fn discard(self, table: &Table) {
        for file in self.data.iter().chain(&self.deletes) {
            table.catalog().delete_quietly(file.file_path()).await;
        }
    }
}

async fn put(
    table: &Table,
    path: String,
    encoded: Encoded,
    content: DataContentType,
    fields: &[&NestedField],
    ids: Option<Vec<i32>>,
) -> Result<DataFile> {
    let Encoded { bytes, metadata, rows } = encoded;
    let file = data_file(content, path.clone(), bytes.len(), rows, fields, &metadata, ids)?;
    let what = || format!("writing a file of table {}", table.name());
    let output = table.file_io().new_output(&path).map_err(|e| Error::iceberg(what(), e))?;
    output.write(bytes).await.map_err(|e| Error::iceberg(what(), e))?;
    Ok(file)
}

fn key_fields<'a>(schema: &'a SchemaRef, ids: &[i32]) -> Result<Vec<&'a NestedField>> {
    ids.iter()
        .map(|id| {
            schema
                .as_struct()
                .field_by_id(*id)
                .map(Arc::as_ref)
                .ok_or_else(|| Error::new(ErrorKind::Schema, format!("the key's field {id} is not in the table")))
        })
        .collect()
}

/// The data file and the delete file of a span, where there are rows for them.
fn encode_span(
    schema: &SchemaRef,
    config: &WriterConfig,
    batches: Vec<RecordBatch>,
    chosen: Option<Vec<Chosen>>,
    key: &[usize],
    ids: &[i32],
) -> Result<(Option<Encoded>, Option<Encoded>)> {
    let all: Vec<usize> = (0..schema.as_struct().fields().len()).collect();
    let mut data = Vec::with_capacity(batches.len());
    let mut deletes = Vec::new();
    match chosen {
        None => data.extend(batches.into_iter().map(|b| b.columns().to_vec())),
        Some(chosen) => {
            // Each batch goes as soon as its rows are picked: a span is in memory once, not twice.
            for (batch, chosen) in batches.into_iter().zip(chosen) {
                if let Some(rows) = chosen.deletes {
                    deletes.push(pick(&batch, key, &rows)?);
                }
                if let Some(rows) = chosen.data {
                    data.push(pick(&batch, &all, &rows)?);
                }
            }
        }
    }
    let fields: Vec<&NestedField> = schema.as_struct().fields().iter().map(Arc::as_ref).collect();
    let file = |fields: &[&NestedField], batches: Vec<Vec<ArrayRef>>| match batches.is_empty() {
        true => Ok(None),
        false => encode(fields, batches, config.encoding, config.row_group_rows).map(Some),
    };
    Ok((file(&fields, data)?, file(&key_fields(schema, ids)?, deletes)?))
}

fn pick(batch: &RecordBatch, columns: &[usize], rows: &BooleanArray) -> Result<Vec<ArrayRef>> {
    let columns = columns.iter().filter_map(|&i| batch.columns().get(i));
    if rows.true_count() == batch.num_rows() {
        return Ok(columns.map(Arc::clone).collect());
    }
    columns.map(|c| filter(c, rows).map_err(|e| Error::arrow("choosing a span's rows", e))).collect()
}
