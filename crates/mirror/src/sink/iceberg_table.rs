//! An Iceberg table as the commit protocol sees it.

use async_trait::async_trait;
use cdc_core::TableSchema;
use commit_coordinator::{
    COMMIT_ID_PROPERTY, Change, Checkpoint, Error, ErrorKind, Head, Lineage, MirrorTable, Operation, Result, SnapshotView,
    SwapError, checkpoint_tag, trace,
};
use iceberg_writer::{Catalog, Commit, CommitError, DeltaFiles, ErrorKind as TableErrorKind, RewriteFiles, Table, TableName};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The prefix of the summary properties in which the Apache sink keeps its offsets.
pub(super) const CONNECT_OFFSETS: &str = "kafka.connect.offsets.";

/// What a Kafka Connect sink has left that can be gone on with.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "kafka"), allow(dead_code, reason = "only Kafka has such offsets"))]
pub(super) struct TakenOver {
    /// The head that this was found of.
    pub(super) snapshot: Option<i64>,
    /// Topic to partition to next offset.
    pub(super) offsets: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// What is offered to the table's coordinator.
#[derive(Debug, Clone)]
pub(super) enum TableFiles {
    /// Files of one span, and the columns that they were written under.
    Span { delta: DeltaFiles, schema: Arc<TableSchema> },
    /// Files in the place of others.
    Rewrite(RewriteFiles),
}

/// The main branch of one table, followed by one sink.
pub(super) struct MirroredTable {
    catalog: Catalog,
    name: TableName,
    display: String,
    sink: String,
    branch: String,
    current: Mutex<Option<Table>>,
    taken_over: Option<TakenOver>,
    /// Held while this process changes the table, so that its own changes do not meet each other.
    changing: tokio::sync::Mutex<Evolved>,
}

/// The last change of columns without a snapshot: the metadata before it and after. For the protocol both are the same head.
#[derive(Default)]
struct Evolved {
    from: String,
    to: String,
}

impl MirroredTable {
    pub(super) fn new(catalog: Catalog, table: Table, sink: &str, branch: &str) -> Self {
        let name = table.name().clone();
        Self {
            display: name.to_string(),
            catalog,
            name,
            sink: sink.to_owned(),
            branch: branch.to_owned(),
            current: Mutex::new(Some(table)),
            taken_over: None,
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The same table with what its predecessor has left.
    pub(super) fn with_taken_over(self, taken_over: Option<TakenOver>) -> Self {
        Self { taken_over, ..self }
    }

    /// The newest version that this process has seen.
    pub(super) fn current(&self) -> Option<Table> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Table>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the table to these columns without a snapshot, if nothing else comes in between.
    pub(super) async fn evolve(&self, schema: &TableSchema) -> Result<()> {
        let mut evolved = self.changing.lock().await;
        let Some(table) = self.current() else { return Ok(()) };
        match table.evolve(schema).await {
            Ok(new) => {
                cdc_failpoint::hit("sink-after-schema-change");
                *evolved = Evolved { from: table.metadata_location().to_owned(), to: new.metadata_location().to_owned() };
                *self.lock() = Some(new);
                Ok(())
            }
            Err(CommitError::Conflict) => Ok(()), // the next commit brings the columns
            Err(CommitError::Refused(e)) if is_another(&e) => Ok(()), // or says that there is no such table
            Err(CommitError::Unknown(e) | CommitError::Refused(e) | CommitError::Outdated(e)) => Err(wrap(e)),
        }
    }

    async fn refreshed(&self) -> Result<Option<Table>> {
        let known = self.current();
        let table = match known {
            None => self.catalog.load_table(&self.name).await.map_err(wrap)?,
            Some(table) => match table.refresh().await {
                Ok(table) => Some(table),
                // None, or another table of this name: the protocol compares UUIDs, and refuses.
                Err(e) if is_another(&e) => self.catalog.load_table(&self.name).await.map_err(wrap)?,
                Err(e) => return Err(wrap(e)),
            },
        };
        (*self.lock()).clone_from(&table);
        Ok(table)
    }

    fn describe(&self, table: &Table) -> Result<Head<String>> {
        let metadata = table.metadata();
        let snapshot = |id: i64| {
            let s = metadata.snapshot_by_id(id)?;
            let summary = s.summary();
            let operation = match summary.operation {
                iceberg::spec::Operation::Append => Operation::Append,
                iceberg::spec::Operation::Replace => Operation::Replace,
                iceberg::spec::Operation::Overwrite => Operation::Overwrite,
                iceberg::spec::Operation::Delete => Operation::Delete,
            };
            Some(SnapshotView { id, parent: s.parent_snapshot_id(), operation, summary: &summary.additional_properties })
        };
        let head = table.head().map(|s| s.snapshot_id());
        let tags = table.references().filter_map(|name| Some((name, table.reference(name)?.snapshot_id())));
        let (checkpoint, mut lineage) = trace(&self.sink, &self.branch, head, snapshot, tags)?;
        if checkpoint.is_none() {
            lineage.has_rows = table.has_rows();
            lineage.predecessor = self.predecessor(table);
        }
        Ok(Head {
            table_uuid: table.uuid().to_string(),
            snapshot: head,
            checkpoint,
            lineage,
            token: table.metadata_location().to_owned(),
        })
    }

    /// The offsets that a Kafka Connect sink left, if one did: none where they were not found to be those of this very head.
    fn predecessor(&self, table: &Table) -> Option<BTreeMap<String, BTreeMap<i32, i64>>> {
        if !is_of_connect_sink(table) {
            return None;
        }
        let head = table.head().map(|s| s.snapshot_id());
        Some(
            self.taken_over
                .as_ref()
                .filter(|found| found.snapshot == head)
                .map_or_else(BTreeMap::new, |found| found.offsets.clone()),
        )
    }
}

/// The topics that have fed the table so far; `None` if no mirror has.
pub(crate) fn feeding_topics(table: &Table) -> Option<BTreeSet<String>> {
    let checkpoint =
        table.ancestry().find_map(|s| Checkpoint::from_properties(&s.summary().additional_properties).ok().flatten());
    checkpoint.map(|c| c.topics.into_keys().collect())
}

/// True if a Kafka Connect sink has made a snapshot in the head's ancestry.
pub(super) fn is_of_connect_sink(table: &Table) -> bool {
    table.ancestry().any(|s| s.summary().additional_properties.keys().any(|k| k.starts_with(CONNECT_OFFSETS)))
}

fn with_files(commit: Commit, files: &TableFiles) -> Commit {
    match files {
        TableFiles::Span { delta, schema } => commit.with_schema(Arc::clone(schema)).with_delta(delta.clone()),
        TableFiles::Rewrite(files) => commit.with_rewrite(files.clone()),
    }
}

/// The table is not in the catalog any more, or another one has its name.
fn is_another(e: &iceberg_writer::Error) -> bool {
    matches!(e.kind(), TableErrorKind::NotFound | TableErrorKind::ForeignTable)
}

fn wrap(e: iceberg_writer::Error) -> Error {
    let kind = match e.kind() {
        TableErrorKind::Busy | TableErrorKind::Unreachable | TableErrorKind::Io => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    };
    Error::new(kind, e.to_string()).with_source(e)
}

#[async_trait]
impl MirrorTable for MirroredTable {
    type Files = TableFiles;
    type Token = String;

    fn name(&self) -> &str {
        &self.display
    }

    async fn head(&self) -> Result<Option<Head<String>>> {
        self.refreshed().await?.map(|table| self.describe(&table)).transpose()
    }

    async fn swap(
        &self,
        base: &Head<String>,
        change: Change<'_, TableFiles>,
        checkpoint: &Checkpoint,
    ) -> Result<Head<String>, SwapError> {
        let evolved = self.changing.lock().await;
        let is_base = |t: &Table| {
            let at = t.metadata_location();
            at == base.token || (at == evolved.to && base.token == evolved.from)
        };
        let table = self.current().filter(is_base).ok_or(SwapError::Conflict)?;
        let mut commit = Commit::new()
            .with_summary(checkpoint.to_properties().map_err(SwapError::Failed)?)
            .with_tag(checkpoint_tag(&self.sink, &self.branch));
        match change {
            Change::Delta(files) => {
                for files in files {
                    commit = with_files(commit, files);
                }
            }
            Change::Rewrite(files) => {
                cdc_failpoint::hit("sink-at-rewrite");
                commit = with_files(commit, files);
            }
            Change::Barrier(kind) if kind.removes_rows() => {
                cdc_failpoint::hit("sink-at-truncate");
                commit = commit.with_truncate();
            }
            Change::Barrier(_) => {}
        }
        match table.commit(&commit).await {
            Ok(table) => {
                let head = Head {
                    table_uuid: table.uuid().to_string(),
                    snapshot: table.head().map(|s| s.snapshot_id()),
                    checkpoint: Some(checkpoint.clone()),
                    lineage: Lineage::own(),
                    token: table.metadata_location().to_owned(),
                };
                *self.lock() = Some(table);
                Ok(head)
            }
            Err(CommitError::Conflict) => Err(SwapError::Conflict),
            Err(CommitError::Outdated(e)) => Err(SwapError::Rewrite(e.to_string())),
            // The head is read again then, and what has become of the table is refused in the protocol's words.
            Err(CommitError::Refused(e)) if is_another(&e) => Err(SwapError::Conflict),
            Err(CommitError::Unknown(e)) => Err(SwapError::Unknown(wrap(e))),
            Err(CommitError::Refused(e)) => Err(SwapError::Failed(wrap(e))),
        }
    }

    async fn find_commit(&self, commit: &str) -> Result<Option<i64>> {
        let Some(table) = self.refreshed().await? else { return Ok(None) };
        Ok(table.find_commit(COMMIT_ID_PROPERTY, commit).found.map(|s| s.snapshot_id()))
    }
}
