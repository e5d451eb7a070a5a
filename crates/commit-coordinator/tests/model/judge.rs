//! What a worker can offer in the model, and the crate's own rule as the one who judges it.

use commit_coordinator::{
    Admission, BarrierKind, Checkpoint, Claim, LogView, PartitionView, Round, Span, TopicCheckpoint, TopicView, Verdict,
};
use std::collections::{BTreeMap, HashMap};

pub(super) const TOPIC: &str = "t";
pub(super) const RECORDS: u8 = 3;
/// Where the barrier lies in each partition.
pub(super) const BARRIER: [u8; 2] = [1, 2];

/// What a worker can offer: partition, from, to, barriers before. Number 0 is nothing, the last one the barrier.
pub(super) const SPANS: [(usize, u8, u8, u8); 8] =
    [(0, 0, 1, 0), (0, 1, 2, 1), (0, 1, 3, 1), (0, 2, 3, 1), (1, 0, 1, 0), (1, 0, 2, 0), (1, 1, 2, 0), (1, 2, 3, 1)];
pub(super) const BARRIER_DELTA: u8 = 9;
pub(super) fn delta(entry: u8) -> u8 {
    entry & 15
}

fn claim(delta: u8, barrier: BarrierKind) -> Claim {
    if delta == BARRIER_DELTA {
        let at = (0..2).map(|p| Span::at(TOPIC, p, i64::from(BARRIER[p as usize]))).collect();
        return Claim::barrier(1, barrier, at);
    }
    let (partition, from, to, after) = SPANS[usize::from(delta) - 1];
    let span = Span::new(TOPIC, i32::try_from(partition).unwrap(), from.into(), to.into());
    Claim { after_barrier: after.into(), ..Claim::advance(vec![span]) }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    Admitted,
    Stays,
    Waits,
    Stale,
    Refused,
}

#[derive(Clone, Copy)]
pub(super) struct Judged {
    pub(super) fates: [Fate; 8],
    pub(super) next: [u8; 2],
    pub(super) barrier: u8,
}

/// A delta is refused whole by the crate's own rule: this only remembers its answers.
pub(super) struct Judge {
    pub(super) known: HashMap<([u8; 2], u8, [u8; 8]), Judged, foldhash::fast::RandomState>,
    claims: Vec<Claim>,
    /// The barrier removes all rows: what lies before it need not be applied.
    pub(super) removes_rows: bool,
    view: LogView,
    #[cfg(feature = "planted-bugs")]
    pub(super) bug: Option<commit_coordinator::Bug>,
}

impl Judge {
    pub(super) fn new(barrier: BarrierKind) -> Self {
        let end = i64::from(RECORDS);
        let partitions = (0..2).map(|p| (p, PartitionView { first: 0, next: end, expiring: 0 })).collect();
        let topic = TopicView { id: "id".into(), partitions, announced: None };
        Self {
            known: HashMap::default(),
            claims: (1..=BARRIER_DELTA).map(|delta| claim(delta, barrier)).collect(),
            removes_rows: barrier.removes_rows(),
            view: LogView { log: "log".into(), topics: BTreeMap::from([(TOPIC.into(), topic)]) },
            #[cfg(feature = "planted-bugs")]
            bug: None,
        }
    }

    pub(super) fn judge(&mut self, next: [u8; 2], barrier: u8, queue: [u8; 8]) -> Judged {
        let deltas = queue.map(delta);
        if let Some(judged) = self.known.get(&(next, barrier, deltas)) {
            return *judged;
        }
        let offsets = (0..2).map(|p| (p, i64::from(next[p as usize]))).collect();
        let checkpoint = Checkpoint {
            version: 1,
            sink: "s".into(),
            branch: "main".into(),
            log: "log".into(),
            topics: BTreeMap::from([(TOPIC.into(), TopicCheckpoint { id: "id".into(), next: offsets })]),
            barrier: barrier.into(),
            commit: "c".into(),
            generation: 0,
            schema_version: 1,
            touched: false,
            covered: None,
            source_ts_us: 0,
        };
        let mut round = Round::new(&checkpoint);
        #[cfg(feature = "planted-bugs")]
        {
            round = round.with_bug(commit_coordinator::Planted(self.bug));
        }
        let mut fates = [Fate::Stays; 8];
        for (fate, delta) in fates.iter_mut().zip(deltas).filter(|(_, delta)| *delta != 0) {
            *fate = match round.admit(&self.claims[usize::from(delta) - 1], &self.view) {
                Admission::Admitted => Fate::Admitted,
                Admission::NextRound => Fate::Stays,
                Admission::No(Verdict::Stale(_)) => Fate::Stale,
                Admission::No(Verdict::Gap(_) | Verdict::BarrierNotReached { .. }) => Fate::Waits,
                Admission::No(_) => Fate::Refused,
            };
        }
        let after = round.checkpoint("c");
        let offset = |p| u8::try_from(after.next(TOPIC, p).unwrap()).unwrap();
        let judged = Judged { fates, next: [offset(0), offset(1)], barrier: u8::try_from(after.barrier).unwrap() };
        self.known.insert((next, barrier, deltas), judged);
        judged
    }
}
