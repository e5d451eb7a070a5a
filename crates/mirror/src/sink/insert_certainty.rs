//! Which inserts certainly have no older version in the table, so that they need no delete (exactly-once.md, section 4).

use crate::progress_topic::TableProgress;
use cdc_core::{BarrierKind, GenerationState, OffsetVector, Op};
use std::collections::HashSet;

/// Hashes of keys that are kept at most, about 20 MiB; beyond it every snapshot row is an upsert.
const MOST_KEYS: usize = 1 << 20;

/// Follows one log partition from the first record that a worker reads, and tells for each insert whether an older version of its
/// key can be in the table. Whatever is not certain is not skipped.
#[derive(Debug)]
pub(super) struct InsertCertainty {
    partition: i32,
    /// The worker has read every record from here on.
    read_from: i64,
    /// The next offset that it expects; another one is a seek, after which nothing is known of what lies between.
    expected: i64,
    /// The generation whose keys are kept.
    generation: u64,
    /// Hashes of the keys that were created, updated or deleted since the generation began.
    touched: HashSet<u64, foldhash::fast::RandomState>,
    overflowed: bool,
}

/// What is certain of a span: its rows share one generation and lie between two barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanCertainty {
    /// Creates at or after this offset are new.
    creates_from: Option<i64>,
    /// Snapshot rows of keys that were not touched since this offset, the generation's beginning, are new.
    reads_from: Option<i64>,
    /// The generation still runs: touched keys must be kept.
    running: bool,
}

impl InsertCertainty {
    /// Begins at an offset, knowing nothing of what came before.
    pub(super) fn new(partition: i32, from: i64) -> Self {
        Self { partition, read_from: from, expected: from, generation: 0, touched: HashSet::default(), overflowed: false }
    }

    /// The next record read will be this one. What is known holds on only if reading went up to exactly there.
    pub(super) fn seek(&mut self, to: i64) {
        if to != self.expected {
            *self = Self::new(self.partition, to);
        }
    }

    /// What is certain for a span that begins at `from`. `may_skip` is false where the table was touched by others.
    pub(super) fn of_span(&mut self, from: i64, progress: Option<&TableProgress>, may_skip: bool) -> SpanCertainty {
        self.seek(from);
        let nothing = SpanCertainty { creates_from: None, reads_from: None, running: false };
        let Some(progress) = progress.filter(|_| may_skip) else { return nothing };
        let Some(generation) = &progress.generation else { return nothing };
        let at = |vector: &OffsetVector| vector.get(&self.partition).copied();
        let Some(began) = at(&generation.began_at) else { return nothing };
        if from < began {
            return nothing;
        }
        if self.generation != generation.number {
            self.generation = generation.number;
            self.touched.clear();
            self.overflowed = false;
        }
        let creates_from = progress
            .mark
            .as_ref()
            .filter(|mark| mark.generation == generation.number)
            .and_then(|mark| at(&mark.creates_are_new_from));
        let ended = match &generation.state {
            GenerationState::Complete { ended_at } => at(ended_at),
            GenerationState::Running => None,
        };
        let running = ended.is_none_or(|ended| from < ended);
        let began_empty = began == 0
            || progress
                .barriers
                .values()
                .any(|b| matches!(b.kind, BarrierKind::Truncate | BarrierKind::Recreate) && at(&b.at) == Some(began));
        let reads_from = (running && began_empty && self.read_from <= began && !self.overflowed).then_some(began);
        SpanCertainty { creates_from, reads_from, running }
    }

    /// True if the insert at this offset needs no delete. Must be called for every event of the partition, in order.
    ///
    /// `key_hash` is asked for only while a snapshot runs.
    pub(super) fn is_new(&mut self, certainty: &SpanCertainty, op: Op, offset: i64, key_hash: impl FnOnce() -> u64) -> bool {
        match op {
            Op::Read => {
                certainty.reads_from.is_some()
                    && !self.overflowed
                    && (self.touched.is_empty() || !self.touched.contains(&key_hash()))
            }
            Op::Create | Op::Update | Op::Delete => {
                if certainty.running && !self.overflowed {
                    self.touched.insert(key_hash());
                    if self.touched.len() > MOST_KEYS {
                        self.overflowed = true;
                        self.touched = HashSet::default();
                    }
                }
                op == Op::Create && certainty.creates_from.is_some_and(|from| offset >= from)
            }
        }
    }

