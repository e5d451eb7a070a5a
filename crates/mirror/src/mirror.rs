//! A mirror as one object: started from a configuration, watched, asked to stop.

use crate::capture::{Captured, Fenced};
use crate::clock::now_ms;
use crate::config::{Halves, LogConfig, LogKind, MirrorConfig};
use crate::database::{colliding, leave_all_but_one_out};
use crate::error::{Error, ErrorKind, Result};
use crate::log_tail::LogTail;
use crate::progress_topic::{ProgressState, TableProgress};
use crate::sink::{ProgressFollower, TableHandle, TableProgressReport, TableTask, feeding_topics, mirrored_name};
use crate::status::{MirrorStatus, SourceStatus, StatusFile, TablePhase, TableStatus};
use cdc_core::{GenerationState, SourcePosition, StopReason, TableId, TableStop, TopicRouter};
use change_log::{ChangeLog, LocalLog, LocalLogConfig, MemoryLog};
use debezium_format::{Connector, Converter, EncoderConfig, Profile};
use iceberg_writer::{Catalog, CatalogConfig};
use mysql_source::{MysqlSource, MysqlSourceConfig, ServerKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// How often the status is brought up to date, in memory and in its file.
const STATUS_EVERY: Duration = Duration::from_millis(200);
/// A mirror that has only stopped tables ends after so long: a source that has just begun may have others to tell of.
const ALL_STOPPED_FOR: Duration = Duration::from_secs(3);
/// How often the server is asked whether a table that was dropped is there again.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// The newest records in memory, for tables that are right behind the source. Who is further behind reads files, which costs little.
const LOG_CACHE: usize = 16 << 20;
/// Tables that share the memory budget at a time; more tables have smaller shares.
const SMALLEST_SPAN: usize = 1 << 20;

/// A running mirror: source, log and tables in this process.
///
/// ```no_run
/// # async fn example() -> mirror::Result<()> {
/// let config = mirror::MirrorConfig::read("mirror.toml".as_ref(), &[])?;
/// let mirror = mirror::Mirror::start(config).await?;
/// mirror.caught_up().await?;
/// println!("{:?}", mirror.status().tables.keys());
/// mirror.stop().await?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping it without [`stop`](Self::stop) ends it like a crash would: nothing is lost, the next start goes on.
pub struct Mirror {
    source: MysqlSourceConfig,
    halves: Halves,
    /// Every table begins with its rows.
    first_rows: bool,
    status: watch::Receiver<MirrorStatus>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<End>>,
    task: JoinHandle<()>,
}

/// Why a mirror ended by itself.
#[derive(Debug, Clone)]
struct End(Option<(ErrorKind, String)>);

impl Mirror {
    /// Starts a mirror: opens log and catalog, fences a predecessor, goes on where it stopped.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`], [`ErrorKind::Unavailable`] (server, disk, a log that another process holds),
    /// [`ErrorKind::Unsafe`] (the source cannot go on where the log ends).
    pub async fn start(config: MirrorConfig) -> Result<Self> {
        let source_config = config.source.to_mysql()?;
        let first_rows = config.source.snapshot_mode != "no_data";
        let status_file = StatusFile::of(&config.log.kind);
        let log = open_log(&config).await?;
        let catalog = open_catalog(&config).await?;
        let prefix = config.source.topic_prefix.clone();
        let router = TopicRouter::new(&prefix);
        let progress_topic = router.progress_topic();
        let halves = config.halves;
        let capture_stop = watch::channel(false).0;
        let (capturing, state, captured) = if halves == Halves::Sink {
            let (tail, state, captured) = LogTail::open(Arc::clone(&log), progress_topic.clone()).await?;
            (tokio::spawn(tail.run(capture_stop.subscribe())), state, captured)
        } else {
            start_capture(&source_config, prefix, router, &log, &capture_stop).await?
        };

        let (stop, stopping) = watch::channel(false);
        let (status, status_seen) = watch::channel(MirrorStatus::default());
        let (end, ended) = watch::channel(None);
        let follower = ProgressFollower::new(Arc::clone(&log), progress_topic, state);
        let supervisor = Supervisor {
            config,
            log,
            catalog,
            follower,
            captured,
            tables: BTreeMap::new(),
            compactions: Arc::new(Semaphore::new(1)),
            stopping,
            capture_stop,
            tables_stop: watch::channel(false).0,
            status,
            status_file,
            started_ms: now_ms(),
        };
        let task = tokio::spawn(async move {
            let result = supervisor.run(capturing).await;
            end.send_replace(Some(End(result.err().map(|e| (e.kind(), e.to_string())))));
        });
        Ok(Self { source: source_config, halves, first_rows, status: status_seen, stop, ended, task })
    }

    /// The state now.
    pub fn status(&self) -> MirrorStatus {
        self.status.borrow().clone()
    }

    /// The state as it goes on.
    pub fn watch(&self) -> watch::Receiver<MirrorStatus> {
        self.status.clone()
    }

    /// Returns when everything that the server had committed when this was called is in the tables, first snapshots included.
    /// Tables that have stopped are not waited for.
    ///
    /// With [`Halves::Source`] it is enough that the log has it; with [`Halves::Sink`], where no server is asked, the tables need what
    /// the log had when this was called.
    ///
    /// # Errors
    /// Those that end the mirror, and those of asking the server.
    pub async fn caught_up(&self) -> Result<()> {
        if self.halves == Halves::Sink {
            let mut status = self.watch();
            status.mark_unchanged();
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return self.ended().await },
                ended = self.ended() => return ended,
            }
            let goal = status.borrow().tables.clone();
            return self.applied(status, goal).await;
        }
        let position = mysql_source::current_position(&self.source).await?;
        // Without a snapshot a table is not known before its first change.
        let mut expected = match self.first_rows {
            true => self.tables_there().await?,
            false => BTreeSet::new(),
        };
        let mut status = self.watch();
        loop {
            let (goal, dropped) = {
                let now = status.borrow_and_update();
                // One that was dropped and is there again is read anew in a moment.
                let dropped = expected.iter().any(|name| now.tables.get(name).is_some_and(|t| t.dropped));
                let known = !dropped && expected.iter().all(|name| now.tables.contains_key(name));
                ((known && now.contains(&position)).then(|| now.tables.clone()), dropped)
            };
            match goal {
                Some(_) if self.halves == Halves::Source => return Ok(()),
                Some(goal) => return self.applied(status, goal).await,
                None => tokio::select! {
                    changed = status.changed() => if changed.is_err() { return self.ended().await },
                    ended = self.ended() => return ended,
                    () = tokio::time::sleep(LOOK_AGAIN_EVERY), if dropped => {}
                },
            }
            if dropped {
                let there = self.tables_there().await?;
                expected.retain(|name| there.contains(name));
            }
        }
    }

    /// The captured tables that are on the server now.
    async fn tables_there(&self) -> Result<BTreeSet<String>> {
        Ok(mysql_source::discover(&self.source).await?.iter().map(|t| t.table.to_string()).collect())
    }

    /// Returns when every table has what the log had then, or has stopped.
    async fn applied(&self, mut status: watch::Receiver<MirrorStatus>, then: BTreeMap<String, TableStatus>) -> Result<()> {
        let reached = |now: &MirrorStatus| {
            then.iter()
                .all(|(name, then)| now.tables.get(name).is_some_and(|t| t.has_all_of(then) || t.phase == TablePhase::Stopped))
        };
        let waited = async { status.wait_for(reached).await.is_ok() };
        tokio::select! {
            biased;
            true = waited => Ok(()),
            ended = self.ended() => ended,
        }
    }

    /// Returns when the mirror has ended by itself: with an error, or because all its tables have stopped.
    ///
    /// # Errors
    /// What ended it.
    pub async fn ended(&self) -> Result<()> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(End(Some((kind, message))))) => Err(Error::new(*kind, message.clone())),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::new(ErrorKind::Other, "the mirror's task has ended without a word: a fault of ours")),
        }
    }

    /// Asks the mirror to stop and waits until it has: what was captured is durable, and committed if its table had kept up; the next
    /// start goes on with the rest.
    ///
    /// # Errors
    /// What ended it before.
    pub async fn stop(self) -> Result<MirrorStatus> {
        self.stop.send_replace(true);
        let result = self.ended().await;
        drop(self.task.await);
        result.map(|()| self.status.borrow().clone())
    }
}

