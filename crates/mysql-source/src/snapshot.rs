//! The reading of tables beside the stream: jobs on connections of their own, and what becomes of their results.

use crate::chunk::{Chunk, ChunkFailure, ChunkRange, KeyValue, Watermark, begin_not_before, read_all, read_chunk};
use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, quoted};
use crate::decode_buffers::RowBuffers;
use crate::discover::{DiscoveredTable, list_tables};
use crate::error::{code, code_of};
use crate::foreign_keys::{cascades_are_logged, cascading_keys};
use crate::retry::Failing;
use crate::schema_read::{TableRead, Unsupported, read_table};
use crate::stream_log::{DumpStart, LogConnection};
use crate::stream_xa::tables_of_prepared;
use cdc_core::{Generation, GenerationState, LogCoordinate, Result, SnapshotMarker, SourcePosition, TableId, TableSchema};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What a job found.
pub(crate) enum Found {
    /// Columns of tables, all as of before `until`.
    Schemas { tables: Vec<ToDescribe>, schemas: BTreeMap<TableId, Described>, until: LogCoordinate },
    /// The columns that tables have now.
    Keys { tables: Vec<ToDescribe>, schemas: BTreeMap<TableId, Described> },
    /// Rows of a chunk.
    Chunk { table: usize, generation: u64, read: Result<Chunk, ChunkFailure> },
    /// The end of the log after a snapshot's last row was read; `None` where creates are never certainly new.
    End { table: usize, generation: u64, at: Option<LogCoordinate> },
    /// Where a keyless table can be read: when the stream is there. MariaDB: with a view that is open there.
    KeylessPlace { at: LogCoordinate, view: Option<Connection> },
    /// A view was opened while the log ended at `end`.
    KeylessView { view: Connection, end: LogCoordinate },
    /// A new connection to the log.
    Log(Box<LogConnection>),
    /// The tables of an XA transaction that was prepared before; `None` if the log does not have it any more.
    Prepared { name: String, tables: Option<BTreeSet<TableId>> },
    /// It was taken out.
    Nothing,
}

/// A table as the server describes it.
pub(crate) struct Described {
    pub(crate) schema: Result<TableSchema, Unsupported>,
    pub(crate) estimated_rows: u64,
    pub(crate) row_bytes: u64,
    pub(crate) has_rows: bool,
}

/// A table whose columns are asked for.
#[derive(Debug, Clone)]
pub(crate) struct ToDescribe {
    /// Its index.
    pub(crate) table: usize,
    pub(crate) id: TableId,
    /// [`Captured::reading`](crate::stream_table::Captured::reading) when it was asked.
    pub(crate) reading: u32,
}

/// A job's end. A connection that still works comes back.
pub(crate) struct Done {
    pub(crate) found: Result<Found>,
    pub(crate) connection: Option<Connection>,
    /// The job, to do it again.
    pub(crate) job: Job,
    /// How often it has failed before.
    pub(crate) failing: Option<Failing>,
}

impl Done {
    fn new(found: Result<Found>, connection: Option<Connection>, job: Job) -> Self {
        Self { found, connection, job, failing: None }
    }
}

/// Something to do beside the stream.
#[derive(Clone)]
pub(crate) enum Job {
    Schemas(Vec<ToDescribe>),
    Keys(Vec<ToDescribe>),
    Chunk { table: usize, generation: u64, range: ChunkRange, emitted: Watermark },
    End { table: usize, id: TableId, generation: u64 },
    KeylessPlace,
    KeylessView { emitted: Watermark },
    Log { position: SourcePosition, kind: ServerKind },
    Prepared { name: String, before: LogCoordinate },
}

impl Job {
    /// What it does, for messages.
    pub(crate) fn doing(&self) -> &'static str {
        match self {
            Self::Schemas(_) => "reading the columns of tables",
            Self::Keys(_) => "reading the keys of tables",
            Self::Chunk { .. } => "reading rows of a table",
            Self::End { .. } => "reading where a table's new rows begin",
            Self::KeylessPlace | Self::KeylessView { .. } => "looking for a moment in which to read a table without a key",
            Self::Log { .. } => "reading the binary log",
            Self::Prepared { .. } => "looking for the tables of an XA transaction",
        }
    }
}

