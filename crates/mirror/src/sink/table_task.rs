//! One table of the sink: made if it is missing, then followed by a worker and a coordinator until it is asked to stop.

use super::iceberg_table::{MirroredTable, TakenOver, feeding_topics, is_of_connect_sink};
use super::log::SinkLog;
use super::maintenance::Maintenance;
#[cfg(feature = "kafka")]
use super::predecessor::Predecessor;
use super::progress_view::ProgressFollower;
use super::span_writer::IcebergSpanWriter;
use crate::config::{EventFormat, ForeignWrites, LogKind, SinkConfig};
use crate::error::{Error, ErrorKind, Result};
use cdc_core::{TableId, TableSchema, shell_word};
use change_log::ChangeLog;
use commit_coordinator::{
    Checkpoint, Coordinator, CoordinatorSettings, CoordinatorStatus, Environment, GenerationStart, MirrorTable, Refusal,
    SystemEnvironment, Worker, WorkerParts, WorkerSettings, run_table,
};
use futures::FutureExt;
use iceberg_writer::{Catalog, CompactionConfig, Table, TableName, TableOptions};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

/// The branch that is mirrored.
const BRANCH: &str = "main";

/// After which time a change of columns is tried again that could not be made.
const EVOLVE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// After which time a table is opened again while the log's servers or the catalog's are away.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a table stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableProgressReport {
    /// What its coordinator has committed so far.
    pub(crate) coordinator: CoordinatorStatus,
    /// How far the table's topic is in it, what is no record included: the sum over its partitions.
    pub(crate) applied: i64,
    /// When the last commit was seen, milliseconds since the Unix epoch; 0 if none.
    pub(crate) last_commit_ms: i64,
    /// Why it stopped, and whether a person must decide.
    pub(crate) stopped: Option<(ErrorKind, String)>,
}

/// A table that is being mirrored.
pub(crate) struct TableHandle {
    pub(crate) report: watch::Receiver<TableProgressReport>,
    task: JoinHandle<()>,
}

impl TableHandle {
    /// Of a table that is not begun with.
    pub(crate) fn stopped(table: &TableId, why: &Error) -> Self {
        tracing::error!(%table, error = %why, "table stopped");
        let stopped = Some((why.kind(), why.to_string()));
        let report = watch::Sender::new(TableProgressReport { stopped, ..TableProgressReport::default() }).subscribe();
        Self { report, task: tokio::spawn(async {}) }
    }

    /// Waits until the table has stopped, which it was asked to; how is in the report.
    pub(crate) async fn join(self) {
        drop(self.task.await);
    }
}

/// The outcome; a panic is a fault of ours, and one table's alone.
async fn guarded(table: &TableId, run: impl Future<Output = Result<()>>) -> Result<()> {
    std::panic::AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(Error::new(
            ErrorKind::Other,
            format!(
                "the table {table} was stopped by a fault of the program ({})\n  → nothing is lost: start again, and report what it says",
                text.unwrap_or("a panic without a message")
            ),
        ))
    })
}

