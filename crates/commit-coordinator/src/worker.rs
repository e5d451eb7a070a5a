mod offers;
mod reading;

use crate::checkpoint::Checkpoint;
use crate::coordinator::stopped;
use crate::environment::{Environment, backoff};
use crate::error::{Error, ErrorKind, Result};
use crate::lineage::{Descent, ForeignRows, ForeignWrites, assess};
use crate::log_view::{BarrierLine, Facts, ProgressView, SpanLog};
use crate::planted::Planted;
use crate::refusal::Refusal;
use crate::rule::{check_barrier, check_log};
use crate::span::{Covered, Span};
use crate::table::MirrorTable;
use crate::transport::{PendingAnswer, Transport};
use crate::writer::SpanWriter;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How a [`Worker`] cuts spans and waits.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkerSettings {
    /// The sink's id.
    pub sink: String,
    /// The branch that is written.
    pub branch: String,
    /// What to do when others change the table's rows.
    pub foreign_writes: ForeignWrites,
    /// The log partitions that this worker owns; `None`: all that feed the table.
    pub partitions: Option<Vec<(String, i32)>>,
    /// The time between commits under load. After a pause the first change is committed at once.
    pub commit_interval: Duration,
    /// A span is cut when the writer holds this many bytes.
    pub max_span_bytes: usize,
    /// How much is read at once.
    pub fetch_bytes: usize,
    /// While a span is open and not due yet, new records are looked for this often: many small appends are one read then. A change
    /// that comes after a pause does not wait.
    pub read_pause: Duration,
    /// Progress over records that are no rows is committed alone after this time, or before retention reaches it.
    pub progress_interval: Duration,
    /// How often such progress is compared with the log's retention.
    pub retention_check: Duration,
    /// How long an answer may take before the table itself is asked, where the transport may lose one.
    pub answer_timeout: Duration,
    /// How long a worker that was asked to stop waits for the answer to what it has offered.
    pub stop_grace: Duration,
}

impl WorkerSettings {
    /// The defaults: branch `main`, all log partitions, a commit each second, spans up to 64 MiB, reads of 4 MiB, 20 ms apart.
    pub fn new(sink: impl Into<String>) -> Self {
        Self {
            sink: sink.into(),
            branch: "main".to_owned(),
            foreign_writes: ForeignWrites::Stop,
            partitions: None,
            commit_interval: Duration::from_secs(1),
            max_span_bytes: 64 << 20,
            fetch_bytes: 4 << 20,
            read_pause: Duration::from_millis(20),
            progress_interval: Duration::from_secs(600),
            retention_check: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(60),
            stop_grace: Duration::from_secs(30),
        }
    }
}

