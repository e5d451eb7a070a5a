//! The source's progress records as the commit protocol asks for them.

use crate::progress_topic::{ProgressState, TableProgress};
use async_trait::async_trait;
use cdc_core::{OffsetVector, TableId};
use change_log::ChangeLog;
use commit_coordinator::{
    BarrierKind, BarrierLine, Covered, Error, ErrorKind, Facts, GenerationStart, ProgressView, Result, Span,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

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
        if state.advance(log.as_ref(), topic).await? {
            *lock(&self.published) = Arc::new(state.clone());
            self.changed.send_replace(state.read_to);
        }
        self.done.store(turn, Ordering::SeqCst);
        Ok(())
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
                Some((log, topic)) => log.wait(topic, 0, seen).await,
                None => std::future::pending().await,
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
