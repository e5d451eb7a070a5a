//! Which live files to put together.

use std::ops::Range;

/// The live files of one data sequence number, as they matter here: what one commit left, or one rewrite of many commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Bytes of its files.
    pub(super) bytes: u64,
    /// Rows of its data files.
    pub(super) rows: u64,
    /// Keys in its delete files.
    pub(super) deletes: u64,
    /// A data file of the wanted size and no delete file: there is nothing to gain in it.
    pub(super) settled: bool,
}

/// Runs of fewer bytes than this count as if they had so many: a file costs readers much the same however small it is.
const LEAST_BYTES: u64 = 16 << 10;

/// Above so many times `fan_in` runs, small runs are merged together with larger ones between them.
const CROWDED: usize = 8;

/// The runs to merge, from oldest to newest; `None` if it is not worth while yet.
///
/// Runs are of one tier if their bytes have as many digits (to the base of `fan_in`). Once `fan_in` of a tier have come together,
/// with only smaller ones between them, they become one run of the next tier: a row is rewritten once for each tier. Only
/// neighbours: a delete must not pass a row that came after it. Where large and small commits take turns the small ones have no
/// neighbours of their size, and are merged together with the large ones once there are too many.
///
/// Once there is one deleted key for `deleted_one_in` living rows, all runs are merged: no delete is left then.
pub(super) fn choose(runs: &[Run], fan_in: usize, deleted_one_in: u64) -> Option<Range<usize>> {
    let fan_in = fan_in.max(2);
    let sum = |of: fn(&Run) -> u64| runs.iter().map(of).fold(0, u64::saturating_add);
    let (rows, deletes, all) = (sum(|r| r.rows), sum(|r| r.deletes), unsettled(runs));
    let many = deleted_one_in > 0 && deletes > 0 && deletes.saturating_mul(deleted_one_in) >= rows.saturating_sub(deletes);
    if all >= fan_in && many {
        return Some(0..runs.len());
    }
    let top = runs.iter().map(|run| tier(run, fan_in)).max()?;
    let crowded = all > fan_in.saturating_mul(CROWDED);
    (0..=top).find_map(|at_most| {
        windows(runs, fan_in, at_most).find(|window| {
            let of_the_tier = |run: &&Run| !run.settled && (crowded || tier(run, fan_in) == at_most);
            runs[window.clone()].iter().filter(of_the_tier).count() >= fan_in
        })
    })
}

fn tier(run: &Run, fan_in: usize) -> u32 {
    (run.bytes / LEAST_BYTES).max(1).ilog(fan_in as u64)
}

/// The longest stretches of neighbours that are of this tier at most.
fn windows(runs: &[Run], fan_in: usize, at_most: u32) -> impl Iterator<Item = Range<usize>> {
    let small = move |run: &Run| tier(run, fan_in) <= at_most;
    let mut end = 0;
    runs.chunk_by(move |a, b| small(a) == small(b)).filter_map(move |stretch| {
        let start = end;
        end += stretch.len();
        stretch.first().is_some_and(small).then(|| trimmed(start, stretch))
    })
}

fn unsettled(runs: &[Run]) -> usize {
    runs.iter().filter(|run| !run.settled).count()
}

