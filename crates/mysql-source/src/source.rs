use crate::config::{MysqlSourceConfig, SnapshotMode};
use crate::connection::{Connection, ServerInfo, ServerKind};
use crate::discover::{list_tables, require_database};
use crate::engine::Engine;
use crate::names::NameCase;
use crate::preflight::require;
use crate::source_start::{check_resumable, first_position};
use crate::stream::Stream;
use crate::stream_log::{DumpStart, LogConnection};
use crate::stream_table::{Captured, Phase};
use async_trait::async_trait;
use cdc_core::{
    ChangeSource, Error, ErrorKind, Generation, GenerationState, RecoveredState, Result, SourceBatch, StopReason, TableId,
    TableSchema,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// The changes of a MySQL or MariaDB server: a snapshot of each captured table, merged with the stream of its binary log.
///
/// The contract is [`ChangeSource`]'s. A task of its own reads ahead by one batch; it ends when the source is dropped.
/// Nothing is written to the server.
#[derive(Debug)]
pub struct MysqlSource {
    batches: mpsc::Receiver<Result<SourceBatch>>,
    task: JoinHandle<()>,
    server: ServerInfo,
}

impl MysqlSource {
    /// Connects, checks the server, and begins to read: from the beginning if no position was recovered, else with what follows it.
    ///
    /// # Errors
    /// - [`ErrorKind::Unavailable`]: the server cannot be reached or is not set up; the message has the statement that helps.
    /// - [`ErrorKind::Configuration`]: there is no database that could be captured.
    /// - [`ErrorKind::Unsafe`]: it cannot go on after the recovered position (purged or reset logs, another server).
    pub async fn start(config: MysqlSourceConfig, recovered: RecoveredState) -> Result<Self> {
        let mut connection = Connection::open(&config).await?;
        require(&mut connection, &config).await?;
        let server = connection.server.clone();
        let name_case = NameCase::of_variable(connection.variable("lower_case_table_names").await?.as_deref());
        let no_data = config.snapshot_mode == SnapshotMode::NoData;
        // Without snapshots, rows that the log does not show matter only of tables that were made behind the place where it begins.
        let old: BTreeSet<TableId> = match no_data && recovered.position.is_none() {
            true => list_tables(&mut connection, &config).await?.into_iter().map(|t| t.table).collect(),
            false => BTreeSet::new(),
        };
        let position = match recovered.position.clone() {
            Some(position) => check_resumable(&mut connection, &config, position, false).await?,
            None => {
                require_database(&mut connection, &config).await?;
                first_position(&mut connection, &config).await?
            }
        };
        let start = match server.kind {
            ServerKind::Mysql => DumpStart::After(&position.transactions),
            ServerKind::Mariadb => DumpStart::At(&position.log),
        };
        let log = LogConnection::open(&config, server.kind, start).await?;
        let mut stream = Stream::new(config.clone(), server.kind, position, name_case);
        recover_tables(&mut stream, recovered)?;
        for table in list_tables(&mut connection, &config).await? {
            if stream.index_of(&table.table).is_none() {
                let mut new = Captured::new(table.table, Phase::Unread);
                new.rows_wanted = !no_data;
                new.perhaps_new = !old.contains(&new.id);
                let index = stream.add(new);
                stream.unread.push(index);
            }
        }
        let (sender, batches) = mpsc::channel(1);
        let engine = Engine::new(config, stream, log, connection);
        let task = tokio::spawn(async move {
            if let Err(e) = engine.run(&sender).await {
                // Nobody listens any more: the source was dropped.
                let _ = sender.send(Err(e)).await;
            }
        });
        Ok(Self { batches, task, server })
    }

    /// The server that it reads.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }
}

impl Drop for MysqlSource {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl ChangeSource for MysqlSource {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        match self.batches.recv().await {
            Some(batch) => batch.map(Some),
            None if self.task.is_finished() && task_panicked(&mut self.task).await => Err(Error::new(
                ErrorKind::Other,
                "reading the binary log ended in a defect of this program: see its standard error output",
            )),
            None => Ok(None),
        }
    }
}

async fn task_panicked(task: &mut JoinHandle<()>) -> bool {
    task.await.is_err_and(|e| e.is_panic())
}

/// Adds the tables that a predecessor has captured.
fn recover_tables(stream: &mut Stream, recovered: RecoveredState) -> Result<()> {
    // Without a position nothing can be gone on with: whatever happened since is not in the log.
    let anew = recovered.position.is_none();
    let mut schemas: BTreeMap<TableId, TableSchema> = BTreeMap::new();
    for schema in recovered.schemas {
        match schemas.get(&schema.table) {
            Some(known) if known.version >= schema.version => {}
            _ => {
                schemas.insert(schema.table.clone(), schema);
            }
        }
    }
    let mut generations: BTreeMap<TableId, Generation> =
        recovered.generations.into_iter().map(|g| (g.table.clone(), g)).collect();
    let marks: BTreeSet<(TableId, u64)> = recovered.marks.into_iter().collect();
    let stops: BTreeMap<TableId, StopReason> = recovered.stops.into_iter().map(|s| (s.table, s.reason)).collect();
    let ids: BTreeSet<TableId> = schemas.keys().chain(stops.keys()).cloned().collect();
    for id in ids {
        let stop = stops.get(&id).copied();
        let stays_stopped = stop.is_some_and(|reason| reason != StopReason::ReadAgain);
        let wanted = stream.config.tables.matches(&id);
        if !wanted && !stays_stopped {
            return Err(crate::error::problem(
                ErrorKind::Configuration,
                format!("{id} was captured before, and the include and exclude lists leave it out now"),
                &["its changes would be lost without a trace, also if it is taken in again later"],
                &["take it in again, or begin a new mirror without it"],
            ));
        }
        let mut table = Captured::new(id.clone(), Phase::Live);
        table.schema = schemas.remove(&id).map(Arc::new);
        table.generation = generations.remove(&id);
        table.was_stopped = stop.is_some();
        if stays_stopped && !(anew && wanted) {
            table.phase = Phase::Stopped;
            table.gone = stop == Some(StopReason::Dropped);
        } else if anew || stop.is_some() {
            table.phase = Phase::Unread;
            table.rows_wanted = true;
            table.recreated = table.schema.is_some();
        } else if let Some(generation) = &table.generation {
            let running = generation.state == GenerationState::Running;
            table.rows_wanted = running;
            table.mark_wanted = !running && !marks.contains(&(id, generation.number));
            if running && table.schema.as_ref().is_some_and(|s| s.key.is_empty()) {
                table.phase = Phase::Keyless;
                table.recreated = true;
            }
        }
        let unread = table.phase == Phase::Unread;
        let index = stream.add(table);
        if unread {
            stream.unread.push(index);
        }
    }
    Ok(())
}
