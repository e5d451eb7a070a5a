//! What keeps commits cheap: merging manifests, forgetting old snapshots, deleting files that nobody names.

use crate::catalog::{Expired, ExpiredKind};
use crate::error::{ErrorKind, Result};
use crate::manifests::load_manifest;
use crate::table::{Table, read_list_at, read_manifest_list};
use iceberg::spec::{Manifest, ManifestFile, Snapshot, SnapshotRef, SnapshotReference};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What commits do besides committing. The defaults are for tables that are committed once a second.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Once so many manifests of about one size have come together they are merged: a snapshot of a million files then has
    /// fewer than 60 manifests of each kind. 10.
    pub merge_fan_in: usize,
    /// Manifests of this size are left alone. 8 MiB.
    pub merge_target_bytes: u64,
    /// So many snapshots stay in the metadata, besides those that a branch or tag names. 100.
    pub keep_snapshots: usize,
    /// Snapshots older than this leave the metadata, but for the head and those that a branch or tag names. 1 h.
    pub keep_for: Duration,
    /// Files that only expired snapshots name are deleted so much later, so that running queries end well. 1 h.
    pub delete_after: Duration,
    /// How often such files are looked for. 1 min.
    pub sweep_every: Duration,
    /// Files that nothing names are deleted once they are so old: an attempt to commit them may still be under way until then. 24 h.
    pub orphans_after: Duration,
    /// How often such files are looked for, first after [`sweep_every`](Self::sweep_every). 6 h.
    pub orphans_every: Duration,
    /// Older versions of the metadata file to keep: `write.metadata.previous-versions-max` of new tables. 20.
    pub metadata_versions: usize,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            merge_fan_in: 10,
            merge_target_bytes: 8 << 20,
            keep_snapshots: 100,
            keep_for: Duration::from_secs(3600),
            delete_after: Duration::from_secs(3600),
            sweep_every: Duration::from_secs(60),
            orphans_after: Duration::from_secs(24 * 3600),
            orphans_every: Duration::from_secs(6 * 3600),
            metadata_versions: 20,
        }
    }
}

/// Old metadata files are deleted in batches: once in so many commits.
const METADATA_EVERY: u64 = 32;
/// Files of one kind that one sweep takes on; the rest waits for the next.
const BATCH: usize = 1_000;

pub(crate) struct Expiry {
    pub snapshots: Vec<i64>,
    pub files: Vec<Expired>,
}

