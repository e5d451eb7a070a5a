//! A mirror as one object: started from a configuration, watched, asked to stop.

use crate::capture::Captured;
use crate::clock::now_ms;
use crate::config::{Halves, LogConfig, LogKind, MirrorConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::foreign_topics::{self, ForeignTopics};
use crate::log_tail::LogTail;
use crate::sink::ProgressFollower;
use crate::source_half::SourceHalf;
use crate::status::{MirrorStatus, StatusFile, TablePhase, TableStatus};
use crate::supervisor::Supervisor;
use cdc_core::{TableId, TopicRouter};
use change_log::{ChangeLog, LocalLog, LocalLogConfig, MemoryLog};
use iceberg_writer::{Catalog, CatalogConfig};
use mysql_source::MysqlSourceConfig;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often the server is asked whether a table that was dropped is there again.
const LOOK_AGAIN_EVERY: Duration = Duration::from_millis(500);
/// How often somebody is told that there is nothing to follow yet.
const WARN_EVERY: Duration = Duration::from_secs(10);
/// The newest records in memory, for tables that are right behind the source. Who is further behind reads files, which costs little.
const LOG_CACHE: usize = 16 << 20;

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
    /// `None` for a sink half.
    source: Option<MysqlSourceConfig>,
    halves: Halves,
    /// Every table begins with its rows.
    first_rows: bool,
    status: watch::Receiver<MirrorStatus>,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<Option<End>>,
    task: JoinHandle<()>,
    captured: watch::Receiver<Captured>,
    /// Has a sink half look where the log ends.
    look_now: Arc<Notify>,
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
        // A sink half asks no server, and need not know one.
        let source_config = match config.halves {
            Halves::Sink => None,
            Halves::Both | Halves::Source => Some(config.source.to_mysql()?),
        };
        let first_rows = config.source.snapshot_mode != "no_data";
        // Of two halves the sink knows how the tables are.
        let status_file = StatusFile::of(&config.log.kind).filter(|_| config.halves != Halves::Source || config.log.is_own());
        let log = open_log(&config.log).await?;
        let catalog = open_catalog(&config).await?;
        let router = TopicRouter::new(&config.source.topic_prefix);
        let progress_topic = router.progress_topic();
        let halves = config.halves;
        let capture_stop = watch::channel(false).0;
        let look_now = Arc::new(Notify::new());
        let (capturing, follower, captured) = if let Some(source_config) = source_config.clone() {
            let mut half = SourceHalf::new(source_config, router, config.events, Arc::clone(&log));
            let captured = half.captured();
            match half.begin().await {
                Ok((begun, state)) => {
                    let follower = ProgressFollower::new(Arc::clone(&log), progress_topic, state);
                    (tokio::spawn(half.run(begun, capture_stop.subscribe())), follower, captured)
                }
                Err(e) => {
                    // The next start, which may come at once, finds it at rest.
                    catalog.close().await;
                    return Err(e);
                }
            }
        } else {
            match follow_log(&config, &log, &catalog, progress_topic, (capture_stop.subscribe(), Arc::clone(&look_now))).await {
                Ok(following) => following,
                Err(e) => {
                    catalog.close().await;
                    return Err(e);
                }
            }
        };

        let (stop, stopping) = watch::channel(false);
        let (status, status_seen) = watch::channel(MirrorStatus::default());
        let (end, ended) = watch::channel(None);
        let supervisor = Supervisor {
            config,
            log,
            catalog,
            follower,
            captured: captured.clone(),
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
        Ok(Self { source: source_config, halves, first_rows, status: status_seen, stop, ended, task, captured, look_now })
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
    /// the log had when this was called; one that is to be read again ([`resnapshot`](crate::resnapshot())) waits for its source to begin.
    ///
    /// # Errors
    /// Those that end the mirror, and those of asking the server.
    pub async fn caught_up(&self) -> Result<()> {
        let Some(source) = &self.source else {
            let goal = tokio::select! {
                goal = self.log_ends() => goal,
                ended = self.ended() => return ended,
            };
            return self.applied(self.watch(), goal).await;
        };
        let position = mysql_source::current_position(source).await?;
        // Without a snapshot a table is not known before its first change.
        let mut expected = match self.first_rows {
            true => tables_there(source).await?,
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
                let there = tables_there(source).await?;
                expected.retain(|name| there.contains(name));
            }
        }
    }

    /// What each table has once it has all that the log holds now; waits for a log that is away.
    async fn log_ends(&self) -> BTreeMap<String, TableStatus> {
        let asked = Instant::now();
        let mut captured = self.captured.clone();
        loop {
            self.look_now.notify_one();
            let looked = captured.wait_for(|c| c.looked.is_some_and(|looked| looked >= asked));
            match tokio::time::timeout(LOOK_AGAIN_EVERY, looked).await {
                Ok(Ok(seen)) => {
                    let goal = |(id, topic): (&TableId, &String)| {
                        let (log_end, log_barrier) = (seen.next_offsets.get(topic).copied(), seen.barriers.get(id).copied());
                        let (log_end, log_barrier) = (log_end.unwrap_or(0), log_barrier.unwrap_or(0));
                        (id.to_string(), TableStatus { log_end, log_barrier, ..TableStatus::default() })
                    };
                    return seen.topics.iter().map(goal).collect();
                }
                // It has ended, and says why.
                Ok(Err(_)) => std::future::pending().await,
                Err(_) => {}
            }
        }
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

/// The captured tables that are on the server now.
async fn tables_there(source: &MysqlSourceConfig) -> Result<BTreeSet<String>> {
    Ok(mysql_source::discover(source).await?.iter().map(|t| t.table.to_string()).collect())
}

/// What a sink half follows: what a source of ours says of its progress or, where another has written the topics, their events. In a log that
/// others write to, it waits for the first of them.
async fn follow_log(
    config: &MirrorConfig,
    log: &Arc<dyn ChangeLog>,
    catalog: &Catalog,
    progress_topic: String,
    (stop, look_now): (watch::Receiver<bool>, Arc<Notify>),
) -> Result<(JoinHandle<Result<()>>, ProgressFollower, watch::Receiver<Captured>)> {
    let (prefix, topics) = (&config.source.topic_prefix, config.sink.topics.clone());
    let mut warned: Option<Instant> = None;
    while !config.log.is_own() && log.topic(&progress_topic).await?.is_none() {
        let foreign = foreign_topics::are_there(log.as_ref(), prefix, topics.as_ref()).await?;
        // Asked again: a source of ours may have begun meanwhile, and makes its progress topic before any other.
        if foreign && log.topic(&progress_topic).await?.is_none() {
            let (tail, follower, captured) =
                ForeignTopics::open(Arc::clone(log), catalog.clone(), (prefix, topics), config.events, &config.sink.id, look_now)
                    .await?;
            return Ok((tokio::spawn(tail.run(stop)), follower, captured));
        }
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            warned = Some(Instant::now());
            tracing::warn!(topic = %progress_topic, "waiting for a source to write to the log; is topic.prefix that of the source?");
        }
        tokio::time::sleep(LOOK_AGAIN_EVERY).await;
    }
    let (tail, follower, captured) = LogTail::open(Arc::clone(log), progress_topic, topics, look_now).await?;
    Ok((tokio::spawn(tail.run(stop)), follower, captured))
}

/// The log that the configuration names.
pub(crate) async fn open_log(config: &LogConfig) -> Result<Arc<dyn ChangeLog>> {
    Ok(match &config.kind {
        LogKind::Memory => Arc::new(MemoryLog::new()),
        LogKind::Local(dir) => Arc::new(LocalLog::open(dir, config.to_local()).await?),
        #[cfg(feature = "kafka")]
        LogKind::Kafka { cluster, .. } => Arc::new(change_log::KafkaLog::open(cluster.clone()).await?),
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
    Ok(Catalog::open(&config.sink.catalog()?, warehouse, settings).await?)
}

/// The warehouse, and how its catalog is used.
pub(crate) fn catalog_settings(config: &MirrorConfig) -> (String, CatalogConfig) {
    let sink = &config.sink;
    let absolute = std::path::absolute(&sink.warehouse).unwrap_or_else(|_| sink.warehouse.clone());
    (absolute.to_string_lossy().into_owned(), CatalogConfig { name: sink.catalog.clone(), ..CatalogConfig::default() })
}
