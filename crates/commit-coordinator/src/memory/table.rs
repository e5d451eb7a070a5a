use crate::checkpoint::{COMMIT_ID_PROPERTY, Checkpoint, checkpoint_tag};
use crate::error::{Error, ErrorKind, Result};
use crate::lineage::{Lineage, Operation, SnapshotView, trace};
use crate::planted::{Planted, planted};
use crate::table::{Change, Head, MirrorTable, SwapError};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one span puts into a [`MemoryTable`]: a data file and an equality-delete file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryFiles {
    /// The name of the pair, never given twice.
    pub id: u64,
    /// Rows to add: key and value.
    pub rows: Vec<(String, String)>,
    /// Keys whose rows in older snapshots go.
    pub deletes: Vec<String>,
    /// The files whose place they take, if they are a rewrite.
    pub replaces: Option<MemoryReplaced>,
}

/// What a rewrite takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryReplaced {
    /// The names of the files.
    pub files: Vec<u64>,
    /// The sequence number of the newest of them.
    pub sequence: i64,
}

/// Live files, oldest first, each with its sequence number: that of the snapshot that added it, or of the newest file that it took
/// the place of.
pub type MemoryLive = Vec<(i64, Arc<MemoryFiles>)>;

impl MemoryFiles {
    /// Files with a fresh name.
    pub fn new(rows: Vec<(String, String)>, deletes: Vec<String>) -> Arc<Self> {
        Self::named(rows, deletes, None)
    }

    fn named(rows: Vec<(String, String)>, deletes: Vec<String>, replaces: Option<MemoryReplaced>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), rows, deletes, replaces })
    }

    /// One pair of files with the rows of all files of these sequence numbers, and with their deletes, unless nothing is older:
    /// then there is nothing for them to reach.
    ///
    /// Whole sequence numbers, since all of what is rewritten comes to stand at the newest of them. `None` if there are no files.
    pub fn rewrite(live: &[(i64, Arc<Self>)], sequences: RangeInclusive<i64>) -> Option<Arc<Self>> {
        let window: Vec<_> = live.iter().filter(|(sequence, _)| sequences.contains(sequence)).collect();
        let sequence = window.iter().map(|(sequence, _)| *sequence).max()?;
        let newest = newest_deletes(window.iter().copied());
        let rows = surviving(window.iter().copied(), &newest);
        let oldest = live.iter().all(|(other, _)| other >= sequences.start());
        let mut deletes: Vec<_> = newest.into_keys().filter(|_| !oldest).map(str::to_owned).collect();
        deletes.sort_unstable();
        let files = window.iter().map(|(_, files)| files.id).collect();
        Some(Self::named(rows, deletes, Some(MemoryReplaced { files, sequence })))
    }
}

/// For each deleted key the newest sequence number that deletes it.
fn newest_deletes<'a>(files: impl Iterator<Item = &'a (i64, Arc<MemoryFiles>)>) -> HashMap<&'a str, i64> {
    let mut newest = HashMap::new();
    for (sequence, files) in files {
        for key in &files.deletes {
            let at = newest.entry(key.as_str()).or_insert(*sequence);
            *at = (*at).max(*sequence);
        }
    }
    newest
}

/// The rows that these deletes do not reach, sorted.
fn surviving<'a>(
    files: impl Iterator<Item = &'a (i64, Arc<MemoryFiles>)>,
    deletes: &HashMap<&str, i64>,
) -> Vec<(String, String)> {
    let live = |sequence: i64, key: &str| deletes.get(key).is_none_or(|deleted| *deleted <= sequence);
    let mut rows: Vec<_> =
        files.flat_map(|(sequence, files)| files.rows.iter().filter(|(key, _)| live(*sequence, key)).cloned()).collect();
    rows.sort_unstable();
    rows
}

#[derive(Debug, Clone)]
struct Stored {
    parent: Option<i64>,
    operation: Operation,
    summary: HashMap<String, String>,
    files: MemoryLive,
}

/// One snapshot of a [`MemoryTable`].
#[derive(Debug, Clone)]
pub struct MemorySnapshot {
    /// Its id.
    pub id: i64,
    /// What it did.
    pub operation: Operation,
    /// The sink's checkpoint, if the sink made it.
    pub checkpoint: Option<Checkpoint>,
}

#[derive(Debug, Default)]
struct State {
    uuid: u64,
    dropped: bool,
    version: u64,
    head: Option<i64>,
    next: i64,
    snapshots: BTreeMap<i64, Stored>,
    tags: BTreeMap<String, i64>,
    lost: BTreeSet<u64>,
}

/// A table with one branch, snapshots, tags and Iceberg's order of deletes: an equality delete reaches the data of older
/// snapshots only. Others can commit to it, compact it, roll it back or drop it.
#[derive(Debug)]
pub struct MemoryTable {
    name: String,
    sink: String,
    state: Mutex<State>,
    bugs: Planted,
}

