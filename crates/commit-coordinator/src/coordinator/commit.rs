//! One commit: what of the queue goes into it, the swap, and the answers.

use super::{Attempt, Coordinator, Waiting};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::log_view::LogView;
#[cfg(feature = "planted-bugs")]
use crate::planted::Planted;
use crate::planted::planted;
use crate::refusal::Refusal;
use crate::rule::{Admission, Round, Verdict};
use crate::span::Act;
use crate::table::{Change, MirrorTable, SwapError};
use crate::transport::{Answer, Delta, Receipt};
use std::sync::Arc;

/// A snapshot that is ready to be swapped in.
struct Formed {
    checkpoint: Arc<Checkpoint>,
    members: Vec<u64>,
    waiting: bool,
    answered: bool,
}

impl<T: MirrorTable> Coordinator<T> {
    /// Commits what of the queue can be committed now, in one snapshot. True if anything was committed or answered.
    pub(super) async fn round(&mut self) -> Result<bool> {
        let (mut tries, mut deadline) = (0, None);
        loop {
            let fresh = self.known.is_none();
            if fresh {
                self.look().await?;
                self.resolve().await?;
                if self.queue.is_empty() {
                    return Ok(true);
                }
            }
            let view = self.view().await?;
            let formed = match self.form(&view) {
                Ok(formed) => formed,
                Err(e) => {
                    self.confirm(e).await?;
                    continue;
                }
            };
            if formed.members.is_empty() {
                if formed.waiting && !fresh {
                    self.known = None;
                    continue;
                }
                return Ok(formed.answered);
            }
            match self.swap(&formed).await? {
                None => return Ok(true),
                Some(why) => {
                    self.known = None;
                    self.pause(&mut tries, &mut deadline, &why).await?;
                }
            }
        }
    }

    fn form(&mut self, view: &LogView) -> Result<Formed> {
        let Some((base, foreign)) = self.known.as_ref().map(|k| (Arc::clone(&k.base), k.foreign.clone())) else {
            return Err(Error::new(ErrorKind::Other, "a round began without a head"));
        };
        let mut round = Round::new(&base).with_planted(self.bugs);
        #[cfg(feature = "planted-bugs")]
        if !self.forced.is_empty() {
            round = round.with_planted(Planted(Some(crate::planted::Bug::StaleCheckSkipped)));
        }
        let (mut members, mut waiting, mut answered) = (Vec::new(), false, false);
        let now = self.environment.now();
        let mut offers = std::mem::take(&mut self.queue).into_iter();
        while let Some(offer) = offers.next() {
            let admission = match (offer.delta.claim.act, &offer.delta.files, &foreign) {
                (Act::Rewrite, None, _) => {
                    Admission::No(Verdict::Refused(Refusal::Malformed { what: "it is a rewrite without files".to_owned() }))
                }
                // Whether the table stops is the worker's to say, who may know of a barrier: maintenance waits for that.
                (Act::Rewrite, _, Some(_)) if now.saturating_sub(offer.since) < self.settings.hold => {
                    waiting = true;
                    self.queue.push(offer);
                    continue;
                }
                (Act::Barrier { kind, .. }, _, Some(_)) if kind.removes_rows() => round.admit(&offer.delta.claim, view),
                (_, _, Some(refusal)) => match round.admit(&offer.delta.claim, view) {
                    Admission::Admitted => Admission::No(Verdict::Refused(refusal.clone())),
                    other => other,
                },
                (_, _, None) => round.admit(&offer.delta.claim, view),
            };
            let answer = match admission {
                Admission::Admitted => {
                    members.push(offer.id);
                    self.queue.push(offer);
                    continue;
                }
                Admission::NextRound => {
                    self.queue.push(offer);
                    continue;
                }
                Admission::No(Verdict::Gap(_) | Verdict::BarrierNotReached { .. })
                    if now.saturating_sub(offer.since) < self.settings.hold =>
                {
                    waiting = true;
                    self.queue.push(offer);
                    continue;
                }
                Admission::No(Verdict::Refused(refusal)) => {
                    self.queue.push(offer);
                    self.queue.extend(offers);
                    return Err(self.refuse(refusal));
                }
                Admission::No(Verdict::Stale(_)) => Answer::Stale(Arc::clone(&base)),
                Admission::No(_) => Answer::Again,
            };
            answered = true;
            tracing::info!(table = %self.name, ?answer, claim = ?offer.delta.claim.spans, "a delta was not committed");
            // Nobody may be listening any more: then it was a zombie's.
            let _ = offer.reply.send(answer);
        }
        self.publish_waiting();
        let checkpoint = Arc::new(round.checkpoint(&self.environment.commit_id()));
        Ok(Formed { checkpoint, members, waiting, answered })
    }

