//! Folding deletes and small files away: the same rows in fewer files.
//!
//! A table that is updated all the time gets two small files with every commit, and each reader compares every row with every
//! key that was deleted since. A rewrite takes the files of neighbouring commits, applies their deletes to their rows, and leaves
//! one set of files that stands for all of them:
//!
//! ```text
//!  sequence    40        41 42 43 44        45                 40         44          45
//!  data       ████       ▪  ▪  ▪  ▪         ▪      ──▶        ████        █           ▪
//!  deletes               ▫  ▫  ▫  ▫         ▫                             ▪           ▫
//! ```
//!
//! The new files take the newest data sequence number of those that they replace (specification, scan planning: a delete by key
//! reaches data of smaller sequence numbers). So the deletes that remain still reach what is older, not the rows beside them, and
//! deletes that were committed while the rewrite was under way reach the rewritten rows. If nothing older is left, no delete
//! remains.

mod output;
mod rewrite;
mod tiers;

pub use rewrite::{CompactionStats, RewriteFiles};

use crate::error::Result;
use crate::scan::{Plan, plan};
use crate::table::Table;
use iceberg::spec::{DataFile, ManifestContentType};
use std::collections::{BTreeMap, HashSet};
use tiers::{Run, choose};

/// When files are put together, and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CompactionConfig {
    /// Once so many neighbouring commits of about one size have come together, their files are merged: readers meet
    /// fewer than so many of each size. 10.
    pub fan_in: usize,
    /// Once there is one deleted key for so many live rows, all deletes are applied. 4; 0: never.
    pub deleted_one_in: u64,
    /// Data files of this size are begun anew; those of half of it are left alone unless their rows were deleted. Taken from the table's
    /// property `write.target-file-size-bytes` if it has one. 64 MiB.
    pub target_file_bytes: u64,
    /// How much memory the keys of deletes may take at once; of more the data is read again. 64 MiB.
    pub key_bytes: usize,
    /// A delete file holds so many keys at most. 1,000,000.
    pub delete_file_rows: usize,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self { fan_in: 10, deleted_one_in: 4, target_file_bytes: 64 << 20, key_bytes: 64 << 20, delete_file_rows: 1_000_000 }
    }
}

const TARGET_FILE_SIZE: &str = "write.target-file-size-bytes";
/// What a table says to want is no smaller: each batch of rows would be a file.
const LEAST_TARGET: u64 = 1 << 20;

/// Files that are worth putting together. [`run`](Self::run) does it, [`Commit::with_rewrite`](crate::Commit::with_rewrite) makes it the table's.
pub struct CompactionPlan {
    table: Table,
    config: CompactionConfig,
    /// What is merged, oldest first, each file with its sequence number.
    data: Vec<(DataFile, i64)>,
    equality: Vec<(DataFile, i64)>,
    /// All deletes by position: they are applied, and go only if all runs are merged: what then stays of the data has no deleted row.
    position: Vec<(DataFile, i64)>,
    /// The newest sequence number of what is merged: that of the new files.
    sequence: i64,
    /// Data that is older than what is merged stays: so must the deletes.
    keeps_deletes: bool,
    /// All live files are merged.
    whole: bool,
}

impl Table {
    /// The files of the head that are worth putting together now; `None` if there are none.
    ///
    /// Costs a look at the manifest list in memory while there are few files; else the manifests are read.
    ///
    /// # Errors
    /// Those of reading the manifests. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported): files that are not read here.
    pub async fn plan_compaction(&self, config: &CompactionConfig) -> Result<Option<CompactionPlan>> {
        let Some(head) = self.head() else { return Ok(None) };
        let files_of = |content: ManifestContentType| -> usize {
            let of = self.0.manifests.iter().filter(|m| m.content == content);
            let live = of.map(|m| m.added_files_count.unwrap_or(1).saturating_add(m.existing_files_count.unwrap_or(1)));
            usize::try_from(live.fold(0, u32::saturating_add)).unwrap_or(usize::MAX)
        };
        if files_of(ManifestContentType::Data).saturating_add(files_of(ManifestContentType::Deletes)) < config.fan_in {
            return Ok(None);
        }
        let mut config = config.clone();
        if let Some(target) = self.metadata().properties().get(TARGET_FILE_SIZE).and_then(|v| v.parse::<u64>().ok()) {
            config.target_file_bytes = target.max(LEAST_TARGET);
        }
        let Plan { data, equality, position } = plan(self, head).await?;
        let mut runs: BTreeMap<i64, Run> = BTreeMap::new();
        let empty = Run { bytes: 0, rows: 0, deletes: 0, settled: true };
        for (file, sequence) in &data {
            let run = runs.entry(*sequence).or_insert(empty);
            run.bytes = run.bytes.saturating_add(file.file_size_in_bytes());
            run.rows = run.rows.saturating_add(file.record_count());
            run.settled &= config.is_settled(file);
        }
        for (file, sequence) in &equality {
            let run = runs.entry(*sequence).or_insert(empty);
            run.bytes = run.bytes.saturating_add(file.file_size_in_bytes());
            run.deletes = run.deletes.saturating_add(file.record_count());
            run.settled = false;
        }
        let sequences: Vec<i64> = runs.keys().copied().collect();
        let runs: Vec<Run> = runs.into_values().collect();
        let Some(window) = choose(&runs, config.fan_in, config.deleted_one_in) else { return Ok(None) };
        let Some([oldest, .., sequence]) = sequences.get(window.clone()) else { return Ok(None) };
        let merged = |(_, at): &(DataFile, i64)| (oldest..=sequence).contains(&at);
        let older = data.iter().any(|(_, at)| at < oldest);
        Ok(Some(CompactionPlan {
            table: self.clone(),
            whole: window == (0..runs.len()),
            data: data.into_iter().filter(merged).collect(),
            equality: equality.into_iter().filter(merged).collect(),
            position,
            sequence: *sequence,
            keeps_deletes: older,
            config,
        }))
    }
}

impl CompactionPlan {
    /// True if files that it merges are no longer live in this version of the table.
    ///
    /// # Errors
    /// Those of reading the manifests.
    pub async fn is_outdated(&self, now: &Table) -> Result<bool> {
        let Some(head) = now.head() else { return Ok(true) };
        let Plan { data, equality, .. } = plan(now, head).await?;
        let live: HashSet<&str> = data.iter().chain(&equality).map(|(file, _)| file.file_path()).collect();
        Ok(self.data.iter().chain(&self.equality).any(|(file, _)| !live.contains(file.file_path())))
    }
}

impl CompactionConfig {
    fn is_settled(&self, file: &DataFile) -> bool {
        file.file_size_in_bytes() >= self.target_file_bytes / 2
    }
}

impl std::fmt::Debug for CompactionPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactionPlan")
            .field("table", self.table.name())
            .field("data_files", &self.data.len())
            .field("delete_files", &self.equality.len())
            .field("sequence", &self.sequence)
            .field("keeps_deletes", &self.keeps_deletes)
            .finish_non_exhaustive()
    }
}
