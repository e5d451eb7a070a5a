//! Events of spans become data and delete files: decode, collapse, Parquet.

use super::event_decoder::EventDecoder;
use super::iceberg_table::{MirroredTable, TableFiles};
use super::insert_certainty::{InsertCertainty, SpanCertainty};
use super::log::SpanRecords;
use super::progress_view::ProgressFollower;
use crate::config::EventFormat;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, SortField};
use async_trait::async_trait;
use cdc_core::{TableId, TableSchema};
use commit_coordinator::{BarrierLine, Error, ErrorKind, Place, Result, Span, SpanWriter, Written};
use debezium_format::{Decoded, DecodedBatch};
use iceberg_writer::{DeltaWriter, NewRows, WriterConfig};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Events are decoded into batches of so many rows.
const BATCH_ROWS: usize = 16_384;

/// Writes the spans of one table.
pub(super) struct IcebergSpanWriter {
    source_table: TableId,
    table: Arc<MirroredTable>,
    progress: ProgressFollower,
    events: EventFormat,
    event_decoder: Option<EventDecoder>,
    span: Option<OpenSpan>,
    /// By topic and partition.
    certainty: BTreeMap<(String, i32), InsertCertainty>,
    key_hasher: foldhash::fast::FixedState,
}

/// The span that is being written: all of one schema version.
struct OpenSpan {
    writer: DeltaWriter,
    schema: Arc<TableSchema>,
    events: u64,
    source_ts_us: i64,
    skips_deletes: bool,
}

impl IcebergSpanWriter {
    pub(super) fn new(source_table: TableId, table: Arc<MirroredTable>, progress: ProgressFollower, events: EventFormat) -> Self {
        Self {
            source_table,
            table,
            progress,
            events,
            event_decoder: None,
            span: None,
            certainty: BTreeMap::new(),
            key_hasher: foldhash::fast::FixedState::with_seed(0x6d69_7272_6f72),
        }
    }

    fn refuse(&self, place: &Place<'_>, what: &str) -> Error {
        Error::new(
            ErrorKind::Record,
            format!(
                "{} cannot go on at offset {} of {}, partition {}: {what}",
                self.source_table, place.from, place.topic, place.partition
            ),
        )
    }

    /// Opens the span, if it is not open, under the schema version of these records.
    async fn open_span(&mut self, place: &Place<'_>) -> Result<()> {
        let version = place.facts.schema_version;
        if self.span.as_ref().is_some_and(|span| span.schema.version == version) {
            return Ok(());
        }
        if self.span.is_some() {
            return Err(self.refuse(place, "a span would hold rows of two schema versions: a fault of the worker"));
        }
        let progress = self.progress.now();
        let missing = || self.refuse(place, &format!("the progress topic has no schema version {version} of the table"));
        let table_progress = progress.tables.get(&self.source_table).ok_or_else(missing)?;
        let known = table_progress.schemas.get(&version).ok_or_else(missing)?;
        let schema = Arc::new(known.schema.clone());
        let table = self.table.current().ok_or_else(|| self.refuse(place, "the table is not in the catalog"))?;
        let writer = DeltaWriter::new(&table, schema.clone(), WriterConfig::default())
            .map_err(|e| Error::new(ErrorKind::Other, e.to_string()).with_source(e))?;
        if self.event_decoder.as_ref().is_none_or(|e| e.decoder.schema().version != version) {
            let decoder = EventDecoder::of_version(table_progress, version, self.events).await;
            self.event_decoder = Some(decoder.map_err(|e| self.refuse(place, &e.to_string()).with_source(e))?);
        }
        self.span = Some(OpenSpan { writer, schema, events: 0, source_ts_us: 0, skips_deletes: false });
        Ok(())
    }

    /// Hands the decoded rows to the delta writer. `offsets` are those of the rows.
    fn take_in(&mut self, certainty: &SpanCertainty, lane: &(String, i32), offsets: &mut Vec<i64>) -> Result<()> {
        let (Some(EventDecoder { decoder, .. }), Some(span)) = (&mut self.event_decoder, &mut self.span) else { return Ok(()) };
        if offsets.is_empty() {
            return Ok(());
        }
        let batch = decoder.finish().map_err(|e| Error::new(ErrorKind::Record, e.to_string()).with_source(e))?;
        let mut new = Vec::with_capacity(batch.ops.len());
        if let Some(lane) = self.certainty.get_mut(lane) {
            let hashes = KeyHashes::new(&span.schema, &batch, &self.key_hasher);
            for (row, (op, offset)) in batch.ops.iter().zip(offsets.iter()).enumerate() {
                new.push(lane.is_new(certainty, *op, *offset, || hashes.of(row)));
            }
        }
        span.skips_deletes |= new.contains(&true);
        span.events += batch.ops.len() as u64;
        span.source_ts_us = batch.source_ts_us.iter().copied().fold(span.source_ts_us, i64::max);
        offsets.clear();
        span.writer.write(&batch.rows, &batch.ops, NewRows::Marked(&new)).map_err(|e| {
            let kind = if e.kind() == iceberg_writer::ErrorKind::NoKey { ErrorKind::Record } else { ErrorKind::Other };
            Error::new(kind, e.to_string()).with_source(e)
        })
    }
}

#[async_trait]
impl SpanWriter for IcebergSpanWriter {
    type Records = SpanRecords;
    type Files = TableFiles;