/// The jobs under way, and connections for more.
pub(crate) struct Jobs {
    config: MysqlSourceConfig,
    running: JoinSet<Done>,
    idle: Vec<Connection>,
}

impl Jobs {
    pub(crate) fn new(config: MysqlSourceConfig, first: Connection) -> Self {
        Self { config, running: JoinSet::new(), idle: vec![first] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn keep(&mut self, connection: Option<Connection>) {
        if self.idle.len() < self.config.snapshot_threads {
            self.idle.extend(connection);
        }
    }

    pub(crate) fn spawn(&mut self, job: Job) {
        self.start(job, None);
    }

    /// Does a job again, after the pause.
    pub(crate) fn spawn_after(&mut self, failing: Failing, job: Job) {
        self.start(job, Some(failing));
    }

    fn start(&mut self, job: Job, failing: Option<Failing>) {
        let (config, idle) = (self.config.clone(), self.idle.pop());
        self.running.spawn(async move {
            if let Some(failing) = failing {
                tokio::time::sleep(failing.pause).await;
            }
            Done { failing, ..do_job(&config, idle, job).await }
        });
    }

    /// The next result; waits for ever if there are no jobs. `None`: a job has panicked.
    pub(crate) async fn next(&mut self) -> Option<Done> {
        match self.running.join_next().await {
            Some(done) => done.ok(),
            None => std::future::pending().await,
        }
    }
}

async fn do_job(config: &MysqlSourceConfig, idle: Option<Connection>, job: Job) -> Done {
    if let Job::Log { position, kind } = &job {
        return Done::new(reopen(config, *kind, position).await, idle, job);
    }
    let connection = match idle {
        Some(connection) => Ok(connection),
        None => Connection::open(config).await,
    };
    match connection {
        Ok(connection) => work(config, connection, job).await,
        Err(e) => Done::new(Err(e), None, job),
    }
}

/// The server must be the one that the position is of; then its log from there.
async fn reopen(config: &MysqlSourceConfig, kind: ServerKind, position: &SourcePosition) -> Result<Found> {
    let mut connection = Connection::open(config).await?;
    let position = crate::source_start::check_resumable(&mut connection, config, position.clone(), true).await?;
    let start = match kind {
        ServerKind::Mysql => DumpStart::After(&position.transactions),
        ServerKind::Mariadb => DumpStart::At(&position.log),
    };
    Ok(Found::Log(Box::new(LogConnection::open(config, kind, start).await?)))
}

async fn work(config: &MysqlSourceConfig, mut connection: Connection, job: Job) -> Done {
    let found = match &job {
        Job::Schemas(tables) => describe(&mut connection, config, tables).await.map(|(schemas, until)| Found::Schemas {
            tables: tables.clone(),
            schemas,
            until,
        }),
        Job::Keys(tables) => {
            describe(&mut connection, config, tables).await.map(|(schemas, _)| Found::Keys { tables: tables.clone(), schemas })
        }
        Job::Chunk { table, generation, range, emitted } => {
            let read = read_chunk(&mut connection, range, emitted).await;
            // A failed read may leave a view open or the protocol in the middle: the connection is not used again.
            if read.is_err() {
                return Done::new(Ok(Found::Chunk { table: *table, generation: *generation, read }), None, job);
            }
            Ok(Found::Chunk { table: *table, generation: *generation, read })
        }
        Job::End { table, id, generation } => {
            new_creates(&mut connection, id).await.map(|at| Found::End { table: *table, generation: *generation, at })
        }
        Job::KeylessPlace => match connection.server.kind {
            ServerKind::Mysql => connection.log_end().await.map(|at| Found::KeylessPlace { at, view: None }),
            ServerKind::Mariadb => match connection.open_view().await {
                Ok(Some(at)) => {
                    return Done::new(Ok(Found::KeylessPlace { at, view: Some(connection) }), None, job);
                }
                Ok(None) => connection.log_end().await.map(|at| Found::KeylessPlace { at, view: None }),
                Err(e) => Err(e),
            },
        },
        Job::KeylessView { emitted } => match view_at_end(&mut connection, emitted).await {
            Ok(end) => return Done::new(Ok(Found::KeylessView { view: connection, end }), None, job),
            Err(e) => Err(e),
        },
        Job::Log { position, kind } => reopen(config, *kind, position).await,
        Job::Prepared { name, before } => tables_of_prepared(&mut connection, config, name, before)
            .await
            .map(|tables| Found::Prepared { name: name.clone(), tables }),
    };
    let connection = found.is_ok().then_some(connection);
    Done::new(found, connection, job)
}

/// From where creates of the table are certainly new, if they ever are.
///
/// Where the server does not log the rows that a foreign key deletes or changes, a row that is created may be one that the log still
/// has.
async fn new_creates(connection: &mut Connection, table: &TableId) -> Result<Option<LogCoordinate>> {
    if !cascades_are_logged(connection).await? {
        match cascading_keys(connection, table).await {
            Ok(keys) if keys.is_empty() => {}
            // The table is gone meanwhile: the stream will say so.
            Err(e) if matches!(code_of(&e), Some(code::NO_SUCH_TABLE | code::UNKNOWN_DATABASE)) => return Ok(None),
            Err(e) => return Err(e),
            Ok(_) => return Ok(None),
        }
    }
    connection.log_end().await.map(Some)
}

async fn view_at_end(connection: &mut Connection, emitted: &Watermark) -> Result<LogCoordinate> {
    begin_not_before(connection, emitted).await?;
    connection.open_view().await?;
    connection.log_end().await
}

/// The tables' columns, and a place of the log up to which they show every change of columns and none that comes after.
///
/// A statement is in the log before the server shows what it did. Until then it keeps the table's metadata lock, so a query of the
/// table waits for it: what was in the log before that query is shown after it. Columns that are the same before the place was
/// read and after such a query are those of the place.
async fn describe(
    connection: &mut Connection,
    config: &MysqlSourceConfig,
    tables: &[ToDescribe],
) -> Result<(BTreeMap<TableId, Described>, LogCoordinate)> {
    let mut before: Option<(BTreeMap<TableId, Described>, LogCoordinate)> = None;
    loop {
        let mut with_rows = BTreeSet::new();
        for ToDescribe { id, .. } in tables {
            let sql = format!("SELECT 1 FROM {}.{} LIMIT 1", quoted(&id.database), quoted(&id.table));
            // A table that is not there, or goes away meanwhile, has a DROP in the stream.
            if connection.rows("looking for rows", &sql).await.is_ok_and(|rows| !rows.is_empty()) {
                with_rows.insert(id);
            }
        }
        let known: BTreeMap<TableId, DiscoveredTable> =
            list_tables(connection, config).await?.into_iter().map(|t| (t.table.clone(), t)).collect();
        let mut schemas = BTreeMap::new();
        for ToDescribe { id, .. } in tables.iter().filter(|t| known.contains_key(&t.id)) {
            let schema = match read_table(connection, id).await? {
                TableRead::Schema(schema) => Ok(schema),
                TableRead::Unsupported(unsupported) => Err(unsupported),
                TableRead::Missing => continue,
            };
            let has_rows = schema.is_ok() && with_rows.contains(id);
            let (estimated_rows, row_bytes) = known.get(id).map_or((0, 1), |t| (t.estimated_rows, t.row_bytes()));
            schemas.insert(id.clone(), Described { schema, estimated_rows, row_bytes, has_rows });
        }
        if let Some((earlier, until)) = before.take()
            && earlier.len() == schemas.len()
            && earlier.iter().all(|(id, d)| schemas.get(id).is_some_and(|now| now.schema == d.schema))
        {
            return Ok((schemas, until));
        }
        before = Some((schemas, connection.log_end().await?));
    }
}

/// What a snapshot needs to go on in the middle; kept as JSON in [`Generation::resume`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resume {
    /// The key of the last row that was handed on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) last: Option<Vec<KeyValue>>,
}

impl Resume {
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn of(generation: &Generation) -> Self {
        serde_json::from_str(&generation.resume).unwrap_or_default()
    }
}

/// A generation that begins.
pub(crate) fn new_generation(table: &TableId, number: u64, estimated_rows: Option<u64>) -> Generation {
    Generation {
        table: table.clone(),
        number,
        state: GenerationState::Running,
        began_at: BTreeMap::new(),
        resume: Resume::default().text(),
        rows: 0,
        estimated_rows,
    }
}

/// Which tables have the first and the last row of a snapshot, by name.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    first: Option<TableId>,
    last: Option<TableId>,
}

