//! Keeps a table quick to read while it is mirrored: deletes and small files are folded away.

use super::iceberg_table::{MirroredTable, TableFiles};
use cdc_core::TableId;
use commit_coordinator::{Answer, Claim, CoordinatorStatus, Delta, Transport, WeakTransport};
use iceberg_writer::{CompactionConfig, CompactionPlan, ErrorKind, RewriteFiles};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

/// After a compaction it rests for so many times as long as that took: at most a quarter of the time is spent on it, however fast rows come.
const REST: u32 = 3;
/// After a failure it waits for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// After a failure deletes are not folded into the whole table for so long.
const NO_FOLD_AFTER_FAILURE: Duration = Duration::from_secs(3_600);

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
    /// Files were written and committed.
    Compacted(Duration),
    /// They came too late, or could not be committed.
    InVain,
    /// The coordinator has gone.
    Over,
}

impl Maintenance {
    /// Until the coordinator has gone. A failure is logged and tried again: the table stays exact without it, only slower to read.
    ///
    /// Nothing is done before the first commit: it brings the table the columns of its source, whatever others have done to them.
    pub(super) async fn follow(mut self) {
        let (mut seen, mut wanted) = (0, 1);
        let mut no_fold_until = Instant::now();
        while self.commits.wait_for(|now| now.commits.saturating_sub(seen) >= wanted).await.is_ok() {
            seen = self.commits.borrow_and_update().commits;
            wanted = self.config.fan_in as u64;
            let mut config = self.config.clone();
            if Instant::now() < no_fold_until {
                config.deleted_one_in = 0;
            }
            match self.look(&config).await {
                Ok(Look::Nothing) => {}
                Ok(Look::Compacted(took)) => {
                    wanted = 0; // there may be more to do
                    sleep(took * REST).await;
                }
                Ok(Look::InVain) => {
                    wanted = 0;
                    sleep(AFTER_FAILURE).await;
                }
                Ok(Look::Over) => break,
                Err(e) => {
                    tracing::warn!(table = %self.source_table, error = %e, "compaction failed; it is tried again, and the table grows slower to read until then");
                    // What failed may be the largest: the small ones do not wait for it.
                    no_fold_until = Instant::now() + NO_FOLD_AFTER_FAILURE;
                    wanted = 0;
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    async fn look(&self, config: &CompactionConfig) -> iceberg_writer::Result<Look> {
        let Ok(turn) = self.turns.acquire().await else { return Ok(Look::Over) };
        let Some(table) = self.table.current() else { return Ok(Look::Nothing) };
        let Some(plan) = table.plan_compaction(config).await? else { return Ok(Look::Nothing) };
        let files = match plan.run().await {
            Err(e) if e.kind() == ErrorKind::NotFound && self.has_outdated(&plan).await? => {
                tracing::debug!(table = %self.source_table, "a compaction came too late: its files were removed meanwhile");
                return Ok(Look::Nothing);
            }
            files => files?,
        };
        drop(turn);
        cdc_failpoint::hit("sink-after-compaction");
        Ok(self.offer(files).await)
    }

    /// A truncation and the sweep of its files came in between.
    async fn has_outdated(&self, plan: &CompactionPlan) -> iceberg_writer::Result<bool> {
        match self.table.current() {
            Some(now) => plan.is_outdated(&now).await,
            None => Ok(true),
        }
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
                tracing::info!(table = %self.source_table, "a compaction was not committed: its files had been replaced or removed");
                Look::InVain
            }
        }
    }
}
