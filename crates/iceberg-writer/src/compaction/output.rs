//! The new files of a rewrite: rolled over at the wanted size, written as they come.

use crate::encode::{FileEncoder, ValueEncoding};
use crate::error::{Error, Result};
use crate::metrics::data_file;
use crate::table::Table;
use arrow_array::{Array, ArrayRef};
use iceberg::io::FileWrite;
use iceberg::spec::{DataContentType, DataFile, NestedField, NestedFieldRef};
use std::sync::Arc;

/// So many rows, or bytes of them in memory, are looked at before the encoding of a file's columns is chosen.
const SAMPLE_ROWS: usize = 8_192;
const SAMPLE_BYTES: usize = 4 << 20;
/// A row group ends once it takes so much memory: that is all that is held of a file.
const ROW_GROUP_BYTES: usize = 16 << 20;
const ROW_GROUP_ROWS: usize = 131_072;

/// Where rows of one kind go.
pub(super) struct Output {
    table: Table,
    fields: Vec<NestedFieldRef>,
    /// The columns that the files delete by; `None` of data files.
    delete_by: Option<Vec<i32>>,
    target_bytes: u64,
    target_rows: usize,
    /// Rows that may still come, at most.
    expected_rows: usize,
    sample: Vec<Vec<ArrayRef>>,
    sample_rows: usize,
    sample_bytes: usize,
    open: Option<Open>,
    files: Vec<DataFile>,
}

struct Open {
    path: String,
    encoder: FileEncoder,
    to: Box<dyn FileWrite>,
    written: usize,
    rows: usize,
}

impl Output {
    /// Data files in the columns of the table.
    pub(super) fn of_data(table: &Table, target_bytes: u64, expected_rows: usize) -> Self {
        let fields = table.schema().as_struct().fields().to_vec();
        Self::new(table, fields, None, target_bytes, usize::MAX, expected_rows)
    }

    /// Equality-delete files by these columns.
    pub(super) fn of_deletes(
        table: &Table,
        fields: Vec<NestedFieldRef>,
        target_bytes: u64,
        target_rows: usize,
        expected_rows: usize,
    ) -> Self {
        let ids = fields.iter().map(|f| f.id).collect();
        Self::new(table, fields, Some(ids), target_bytes, target_rows, expected_rows)
    }

    fn new(
        table: &Table,
        fields: Vec<NestedFieldRef>,
        delete_by: Option<Vec<i32>>,
        target_bytes: u64,
        target_rows: usize,
        expected_rows: usize,
    ) -> Self {
        Self {
            table: table.clone(),
            fields,
            delete_by,
            target_bytes,
            target_rows,
            expected_rows,
            sample: Vec::new(),
            sample_rows: 0,
            sample_bytes: 0,
            open: None,
            files: Vec::new(),
        }
    }

    /// Takes in rows: one array for each field.
    pub(super) async fn push(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let rows = columns.first().map_or(0, |c| c.len());
        if rows == 0 {
            return Ok(());
        }
        if self.open.is_some() {
            return self.write(columns).await;
        }
        self.hold(columns);
        if self.sample_rows >= SAMPLE_ROWS || self.sample_bytes >= SAMPLE_BYTES { self.begin().await } else { Ok(()) }
    }

    fn hold(&mut self, columns: Vec<ArrayRef>) {
        let bytes = columns.iter().map(|c| c.get_array_memory_size()).fold(0, usize::saturating_add);
        self.sample_bytes = self.sample_bytes.saturating_add(bytes);
        self.sample_rows = self.sample_rows.saturating_add(columns.first().map_or(0, |c| c.len()));
        self.sample.push(columns);
    }

    /// Opens a file and writes what was held back.
    async fn begin(&mut self) -> Result<()> {
        if self.sample.is_empty() {
            return Ok(());
        }
        let kind = if self.delete_by.is_some() { "deletes" } else { "data" };
        let path = format!("{}/data/{}-compacted-{kind}.parquet", self.table.metadata().location(), uuid::Uuid::now_v7());
        let output = self.table.file_io().new_output(&path).map_err(|e| self.failed(e))?;
        let to = output.writer().await.map_err(|e| self.failed(e))?;
        let fields: Vec<&NestedField> = self.fields.iter().map(Arc::as_ref).collect();
        let rows = self.expected_rows.max(self.sample_rows);
        let encoder = FileEncoder::new(&fields, &self.sample, rows, ValueEncoding::Portable, ROW_GROUP_ROWS)?;
        self.open = Some(Open { path, encoder, to, written: 0, rows: 0 });
        (self.sample_rows, self.sample_bytes) = (0, 0);
        for columns in std::mem::take(&mut self.sample) {
            self.write(columns).await?;
        }
        Ok(())
    }

    async fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let rows = columns.first().map_or(0, |c| c.len());
        self.expected_rows = self.expected_rows.saturating_sub(rows);
        let Some(open) = &mut self.open else {
            // The file was full in the middle of what had been held back.
            self.hold(columns);
            return Ok(());
        };
        open.encoder.write(columns)?;
        open.rows = open.rows.saturating_add(rows);
        if open.encoder.open_bytes() >= ROW_GROUP_BYTES {
            open.encoder.end_row_group()?;
        }
        let done = open.encoder.take();
        open.written = open.written.saturating_add(done.len());
        let full = u64::try_from(open.encoder.bytes()).unwrap_or(u64::MAX) >= self.target_bytes || open.rows >= self.target_rows;
        let written = if done.is_empty() { Ok(()) } else { open.to.write(done).await };
        written.map_err(|e| self.failed(e))?;
        if full { self.end().await } else { Ok(()) }
    }

    async fn end(&mut self) -> Result<()> {
        let Some(Open { path, encoder, mut to, written, .. }) = self.open.take() else { return Ok(()) };
        let last = encoder.finish()?;
        let size = written.saturating_add(last.bytes.len());
        to.write(last.bytes).await.map_err(|e| self.failed(e))?;
        to.close().await.map_err(|e| self.failed(e))?;
        let content = if self.delete_by.is_some() { DataContentType::EqualityDeletes } else { DataContentType::Data };
        let fields: Vec<&NestedField> = self.fields.iter().map(Arc::as_ref).collect();
        self.files.push(data_file(content, path, size, last.rows, &fields, &last.metadata, self.delete_by.clone())?);
        Ok(())
    }

    /// The files; what was held back is written.
    pub(super) async fn finish(&mut self) -> Result<Vec<DataFile>> {
        while !self.sample.is_empty() {
            self.begin().await?;
        }
        self.end().await?;
        Ok(std::mem::take(&mut self.files))
    }

    /// Paths of all files so far, finished or not.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(DataFile::file_path).chain(self.open.iter().map(|o| o.path.as_str()))
    }

    fn failed(&self, e: iceberg::Error) -> Error {
        Error::iceberg(format!("writing a compacted file of table {}", self.table.name()), e)
    }
}
