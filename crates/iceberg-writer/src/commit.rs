//! The commit: new manifests, a new snapshot, new metadata, and the swap of the catalog's pointer.

use crate::catalog::{Expired, ExpiredKind, Swap};
use crate::clock::{Clock, SystemClock};
use crate::compaction::RewriteFiles;
use crate::delta::DeltaFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::evolve::{evolved, same};
use crate::manifests::{ManifestSet, load_manifest};
use crate::table::{Recent, State, Table};
use crate::upkeep::expiry;
use cdc_core::TableSchema;
use iceberg::MetadataLocation;
use iceberg::spec::{
    DataContentType, DataFile, MAIN_BRANCH, ManifestContentType, ManifestFile, Operation, Schema, Snapshot, SnapshotReference,
    SnapshotRetention, Summary, TableMetadata,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Half of what readers allow a version of the metadata to be older than the one before.
const CLOCK_TOLERANCE_MS: i64 = 30_000;

/// What one swap changes. Nothing at all is allowed: a snapshot that only carries its summary (progress without rows).
#[derive(Debug, Clone, Default)]
pub struct Commit {
    deltas: Vec<DeltaFiles>,
    truncate: bool,
    rewrite: Option<RewriteFiles>,
    schema: Option<Arc<TableSchema>>,
    summary: BTreeMap<String, String>,
    tags: Vec<String>,
}

/// Why a commit did not happen, or may have.
#[derive(Debug)]
pub enum CommitError {
    /// Someone else committed first: the table is not at the version that this commit would replace. Nothing changed; the
    /// manifests of the attempt are deleted, its data files are not. Refresh the table, decide again.
    Conflict,
    /// The rewrite that it brings is outdated: files that it replaces are no longer live in this very table, or somebody has deleted rows of them by
    /// their position since. Nothing changed. Plan the compaction anew.
    Outdated(Error),
    /// It failed after the swap was asked for: it may have happened, or happen yet. Everything is left as it is. Look for
    /// the commit's own mark in the refreshed table ([`Table::find_commit`]).
    Unknown(Error),
    /// It failed and certainly did not happen.
    Refused(Error),
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("another commit came first: the table has moved on"),
            Self::Unknown(e) => write!(f, "it is not known whether the commit happened: {e}"),
            Self::Outdated(e) | Self::Refused(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for CommitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Conflict => None,
            Self::Outdated(e) | Self::Unknown(e) | Self::Refused(e) => Some(e),
        }
    }
}

impl From<Error> for CommitError {
    fn from(e: Error) -> Self {
        Self::Refused(e)
    }
}

impl Commit {
    /// A commit that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the files of one span. Spans of several log partitions may share a snapshot; two of one partition may not, since
    /// a snapshot's deletes do not reach its own rows.
    #[must_use]
    pub fn with_delta(mut self, files: DeltaFiles) -> Self {
        self.deltas.push(files);
        self
    }

    /// Removes all rows: a snapshot without live files. Cannot be together with files.
    #[must_use]
    pub fn with_truncate(mut self) -> Self {
        self.truncate = true;
        self
    }

    /// Puts files in the place of others with the same rows: a snapshot of its own, whose operation is `replace`. Cannot be together
    /// with other files.
    #[must_use]
    pub fn with_rewrite(mut self, files: RewriteFiles) -> Self {
        self.rewrite = Some(files);
        self
    }

    /// Brings the table to this version of its columns in the same swap.
    #[must_use]
    pub fn with_schema(mut self, schema: Arc<TableSchema>) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Puts a property into the snapshot's summary.
    #[must_use]
    pub fn with_property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.summary.insert(key.into(), value.into());
        self
    }

    /// Puts properties into the snapshot's summary.
    #[must_use]
    pub fn with_summary(mut self, properties: impl IntoIterator<Item = (String, String)>) -> Self {
        self.summary.extend(properties);
        self
    }

    /// Moves (or makes) this tag to the new snapshot in the same swap.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }
}

