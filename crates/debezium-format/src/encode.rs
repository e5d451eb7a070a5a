use crate::config::{BinaryMode, EncoderConfig, TimePrecision};
use crate::connect_schema::{STRING, schema_texts, unknown_type};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{ContextHeaders, EncodedEvent, EventSink, KeyChange};
use crate::number_text::{UnitText, write_integer};
use crate::string_text::write_string;
use crate::value_text::ColumnView;
use crate::wire::Wire;
use cdc_core::{Change, ChangeBatch, NO_IMAGE, Op, Origin, SnapshotMarker, TableSchema};
use std::ops::Range;
use std::sync::Arc;

/// The version of Debezium whose format this is, as `source.version` shows it.
pub const DEBEZIUM_VERSION: &str = "3.6.3.Final";

/// Writes the changes of one table, under one schema version, as Debezium's records.
///
/// Everything that is equal for all rows (names, punctuation, embedded schemas) is made once, here; per row only values are written,
/// straight into the sink's arena.
#[derive(Debug)]
pub struct Encoder {
    schema: Arc<TableSchema>,
    wires: Vec<Wire>,
    /// What comes before each value: `{"id":`, `,"name":`.
    names: Vec<Vec<u8>>,
    /// Column and what comes before its value, in key order.
    key: Vec<(usize, Vec<u8>)>,
    /// `{"schema":..,"payload":`, for keys in headers, which have it always.
    header_open: Vec<u8>,
    /// The same, or nothing.
    key_open: Vec<u8>,
    value_open: Vec<u8>,
    /// What ends the two: `}`, or nothing.
    close: &'static [u8],
    /// `,"source":{"version":..,"ts_ms":`.
    source_open: Vec<u8>,
    /// `,"db":..,"sequence":null,"ts_us":`.
    source_database: Vec<u8>,
    /// `,"table":..,"server_id":`.
    source_table: Vec<u8>,
    context: ContextHeaders,
    tombstones: bool,
    source: SourceText,
}

/// The text around the row images, kept for the changes of one origin.
#[derive(Debug, Default)]
struct SourceText {
    of: Option<(u32, SnapshotMarker)>,
    /// From `,"source":` to `"row":`.
    head: Vec<u8>,
    /// From `,"thread":` to `"op":"`.
    middle: Vec<u8>,
    /// From `","ts_ms":` to the end of the envelope.
    tail: Vec<u8>,
    timestamp_ms: i64,
}

