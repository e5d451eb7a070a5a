//! Reading lanes and having their records written, until there is something to do about it.

use super::offers::answered;
use super::{Approach, Lane, Next, Reading, Worker, WorkerParts};
use crate::coordinator::stopped;
use crate::error::{Error, Result};
use crate::log_view::{BarrierLine, Facts, ProgressView, SpanLog};
use crate::planted::planted;
use crate::refusal::Refusal;
use crate::table::MirrorTable;
use crate::writer::{Place, SpanWriter};
use futures::FutureExt;
use futures::future::select_all;
use std::time::Duration;
use tokio::sync::watch;

/// What became of reading from one lane.
#[derive(PartialEq)]
enum Step {
    /// Something was read.
    Moved,
    /// Nothing to read.
    Dry,
    /// At a barrier.
    AtBarrier,
    /// The next record is of another schema version than the open span, or than the delta that is on its way: the table gets
    /// its columns with that one, and rows cannot be written under columns that are not known yet.
    OtherVersion,
}

impl<T, L, W, P> Worker<T, L, W, P>
where
    T: MirrorTable,
    L: SpanLog,
    W: SpanWriter<Records = L::Records, Files = T::Files>,
    P: ProgressView,
{
    /// Reads and writes until there is something to do about it.
    pub(super) async fn fill(&mut self, reading: &mut Reading, stop: &mut watch::Receiver<bool>) -> Result<Next> {
        loop {
            if let Some(Some(answer)) = self.flight.as_mut().map(|f| (&mut f.answer).now_or_never()) {
                self.flight = None;
                if let Some(next) = self.heed(answer).await? {
                    return Ok(next);
                }
            }
            let last_pass = *stop.borrow();
            if last_pass {
                // A barrier may have come where no record did.
                self.parts.progress.catch_up().await?;
            }
            let (mut moved, mut blocked) = (false, Vec::new());
            // The oldest schema version first: otherwise a lane that is ahead would keep the others waiting.
            let mut order: Vec<usize> = (0..reading.lanes.len()).collect();
            order.sort_by_key(|i| reading.lanes.get(*i).map(|l| self.facts(l).schema_version));
            for lane in order {
                match self.step(reading, lane).await? {
                    Step::Moved => moved = true,
                    Step::Dry => {}
                    Step::AtBarrier | Step::OtherVersion => blocked.push(lane),
                }
            }
            if self.flight.is_none() && reading.facts.is_none() {
                self.tell_applied(&reading.lanes);
            }
            self.approach(reading, last_pass);
            let open = reading.lanes.iter().any(|l| l.at > l.from);
            let barrier = self.parts.progress.barrier(reading.barrier.saturating_add(1));
            let at_barrier = |line: &BarrierLine| {
                reading.lanes.iter().all(|l| line.offset(&l.topic, l.partition).is_none_or(|offset| l.at >= offset))
            };
            // At the end too, unless others would have to reach it first: nothing behind it has been read yet.
            if let Some(line) = barrier.filter(at_barrier).filter(|_| !last_pass || reading.whole) {
                return Ok(if open { Next::Cut } else { Next::Barrier(line) });
            }
            if last_pass {
                return Ok(Next::Stop);
            }
            let (rows, bytes) = self.parts.writer.open();
            // What was read, with rows in it or not, may be what the blocked lanes wait for.
            let in_the_way = reading.facts.is_some() && !blocked.is_empty() && !moved;
            if open && (bytes >= self.settings.max_span_bytes || in_the_way) {
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

    /// Says that all that was read is in the table.
    fn tell_applied(&self, lanes: &[Lane]) {
        self.applied.send_if_modified(|applied| {
            let mut moved = false;
            for lane in lanes {
                match applied.get_mut(&(lane.topic.clone(), lane.partition)) {
                    Some(at) if *at == lane.at => {}
                    Some(at) => (*at, moved) = (lane.at, true),
                    None => moved = applied.insert((lane.topic.clone(), lane.partition), lane.at).is_none(),
                }
            }
            moved
        });
    }

    /// Says which position the lanes have come to. It is covered once every lane was read to its end at that position; under load
    /// there is always a newer one, but what lay before this one is read some time.
    fn approach(&self, reading: &mut Reading, last_pass: bool) {
        let Reading { lanes, whole, covered, approached, looked, .. } = reading;
        if !*whole {
            return;
        }
        let now = self.parts.environment.now();
        // What is covered is told with the next commit: there is no hurry.
        let pause = self.settings.commit_interval / 4;
        let may_look = last_pass || looked.is_none_or(|looked| now.saturating_sub(looked) >= pause);
        if approached.is_none() && may_look && lanes.iter().any(|l| l.at > l.from) {
            let progress = &self.parts.progress;
            if let Some(position) = progress.position().filter(|position| covered.as_ref() != Some(position)) {
                let ends = lanes.iter().map(|l| progress.log_end(&l.topic, l.partition).unwrap_or(0)).collect();
                (*approached, *looked) = (Some(Approach { position, ends }), Some(now));
            }
        }
        let reached = |a: &mut Approach| lanes.iter().zip(&a.ends).all(|(lane, end)| lane.at >= *end);
        if let Some(reached) = approached.take_if(reached) {
            *covered = Some(reached.position);
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
        let Some(lane) = reading.lanes.get(index) else { return Ok(Step::Dry) };
        let (barrier, until) = self.limit(reading, lane);
        if barrier.is_some_and(|offset| lane.at >= offset) {
            return Ok(Step::AtBarrier);
        }
        let open = reading.facts.map(|open| open.schema_version);
        let on_its_way = self.flight.as_ref().and_then(|flight| flight.schema_version);
        let conflicts = |facts: Facts| [open, on_its_way].into_iter().flatten().any(|version| version != facts.schema_version);
        if conflicts(self.facts(lane)) {
            return Ok(Step::OtherVersion);
        }
        let bytes = self.settings.fetch_bytes;
        let mut fetch = match self.parts.log.read(&lane.topic, lane.partition, lane.at, until, bytes).await {
            Ok(fetch) => fetch,
            Err(e) => {
                self.explain(reading, lane, e).await?;
                return Ok(Step::Dry);
            }
        };
        if fetch.next <= lane.at {
            return Ok(Step::Dry);
        }
        // The log's partitions learn of a closed transaction at different moments: only now can it be known what lies
        // between the records that were just read.
        if !planted!(self.bugs, CutWithoutProgress) {
            match fetch.count {
                0 => self.parts.progress.catch_up().await?,
                _ => self.parts.progress.catch_up_to(&lane.topic, lane.partition, fetch.end).await?,
            }
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
        let (next, any) = (fetch.next, fetch.count > 0);
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
        Ok(if moved { Step::Moved } else { Step::Dry })
    }

    /// A read failed: perhaps the log has lost what comes next, and nobody has applied it.
    async fn explain(&mut self, reading: &Reading, lane: &Lane, error: Error) -> Result<()> {
        let topics = [lane.topic.clone()];
        let view = self.parts.log.view(&topics).await?;
        let partition = view.topics.get(&lane.topic).and_then(|t| t.partitions.get(&lane.partition));
        let Some(first) = partition.map(|p| p.first).filter(|first| lane.at < *first) else { return Err(error) };
        let Some(head) = self.parts.table.head().await? else { return Err(self.refuse(Refusal::TableMissing)) };
        let applied = head.checkpoint.and_then(|c| c.next(&lane.topic, lane.partition));
        if applied.is_some_and(|next| next >= first) {
            return Err(error);
        }
        self.parts.progress.catch_up().await?;
        if self.parts.progress.newest_removal().is_some_and(|line| line.number > reading.barrier) {
            return Err(error); // and the seek that follows goes on behind it
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
}