/// What a [`Worker`] works with.
pub struct WorkerParts<T: MirrorTable, L, W, P> {
    /// The table, for reading its checkpoint. Workers never write to it.
    pub table: Arc<T>,
    /// The log.
    pub log: Arc<L>,
    /// Turns records into files.
    pub writer: W,
    /// The source's progress records.
    pub progress: P,
    /// The way to the coordinator.
    pub transport: Arc<dyn Transport<T::Files>>,
    /// Time.
    pub environment: Arc<dyn Environment>,
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finished {
    /// The newest checkpoint that the worker has a receipt for.
    pub checkpoint: Option<Arc<Checkpoint>>,
    /// The outcome of all that it had offered is known. If not, nothing is lost: the next start reads it from the table.
    pub settled: bool,
}

/// Owns log partitions of one table: reads them from the table's checkpoint, has files written, offers deltas.
///
/// While one delta is being committed the next span is being written; at most one is on its way. The worker holds no state
/// that matters: after a crash, a refusal or a lost answer it reads the checkpoint, seeks and goes on. Files that were offered
/// are never deleted by anybody here.
pub struct Worker<T: MirrorTable, L, W, P> {
    parts: WorkerParts<T, L, W, P>,
    settings: WorkerSettings,
    flight: Option<Flight>,
    last_offer: Option<Duration>,
    finished: Finished,
    receipts: u64,
    applied: watch::Sender<Applied>,
    bugs: Planted,
}

/// How far a worker's log partitions are in the table: topic and partition to the offset before which every record is in, or was none
/// (control, aborted and compacted records). A checkpoint says the same, but moves over what is no record much later.
pub type Applied = BTreeMap<(String, i32), i64>;

struct Flight {
    answer: PendingAnswer,
    /// When the table itself is asked; `None` where an answer is certain to come.
    deadline: Option<Duration>,
    /// What its rows were written under, if it has rows.
    schema_version: Option<u32>,
}

struct Lane {
    topic: String,
    partition: i32,
    /// Where the open span begins.
    from: i64,
    /// The read position.
    at: i64,
}

/// What has been read since the last seek.
struct Reading {
    barrier: u64,
    touched: bool,
    lanes: Vec<Lane>,
    /// The lanes are all log partitions of the table.
    whole: bool,
    /// Facts of the open span's rows.
    facts: Option<Facts>,
    /// When the open span began.
    opened: Option<Duration>,
    covered: Option<Covered>,
    approached: Option<Approach>,
    /// When it was last looked how far the lanes must come.
    looked: Option<Duration>,
    retention_checked: Duration,
}

/// A position of the source that the lanes are coming to.
struct Approach {
    position: Covered,
    /// Where each lane ends at that position: read so far, they hold all that lies before it.
    ends: Vec<i64>,
}

/// How work from a checkpoint begins.
enum Start {
    /// With what comes next in the log.
    Reading(Reading),
    /// With a barrier further on, behind which nothing of before counts.
    BelowRemoval(BarrierLine),
}

/// What to do after reading.
enum Next {
    Cut,
    Barrier(BarrierLine),
    Seek(Option<Arc<Checkpoint>>),
    Stop,
}

enum End {
    Seek(Option<Arc<Checkpoint>>),
    Stopped,
}

impl<T, L, W, P> Worker<T, L, W, P>
where
    T: MirrorTable,
    L: SpanLog,
    W: SpanWriter<Records = L::Records, Files = T::Files>,
    P: ProgressView,
{
    /// A worker that has not begun yet.
    pub fn new(parts: WorkerParts<T, L, W, P>, settings: WorkerSettings) -> Self {
        Self {
            parts,
            settings,
            flight: None,
            last_offer: None,
            finished: Finished { checkpoint: None, settled: true },
            receipts: 0,
            applied: watch::Sender::default(),
            bugs: Planted::default(),
        }
    }

    /// How far the table is, as it goes on; empty before the first reading.
    pub fn applied(&self) -> watch::Receiver<Applied> {
        self.applied.subscribe()
    }

    #[cfg(feature = "planted-bugs")]
    /// The same worker with a bug.
    #[must_use]
    pub fn with_bug(mut self, bugs: Planted) -> Self {
        self.bugs = bugs;
        self
    }

    /// Works until it is asked to stop; then reads once more, so that one that had kept up leaves nothing behind, cuts the open span,
    /// offers it, and waits for the answer.
    ///
    /// # Errors
    /// A refusal ([`Error::refusal`]), or an error of a part of another kind than [`ErrorKind::Unavailable`]: the table is
    /// stopped. Unavailable parts are tried again for ever, unless it was asked to stop: then [`ErrorKind::Interrupted`].
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<Finished> {
        let (mut from, mut tries, mut receipts) = (None, 0u32, 0);
        loop {
            let result = self.follow(from.take(), &mut stop).await;
            if self.receipts != receipts {
                (receipts, tries) = (self.receipts, 0);
            }
            match result {
                Ok(End::Stopped) => return Ok(self.finished),
                Ok(End::Seek(checkpoint)) => from = checkpoint,
                Err(e) if e.kind() == ErrorKind::Unavailable && *stop.borrow() => {
                    let message = format!("stopped while the table {} waited for something: {e}", self.parts.table.name());
                    return Err(Error::new(ErrorKind::Interrupted, message).with_source(e));
                }
                Err(e) if e.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(table = self.parts.table.name(), tries, error = %e, "trying again from the checkpoint");
                }
                Err(e) => return Err(e),
            }
            if tries > 0 {
                tokio::select! {
                    biased;
                    () = stopped(&mut stop) => {}
                    () = self.parts.environment.sleep(backoff(tries)) => {}
                }
            }
            tries = tries.saturating_add(1);
        }
    }

    fn refuse(&self, refusal: Refusal) -> Error {
        Error::refused(self.parts.table.name(), refusal)
    }

    /// Seeks to a checkpoint and works from there.
    async fn follow(&mut self, from: Option<Arc<Checkpoint>>, stop: &mut watch::Receiver<bool>) -> Result<End> {
        // The answer to what was offered decides where the checkpoint is: not to wait for it would mean to write it again.
        let mut from = from;
        if let Some(Next::Seek(newer)) = self.settle(stop).await? {
            from = newer.or(from);
        }
        let (checkpoint, foreign) = match from {
            Some(checkpoint) => (checkpoint, None),
            None => match self.read_checkpoint(stop).await? {
                Some((checkpoint, foreign)) => (checkpoint, foreign.refusal()),
                None => return Ok(End::Stopped),
            },
        };
        let mut reading = match self.seek(&checkpoint, foreign).await? {
            Start::Reading(reading) => reading,
            Start::BelowRemoval(line) => {
                tracing::info!(
                    table = self.parts.table.name(),
                    number = line.number,
                    "going on behind a barrier that removes every row: what lies before it is passed over"
                );
                let newer = match self.commit_barrier(&line, stop).await? {
                    Some(Next::Seek(newer)) => newer,
                    _ => None,
                };
                return Ok(if *stop.borrow() { End::Stopped } else { End::Seek(newer) });
            }
        };
        loop {
            let seek = match self.fill(&mut reading, stop).await? {
                Next::Seek(checkpoint) => Some(Next::Seek(checkpoint)),
                Next::Cut => self.cut(&mut reading, stop).await?,
                Next::Barrier(line) => self.pass(&mut reading, line, stop).await?,
                Next::Stop => {
                    if reading.lanes.iter().any(|l| l.at > l.from) && self.cut(&mut reading, stop).await?.is_some() {
                        return Ok(End::Stopped);
                    }
                    self.settle(stop).await?;
                    return Ok(End::Stopped);
                }
            };
            if let Some(Next::Seek(checkpoint)) = seek {
                return Ok(End::Seek(checkpoint));
            }
        }
    }

