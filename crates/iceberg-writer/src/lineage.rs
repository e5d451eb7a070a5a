//! What led to the head: whose commits, in which order, and whether one is among them.

use crate::table::Table;
use iceberg::spec::{Operation, SnapshotRef};

/// What a walk back from the head found.
#[derive(Debug, Clone)]
pub struct Lineage {
    /// The snapshot that was looked for.
    pub found: Option<SnapshotRef>,
    /// The snapshots on the way to it, newest first; all of the known ancestry if it was not found.
    pub since: Vec<SnapshotRef>,
    /// The walk ended at a snapshot whose parent is no longer in the metadata: what was not found may have been there.
    pub cut: bool,
}

/// A commit between two snapshots, as seen by someone who did not make it.
#[derive(Debug, Clone)]
pub struct ForeignCommit {
    /// The snapshot's id.
    pub snapshot_id: i64,
    /// What it says it did.
    pub operation: Operation,
    /// The engine that made it, if it says so (`engine-name`), and how many rows and files it touched, as the summary has it.
    pub summary: Vec<(String, String)>,
}

impl Table {
    /// The head and its ancestors, newest first.
    pub fn ancestry(&self) -> impl Iterator<Item = &SnapshotRef> {
        let metadata = self.metadata();
        std::iter::successors(self.head(), move |s| s.parent_snapshot_id().and_then(|p| metadata.snapshot_by_id(p)))
    }

    /// Walks back from the head to the first snapshot for which `wanted` says yes.
    pub fn look_back(&self, mut wanted: impl FnMut(&SnapshotRef) -> bool) -> Lineage {
        let mut since = Vec::new();
        let mut oldest = None;
        for snapshot in self.ancestry() {
            if wanted(snapshot) {
                return Lineage { found: Some(snapshot.clone()), since, cut: false };
            }
            since.push(snapshot.clone());
            oldest = Some(snapshot);
        }
        let cut = oldest.is_some_and(|s| s.parent_snapshot_id().is_some());
        Lineage { found: None, since, cut }
    }

    /// The newest snapshot in the head's ancestry whose summary has this property.
    pub fn newest_with(&self, property: &str) -> Lineage {
        self.look_back(|s| s.summary().additional_properties.contains_key(property))
    }

    /// The snapshot in the head's ancestry whose summary has this property with this value: did a commit of unknown outcome happen?
    pub fn find_commit(&self, property: &str, value: &str) -> Lineage {
        self.look_back(|s| s.summary().additional_properties.get(property).is_some_and(|v| v == value))
    }

    /// What others committed after this snapshot, oldest first; `None` if the head does not descend from it (as far as the
    /// metadata remembers).
    pub fn commits_since(&self, snapshot_id: i64) -> Option<Vec<ForeignCommit>> {
        let lineage = self.look_back(|s| s.snapshot_id() == snapshot_id);
        lineage.found?;
        Some(
            lineage
                .since
                .iter()
                .rev()
                .map(|s| {
                    let mut summary: Vec<_> =
                        s.summary().additional_properties.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                    summary.sort();
                    ForeignCommit { snapshot_id: s.snapshot_id(), operation: s.summary().operation.clone(), summary }
                })
                .collect(),
        )
    }
}
