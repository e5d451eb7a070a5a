#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use super::*;
use crate::checkpoint::TopicCheckpoint;
use crate::log_view::{PartitionView, TopicView};
use std::collections::BTreeMap;

fn at(offsets: &[i64], barrier: u64) -> Checkpoint {
    let next = offsets.iter().enumerate().map(|(p, next)| (i32::try_from(p).unwrap(), *next)).collect();
    Checkpoint {
        version: 1,
        sink: "s".into(),
        branch: "main".into(),
        log: "log".into(),
        topics: BTreeMap::from([("t".into(), TopicCheckpoint { id: "id".into(), next })]),
        barrier,
        commit: "c".into(),
        generation: 1,
        schema_version: 2,
        touched: false,
        covered: None,
        source_ts_us: 50,
    }
}

fn log(bounds: &[(i64, i64)]) -> LogView {
    let partitions = bounds
        .iter()
        .enumerate()
        .map(|(p, (first, next))| (i32::try_from(p).unwrap(), PartitionView { first: *first, next: *next, expiring: *first }));
    let topic = TopicView { id: "id".into(), partitions: partitions.collect(), announced: None };
    LogView { log: "log".into(), topics: BTreeMap::from([("t".into(), topic)]) }
}

fn whole() -> LogView {
    log(&[(0, 100), (0, 100)])
}

fn span(partition: i32, from: i64, to: i64) -> Span {
    Span::new("t", partition, from, to)
}

fn committed(verdict: Verdict) -> Checkpoint {
    match verdict {
        Verdict::Commit(checkpoint) => *checkpoint,
        other => panic!("not committed: {other:?}"),
    }
}

