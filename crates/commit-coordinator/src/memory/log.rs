use crate::error::{Error, ErrorKind, Result};
use crate::log_view::{BarrierLine, Facts, Fetch, LogInspector, LogView, PartitionView, ProgressView, SpanLog, TopicView};
use crate::span::{BarrierKind, Covered, Span};
use crate::transport::Receipt;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a [`MemoryRecord`] says of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// The key was not there before, for certain.
    Create,
    /// The key has this row now.
    Upsert,
    /// The key is gone.
    Delete,
    /// No change, but what makes a compacted topic forget the key: a record without a row.
    Tombstone,
}

/// One change in a [`MemorySpanLog`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its offset.
    pub offset: i64,
    /// What it says.
    pub kind: MemoryKind,
    /// The key.
    pub key: String,
    /// The row; empty for a delete.
    pub value: String,
}

#[derive(Debug, Clone, Default)]
struct Partition {
    first: i64,
    next: i64,
    expiring: i64,
    /// All that was ever appended: `first` says what can still be read, the rest is for [`MemorySpanLog::expected`].
    records: Vec<MemoryRecord>,
}

#[derive(Debug, Clone, Default)]
struct Lines {
    barriers: Vec<BarrierLine>,
    /// Schema versions with the offsets from which they hold; version 1 holds from the beginning.
    versions: Vec<(u32, BTreeMap<i32, i64>)>,
    /// Where the partitions end at `position`.
    ends: BTreeMap<i32, i64>,
    position: u64,
}

#[derive(Debug)]
struct State {
    identity: String,
    topic_id: String,
    announced: Option<usize>,
    partitions: BTreeMap<i32, Partition>,
    lines: Lines,
    changes: u64,
}

/// A log of one topic, and of what its source says about it. Clones share it.
#[derive(Debug, Clone)]
pub struct MemorySpanLog {
    topic: Arc<str>,
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

impl MemorySpanLog {
    /// An empty log with one topic.
    pub fn new(topic: &str, partitions: i32) -> Self {
        let state = State {
            identity: "memory-log".to_owned(),
            topic_id: "topic-1".to_owned(),
            announced: None,
            partitions: (0..partitions).map(|p| (p, Partition::default())).collect(),
            lines: Lines::default(),
            changes: 0,
        };
        Self { topic: topic.into(), state: Arc::new(Mutex::new(state)), changed: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        let result = {
            let mut state = self.state();
            state.changes = state.changes.wrapping_add(1);
            change(&mut state)
        };
        self.changed.notify_waiters();
        result
    }

    async fn until(&self, reached: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Enlisted before the look: what comes between the two wakes it.
            changed.as_mut().enable();
            if reached(&self.state()) {
                return;
            }
            changed.await;
        }
    }

    /// Appends a change; returns its offset. The source position moves with it.
    pub fn append(&self, partition: i32, kind: MemoryKind, key: &str, value: &str) -> i64 {
        self.change(|state| {
            state.lines.position = state.lines.position.saturating_add(1);
            let log = state.partitions.entry(partition).or_default();
            let offset = log.next;
            log.records.push(MemoryRecord { offset, kind, key: key.to_owned(), value: value.to_owned() });
            log.next = offset.saturating_add(1);
            state.lines.ends.insert(partition, log.next);
            offset
        })
    }

    /// An offset that holds no record, as a transaction marker does.
    pub fn append_marker(&self, partition: i32) {
        self.change(|state| {
            let log = state.partitions.entry(partition).or_default();
            log.next = log.next.saturating_add(1);
        });
    }

    /// Writes a barrier at the end of every partition; returns its number.
    pub fn barrier(&self, kind: BarrierKind) -> u64 {
        self.change(|state| state.barrier(&self.topic, kind))
    }

    /// Adds a partition behind a barrier; returns its number.
    pub fn add_partition(&self) -> i32 {
        self.change(|state| {
            let partition = state.partitions.keys().next_back().map_or(0, |p| p.saturating_add(1));
            state.partitions.insert(partition, Partition::default());
            state.announced = Some(state.partitions.len());
            state.barrier(&self.topic, BarrierKind::Partitions);
            partition
        })
    }