const BRANCH: &str = "main";

impl MemoryTable {
    /// An empty table without a snapshot, as this sink sees it.
    pub fn new(name: impl Into<String>, sink: impl Into<String>) -> Self {
        let state = State { uuid: 1, next: 1, ..State::default() };
        Self { name: name.into(), sink: sink.into(), state: Mutex::new(state), bugs: Planted::default() }
    }

    #[cfg(feature = "planted-bugs")]
    /// The same table with a bug.
    #[must_use]
    pub fn with_bug(mut self, bugs: Planted) -> Self {
        self.bugs = bugs;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of another thread while it held the lock left whole values: each change is one assignment at its end.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of a snapshot (of the head, if none is given), sorted; a key that is there twice comes twice.
    ///
    /// # Errors
    /// If the snapshot or one of its files does not exist.
    pub fn scan(&self, snapshot: Option<i64>) -> Result<Vec<(String, String)>> {
        let state = self.state();
        let Some(id) = snapshot.or(state.head) else { return Ok(Vec::new()) };
        let Some(stored) = state.snapshots.get(&id) else {
            return Err(Error::new(ErrorKind::Other, format!("the table {} has no snapshot {id}", self.name)));
        };
        if let Some((_, lost)) = stored.files.iter().find(|(_, files)| state.lost.contains(&files.id)) {
            let message = format!("snapshot {id} of {} names the file {}, which was deleted", self.name, lost.id);
            return Err(Error::new(ErrorKind::Other, message));
        }
        Ok(surviving(stored.files.iter(), &newest_deletes(stored.files.iter())))
    }

    /// The live files of the head, for somebody who wants to rewrite some of them.
    pub fn live(&self) -> MemoryLive {
        let state = self.state();
        state.head.and_then(|head| state.snapshots.get(&head)).map(|s| s.files.clone()).unwrap_or_default()
    }

    /// The snapshots from the first to the head.
    ///
    /// # Errors
    /// A checkpoint that cannot be read.
    pub fn history(&self) -> Result<Vec<MemorySnapshot>> {
        let state = self.state();
        let (mut at, mut history) = (state.head, Vec::new());
        while let Some(id) = at {
            let Some(stored) = state.snapshots.get(&id) else { break };
            let checkpoint = Checkpoint::from_properties(&stored.summary)?;
            history.push(MemorySnapshot { id, operation: stored.operation, checkpoint });
            at = stored.parent;
        }
        history.reverse();
        Ok(history)
    }

    /// Somebody else adds rows and deletes keys.
    pub fn foreign_write(&self, rows: Vec<(String, String)>, deletes: Vec<String>) {
        let operation = if deletes.is_empty() { Operation::Append } else { Operation::Overwrite };
        self.state().commit(operation, HashMap::new(), |sequence, live| {
            live.push((sequence, MemoryFiles::new(rows, deletes)));
        });
    }

    /// Somebody else puts one file in the place of all others, with the same rows (compaction).
    ///
    /// # Errors
    /// Those of [`scan`](Self::scan).
    pub fn foreign_compaction(&self) -> Result<()> {
        let rows = self.scan(None)?;
        self.state().commit(Operation::Replace, HashMap::new(), |sequence, live| {
            // As Iceberg does: the new file takes the sequence number that the compaction began with, so that deletes which
            // come later still reach it.
            *live = vec![(sequence.saturating_sub(1), MemoryFiles::new(rows, Vec::new()))];
        });
        Ok(())
    }

    /// Somebody else moves the branch back to its head's parent.
    pub fn foreign_rollback(&self) {
        let mut state = self.state();
        let parent = state.head.and_then(|id| state.snapshots.get(&id)).and_then(|s| s.parent);
        state.head = parent;
        state.version = state.version.saturating_add(1);
    }

    /// Somebody else removes a snapshot from the metadata.
    pub fn foreign_expiry(&self, snapshot: i64) {
        let mut state = self.state();
        state.snapshots.remove(&snapshot);
        state.version = state.version.saturating_add(1);
    }

    /// Somebody else sets a tag, or removes it.
    pub fn foreign_tag(&self, name: &str, snapshot: Option<i64>) {
        let mut state = self.state();
        match snapshot {
            Some(id) => state.tags.insert(name.to_owned(), id),
            None => state.tags.remove(name),
        };
        state.version = state.version.saturating_add(1);
    }

    /// Somebody else drops the table.
    pub fn foreign_drop(&self) {
        self.state().dropped = true;
    }

    /// Somebody else drops the table and makes an empty one of the same name.
    pub fn foreign_replacement(&self) {
        let mut state = self.state();
        let (uuid, version, next) = (state.uuid.saturating_add(1), state.version.saturating_add(1), state.next);
        *state = State { uuid, version, next, ..State::default() };
    }

    /// Deletes files, as only a mistake would: scans of snapshots that name them fail.
    pub fn lose(&self, files: &MemoryFiles) {
        self.state().lost.insert(files.id);
    }
}

impl State {
    fn commit(
        &mut self,
        operation: Operation,
        summary: HashMap<String, String>,
        change: impl FnOnce(i64, &mut MemoryLive),
    ) -> i64 {
        let id = self.next;
        let mut files = self.head.and_then(|head| self.snapshots.get(&head)).map(|s| s.files.clone()).unwrap_or_default();
        change(id, &mut files);
        files.sort_by_key(|(sequence, _)| *sequence);
        self.snapshots.insert(id, Stored { parent: self.head, operation, summary, files });
        self.head = Some(id);
        self.next = id.saturating_add(1);
        self.version = self.version.saturating_add(1);
        id
    }

