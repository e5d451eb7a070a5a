//! A topic whose writer keeps no progress, such as the JVM Debezium: what a progress topic would tell of its table is found in its own
//! events, each of which carries its schema.

use super::progress_view::ProgressFollower;
use crate::config::EventFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::ProgressState;
use cdc_core::{Barrier, BarrierKind, LogicalType, OffsetVector, SchemaVersion, TableId, TableSchema};
use change_log::{ChangeLog, RecordRef, Records};
use commit_coordinator::Checkpoint;
use debezium_format::{Converter, EventSchema, is_truncate};
use iceberg::spec::{PrimitiveType, Type};
use iceberg_writer::{NESTED_IDS_FROM, Table};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Bytes that are read at once to find a first event.
const READ_BYTES: usize = 64 << 10;
/// So many records before the checkpoint are looked at for a schema, if there is none behind it.
const LOOK_BACK: i64 = 1_000;
/// So many records behind a partition's checkpoint.
const LOOK_AHEAD: i64 = 10_000;
/// A decimal of more digits is text in columns.
const MOST_DIGITS: u8 = 38;
/// Why a topic without keys is refused, and the ways on.
const NO_KEY: (&str, &str) = (
    "no key: its source may send an event twice, and a row without a key would then be there twice",
    "give the table a primary key, or its events one with \"message.key.columns\", or capture the database with cdc-source",
);

/// What is known of one such topic. Every record must be [looked at](Self::look) before anyone asks what holds for it.
#[derive(Debug)]
pub(crate) struct EventSchemas {
    table: TableId,
    topic: String,
    /// Of the topic, as it was at the start: more are refused by the protocol.
    partitions: i32,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    /// Field ids by name: those that the table in the catalog has, and those that were given since.
    ids: BTreeMap<String, i32>,
    last_id: i32,
    /// Scale and digits of the table's decimals by name, of which there can only become more: another sink may have made them wider than the
    /// events say.
    decimals: BTreeMap<String, (u8, u8)>,
    /// The newest version.
    version: u32,
    barriers: u64,
    key: Vec<String>,
    partitions: BTreeMap<i32, Seen>,
    /// The schema of the first event, which holds wherever no other has been seen.
    first: Arc<EventSchema>,
    /// All that were found, by version.
    versions: BTreeMap<u32, Arc<EventSchema>>,
}

/// How far a partition was looked at.
#[derive(Debug)]
struct Seen {
    next: i64,
    /// The schema of its last event.
    schema: Arc<EventSchema>,
}

/// What was found in records.
enum Found {
    Schema(Arc<EventSchema>, TableSchema, i64),
    Truncate(i64),
}