/// A new version of the metadata that is ready to be swapped in.
struct Prepared {
    metadata: TableMetadata,
    refs: BTreeMap<String, SnapshotReference>,
    manifests: Arc<Vec<ManifestFile>>,
    recent: Recent,
    expired: Vec<Expired>,
}

impl Table {
    /// Makes one snapshot on the main branch, if the catalog still points at this version of the table.
    ///
    /// Returns the table as it is after. Small manifests are merged, old snapshots leave the metadata in the same swap, and
    /// files that nobody names are deleted afterwards, as [`Upkeep`](crate::Upkeep) says. Its time is the clock's, but later than its parent's.
    ///
    /// Dropping the future leaves the outcome unknown.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit(&self, commit: &Commit) -> Result<Table, CommitError> {
        let schema = self.check(commit).await?;
        let snapshot_id = self.new_snapshot_id();
        let mut set = ManifestSet::new(&self.0, schema.clone().map_or_else(|| Arc::clone(self.schema()), Arc::new), snapshot_id);
        let result = match self.prepare(commit, schema, snapshot_id, &mut set).await {
            Ok(prepared) => {
                let with_data = commit.rewrite.is_some() || commit.deltas.iter().any(|d| !d.is_empty());
                self.swap(prepared, &mut set.written, with_data).await
            }
            Err(e) => Err(e),
        };
        match result {
            Ok(table) => {
                table.chores();
                Ok(table)
            }
            Err(e) => {
                if !matches!(e, CommitError::Unknown(_)) {
                    for path in &set.written {
                        self.0.catalog.delete_quietly(path).await;
                    }
                }
                Err(e)
            }
        }
    }

    /// Commits one delta with these summary properties, moving `tag`.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn commit_delta(
        &self,
        files: DeltaFiles,
        summary: impl IntoIterator<Item = (String, String)>,
        tag: Option<&str>,
    ) -> Result<Table, CommitError> {
        let mut commit = Commit::new().with_delta(files).with_summary(summary);
        commit.tags.extend(tag.map(str::to_owned));
        self.commit(&commit).await
    }

    /// Removes all rows in a snapshot of its own.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub async fn truncate(
        &self,
        summary: impl IntoIterator<Item = (String, String)>,
        tag: Option<&str>,
    ) -> Result<Table, CommitError> {
        let mut commit = Commit::new().with_truncate().with_summary(summary);
        commit.tags.extend(tag.map(str::to_owned));
        self.commit(&commit).await
    }

    /// Brings the table to this version of its columns, without a snapshot. This very table, if it has them already, or if the
    /// machine's clock was set back behind the newest version of the table: then the next commit brings them, whose time is right.
    ///
    /// # Errors
    /// [`CommitError::Refused`] with [`ErrorKind::Schema`] names the column that cannot be changed so.
    pub async fn evolve(&self, wanted: &TableSchema) -> Result<Table, CommitError> {
        let Some(schema) = evolved(self.schema(), wanted, self.has_rows())? else { return Ok(self.clone()) };
        self.check_dropped(&schema).await?;
        let s = &self.0;
        // Metadata without a new snapshot gets the machine's time, and readers refuse one that is more than a minute behind.
        if SystemClock.now_ms().saturating_add(CLOCK_TOLERANCE_MS) < s.metadata.last_updated_ms() {
            tracing::warn!(table = %s.name, "the clock is behind the table's newest version: its new columns come with the next commit");
            return Ok(self.clone());
        }
        let what = || format!("changing the columns of table {}", s.name);
        let built = TableMetadata::clone(&s.metadata)
            .into_builder(Some(s.location.clone()))
            .add_current_schema(schema)
            .and_then(|b| b.build())
            .map_err(|e| Error::iceberg(what(), e))?;
        let prepared = Prepared {
            expired: self.trimmed(built.expired_metadata_logs.iter().map(|l| l.metadata_file.clone())),
            metadata: built.metadata,
            refs: s.refs.clone(),
            manifests: Arc::clone(&s.manifests),
            recent: s.recent.clone(),
        };
        let mut written = Vec::new();
        let result = self.swap(prepared, &mut written, false).await;
        if matches!(result, Err(CommitError::Conflict | CommitError::Refused(_))) {
            for path in &written {
                s.catalog.delete_quietly(path).await;
            }
        }
        result
    }

    /// The new schema of this commit, if it brings one.
    async fn check(&self, commit: &Commit) -> Result<Option<Schema>> {
        let s = &self.0;
        let invalid = |why: String| Error::new(ErrorKind::Invalid, format!("commit to table {}: {why}", s.name));
        if commit.truncate && !commit.deltas.is_empty() {
            return Err(invalid("a truncation is a snapshot of its own, and files are given with it".to_owned()));
        }
        if commit.rewrite.is_some() && (commit.truncate || !commit.deltas.is_empty() || commit.schema.is_some()) {
            return Err(invalid("a rewrite is a snapshot of its own, and other changes are given with it".to_owned()));
        }
        if !s.metadata.default_partition_spec().is_unpartitioned() {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("table {} is partitioned; only unpartitioned tables are written here", s.name),
            ));
        }
        let schema = match &commit.schema {
            Some(wanted) => evolved(self.schema(), wanted, self.has_rows() && !commit.truncate)?,
            None => None,
        };
        if let Some(new) = &schema
            && !commit.truncate
        {
            self.check_dropped(new).await?;
        }
        let current = schema.as_ref().unwrap_or_else(|| self.schema());
        let tables = commit.deltas.iter().map(|d| d.table_uuid).chain(commit.rewrite.iter().map(|r| r.table_uuid));
        if let Some(other) = tables.into_iter().find(|uuid| *uuid != s.metadata.uuid()) {
            return Err(Error::new(
                ErrorKind::ForeignTable,
                format!("files were written for table {other} and this is {} ({})", s.metadata.uuid(), s.name),
            ));
        }
        for delta in &commit.deltas {
            if !same(&delta.schema, current) {
                return Err(Error::new(
                    ErrorKind::Schema,
                    format!(
                        "files were written with other columns than table {} has; give the schema with the commit, or write them anew",
                        s.name
                    ),
                ));
            }
        }
        if commit.tags.iter().any(|t| t == MAIN_BRANCH || s.refs.get(t).is_some_and(SnapshotReference::is_branch)) {
            return Err(invalid("a tag of this commit is a branch".to_owned()));
        }
        Ok(schema)
    }

    /// A column that live delete files compare cannot be dropped: Iceberg Java could not read the table any more.
    async fn check_dropped(&self, new: &Schema) -> Result<()> {
        let fields = self.schema().as_struct().fields();
        let dropped: Vec<_> = fields.iter().filter(|f| new.as_struct().field_by_id(f.id).is_none()).collect();
        if dropped.is_empty() {
            return Ok(());
        }
        for file in self.0.manifests.iter().filter(|m| m.content == ManifestContentType::Deletes) {
            let manifest = load_manifest(&self.0, file).await?;
            for ids in manifest.entries().iter().filter(|e| e.is_alive()).filter_map(|e| e.data_file().equality_ids()) {
                if let Some(field) = dropped.iter().find(|f| ids.contains(&f.id)) {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!(
                            "column {} of table {} cannot be dropped: rows were deleted by it, and other engines could not read the table without it; \
                             truncate or rebuild the table with its new key",
                            field.name, self.0.name
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    async fn prepare(
        &self,
        commit: &Commit,
        schema: Option<Schema>,
        id: i64,
        set: &mut ManifestSet<'_>,
    ) -> Result<Prepared, CommitError> {
        let s = &self.0;
        let upkeep = s.catalog.upkeep();
        let parent = self.head();
        let sequence = s.metadata.next_sequence_number();
        let deltas = commit.deltas.iter().flat_map(|d| d.data.iter().chain(&d.deletes));
        let rewritten = commit.rewrite.iter().flat_map(|r| r.data.iter().chain(&r.deletes));
        let added: Vec<DataFile> = deltas.chain(rewritten).cloned().collect();

        let (manifests, removed) = if commit.truncate {
            set.all_deleted().await?
        } else if let Some(rewrite) = &commit.rewrite {
            (set.rewritten(rewrite).await?, rewrite.replaced.iter().map(|(file, _)| file.clone()).collect())
        } else {
            let data = commit.deltas.iter().flat_map(|d| d.data.iter().cloned()).collect();
            let deletes = commit.deltas.iter().flat_map(|d| d.deletes.iter().cloned()).collect();
            let mut manifests = set.added(data, deletes).await?;
            manifests.extend(set.carried(upkeep.merge_fan_in, upkeep.merge_target_bytes).await?);
            (manifests, Vec::new())
        };
        let (list, manifests) = set.list(&s.metadata, parent.map(|p| p.snapshot_id()), sequence, manifests).await?;

        let what = || format!("making a snapshot of table {}", s.name);
        let location = Some(s.location.clone());
        let mut builder = TableMetadata::clone(&s.metadata).into_builder(location);
        let now = s.catalog.now_ms();
        let after = parent.map_or(i64::MIN, |p| p.timestamp_ms().saturating_add(1)).max(s.metadata.last_updated_ms());
        let summary = summary(commit, parent.map(|p| p.summary()), &added, &removed);
        let snapshot = |schema_id| {
            Snapshot::builder()
                .with_snapshot_id(id)
                .with_parent_snapshot_id(parent.map(|p| p.snapshot_id()))
                .with_sequence_number(sequence)
                .with_timestamp_ms(now.max(after))
                .with_manifest_list(list.clone())
                .with_summary(summary.clone())
                .with_schema_id(schema_id)
                .build()
        };
        let mut schema_id = s.metadata.current_schema_id();
        if let Some(schema) = schema {
            builder = builder.add_current_schema(schema).map_err(|e| Error::iceberg(what(), e))?;
            // With the snapshot, since metadata without a new one gets the machine's time, which may have been set back.
            let peek = builder.clone().add_snapshot(snapshot(schema_id)).and_then(|b| b.build());
            schema_id = peek.map_err(|e| Error::iceberg(what(), e))?.metadata.current_schema_id();
        }
        let snapshot = snapshot(schema_id);
        let mut refs = s.refs.clone();
        let retention = match refs.get(MAIN_BRANCH) {
            Some(main) => main.retention.clone(),
            None => SnapshotRetention::branch(None, None, None),
        };
        refs.insert(MAIN_BRANCH.to_owned(), SnapshotReference::new(id, retention));
        for tag in &commit.tags {
            refs.insert(tag.clone(), SnapshotReference::new(id, SnapshotRetention::Tag { max_ref_age_ms: None }));
        }
        builder = builder.add_snapshot(snapshot.clone()).map_err(|e| Error::iceberg(what(), e))?;
        for name in std::iter::once(MAIN_BRANCH).chain(commit.tags.iter().map(String::as_str)) {
            if let Some(reference) = refs.get(name) {
                builder = builder.set_ref(name, reference.clone()).map_err(|e| Error::iceberg(what(), e))?;
            }
        }
        let expiry = expiry(self, &snapshot, &refs, now);
        let built = builder.remove_snapshots(&expiry.snapshots).build().map_err(|e| Error::iceberg(what(), e))?;
        let mut expired = self.trimmed(built.expired_metadata_logs.iter().map(|l| l.metadata_file.clone()));
        expired.extend(expiry.files);
        let recent = set.recent(&manifests);
        Ok(Prepared { metadata: built.metadata, refs, manifests: Arc::new(manifests), recent, expired })
    }

    fn trimmed(&self, files: impl Iterator<Item = String>) -> Vec<Expired> {
        let due_ms = self.0.catalog.now_ms();
        files.map(|path| Expired { path, kind: ExpiredKind::Metadata, due_ms, sequence: None }).collect()
    }

    async fn swap(&self, prepared: Prepared, written: &mut Vec<String>, with_data: bool) -> Result<Table, CommitError> {
        let s = &self.0;
        let what = || format!("writing the metadata of table {}", s.name);
        let next = match MetadataLocation::from_str(&s.location) {
            Ok(current) => current.with_next_version().with_new_metadata(&prepared.metadata),
            // Another engine's naming: begin our own.
            Err(_) => MetadataLocation::new_with_metadata(prepared.metadata.location(), &prepared.metadata).with_next_version(),
        };
        let to = next.to_string();
        written.push(to.clone());
        cdc_failpoint::hit("table-before-metadata");
        prepared.metadata.write_to(s.catalog.file_io(), &next).await.map_err(|e| Error::iceberg(what(), e))?;
        let folders = ["metadata", "data"].into_iter().take(if with_data { 2 } else { 1 });
        s.catalog.sync_folders(folders.map(|f| format!("{}/{f}", s.metadata.location())).collect()).await?;
        let uuid = s.metadata.uuid().to_string();
        cdc_failpoint::hit("table-after-metadata");
        match s.catalog.swap(&s.name, &uuid, &s.location, &to, &prepared.expired).await {
            Swap::Done => Ok(Table(Arc::new(State {
                catalog: s.catalog.clone(),
                name: s.name.clone(),
                metadata: Arc::new(prepared.metadata),
                location: to,
                refs: prepared.refs,
                manifests: prepared.manifests,
                recent: prepared.recent,
                rhythm: Arc::clone(&s.rhythm),
            }))),
            Swap::Moved => match s.catalog.pointer(&s.name).await {
                Ok(None) => Err(CommitError::Refused(Error::new(
                    ErrorKind::NotFound,
                    format!(
                        "table {} is no longer in the catalog: it was dropped or renamed; restore it, or take a new snapshot",
                        s.name
                    ),
                ))),
                _ => Err(CommitError::Conflict),
            },
            Swap::Failed(e) => Err(CommitError::Refused(e)),
            Swap::Unknown(e) => Err(CommitError::Unknown(e)),
        }
    }

    fn new_snapshot_id(&self) -> i64 {
        loop {
            let (a, b) = uuid::Uuid::new_v4().as_u64_pair();
            let id = i64::try_from((a ^ b) >> 1).unwrap_or(1);
            if id != 0 && self.0.metadata.snapshot_by_id(id).is_none() {
                return id;
            }
        }
    }
}

/// Totals that each snapshot carries on from its parent: name, what adds, what takes away.
const TOTALS: [(&str, &str, &str); 6] = [
    ("total-data-files", "added-data-files", "deleted-data-files"),
    ("total-delete-files", "added-delete-files", "removed-delete-files"),
    ("total-records", "added-records", "deleted-records"),
    ("total-files-size", "added-files-size", "removed-files-size"),
    ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
    ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
];

fn summary(commit: &Commit, parent: Option<&Summary>, added: &[DataFile], removed: &[DataFile]) -> Summary {
    let mut properties: HashMap<String, String> = commit.summary.clone().into_iter().collect();
    count(
        &mut properties,
        added,
        ["added-data-files", "added-records", "added-delete-files", "added-equality-delete-files", "added-equality-deletes"],
        ["added-position-delete-files", "added-position-deletes"],
        "added-files-size",
    );
    count(
        &mut properties,
        removed,
        [
            "deleted-data-files",
            "deleted-records",
            "removed-delete-files",
            "removed-equality-delete-files",
            "removed-equality-deletes",
        ],
        ["removed-position-delete-files", "removed-position-deletes"],
        "removed-files-size",
    );
    for (total, plus, minus) in TOTALS {
        let number = |map: &HashMap<String, String>, key: &str| map.get(key).and_then(|v| v.parse::<u64>().ok());
        let before = match parent {
            None => 0,
            Some(p) => match number(&p.additional_properties, total) {
                Some(n) => n,
                // Whoever made the parent did not count; a sum of unknowns would be false.
                None if !commit.truncate => continue,
                None => 0,
            },
        };
        let after = match commit.truncate {
            true => 0,
            false => before
                .saturating_add(number(&properties, plus).unwrap_or(0))
                .saturating_sub(number(&properties, minus).unwrap_or(0)),
        };
        properties.insert(total.to_owned(), after.to_string());
    }
    let has = |wanted: fn(DataContentType) -> bool| added.iter().any(|f| wanted(f.content_type()));
    let operation = match (has(|c| c == DataContentType::Data), has(|c| c != DataContentType::Data)) {
        _ if commit.truncate => Operation::Delete,
        _ if commit.rewrite.is_some() => Operation::Replace,
        (true, true) => Operation::Overwrite,
        (false, true) => Operation::Delete,
        (_, false) => Operation::Append,
    };
    Summary { operation, additional_properties: properties }
}

fn count(map: &mut HashMap<String, String>, files: &[DataFile], names: [&str; 5], positions: [&str; 2], size: &str) {
    if files.is_empty() {
        return;
    }
    let mut n = [0_u64; 8];
    for file in files {
        let rows = file.record_count();
        let bumps: &[(usize, u64)] = match file.content_type() {
            DataContentType::Data => &[(0, 1), (1, rows)],
            DataContentType::EqualityDeletes => &[(2, 1), (3, 1), (4, rows)],
            DataContentType::PositionDeletes => &[(2, 1), (5, 1), (6, rows)],
        };
        for (i, by) in bumps.iter().chain(&[(7, file.file_size_in_bytes())]) {
            if let Some(total) = n.get_mut(*i) {
                *total = total.saturating_add(*by);
            }
        }
    }
    for (name, value) in names.iter().chain(&positions).chain(std::iter::once(&size)).zip(n) {
        if value > 0 {
            map.insert((*name).to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::catalog::Fault;
    use crate::{Catalog, CatalogConfig, TableName, TableOptions};
    use cdc_core::TableId;

    async fn table(dir: &tempfile::TempDir) -> Table {
        let catalog = Catalog::open_sqlite(dir.path().join("c.db"), dir.path().to_string_lossy(), CatalogConfig::default());
        let schema = TableSchema {
            table: TableId::new("d", "t"),
            version: 1,
            columns: vec![cdc_core::Column {
                field_id: 1,
                name: "id".to_owned(),
                logical_type: cdc_core::LogicalType::Date,
                nullable: true,
                default: None,
                default_expression: None,
                auto_increment: false,
                generated: None,
                comment: None,
                native: cdc_core::NativeType::default(),
            }],
            key: Vec::new(),
            last_field_id: 1,
            comment: None,
            charset: None,
        };
        catalog.await.unwrap().create_table(&TableName::new("d", "t"), &schema, TableOptions::default()).await.unwrap()
    }

    async fn unknown(fault: Fault) -> (Table, bool) {
        let dir = tempfile::tempdir().unwrap();
        let t = table(&dir).await.commit(&Commit::new().with_property("commit", "one")).await.unwrap();
        t.catalog().break_next_swap(fault);
        let commit = Commit::new().with_property("commit", "two");
        assert!(matches!(t.commit(&commit).await, Err(CommitError::Unknown(_))));
        let now = t.refresh().await.unwrap();
        let happened = now.find_commit("commit", "two").found.is_some();
        // What the attempt wrote is left: the late request could still land.
        let lists = std::fs::read_dir(dir.path().join("d/t/metadata")).unwrap().count();
        assert_eq!(lists, 3 + 2, "three versions of the metadata and two manifest lists (and the attempt's)");
        let retry = now.commit(&Commit::new().with_property("commit", "three")).await.unwrap();
        (retry, happened)
    }

    #[tokio::test]
    async fn a_commit_whose_answer_was_lost_is_found_in_the_lineage() {
        let (t, happened) = unknown(Fault::LostAnswer).await;
        assert!(happened);
        assert_eq!(t.ancestry().count(), 3);
    }

    #[tokio::test]
    async fn a_commit_whose_request_was_lost_is_not_there_and_can_be_made_again() {
        let (t, happened) = unknown(Fault::LostRequest).await;
        assert!(!happened);
        assert_eq!(t.ancestry().count(), 2);
    }
}