impl MirrorStatus {
    /// True if the log has everything up to this position, and no first snapshot is under way.
    pub fn contains(&self, position: &SourcePosition) -> bool {
        let reached = self.source.position.as_ref().is_some_and(|p| p >= position);
        reached && self.tables.values().all(|t| matches!(t.phase, TablePhase::Streaming | TablePhase::Stopped))
    }
}

/// Connects the source and begins to write what it says, behind what a predecessor left.
async fn start_capture(
    source_config: &MysqlSourceConfig,
    prefix: String,
    router: TopicRouter,
    log: &Arc<dyn ChangeLog>,
    stop: &watch::Sender<bool>,
) -> Result<(JoinHandle<Result<()>>, ProgressState, watch::Receiver<Captured>)> {
    let fenced = Fenced::open(Arc::clone(log), router).await?;
    let source = MysqlSource::start(source_config.clone(), fenced.state.recovered()).await?;
    let connector = match source.server().kind {
        ServerKind::Mysql => Connector::Mysql,
        ServerKind::Mariadb => Connector::Mariadb,
        other => {
            return Err(Error::new(
                ErrorKind::Other,
                format!("a server of the kind {other:?} cannot be mirrored by this version"),
            ));
        }
    };
    let run_id = uuid::Uuid::now_v7().to_string();
    let encoder =
        EncoderConfig::new(prefix, connector, Converter::Json { schemas: false }, run_id).with_profile(Profile::exact());
    let (capture, state, captured) = fenced.begin(encoder).await?;
    Ok((tokio::spawn(capture.run(source, stop.subscribe())), state, captured))
}