impl Encoder {
    /// Compiles an encoder for one schema version. `topic` names the embedded schemas.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] names a column whose type Debezium has no form for, a key that names no column, or a handling mode
    /// that is only read; [`ErrorKind::Value`] a default that is no value of its column.
    pub fn new(config: &EncoderConfig, schema: Arc<TableSchema>, topic: &str) -> Result<Self> {
        let profile = config.profile;
        if profile.time != TimePrecision::default() || profile.binary != BinaryMode::default() {
            let what = format!(
                "events of time.precision.mode={} and binary.handling.mode={} can be read, but not written",
                profile.time.name(),
                profile.binary.name()
            );
            return Err(Error::new(ErrorKind::Configuration, &schema.table, what));
        }
        let mut wires = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            wires.push(Wire::of(column, config.profile).ok_or_else(|| unknown_type(&schema, column))?);
        }
        let name_of = |index: usize, first: bool| {
            let column = schema.columns.get(index)?;
            let mut name = vec![if first { b'{' } else { b',' }];
            write_string(&mut name, &column.name);
            name.push(b':');
            Some(name)
        };
        let names = (0..wires.len()).filter_map(|i| name_of(i, i == 0)).collect();
        let mut key = Vec::with_capacity(schema.key.len());
        for (i, &column) in schema.key.iter().enumerate() {
            let name = name_of(column, i == 0).ok_or_else(|| {
                Error::new(
                    ErrorKind::Configuration,
                    &schema.table,
                    format!("its key names column {column}, which does not exist"),
                )
            })?;
            key.push((column, name));
        }
        let texts = schema_texts(&schema, topic, config.connector, config.profile)?;
        let wrap = |text: Vec<u8>| [br#"{"schema":"#, text.as_slice(), br#","payload":"#].concat();
        let header_open = wrap(texts.key);
        let (mut key_open, mut value_open) = (Vec::new(), Vec::new());
        if config.converter.has_schemas() {
            key_open.clone_from(&header_open);
            value_open = wrap(texts.value);
        }
        let mut source_open = br#","source":{"version":""#.to_vec();
        source_open.extend_from_slice(DEBEZIUM_VERSION.as_bytes());
        source_open.extend_from_slice(br#"","connector":""#);
        source_open.extend_from_slice(config.connector.name().as_bytes());
        source_open.extend_from_slice(br#"","name":"#);
        write_string(&mut source_open, &config.topic_prefix);
        source_open.extend_from_slice(br#","ts_ms":"#);
        let mut source_database = br#"","db":"#.to_vec();
        write_string(&mut source_database, &schema.table.database);
        source_database.extend_from_slice(br#","sequence":null,"ts_us":"#);
        let mut source_table = br#","table":"#.to_vec();
        write_string(&mut source_table, &schema.table.table);
        source_table.extend_from_slice(br#","server_id":"#);
        Ok(Self {
            wires,
            names,
            key,
            header_open,
            key_open,
            value_open,
            close: if config.converter.has_schemas() { b"}" } else { b"" },
            source_open,
            source_database,
            source_table,
            context: context_headers(config),
            tombstones: config.tombstones_on_delete,
            source: SourceText::default(),
            schema,
        })
    }

    /// The schema version that this encoder was compiled for.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Writes all changes of `batch`, in order: an update that changes the key as a delete, its tombstone and a create; a delete with
    /// its tombstone. Returns the number of records.
    ///
    /// # Errors
    /// [`ErrorKind::Schema`] if the batch is not of this encoder's columns or names rows that it does not have;
    /// [`ErrorKind::Value`] names a column with a value that its type cannot have. The sink then holds the records of the changes
    /// before it and, in its arena, a piece of the failed one: drop the sink.
    pub fn encode<S: EventSink + ?Sized>(&mut self, batch: &ChangeBatch, sink: &mut S) -> Result<usize> {
        let views = self.views(batch)?;
        self.source.of = None;
        let mut written = 0;
        for change in &batch.changes {
            let origin = usize::try_from(change.origin).ok().and_then(|i| batch.origins.get(i));
            let origin = origin.ok_or_else(|| self.inconsistent(change, "an origin"))?;
            if self.source.of != Some((change.origin, change.marker)) {
                self.render_source(origin, change.marker);
                self.source.of = Some((change.origin, change.marker));
            }
            let rows = batch.images.num_rows();
            let before = self.image(change, change.before, rows)?;
            let after = self.image(change, change.after, rows)?;
            sink.may_break();
            written += self.encode_change(&views, change, before, after, sink)?;
        }
        Ok(written)
    }

    /// Writes the event of a `TRUNCATE` (`op` is `t`, no key, no images).
    pub fn encode_truncate<S: EventSink + ?Sized>(&mut self, origin: &Origin, sink: &mut S) {
        self.render_source(origin, SnapshotMarker::False);
        self.source.of = None;
        let arena = sink.arena();
        let from = arena.len();
        arena.extend_from_slice(&self.value_open);
        arena.extend_from_slice(br#"{"before":null,"after":null"#);
        self.write_source(arena, 0, b't');
        let value = from..arena.len();
        sink.commit(EncodedEvent {
            key: None,
            value: Some(value),
            context: &self.context,
            key_change: None,
            timestamp_ms: self.source.timestamp_ms,
        });
    }

    fn views<'a>(&self, batch: &'a ChangeBatch) -> Result<Vec<ColumnView<'a>>> {
        if batch.images.num_columns() != self.wires.len() {
            let what = format!(
                "{} columns in the batch, {} in schema version {}",
                batch.images.num_columns(),
                self.wires.len(),
                self.schema.version
            );
            return Err(Error::new(ErrorKind::Schema, &self.schema.table, what));
        }
        let columns = batch.images.columns().iter().zip(&self.wires).zip(&self.schema.columns);
        columns
            .map(|((array, &wire), column)| {
                ColumnView::new(array, wire).ok_or_else(|| {
                    let what = format!(
                        "{} in the batch, {} in schema version {}",
                        array.data_type(),
                        column.logical_type.arrow_type(),
                        self.schema.version
                    );
                    Error::new(ErrorKind::Schema, &self.schema.table, what).in_column(&column.name)
                })
            })
            .collect()
    }

    fn inconsistent(&self, change: &Change, what: &str) -> Error {
        let what =
            format!("its batch lacks {what} that row {} of a change names: this is a defect, please report it", change.row);
        Error::new(ErrorKind::Schema, &self.schema.table, what)
    }

    /// The row of an image, `None` if the change has none.
    fn image(&self, change: &Change, image: u32, rows: usize) -> Result<Option<usize>> {
        if image == NO_IMAGE {
            return Ok(None);
        }
        let row = usize::try_from(image).ok().filter(|&row| row < rows);
        row.map(Some).ok_or_else(|| self.inconsistent(change, "an image"))
    }

    fn encode_change<S: EventSink + ?Sized>(
        &self,
        views: &[ColumnView<'_>],
        change: &Change,
        before: Option<usize>,
        after: Option<usize>,
        sink: &mut S,
    ) -> Result<usize> {
        match change.op {
            Op::Read | Op::Create => {
                let after = after.ok_or_else(|| self.inconsistent(change, "the image after"))?;
                let key = self.write_key(sink.arena(), views, after)?;
                self.write_event(views, change, change.op, (key, None, Some(after)), None, sink)?;
                Ok(1)
            }
            Op::Delete => {
                let before = before.ok_or_else(|| self.inconsistent(change, "the image before"))?;
                let key = self.write_key(sink.arena(), views, before)?;
                self.write_event(views, change, Op::Delete, (key.clone(), Some(before), None), None, sink)?;
                Ok(1 + self.tombstone(key, None, sink))
            }
            Op::Update => {
                let after = after.ok_or_else(|| self.inconsistent(change, "the image after"))?;
                let key = self.write_key(sink.arena(), views, after)?;
                let (Some(key), Some(before)) = (key.clone(), before) else {
                    self.write_event(views, change, Op::Update, (key, before, Some(after)), None, sink)?;
                    return Ok(1);
                };
                let arena = sink.arena();
                let old_key = self.write_key(arena, views, before)?.unwrap_or_default();
                if arena.get(old_key.clone()) == arena.get(key.clone()) {
                    arena.truncate(key.end);
                    self.write_event(views, change, Op::Update, (Some(key), Some(before), Some(after)), None, sink)?;
                    return Ok(1);
                }
                let new = Some((KeyChange::NewKey, self.write_key_header(arena, key.clone())));
                let old = Some((KeyChange::OldKey, self.write_key_header(arena, old_key.clone())));
                self.write_event(views, change, Op::Delete, (Some(old_key.clone()), Some(before), None), new.clone(), sink)?;
                let tombstones = self.tombstone(Some(old_key), new, sink);
                self.write_event(views, change, Op::Create, (Some(key), None, Some(after)), old, sink)?;
                Ok(2 + tombstones)
            }
        }
    }

    fn tombstone<S: EventSink + ?Sized>(
        &self,
        key: Option<Range<usize>>,
        key_change: Option<(KeyChange, Range<usize>)>,
        sink: &mut S,
    ) -> usize {
        if self.tombstones {
            let timestamp_ms = self.source.timestamp_ms;
            sink.commit(EncodedEvent { key, value: None, context: &self.context, key_change, timestamp_ms });
        }
        usize::from(self.tombstones)
    }

    fn write_key(&self, arena: &mut Vec<u8>, views: &[ColumnView<'_>], row: usize) -> Result<Option<Range<usize>>> {
        if self.key.is_empty() {
            return Ok(None);
        }
        let from = arena.len();
        arena.extend_from_slice(&self.key_open);
        for (column, name) in &self.key {
            arena.extend_from_slice(name);
            self.write_column(arena, views, *column, row)?;
        }
        arena.push(b'}');
        arena.extend_from_slice(self.close);
        Ok(Some(from..arena.len()))
    }

    /// A key as a header's value. Headers have their own converter, which writes schemas whatever that of the keys does.
    fn write_key_header(&self, arena: &mut Vec<u8>, key: Range<usize>) -> Range<usize> {
        if !self.close.is_empty() {
            return key;
        }
        let from = arena.len();
        arena.extend_from_slice(&self.header_open);
        arena.extend_from_within(key);
        arena.push(b'}');
        from..arena.len()
    }

    #[inline]
    fn write_column(&self, arena: &mut Vec<u8>, views: &[ColumnView<'_>], column: usize, row: usize) -> Result<()> {
        let written = views.get(column).zip(self.wires.get(column)).and_then(|(view, &wire)| view.write(arena, wire, row));
        written.ok_or_else(|| self.bad_value(column))
    }

    #[cold]
    fn bad_value(&self, column: usize) -> Error {
        let column = self.schema.columns.get(column);
        let what = format!("a value that {} cannot have", column.map_or("its type", |c| c.native.declaration.as_str()));
        Error::new(ErrorKind::Value, &self.schema.table, what).in_column(column.map_or("?", |c| c.name.as_str()))
    }

    fn write_row(&self, arena: &mut Vec<u8>, views: &[ColumnView<'_>], row: Option<usize>) -> Result<()> {
        let Some(row) = row else {
            arena.extend_from_slice(b"null");
            return Ok(());
        };
        for (column, name) in self.names.iter().enumerate() {
            arena.extend_from_slice(name);
            self.write_column(arena, views, column, row)?;
        }
        arena.extend_from_slice(if self.names.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }

    fn write_event<S: EventSink + ?Sized>(
        &self,
        views: &[ColumnView<'_>],
        change: &Change,
        op: Op,
        (key, before, after): (Option<Range<usize>>, Option<usize>, Option<usize>),
        key_change: Option<(KeyChange, Range<usize>)>,
        sink: &mut S,
    ) -> Result<()> {
        let arena = sink.arena();
        let from = arena.len();
        arena.extend_from_slice(&self.value_open);
        arena.extend_from_slice(br#"{"before":"#);
        self.write_row(arena, views, before)?;
        arena.extend_from_slice(br#","after":"#);
        self.write_row(arena, views, after)?;
        self.write_source(arena, change.row, op.letter());
        let value = Some(from..arena.len());
        sink.commit(EncodedEvent { key, value, context: &self.context, key_change, timestamp_ms: self.source.timestamp_ms });
        Ok(())
    }

    fn write_source(&self, arena: &mut Vec<u8>, row: u32, op: u8) {
        arena.extend_from_slice(&self.source.head);
        write_integer(arena, i64::from(row));
        arena.extend_from_slice(&self.source.middle);
        arena.push(op);
        arena.extend_from_slice(&self.source.tail);
    }

    fn render_source(&mut self, origin: &Origin, marker: SnapshotMarker) {
        let SourceText { head, middle, tail, timestamp_ms, .. } = &mut self.source;
        let transaction = &origin.transaction;
        head.clear();
        head.extend_from_slice(&self.source_open);
        let committed = UnitText::new(transaction.ts_us);
        committed.write(head, 3);
        head.extend_from_slice(br#","snapshot":""#);
        head.extend_from_slice(marker_text(marker).as_bytes());
        head.extend_from_slice(&self.source_database);
        committed.write(head, 0);
        head.extend_from_slice(br#","ts_ns":"#);
        committed.write(head, 0);
        if transaction.ts_us != 0 {
            head.extend_from_slice(b"000");
        }
        head.extend_from_slice(&self.source_table);
        write_integer(head, i64::from(transaction.server_id));
        head.extend_from_slice(br#","gtid":"#);
        write_optional_string(head, transaction.gtid.as_deref());
        head.extend_from_slice(br#","file":"#);
        write_string(head, &transaction.file);
        head.extend_from_slice(br#","pos":"#);
        head.extend_from_slice(itoa::Buffer::new().format(origin.pos).as_bytes());
        head.extend_from_slice(br#","row":"#);
        middle.clear();
        middle.extend_from_slice(br#","thread":"#);
        match origin.thread {
            Some(thread) => middle.extend_from_slice(itoa::Buffer::new().format(thread).as_bytes()),
            None => middle.extend_from_slice(b"null"),
        }
        middle.extend_from_slice(br#","query":"#);
        write_optional_string(middle, origin.query.as_deref());
        middle.extend_from_slice(br#"},"transaction":null,"op":""#);
        tail.clear();
        *timestamp_ms = origin.processed_ns.div_euclid(1_000_000);
        tail.extend_from_slice(br#"","ts_ms":"#);
        let processed = UnitText::new(origin.processed_ns);
        processed.write(tail, 6);
        tail.extend_from_slice(br#","ts_us":"#);
        processed.write(tail, 3);
        tail.extend_from_slice(br#","ts_ns":"#);
        processed.write(tail, 0);
        tail.push(b'}');
        tail.extend_from_slice(self.close);
    }
}

fn write_optional_string(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => write_string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn marker_text(marker: SnapshotMarker) -> &'static str {
    match marker {
        SnapshotMarker::False => "false",
        SnapshotMarker::True => "true",
        SnapshotMarker::First => "first",
        SnapshotMarker::FirstInCollection => "first_in_data_collection",
        SnapshotMarker::LastInCollection => "last_in_data_collection",
        SnapshotMarker::Last => "last",
    }
}

fn context_headers(config: &EncoderConfig) -> ContextHeaders {
    if !config.extended_headers {
        return ContextHeaders::default();
    }
    let value = |text: &str| {
        let mut out = format!(r#"{{"schema":{STRING},"payload":"#).into_bytes();
        write_string(&mut out, text);
        out.push(b'}');
        out
    };
    ContextHeaders(vec![
        ("__debezium.context.connectorLogicalName", value(&config.topic_prefix)),
        ("__debezium.context.taskId", value("0")),
        ("__debezium.context.connectorName", value(config.connector.name())),
        ("__debezium.context.runId", value(&config.run_id)),
    ])
}
