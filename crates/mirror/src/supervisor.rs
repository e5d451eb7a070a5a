//! What a running mirror does by itself: tables are started as they appear, the status is kept, and everything ends in order.

use crate::capture::Captured;
use crate::clock::now_ms;
use crate::config::{Halves, MirrorConfig};
use crate::database::{colliding, leave_all_but_one_out};
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::{ProgressState, TableProgress};
use crate::sink::{ProgressFollower, TableHandle, TableProgressReport, TableTask, feeding_topics, mirrored_name};
use crate::status::{MirrorStatus, SourceStatus, StatusFile, TablePhase, TableStatus};
use cdc_core::{GenerationState, StopReason, TableId, TableStop};
use change_log::ChangeLog;
use iceberg_writer::Catalog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// How often the status is brought up to date, in memory and in its file.
const STATUS_EVERY: Duration = Duration::from_millis(200);
/// A mirror that has only stopped tables ends after so long: a source that has just begun may have others to tell of.
const ALL_STOPPED_FOR: Duration = Duration::from_secs(3);
/// Tables that share the memory budget at a time; more tables have smaller shares.
const SMALLEST_SPAN: usize = 1 << 20;

/// Starts tables as they appear in the progress topic, keeps the status, and ends everything in order.
pub(crate) struct Supervisor {
    pub(crate) config: MirrorConfig,
    pub(crate) log: Arc<dyn ChangeLog>,
    pub(crate) catalog: Catalog,
    pub(crate) follower: ProgressFollower,
    pub(crate) captured: watch::Receiver<Captured>,
    pub(crate) tables: BTreeMap<TableId, TableHandle>,
    /// One table is compacted at a time: each takes memory of its own.
    pub(crate) compactions: Arc<Semaphore>,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) capture_stop: watch::Sender<bool>,
    pub(crate) tables_stop: watch::Sender<bool>,
    pub(crate) status: watch::Sender<MirrorStatus>,
    pub(crate) status_file: Option<StatusFile>,
    pub(crate) started_ms: i64,
}

impl Supervisor {
    /// Until it is asked to stop, or cannot go on; then everything has ended.
    pub(crate) async fn run(mut self, mut capturing: JoinHandle<Result<()>>) -> Result<()> {
        let mut captured = None;
        let mut outcome = match self.start_tables().await {
            Ok(()) => self.follow(&mut capturing, &mut captured).await,
            Err(e) => Err(e),
        };
        // The source first: then the log is at rest, and the tables end behind it.
        self.capture_stop.send_replace(true);
        let captured = match captured {
            Some(captured) => captured,
            None => joined(capturing.await),
        };
        let has_tables = self.config.halves != Halves::Source;
        if captured.is_ok() && outcome.is_ok() && has_tables && !*self.stopping.borrow() {
            outcome = self.drain().await; // a source that ends by itself has said all: `snapshot.mode` = `initial_only`
        }
        outcome = outcome.and(captured);
        self.tables_stop.send_replace(true);
        for (table, handle) in std::mem::take(&mut self.tables) {
            let report = handle.report.clone();
            handle.join().await;
            if let Some((ErrorKind::Unavailable | ErrorKind::Other, message)) = &report.borrow().stopped
                && outcome.is_ok()
            {
                outcome = Err(Error::new(ErrorKind::Unavailable, format!("{table}: {message}")));
            }
            self.last_reports(table, report);
        }
        self.catalog.close().await;
        self.publish_as(true);
        outcome
    }

