//! The commit rule: pure functions over values, shared by the coordinator, the model and the simulator.
//!
//! A claim is committed only if, for each log partition that it covers, `from` equals the checkpoint's offset. All safety
//! follows from this one comparison, made against the very metadata that the swap replaces: a duplicate, a replay and a
//! zombie's delta are stale; a gap waits; two coordinators at once are slow, not wrong.

use crate::checkpoint::Checkpoint;
use crate::log_view::{BarrierLine, LogView};
use crate::planted::{Planted, planted};
use crate::refusal::Refusal;
use crate::span::{Act, BarrierKind, Claim, Span};
use std::collections::BTreeSet;

/// What the rule says of a claim against a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is committed, and this is the checkpoint after it (the commit id is still the old one).
    Commit(Box<Checkpoint>),
    /// What it covers is committed already, wholly or in part: it is refused whole, the worker seeks.
    Stale(Stale),
    /// What comes before it is not committed yet: it waits.
    Gap(Span),
    /// It is behind a barrier that is not committed yet, or is a barrier that keeps rows and that not every log partition has
    /// reached: it waits.
    BarrierNotReached {
        /// The barrier.
        number: u64,
    },
    /// It was written as if nobody else had changed the table's rows, but somebody has: the worker writes it again.
    Rewrite,
    /// The table stops.
    Refused(Refusal),
}

/// What made a claim stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// A span begins below the checkpoint.
    Span(Span),
    /// The barrier it was read before, or that it is, is committed.
    Barrier(u64),
}

/// Checks that a log is the one that a checkpoint speaks of and still has what comes next.
///
/// # Errors
/// The refusal, if it is not or has not.
pub fn check_log(checkpoint: &Checkpoint, log: &LogView) -> Result<(), Refusal> {
    check_identity(checkpoint, log)?;
    check_bounds(checkpoint, log)
}

/// Checks that a log is the one that a checkpoint speaks of, whatever it still has.
///
/// # Errors
/// The refusal, if it is not.
pub(crate) fn check_identity(checkpoint: &Checkpoint, log: &LogView) -> Result<(), Refusal> {
    if log.log != checkpoint.log {
        return Err(Refusal::LogReplaced { expected: checkpoint.log.clone(), found: log.log.clone() });
    }
    for (name, known) in &checkpoint.topics {
        let Some(found) = log.topics.get(name) else {
            return Err(Refusal::TopicMissing { topic: name.clone() });
        };
        if found.id != known.id {
            return Err(Refusal::TopicReplaced { topic: name.clone(), expected: known.id.clone(), found: found.id.clone() });
        }
        let expected = known.next.len().max(found.announced.unwrap_or(0));
        if found.partitions.len() > expected || known.next.keys().any(|p| !found.partitions.contains_key(p)) {
            return Err(Refusal::PartitionsChanged {
                topic: name.clone(),
                known: known.next.len(),
                found: found.partitions.len(),
            });
        }
    }
    Ok(())
}

/// Checks that the log has the last committed barrier where it was committed: an older copy of the log that was gone on with gives its
/// number to another one.
///
/// # Errors
/// The refusal, if it lies beyond.
pub(crate) fn check_barrier(checkpoint: &Checkpoint, barrier: &BarrierLine) -> Result<(), Refusal> {
    for (topic, partition, next) in checkpoint.partitions() {
        if let Some(at) = barrier.offset(topic, partition).filter(|at| barrier.number == checkpoint.barrier && *at > next) {
            return Err(Refusal::LogRewound { number: barrier.number, topic: topic.to_owned(), partition, at, next });
        }
    }
    Ok(())
}

fn check_bounds(checkpoint: &Checkpoint, log: &LogView) -> Result<(), Refusal> {
    for (topic, partition, next) in checkpoint.partitions() {
        let Some(found) = log.topics.get(topic).and_then(|t| t.partitions.get(&partition)) else { continue };
        if next < found.first {
            return Err(Refusal::BelowLogStart { topic: topic.to_owned(), partition, next, first: found.first });
        }
        if next > found.next {
            return Err(Refusal::BeyondLogEnd { topic: topic.to_owned(), partition, next, end: found.next });
        }
    }
    Ok(())
}

/// The commit rule. Total: every claim, however wrong, has a verdict.
pub fn decide(checkpoint: &Checkpoint, claim: &Claim, log: &LogView) -> Verdict {
    decide_with(checkpoint, claim, log, Planted::default())
}

