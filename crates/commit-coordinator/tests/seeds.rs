//! Histories of the simulator: source equals table at rest, and at every snapshot on the way.

use crate::sim::{Planted, play};

/// How many seeds: `SEEDS`, or 500.
fn count() -> u64 {
    std::env::var("SEEDS").ok().map_or(500, |n| n.parse().expect("SEEDS is a number"))
}

/// The diaries of histories, and how many of them had a rewrite land amid the faults.
fn run(seeds: impl Iterator<Item = u64>) -> (String, u64) {
    let (mut diary, mut rewritten) = (String::new(), 0);
    for seed in seeds {
        match play(seed, Planted::default()) {
            Ok(report) => {
                assert!(report.snapshots == 0 || report.snapshots > 1, "seed {seed} committed nothing");
                assert!(report.rows < 100);
                let mut amid_faults = report.diary.iter().take_while(|line| !line.ends_with("  calm"));
                rewritten += u64::from(amid_faults.any(|line| line.contains("LANDED (rewrite)")));
                for line in report.diary {
                    diary.push_str(&line);
                    diary.push('\n');
                }
            }
            Err(failure) => panic!("{failure}"),
        }
    }
    (diary, rewritten)
}

#[test]
fn every_snapshot_of_every_seed_holds_what_its_checkpoint_says_a_seed_replays_alone() {
    let (diary, rewritten) = match std::env::var("SEED") {
        Ok(seed) => {
            let seed = seed.parse().expect("SEED is a number");
            println!("{}", run(std::iter::once(seed)).0);
            return;
        }
        // Two threads, one for each core.
        Err(_) => std::thread::scope(|threads| {
            let half = |odd: u64| (0..count()).filter(move |seed| seed % 2 == odd);
            let other = threads.spawn(move || run(half(1)));
            let (mut diary, rewritten) = run(half(0));
            match other.join() {
                Ok((more, also)) => {
                    diary.push_str(&more);
                    (diary, rewritten + also)
                }
                Err(failure) => std::panic::resume_unwind(failure),
            }
        }),
    };
    // A simulator in which nothing goes wrong would prove nothing.
    let happened = [
        "LANDED",
        "conflicts",
        "lost on its way",
        "offer lost",
        "its double arrives",
        "answer lost",
        "answer: stale",
        "answer: again",
        "CRASHES",
        "zombie",
        "log barrier",
        "log schema",
        "log partition",
        "foreign compaction",
        "nobody is there for long",
        "the log lets go of",
        "foreign row before a barrier",
        "foreign row",
        "DISASTER",
        "two spans",
        "LANDED (rewrite)",
        "OUTDATED (rewrite)",
        "maintainer",
        "offers the same again",
    ];
    for what in happened {
        let times = diary.lines().filter(|line| line.contains(what)).count();
        println!("{times:>8} x {what}");
        assert!(count() < 500 || times >= 20, "{what} happened only {times} times in {} seeds", count());
    }
    println!("{rewritten:>8} of {} histories had a rewrite land amid the faults", count());
    assert!(count() < 500 || rewritten > count() / 2, "a rewrite landed amid the faults only in {rewritten} of {}", count());
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    for seed in [3, 17, 40] {
        let (one, two) = (play(seed, Planted::default()), play(seed, Planted::default()));
        let diary = |result: Result<crate::sim::Report, String>| result.map_or_else(|e| e, |report| report.diary.join("\n"));
        assert_eq!(diary(one), diary(two), "seed {seed}");
    }
}