    /// Starts tables as they appear and keeps the status, until the mirror is asked to stop, cannot go on, or the source has ended,
    /// how is then in `captured`.
    async fn follow(&mut self, capturing: &mut JoinHandle<Result<()>>, captured: &mut Option<Result<()>>) -> Result<()> {
        let mut tick = tokio::time::interval(STATUS_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut stopping = self.stopping.clone();
        let follower = self.follower.clone();
        let mut all_stopped_since: Option<Instant> = None;
        loop {
            let seen = follower.now().read_to;
            tokio::select! {
                biased;
                result = &mut *capturing => {
                    *captured = Some(joined(result));
                    return Ok(());
                }
                () = async { drop(stopping.wait_for(|stop| *stop).await) } => return Ok(()),
                more = follower.wait_beyond(seen) => {
                    let begun = match more {
                        // A log that is away may take its time to say so.
                        Ok(()) => tokio::select! {
                            _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                            begun = self.begin_tables() => begun,
                        },
                        Err(e) => Err(e),
                    };
                    match begun {
                        Err(e) if e.is_log_away() => {
                            tracing::warn!(error = %e, "the log cannot be read; trying again");
                            tokio::time::sleep(STATUS_EVERY).await;
                        }
                        begun => begun?,
                    }
                }
                _ = tick.tick() => {
                    self.publish();
                    match self.all_stopped() {
                        None => all_stopped_since = None,
                        Some(Err(e)) => return Err(e),
                        Some(Ok(())) => {
                            if all_stopped_since.get_or_insert_with(Instant::now).elapsed() >= ALL_STOPPED_FOR {
                                return Ok(());
                            }
                        }
                    }
                }
            }
        }
    }

    /// Starts the tables that the progress topic tells of.
    async fn begin_tables(&mut self) -> Result<()> {
        self.follower.advance().await?;
        self.start_tables().await
    }

    /// Waits until the tables have all that is in the log, or have stopped.
    async fn drain(&mut self) -> Result<()> {
        let mut stopping = self.stopping.clone();
        let mut tick = tokio::time::interval(STATUS_EVERY);
        loop {
            // Its last words may be of a table that has not begun yet.
            self.begin_tables().await?;
            self.publish();
            let drained = self.status.borrow().tables.values().all(|t| t.is_current() || t.stopped.is_some());
            if drained {
                return Ok(());
            }
            tokio::select! {
                _ = tick.tick() => {}
                () = async { drop(stopping.wait_for(|stop| *stop).await) } => return Ok(()),
            }
        }
    }

    /// Keeps the last words of a table for the final status.
    fn last_reports(&mut self, table: TableId, report: watch::Receiver<TableProgressReport>) {
        self.status.send_modify(|status| {
            if let Some(entry) = status.tables.get_mut(&table.to_string()) {
                describe_report(entry, &report.borrow());
            }
        });
    }

    /// Gives every table of the progress topic a task of its own, but for those that are about to be read again: the barrier behind
    /// which they begin has to be there first, since what lies before it may be what stopped them.
    async fn start_tables(&mut self) -> Result<()> {
        if self.config.halves == Halves::Source {
            return Ok(());
        }
        let progress = self.follower.now();
        let topics = self.config.sink.topics.as_ref();
        let begins = |t: &TableProgress| {
            t.topic().is_some_and(|topic| topics.is_none_or(|topics| topics.contains(topic)))
                && t.stop.as_ref().is_none_or(|stop| stop.reason != StopReason::ReadAgain)
        };
        let waiting: Vec<_> = progress.tables.iter().filter(|(id, t)| !self.tables.contains_key(*id) && begins(t)).collect();
        let span_bytes =
            (self.config.sink.memory_budget / (2 * (self.tables.len() + waiting.len()).clamp(1, 16))).max(SMALLEST_SPAN);
        let clashes = match waiting.is_empty() {
            true => BTreeMap::new(),
            false => colliding(progress.tables.keys()),
        };
        for (id, table) in waiting {
            if let Some(same) = clashes.get(&mirrored_name(id)) {
                let dropped = |id: &TableId| {
                    let stop = progress.tables.get(id).and_then(|t| t.stop.as_ref());
                    stop.is_some_and(|stop| stop.reason == StopReason::Dropped)
                };
                let rivals = same.iter().any(|other| *other != id && !dropped(other));
                if rivals && !self.is_fed_by(id, table).await {
                    if dropped(id) {
                        // Nobody will ever take in what the log holds of it.
                        let topic = table.topic().unwrap_or_default();
                        let end = self.log.offsets(topic, 0).await?.next;
                        self.log.release(topic, 0, end).await?;
                    }
                    self.tables.insert(id.clone(), TableHandle::stopped(id, &self.clash(same)));
                    continue;
                }
            }
            let task = TableTask {
                source_table: id.clone(),
                topic: table.topic().unwrap_or_default().to_owned(),
                log: Arc::clone(&self.log),
                log_kind: self.config.log.kind.clone(),
                catalog: self.catalog.clone(),
                progress: self.follower.clone(),
                sink: self.config.sink.clone(),
                events: self.config.events,
                span_bytes,
                compactions: Arc::clone(&self.compactions),
                stop: self.tables_stop.subscribe(),
            };
            self.tables.insert(id.clone(), task.spawn());
        }
        Ok(())
    }

    /// True if the table in the catalog is the one that this source table has filled so far. One that cannot be read is its task's to
    /// tell of.
    async fn is_fed_by(&self, id: &TableId, table: &TableProgress) -> bool {
        match self.catalog.load_table(&mirrored_name(id)).await {
            Ok(Some(found)) => {
                feeding_topics(&found).is_some_and(|topics| table.topic().is_some_and(|topic| topics.contains(topic)))
            }
            Ok(None) => false,
            Err(_) => true,
        }
    }

    /// Tables that would be one in the catalog.
    fn clash(&self, tables: &[&TableId]) -> Error {
        let names: Vec<String> = tables.iter().map(|id| id.to_string()).collect();
        let name = tables.first().map(|id| mirrored_name(id).to_string()).unwrap_or_default();
        Error::new(
            ErrorKind::Unsafe,
            format!(
                "the tables {} would be one table, {name}, in the catalog, where names are lower-cased\n  → rename all but one of them on the server\n  → in a mirror that has not captured them yet: {}",
                names.join(" and "),
                leave_all_but_one_out(&self.config.source, tables)
            ),
        )
    }

    /// Brings the status up to date.
    fn publish(&mut self) {
        self.publish_as(false);
    }

    fn publish_as(&mut self, ended: bool) {
        let captured = self.captured.borrow_and_update().clone();
        let progress = self.follower.now();
        let mut status = MirrorStatus {
            pid: std::process::id(),
            started_ms: self.started_ms,
            updated_ms: now_ms(),
            ended,
            halves: self.config.halves,
            source: SourceStatus { position: captured.position.clone(), events: captured.events },
            tables: BTreeMap::new(),
        };
        for (id, topic) in &captured.topics {
            let entry = match self.tables.get(id) {
                Some(handle) => describe(id, topic, &handle.report.borrow(), &captured, &progress),
                // At the end its last words are there.
                None if ended && self.config.halves != Halves::Source => {
                    self.status.borrow().tables.get(&id.to_string()).cloned().unwrap_or_default()
                }
                None => describe(id, topic, &TableProgressReport::default(), &captured, &progress),
            };
            status.tables.insert(id.to_string(), entry);
        }
        for stop in &captured.stops {
            let entry = status.tables.entry(stop.table.to_string()).or_default();
            if stop.reason == StopReason::ReadAgain {
                about_to_be_read(entry);
                continue;
            }
            entry.phase = TablePhase::Stopped;
            entry.stopped = Some(stop.message.clone());
            entry.stays_stopped = true;
            entry.dropped = stop.reason == StopReason::Dropped;
        }
        if let Some(file) = &self.status_file
            && let Err(e) = file.write(&status)
        {
            tracing::warn!(error = %e, "the status file is not up to date");
        }
        self.status.send_replace(status);
    }

    /// What to end with, once no table can go on: none of them for good, or one of them because a disk or file refuses.
    fn all_stopped(&self) -> Option<Result<()>> {
        let stopped = |h: &TableHandle| h.report.borrow().stopped.clone();
        let unavailable = self.tables.iter().find_map(|(id, h)| match stopped(h) {
            Some((ErrorKind::Unavailable, message)) => Some(Error::new(ErrorKind::Unavailable, format!("{id}: {message}"))),
            _ => None,
        });
        if let Some(e) = unavailable {
            return Some(Err(e));
        }
        let captured = self.captured.borrow();
        // One that was dropped is followed when it is made again.
        let lasting = |s: &TableStop| !matches!(s.reason, StopReason::ReadAgain | StopReason::Dropped);
        let by_source = |id: &TableId| captured.stops.iter().any(|s| s.table == *id && lasting(s));
        let all = match self.config.halves {
            Halves::Source => !captured.topics.is_empty() && captured.topics.keys().all(by_source),
            _ => {
                let begun = |id: &TableId| self.tables.get(id).is_some_and(|h| stopped(h).is_some());
                let mut known = self.tables.keys().chain(captured.topics.keys());
                !self.tables.is_empty() && known.all(|id| begun(id) || by_source(id))
            }
        };
        all.then_some(Ok(()))
    }
}

fn joined(result: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    result.unwrap_or_else(|e| Err(Error::new(ErrorKind::Other, format!("the capturing task has ended by a fault of ours: {e}"))))
}

fn describe(
    id: &TableId,
    topic: &str,
    report: &TableProgressReport,
    captured: &Captured,
    progress: &ProgressState,
) -> TableStatus {
    let mut status = TableStatus {
        topic: topic.to_owned(),
        log_end: captured.next_offsets.get(topic).copied().unwrap_or(0),
        log_barrier: captured.barriers.get(id).copied().unwrap_or(0),
        ..TableStatus::default()
    };
    let known = progress.tables.get(id);
    // A table is captured a moment before what is said of it is read: whether its snapshot is to come is not known until then.
    if known.is_some() {
        status.phase = TablePhase::Streaming;
    }
    if let Some(generation) = known.and_then(|t| t.generation.as_ref()) {
        status.snapshot_rows = generation.rows;
        status.snapshot_estimate = generation.estimated_rows;
        // What was captured and what is read of the progress are of two moments: a snapshot whose end is not in the former yet goes on.
        let is_over = match &generation.state {
            GenerationState::Complete { ended_at } => ended_at.values().all(|end| *end <= status.log_end),
            GenerationState::Running => false,
        };
        if !is_over {
            status.phase = TablePhase::Snapshot;
        }
    }
    if known.and_then(|t| t.stop.as_ref()).is_some_and(|stop| stop.reason == StopReason::ReadAgain) {
        about_to_be_read(&mut status);
    }
    describe_report(&mut status, report);
    status
}

/// Its snapshot is about to begin: what is known of one is of the one before.
fn about_to_be_read(status: &mut TableStatus) {
    (status.phase, status.snapshot_rows, status.snapshot_estimate) = (TablePhase::Snapshot, 0, None);
}

fn describe_report(status: &mut TableStatus, report: &TableProgressReport) {
    if let Some(checkpoint) = &report.coordinator.checkpoint {
        let committed: i64 = checkpoint.partitions().filter(|(topic, ..)| *topic == status.topic).map(|(_, _, next)| next).sum();
        status.applied = committed.max(report.applied);
        status.applied_barrier = checkpoint.barrier;
        status.applied_ts_us = checkpoint.source_ts_us;
    }
    status.snapshot_id = report.coordinator.snapshot;
    status.commits = report.coordinator.commits;
    status.last_commit_ms = report.last_commit_ms;
    if let Some((kind, message)) = &report.stopped {
        status.phase = TablePhase::Stopped;
        status.stopped = Some(message.clone());
        status.stays_stopped = *kind == ErrorKind::Unsafe;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cdc_core::SourcePosition;

    /// Who waits for first snapshots would not wait for one that is about to begin.
    #[test]
    fn a_table_of_whose_snapshot_nothing_is_known_yet_is_waited_for() {
        let table = TableId::new("shop", "orders");
        let captured = Captured { topics: BTreeMap::from([(table.clone(), "t".to_owned())]), ..Captured::default() };
        let mut progress = ProgressState::default();
        let contains = |progress: &ProgressState| {
            let described = describe(&table, "t", &TableProgressReport::default(), &captured, progress);
            let mut status = MirrorStatus { tables: BTreeMap::from([(table.to_string(), described)]), ..MirrorStatus::default() };
            status.source.position = Some(SourcePosition::default());
            status.contains(&SourcePosition::default())
        };
        assert!(!contains(&progress));
        progress.table(&table);
        assert!(contains(&progress), "a table without a snapshot (snapshot.mode = no_data) is not waited for");
    }
}
