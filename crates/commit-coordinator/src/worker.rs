use crate::checkpoint::Checkpoint;
use crate::coordinator::stopped;
use crate::environment::{Environment, backoff};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::lineage::{Descent, ForeignWrites, assess};
use crate::log_view::{BarrierLine, Facts, ProgressView, SpanLog};
use crate::planted::{Planted, planted};
use crate::refusal::Refusal;
use crate::rule::check_log;
use crate::span::{BarrierKind, Claim, Covered, Span};
use crate::table::MirrorTable;
use crate::transport::{Answer, Delta, PendingAnswer, Receipt, Transport};
use crate::writer::{Place, SpanWriter};
use futures::FutureExt;
use futures::future::select_all;
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
    /// How long an answer may take before the table itself is asked.
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
    bugs: Planted,
}

struct Flight {
    answer: PendingAnswer,
    deadline: Duration,
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
    retention_checked: Duration,
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

/// What became of reading from one lane.
#[derive(PartialEq)]
enum Step {
    /// Something was read; true: up to the high watermark.
    Moved(bool),
    /// Nothing to read; true: it is the high watermark.
    Dry(bool),
    /// At a barrier.
    AtBarrier,
    /// The next record is of another schema version than the open span.
    OtherVersion,
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
            bugs: Planted::default(),
        }
    }

    #[cfg(feature = "planted-bugs")]
    /// The same worker with a bug.
    #[must_use]
    pub fn with_bug(mut self, bugs: Planted) -> Self {
        self.bugs = bugs;
        self
    }

    /// Works until it is asked to stop; then cuts the open span, offers it, and waits for the answer.
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
        let checkpoint = match from {
            Some(checkpoint) => checkpoint,
            None => match self.read_checkpoint(stop).await? {
                Some(checkpoint) => checkpoint,
                None => return Ok(End::Stopped),
            },
        };
        let mut reading = self.seek(&checkpoint).await?;
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

    /// The table's checkpoint, once the coordinator has made the first one; `None`: asked to stop before.
    async fn read_checkpoint(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<Arc<Checkpoint>>> {
        let mut tries = 0u32;
        while !*stop.borrow() {
            let Some(head) = self.parts.table.head().await? else { return Err(self.refuse(Refusal::TableMissing)) };
            let WorkerSettings { sink, branch, foreign_writes, .. } = &self.settings;
            let touched =
                assess(sink, branch, head.snapshot, &head.lineage, *foreign_writes).map_err(|refusal| self.refuse(refusal))?;
            match head.checkpoint {
                Some(mut checkpoint) if head.lineage.descent == Descent::FromTag => {
                    checkpoint.touched |= touched;
                    return Ok(Some(Arc::new(checkpoint)));
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

    async fn check_log(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let topics: Vec<String> = checkpoint.topics.keys().cloned().collect();
        let view = self.parts.log.view(&topics).await?;
        match check_log(checkpoint, &view) {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.confirm(checkpoint, refusal).await?),
        }
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

    async fn seek(&mut self, checkpoint: &Checkpoint) -> Result<Reading> {
        self.check_log(checkpoint).await?;
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
        self.parts.progress.catch_up().await?;
        tracing::debug!(table = self.parts.table.name(), at = ?starts, barrier = checkpoint.barrier, "reading from the checkpoint");
        Ok(Reading {
            barrier: checkpoint.barrier,
            touched: checkpoint.touched,
            lanes,
            whole,
            facts: None,
            opened: None,
            covered: None,
            retention_checked: self.parts.environment.now(),
        })
    }

    /// Reads and writes until there is something to do about it.
    async fn fill(&mut self, reading: &mut Reading, stop: &mut watch::Receiver<bool>) -> Result<Next> {
        loop {
            if let Some(Some(answer)) = self.flight.as_mut().map(|f| (&mut f.answer).now_or_never()) {
                self.flight = None;
                if let Some(next) = self.heed(answer).await? {
                    return Ok(next);
                }
            }
            if *stop.borrow() {
                return Ok(Next::Stop);
            }
            // A position is covered once every lane was read to a high watermark asked for after the position was known.
            let position = self.parts.progress.position();
            let (mut moved, mut at_end, mut blocked) = (false, true, Vec::new());
            // The oldest schema version first: otherwise a lane that is ahead would keep the others waiting.
            let mut order: Vec<usize> = (0..reading.lanes.len()).collect();
            order.sort_by_key(|i| reading.lanes.get(*i).map(|l| self.facts(l).schema_version));
            for lane in order {
                match self.step(reading, lane).await? {
                    Step::Moved(end) => (moved, at_end) = (true, at_end && end),
                    Step::Dry(end) => at_end &= end,
                    Step::AtBarrier | Step::OtherVersion => {
                        at_end = false;
                        blocked.push(lane);
                    }
                }
            }
            if at_end && reading.whole && position.is_some() {
                reading.covered = position;
            }
            let open = reading.lanes.iter().any(|l| l.at > l.from);
            let barrier = self.parts.progress.barrier(reading.barrier.saturating_add(1));
            let at_barrier = |line: &BarrierLine| {
                reading.lanes.iter().all(|l| line.offset(&l.topic, l.partition).is_none_or(|offset| l.at >= offset))
            };
            if let Some(line) = barrier.filter(at_barrier) {
                return Ok(if open { Next::Cut } else { Next::Barrier(line) });
            }
            let (rows, bytes) = self.parts.writer.open();
            if open && (bytes >= self.settings.max_span_bytes || (!blocked.is_empty() && !moved && rows > 0)) {
                return Ok(Next::Cut);
            }
            let due = if open { self.due(reading, rows).await? } else { None };
            let now = self.parts.environment.now();
            if self.flight.is_none() && due.is_some_and(|due| due <= now) {
                return Ok(Next::Cut);
            }
            if !moved {
                if let Some(next) = self.idle(reading, &blocked, due, stop).await? {
                    return Ok(next);
                }
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// When the open span is to be offered.
    async fn due(&mut self, reading: &mut Reading, rows: u64) -> Result<Option<Duration>> {
        let now = self.parts.environment.now();
        let opened = reading.opened.unwrap_or(now);
        let Some(last) = self.last_offer.filter(|_| rows > 0) else {
            if rows > 0 {
                return Ok(Some(opened));
            }
            let due = opened.max(self.last_offer.unwrap_or(opened)).saturating_add(self.settings.progress_interval);
            if now.saturating_sub(reading.retention_checked) >= self.settings.retention_check {
                reading.retention_checked = now;
                let topics: Vec<String> = reading.lanes.iter().map(|l| l.topic.clone()).collect();
                let view = self.parts.log.view(&topics).await?;
                let expires = reading.lanes.iter().any(|l| {
                    let partition = view.topics.get(&l.topic).and_then(|t| t.partitions.get(&l.partition));
                    partition.is_some_and(|p| l.at > l.from && p.expiring > l.from)
                });
                if expires {
                    return Ok(Some(now));
                }
            }
            return Ok(Some(due));
        };
        Ok(Some(opened.max(last.saturating_add(self.settings.commit_interval))))
    }

    fn facts(&self, lane: &Lane) -> Facts {
        self.parts.progress.facts(&lane.topic, lane.partition, lane.at)
    }

    /// Where reading of a lane must end for now: the next barrier or the next schema version, as far as is known.
    fn limit(&self, reading: &Reading, lane: &Lane) -> (Option<i64>, Option<i64>) {
        let barrier = self.parts.progress.barrier(reading.barrier.saturating_add(1));
        // A partition that the vector lacks came later: it is not read before the barrier that brought it.
        let barrier = barrier.map(|line| line.offset(&lane.topic, lane.partition).unwrap_or(lane.at));
        let until = [barrier, self.facts(lane).until].into_iter().flatten().min();
        (barrier, until)
    }

    /// Reads once from one lane and writes what was read.
    async fn step(&mut self, reading: &mut Reading, index: usize) -> Result<Step> {
        let Some(lane) = reading.lanes.get(index) else { return Ok(Step::Dry(true)) };
        let (barrier, until) = self.limit(reading, lane);
        if barrier.is_some_and(|offset| lane.at >= offset) {
            return Ok(Step::AtBarrier);
        }
        let conflicts = |facts: Facts| reading.facts.is_some_and(|open| open.schema_version != facts.schema_version);
        if conflicts(self.facts(lane)) {
            return Ok(Step::OtherVersion);
        }
        let bytes = self.settings.fetch_bytes;
        let mut fetch = match self.parts.log.read(&lane.topic, lane.partition, lane.at, until, bytes).await {
            Ok(fetch) => fetch,
            Err(e) => {
                self.explain(lane, e).await?;
                return Ok(Step::Dry(false));
            }
        };
        if fetch.next <= lane.at {
            return Ok(Step::Dry(lane.at >= fetch.high));
        }
        // The log's partitions learn of a closed transaction at different moments: only now can it be known what lies
        // between the records that were just read.
        if !planted!(self.bugs, CutWithoutProgress) {
            self.parts.progress.catch_up().await?;
        }
        let (barrier, until) = self.limit(reading, lane);
        if barrier.is_some_and(|offset| lane.at >= offset) {
            return Ok(Step::AtBarrier);
        }
        let facts = self.facts(lane);
        if conflicts(facts) {
            return Ok(Step::OtherVersion);
        }
        if until.is_some_and(|until| until < fetch.next) {
            fetch = self.parts.log.read(&lane.topic, lane.partition, lane.at, until, bytes).await?;
        }
        let place = Place {
            topic: &lane.topic,
            partition: lane.partition,
            from: lane.at,
            to: fetch.next,
            facts,
            after_barrier: reading.barrier,
            touched: reading.touched,
        };
        let (next, end, any) = (fetch.next, fetch.next >= fetch.high, fetch.count > 0);
        if any {
            self.parts.writer.write(&place, fetch.records).await?;
            reading.facts = Some(facts);
        }
        let moved = next > lane.at;
        if let Some(lane) = reading.lanes.get_mut(index) {
            lane.at = next;
        }
        if moved {
            reading.opened.get_or_insert_with(|| self.parts.environment.now());
        }
        Ok(if moved { Step::Moved(end) } else { Step::Dry(end) })
    }

    /// A read failed: perhaps the log has lost what comes next, and nobody has applied it.
    async fn explain(&mut self, lane: &Lane, error: Error) -> Result<()> {
        let topics = [lane.topic.clone()];
        let view = self.parts.log.view(&topics).await?;
        let partition = view.topics.get(&lane.topic).and_then(|t| t.partitions.get(&lane.partition));
        let Some(first) = partition.map(|p| p.first).filter(|first| lane.at < *first) else { return Err(error) };
        let Some(head) = self.parts.table.head().await? else { return Err(self.refuse(Refusal::TableMissing)) };
        let applied = head.checkpoint.and_then(|c| c.next(&lane.topic, lane.partition));
        if applied.is_some_and(|next| next >= first) {
            return Err(error);
        }
        let (topic, partition) = (lane.topic.clone(), lane.partition);
        Err(self.refuse(Refusal::BelowLogStart { topic, partition, next: lane.at, first }))
    }

    /// Waits until there is something to read, an answer, or a span that is due.
    async fn idle(
        &mut self,
        reading: &Reading,
        blocked: &[usize],
        due: Option<Duration>,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Next>> {
        let now = self.parts.environment.now();
        let WorkerParts { log, progress, environment, .. } = &mut self.parts;
        let log: &L = log;
        let lanes = reading.lanes.iter().enumerate().filter(|(i, _)| !blocked.contains(i));
        let waits: Vec<_> = lanes.map(|(_, l)| log.wait(&l.topic, l.partition, l.at)).collect();
        let readable = async {
            match waits.is_empty() {
                true => std::future::pending().await,
                false => select_all(waits).await.0,
            }
        };
        let until = match (self.flight.is_some(), due) {
            (false, Some(due)) => due.saturating_sub(now).min(self.settings.retention_check),
            _ => self.settings.retention_check,
        };
        // Rows wait for their commit anyway: what comes meanwhile is read together.
        let in_no_hurry = reading.facts.is_some() && blocked.is_empty();
        let until = if in_no_hurry { until.min(self.settings.read_pause) } else { until };
        tokio::select! {
            biased;
            () = stopped(stop) => Ok(None),
            answer = answered(&mut self.flight, &**environment) => {
                self.flight = None;
                match answer {
                    Some(answer) => self.heed(answer).await,
                    None => Ok(Some(Next::Seek(None))),
                }
            }
            result = progress.wait(), if !in_no_hurry => match result {
                Ok(()) => progress.catch_up().await.map(|()| None),
                Err(e) => Err(e),
            },
            result = readable, if !in_no_hurry => result.map(|()| None),
            () = environment.sleep(until) => match in_no_hurry {
                true => progress.catch_up().await.map(|()| None),
                false => Ok(None),
            },
        }
    }

    /// Ends the open span and offers it, once the one before is answered.
    async fn cut(&mut self, reading: &mut Reading, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
        failpoint::hit("worker-before-finish");
        let written = self.parts.writer.finish().await?;
        if let Some(next) = self.settle(stop).await? {
            if let Some(files) = written.files {
                self.parts.writer.abandon(files);
            }
            return Ok(Some(next));
        }
        let facts = reading.facts.take().unwrap_or_default();
        let moved = reading.lanes.iter().filter(|l| l.at > l.from);
        let claim = Claim {
            after_barrier: reading.barrier,
            schema_version: facts.schema_version,
            generation: facts.generation,
            covered: reading.covered.clone(),
            source_ts_us: written.source_ts_us,
            skips_deletes: written.skips_deletes,
            ..Claim::advance(moved.map(|l| Span::new(&*l.topic, l.partition, l.from, l.at)).collect())
        };
        for lane in &mut reading.lanes {
            lane.from = lane.at;
        }
        reading.opened = None;
        self.offer(Delta { claim, files: written.files }).await?;
        Ok(None)
    }

    /// Offers a barrier and waits for it: nothing behind it may be read before.
    async fn pass(&mut self, reading: &mut Reading, line: BarrierLine, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
        if let Some(next) = self.settle(stop).await? {
            return Ok(Some(next));
        }
        self.offer(Delta { claim: Claim::barrier(line.number, line.kind, line.at.clone()), files: None }).await?;
        if let Some(next) = self.settle(stop).await? {
            return Ok(Some(next));
        }
        self.parts.writer.passed(&line);
        if line.kind == BarrierKind::Partitions {
            // The checkpoint knows the new log partitions now.
            return Ok(Some(Next::Seek(None)));
        }
        reading.barrier = line.number;
        if line.kind.removes_rows() {
            reading.touched = false;
        }
        Ok(None)
    }

    async fn offer(&mut self, delta: Delta<T::Files>) -> Result<()> {
        failpoint::hit("worker-before-offer");
        let answer = self.parts.transport.offer(Arc::new(delta)).await?;
        failpoint::hit("worker-after-offer");
        let now = self.parts.environment.now();
        self.last_offer = Some(now);
        self.flight = Some(Flight { answer, deadline: now.saturating_add(self.settings.answer_timeout) });
        Ok(())
    }

    /// Waits for the answer to what is on its way. `Some`: seek.
    async fn settle(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
        if self.flight.is_none() {
            return Ok(None);
        }
        let grace = self.settings.stop_grace;
        let environment = Arc::clone(&self.parts.environment);
        let patience = async {
            stopped(stop).await;
            environment.sleep(grace).await;
        };
        let answer = tokio::select! {
            biased;
            answer = answered(&mut self.flight, &*environment) => answer,
            () = patience => None,
        };
        self.flight = None;
        match answer {
            Some(answer) => self.heed(answer).await,
            None => {
                tracing::warn!(table = self.parts.table.name(), "no answer to a delta: asking the table itself");
                self.finished.settled = false;
                Ok(Some(Next::Seek(None)))
            }
        }
    }

    async fn heed(&mut self, answer: Result<Answer>) -> Result<Option<Next>> {
        self.finished.settled = answer.is_ok();
        match answer {
            Ok(Answer::Committed(receipt)) => {
                self.receipts = self.receipts.wrapping_add(1);
                failpoint::hit("worker-after-receipt");
                self.acknowledge(receipt).await;
                Ok(None)
            }
            Ok(Answer::Stale(checkpoint)) => Ok(Some(Next::Seek(Some(checkpoint)))),
            Ok(Answer::Again) => Ok(Some(Next::Seek(None))),
            Ok(Answer::Refused(refusal)) => Err(self.refuse(refusal)),
            Err(e) if e.kind() == ErrorKind::Unavailable => {
                tracing::warn!(table = self.parts.table.name(), error = %e, "the answer to a delta is lost: asking the table itself");
                Ok(Some(Next::Seek(None)))
            }
            Err(e) => Err(e),
        }
    }

    async fn acknowledge(&mut self, receipt: Receipt) {
        if let Err(e) = self.parts.log.release(&receipt).await {
            tracing::warn!(table = self.parts.table.name(), error = %e, "the log was not told what is applied; the next commit tells it again");
        }
        self.finished.checkpoint = Some(Arc::clone(receipt.checkpoint()));
    }
}

/// The answer, or `None` after its deadline.
async fn answered(flight: &mut Option<Flight>, environment: &dyn Environment) -> Option<Result<Answer>> {
    let Some(flight) = flight else { return std::future::pending().await };
    let patience = flight.deadline.saturating_sub(environment.now());
    tokio::select! {
        biased;
        answer = &mut flight.answer => Some(answer),
        () = environment.sleep(patience) => None,
    }
}