    /// The table's checkpoint, once the coordinator has made the first one, and what is said of others' rows; `None`: asked to stop
    /// before.
    async fn read_checkpoint(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<(Arc<Checkpoint>, ForeignRows)>> {
        let mut tries = 0u32;
        while !*stop.borrow() {
            let Some(head) = self.parts.table.head().await? else { return Err(self.refuse(Refusal::TableMissing)) };
            let WorkerSettings { sink, branch, foreign_writes, .. } = &self.settings;
            let foreign =
                assess(sink, branch, head.snapshot, &head.lineage, *foreign_writes).map_err(|refusal| self.refuse(refusal))?;
            match head.checkpoint {
                Some(mut checkpoint) if head.lineage.descent == Descent::FromTag => {
                    checkpoint.touched |= foreign == ForeignRows::Accepted;
                    return Ok(Some((Arc::new(checkpoint), foreign)));
                }
                _ => {
                    tokio::select! {
                        biased;
                        () = stopped(stop) => {}
                        () = self.parts.environment.sleep(backoff(tries)) => tries = tries.saturating_add(1),
                    }
                }
            }
        }
        Ok(None)
    }

    /// A refusal holds only if the checkpoint is still the table's: another worker's delta may have been committed since, and
    /// the log may have let go of just that.
    async fn confirm(&mut self, checkpoint: &Checkpoint, refusal: Refusal) -> Result<Error> {
        let Some(head) = self.parts.table.head().await? else { return Ok(self.refuse(Refusal::TableMissing)) };
        if head.checkpoint.is_some_and(|now| now.commit != checkpoint.commit) {
            return Ok(Error::new(ErrorKind::Unavailable, "the checkpoint has moved on meanwhile"));
        }
        Ok(self.refuse(refusal))
    }

    /// Where to begin from this checkpoint; `foreign`: the refusal of others' rows, unless a barrier further on removes them.
    async fn seek(&mut self, checkpoint: &Checkpoint, foreign: Option<Refusal>) -> Result<Start> {
        let topics: Vec<String> = checkpoint.topics.keys().cloned().collect();
        let view = self.parts.log.view(&topics).await?;
        // After the look: a barrier that was written before the log let go of what lies below it is known then.
        self.parts.progress.catch_up().await?;
        if let Some(line) = self.parts.progress.newest_removal().filter(|line| line.number > checkpoint.barrier) {
            return Ok(Start::BelowRemoval(line));
        }
        let committed = self.parts.progress.barrier(checkpoint.barrier);
        let rewound = || committed.and_then(|line| check_barrier(checkpoint, &line).err());
        if let Some(refusal) = foreign.or_else(|| check_log(checkpoint, &view).err()).or_else(rewound) {
            return Err(self.confirm(checkpoint, refusal).await?);
        }
        let mut lanes = Vec::new();
        for (topic, partition, next) in checkpoint.partitions() {
            let mine = self.settings.partitions.as_ref();
            if mine.is_none_or(|mine| mine.iter().any(|(t, p)| t == topic && *p == partition)) {
                lanes.push(Lane { topic: topic.to_owned(), partition, from: next, at: next });
            }
        }
        let whole = lanes.len() == checkpoint.partitions().count();
        let starts: Vec<Span> = lanes.iter().map(|l| Span::at(&*l.topic, l.partition, l.at)).collect();
        self.parts.writer.restart(&starts).await?;
        tracing::debug!(table = self.parts.table.name(), at = ?starts, barrier = checkpoint.barrier, "reading from the checkpoint");
        Ok(Start::Reading(Reading {
            barrier: checkpoint.barrier,
            touched: checkpoint.touched,
            lanes,
            whole,
            facts: None,
            opened: None,
            covered: None,
            approached: None,
            looked: None,
            retention_checked: self.parts.environment.now(),
        }))
    }
}