fn decide_with(checkpoint: &Checkpoint, claim: &Claim, log: &LogView, bugs: Planted) -> Verdict {
    if let Some(what) = malformed(claim) {
        return Verdict::Refused(Refusal::Malformed { what });
    }
    if let Err(refusal) = check_identity(checkpoint, log) {
        return Verdict::Refused(refusal);
    }
    let verdict = match claim.act {
        Act::Advance => advance(checkpoint, claim, bugs),
        Act::Barrier { number, kind } => barrier(checkpoint, claim, number, kind, bugs),
        // It moves nothing, so there is nothing to compare, and what the log still has is for those to ask who read on in it:
        // a claim that waits behind this one may be what the log has let go of. The files that it replaces are the table's to know.
        Act::Rewrite => return Verdict::Commit(Box::new(checkpoint.clone())),
    };
    let Verdict::Commit(after) = verdict else { return verdict };
    if claim.skips_deletes && checkpoint.touched {
        return Verdict::Rewrite;
    }
    // What the claim covers may be gone from the log already: the rows are in its files.
    match check_bounds(&after, log) {
        Ok(()) => Verdict::Commit(after),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn malformed(claim: &Claim) -> Option<String> {
    let mut seen = BTreeSet::new();
    for span in &claim.spans {
        if span.from < 0 || span.to < span.from || span.partition < 0 {
            return Some(format!("{span} is not a span"));
        }
        if !seen.insert((&span.topic, span.partition)) {
            return Some(format!("it covers {}-{} twice", span.topic, span.partition));
        }
        if matches!(claim.act, Act::Barrier { .. }) && !span.is_empty() {
            return Some(format!("it is a barrier and covers {span}"));
        }
    }
    match claim.act {
        Act::Rewrite => claim.spans.first().map(|span| format!("it is a rewrite and covers {span}")),
        _ if claim.spans.is_empty() => Some("it covers nothing".to_owned()),
        Act::Barrier { number, .. } if number == 0 || claim.after_barrier != number - 1 => {
            Some(format!("barrier {number} says to come after barrier {}", claim.after_barrier))
        }
        _ => None,
    }
}

fn advance(checkpoint: &Checkpoint, claim: &Claim, bugs: Planted) -> Verdict {
    if !planted!(bugs, BarrierNotWaitedFor) {
        if claim.after_barrier < checkpoint.barrier {
            return Verdict::Stale(Stale::Barrier(checkpoint.barrier));
        }
        if claim.after_barrier > checkpoint.barrier {
            return Verdict::BarrierNotReached { number: claim.after_barrier };
        }
    }
    let mut gap = None;
    for span in &claim.spans {
        let Some(next) = checkpoint.next(&span.topic, span.partition) else {
            return Verdict::Refused(Refusal::UnknownPartition { topic: span.topic.clone(), partition: span.partition });
        };
        // Stale wins over a gap: what is stale once is stale for ever.
        if span.from < next && !planted!(bugs, StaleCheckSkipped) {
            return Verdict::Stale(Stale::Span(span.clone()));
        }
        if span.from > next {
            gap = Some(span);
        }
    }
    if let Some(span) = gap {
        return Verdict::Gap(span.clone());
    }
    Verdict::Commit(Box::new(after(checkpoint, claim)))
}

fn barrier(checkpoint: &Checkpoint, claim: &Claim, number: u64, kind: BarrierKind, bugs: Planted) -> Verdict {
    if number <= checkpoint.barrier {
        return Verdict::Stale(Stale::Barrier(number));
    }
    // Rows before a barrier that removes them all need not have been applied, nor the barriers between: the log may have lost just
    // those, or hold a record there that no row can be made of.
    let from_below = kind.removes_rows() || planted!(bugs, KeepingBarrierFromBelow);
    let passes_over = number - 1 > checkpoint.barrier;
    if passes_over && !from_below {
        return Verdict::BarrierNotReached { number };
    }
    for (topic, partition, next) in checkpoint.partitions() {
        // A log partition that came after the barrier was not there yet: nothing of it may be committed.
        let there = claim.spans.iter().any(|s| s.topic == topic && s.partition == partition);
        if !there && next > 0 && !planted!(bugs, BarrierNotWaitedFor) {
            return Verdict::Refused(Refusal::BarrierCrossed { number, topic: topic.to_owned(), partition, at: 0, next });
        }
    }
    let mut reached = true;
    for span in &claim.spans {
        match checkpoint.next(&span.topic, span.partition) {
            Some(next) if next > span.from && !planted!(bugs, BarrierNotWaitedFor) => {
                return Verdict::Refused(Refusal::BarrierCrossed {
                    number,
                    topic: span.topic.clone(),
                    partition: span.partition,
                    at: span.from,
                    next,
                });
            }
            Some(next) => reached &= next == span.from,
            None if kind == BarrierKind::Partitions && span.from == 0 && checkpoint.topics.contains_key(&span.topic) => {}
            // One of the barriers between has brought it.
            None if from_below && passes_over && checkpoint.topics.contains_key(&span.topic) => {}
            None => {
                return Verdict::Refused(Refusal::UnknownPartition { topic: span.topic.clone(), partition: span.partition });
            }
        }
    }
    if !reached && !from_below && !planted!(bugs, BarrierNotWaitedFor) {
        return Verdict::BarrierNotReached { number };
    }
    let mut next = after(checkpoint, claim);
    next.barrier = number;
    if kind.removes_rows() {
        // Others' rows went with ours: from here on the table is ours alone again.
        next.touched = false;
    }
    Verdict::Commit(Box::new(next))
}

fn after(checkpoint: &Checkpoint, claim: &Claim) -> Checkpoint {
    let mut next = checkpoint.clone();
    for span in &claim.spans {
        if let Some(topic) = next.topics.get_mut(&span.topic) {
            let known = topic.next.get(&span.partition).copied().unwrap_or(0);
            topic.next.insert(span.partition, known.max(span.to));
        }
    }
    next.generation = next.generation.max(claim.generation);
    next.schema_version = next.schema_version.max(claim.schema_version);
    next.source_ts_us = next.source_ts_us.max(claim.source_ts_us);
    if let Some(covered) = &claim.covered {
        next.covered = Some(covered.clone());
    }
    next
}

/// One snapshot in the making: claims that go into it together.
///
/// A snapshot never holds two spans of one log partition, since an equality delete does not reach data of its own snapshot;
/// a barrier is a snapshot of its own, and so is a rewrite.
#[derive(Debug)]
pub struct Round {
    next: Checkpoint,
    covered: BTreeSet<(String, i32)>,
    claims: usize,
    /// It holds a claim that is alone in its snapshot.
    closed: bool,
    bugs: Planted,
}

/// What became of a claim that was offered to a [`Round`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is in this snapshot.
    Admitted,
    /// It may be in the next one: ask again with the checkpoint of this one.
    NextRound,
    /// The rule says no; never [`Verdict::Commit`].
    No(Verdict),
}

impl Round {
    /// A round upon the checkpoint of a head.
    pub fn new(checkpoint: &Checkpoint) -> Self {
        Self { next: checkpoint.clone(), covered: BTreeSet::new(), claims: 0, closed: false, bugs: Planted::default() }
    }

    #[cfg(feature = "planted-bugs")]
    /// The same round with a bug.
    #[must_use]
    pub fn with_bug(self, bugs: Planted) -> Self {
        self.with_planted(bugs)
    }

    pub(crate) fn with_planted(mut self, bugs: Planted) -> Self {
        self.bugs = bugs;
        self
    }

    /// Takes the claim into the round, or says why not.
    pub fn admit(&mut self, claim: &Claim, log: &LogView) -> Admission {
        let alone = matches!(claim.act, Act::Barrier { .. } | Act::Rewrite);
        if self.closed || (alone && self.claims > 0) {
            return Admission::NextRound;
        }
        let overlaps = claim.spans.iter().any(|s| self.covered.contains(&(s.topic.clone(), s.partition)));
        if overlaps && !planted!(self.bugs, TwoSpansInOneSnapshot) {
            return Admission::NextRound;
        }
        match decide_with(&self.next, claim, log, self.bugs) {
            Verdict::Commit(next) => {
                self.next = *next;
                self.covered.extend(claim.spans.iter().map(|s| (s.topic.clone(), s.partition)));
                self.claims = self.claims.saturating_add(1);
                self.closed = alone;
                Admission::Admitted
            }
            verdict => Admission::No(verdict),
        }
    }

    /// True if no claim was admitted.
    pub fn is_empty(&self) -> bool {
        self.claims == 0
    }

    /// The checkpoint of the snapshot, under this commit id.
    pub fn checkpoint(&self, commit: &str) -> Checkpoint {
        Checkpoint { commit: commit.to_owned(), ..self.next.clone() }
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