    /// The span was read to here; when its generation is over, its keys are let go.
    pub(super) fn read_to(&mut self, next: i64, certainty: &SpanCertainty) {
        self.expected = next;
        if !certainty.running {
            self.touched = HashSet::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::{Barrier, Generation, Mark, TableId};

    fn progress(began: i64, ended: Option<i64>, mark: Option<i64>) -> TableProgress {
        let table = TableId::new("d", "t");
        let vector = |at: i64| OffsetVector::from([(0, at)]);
        TableProgress {
            generation: Some(Generation {
                table: table.clone(),
                number: 1,
                state: ended.map_or(GenerationState::Running, |e| GenerationState::Complete { ended_at: vector(e) }),
                began_at: vector(began),
                resume: String::new(),
                rows: 0,
                estimated_rows: None,
            }),
            mark: mark.map(|m| Mark { table, generation: 1, creates_are_new_from: vector(m) }),
            ..TableProgress::default()
        }
    }

    /// The answers for events (op, offset, key) of one span that begins at `from`.
    fn answers(c: &mut InsertCertainty, p: &TableProgress, from: i64, may_skip: bool, events: &[(Op, i64, u64)]) -> Vec<bool> {
        let span = c.of_span(from, Some(p), may_skip);
        let out = events.iter().map(|&(op, offset, key)| c.is_new(&span, op, offset, || key)).collect();
        c.read_to(events.last().map_or(from, |e| e.1 + 1), &span);
        out
    }

    #[test]
    fn snapshot_rows_into_an_empty_table_are_new_unless_the_stream_touched_their_key() {
        let mut c = InsertCertainty::new(0, 0);
        let p = progress(0, None, None);
        let events = [(Op::Read, 0, 1), (Op::Create, 1, 2), (Op::Read, 2, 2), (Op::Delete, 3, 3), (Op::Read, 4, 4)];
        assert_eq!(answers(&mut c, &p, 0, true, &events), [true, false, false, false, true]);
        assert_eq!(answers(&mut c, &p, 5, true, &[(Op::Read, 5, 3)]), [false]);
    }

    #[test]
    fn after_a_restart_or_a_seek_in_the_middle_of_a_snapshot_its_rows_are_upserts() {
        let p = progress(0, None, None);
        assert_eq!(answers(&mut InsertCertainty::new(0, 7), &p, 7, true, &[(Op::Read, 7, 1)]), [false]);
        let mut c = InsertCertainty::new(0, 0);
        assert_eq!(answers(&mut c, &p, 0, true, &[(Op::Read, 0, 1)]), [true]);
        assert_eq!(answers(&mut c, &p, 9, true, &[(Op::Read, 9, 2)]), [false]);
    }

    #[test]
    fn creates_are_new_only_from_the_mark_on() {
        let mut c = InsertCertainty::new(0, 20);
        let p = progress(0, Some(15), Some(30));
        assert_eq!(
            answers(&mut c, &p, 20, true, &[(Op::Create, 29, 1), (Op::Create, 30, 2), (Op::Update, 31, 2)]),
            [false, true, false]
        );
        assert_eq!(answers(&mut c, &progress(0, Some(15), None), 32, true, &[(Op::Create, 32, 1)]), [false]);
    }

    #[test]
    fn nothing_is_new_in_a_table_that_others_have_touched() {
        let mut c = InsertCertainty::new(0, 0);
        let p = progress(0, Some(5), Some(5));
        assert_eq!(answers(&mut c, &p, 0, false, &[(Op::Read, 0, 1), (Op::Create, 8, 2)]), [false, false]);
    }

    #[test]
    fn a_snapshot_that_began_with_rows_in_the_table_is_upserted_unless_a_truncate_came_right_before() {
        let p = progress(10, None, None);
        assert_eq!(answers(&mut InsertCertainty::new(0, 0), &p, 10, true, &[(Op::Read, 10, 1)]), [false]);
        let mut p = p;
        let table = TableId::new("d", "t");
        p.barriers.insert(1, Barrier { table, number: 1, kind: BarrierKind::Recreate, at: OffsetVector::from([(0, 10)]) });
        let mut c = InsertCertainty::new(0, 0);
        answers(&mut c, &p, 0, true, &[(Op::Create, 9, 5)]);
        assert_eq!(answers(&mut c, &p, 10, true, &[(Op::Read, 10, 1)]), [true]);
    }
}