fn refused(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Refused(refusal) => refusal.code(),
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_delta_that_begins_where_the_checkpoint_ends_moves_it() {
    let claim = Claim { source_ts_us: 70, schema_version: 1, ..Claim::advance(vec![span(0, 5, 9)]) };
    let after = committed(decide(&at(&[5, 7], 0), &claim, &whole()));
    assert_eq!(after.partitions().collect::<Vec<_>>(), [("t", 0, 9), ("t", 1, 7)]);
    assert_eq!((after.source_ts_us, after.schema_version), (70, 2), "what is known already never goes back");
}

#[test]
fn a_delta_that_begins_below_is_stale_whole_and_one_that_begins_above_waits() {
    for (from, to) in [(0, 5), (4, 9), (4, 5)] {
        let claim = Claim::advance(vec![span(1, 7, 8), span(0, from, to)]);
        assert_eq!(decide(&at(&[5, 7], 0), &claim, &whole()), Verdict::Stale(Stale::Span(span(0, from, to))));
    }
    let ahead = Claim::advance(vec![span(1, 8, 9)]);
    assert_eq!(decide(&at(&[5, 7], 0), &ahead, &whole()), Verdict::Gap(span(1, 8, 9)));
    let both = Claim::advance(vec![span(1, 8, 9), span(0, 4, 9)]);
    assert!(matches!(decide(&at(&[5, 7], 0), &both, &whole()), Verdict::Stale(_)), "stale wins over a gap");
}

#[test]
fn a_barrier_that_keeps_rows_is_committed_alone_and_only_when_every_partition_is_at_it() {
    let barrier = Claim::barrier(1, BarrierKind::KeyChange, vec![span(0, 5, 5), span(1, 7, 7)]);
    assert_eq!(committed(decide(&at(&[5, 7], 0), &barrier, &whole())).barrier, 1);
    assert_eq!(decide(&at(&[5, 6], 0), &barrier, &whole()), Verdict::BarrierNotReached { number: 1 });
    assert_eq!(refused(&decide(&at(&[5, 8], 0), &barrier, &whole())), "barrier-crossed");
    assert_eq!(decide(&at(&[9, 9], 1), &barrier, &whole()), Verdict::Stale(Stale::Barrier(1)));
    let second = Claim::barrier(2, BarrierKind::KeyChange, vec![span(0, 5, 5), span(1, 7, 7)]);
    assert_eq!(decide(&at(&[5, 7], 0), &second, &whole()), Verdict::BarrierNotReached { number: 2 });

    let mut round = Round::new(&at(&[5, 6], 0));
    assert_eq!(round.admit(&Claim::advance(vec![span(1, 6, 7)]), &whole()), Admission::Admitted);
    assert_eq!(round.admit(&barrier, &whole()), Admission::NextRound);
    let mut round = Round::new(&at(&[5, 7], 0));
    assert_eq!(round.admit(&barrier, &whole()), Admission::Admitted);
    let behind = Claim { after_barrier: 1, ..Claim::advance(vec![span(0, 5, 6)]) };
    assert_eq!(round.admit(&behind, &whole()), Admission::NextRound);
}

#[test]
fn a_barrier_that_removes_all_rows_passes_over_what_was_not_applied_before_it() {
    for kind in [BarrierKind::Truncate, BarrierKind::Recreate] {
        let barrier = Claim::barrier(3, kind, vec![span(0, 5, 5), span(1, 7, 7)]);
        for (next, before) in [([5, 7], 2), ([5, 6], 2), ([0, 0], 2), ([4, 7], 0), ([0, 0], 1)] {
            // The log may have lost what is passed over, but not what comes next.
            let after = committed(decide(&at(&next, before), &barrier, &log(&[(5, 9), (7, 9)])));
            assert_eq!(after.partitions().collect::<Vec<_>>(), [("t", 0, 5), ("t", 1, 7)]);
            assert_eq!(after.barrier, 3);
            assert_eq!(refused(&decide(&at(&next, before), &barrier, &log(&[(6, 9), (7, 9)]))), "below-log-start");
        }
        assert_eq!(refused(&decide(&at(&[6, 0], 0), &barrier, &whole())), "barrier-crossed");
        assert_eq!(decide(&at(&[5, 7], 3), &barrier, &whole()), Verdict::Stale(Stale::Barrier(3)));
        assert_eq!(decide(&at(&[5, 7], 4), &barrier, &whole()), Verdict::Stale(Stale::Barrier(3)));

        // A partition that one of the barriers between has brought.
        let mut more = log(&[(0, 9), (0, 9), (0, 9)]);
        more.topics.get_mut("t").unwrap().announced = Some(3);
        let barrier = Claim::barrier(3, kind, vec![span(0, 5, 5), span(1, 7, 7), span(2, 4, 4)]);
        assert_eq!(committed(decide(&at(&[5, 6], 1), &barrier, &more)).next("t", 2), Some(4));
        assert_eq!(refused(&decide(&at(&[5, 6], 2), &barrier, &more)), "unknown-partition", "there is none between");
    }
}

#[test]
fn a_committed_barrier_that_lies_further_on_shows_an_older_copy_of_the_log() {
    let line = |number, at: [i64; 2]| BarrierLine {
        number,
        kind: BarrierKind::Recreate,
        at: vec![span(0, at[0], at[0]), span(1, at[1], at[1])],
    };
    for at_barrier in [[5, 7], [0, 7], [5, 0]] {
        assert_eq!(check_barrier(&at(&[5, 7], 3), &line(3, at_barrier)), Ok(()));
    }
    let refused = check_barrier(&at(&[5, 7], 3), &line(3, [5, 8])).unwrap_err();
    assert_eq!((refused.code(), refused.ends_at_removal()), ("log-rewound", false));
    assert_eq!(check_barrier(&at(&[5, 7], 3), &line(4, [5, 8])), Ok(()), "one that comes is another matter");
}

#[test]
fn rows_behind_a_barrier_wait_for_it_and_rows_before_it_are_stale_after_it() {
    let behind = Claim { after_barrier: 1, ..Claim::advance(vec![span(0, 5, 6)]) };
    assert_eq!(decide(&at(&[5, 7], 0), &behind, &whole()), Verdict::BarrierNotReached { number: 1 });
    let before = Claim::advance(vec![span(0, 5, 6)]);
    assert_eq!(decide(&at(&[5, 7], 1), &before, &whole()), Verdict::Stale(Stale::Barrier(1)));
}

#[test]
fn a_barrier_brings_new_partitions_and_an_older_one_does_not_know_them() {
    let mut view = log(&[(0, 9), (0, 9), (0, 9)]);
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &Claim::advance(vec![span(0, 5, 6)]), &view)), "partitions-changed");
    view.topics.get_mut("t").unwrap().announced = Some(3);
    let more = Claim::barrier(1, BarrierKind::Partitions, vec![span(0, 5, 5), span(1, 7, 7), span(2, 0, 0)]);
    let after = committed(decide(&at(&[5, 7], 0), &more, &view));
    assert_eq!(after.next("t", 2), Some(0));
    let other = Claim::barrier(1, BarrierKind::Truncate, more.spans.clone());
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &other, &view)), "unknown-partition");

    let older = Claim::barrier(1, BarrierKind::Truncate, vec![span(0, 5, 5), span(1, 7, 7)]);
    assert_eq!(committed(decide(&at(&[5, 7, 0], 0), &older, &view)).barrier, 1);
    assert_eq!(refused(&decide(&at(&[5, 7, 2], 0), &older, &view)), "barrier-crossed");
}

#[test]
fn one_snapshot_holds_one_span_of_a_log_partition_and_spans_of_different_ones_go_together() {
    let mut round = Round::new(&at(&[5, 7], 0));
    assert_eq!(round.admit(&Claim::advance(vec![span(0, 5, 6)]), &whole()), Admission::Admitted);
    assert_eq!(round.admit(&Claim::advance(vec![span(0, 6, 8)]), &whole()), Admission::NextRound);
    assert_eq!(round.admit(&Claim::advance(vec![span(0, 5, 6)]), &whole()), Admission::NextRound);
    assert_eq!(round.admit(&Claim::advance(vec![span(1, 7, 9)]), &whole()), Admission::Admitted);
    let after = round.checkpoint("new");
    assert_eq!((after.next("t", 0), after.next("t", 1), &*after.commit), (Some(6), Some(9), "new"));
}

