//! A state of the model, and every state that can follow it.

use super::judge::{BARRIER, BARRIER_DELTA, Fate, Judge, RECORDS, SPANS, delta};

const NOBODY: u8 = 2;

pub(super) const KINDS: usize = 7;
const CRASH_WORKER: usize = 0;
const CRASH_COORDINATOR: usize = 1;
pub(super) const DUPLICATE: usize = 2;
const LOST_MESSAGE: usize = 3;
const UNKNOWN: usize = 4;
pub(super) const LOST_ANSWER: usize = 5;
const FOREIGN: usize = 6;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct Worker {
    /// What it knows of the checkpoint (its partition's offset, the barrier); nothing after a start, a refusal or a lost answer.
    known: Option<(u8, u8)>,
    /// What it has offered and waits for.
    waiting: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
enum Step {
    #[default]
    Idle,
    /// It has read the head, which still is the head.
    Read,
    /// It does not know whether its swap happened; true: it did.
    Unsure(bool),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
struct Coordinator {
    /// Offers in the order of their arrival: the delta, and its worker in the upper half.
    queue: [u8; 8],
    step: Step,
    /// Which of the queue are in the swap that it is unsure of.
    members: u8,
}

/// A swap that may still land: whose, and its deltas. It was made upon the head of now.
type Late = (u8, u16);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(super) struct State {
    next: [u8; 2],
    barrier: u8,
    workers: [Worker; 2],
    coordinators: [Coordinator; 2],
    /// Offers under way, sorted.
    network: [u8; 8],
    late: [Late; 2],
    pub(super) faults: [u8; KINDS],
}

fn owner(entry: u8) -> u8 {
    entry >> 4
}

fn entry(delta: u8, owner: u8) -> u8 {
    delta | owner << 4
}

fn put(list: &mut [u8; 8], value: u8) {
    let free = list.iter().position(|e| *e == 0).expect("more offers than the bounds of the model allow");
    list[free] = value;
}

fn take(list: &mut [u8; 8], index: usize) -> u8 {
    let value = list[index];
    list.copy_within(index + 1.., index);
    list[7] = 0;
    value
}

impl State {
    pub(super) fn done(&self) -> bool {
        self.next == [RECORDS; 2] && self.barrier == 1
    }

    fn fault(&self, kind: usize, limits: &[u8; KINDS]) -> Option<Self> {
        let mut state = *self;
        state.faults[kind] += 1;
        (state.faults[kind] <= limits[kind]).then_some(state)
    }

    /// The head is another one: what was read or sent upon the old one can no longer succeed.
    fn moved(&mut self) {
        for coordinator in &mut self.coordinators {
            if matches!(coordinator.step, Step::Read | Step::Unsure(false)) {
                // Its swap would meet a conflict, or can no longer land: either way it reads the head again.
                coordinator.step = Step::Idle;
                coordinator.members = 0;
            }
        }
        self.late = Default::default();
    }

    /// The truth about what is applied, written without the crate's rule.
    fn apply(&mut self, deltas: u16, judge: &Judge) -> Result<(), String> {
        let list: Vec<u8> = (1..=BARRIER_DELTA).filter(|d| deltas & (1 << d) != 0).collect();
        for d in &list {
            if *d == BARRIER_DELTA {
                let from_below = judge.removes_rows && (0..2).all(|p| self.next[p] <= BARRIER[p]);
                if list.len() > 1 || self.barrier != 0 || !(from_below || self.next == BARRIER) {
                    return Err(format!("the barrier is applied at {:?}, after {} barriers", self.next, self.barrier));
                }
                (self.next, self.barrier) = (BARRIER, 1);
                continue;
            }
            let (partition, from, to, _) = SPANS[usize::from(*d) - 1];
            if from != self.next[partition] {
                return Err(format!("[{from}, {to}) of {partition} is applied where {} is next", self.next[partition]));
            }
            if list.iter().any(|o| o != d && *o != BARRIER_DELTA && SPANS[usize::from(*o) - 1].0 == partition) {
                return Err(format!("one snapshot holds two spans of partition {partition}"));
            }
            let crosses = if self.barrier == 0 { to > BARRIER[partition] } else { from < BARRIER[partition] };
            if crosses {
                return Err(format!("[{from}, {to}) of {partition} crosses the barrier"));
            }
            self.next[partition] = to;
        }
        self.moved();
        Ok(())
    }

    fn answer_committed(&mut self, offer: u8) {
        let Some(worker) = self.workers.get_mut(usize::from(owner(offer))) else { return };
        assert_eq!(worker.waiting, delta(offer));
        worker.waiting = 0;
        if let Some((at, barrier)) = &mut worker.known {
            match delta(offer) {
                BARRIER_DELTA => (*at, *barrier) = (BARRIER[usize::from(owner(offer))], 1),
                d => *at = SPANS[usize::from(d) - 1].2,
            }
        }
    }

    fn answer_seek(&mut self, offer: u8) {
        if let Some(worker) = self.workers.get_mut(usize::from(owner(offer))) {
            assert_eq!(worker.waiting, delta(offer));
            *worker = Worker::default();
        }
    }

    /// The worker no longer listens to what it has offered.
    fn orphan(&mut self, worker: usize) {
        let old = entry(self.workers[worker].waiting, u8::try_from(worker).unwrap());
        let lists = self.coordinators.iter_mut().map(|c| &mut c.queue).chain(std::iter::once(&mut self.network));
        for offer in lists.flatten().filter(|offer| **offer == old && delta(old) != 0) {
            *offer = entry(delta(old), NOBODY);
        }
        self.workers[worker] = Worker::default();
    }

    fn is_under_way(&self, worker: usize) -> bool {
        let offer = entry(self.workers[worker].waiting, u8::try_from(worker).unwrap());
        self.network.contains(&offer) || self.coordinators.iter().any(|c| c.queue.contains(&offer))
    }

    /// The coordinators are alike: of states that differ in their numbers only, one is kept.
    ///
    /// Offers that nobody waits for and that the rule calls stale are left out: their only effect would be to go away, since
    /// what is stale once is stale for ever (which is checked by a test of its own).
    pub(super) fn canonical(mut self, judge: &mut Judge) -> Self {
        let (next, barrier) = (self.next, self.barrier);
        let mut gone = |offer: u8| {
            let mut alone = [0; 8];
            alone[0] = offer;
            offer != 0 && owner(offer) == NOBODY && judge.judge(next, barrier, alone).fates[0] == Fate::Stale
        };
        for i in (0..8).rev() {
            if gone(self.network[i]) {
                take(&mut self.network, i);
            }
            for coordinator in self.coordinators.iter_mut().filter(|c| c.members == 0) {
                if gone(coordinator.queue[i]) {
                    take(&mut coordinator.queue, i);
                }
            }
        }
        self.network.sort_unstable_by(|a, b| b.cmp(a));
        self.late.sort_unstable_by(|a, b| b.cmp(a));
        let mut other = self;
        other.coordinators.swap(0, 1);
        for late in other.late.iter_mut().filter(|late| late.1 != 0 && late.0 != NOBODY) {
            late.0 ^= 1;
        }
        other.late.sort_unstable_by(|a, b| b.cmp(a));
        self.min(other)
    }

    /// All that can happen next. Steps without a fault come first, in an order that leads to the end.
    pub(super) fn successors(&self, judge: &mut Judge, limits: &[u8; KINDS], out: &mut Vec<State>) -> Result<(), String> {
        out.clear();
        for c in 0..2 {
            match self.coordinators[c].step {
                Step::Idle => {
                    if self.coordinators[c].queue[0] != 0 {
                        let mut state = *self;
                        state.coordinators[c].step = Step::Read;
                        out.push(state);
                    }
                }
                Step::Read => self.swap(c, judge, limits, out)?,
                Step::Unsure(landed) => {
                    let mut state = *self;
                    if landed {
                        state.acknowledge(c);
                    }
                    state.leave(c);
                    out.push(state);
                }
            }
        }
        for i in 0..self.network.iter().filter(|offer| **offer != 0).count() {
            for c in 0..2 {
                let mut state = *self;
                let offer = take(&mut state.network, i);
                put(&mut state.coordinators[c].queue, offer);
                out.push(state);
            }
        }
        for w in 0..2 {
            self.work(w, judge, out);
        }
        for i in 0..2 {
            let (owner, deltas) = self.late[i];
            if deltas != 0 {
                let mut state = *self;
                state.apply(deltas, judge)?;
                if let Some(before) = self.coordinators.get(usize::from(owner))
                    && before.step == Step::Unsure(false)
                {
                    state.coordinators[usize::from(owner)] = Coordinator { step: Step::Unsure(true), ..*before };
                }
                out.push(state);
            }
        }
        self.fail(limits, out);
        Ok(())
    }

    /// A coordinator that has read the head decides and swaps.
    fn swap(&self, c: usize, judge: &mut Judge, limits: &[u8; KINDS], out: &mut Vec<State>) -> Result<(), String> {
        let queue = self.coordinators[c].queue;
        let judged = judge.judge(self.next, self.barrier, queue);
        let mut state = *self;
        let (mut rest, mut members, mut deltas) = ([0; 8], 0u8, 0u16);
        for (offer, fate) in queue.into_iter().zip(judged.fates).filter(|(offer, _)| *offer != 0) {
            match fate {
                Fate::Stale => {
                    state.answer_seek(offer);
                    continue;
                }
                Fate::Refused => return Err(format!("the rule refuses the delta {} for good", delta(offer))),
                Fate::Admitted => {
                    members |= 1 << rest.iter().position(|e| *e == 0).unwrap();
                    deltas |= 1 << delta(offer);
                }
                Fate::Stays | Fate::Waits => {}
            }
            put(&mut rest, offer);
        }
        state.coordinators[c].queue = rest;
        state.coordinators[c].members = members;
        if members == 0 {
            // What waits here may wait on, or be told to try again.
            state.leave(c);
            for i in 0..rest.iter().filter(|offer| **offer != 0).count() {
                let mut again = state;
                let offer = take(&mut again.coordinators[c].queue, i);
                again.answer_seek(offer);
                out.push(again);
            }
            out.push(state);
            return Ok(());
        }
        let mut done = state;
        done.apply(deltas, judge)?;
        if (done.next, done.barrier) != (judged.next, judged.barrier) {
            return Err(format!("{:?} is applied, the checkpoint says {:?}", done.next, judged.next));
        }
        done.acknowledge(c);
        done.leave(c);
        out.push(done);
        if let Some(mut unsure) = state.fault(UNKNOWN, limits) {
            unsure.coordinators[c].step = Step::Unsure(false);
            out.push(unsure);
            let mut late = unsure;
            if let Some(free) = late.late.iter().position(|l| l.1 == 0) {
                late.late[free] = (u8::try_from(c).unwrap(), deltas);
                out.push(late);
            }
            let mut landed = unsure;
            landed.apply(deltas, judge)?;
            landed.coordinators[c] = Coordinator { step: Step::Unsure(true), ..unsure.coordinators[c] };
            out.push(landed);
        }
        Ok(())
    }

    fn acknowledge(&mut self, c: usize) {
        let members = self.coordinators[c].members;
        for i in (0..8).rev().filter(|i| members & (1 << i) != 0) {
            let offer = take(&mut self.coordinators[c].queue, i);
            self.answer_committed(offer);
        }
    }

    /// The coordinator goes on; a swap of it that may still land is nobody's now.
    fn leave(&mut self, c: usize) {
        self.coordinators[c].step = Step::Idle;
        self.coordinators[c].members = 0;
        for late in self.late.iter_mut().filter(|late| late.1 != 0 && usize::from(late.0) == c) {
            late.0 = NOBODY;
        }
    }

    fn work(&self, w: usize, judge: &Judge, out: &mut Vec<State>) {
        let worker = self.workers[w];
        if worker.waiting != 0 {
            if !self.is_under_way(w) {
                // Lost somewhere: after a while it asks the table itself.
                let mut state = *self;
                state.workers[w] = Worker::default();
                out.push(state);
            }
            return;
        }
        let Some((at, barrier)) = worker.known else {
            let mut state = *self;
            state.workers[w].known = Some((self.next[w], self.barrier));
            out.push(state);
            return;
        };
        let mut offer = |delta: u8| {
            let mut state = *self;
            state.workers[w].waiting = delta;
            put(&mut state.network, entry(delta, u8::try_from(w).unwrap()));
            out.push(state);
        };
        for d in (1..BARRIER_DELTA).rev() {
            let (partition, from, _, after) = SPANS[usize::from(d) - 1];
            if partition == w && from == at && after == barrier {
                offer(d);
            }
        }
        // One that removes all rows is gone to at once by a worker that learns of it before it reads.
        if barrier == 0 && (at == BARRIER[w] || (judge.removes_rows && at < BARRIER[w])) {
            offer(BARRIER_DELTA);
        }
        if at < self.next[w] || barrier < self.barrier {
            // Somebody else is ahead of it; it may be assigned anew at any time.
            let mut state = *self;
            state.workers[w] = Worker::default();
            out.push(state);
        }
    }

    fn fail(&self, limits: &[u8; KINDS], out: &mut Vec<State>) {
        for i in 0..2 {
            let worker = self.workers[i];
            if worker != Worker::default()
                && let Some(mut state) = self.fault(CRASH_WORKER, limits)
            {
                state.orphan(i);
                out.push(state);
            }
            if worker.waiting != 0
                && self.is_under_way(i)
                && let Some(mut state) = self.fault(LOST_ANSWER, limits)
            {
                state.orphan(i);
                out.push(state);
            }
            if self.coordinators[i] != Coordinator::default()
                && let Some(mut state) = self.fault(CRASH_COORDINATOR, limits)
            {
                state.leave(i);
                state.coordinators[i] = Coordinator::default();
                out.push(state);
            }
        }
        for i in 0..self.network.iter().filter(|offer| **offer != 0).count() {
            if let Some(mut state) = self.fault(DUPLICATE, limits) {
                // Its answer goes nowhere: the first one's counts.
                put(&mut state.network, entry(delta(self.network[i]), NOBODY));
                out.push(state);
            }
            if let Some(mut state) = self.fault(LOST_MESSAGE, limits) {
                take(&mut state.network, i);
                out.push(state);
            }
        }
        let somebody_cares = self.coordinators.iter().any(|c| c.step == Step::Read) || self.late != <[Late; 2]>::default();
        if somebody_cares && let Some(mut state) = self.fault(FOREIGN, limits) {
            state.moved();
            out.push(state);
        }
    }
}
