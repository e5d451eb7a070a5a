use crate::columns::ColumnBuffer;
use crate::config::DecoderConfig;
use crate::connect_schema::unknown_type;
use crate::error::{Error, ErrorKind, Fault, Result};
use crate::event_schema::{EventSchema, Layout};
use crate::flat::FlatMarks;
use crate::general::{ColumnPlan, EventForm, Outcome, Rows, Scratch, payload_start, read_event};
use crate::plan::Plan;
use crate::wire::Wire;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use cdc_core::{Column, Op, TableSchema};
use std::sync::Arc;

/// Layouts that are kept, in the order of their last use. A table's events have one; two or three while its writers change.
const MAX_PLANS: usize = 4;
/// Plans that are learnt at once; later ones only after [`MISSES_PER_PLAN`] records that none fitted.
const FREE_PLANS: u64 = 16;
const MISSES_PER_PLAN: u64 = 256;

/// What a record was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decoded {
    /// A change of a row: one more row is in the batch.
    Event(Op),
    /// No value: what Debezium sends after a delete, for compaction. Nothing is in the batch. Where rows come without an envelope it is
    /// the delete itself, of the record's key.
    Tombstone,
    /// All rows of the table went. Nothing is in the batch: finish what came before, then truncate.
    Truncate,
}

/// The rows of a span of events, in their order.
#[derive(Debug, Clone)]
pub struct DecodedBatch {
    /// One row per event, in [`TableSchema::arrow_schema`]: the row after, for a delete the row before.
    pub rows: RecordBatch,
    /// What each event did.
    pub ops: Vec<Op>,
    /// When the source's server did it (`source.ts_us`), microseconds since the Unix epoch.
    pub source_ts_us: Vec<i64>,
}