    /// Records from here on are of a new schema version; returns it.
    pub fn new_schema(&self) -> u32 {
        self.change(|state| {
            let version = state.lines.versions.last().map_or(1, |v| v.0).saturating_add(1);
            let starts = state.partitions.iter().map(|(p, log)| (*p, log.next)).collect();
            state.lines.versions.push((version, starts));
            version
        })
    }

    /// The log lets go of records before this offset.
    pub fn remove_before(&self, partition: i32, offset: i64) {
        self.change(|state| {
            if let Some(log) = state.partitions.get_mut(&partition) {
                log.first = log.first.max(offset.min(log.next));
            }
        });
    }

    /// The log will soon let go of records before this offset.
    pub fn expire_soon(&self, partition: i32, offset: i64) {
        self.change(|state| {
            if let Some(log) = state.partitions.get_mut(&partition) {
                log.expiring = offset;
            }
        });
    }

    /// Somebody deletes the topic and makes it anew, empty.
    pub fn recreate_topic(&self) {
        self.change(|state| {
            state.topic_id.push('+');
            state.partitions.values_mut().for_each(|log| *log = Partition::default());
        });
    }

    /// Somebody adds partitions without a barrier.
    pub fn add_partition_silently(&self) {
        self.change(|state| {
            let partition = state.partitions.keys().next_back().map_or(0, |p| p.saturating_add(1));
            state.partitions.insert(partition, Partition::default());
        });
    }

    /// The next offset of every partition, and the number of the last barrier.
    pub fn end(&self) -> (BTreeMap<i32, i64>, u64) {
        let state = self.state();
        let barrier = state.lines.barriers.last().map_or(0, |b| b.number);
        (state.partitions.iter().map(|(p, log)| (*p, log.next)).collect(), barrier)
    }

    /// The rows of a table that has applied everything before these offsets and up to this barrier, sorted: each record once,
    /// in order. Values end in `@` and the schema version of their record.
    pub fn expected(&self, next: &BTreeMap<i32, i64>, barrier: u64) -> Vec<(String, String)> {
        let state = self.state();
        let emptied = state.lines.barriers.iter().rfind(|b| b.number <= barrier && b.kind.removes_rows());
        let mut rows = BTreeMap::new();
        for (partition, end) in next {
            let Some(log) = state.partitions.get(partition) else { continue };
            let from = emptied.and_then(|b| b.offset(&self.topic, *partition)).unwrap_or(0);
            for record in log.records.iter().filter(|r| r.offset >= from && r.offset < *end) {
                let version = state.lines.version(*partition, record.offset).0;
                match record.kind {
                    MemoryKind::Tombstone => None,
                    MemoryKind::Delete => rows.remove(&record.key),
                    _ => rows.insert(record.key.clone(), format!("{}@{version}", record.value)),
                };
            }
        }
        rows.into_iter().collect()
    }

