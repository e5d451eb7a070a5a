//! The source's progress records as the commit protocol asks for them.

use crate::progress_topic::{ProgressState, TableProgress};
use async_trait::async_trait;
use cdc_core::{OffsetVector, TableId};
use change_log::ChangeLog;
use commit_coordinator::{
    BarrierKind, BarrierLine, Covered, Error, ErrorKind, Facts, GenerationStart, ProgressView, Result, Span,
};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// So long the progress may lag behind the data that it tells of. The markers of one transaction come to the partitions within
/// milliseconds, or when the last of their leaders is back, which the log itself waits for.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// One reader of the progress topic for all tables of a process; or, where the source keeps no progress, what was found in its events.
#[derive(Clone)]
pub(crate) struct ProgressFollower {
    /// The log and its progress topic; `None` if nobody writes one.
    topic: Option<(Arc<dyn ChangeLog>, String)>,
    state: Arc<tokio::sync::Mutex<ProgressState>>,
    published: Arc<Mutex<Arc<ProgressState>>>,
    changed: Arc<watch::Sender<i64>>,
    /// Turns of reading that have begun, and the last that has ended well.
    begun: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
    /// Up to here the topic can be read, as one who waited for it has seen: a broker that was deposed and does not know it says less.
    readable: Arc<AtomicI64>,
}

impl ProgressFollower {
    /// Follows the topic from the state that was read so far.
    pub(crate) fn new(log: Arc<dyn ChangeLog>, topic: String, state: ProgressState) -> Self {
        Self::of(Some((log, topic)), state)
    }

    /// Follows what it is [told](Self::tell).
    pub(crate) fn told() -> Self {
        Self::of(None, ProgressState::default())
    }

    fn of(topic: Option<(Arc<dyn ChangeLog>, String)>, state: ProgressState) -> Self {
        Self {
            topic,
            changed: Arc::new(watch::channel(state.read_to).0),
            published: Arc::new(Mutex::new(Arc::new(state.clone()))),
            state: Arc::new(tokio::sync::Mutex::new(state)),
            begun: Arc::default(),
            done: Arc::default(),
            readable: Arc::default(),
        }
    }

    /// What is known now.
    pub(crate) fn now(&self) -> Arc<ProgressState> {
        Arc::clone(&lock(&self.published))
    }

    /// Changes what is known, where there is no topic to read it from.
    pub(crate) async fn tell(&self, change: impl FnOnce(&mut ProgressState)) {
        let mut state = self.state.lock().await;
        change(&mut state);
        state.read_to += 1;
        *lock(&self.published) = Arc::new(state.clone());
        self.changed.send_replace(state.read_to);
    }

    /// Reads to the topic's end as it is after this call began. Of many who ask at once, one does it for all.
    pub(crate) async fn advance(&self) -> crate::error::Result<()> {
        let Some((log, topic)) = &self.topic else { return Ok(()) };
        let asked = self.begun.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        // One that began after this call did, and has ended, has read what this one would.
        if self.done.load(Ordering::SeqCst) > asked {
            return Ok(());
        }
        let turn = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        if state.advance_to(log.as_ref(), topic, self.readable.load(Ordering::SeqCst)).await? {
            *lock(&self.published) = Arc::new(state.clone());
            self.changed.send_replace(state.read_to);
        }
        self.done.store(turn, Ordering::SeqCst);
        Ok(())
    }