/// Reads the events of one table under one schema version into Arrow columns.
///
/// Records that look like the last ones are read by a compiled plan in a single pass; any other goes to a strict general reader, which
/// also teaches the plan. Both give the same result, but for one thing: a plan does not check the bytes of the `before` image of an
/// update, which nobody reads.
pub struct Decoder {
    schema: Arc<TableSchema>,
    arrow: SchemaRef,
    columns: Vec<ColumnPlan>,
    form: EventForm,
    rows: Rows,
    ops: Vec<Op>,
    source_ts_us: Vec<i64>,
    scratch: Scratch,
    plans: Vec<Plan>,
    learnt: u64,
    misses: u64,
    missed_since_learning: u64,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("table", &self.schema.table).field("rows", &self.rows()).finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder for the events of one schema version.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] names a column whose type Debezium has no form for.
    pub fn new(schema: Arc<TableSchema>, config: DecoderConfig) -> Result<Self> {
        let mut wires = Vec::with_capacity(schema.columns.len());
        for column in &schema.columns {
            wires.push(Wire::of(column, config.profile).ok_or_else(|| unknown_type(&schema, column))?);
        }
        Ok(Self::with_wires(schema, &wires, EventForm { schemas: config.converter.has_schemas(), flat: None }))
    }

    /// A decoder for the events that carry the schemas `events`, with or without an envelope.
    ///
    /// `schema` is [`EventSchema::table_schema`], or one with the same columns under other field ids, another table name, other
    /// nullability or a wider type of the same Arrow form.
    ///
    /// Of rows without an envelope, a column `__op` says what the event did; else `__deleted` "true" is a delete, and any other row an
    /// update, which holds for new rows as well. Their time is `__source_ts_us`, `_ms` or `_ns`; 0 without one of these.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`]: `schema` has other columns.
    pub fn for_events(schema: Arc<TableSchema>, events: &EventSchema) -> Result<Self> {
        let wires = events.wires_for(&schema)?;
        let flat = match events.layout() {
            Layout::Envelope => None,
            Layout::Flat => Some(FlatMarks::of(&schema)),
        };
        Ok(Self::with_wires(Arc::clone(&schema), wires, EventForm { schemas: true, flat }))
    }

    fn with_wires(schema: Arc<TableSchema>, wires: &[Wire], form: EventForm) -> Self {
        let column = |(column, wire): (&Column, &Wire)| ColumnPlan { wire: *wire, nullable: column.nullable };
        let columns: Vec<ColumnPlan> = schema.columns.iter().zip(wires).map(column).collect();
        Self {
            arrow: schema.arrow_schema(),
            rows: Rows { columns: columns.iter().map(|c| ColumnBuffer::new(c.wire)).collect(), count: 0 },
            columns,
            form,
            ops: Vec::new(),
            source_ts_us: Vec::new(),
            scratch: Scratch::default(),
            plans: Vec::new(),
            learnt: 0,
            misses: 0,
            missed_since_learning: 0,
            schema,
        }
    }

    /// The schema version that this decoder reads.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// Reads the value of one record; `None` is a record without one. Keys and headers add nothing: an event has its whole row.
    ///
    /// # Errors
    /// [`ErrorKind::Syntax`], [`ErrorKind::Schema`] or [`ErrorKind::Value`] say what is wrong, in which column, at which byte;
    /// [`ErrorKind::Full`] that the batch must be finished first. Nothing of the record is in the batch, and the decoder can go on.
    pub fn decode(&mut self, value: Option<&[u8]>) -> Result<Decoded> {
        let Some(value) = value else { return Ok(Decoded::Tombstone) };
        for at in 0..self.plans.len() {
            let read = self.plans.get(at).and_then(|plan| plan.read(value, &mut self.rows, &mut self.scratch));
            if let Some((op, source_ts_us)) = read {
                if at > 0
                    && let Some(used) = self.plans.get_mut(..=at)
                {
                    used.rotate_right(1);
                }
                return self.keep(op, source_ts_us);
            }
            self.rows.rollback();
        }
        self.decode_generally(value)
    }

    /// The general path alone, for tests that compare the two.
    #[doc(hidden)]
    pub fn decode_strictly(&mut self, value: Option<&[u8]>) -> Result<Decoded> {
        let Some(value) = value else { return Ok(Decoded::Tombstone) };
        match read_event(value, self.form, &self.schema, &self.columns, &mut self.rows, &mut self.scratch) {
            Ok(Outcome::Event { op, source_ts_us }) => self.keep(op, source_ts_us),
            Ok(Outcome::Tombstone) => Ok(Decoded::Tombstone),
            Ok(Outcome::Truncate) => Ok(Decoded::Truncate),
            Err((fault, column)) => {
                self.rows.rollback();
                let column = column.and_then(|i| self.schema.columns.get(i)).map(|c| c.name.clone());
                Err(Error::from_fault(fault, &self.schema.table, column))
            }
        }
    }

    #[cold]
    fn decode_generally(&mut self, value: &[u8]) -> Result<Decoded> {
        self.misses = self.misses.saturating_add(1);
        self.missed_since_learning = self.missed_since_learning.saturating_add(1);
        let decoded = self.decode_strictly(Some(value))?;
        // A topic whose layout never settles must not pay for a plan with each record.
        if matches!(decoded, Decoded::Event(_)) && (self.learnt < FREE_PLANS || self.missed_since_learning > MISSES_PER_PLAN) {
            self.learnt = self.learnt.saturating_add(1);
            self.missed_since_learning = 0;
            let payload = payload_start(value, self.form.schemas, &mut self.scratch);
            let plan = payload.and_then(|at| match self.form.flat {
                None => Plan::learn(value, at, &self.schema, &self.columns, &self.plans),
                Some(marks) => Plan::learn_flat(value, at, &self.schema, &self.columns, marks),
            });
            if let Some(plan) = plan {
                self.plans.retain(|old| !old.is_replaced_by(&plan));
                self.plans.truncate(MAX_PLANS - 1);
                self.plans.insert(0, plan);
            }
        }
        Ok(decoded)
    }

    /// Counts the row that was just appended.
    #[inline]
    fn keep(&mut self, op: Op, source_ts_us: i64) -> Result<Decoded> {
        let Some(count) = self.rows.count.checked_add(1) else {
            self.rows.rollback();
            return Err(Error::from_fault(Fault::full(0), &self.schema.table, None));
        };
        self.rows.count = count;
        self.ops.push(op);
        self.source_ts_us.push(source_ts_us);
        Ok(Decoded::Event(op))
    }

    /// Rows in the batch.
    pub fn rows(&self) -> usize {
        self.ops.len()
    }

    /// Bytes that the batch holds. Costs a walk over the columns: ask once in a while, not for each record.
    pub fn bytes(&self) -> usize {
        let columns: usize = self.rows.columns.iter().map(ColumnBuffer::bytes).sum();
        columns.saturating_add(self.ops.len().saturating_mul(9))
    }

    /// Records that no plan fitted, since the decoder was made. A figure that grows with the records means slow decoding.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// The rows so far; the decoder is empty afterwards and goes on with what it has learnt.
    ///
    /// # Errors
    /// None that events can cause. The batch is lost then.
    pub fn finish(&mut self) -> Result<DecodedBatch> {
        let count = self.ops.len();
        let mut arrays = Vec::with_capacity(self.columns.len());
        let mut failure = None;
        for (column, field) in self.rows.columns.iter_mut().zip(self.arrow.fields()) {
            match column.finish(field.data_type(), count) {
                Ok(array) => arrays.push(array),
                Err(e) => failure = Some((e, field.name().clone())),
            }
        }
        self.rows.count = 0;
        let ops = std::mem::take(&mut self.ops);
        let source_ts_us = std::mem::take(&mut self.source_ts_us);
        let defect = |e| {
            Error::new(
                ErrorKind::Value,
                &self.schema.table,
                format!("columns that do not fit their schema ({e}): a defect, please report it"),
            )
        };
        if let Some((e, column)) = failure {
            return Err(defect(e).in_column(column));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.arrow), arrays, &options).map_err(defect)?;
        Ok(DecodedBatch { rows, ops, source_ts_us })
    }
}