#[test]
fn a_log_that_is_another_or_has_lost_what_comes_next_is_refused() {
    let claim = Claim::advance(vec![span(0, 5, 6)]);
    let other = LogView { log: "log-2".into(), ..whole() };
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &other)), "log-replaced");
    let gone = LogView { topics: BTreeMap::new(), ..whole() };
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &gone)), "topic-missing");
    let mut anew = whole();
    anew.topics.get_mut("t").unwrap().id = "id-2".into();
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &anew)), "topic-replaced");
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &log(&[(0, 9), (8, 9)]))), "below-log-start");
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &log(&[(0, 9), (0, 6)]))), "beyond-log-end");
    // What the delta itself holds may be gone already.
    committed(decide(&at(&[5, 7], 0), &claim, &log(&[(6, 9), (0, 9)])));
}

#[test]
fn a_delta_that_skips_deletes_is_written_again_once_others_have_changed_rows() {
    let claim = Claim { skips_deletes: true, ..Claim::advance(vec![span(0, 5, 6)]) };
    let touched = Checkpoint { touched: true, ..at(&[5, 7], 0) };
    assert_eq!(decide(&touched, &claim, &whole()), Verdict::Rewrite);
    assert!(committed(decide(&touched, &Claim { skips_deletes: false, ..claim }, &whole())).touched);
    let barrier = Claim::barrier(1, BarrierKind::Truncate, vec![span(0, 5, 5), span(1, 7, 7)]);
    assert!(!committed(decide(&touched, &barrier, &whole())).touched, "a truncate removes others' rows too");
}

#[test]
fn a_rewrite_is_committed_alone_and_moves_nothing_whatever_it_says_of_the_log() {
    let base = Checkpoint { touched: true, ..at(&[5, 7], 2) };
    let telling = Claim {
        after_barrier: 9,
        schema_version: 9,
        generation: 9,
        source_ts_us: 99,
        skips_deletes: true,
        covered: Some(crate::span::Covered { position: "{}".into(), ts_us: 99 }),
        ..Claim::rewrite()
    };
    for claim in [Claim::rewrite(), telling] {
        assert_eq!(committed(decide(&base, &claim, &whole())), base);
    }

    let mut round = Round::new(&base);
    assert_eq!(round.admit(&Claim::rewrite(), &whole()), Admission::Admitted);
    let delta = Claim { after_barrier: 2, ..Claim::advance(vec![span(0, 5, 6)]) };
    for next in [&delta, &Claim::rewrite()] {
        assert_eq!(round.admit(next, &whole()), Admission::NextRound);
    }
    let mut round = Round::new(&base);
    assert_eq!(round.admit(&delta, &whole()), Admission::Admitted);
    assert_eq!(round.admit(&Claim::rewrite(), &whole()), Admission::NextRound);
}

#[test]
fn a_rewrite_needs_the_log_to_be_the_same_but_nothing_of_what_it_holds() {
    let other = LogView { log: "log-2".into(), ..whole() };
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &Claim::rewrite(), &other)), "log-replaced");
    let more = log(&[(0, 9), (0, 9), (0, 9)]);
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &Claim::rewrite(), &more)), "partitions-changed");
    // The delta that waits behind it has what the log has let go of.
    let mut round = Round::new(&at(&[5, 7], 0));
    assert_eq!(round.admit(&Claim::rewrite(), &log(&[(6, 9), (0, 9)])), Admission::Admitted);
}

#[test]
fn claims_that_contradict_themselves_have_a_verdict_too() {
    let wrong = [
        Claim::advance(vec![]),
        Claim::advance(vec![span(0, 6, 5)]),
        Claim::advance(vec![span(0, -1, 5)]),
        Claim::advance(vec![span(-1, 0, 5)]),
        Claim::advance(vec![span(0, 5, 6), span(0, 6, 7)]),
        Claim::barrier(0, BarrierKind::Truncate, vec![span(0, 5, 5), span(1, 7, 7)]),
        Claim::barrier(1, BarrierKind::Truncate, vec![span(0, 5, 6), span(1, 7, 7)]),
        Claim { spans: vec![span(0, 5, 5)], ..Claim::rewrite() },
        Claim { spans: vec![span(0, 5, 6)], ..Claim::rewrite() },
        Claim { after_barrier: 7, ..Claim::barrier(1, BarrierKind::Truncate, vec![span(0, 5, 5), span(1, 7, 7)]) },
    ];
    for claim in wrong {
        assert_eq!(refused(&decide(&at(&[5, 7], 0), &claim, &whole())), "malformed", "{claim:?}");
    }
    let unknown = Claim::advance(vec![span(2, 0, 1)]);
    assert_eq!(refused(&decide(&at(&[5, 7], 0), &unknown, &whole())), "unknown-partition");
}