impl EventSchemas {
    /// Looks for a first event, from where the table in the catalog stands, and tells the follower of the table; false if there is
    /// none yet.
    ///
    /// # Errors
    /// [`ErrorKind::Unsafe`]: events without a schema or without a key, or a table that was fed by a source with progress.
    pub(crate) async fn find(
        log: &dyn ChangeLog,
        topic: &str,
        table: &TableId,
        events: EventFormat,
        follower: &ProgressFollower,
        (in_catalog, checkpoint): (Option<&Table>, Option<&Checkpoint>),
    ) -> Result<bool> {
        if events.converter != (Converter::Json { schemas: true }) {
            return Err(refused(
                topic,
                "its events have no schemas (\"value.converter.schemas.enable\" = \"false\"), and no progress topic tells the columns",
                "have them written with \"value.converter.schemas.enable\" = \"true\", or capture the database with cdc-source",
            ));
        }
        if let Some(checkpoint) = checkpoint.filter(|c| c.generation > 0) {
            return Err(refused(
                topic,
                &format!(
                    "the table was fed by a source that keeps its progress (snapshot {}), and the log has that no more",
                    checkpoint.generation
                ),
                "start that source again, or drop the table and let it be made anew",
            ));
        }
        let partitions = log.topic(topic).await?.map_or(0, |info| info.partitions);
        let mut first = None;
        for partition in 0..partitions {
            let range = log.offsets(topic, partition).await?;
            let next = checkpoint.and_then(|c| c.next(topic, partition)).unwrap_or(range.first).clamp(range.first, range.next);
            let ahead = (next, range.next.min(next.saturating_add(LOOK_AHEAD)));
            let back = (range.first.max(next.saturating_sub(LOOK_BACK)), next);
            first = match first_event(log, topic, partition, ahead).await? {
                Some(event) => Some(event),
                None if first.is_none() => first_event(log, topic, partition, back).await?,
                None => first,
            };
            if first.as_ref().is_some_and(|(_, _, offset)| *offset >= next) {
                break;
            }
        }
        let Some((key, value, _)) = first else { return Ok(false) };
        let (mut ids, mut last_id, mut decimals) = (BTreeMap::new(), 0, BTreeMap::new());
        if let Some(in_catalog) = in_catalog {
            let metadata = in_catalog.metadata();
            for field in metadata.current_schema().as_struct().fields() {
                ids.insert(field.name.clone(), field.id);
                if let Type::Primitive(PrimitiveType::Decimal { precision, scale }) = *field.field_type
                    && let (Ok(digits), Ok(scale)) = (u8::try_from(precision), u8::try_from(scale))
                {
                    decimals.insert(field.name.clone(), (scale, digits));
                }
                last_id = last_id.max(field.id);
            }
            last_id = last_id.max(Some(metadata.last_column_id()).filter(|id| *id < NESTED_IDS_FROM).unwrap_or(0));
        }
        let first = Arc::new(parsed(topic, key.as_deref(), &value)?);
        let version = checkpoint.map_or(0, |c| c.schema_version) + 1;
        let mut known = Known {
            ids,
            last_id,
            decimals,
            version,
            barriers: checkpoint.map_or(0, |c| c.barrier),
            key: Vec::new(),
            partitions: BTreeMap::new(),
            first: Arc::clone(&first),
            versions: BTreeMap::from([(version, Arc::clone(&first))]),
        };
        let schema = known.columns(table, &first);
        known.key = schema.key_columns().map(|c| c.name.clone()).collect();
        let this = Self { table: table.clone(), topic: topic.to_owned(), partitions, known: Mutex::new(known) };
        let this = Arc::new(this);
        follower
            .tell(|state| {
                this.say_schema(state, schema, version, OffsetVector::new());
                state.table(table).event_schemas = Some(Arc::clone(&this));
            })
            .await;
        Ok(true)
    }

    /// Looks at the records of a partition, those that were looked at before left out, and tells the follower what it finds.
    ///
    /// # Errors
    /// [`ErrorKind::Unsafe`]: an event whose schema makes no table, or has another key.
    pub(crate) async fn look(&self, follower: &ProgressFollower, partition: i32, records: &Records) -> Result<()> {
        let mut known = self.known.lock().await;
        let mut found = Vec::new();
        for record in records.iter() {
            let Known { partitions, first, .. } = &mut *known;
            let seen = partitions.entry(partition).or_insert_with(|| Seen { next: 0, schema: Arc::clone(first) });
            if record.offset < seen.next {
                continue;
            }
            seen.next = record.offset + 1;
            let Some(value) = record.value else { continue };
            if record.key.is_none() {
                found.push(self.without_key(&record, value)?);
                continue;
            }
            if seen.schema.is_of(record.key, value) {
                continue;
            }
            let at = record.offset;
            let read = parsed(&self.topic, record.key, value).map_err(|e| {
                Error::new(e.kind(), format!("{e}\n  (the record at offset {at} of {}, partition {partition})", self.topic))
                    .with_source(e)
            })?;
            let read = Arc::new(read);
            seen.schema = Arc::clone(&read);
            let schema = known.columns(&self.table, &read);
            if schema.key_columns().map(|c| &c.name).ne(&known.key) {
                return Err(refused(
                    &self.topic,
                    &format!("the key is another one from offset {at} of partition {partition} on"),
                    "drop the table in the catalog and let it be made anew from a new snapshot of the source",
                ));
            }
            found.push(Found::Schema(read, schema, at));
        }
        if found.is_empty() {
            return Ok(());
        }
        follower
            .tell(|state| {
                for found in found {
                    match found {
                        Found::Schema(read, schema, at) => {
                            known.version += 1;
                            let (version, starts) = (known.version, self.only(partition, at));
                            known.versions.insert(version, read);
                            self.say_schema(state, schema, version, starts);
                        }
                        Found::Truncate(at) => {
                            known.barriers += 1;
                            let barrier = Barrier {
                                table: self.table.clone(),
                                number: known.barriers,
                                kind: BarrierKind::Truncate,
                                at: OffsetVector::from([(partition, at + 1)]),
                            };
                            state.table(&self.table).barriers.insert(barrier.number, barrier);
                        }
                    }
                }
            })
            .await;
        Ok(())
    }

