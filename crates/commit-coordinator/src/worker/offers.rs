//! Cutting spans, offering them and barriers, and heeding the answers.

use super::{Flight, Next, Reading, Worker};
use crate::coordinator::stopped;
use crate::environment::Environment;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::log_view::{BarrierLine, ProgressView, SpanLog};
use crate::span::{BarrierKind, Claim, Span};
use crate::table::MirrorTable;
use crate::transport::{Answer, Delta, Receipt};
use crate::writer::SpanWriter;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

impl<T, L, W, P> Worker<T, L, W, P>
where
    T: MirrorTable,
    L: SpanLog,
    W: SpanWriter<Records = L::Records, Files = T::Files>,
    P: ProgressView,
{
    /// Ends the open span and offers it, once the one before is answered.
    pub(super) async fn cut(&mut self, reading: &mut Reading, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
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
        self.offer(Delta { claim, files: written.files }, stop).await?;
        Ok(None)
    }

    /// Passes a barrier that was reached: nothing behind it may be read before it is committed.
    pub(super) async fn pass(
        &mut self,
        reading: &mut Reading,
        line: BarrierLine,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Option<Next>> {
        if let Some(next) = self.commit_barrier(&line, stop).await? {
            return Ok(Some(next));
        }
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

    /// Offers a barrier and waits for the answer. `Some`: seek.
    pub(super) async fn commit_barrier(&mut self, line: &BarrierLine, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
        if let Some(next) = self.settle(stop).await? {
            return Ok(Some(next));
        }
        let claim = Claim::barrier(line.number, line.kind, line.at.clone());
        self.offer(Delta { claim, files: None }, stop).await?;
        if let Some(next) = self.settle(stop).await? {
            return Ok(Some(next));
        }
        self.parts.writer.passed(line);
        Ok(None)
    }

    async fn offer(&mut self, delta: Delta<T::Files>, stop: &mut watch::Receiver<bool>) -> Result<()> {
        failpoint::hit("worker-before-offer");
        let schema_version = delta.files.as_ref().map(|_| delta.claim.schema_version);
        let answer = tokio::select! {
            biased;
            answer = self.parts.transport.offer(Arc::new(delta)) => answer?,
            () = patience(stop, &*self.parts.environment, self.settings.stop_grace) => {
                return Err(Error::new(ErrorKind::Unavailable, "the coordinator of the table takes no offer"));
            }
        };
        failpoint::hit("worker-after-offer");
        let now = self.parts.environment.now();
        self.last_offer = Some(now);
        let deadline = (!self.parts.transport.always_answers()).then(|| now.saturating_add(self.settings.answer_timeout));
        self.flight = Some(Flight { answer, deadline, schema_version });
        Ok(())
    }

    /// Waits for the answer to what is on its way. `Some`: seek.
    pub(super) async fn settle(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<Next>> {
        if self.flight.is_none() {
            return Ok(None);
        }
        let environment = &*self.parts.environment;
        let answer = tokio::select! {
            biased;
            answer = answered(&mut self.flight, environment) => answer,
            () = patience(stop, environment, self.settings.stop_grace) => None,
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

    pub(super) async fn heed(&mut self, answer: Result<Answer>) -> Result<Option<Next>> {
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

/// Returns when it was asked to stop and the grace is over.
async fn patience(stop: &mut watch::Receiver<bool>, environment: &dyn Environment, grace: Duration) {
    stopped(stop).await;
    environment.sleep(grace).await;
}

/// The answer, or `None` after its deadline.
pub(super) async fn answered(flight: &mut Option<Flight>, environment: &dyn Environment) -> Option<Result<Answer>> {
    let Some(flight) = flight else { return std::future::pending().await };
    let Some(deadline) = flight.deadline else { return Some((&mut flight.answer).await) };
    let patience = deadline.saturating_sub(environment.now());
    tokio::select! {
        biased;
        answer = &mut flight.answer => Some(answer),
        () = environment.sleep(patience) => None,
    }
}