/// What a table's task works with.
pub(crate) struct TableTask {
    pub(crate) source_table: TableId,
    pub(crate) topic: String,
    pub(crate) log: Arc<dyn ChangeLog>,
    pub(crate) log_kind: LogKind,
    pub(crate) catalog: Catalog,
    pub(crate) progress: ProgressFollower,
    pub(crate) sink: SinkConfig,
    pub(crate) events: EventFormat,
    /// Bytes of one span: this table's share of the budget.
    pub(crate) span_bytes: usize,
    /// Compactions that may be under way at once.
    pub(crate) compactions: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl TableTask {
    /// Starts it.
    pub(crate) fn spawn(self) -> TableHandle {
        let (send, report) = watch::channel(TableProgressReport::default());
        let task = tokio::spawn(async move {
            let table = self.source_table.clone();
            if let Err(e) = guarded(&table, self.run(&send)).await {
                tracing::error!(%table, error = %e, "table stopped");
                send.send_modify(|r| r.stopped = Some((e.kind(), e.to_string())));
            }
        });
        TableHandle { report, task }
    }

    async fn run(self, report: &watch::Sender<TableProgressReport>) -> Result<()> {
        let schema = self.first_schema()?;
        let progress = self.progress.view(&self.source_table);
        let generation = progress.generation_start();
        let Some(table) = self.opened_table(&schema, generation.as_ref()).await? else { return Ok(()) };
        let table = Arc::new(table);
        let event_schemas = self.progress.now().tables.get(&self.source_table).and_then(|t| t.event_schemas.clone());
        let log = Arc::new(SinkLog::new(Arc::clone(&self.log), self.progress.clone(), event_schemas));
        let environment: Arc<dyn Environment> = Arc::new(SystemEnvironment::new());
        let writes = match self.sink.foreign_writes {
            ForeignWrites::Stop => commit_coordinator::ForeignWrites::Stop,
            ForeignWrites::Warn => commit_coordinator::ForeignWrites::Warn,
        };
        let mut settings = CoordinatorSettings::new(&self.sink.id, &self.topic);
        settings.foreign_writes = writes;
        settings.generation = generation;
        // It ends when its worker has: what the worker offers last is committed.
        let (_never_stop, stop) = watch::channel(false);
        let (coordinator, transport) =
            Coordinator::new(Arc::clone(&table), log.clone(), Arc::clone(&environment), settings, stop).map_err(wrap)?;
        let mut status = coordinator.status();
        let columns = Columns {
            source_table: self.source_table.clone(),
            topic: self.topic.clone(),
            progress: self.progress.clone(),
            table: Arc::clone(&table),
            committed: coordinator.status(),
        };
        let mut compaction = CompactionConfig::default();
        compaction.key_bytes = self.sink.memory_budget / 4;
        let maintenance = Maintenance {
            source_table: self.source_table.clone(),
            table: Arc::clone(&table),
            coordinator: transport.downgrade(),
            commits: coordinator.status(),
            turns: Arc::clone(&self.compactions),
            config: compaction,
        };
        // A task of its own, so that a span is written meanwhile. It ends with this one.
        let mut maintaining = JoinSet::new();
        if self.sink.compaction {
            maintaining.spawn(maintenance.follow());
        }
        let mut settings = WorkerSettings::new(&self.sink.id);
        settings.foreign_writes = writes;
        settings.commit_interval = self.sink.commit_interval;
        settings.max_span_bytes = self.span_bytes;
        // One block of the log: what was just read is decoded while it is still in the processor's cache.
        settings.fetch_bytes = self.span_bytes.clamp(1 << 16, 1 << 20);
        let worker = Worker::new(
            WorkerParts {
                table: Arc::clone(&table),
                log,
                writer: IcebergSpanWriter::new(self.source_table.clone(), table, self.progress.clone(), self.events),
                progress,
                transport: Arc::new(transport),
                environment,
            },
            settings,
        );
        let log_to_release = Arc::clone(&self.log);
        let mut applied = worker.applied();
        let watching = async {
            let mut released = false;
            loop {
                tokio::select! {
                    changed = status.changed() => if changed.is_err() { break },
                    Ok(()) = applied.changed() => {
                        let of_topic = |((topic, _), next): (&(String, i32), &i64)| if *topic == self.topic { *next } else { 0 };
                        let applied = applied.borrow_and_update().iter().map(of_topic).sum();
                        report.send_modify(|r| r.applied = applied);
                        continue;
                    }
                }
                let now = status.borrow_and_update().clone();
                // The log forgets over a restart what was applied; later commits say it anew, an idle table would not.
                if let (false, Some(checkpoint)) = (released, &now.checkpoint) {
                    released = true;
                    for (topic, partition, next) in checkpoint.partitions() {
                        if let Err(e) = log_to_release.release(topic, partition, next).await {
                            tracing::warn!(%topic, error = %e, "applied records could not be released; they are kept longer");
                        }
                    }
                }
                report.send_modify(|r| {
                    if now.commits > r.coordinator.commits {
                        r.last_commit_ms = crate::clock::now_ms();
                    }
                    r.coordinator = now;
                });
            }
            std::future::pending::<()>().await;
        };
        let working = run_table(coordinator, worker, self.stop.clone());
        let ended = tokio::select! {
            ended = working => ended.map(drop),
            () = watching => Ok(()),
            Some(Err(e)) = maintaining.join_next() => Err(commit_coordinator::Error::new(
                commit_coordinator::ErrorKind::Other,
                "the table's compaction ended abnormally: a fault of the program; set \"iceberg.tables.compaction-enabled\" = false to go on without it",
            )
            .with_source(e)),
            failed = columns.follow() => failed,
        };
        let last = status.borrow().clone();
        report.send_modify(|r| r.coordinator = last);
        match ended {
            // Asked to stop before the outcome of the last commit was known: the next start reads it from the table.
            Err(e) if e.kind() == commit_coordinator::ErrorKind::Interrupted && *self.stop.borrow() => {
                tracing::warn!(table = %self.source_table, error = %e, "stopped before the last commit was confirmed");
                Ok(())
            }
            // The mirror was dropped without being asked to stop, which is a crash to the protocol: the next start goes on.
            Err(e) if e.kind() == commit_coordinator::ErrorKind::Interrupted && self.stop.has_changed().is_err() => {
                tracing::debug!(table = %self.source_table, error = %e, "dropped");
                Ok(())
            }
            ended => ended.map_err(|e| self.explained(e)),
        }
    }

    fn first_schema(&self) -> Result<TableSchema> {
        let progress = self.progress.now();
        let newest = progress.tables.get(&self.source_table).and_then(|t| t.schemas.values().next());
        newest.map(|v| v.schema.clone()).ok_or_else(|| {
            Error::new(
                ErrorKind::Other,
                format!("the progress topic has no schema of {}: a fault of the source half", self.source_table),
            )
        })
    }

    /// As [`open_table`](Self::open_table), again and again while the log or the catalog is away. `None`: it was asked to stop meanwhile.
    async fn opened_table(&self, schema: &TableSchema, generation: Option<&GenerationStart>) -> Result<Option<MirroredTable>> {
        let mut stop = self.stop.clone();
        let mut stopping = std::pin::pin!(stop.wait_for(|stop| *stop));
        loop {
            let opened = tokio::select! {
                opened = self.open_table(schema, generation) => opened,
                _ = &mut stopping => return Ok(None),
            };
            match opened {
                Err(e) if e.passes() => {
                    tracing::warn!(table = %self.source_table, error = %e, "the table cannot be opened yet, trying again");
                }
                opened => return opened.map(Some),
            }
            tokio::select! {
                () = tokio::time::sleep(OPEN_AGAIN_AFTER) => {}
                _ = &mut stopping => return Ok(None),
            }
        }
    }

    /// The table in the catalog; made under the oldest schema version that the log still needs, if it is missing and may be made.
    async fn open_table(&self, schema: &TableSchema, generation: Option<&GenerationStart>) -> Result<MirroredTable> {
        let name = mirrored_name(&self.source_table);
        let table = match self.catalog.load_table(&name).await? {
            Some(table) if feeding_topics(&table).is_some_and(|topics| !topics.contains(&self.topic)) => {
                return Err(Error::new(
                    ErrorKind::Unsafe,
                    format!(
                        "the table {name} in the catalog holds the rows of another source table, not of {}: names are lower-cased there\n  → if that one is gone, drop {name} in the catalog; the next start makes it anew",
                        self.source_table
                    ),
                ));
            }
            Some(table) => table,
            None if !self.is_whole_in_log(generation).await? => {
                return Err(self.explained(commit_coordinator::Error::refused(&name.to_string(), Refusal::TableMissing)));
            }
            None if self.sink.auto_create => {
                self.catalog.create_namespace(&name.namespace).await?;
                let mut options = TableOptions::default();
                options.properties.clone_from(&self.sink.table_properties);
                let table = self.catalog.create_table(&name, schema, options).await?;
                cdc_failpoint::hit("sink-after-create");
                table
            }
            None => {
                return Err(Error::new(
                    ErrorKind::Unsafe,
                    format!(
                        "the table {name} is not in the catalog\n  → make it, or set \"iceberg.tables.auto-create-enabled\" = true"
                    ),
                ));
            }
        };
        let taken_over = self.taken_over(&table).await?;
        Ok(MirroredTable::new(self.catalog.clone(), table, &self.sink.id, BRANCH).with_taken_over(taken_over))
    }

    /// What a Kafka Connect sink has left of a table that it alone has filled so far.
    async fn taken_over(&self, table: &Table) -> Result<Option<TakenOver>> {
        if feeding_topics(table).is_some() || !table.has_rows() || !is_of_connect_sink(table) {
            return Ok(None);
        }
        match &self.log_kind {
            #[cfg(feature = "kafka")]
            LogKind::Kafka { cluster, .. } => {
                // What else takes memory beside the spans waits.
                let _turn = self.compactions.acquire().await;
                let predecessor = Predecessor {
                    sink: &self.sink.predecessor,
                    cluster,
                    log: self.log.as_ref(),
                    topic: &self.topic,
                    table: table.clone(),
                    source_table: &self.source_table,
                    progress: &self.progress,
                    events: self.events,
                    bytes: self.sink.memory_budget / 2,
                };
                predecessor.examine().await
            }
            // No offset of Kafka means anything in another log.
            LogKind::Local(_) | LogKind::Memory => Ok(None),
        }
    }

    /// The log has all that makes the table: from its beginning, or from that of the newest snapshot. If it has not, it has let go of
    /// records, which only happens after a table had them: that one was dropped.
    async fn is_whole_in_log(&self, generation: Option<&GenerationStart>) -> Result<bool> {
        let partitions = self.log.topic(&self.topic).await?.map_or(1, |topic| topic.partitions);
        for partition in 0..partitions {
            let first = self.log.offsets(&self.topic, partition).await?.first;
            let began = |s: &commit_coordinator::Span| s.partition != partition || s.from >= first;
            if first > 0 && !generation.is_some_and(|g| g.began_at.iter().all(began)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The error, and whether reading the table again is a way on: a record that no row can be made of, rows of others or what the log
    /// has lost then lie before a barrier that removes all rows, and the table's absence is mended behind it.
    fn explained(&self, e: commit_coordinator::Error) -> Error {
        let refused = e.refusal().is_some_and(|r| r.ends_at_removal() || *r == Refusal::TableMissing);
        let by_itself = self.progress.now().tables.get(&self.source_table).is_none_or(|t| t.event_schemas.is_none());
        let helps = by_itself && (refused || e.kind() == commit_coordinator::ErrorKind::Record);
        let error = wrap(e);
        if !helps {
            return error;
        }
        let table = shell_word(&self.source_table.to_string());
        Error::new(error.kind(), format!("{error}\n  → read it again: lakehouse resnapshot {table}")).with_source(error)
    }
}

/// Brings a schema change to a table that no row follows: with rows, their commit brings it.
struct Columns {
    source_table: TableId,
    topic: String,
    progress: ProgressFollower,
    table: Arc<MirroredTable>,
    committed: watch::Receiver<CoordinatorStatus>,
}

impl Columns {
    /// Never returns but with an error.
    async fn follow(mut self) -> commit_coordinator::Result<()> {
        let other = |e: Error| commit_coordinator::Error::new(commit_coordinator::ErrorKind::Other, e.to_string()).with_source(e);
        let mut done = 0;
        loop {
            let progress = self.progress.now();
            let table = progress.tables.get(&self.source_table);
            let newest = table.and_then(|t| t.schemas.values().next_back());
            if let Some(newest) = newest.filter(|v| v.schema.version > done) {
                // What is older must be in first: rows are written under the columns that they had, and a table that was made
                // anew is emptied before it gets columns that its old rows could not have.
                let barrier = table.map_or(0, |t| t.last_barrier_before(&newest.starts_at));
                let applied = |status: &CoordinatorStatus| {
                    status.checkpoint.as_ref().is_some_and(|c| {
                        let reached = |(p, at): (&i32, &i64)| c.next(&self.topic, *p).is_some_and(|next| next >= *at);
                        c.barrier >= barrier && newest.starts_at.iter().all(reached)
                    })
                };
                if self.committed.wait_for(applied).await.is_err() {
                    return std::future::pending().await; // the coordinator has ended, and says why
                }
                cdc_failpoint::hit("sink-before-schema-change");
                match self.table.evolve(&newest.schema).await {
                    Ok(()) => done = newest.schema.version,
                    // Somebody holds the catalog: like a commit, this is tried again.
                    Err(e) if e.kind() == commit_coordinator::ErrorKind::Unavailable => {
                        tracing::warn!(table = %self.source_table, error = %e, "the columns could not be changed yet, trying again");
                        tokio::time::sleep(EVOLVE_AGAIN_AFTER).await;
                        continue;
                    }
                    Err(e) => return Err(e),
                }
            }
            let more = async {
                self.progress.wait_beyond(progress.read_to).await?;
                self.progress.advance().await
            };
            match more.await {
                // Whoever reads the rows says so.
                Err(e) if e.is_log_away() => tokio::time::sleep(EVOLVE_AGAIN_AFTER).await,
                more => more.map_err(other)?,
            }
        }
    }
}

/// A source table's name in the catalog: lower-cased, as Trino sees no other.
pub(crate) fn mirrored_name(table: &TableId) -> TableName {
    TableName::new(table.database.to_lowercase(), table.table.to_lowercase())
}

/// The checkpoint of a table in the catalog, if this sink has left one.
pub(crate) async fn newest_checkpoint(catalog: &Catalog, table: &Table, sink: &str) -> Result<Option<Checkpoint>> {
    let mirrored = MirroredTable::new(catalog.clone(), table.clone(), sink, BRANCH);
    Ok(mirrored.head().await.map_err(wrap)?.and_then(|head| head.checkpoint))
}

fn wrap(e: commit_coordinator::Error) -> Error {
    use commit_coordinator::ErrorKind as Kind;
    let disk = std::error::Error::source(&e)
        .and_then(|source| source.downcast_ref::<iceberg_writer::Error>())
        .is_some_and(|e| matches!(e.kind(), iceberg_writer::ErrorKind::DiskFull | iceberg_writer::ErrorKind::NotWritable));
    let kind = match e.kind() {
        _ if disk => ErrorKind::Unavailable,
        Kind::Refused | Kind::Checkpoint | Kind::Record => ErrorKind::Unsafe,
        Kind::Unavailable | Kind::Interrupted => ErrorKind::Unavailable,
        Kind::Configuration => ErrorKind::Configuration,
        _ => ErrorKind::Other,
    };
    Error::new(kind, e.to_string()).with_source(e)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test]
    async fn a_panic_stops_its_table_and_says_so() {
        let table = TableId::new("shop", "orders");
        for fault in ["index 3 is out of bounds", "of 7"] {
            let stopped = guarded(&table, async { panic!("{fault}") }).await.unwrap_err();
            let said = stopped.to_string();
            assert!(stopped.kind() == ErrorKind::Other && said.contains("shop.orders") && said.contains(fault), "{said}");
        }
        guarded(&table, async { Ok(()) }).await.unwrap();
    }
}
