use crate::config::{MysqlSourceConfig, SnapshotMode};
use crate::connection::{Connection, ServerInfo, ServerKind};
use crate::discover::{list_tables, require_database};
use crate::engine::Engine;
use crate::preflight::require;
use crate::snapshot::Resume;
use crate::source_start::{check_resumable, first_position};
use crate::stream::Stream;
use crate::stream_log::{DumpStart, LogConnection};
use crate::stream_table::{Captured, Phase};
use async_trait::async_trait;
use cdc_core::{ChangeSource, Error, ErrorKind, Generation, RecoveredState, Result, SourceBatch, TableId, TableSchema};
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
    /// Connects, checks the server, and begins to read: from the beginning if nothing was recovered, else with what follows
    /// the recovered position.
    ///
    /// # Errors
    /// - [`ErrorKind::Unavailable`]: the server cannot be reached or is not set up; the message has the statement that helps.
    /// - [`ErrorKind::Configuration`]: there is no database that could be captured.
    /// - [`ErrorKind::Unsafe`]: it cannot go on after the recovered position (purged or reset logs, another server).
    pub async fn start(config: MysqlSourceConfig, recovered: RecoveredState) -> Result<Self> {
        let mut connection = Connection::open(&config).await?;
        require(&mut connection, &config).await?;
        let server = connection.server.clone();
        let fold_case = connection.variable("lower_case_table_names").await?.is_some_and(|v| v != "0");
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
        let mut stream = Stream::new(config.clone(), server.kind, position, fold_case);
        recover_tables(&mut stream, recovered)?;
        for table in list_tables(&mut connection, &config).await? {
            if stream.index_of(&table.table).is_none() {
                let mut new = Captured::new(table.table, Phase::Unread);
                new.rows_wanted = config.snapshot_mode != SnapshotMode::NoData;
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

fn recover_tables(stream: &mut Stream, recovered: RecoveredState) -> Result<()> {
    let mut schemas: BTreeMap<TableId, TableSchema> = BTreeMap::new();
    for schema in recovered.schemas {
        match schemas.get(&schema.table) {
            Some(known) if known.version >= schema.version => {}
            _ => {
                schemas.insert(schema.table.clone(), schema);
            }
        }
    }
    let generations: BTreeMap<TableId, Generation> = recovered.generations.into_iter().map(|g| (g.table.clone(), g)).collect();
    let marks: BTreeSet<(TableId, u64)> = recovered.marks.into_iter().collect();
    for stop in recovered.stops {
        // A table that was made anew after its stop is followed again.
        let revived = generations.get(&stop.table).is_some_and(|g| Resume::of(g).revived);
        if !revived {
            let mut stopped = Captured::new(stop.table.clone(), Phase::Stopped);
            stopped.schema = schemas.remove(&stop.table).map(Arc::new);
            stopped.gone = stop.reason == cdc_core::StopReason::Dropped;
            stopped.generation = generations.get(&stop.table).cloned();
            stream.add(stopped);
        }
    }
    for (id, schema) in schemas {
        if !stream.config.tables.matches(&id) {
            return Err(crate::error::problem(
                ErrorKind::Configuration,
                format!("{id} was captured before, and the include and exclude lists leave it out now"),
                &["its changes would be lost without a trace, also if it is taken in again later"],
                &["take it in again, or begin a new mirror without it"],
            ));
        }
        let mut table = Captured::new(id.clone(), Phase::Live);
        let keyed = !schema.key.is_empty();
        table.schema = Some(Arc::new(schema));
        if let Some(generation) = generations.get(&id) {
            let running = generation.state == cdc_core::GenerationState::Running;
            table.rows_wanted = running;
            table.mark_wanted = !running && !marks.contains(&(id.clone(), generation.number));
            if running && !keyed {
                table.phase = Phase::Keyless;
                table.recreated = true;
            }
            table.generation = Some(generation.clone());
        }
        stream.add(table);
    }
    Ok(())
}