/// Settled runs at either end need not be written again.
fn trimmed(start: usize, window: &[Run]) -> Range<usize> {
    let first = window.iter().position(|run| !run.settled).unwrap_or(window.len());
    let last = window.iter().rposition(|run| !run.settled).map_or(first, |at| at + 1);
    start + first..start + last
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW_BYTES: u64 = 100;

    fn run(rows: u64, deletes: u64) -> Run {
        Run { bytes: (rows + deletes) * ROW_BYTES, rows, deletes, settled: false }
    }

    const fn settled(rows: u64) -> Run {
        Run { bytes: rows * ROW_BYTES, rows, deletes: 0, settled: true }
    }

    /// What a merge leaves, if none of its keys comes twice.
    fn merged(runs: &mut Vec<Run>, window: Range<usize>) -> u64 {
        let whole = window.start == 0;
        let of = |of: fn(&Run) -> u64| runs[window.clone()].iter().map(of).sum::<u64>();
        let (rows, deletes) = (of(|r| r.rows), of(|r| r.deletes));
        let new = if whole { run(rows - deletes.min(rows), 0) } else { run(rows, deletes) };
        runs.splice(window, [new]);
        rows
    }

    #[test]
    fn few_runs_and_runs_of_different_tiers_are_left_alone() {
        assert_eq!(choose(&[], 4, 4), None);
        assert_eq!(choose(&[run(9, 9); 3], 4, 0), None, "three runs are too few");
        assert_eq!(choose(&[run(9_000, 9), run(800, 9), run(9, 9), run(9, 9)], 4, 0), None, "they are of three tiers");
    }

    #[test]
    fn neighbours_of_a_tier_are_merged_once_they_are_enough() {
        let base = run(1_000_000, 0);
        assert_eq!(choose(&[base, run(9, 9), run(9, 9), run(9, 9), run(9, 9)], 4, 4), Some(1..5));
        assert_eq!(
            choose(&[run(9, 9), run(9, 9), base, run(9, 9), run(9, 9)], 4, 4),
            None,
            "a delete must not pass the rows between"
        );
    }

    #[test]
    fn a_tier_takes_those_below_it_along() {
        let runs = [run(1_000_000, 0), run(3_000, 9), run(3_000, 9), run(3_000, 9), run(9, 9), run(3_000, 9), run(9, 9)];
        assert_eq!(choose(&runs, 4, 4), Some(1..7));
    }

    #[test]
    fn small_commits_between_large_ones_are_merged_with_them_when_there_are_too_many() {
        let turns = |n: usize| [run(900_000, 9), run(9, 9), run(9, 9)].repeat(n);
        assert_eq!(choose(&turns(3), 4, 0), None);
        assert_eq!(choose(&turns(4), 4, 0), Some(0..12), "four of the large ones");
        let stairs: Vec<Run> = (0..17).flat_map(|i| [run(1_000 * 4_u64.pow(16 - i), 9), run(9, 9)]).collect();
        assert!(choose(&stairs[..32], 4, 0).is_none());
        assert!(choose(&stairs, 4, 0).is_some(), "more than 32, of which no four are of a size");
    }

    #[test]
    fn all_are_merged_when_one_row_in_four_is_deleted() {
        let runs = [run(100_000, 0), settled(400_000), run(60_000, 60_000), run(60_000, 60_000), run(9_000, 9_000)];
        assert_eq!(choose(&runs, 4, 4), Some(0..5));
        assert_eq!(choose(&runs, 5, 4), None, "four that are not settled are too few then");
    }

    #[test]
    fn files_of_the_wanted_size_are_not_written_again() {
        assert_eq!(choose(&[settled(900_000); 50], 4, 4), None);
        let small = run(10, 0);
        assert_eq!(choose(&[settled(9), small, small, settled(9), small, small, settled(9)], 4, 4), Some(1..6));
    }

    #[test]
    fn a_million_commits_leave_few_runs_and_write_each_row_a_few_times() {
        let mut runs = vec![run(10_000_000, 0)];
        let (mut most, mut written, mut changed) = (0, 0, 0_u64);
        for _ in 0..1_000_000 {
            runs.push(run(15, 15));
            changed += 15;
            while let Some(window) = choose(&runs, 10, 4) {
                written += merged(&mut runs, window);
            }
            most = most.max(runs.len());
            let (rows, deletes) = runs.iter().fold((0, 0), |(r, d), run| (r + run.rows, d + run.deletes));
            assert!(deletes <= rows / 4, "{deletes} deletes for {rows} rows");
        }
        assert!(most <= 45, "{most} runs");
        assert!(written / changed <= 12, "each changed row makes {} be written again", written / changed);
    }
}