    /// A rewrite takes the place of files that are there, all of them.
    fn check_rewrite(&self, files: &MemoryFiles, bugs: Planted) -> Result<(), SwapError> {
        let Some(replaced) = &files.replaces else {
            let message = format!("the files {} were offered as a rewrite, and name none that they replace", files.id);
            return Err(SwapError::Failed(Error::new(ErrorKind::Other, message)));
        };
        let live = self.head.and_then(|id| self.snapshots.get(&id)).map_or(&[][..], |s| &s.files);
        let gone = replaced.files.iter().find(|id| live.iter().all(|(_, file)| file.id != **id));
        match gone {
            Some(gone) if !planted!(bugs, RewriteOfGoneFiles) => {
                Err(SwapError::Rewrite(format!("the file {gone}, which is to be replaced, is not in the table any more")))
            }
            _ => Ok(()),
        }
    }

    fn head(&self, sink: &str) -> Result<Head<u64>> {
        let find = |id: i64| {
            let stored = self.snapshots.get(&id)?;
            Some(SnapshotView { id, parent: stored.parent, operation: stored.operation, summary: &stored.summary })
        };
        let tags = self.tags.iter().map(|(name, id)| (name.as_str(), *id));
        let (checkpoint, mut lineage) = trace(sink, BRANCH, self.head, find, tags)?;
        let live = self.head.and_then(|id| self.snapshots.get(&id));
        lineage.has_rows = live.is_some_and(|s| s.files.iter().any(|(_, f)| !f.rows.is_empty()));
        Ok(Head { table_uuid: format!("table-{}", self.uuid), snapshot: self.head, checkpoint, lineage, token: self.version })
    }
}

#[async_trait]
impl MirrorTable for MemoryTable {
    type Files = Arc<MemoryFiles>;
    type Token = u64;

    fn name(&self) -> &str {
        &self.name
    }

    async fn head(&self) -> Result<Option<Head<u64>>> {
        let state = self.state();
        if state.dropped { Ok(None) } else { state.head(&self.sink).map(Some) }
    }

    async fn swap(
        &self,
        base: &Head<u64>,
        change: Change<'_, Arc<MemoryFiles>>,
        checkpoint: &Checkpoint,
    ) -> Result<Head<u64>, SwapError> {
        let summary = checkpoint.to_properties().map_err(SwapError::Failed)?.into_iter().collect();
        let mut state = self.state();
        if state.dropped || state.version != base.token {
            return Err(SwapError::Conflict);
        }
        if let Change::Rewrite(files) = &change {
            state.check_rewrite(files, self.bugs)?;
        }
        let operation = match &change {
            Change::Rewrite(_) => Operation::Replace,
            Change::Barrier(kind) if kind.removes_rows() => Operation::Delete,
            Change::Delta(files) if files.iter().any(|f| !f.deletes.is_empty()) => Operation::Overwrite,
            _ => Operation::Append,
        };
        let id = state.commit(operation, summary, |sequence, live| match change {
            Change::Delta(files) => live.extend(files.into_iter().map(|f| (sequence, Arc::clone(f)))),
            Change::Barrier(kind) if kind.removes_rows() => live.clear(),
            Change::Barrier(_) => {}
            Change::Rewrite(files) => {
                let Some(replaced) = &files.replaces else { return };
                let at = if planted!(self.bugs, RewriteAtNewSequence) { sequence } else { replaced.sequence };
                live.retain(|(_, old)| !replaced.files.contains(&old.id));
                live.push((at, Arc::clone(files)));
            }
        });
        state.tags.insert(checkpoint_tag(&self.sink, BRANCH), id);
        Ok(Head {
            table_uuid: base.table_uuid.clone(),
            snapshot: Some(id),
            checkpoint: Some(checkpoint.clone()),
            lineage: Lineage::own(),
            token: state.version,
        })
    }

    async fn find_commit(&self, commit: &str) -> Result<Option<i64>> {
        let state = self.state();
        let mut at = state.head;
        while let Some(id) = at {
            let Some(stored) = state.snapshots.get(&id) else { break };
            if stored.summary.get(COMMIT_ID_PROPERTY).is_some_and(|c| c == commit) {
                return Ok(Some(id));
            }
            at = stored.parent;
        }
        Ok(None)
    }
}