impl Markers {
    pub(crate) fn of(tables_with_rows: &BTreeSet<TableId>) -> Self {
        Self { first: tables_with_rows.first().cloned(), last: tables_with_rows.last().cloned() }
    }

    pub(crate) fn first_row(&self, table: &TableId) -> SnapshotMarker {
        if self.first.as_ref() == Some(table) { SnapshotMarker::First } else { SnapshotMarker::FirstInCollection }
    }

    pub(crate) fn last_row(&self, table: &TableId) -> SnapshotMarker {
        if self.last.as_ref() == Some(table) { SnapshotMarker::Last } else { SnapshotMarker::LastInCollection }
    }
}

/// What a row that has a marker becomes as the last row of its table: alone in the first table it stays the first of all, as Debezium has it.
pub(crate) fn as_last_row(marker: SnapshotMarker, last: SnapshotMarker) -> SnapshotMarker {
    if marker == SnapshotMarker::First && last == SnapshotMarker::LastInCollection { marker } else { last }
}

/// What the reader of a keyless table sends: rows, and at the end whether it came to the end.
pub(crate) enum KeylessRows {
    Rows(RowBuffers),
    End(Result<()>),
}

/// Reads a whole table in the open view of `connection`, in batches of `bytes`.
pub(crate) fn read_keyless(mut connection: Connection, schema: Arc<TableSchema>, bytes: usize) -> mpsc::Receiver<KeylessRows> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let read = read_all(&mut connection, &schema, bytes, &sender).await;
        // Nobody listens any more: the source was dropped.
        let _ = sender.send(KeylessRows::End(read)).await;
    });
    receiver
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_last_row_is_marked_in_the_last_table_that_has_rows() {
        let t = |n: &str| TableId::new("d", n);
        let markers = Markers::of(&[t("b"), t("a"), t("c")].into());
        assert_eq!(markers.first_row(&t("a")), SnapshotMarker::First);
        assert_eq!(markers.first_row(&t("b")), SnapshotMarker::FirstInCollection);
        assert_eq!(markers.last_row(&t("b")), SnapshotMarker::LastInCollection);
        assert_eq!(markers.last_row(&t("c")), SnapshotMarker::Last);
    }

    #[test]
    fn the_only_row_of_the_first_table_is_the_first_of_all() {
        use SnapshotMarker as M;
        assert_eq!(as_last_row(M::First, M::LastInCollection), M::First);
        assert_eq!(as_last_row(M::First, M::Last), M::Last);
        assert_eq!(as_last_row(M::FirstInCollection, M::LastInCollection), M::LastInCollection);
        assert_eq!(as_last_row(M::True, M::Last), M::Last);
    }

    #[test]
    fn a_snapshot_goes_on_from_its_last_key() {
        let resume = Resume { last: Some(vec![KeyValue::Int(7)]) };
        let mut generation = new_generation(&TableId::new("d", "t"), 1, None);
        assert_eq!(Resume::of(&generation), Resume::default());
        generation.resume = resume.text();
        assert_eq!(Resume::of(&generation), resume);
    }
}
