//! The protocol as a model, checked exhaustively for a small size, with the crate's own rule as its transition function.
//!
//! Two workers, two coordinators, two log partitions of three records, a barrier between them, and at most so many faults of
//! each kind in a history. A rewrite of files is no kind of its own: to the model it is the foreign commit, since the head moves and
//! no record does. Each worker reads a partition of its own; one that crashes leaves its delta behind, as a zombie's.
//! Checked in every state that can be reached:
//! - a span is applied only where the applied records end: each record once, in order; nothing crosses the barrier, and nothing
//!   is passed over but by a barrier that removes all rows;
//! - one snapshot holds at most one span of a partition;
//! - from here, without further faults, everything gets into the table: nothing is lost and nobody waits for ever.

mod judge;
mod state;

use commit_coordinator::BarrierKind;
use judge::{BARRIER_DELTA, Fate, Judge, RECORDS};
#[cfg(feature = "planted-bugs")]
use state::{DUPLICATE, LOST_ANSWER};
use state::{KINDS, State};
use std::hash::{BuildHasher, Hash};

/// One that keeps rows and one that removes them.
const BARRIERS: [BarrierKind; 2] = [BarrierKind::KeyChange, BarrierKind::Truncate];

/// States are kept as fingerprints of 128 bits: that two of some millions have the same is less likely than a broken memory.
fn fingerprint(state: &State) -> u128 {
    fn half(state: &State, seed: u64) -> u128 {
        let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
        state.hash(&mut hasher);
        u128::from(std::hash::Hasher::finish(&hasher))
    }
    half(state, 1) << 64 | half(state, 2)
}

/// Walks every state; returns how many there are.
///
/// # Errors
/// What is violated, with the shortest way to it.
fn explore(judge: &mut Judge, limits: [u8; KINDS]) -> Result<usize, String> {
    let start = State::default().canonical(judge);
    let mut seen: std::collections::HashSet<u128, foldhash::fast::RandomState> = Default::default();
    let mut trail: Vec<(u32, u16)> = vec![(0, 0)];
    seen.insert(fingerprint(&start));
    let (mut level, mut out) = (vec![(0u32, start)], Vec::new());
    while !level.is_empty() {
        let mut deeper = Vec::new();
        for (index, state) in level {
            if let Err(why) = state.successors(judge, &limits, &mut out) {
                return Err(format!("{why}\n{}", story(judge, limits, &trail, index)));
            }
            if out.is_empty() && !state.done() {
                return Err(format!("nothing can happen any more\n{}", story(judge, limits, &trail, index)));
            }
            for (choice, next) in out.iter().enumerate() {
                let next = next.canonical(judge);
                let number = u32::try_from(trail.len()).unwrap();
                if seen.insert(fingerprint(&next)) {
                    trail.push((index, u16::try_from(choice).unwrap()));
                    deeper.push((number, next));
                }
            }
        }
        level = deeper;
    }
    Ok(trail.len())
}

/// The states that lead to this one.
fn story(judge: &mut Judge, limits: [u8; KINDS], trail: &[(u32, u16)], mut index: u32) -> String {
    let mut choices = Vec::new();
    while index != 0 {
        let (parent, choice) = trail[index as usize];
        choices.push(choice);
        index = parent;
    }
    let (mut state, mut out, mut lines) = (State::default().canonical(judge), Vec::new(), Vec::new());
    for choice in choices.into_iter().rev() {
        lines.push(format!("{state:?}"));
        state.successors(judge, &limits, &mut out).unwrap();
        state = out[usize::from(choice)].canonical(judge);
    }
    lines.push(format!("{state:?}"));
    lines.join("\n")
}

/// From every state that a random walk with faults comes to, a walk without faults comes to the end.
fn everything_arrives(judge: &mut Judge, limits: [u8; KINDS], walks: u64) -> Result<u64, String> {
    use rand::{Rng, SeedableRng};
    let (mut out, mut most) = (Vec::new(), 0);
    for seed in 0..walks {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
        let mut state = State::default();
        for _ in 0..rng.random_range(0..60) {
            state.successors(judge, &limits, &mut out)?;
            if out.is_empty() {
                break;
            }
            state = out[rng.random_range(0..out.len())];
        }
        let mut steps = 0;
        while !state.done() {
            state.successors(judge, &state.faults.clone(), &mut out)?;
            state = out[rng.random_range(0..out.len())];
            steps += 1;
            if steps > 20_000 {
                return Err(format!("seed {seed}: not at the end after {steps} steps without faults: {state:?}"));
            }
        }
        most = most.max(steps);
    }
    Ok(most)
}

#[test]
fn in_every_state_of_the_model_each_record_is_applied_once_and_in_order() {
    let started = std::time::Instant::now();
    let mut total = 0;
    // All kinds at once would be too many states to walk; each pair of kinds is not. Histories with all kinds are walked at
    // random below, and by the simulator.
    let pairs = (0..KINDS).flat_map(|a| (a + 1..KINDS).map(move |b| (a, b)));
    let limits = pairs.map(|(a, b)| std::array::from_fn(|kind| if kind == a || kind == b { 2 } else { 0 }));
    for limits in limits {
        for barrier in BARRIERS {
            let mut judge = Judge::new(barrier);
            let states = explore(&mut judge, limits)
                .unwrap_or_else(|why| panic!("with the barrier {barrier:?} and at most {limits:?} faults: {why}"));
            println!("{states:>9} states with {barrier:?} and at most {limits:?} faults, {:?}", started.elapsed());
            total += states;
        }
    }
    println!("{total} states in {:?}", started.elapsed());
    assert!(total > 10_000_000, "the model has shrunk to {total} states");
}

#[test]
fn what_is_stale_once_is_stale_for_ever() {
    for barrier in BARRIERS {
        stale_for_ever(&mut Judge::new(barrier));
    }
}

fn stale_for_ever(judge: &mut Judge) {
    let heads = || (0..=RECORDS).flat_map(|a| (0..=RECORDS).flat_map(move |b| (0..2).map(move |barrier| ([a, b], barrier))));
    for d in 1..=BARRIER_DELTA {
        let alone = [d, 0, 0, 0, 0, 0, 0, 0];
        for (next, barrier) in heads().filter(|(n, b)| judge.judge(*n, *b, alone).fates[0] == Fate::Stale).collect::<Vec<_>>() {
            for (later, above) in heads().filter(|(l, b)| l[0] >= next[0] && l[1] >= next[1] && *b >= barrier) {
                let fate = judge.judge(later, above, alone).fates[0];
                assert_eq!(fate, Fate::Stale, "delta {d} is stale at {next:?} {barrier}, not at {later:?} {above}");
            }
        }
    }
}

#[test]
fn in_the_model_everything_arrives_once_the_faults_are_over() {
    for barrier in BARRIERS {
        let most = everything_arrives(&mut Judge::new(barrier), [2; KINDS], 5_000).unwrap_or_else(|why| panic!("{why}"));
        println!("{barrier:?}: at most {most} steps");
    }
}

#[cfg(feature = "planted-bugs")]
pub fn finds(bug: commit_coordinator::Bug, barrier: BarrierKind) -> Result<usize, String> {
    let mut judge = Judge::new(barrier);
    judge.bug = Some(bug);
    let mut limits = [0; KINDS];
    (limits[DUPLICATE], limits[LOST_ANSWER]) = (1, 1);
    explore(&mut judge, limits)
}