pub(crate) fn ms(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

fn removed_files(s: &Snapshot) -> bool {
    let p = &s.summary().additional_properties;
    ["deleted-data-files", "removed-delete-files"].iter().any(|k| p.get(*k).is_some_and(|v| v != "0"))
}

/// Which snapshots leave the metadata when `new` joins it. Never the new head, nor one that a reference names.
pub(crate) fn expiry(table: &Table, new: &Snapshot, refs: &BTreeMap<String, SnapshotReference>, now: i64) -> Expiry {
    let upkeep = table.0.catalog.upkeep();
    let named: HashSet<i64> = refs.values().map(|r| r.snapshot_id).collect();
    let mut old: Vec<&SnapshotRef> = table.metadata().snapshots().collect();
    old.sort_unstable_by_key(|s| std::cmp::Reverse((s.sequence_number(), s.timestamp_ms())));
    let oldest_kept = now.saturating_sub(ms(upkeep.keep_for));
    let room = upkeep.keep_snapshots.saturating_sub(1);
    let gone: Vec<&SnapshotRef> = old
        .iter()
        .enumerate()
        .filter(|(i, s)| (*i >= room || s.timestamp_ms() < oldest_kept) && !named.contains(&s.snapshot_id()))
        .map(|(_, s)| *s)
        .collect();
    if gone.is_empty() {
        return Expiry { snapshots: Vec::new(), files: Vec::new() };
    }
    // A file dies when the last snapshot that lists it goes. If the snapshot after this one only added files, it lists all of
    // this one's, and only manifest files can die; else (or if it is not known) data files can.
    let ancestry: HashSet<i64> = table.ancestry().map(|s| s.snapshot_id()).collect();
    let mut child: HashMap<i64, bool> = new.parent_snapshot_id().map(|p| (p, removed_files(new))).into_iter().collect();
    for s in old {
        if let Some(parent) = s.parent_snapshot_id()
            && ancestry.contains(&s.snapshot_id())
        {
            child.insert(parent, removed_files(s));
        }
    }
    let due_ms = now.saturating_add(ms(upkeep.delete_after));
    let files = gone.iter().map(|s| {
        let only_added = child.get(&s.snapshot_id()) == Some(&false);
        let kind = if only_added { ExpiredKind::Snapshot } else { ExpiredKind::Removal };
        let sequence = ancestry.contains(&s.snapshot_id()).then(|| s.sequence_number());
        Expired { path: s.manifest_list().to_owned(), kind, due_ms, sequence }
    });
    Expiry { snapshots: gone.iter().map(|s| s.snapshot_id()).collect(), files: files.collect() }
}

/// The manifest lists of expired snapshots.
struct Lists {
    /// Are swept now.
    due: Vec<Expired>,
    /// Some query may still need what these list, and those that they stand for.
    staying: Vec<Expired>,
}

impl Lists {
    /// A file is listed by snapshots that follow each other without a gap. The expired ancestors of the head are a line, swept from its
    /// old end: the first of it that stays lists all that those before it share with anything behind it, and stands for the rest. A
    /// snapshot that is not of the line (a tag kept it longer, or it was another branch's) stands for itself alone, and to
    /// sweep it all that stay must be looked at.
    fn new(lists: Vec<Expired>, now: i64, in_metadata: &HashSet<&str>) -> Self {
        let is_due = |list: &Expired| list.due_ms <= now && !in_metadata.contains(list.path.as_str());
        let (mut line, stray): (Vec<Expired>, Vec<Expired>) = lists.into_iter().partition(|list| list.sequence.is_some());
        line.sort_unstable_by_key(|list| list.sequence);
        let end = line.iter().take(BATCH).take_while(|list| is_due(list)).count();
        let mut behind = line.split_off(end);
        let (mut due, mut staying): (Vec<Expired>, Vec<Expired>) = stray.into_iter().partition(is_due);
        staying.extend(due.split_off(due.len().min(BATCH)));
        if due.is_empty() {
            behind.truncate(1);
        }
        due.append(&mut line);
        staying.append(&mut behind);
        Self { due, staying }
    }
}

impl Table {
    /// After a commit: now and then delete what is due, in a task of its own, one at a time. A failure is no failure of the
    /// commit; what was not deleted is tried again.
    pub(crate) fn chores(&self) {
        let rhythm = &self.0.rhythm;
        let now = self.0.catalog.now_ms();
        let commits = rhythm.commits.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let last = rhythm.swept_ms.load(Ordering::Relaxed);
        if last == 0 {
            rhythm.swept_ms.store(now, Ordering::Relaxed);
        }
        let snapshots = last != 0 && now.saturating_sub(last) >= ms(self.0.catalog.upkeep().sweep_every);
        if !snapshots && !commits.is_multiple_of(METADATA_EVERY) || rhythm.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut orphans = false;
        if snapshots {
            rhythm.swept_ms.store(now, Ordering::Relaxed);
            let last = rhythm.orphans_ms.load(Ordering::Relaxed);
            orphans = (last == 0 || now.saturating_sub(last) >= ms(self.0.catalog.upkeep().orphans_every))
                // What they have written is named by nobody yet, and may look old once a clock has been set or a machine has slept.
                && rhythm.rewrites.load(Ordering::Acquire) == 0;
            if orphans {
                rhythm.orphans_ms.store(now, Ordering::Relaxed);
            }
        }
        let table = self.clone();
        tokio::spawn(async move {
            let mut result = if snapshots { table.sweep().await } else { table.sweep_metadata(now).await };
            if orphans && result.is_ok() {
                result = table.remove_orphans().await;
            }
            table.0.rhythm.sweeping.store(false, Ordering::Release);
            if let Err(e) = result {
                tracing::warn!(table = %table.name(), error = %e, "files that nobody names could not be deleted; they will be tried again");
            }
        });
    }

    /// Deletes the files that are due: old metadata files, and what only snapshots name that expired long enough ago.
    /// Returns how many were deleted. Commits do this now and then.
    ///
    /// # Errors
    /// Of the storage or the catalog. What was not deleted stays listed and is tried again.
    pub async fn sweep(&self) -> Result<usize> {
        let now = self.0.catalog.now_ms();
        let deleted = self.sweep_metadata(now).await?;
        Ok(deleted.saturating_add(self.sweep_snapshots(now).await?))
    }

    async fn sweep_metadata(&self, now: i64) -> Result<usize> {
        let catalog = &self.0.catalog;
        let uuid = self.uuid().to_string();
        let due = catalog.due_metadata(&uuid, now, BATCH as i64).await?;
        for file in &due {
            self.delete(&file.path).await?;
        }
        if !due.is_empty() {
            catalog.forget_files(&uuid, &due).await?;
        }
        Ok(due.len())
    }

    async fn sweep_snapshots(&self, now: i64) -> Result<usize> {
        let s = &self.0;
        let uuid = self.uuid().to_string();
        let in_metadata: HashSet<&str> = s.metadata.snapshots().map(|s| s.manifest_list()).collect();
        let Lists { due, staying } = Lists::new(s.catalog.expired_lists(&uuid).await?, now, &in_metadata);
        if due.is_empty() {
            return Ok(0);
        }
        // Everything that a snapshot in the metadata still lists.
        let mut kept: HashMap<String, ManifestFile> = HashMap::new();
        for snapshot in s.metadata.snapshots() {
            let list = match self.head() {
                Some(head) if head.snapshot_id() == snapshot.snapshot_id() => s.manifests.as_ref().clone(),
                _ => read_manifest_list(self.file_io(), &s.metadata, snapshot).await?,
            };
            kept.extend(list.into_iter().map(|m| (m.manifest_path.clone(), m)));
        }
        // And what only snapshots list that expired too short a time ago.
        let mut lingering: HashMap<String, ManifestFile> = HashMap::new();
        for list in &staying {
            match read_list_at(self.file_io(), &s.metadata, &list.path).await {
                Ok(list) => lingering.extend(list.into_iter().map(|m| (m.manifest_path.clone(), m))),
                // Another engine tidied up as well.
                Err(e) if e.kind() == ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        lingering.retain(|path, _| !kept.contains_key(path));

        let mut unused: HashMap<String, ManifestFile> = HashMap::new();
        let mut doubtful: HashMap<String, ManifestFile> = HashMap::new();
        for file in &due {
            let list = match read_list_at(self.file_io(), &s.metadata, &file.path).await {
                Ok(list) => list,
                // Deleted by a sweep that did not come to its end.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            let needed = |path: &String| kept.contains_key(path) || lingering.contains_key(path);
            for m in list.into_iter().filter(|m| !needed(&m.manifest_path)) {
                if file.kind == ExpiredKind::Removal {
                    doubtful.insert(m.manifest_path.clone(), m.clone());
                }
                unused.insert(m.manifest_path.clone(), m);
            }
        }
        let mut deleted = 0_usize;
        for path in self.dead_files(&doubtful, &kept, &lingering).await? {
            self.delete(&path).await?;
            deleted += 1;
        }
        for path in unused.keys().chain(due.iter().map(|d| &d.path)) {
            self.delete(path).await?;
            deleted += 1;
        }
        s.catalog.forget_files(&uuid, &due).await?;
        Ok(deleted)
    }

    /// Data and delete files that the doubtful manifests list, and no kept or lingering one.
    async fn dead_files(
        &self,
        doubtful: &HashMap<String, ManifestFile>,
        kept: &HashMap<String, ManifestFile>,
        lingering: &HashMap<String, ManifestFile>,
    ) -> Result<HashSet<String>> {
        let alive = |manifest: Manifest| -> Vec<String> {
            manifest.entries().iter().filter(|e| e.is_alive()).map(|e| e.file_path().to_owned()).collect()
        };
        let mut dead = HashSet::new();
        for manifest in doubtful.values() {
            dead.extend(self.manifest_if_there(manifest).await?.map(alive).unwrap_or_default());
        }
        if !dead.is_empty() {
            for manifest in kept.values() {
                alive(load_manifest(&self.0, manifest).await?).iter().for_each(|path| _ = dead.remove(path));
            }
            for manifest in lingering.values() {
                let files = self.manifest_if_there(manifest).await?.map(alive).unwrap_or_default();
                files.iter().for_each(|path| _ = dead.remove(path));
            }
        }
        Ok(dead)
    }

    /// A manifest that only expired snapshots list: an earlier sweep, or another engine, may have deleted it.
    async fn manifest_if_there(&self, manifest: &ManifestFile) -> Result<Option<Manifest>> {
        match load_manifest(&self.0, manifest).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn delete(&self, path: &str) -> Result<()> {
        self.file_io()
            .delete(path)
            .await
            .map_err(|e| crate::Error::iceberg(format!("deleting a file of table {}", self.name()), e))
    }
}
