//! Known protocol bugs are found: by the simulator within so many seeds, and where they are the rule's also by the model.

use crate::sim::play;
use commit_coordinator::{BarrierKind, Bug};

/// The first seed whose history shows the bug.
fn found_by_simulator(bug: Bug, seeds: u64) {
    for seed in 0..seeds {
        if let Err(failure) = play(seed, commit_coordinator::Planted(Some(bug))) {
            let why = failure.lines().find(|line| line.starts_with("SEED=")).unwrap_or_default().to_owned();
            println!("{bug:?} is found by seed {seed}: {why}");
            return;
        }
    }
    panic!("{bug:?} is not found within {seeds} seeds");
}

fn found_by_model(bug: Bug, barrier: BarrierKind, says: &str) {
    let why = crate::model::finds(bug, barrier).expect_err("the model does not find the bug");
    assert!(why.contains(says), "{why}");
}

#[test]
fn a_skipped_stale_check_is_found() {
    found_by_simulator(Bug::StaleCheckSkipped, 200);
    found_by_model(Bug::StaleCheckSkipped, BarrierKind::Truncate, "is next");
}

#[test]
fn a_retry_without_asking_the_rule_again_is_found() {
    found_by_simulator(Bug::RetryWithoutRecheck, 200);
}

#[test]
fn an_unknown_outcome_that_is_taken_for_a_failure_is_found() {
    found_by_simulator(Bug::UnknownTakenForFailure, 200);
}

#[test]
fn two_spans_of_one_log_partition_in_one_snapshot_are_found() {
    found_by_simulator(Bug::TwoSpansInOneSnapshot, 400);
}

#[test]
fn a_barrier_that_is_not_waited_for_is_found() {
    found_by_simulator(Bug::BarrierNotWaitedFor, 200);
    found_by_model(Bug::BarrierNotWaitedFor, BarrierKind::KeyChange, "barrier");
}

#[test]
fn a_barrier_that_keeps_rows_and_is_committed_from_below_is_found() {
    found_by_simulator(Bug::KeepingBarrierFromBelow, 200);
    found_by_model(Bug::KeepingBarrierFromBelow, BarrierKind::KeyChange, "the barrier is applied at");
}

#[test]
fn files_deleted_after_an_unknown_outcome_are_found() {
    found_by_simulator(Bug::FilesDeletedAfterUnknown, 200);
}

#[test]
fn a_span_cut_without_reading_the_progress_first_is_found() {
    found_by_simulator(Bug::CutWithoutProgress, 300);
}

#[test]
fn a_rewrite_of_files_that_are_gone_is_found() {
    found_by_simulator(Bug::RewriteOfGoneFiles, 200);
}

#[test]
fn rewritten_files_that_take_the_sequence_number_of_their_commit_are_found() {
    found_by_simulator(Bug::RewriteAtNewSequence, 200);
}