    /// One swap. `Some`: not (surely) done, the head must be read again.
    async fn swap(&mut self, formed: &Formed) -> Result<Option<SwapError>> {
        let Some(known) = self.known.as_ref() else { return Ok(Some(SwapError::Conflict)) };
        let deltas: Vec<&Delta<T::Files>> =
            self.queue.iter().filter(|w| formed.members.contains(&w.id)).map(|w| &*w.delta).collect();
        let change = match deltas.first().map(|d| (d.claim.act, &d.files)) {
            Some((Act::Barrier { kind, .. }, _)) => Change::Barrier(kind),
            Some((Act::Rewrite, Some(files))) => Change::Rewrite(files),
            _ => Change::Delta(deltas.iter().filter_map(|d| d.files.as_ref()).collect()),
        };
        let is_rewrite = matches!(change, Change::Rewrite(_));
        failpoint::hit("coordinator-before-swap");
        let result = self.table.swap(&known.head, change, &formed.checkpoint).await;
        failpoint::hit("coordinator-after-swap");
        match result {
            Ok(head) => {
                let snapshot = head.snapshot.unwrap_or_default();
                self.committed(head, Arc::clone(&formed.checkpoint));
                self.attempts.clear();
                self.acknowledge(&formed.members, snapshot, &formed.checkpoint);
                failpoint::hit("coordinator-after-answer");
                Ok(None)
            }
            // It certainly did not happen; the table can do without, also where a disk is full.
            Err(SwapError::Failed(e)) if is_rewrite => {
                tracing::warn!(table = %self.name, error = %e, "files could not be put in the place of others");
                for offer in self.remove(&formed.members) {
                    let _ = offer.reply.send(Answer::Again);
                }
                Ok(None)
            }
            Err(SwapError::Failed(e)) if e.kind() != ErrorKind::Unavailable => Err(e),
            Err(SwapError::Rewrite(why)) => {
                tracing::info!(table = %self.name, %why, "files were not committed: they must be written again");
                for offer in self.remove(&formed.members) {
                    let _ = offer.reply.send(Answer::Again);
                }
                Ok(None)
            }
            Err(error) => {
                if let SwapError::Unknown(_) = &error {
                    self.status.send_modify(|s| s.unknown = s.unknown.wrapping_add(1));
                    let attempt = Attempt {
                        base: known.head.token.clone(),
                        checkpoint: Arc::clone(&formed.checkpoint),
                        members: formed.members.clone(),
                    };
                    if !self.mishandle_unknown(&attempt) {
                        self.attempts.push(attempt);
                    }
                }
                if let SwapError::Conflict = &error {
                    self.status.send_modify(|s| s.conflicts = s.conflicts.wrapping_add(1));
                    self.mishandle_conflict(&formed.members);
                }
                Ok(Some(error))
            }
        }
    }

    /// A planted bug's way with an unknown outcome; without one, nothing.
    fn mishandle_unknown(&mut self, attempt: &Attempt<T::Token>) -> bool {
        if planted!(self.bugs, UnknownTakenForFailure) {
            self.mishandle(&attempt.members);
            return true;
        }
        #[cfg(feature = "planted-bugs")]
        if planted!(self.bugs, FilesDeletedAfterUnknown) {
            for offer in self.remove(&attempt.members) {
                if let (Some(discard), Some(files)) = (&self.discard, &offer.delta.files) {
                    discard(files);
                }
                let _ = offer.reply.send(Answer::Again);
            }
            return true;
        }
        false
    }

    fn mishandle_conflict(&mut self, members: &[u64]) {
        if planted!(self.bugs, RetryWithoutRecheck) {
            self.mishandle(members);
        }
    }

    fn mishandle(&mut self, members: &[u64]) {
        #[cfg(feature = "planted-bugs")]
        self.forced.extend_from_slice(members);
        #[cfg(not(feature = "planted-bugs"))]
        let _ = members;
    }

    fn remove(&mut self, members: &[u64]) -> Vec<Waiting<T::Files>> {
        let (gone, rest) = std::mem::take(&mut self.queue).into_iter().partition(|w| members.contains(&w.id));
        self.queue = rest;
        #[cfg(feature = "planted-bugs")]
        self.forced.retain(|id| !members.contains(id));
        gone
    }

    pub(super) fn acknowledge(&mut self, members: &[u64], snapshot: i64, checkpoint: &Arc<Checkpoint>) {
        for offer in self.remove(members) {
            let receipt = Receipt::new(Arc::clone(&self.name), snapshot, Arc::clone(checkpoint));
            let _ = offer.reply.send(Answer::Committed(receipt));
        }
        self.publish_waiting();
    }
}
