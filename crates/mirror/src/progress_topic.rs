//! The compacted topic in which the source keeps its own progress: reading it whole, and following it.

use crate::error::{Error, ErrorKind, Result};
use crate::sink::EventSchemas;
use cdc_core::{
    Barrier, Generation, Mark, OffsetVector, Progress, ProgressKey, RecoveredState, SchemaVersion, SourcePosition, TableId,
    TableStop,
};
use change_log::{ChangeLog, RecordRef, Records, RecordsBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes read from the log at once.
const READ_BYTES: usize = 1 << 20;

/// What the progress topic says of one table.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableProgress {
    /// Schema versions, by number.
    pub(crate) schemas: BTreeMap<u32, SchemaVersion>,
    /// The newest generation.
    pub(crate) generation: Option<Generation>,
    /// The newest mark.
    pub(crate) mark: Option<Mark>,
    /// Barriers, by number.
    pub(crate) barriers: BTreeMap<u64, Barrier>,
    /// Why the source stopped it.
    pub(crate) stop: Option<TableStop>,
    /// Who looks at its events, where the source keeps no progress.
    pub(crate) event_schemas: Option<Arc<EventSchemas>>,
}

impl TableProgress {
    /// The topic of the table's changes.
    pub(crate) fn topic(&self) -> Option<&str> {
        self.schemas.values().next_back().map(|s| s.topic.as_str())
    }

    /// The number of the last barrier at or before these offsets; 0 if there is none.
    pub(crate) fn last_barrier_before(&self, offsets: &OffsetVector) -> u64 {
        let before = |b: &&Barrier| b.at.iter().all(|(p, at)| offsets.get(p).is_some_and(|end| at <= end));
        self.barriers.values().rfind(before).map_or(0, |b| b.number)
    }
}

/// The whole progress topic, as of `read_to`.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProgressState {
    pub(crate) position: Option<SourcePosition>,
    /// The run of the source that wrote last.
    pub(crate) run: Option<String>,
    /// Shared by the copies that are handed out: most records move the position alone.
    pub(crate) tables: Arc<BTreeMap<TableId, TableProgress>>,
    /// Where the partitions of the data topics end, as the source told last.
    pub(crate) log_ends: BTreeMap<Arc<str>, Arc<OffsetVector>>,
    /// Records before this offset are in.
    pub(crate) read_to: i64,
}

impl ProgressState {
    /// Reads what is new in the topic, up to its end at the time of the call: what is not decided there is waited for. True if there was
    /// something.
    pub(crate) async fn advance(&mut self, log: &dyn ChangeLog, topic: &str) -> Result<bool> {
        self.advance_to(log, topic, 0).await
    }

    /// As [`advance`](Self::advance), and at least up to this offset, which is there also if the log's servers do not say so.
    pub(crate) async fn advance_to(&mut self, log: &dyn ChangeLog, topic: &str, at_least: i64) -> Result<bool> {
        let range = log.offsets(topic, 0).await?;
        self.read_to = self.read_to.max(range.first);
        let began = self.read_to;
        while self.read_to < range.next.max(at_least) {
            let fetched = log.read(topic, 0, self.read_to, READ_BYTES).await?;
            for record in fetched.records.iter() {
                self.apply(&record, topic)?;
            }
            if fetched.next_offset <= self.read_to {
                log.wait(topic, 0, self.read_to).await?;
            }
            self.read_to = fetched.next_offset;
        }
        Ok(self.read_to > began)
    }