    /// What the events of a version look like.
    pub(crate) async fn of_version(&self, version: u32) -> Option<Arc<EventSchema>> {
        self.known.lock().await.versions.get(&version).cloned()
    }

    fn without_key(&self, record: &RecordRef<'_>, value: &[u8]) -> Result<Found> {
        // Of a table with a key only the truncation comes without one.
        if is_truncate(value) {
            return match self.partitions {
                1 => Ok(Found::Truncate(record.offset)),
                _ => Err(refused(
                    &self.topic,
                    &format!("the TRUNCATE at offset {} has no place among the changes of its other partitions", record.offset),
                    "drop the table in the catalog and let it be made anew from a topic of one partition",
                )),
            };
        }
        Err(refused(&self.topic, &format!("the event at offset {} has {}", record.offset, NO_KEY.0), NO_KEY.1))
    }

    fn say_schema(&self, state: &mut ProgressState, mut schema: TableSchema, version: u32, starts_at: OffsetVector) {
        schema.version = version;
        let version = SchemaVersion { schema, topic: self.topic.clone(), starts_at, format: BTreeMap::new() };
        state.table(&self.table).schemas.insert(version.schema.version, version);
    }

    /// From an offset of one partition on, and nowhere else.
    fn only(&self, partition: i32, at: i64) -> OffsetVector {
        (0..self.partitions.max(partition + 1)).map(|p| (p, if p == partition { at } else { i64::MAX })).collect()
    }
}

impl Known {
    /// The columns of an event, with the field ids that the table has for them, and no fewer digits.
    fn columns(&mut self, table: &TableId, events: &EventSchema) -> TableSchema {
        let mut schema = events.table_schema(table.clone(), 0);
        for column in &mut schema.columns {
            column.field_id = *self.ids.entry(column.name.clone()).or_insert_with(|| {
                self.last_id += 1;
                self.last_id
            });
            if let LogicalType::Decimal { precision, scale } = &mut column.logical_type
                && *precision <= MOST_DIGITS
            {
                let (of_table, digits) = self.decimals.entry(column.name.clone()).or_insert((*scale, *precision));
                match *of_table == *scale {
                    true => *precision = (*digits).max(*precision),
                    false => *of_table = *scale,
                }
                *digits = *precision;
            }
        }
        schema.last_field_id = self.last_id;
        // A column that goes and comes again is another one.
        self.ids.retain(|name, _| schema.columns.iter().any(|c| c.name == *name));
        self.decimals.retain(|name, _| schema.columns.iter().any(|c| c.name == *name));
        schema
    }
}

/// The schema of an event that has a row.
fn parsed(topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<EventSchema> {
    let found = EventSchema::parse(key, value).map_err(|e| {
        refused(topic, &format!("the schema of its events makes no table: {e}"), "correct its writer's settings").with_source(e)
    })?;
    if found.key().is_empty() {
        return Err(refused(topic, &format!("its events have {}", NO_KEY.0), NO_KEY.1));
    }
    Ok(found)
}

/// The first event with a row in a stretch of a partition.
async fn first_event(
    log: &dyn ChangeLog,
    topic: &str,
    partition: i32,
    (mut at, end): (i64, i64),
) -> Result<Option<(Option<Vec<u8>>, Vec<u8>, i64)>> {
    while at < end {
        let fetched = log.read(topic, partition, at, READ_BYTES).await?;
        for record in fetched.records.iter().filter(|r| r.offset < end) {
            if let Some(value) = record.value.filter(|value| record.key.is_some() || !is_truncate(value)) {
                return Ok(Some((record.key.map(<[u8]>::to_vec), value.to_vec(), record.offset)));
            }
        }
        if fetched.next_offset <= at {
            break;
        }
        at = fetched.next_offset;
    }
    Ok(None)
}

fn refused(topic: &str, what: &str, way_on: &str) -> Error {
    Error::new(ErrorKind::Unsafe, format!("the topic {topic} cannot be mirrored: {what}\n  → {way_on}"))
}