async fn open_log(config: &MirrorConfig) -> Result<Arc<dyn ChangeLog>> {
    Ok(match &config.log.kind {
        LogKind::Memory => Arc::new(MemoryLog::new()),
        LogKind::Local(dir) => Arc::new(LocalLog::open(dir, config.log.to_local()).await?),
    })
}

impl LogConfig {
    /// The log's own configuration: whoever opens it, it forgets only what it may.
    pub(crate) fn to_local(&self) -> LocalLogConfig {
        let mut local = LocalLogConfig::default();
        local.segment_bytes = self.segment_bytes;
        local.retention_ms = u64::try_from(self.retention.as_millis()).unwrap_or(u64::MAX);
        local.retention_bytes = self.retention_bytes;
        local.cache_bytes = LOG_CACHE;
        local
    }
}

async fn open_catalog(config: &MirrorConfig) -> Result<Catalog> {
    let (warehouse, settings) = catalog_settings(config);
    Ok(Catalog::open_sqlite(&config.sink.catalog_path, warehouse, settings).await?)
}

/// The warehouse, and how its catalog is used.
pub(crate) fn catalog_settings(config: &MirrorConfig) -> (String, CatalogConfig) {
    let sink = &config.sink;
    let absolute = std::path::absolute(&sink.warehouse).unwrap_or_else(|_| sink.warehouse.clone());
    (absolute.to_string_lossy().into_owned(), CatalogConfig { name: sink.catalog.clone(), ..CatalogConfig::default() })
}

/// Starts tables as they appear in the progress topic, keeps the status, and ends everything in order.
struct Supervisor {
    config: MirrorConfig,
    log: Arc<dyn ChangeLog>,
    catalog: Catalog,
    follower: ProgressFollower,
    captured: watch::Receiver<Captured>,
    tables: BTreeMap<TableId, TableHandle>,
    /// One table is compacted at a time: each takes memory of its own.
    compactions: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
    capture_stop: watch::Sender<bool>,
    tables_stop: watch::Sender<bool>,
    status: watch::Sender<MirrorStatus>,
    status_file: Option<StatusFile>,
    started_ms: i64,
}

impl Supervisor {
    async fn run(mut self, mut capturing: JoinHandle<Result<()>>) -> Result<()> {
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
                    more?;
                    self.follower.advance().await?;
                    self.start_tables().await?;
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

    /// Waits until the tables have all that is in the log, or have stopped.
    async fn drain(&mut self) -> Result<()> {
        let mut stopping = self.stopping.clone();
        let mut tick = tokio::time::interval(STATUS_EVERY);
        loop {
            // Its last words may be of a table that has not begun yet.
            self.follower.advance().await?;
            self.start_tables().await?;
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
        let begins =
            |t: &TableProgress| t.topic().is_some() && t.stop.as_ref().is_none_or(|stop| stop.reason != StopReason::ReadAgain);
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
                catalog: self.catalog.clone(),
                progress: self.follower.clone(),
                sink: self.config.sink.clone(),
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
        phase: TablePhase::Streaming,
        ..TableStatus::default()
    };
    let known = progress.tables.get(id);
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
        status.applied = checkpoint.next(&status.topic, 0).unwrap_or(0);
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