    fn apply(&mut self, record: &RecordRef<'_>, topic: &str) -> Result<()> {
        let malformed = |e: serde_json::Error| {
            Error::new(
                ErrorKind::Unsafe,
                format!(
                    "the record at offset {} of {topic} is no progress record of this version: {e}\n  → was the log written by a newer version? go on with that one",
                    record.offset
                ),
            )
        };
        let key: ProgressKey = serde_json::from_slice(record.key.unwrap_or_default()).map_err(malformed)?;
        let Some(value) = record.value else {
            self.remove(&key);
            return Ok(());
        };
        match serde_json::from_slice(value).map_err(malformed)? {
            Progress::Position(position) => self.position = Some(position),
            Progress::Run(run) => self.run = Some(run),
            Progress::LogEnd(end) => {
                self.log_ends.insert(end.topic.into(), Arc::new(end.next));
            }
            Progress::Schema(version) => {
                self.table(&version.schema.table).schemas.insert(version.schema.version, version);
            }
            Progress::Generation(generation) => {
                let table = generation.table.clone();
                self.table(&table).generation = Some(generation);
            }
            Progress::Mark(mark) => {
                let table = mark.table.clone();
                self.table(&table).mark = Some(mark);
            }
            Progress::Barrier(barrier) => {
                self.table(&barrier.table.clone()).barriers.insert(barrier.number, barrier);
            }
            Progress::Stop(stop) => {
                let table = stop.table.clone();
                self.table(&table).stop = Some(stop);
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::Unsafe,
                    format!(
                        "the record at offset {} of {topic} is of a kind that this version does not know\n  → go on with a newer version",
                        record.offset
                    ),
                ));
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &ProgressKey) {
        match key {
            ProgressKey::Schema { table, version } => {
                self.table(table).schemas.remove(version);
            }
            ProgressKey::Barrier { table, number } => {
                self.table(table).barriers.remove(number);
            }
            ProgressKey::Stop { table } => self.table(table).stop = None,
            ProgressKey::Mark { table } => self.table(table).mark = None,
            ProgressKey::Generation { table } => self.table(table).generation = None,
            ProgressKey::Run => self.run = None,
            ProgressKey::LogEnd { topic } => drop(self.log_ends.remove(topic.as_str())),
            _ => self.position = None,
        }
    }

    /// Where a partition of a data topic ends, as the source told last; `None` if it has told of none.
    pub(crate) fn log_end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.log_ends.get(topic)?.get(&partition).copied()
    }

    pub(crate) fn table(&mut self, table: &TableId) -> &mut TableProgress {
        Arc::make_mut(&mut self.tables).entry(table.clone()).or_default()
    }

    /// Gives each table whose events had another form a schema version of its own, from where it will be said; returns these tables.
    pub(crate) fn renew(&mut self, format: &BTreeMap<String, String>) -> Vec<TableId> {
        let newest = |t: &TableProgress| t.schemas.values().next_back().cloned();
        let others: Vec<SchemaVersion> = self.tables.values().filter_map(newest).filter(|v| v.format != *format).collect();
        let mut renewed = Vec::with_capacity(others.len());
        for mut version in others {
            version.schema.version += 1;
            version.format.clone_from(format);
            let table = version.schema.table.clone();
            self.table(&table).schemas.insert(version.schema.version, version);
            renewed.push(table);
        }
        renewed
    }

    /// The newest schema version of a table.
    pub(crate) fn newest_schema(&mut self, table: &TableId) -> Option<&mut SchemaVersion> {
        Arc::make_mut(&mut self.tables).get_mut(table)?.schemas.values_mut().next_back()
    }

    /// What the source needs to go on.
    pub(crate) fn recovered(&self) -> RecoveredState {
        let tables = || self.tables.values();
        RecoveredState {
            position: self.position.clone(),
            schemas: tables().filter_map(|t| t.schemas.values().next_back()).map(|s| s.schema.clone()).collect(),
            generations: tables().filter_map(|t| t.generation.clone()).collect(),
            marks: tables().filter_map(|t| t.mark.as_ref()).map(|m| (m.table.clone(), m.generation)).collect(),
            stops: tables().filter_map(|t| t.stop.clone()).collect(),
        }
    }
}

/// Records of the topic, in this order: what holds now, or that nothing of the key does.
pub(crate) fn progress_records(progress: &[(ProgressKey, Option<Progress>)]) -> Result<Records> {
    let mut builder = RecordsBuilder::new();
    let headers = builder.headers(&[])?;
    let fault = |e: serde_json::Error| Error::new(ErrorKind::Other, format!("a progress record cannot be written: {e}"));
    for (key, item) in progress {
        let key = serde_json::to_vec(key).map_err(fault)?;
        let value = item.as_ref().map(serde_json::to_vec).transpose().map_err(fault)?;
        builder.push(Some(&key), value.as_deref(), headers, crate::clock::now_ms())?;
    }
    Ok(builder.finish())
}
