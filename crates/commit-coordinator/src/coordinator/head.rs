//! What a coordinator knows of its table and log: reading the head, checking it, and finding what became of lost attempts.

use super::{Coordinator, CoordinatorSettings, Known};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::lineage::{ForeignRows, assess};
use crate::log_view::LogView;
use crate::refusal::Refusal;
use crate::rule::check_identity;
use crate::start::first_checkpoint;
use crate::table::{Change, Head, MirrorTable, SwapError};
use std::sync::Arc;

impl<T: MirrorTable> Coordinator<T> {
    /// Reads the head and checks everything that must hold before a commit upon it; what is said of others' rows is for the commit
    /// to heed.
    async fn read_head(&mut self) -> Result<(Head<T::Token>, ForeignRows)> {
        let (mut tries, mut deadline) = (0, None);
        let mut head = loop {
            match self.table.head().await {
                Ok(Some(head)) => break head,
                Ok(None) => return Err(self.refuse(Refusal::TableMissing)),
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                Err(e) => return Err(e),
            }
        };
        match &self.settings.table_uuid {
            None => self.settings.table_uuid = Some(head.table_uuid.clone()),
            Some(expected) if *expected == head.table_uuid => {}
            Some(expected) => {
                let refusal = Refusal::TableReplaced { expected: expected.clone(), found: head.table_uuid };
                return Err(self.refuse(refusal));
            }
        }
        let CoordinatorSettings { sink, branch, foreign_writes, .. } = &self.settings;
        let foreign =
            assess(sink, branch, head.snapshot, &head.lineage, *foreign_writes).map_err(|refusal| self.refuse(refusal))?;
        if let Some(checkpoint) = &mut head.checkpoint {
            let touched = foreign == ForeignRows::Accepted;
            if touched && !checkpoint.touched {
                tracing::warn!(table = %self.name, "others have changed rows: it is no exact mirror any more, and its inserts are written as upserts");
            }
            checkpoint.touched |= touched;
        }
        if let Some((last, snapshot)) = &self.last
            && !head.checkpoint.as_ref().is_some_and(|c| follows(c, last))
        {
            return Err(self.refuse(Refusal::NotDescended { head: head.snapshot, last: *snapshot }));
        }
        Ok((head, foreign))
    }

    async fn find(&self, commit: &str) -> Result<Option<i64>> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            match self.table.find_commit(commit).await {
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                result => return result,
            }
        }
    }

    pub(super) async fn view(&self) -> Result<LogView> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            match self.log.view(&self.settings.topics).await {
                Err(e) if e.kind() == ErrorKind::Unavailable => self.pause(&mut tries, &mut deadline, &e).await?,
                result => return result,
            }
        }
    }

    /// Makes sure that the table has a checkpoint: on the first start that is a commit of its own.
    pub(super) async fn adopt(&mut self) -> Result<()> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            let (head, foreign) = self.read_head().await?;
            let view = self.view().await?;
            if let Some(base) = head.checkpoint.clone() {
                // What the log has lost is for the worker to judge: it knows whether a barrier removes the rows that lay there.
                let checked = check_identity(&base, &view).map_err(|refusal| self.refuse(refusal));
                self.keep(head, Arc::new(base), foreign);
                match checked {
                    Ok(()) => return Ok(()),
                    Err(e) => self.confirm(e).await?,
                }
                continue;
            }
            let s = &self.settings;
            let first =
                first_checkpoint(&s.sink, &s.branch, &s.topics, &head.lineage, &view, s.generation.as_ref(), s.first_start)
                    .map_err(|refusal| self.refuse(refusal))?;
            let first = Checkpoint { commit: self.environment.commit_id(), ..first };
            match self.table.swap(&head, Change::Delta(Vec::new()), &first).await {
                Ok(head) => {
                    self.committed(head, Arc::new(first));
                    return Ok(());
                }
                Err(SwapError::Failed(e)) if e.kind() != ErrorKind::Unavailable => return Err(e),
                // Whether or not it happened, the next look at the head tells.
                Err(e) => self.pause(&mut tries, &mut deadline, &e).await?,
            }
        }
    }

    /// A commit of this coordinator has made this head.
    pub(super) fn committed(&mut self, head: Head<T::Token>, base: Arc<Checkpoint>) {
        self.keep(head, base, ForeignRows::None);
        let now = self.environment.now();
        self.status.send_modify(|s| {
            s.commits = s.commits.wrapping_add(1);
            s.last_commit = Some(now);
        });
    }

    fn keep(&mut self, head: Head<T::Token>, base: Arc<Checkpoint>, foreign: ForeignRows) {
        if let Some(snapshot) = head.snapshot {
            self.last = Some((Arc::clone(&base), snapshot));
        }
        self.status.send_modify(|s| {
            s.checkpoint = Some(Arc::clone(&base));
            s.snapshot = head.snapshot;
        });
        self.known = Some(Known { head, base, foreign: foreign.refusal() });
    }

    /// Reads the head, checks it and builds upon it from here on.
    pub(super) async fn look(&mut self) -> Result<()> {
        let (head, foreign) = self.read_head().await?;
        let Some(base) = head.checkpoint.clone() else {
            return Err(Error::new(ErrorKind::Other, format!("the table {} has lost its checkpoint", self.name)));
        };
        self.keep(head, Arc::new(base), foreign);
        Ok(())
    }

    /// Looks for attempts with an unknown outcome in the ancestry of the head that was just read.
    pub(super) async fn resolve(&mut self) -> Result<()> {
        for attempt in std::mem::take(&mut self.attempts) {
            // The head was read before the look: if the late request lands between the two, the next swap meets a conflict.
            if let Some(snapshot) = self.find(&attempt.checkpoint.commit).await? {
                let now = self.environment.now();
                self.status.send_modify(|s| {
                    s.commits = s.commits.wrapping_add(1);
                    s.last_commit = Some(now);
                });
                self.acknowledge(&attempt.members, snapshot, &attempt.checkpoint);
            } else if self.known.as_ref().is_some_and(|k| k.head.token == attempt.base) {
                // The branch has not moved: the request may still land.
                self.attempts.push(attempt);
            }
        }
        Ok(())
    }

    /// A refusal holds only if the table is still what it was decided upon: otherwise another coordinator may have committed
    /// since, and the log may have let go of just that.
    pub(super) async fn confirm(&mut self, refusal: Error) -> Result<()> {
        let (head, _) = self.read_head().await?;
        match self.known.take() {
            Some(known) if known.head.token != head.token => Ok(()),
            _ => Err(refusal),
        }
    }
}

/// True if a checkpoint is the other one or a later one: a branch and its tag that were both moved back show here.
fn follows(checkpoint: &Checkpoint, earlier: &Checkpoint) -> bool {
    checkpoint.barrier >= earlier.barrier
        && earlier.partitions().all(|(topic, partition, next)| checkpoint.next(topic, partition).is_some_and(|n| n >= next))
}