    /// A reader of the progress records.
    pub fn progress(&self) -> MemoryProgress {
        MemoryProgress { log: self.clone(), known: Lines::default(), seen: 0 }
    }
}

impl State {
    fn barrier(&mut self, topic: &str, kind: BarrierKind) -> u64 {
        let number = self.lines.barriers.last().map_or(0, |b| b.number).saturating_add(1);
        let at = self.partitions.iter().map(|(p, log)| Span::at(topic, *p, log.next)).collect();
        self.lines.barriers.push(BarrierLine { number, kind, at });
        number
    }
}

impl Lines {
    fn version(&self, partition: i32, at: i64) -> (u32, Option<i64>) {
        let mut version = 1;
        for (number, starts) in &self.versions {
            // A partition that came later holds no records of older versions.
            let start = starts.get(&partition).copied().unwrap_or(0);
            if start > at {
                return (version, Some(start));
            }
            version = *number;
        }
        (version, None)
    }
}

#[async_trait]
impl LogInspector for MemorySpanLog {
    async fn view(&self, topics: &[String]) -> Result<LogView> {
        let state = self.state();
        let mut view = LogView { log: state.identity.clone(), topics: BTreeMap::new() };
        if topics.iter().any(|t| **t == *self.topic) {
            let partitions = state
                .partitions
                .iter()
                .map(|(p, log)| (*p, PartitionView { first: log.first, next: log.next, expiring: log.expiring.max(log.first) }));
            let topic = TopicView { id: state.topic_id.clone(), partitions: partitions.collect(), announced: state.announced };
            view.topics.insert(self.topic.to_string(), topic);
        }
        Ok(view)
    }
}

#[async_trait]
impl SpanLog for MemorySpanLog {
    type Records = Vec<MemoryRecord>;

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        until: Option<i64>,
        max_bytes: usize,
    ) -> Result<Fetch<Self::Records>> {
        let state = self.state();
        let log = state.partitions.get(&partition).filter(|_| *topic == *self.topic);
        let Some(log) = log.filter(|log| from >= log.first && from <= log.next) else {
            let message = format!("offset {from} of {topic}-{partition} is not in the log");
            return Err(Error::new(ErrorKind::Unavailable, message));
        };
        let end = until.unwrap_or(log.next).min(log.next);
        let start = log.records.partition_point(|r| r.offset < from);
        let (mut records, mut bytes, mut next) = (Vec::<MemoryRecord>::new(), 0usize, end.max(from));
        for record in log.records.iter().skip(start).take_while(|r| r.offset < end) {
            if bytes >= max_bytes && !records.is_empty() {
                next = record.offset;
                break;
            }
            bytes = bytes.saturating_add(record.key.len()).saturating_add(record.value.len());
            records.push(record.clone());
        }
        let end = records.last().map_or(from, |r| r.offset.saturating_add(1));
        Ok(Fetch { count: records.len(), records, bytes, end, next })
    }

    async fn wait(&self, _topic: &str, partition: i32, from: i64) -> Result<()> {
        let readable = |log: &Partition| log.next > from || from < log.first;
        self.until(|state| state.partitions.get(&partition).is_none_or(readable)).await;
        Ok(())
    }

    async fn release(&self, _receipt: &Receipt) -> Result<()> {
        Ok(())
    }
}

/// What a reader of a [`MemorySpanLog`]'s progress records knows: as of its last [`ProgressView::catch_up`].
#[derive(Debug)]
pub struct MemoryProgress {
    log: MemorySpanLog,
    known: Lines,
    seen: u64,
}

#[async_trait]
impl ProgressView for MemoryProgress {
    async fn catch_up(&mut self) -> Result<()> {
        let state = self.log.state();
        self.seen = state.changes;
        self.known = state.lines.clone();
        Ok(())
    }

    async fn catch_up_to(&mut self, topic: &str, partition: i32, next: i64) -> Result<()> {
        while self.log_end(topic, partition).is_none_or(|end| end < next) {
            self.catch_up().await?;
        }
        Ok(())
    }

    fn log_end(&self, _topic: &str, partition: i32) -> Option<i64> {
        self.known.ends.get(&partition).copied()
    }

    async fn wait(&mut self) -> Result<()> {
        let seen = self.seen;
        self.log.until(|state| state.changes != seen).await;
        Ok(())
    }

    fn barrier(&self, number: u64) -> Option<BarrierLine> {
        self.known.barriers.iter().find(|b| b.number == number).cloned()
    }

    fn newest_removal(&self) -> Option<BarrierLine> {
        self.known.barriers.iter().rfind(|b| b.kind.removes_rows()).cloned()
    }

    fn facts(&self, _topic: &str, partition: i32, at: i64) -> Facts {
        let (schema_version, until) = self.known.version(partition, at);
        Facts { schema_version, generation: 0, until }
    }

    fn position(&self) -> Option<Covered> {
        let position = self.known.position;
        Some(Covered { position: position.to_string(), ts_us: i64::try_from(position).unwrap_or(i64::MAX) })
    }
}
