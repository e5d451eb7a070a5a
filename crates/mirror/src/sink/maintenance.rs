//! Keeps a table quick to read while it is mirrored: deletes and small files are folded away.

use super::iceberg_table::{MirroredTable, TableFiles};
use cdc_core::TableId;
use commit_coordinator::{Answer, Claim, CoordinatorStatus, Delta, Transport, WeakTransport};
use iceberg_writer::{CompactionConfig, ErrorKind, RewriteFiles, Table};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

/// After a compaction it rests for so many times as long as that took: at most a quarter of the time is spent on it, however fast rows come.
const REST: u32 = 3;
/// After a failure it waits for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The maintenance of one table. What it writes is committed by the table's coordinator, between the deltas: two committers could
/// conflict, and this one would lose work.
pub(super) struct Maintenance {
    pub(super) source_table: TableId,
    pub(super) table: Arc<MirroredTable>,
    pub(super) coordinator: WeakTransport<TableFiles>,
    pub(super) commits: watch::Receiver<CoordinatorStatus>,
    /// Compactions that may be under way at once in this process: each takes memory of its own.
    pub(super) turns: Arc<Semaphore>,
    pub(super) config: CompactionConfig,
}

/// What became of one look at the table.
enum Look {
    /// Nothing is worth while yet.
    Nothing,
    /// Files were written, and committed unless something came in between.
    Compacted(Duration),
    /// The coordinator has gone.
    Over,
}

impl Maintenance {
    /// Until the coordinator has gone. A failure is logged and tried again: the table stays exact without it, only slower to read.
    pub(super) async fn follow(mut self) {
        loop {
            let seen = self.commits.borrow_and_update().commits;
            match self.look().await {
                Ok(Look::Nothing) => {}
                Ok(Look::Compacted(took)) => {
                    sleep(took * REST).await;
                    continue;
                }
                Ok(Look::Over) => break,
                Err(e) => {
                    tracing::warn!(table = %self.source_table, error = %e, "compaction failed; it is tried again, and the table grows slower to read until then");
                    sleep(AFTER_FAILURE).await;
                }
            }
            let fan_in = self.config.fan_in as u64;
            if self.commits.wait_for(|now| now.commits.saturating_sub(seen) >= fan_in).await.is_err() {
                break;
            }
        }
    }

    async fn look(&self) -> iceberg_writer::Result<Look> {
        let Some(table) = self.table.current() else { return Ok(Look::Nothing) };
        let Some(plan) = table.plan_compaction(&self.config).await? else { return Ok(Look::Nothing) };
        let Ok(_turn) = self.turns.acquire().await else { return Ok(Look::Over) };
        let files = match plan.run().await {
            // A truncation and the sweep of its files came in between.
            Err(e) if e.kind() == ErrorKind::NotFound && self.has_moved_on(&table) => return Ok(Look::Nothing),
            files => files?,
        };
        cdc_failpoint::hit("sink-after-compaction");
        Ok(self.offer(files).await)
    }

    fn has_moved_on(&self, planned: &Table) -> bool {
        self.table.current().is_none_or(|now| now.metadata_location() != planned.metadata_location())
    }

    async fn offer(&self, files: RewriteFiles) -> Look {
        let stats = *files.stats();
        let delta = Arc::new(Delta { claim: Claim::rewrite(), files: Some(TableFiles::Rewrite(files)) });
        let Some(coordinator) = self.coordinator.upgrade() else { return Look::Over };
        let offered = coordinator.offer(delta).await;
        // The answer comes without it, and the coordinator may end once its worker is done.
        drop(coordinator);
        let answer = match offered {
            Ok(answer) => answer.await,
            Err(e) => Err(e),
        };
        match answer {
            Ok(Answer::Committed(receipt)) => {
                cdc_failpoint::hit("sink-after-compaction-commit");
                tracing::info!(table = %self.source_table, snapshot = receipt.snapshot(), ?stats, "compacted");
                Look::Compacted(stats.took)
            }
            // Files that were offered are left: nobody can tell for certain that an earlier attempt will not land.
            Ok(Answer::Refused(_)) | Err(_) => Look::Over,
            Ok(_) => {
                tracing::info!(table = %self.source_table, "a compaction came too late: its files had been replaced or removed");
                Look::Compacted(stats.took)
            }
        }
    }
}
