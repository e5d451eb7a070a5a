//! What a running mirror says of itself: in memory for the process, in a file for other processes.

use crate::config::{Halves, LogKind};
use crate::error::{Error, ErrorKind, Result};
use cdc_core::SourcePosition;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The state of a mirror at one moment.
///
/// Everything in it was read at once: `source.position` and each table's `log_end` and `log_barrier` belong together, so that a reader
/// who sees a position here and later a table's `applied` and `applied_barrier` at or above them
/// ([`TableStatus::has_all_of`]) knows that the table has every change up to that position.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MirrorStatus {
    /// The process.
    pub pid: u32,
    /// When it started, milliseconds since the Unix epoch.
    pub started_ms: i64,
    /// When this was written, milliseconds since the Unix epoch.
    pub updated_ms: i64,
    /// These are its last words: it has stopped.
    #[serde(default)]
    pub ended: bool,
    /// What of a mirror the process does. A source half does not know how far the tables are, nor a sink half what is captured.
    #[serde(default)]
    pub halves: Halves,
    /// The source half.
    pub source: SourceStatus,
    /// The tables, by `database.table`.
    pub tables: BTreeMap<String, TableStatus>,
}

/// The source half of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Up to where the log is complete; `None` before the first batch.
    pub position: Option<SourcePosition>,
    /// Changes captured since the process started.
    pub events: u64,
}

/// One table of a mirror.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// What is happening to it.
    pub phase: TablePhase,
    /// Its topic.
    pub topic: String,
    /// The offset after the last record in the log.
    pub log_end: i64,
    /// The number of the last barrier in the log: a truncation, a table made anew, another key; 0 if there is none.
    #[serde(default)]
    pub log_barrier: u64,
    /// The offset after the last record in the table.
    pub applied: i64,
    /// The number of the last barrier that the table is behind.
    #[serde(default)]
    pub applied_barrier: u64,
    /// Commit time at the source of the last applied change, microseconds since the Unix epoch; 0 if none.
    pub applied_ts_us: i64,
    /// When the table was last committed, milliseconds since the Unix epoch; 0 if never.
    pub last_commit_ms: i64,
    /// Commits since the process started.
    pub commits: u64,
    /// The snapshot that holds all this.
    pub snapshot_id: Option<i64>,
    /// Rows that a snapshot of the source has read so far, and an estimate of all.
    pub snapshot_rows: u64,
    /// See `snapshot_rows`.
    pub snapshot_estimate: Option<u64>,
    /// Why it stopped; several lines.
    pub stopped: Option<String>,
    /// Starting again does not help: something has to be done about it.
    #[serde(default)]
    pub stays_stopped: bool,
    /// It stopped because the source's table is gone; made anew there, it is followed again.
    #[serde(default)]
    pub dropped: bool,
}

impl TableStatus {
    /// True if the table has all that the log had `then`. A truncation has no record of its own, but a barrier.
    pub fn has_all_of(&self, then: &Self) -> bool {
        self.applied >= then.log_end && self.applied_barrier >= then.log_barrier
    }

    /// True if the table has all that is in the log.
    pub fn is_current(&self) -> bool {
        self.has_all_of(self)
    }
}

/// What is happening to a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TablePhase {
    /// Nothing was read yet.
    #[default]
    Waiting,
    /// Its rows are being read for the first time.
    Snapshot,
    /// Changes flow.
    Streaming,
    /// It cannot go on; see [`TableStatus::stopped`].
    Stopped,
}

impl MirrorStatus {
    /// The tables that have stopped.
    pub fn stopped(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tables.iter().filter_map(|(name, t)| Some((name.as_str(), t.stopped.as_deref()?)))
    }

    /// True if the log has everything up to this position, and no first snapshot is under way.
    pub fn contains(&self, position: &SourcePosition) -> bool {
        let reached = self.source.position.as_ref().is_some_and(|p| p >= position);
        reached && self.tables.values().all(|t| matches!(t.phase, TablePhase::Streaming | TablePhase::Stopped))
    }
}

/// The file in which a running mirror keeps its status, beside its log.
#[derive(Debug, Clone)]
pub(crate) struct StatusFile(PathBuf);

impl StatusFile {
    /// Of a mirror that keeps its log on disk; another one has none.
    pub(crate) fn of(log: &LogKind) -> Option<Self> {
        match log {
            LogKind::Local(dir) => Some(Self(dir.join("status.json"))),
            #[cfg(feature = "kafka")]
            LogKind::Kafka { status_dir, .. } => Some(Self(status_dir.join("status.json"))),
            LogKind::Memory => None,
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.0
    }

    /// Replaces the file as a whole, so that a reader never sees half of it. Not synced: it is of no use after a crash.
    pub(crate) fn write(&self, status: &MirrorStatus) -> Result<()> {
        let text =
            serde_json::to_vec(status).map_err(|e| Error::new(ErrorKind::Other, format!("cannot write the status: {e}")))?;
        let draft = self.0.with_extension("json.tmp");
        let folder = self.0.parent().filter(|folder| !folder.exists());
        folder
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&draft, text))
            .and_then(|()| std::fs::rename(&draft, &self.0))
            .map_err(|e| Error::new(ErrorKind::Unavailable, format!("cannot write {}: {e}", self.0.display())).with_source(e))
    }

    /// The last status written; `None` if there is no file.
    pub(crate) fn read(&self) -> Result<Option<MirrorStatus>> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Error::new(ErrorKind::Unavailable, format!("{} is not a status of this version: {e}", self.0.display()))
                    .with_source(e)
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::new(ErrorKind::Unavailable, format!("cannot read {}: {e}", self.0.display())).with_source(e)),
        }
    }
}