    /// Reads until the source has told of all records before `next` of this partition; false if it does not for [`TOLD_WITHIN`]. It tells of
    /// a record in the record's own transaction, so they are there as soon as the transaction's marker has come to both topics; where nobody
    /// keeps progress there is nothing to wait for.
    async fn advance_to(&self, topic: &str, partition: i32, next: i64) -> crate::error::Result<bool> {
        if self.topic.is_none() {
            return Ok(true);
        }
        let told = || self.now().log_end(topic, partition).is_some_and(|end| end >= next);
        let deadline = Instant::now() + TOLD_WITHIN;
        while !told() {
            self.advance().await?;
            // In this order: what another reader reads behind `seen` ends the wait.
            let seen = self.now().read_to;
            if told() {
                break;
            }
            match tokio::time::timeout_at(deadline, self.wait_beyond(seen)).await {
                Ok(more) => more?,
                Err(_) => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What this log is to its readers: its own identity and, since a progress topic that was made anew tells another history, that topic's.
    pub(super) async fn identity(&self, log: &dyn ChangeLog) -> change_log::Result<String> {
        let Some((_, topic)) = &self.topic else { return Ok(log.identity().to_string()) };
        let id = log.topic(topic).await?.map_or_else(|| "none".to_owned(), |info| info.id);
        Ok(format!("{}, progress topic {id}", log.identity()))
    }

    /// Returns once the topic has more than what is known, or another reader has read more than `seen`.
    pub(crate) async fn wait_beyond(&self, seen: i64) -> crate::error::Result<()> {
        let mut changed = self.changed.subscribe();
        let more = async {
            match &self.topic {
                Some((log, topic)) => {
                    log.wait(topic, 0, seen).await?;
                    self.readable.fetch_max(seen + 1, Ordering::SeqCst);
                    Ok(())
                }
                None => std::future::pending::<change_log::Result<()>>().await,
            }
        };
        tokio::select! {
            known = changed.wait_for(|read_to| *read_to > seen) => drop(known),
            more = more => more?,
        }
        Ok(())
    }

    /// The view of one table.
    pub(super) fn view(&self, table: &TableId) -> TableProgressView {
        TableProgressView { follower: self.clone(), table: table.clone(), known: self.now() }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one table's worker knows of the source's progress: what was read at its last `catch_up`, nothing newer.
pub(super) struct TableProgressView {
    follower: ProgressFollower,
    table: TableId,
    known: Arc<ProgressState>,
}

impl TableProgressView {
    fn table(&self) -> Option<&TableProgress> {
        self.known.tables.get(&self.table)
    }

    fn line(&self, barrier: &cdc_core::Barrier) -> Option<BarrierLine> {
        let kind = match barrier.kind {
            cdc_core::BarrierKind::Truncate => BarrierKind::Truncate,
            cdc_core::BarrierKind::Recreate => BarrierKind::Recreate,
            cdc_core::BarrierKind::KeyChange => BarrierKind::KeyChange,
            cdc_core::BarrierKind::Partitions => BarrierKind::Partitions,
            _ => return None,
        };
        Some(BarrierLine { number: barrier.number, kind, at: spans(self.table()?.topic()?, &barrier.at) })
    }

    /// Where the newest snapshot of the table begins.
    pub(super) fn generation_start(&self) -> Option<GenerationStart> {
        let table = self.table()?;
        let generation = table.generation.as_ref()?;
        let topic = table.topic()?;
        let began = &generation.began_at;
        let before = |at: &OffsetVector| at.iter().all(|(p, offset)| began.get(p).is_some_and(|b| offset <= b));
        Some(GenerationStart {
            number: generation.number,
            began_at: spans(topic, began),
            barrier: table.last_barrier_before(began),
            schema_version: table.schemas.values().rev().find(|s| before(&s.starts_at)).map_or(1, |s| s.schema.version),
        })
    }
}

/// Servers that are away are waited for; anything else stops the table.
fn wrap(e: crate::error::Error) -> Error {
    let kind = if e.is_log_away() { ErrorKind::Unavailable } else { ErrorKind::Other };
    Error::new(kind, e.to_string()).with_source(e)
}

fn spans(topic: &str, at: &OffsetVector) -> Vec<Span> {
    at.iter().map(|(partition, offset)| Span::at(topic, *partition, *offset)).collect()
}

#[async_trait]
impl ProgressView for TableProgressView {
    async fn catch_up(&mut self) -> Result<()> {
        self.follower.advance().await.map_err(wrap)?;
        self.known = self.follower.now();
        Ok(())
    }

    async fn catch_up_to(&mut self, topic: &str, partition: i32, next: i64) -> Result<()> {
        if !self.follower.advance_to(topic, partition, next).await.map_err(wrap)? {
            return Err(Error::new(
                ErrorKind::Record,
                format!(
                    "{topic}/{partition} has records before offset {next} of which the source has not told for {} s: what holds for them is not known\n  → if another program writes to {topic}, stop it\n  → if the source is of an older version, start it again with this one, then the sink",
                    TOLD_WITHIN.as_secs()
                ),
            ));
        }
        self.known = self.follower.now();
        Ok(())
    }

    fn log_end(&self, topic: &str, partition: i32) -> Option<i64> {
        self.known.log_end(topic, partition)
    }

    async fn wait(&mut self) -> Result<()> {
        self.follower.wait_beyond(self.known.read_to).await.map_err(wrap)
    }

    fn barrier(&self, number: u64) -> Option<BarrierLine> {
        self.line(self.table()?.barriers.get(&number)?)
    }

    fn newest_removal(&self) -> Option<BarrierLine> {
        self.table()?.barriers.values().rev().filter_map(|b| self.line(b)).find(|line| line.kind.removes_rows())
    }

    fn facts(&self, topic: &str, partition: i32, at: i64) -> Facts {
        let Some(table) = self.table().filter(|t| t.topic() == Some(topic)) else { return Facts::default() };
        let mut facts = Facts::default();
        let mut ends_at = |offset: i64| facts.until = Some(facts.until.map_or(offset, |until| until.min(offset)));
        let mut schema_version = 0;
        for version in table.schemas.values() {
            match version.starts_at.get(&partition) {
                Some(&start) if start > at => ends_at(start),
                _ => schema_version = schema_version.max(version.schema.version),
            }
        }
        let mut generation = 0;
        if let Some(newest) = &table.generation {
            match newest.began_at.get(&partition) {
                Some(&began) if began > at => {
                    ends_at(began);
                    generation = newest.number.saturating_sub(1);
                }
                _ => generation = newest.number,
            }
        }
        facts.schema_version = schema_version;
        facts.generation = generation;
        facts
    }

    fn position(&self) -> Option<Covered> {
        let position = self.known.position.as_ref()?;
        Some(Covered { position: serde_json::to_string(position).ok()?, ts_us: position.ts_us })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::progress_topic::progress_records;
    use cdc_core::{LogEnd, Progress, SourcePosition};
    use change_log::{Append, Fetched, LogIdentity, MemoryLog, OffsetRange, Producer, TopicInfo, TopicSpec, Transaction};

    const PROGRESS: &str = "__cdc.progress.shop";
    const DATA: &str = "shop.d.t";

    /// A log whose broker was deposed and does not know it: its word of where the progress topic ends is as old as that.
    struct Deposed {
        log: MemoryLog,
        end: i64,
    }

    #[async_trait]
    impl ChangeLog for Deposed {
        fn identity(&self) -> &LogIdentity {
            self.log.identity()
        }
        async fn create_topic(&self, name: &str, spec: TopicSpec) -> change_log::Result<TopicInfo> {
            self.log.create_topic(name, spec).await
        }
        async fn topic(&self, name: &str) -> change_log::Result<Option<TopicInfo>> {
            self.log.topic(name).await
        }
        async fn topics(&self) -> change_log::Result<Vec<TopicInfo>> {
            self.log.topics().await
        }
        async fn delete_topic(&self, name: &str) -> change_log::Result<()> {
            self.log.delete_topic(name).await
        }
        async fn producer(&self, transactional_id: &str) -> change_log::Result<Box<dyn Producer>> {
            self.log.producer(transactional_id).await
        }
        async fn offsets(&self, topic: &str, partition: i32) -> change_log::Result<OffsetRange> {
            let range = self.log.offsets(topic, partition).await?;
            Ok(OffsetRange { next: range.next.min(self.end), ..range })
        }
        async fn read(&self, topic: &str, partition: i32, from: i64, max_bytes: usize) -> change_log::Result<Fetched> {
            self.log.read(topic, partition, from, max_bytes).await
        }
        async fn wait(&self, topic: &str, partition: i32, beyond: i64) -> change_log::Result<()> {
            self.log.wait(topic, partition, beyond).await
        }
        async fn release(&self, topic: &str, partition: i32, applied: i64) -> change_log::Result<()> {
            self.log.release(topic, partition, applied).await
        }
        async fn expiring(&self, topic: &str, partition: i32) -> change_log::Result<i64> {
            self.log.expiring(topic, partition).await
        }
    }

    /// What the source says in the transaction behind which the data topic ends at `next`, and a barrier before it.
    async fn say(log: &MemoryLog, producer: &mut dyn Producer, next: i64) {
        let table = TableId::new("d", "t");
        let at = OffsetVector::from([(0, next)]);
        let barrier = cdc_core::Barrier { table, number: 1, kind: cdc_core::BarrierKind::Truncate, at: at.clone() };
        let said = [
            Progress::Barrier(barrier),
            Progress::LogEnd(LogEnd { topic: DATA.to_owned(), next: at }),
            Progress::Position(SourcePosition::default()),
        ];
        let records = progress_records(&said.map(|progress| (progress.key(), Some(progress)))).unwrap();
        log.create_topic(PROGRESS, TopicSpec { partitions: 1, compacted: true }).await.unwrap();
        producer.append(Transaction { appends: vec![Append::new(PROGRESS, 0, records)] }).await.unwrap();
    }

    #[tokio::test]
    async fn what_goes_with_a_record_is_known_also_if_a_broker_says_that_there_is_nothing_new() {
        let log = MemoryLog::new();
        let mut producer = log.producer("source").await.unwrap();
        say(&log, &mut *producer, 0).await;
        let end = log.offsets(PROGRESS, 0).await.unwrap().next;
        let deposed: Arc<dyn ChangeLog> = Arc::new(Deposed { log: log.clone(), end });
        let follower = ProgressFollower::new(deposed, PROGRESS.to_owned(), ProgressState::default());
        let mut view = follower.view(&TableId::new("d", "t"));
        view.catch_up_to(DATA, 0, 0).await.unwrap();
        say(&log, &mut *producer, 7).await;
        view.catch_up().await.unwrap();
        assert_eq!(view.log_end(DATA, 0), Some(0), "the broker does not say so");
        view.catch_up_to(DATA, 0, 7).await.unwrap();
        assert_eq!(view.log_end(DATA, 0), Some(7));
        let barrier = follower.now().tables[&TableId::new("d", "t")].barriers[&1].at.clone();
        assert_eq!(barrier, OffsetVector::from([(0, 7)]));
    }

    #[tokio::test(start_paused = true)]
    async fn records_of_which_the_source_does_not_tell_stop_their_table() {
        let log = MemoryLog::new();
        let mut producer = log.producer("source").await.unwrap();
        say(&log, &mut *producer, 7).await;
        let follower = ProgressFollower::new(Arc::new(log), PROGRESS.to_owned(), ProgressState::default());
        let mut view = follower.view(&TableId::new("d", "t"));
        view.catch_up_to(DATA, 0, 7).await.unwrap();
        let e = view.catch_up_to(DATA, 0, 8).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Record);
        assert!(e.to_string().starts_with("shop.d.t/0 has records before offset 8 of which the source has not told"), "{e}");
    }
}