    async fn restart(&mut self, at: &[Span]) -> Result<()> {
        self.span = None;
        self.event_decoder = None;
        for span in at {
            let lane = (span.topic.clone(), span.partition);
            let known = self.certainty.entry(lane).or_insert_with(|| InsertCertainty::new(span.partition, span.from));
            known.seek(span.from);
        }
        Ok(())
    }

    async fn write(&mut self, place: &Place<'_>, records: SpanRecords) -> Result<()> {
        self.open_span(place).await?;
        let progress = self.progress.now();
        let table_progress = progress.tables.get(&self.source_table);
        let lane = (place.topic.to_owned(), place.partition);
        let certainty = self
            .certainty
            .entry(lane.clone())
            .or_insert_with(|| InsertCertainty::new(place.partition, place.from))
            .of_span(place.from, table_progress, !place.touched);
        let mut offsets = Vec::with_capacity(BATCH_ROWS);
        for record in records.iter() {
            let events = self.event_decoder.as_mut();
            let events = events.ok_or_else(|| Error::new(ErrorKind::Other, "a span without a decoder"))?;
            match events.decoder.decode(record.value) {
                Ok(Decoded::Event(_)) => offsets.push(record.offset),
                Ok(Decoded::Tombstone) if events.tombstones_delete => {
                    let what = format!(
                        "the record at offset {} deletes a row by its key alone, where rows come without an envelope: have deletes written as rows (\"delete.tombstone.handling.mode\" = \"rewrite\")",
                        record.offset
                    );
                    return Err(self.refuse(place, &what));
                }
                Ok(Decoded::Tombstone) => {}
                // Its barrier is behind it.
                Ok(Decoded::Truncate) if table_progress.is_some_and(|t| t.event_schemas.is_some()) => {}
                Ok(Decoded::Truncate) => {
                    let what = format!("the record at offset {} is a truncate without a barrier", record.offset);
                    return Err(self.refuse(place, &what));
                }
                Ok(other) => {
                    let what =
                        format!("the record at offset {} is of a kind that this version does not know: {other:?}", record.offset);
                    return Err(self.refuse(place, &what));
                }
                Err(e) => {
                    let what = format!("the record at offset {} cannot be read: {e}", record.offset);
                    return Err(self.refuse(place, &what).with_source(e));
                }
            }
            if offsets.len() == BATCH_ROWS {
                self.take_in(&certainty, &lane, &mut offsets)?;
            }
        }
        self.take_in(&certainty, &lane, &mut offsets)?;
        if let Some(known) = self.certainty.get_mut(&lane) {
            known.read_to(place.to, &certainty);
        }
        Ok(())
    }

    fn open(&self) -> (u64, usize) {
        self.span.as_ref().map_or((0, 0), |span| (span.events, span.writer.bytes()))
    }

    async fn finish(&mut self) -> Result<Written<TableFiles>> {
        let nothing = Written { files: None, source_ts_us: 0, skips_deletes: false };
        let Some(span) = self.span.take() else { return Ok(nothing) };
        if span.writer.is_empty() {
            return Ok(nothing);
        }
        let delta = span.writer.finish().await.map_err(|e| {
            let kind = match e.kind() {
                iceberg_writer::ErrorKind::Io => ErrorKind::Unavailable,
                _ => ErrorKind::Other,
            };
            Error::new(kind, e.to_string()).with_source(e)
        })?;
        Ok(Written {
            files: Some(TableFiles::Span { delta, schema: span.schema }),
            source_ts_us: span.source_ts_us,
            skips_deletes: span.skips_deletes,
        })
    }

    fn passed(&mut self, barrier: &BarrierLine) {
        tracing::info!(table = %self.source_table, number = barrier.number, kind = ?barrier.kind, "barrier passed");
    }

    fn abandon(&mut self, files: TableFiles) {
        // Nobody knows their names but us, and no commit ever will.
        if let (Some(table), TableFiles::Span { delta, .. }) = (self.table.current(), files) {
            tokio::spawn(async move { delta.discard(&table).await });
        }
    }
}

/// Hashes of the key columns of a batch, made only when the first is asked for.
struct KeyHashes<'a> {
    columns: Vec<ArrayRef>,
    rows: std::cell::OnceCell<Option<arrow_row::Rows>>,
    hasher: &'a foldhash::fast::FixedState,
}

impl<'a> KeyHashes<'a> {
    fn new(schema: &TableSchema, batch: &DecodedBatch, hasher: &'a foldhash::fast::FixedState) -> Self {
        let column = |i: &usize| RecordBatch::columns(&batch.rows).get(*i).cloned();
        Self { columns: schema.key.iter().filter_map(column).collect(), rows: std::cell::OnceCell::new(), hasher }
    }

    /// Without a key, or if it cannot be encoded, all rows have one hash: then nothing is certain, which is safe.
    fn of(&self, row: usize) -> u64 {
        let rows = self.rows.get_or_init(|| {
            let fields = self.columns.iter().map(|c| SortField::new(c.data_type().clone())).collect();
            RowConverter::new(fields).and_then(|converter| converter.convert_columns(&self.columns)).ok()
        });
        match rows {
            Some(rows) if !self.columns.is_empty() && row < rows.num_rows() => self.hasher.hash_one(rows.row(row).data()),
            _ => 0,
        }
    }
}
