//! The first start of a sink on a table: from where, or why not.

use crate::checkpoint::{CHECKPOINT_VERSION, Checkpoint, TopicCheckpoint};
use crate::lineage::Lineage;
use crate::log_view::{GenerationStart, LogView};
use crate::refusal::Refusal;
use std::collections::BTreeMap;

/// What to do when the log has lost its beginning and that of the newest snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FirstStart {
    /// Refuse: older rows would be missing.
    #[default]
    Complete,
    /// Begin with what the log still has; older rows are not wanted.
    Earliest,
}

/// The checkpoint to begin with.
///
/// In this order: the offsets that a Kafka Connect sink left, if the table has rows; the log's beginning, if it still has
/// it; the beginning of the newest snapshot of the source table; the log's first offsets, if the operator says so.
///
/// # Errors
/// The refusal: rows without a checkpoint, a predecessor's offsets with holes, a log without its beginning, a missing topic.
pub fn first_checkpoint(
    sink: &str,
    branch: &str,
    topics: &[String],
    lineage: &Lineage,
    log: &LogView,
    generation: Option<&GenerationStart>,
    first: FirstStart,
) -> Result<Checkpoint, Refusal> {
    let mut checkpoint = Checkpoint {
        version: CHECKPOINT_VERSION,
        sink: sink.to_owned(),
        branch: branch.to_owned(),
        log: log.log.clone(),
        topics: BTreeMap::new(),
        barrier: 0,
        commit: String::new(),
        generation: 0,
        schema_version: 0,
        touched: false,
        covered: None,
        source_ts_us: 0,
    };
    for name in topics {
        let Some(topic) = log.topics.get(name) else { return Err(Refusal::TopicMissing { topic: name.clone() }) };
        let next = topic.partitions.iter().map(|(p, view)| (*p, view.first)).collect();
        checkpoint.topics.insert(name.clone(), TopicCheckpoint { id: topic.id.clone(), next });
    }
    if let Some(offsets) = lineage.predecessor.as_ref().filter(|_| lineage.has_rows) {
        for (name, topic) in &mut checkpoint.topics {
            for (partition, next) in &mut topic.next {
                let Some(left) = offsets.get(name).and_then(|t| t.get(partition)) else {
                    return Err(Refusal::PredecessorIncomplete { topic: name.clone(), partition: *partition });
                };
                *next = *left;
            }
        }
        // That sink's rows are not written by our rules: nothing about them is certain.
        checkpoint.touched = true;
        return crate::rule::check_log(&checkpoint, log).map(|()| checkpoint);
    }
    if lineage.has_rows {
        return Err(Refusal::RowsWithoutCheckpoint);
    }
    let lost = checkpoint.partitions().find(|(_, _, first)| *first > 0).map(|(t, p, first)| (t.to_owned(), p, first));
    let Some((topic, partition, lost)) = lost else { return Ok(checkpoint) };
    if let Some(generation) = generation
        && let Some(from) = whole(generation, &checkpoint)
    {
        for (name, partition, offset) in from {
            if let Some(topic) = checkpoint.topics.get_mut(&name) {
                topic.next.insert(partition, offset);
            }
        }
        checkpoint.barrier = generation.barrier;
        checkpoint.generation = generation.number;
        checkpoint.schema_version = generation.schema_version;
        return Ok(checkpoint);
    }
    match first {
        FirstStart::Earliest => {
            checkpoint.touched = true;
            Ok(checkpoint)
        }
        FirstStart::Complete => Err(Refusal::BeginningMissing { topic, partition, first: lost }),
    }
}

/// Where the generation began in every log partition, if the log still has all of it.
fn whole(generation: &GenerationStart, first: &Checkpoint) -> Option<Vec<(String, i32, i64)>> {
    first
        .partitions()
        .map(|(topic, partition, first)| {
            let began = generation.began_at.iter().find(|s| s.topic == topic && s.partition == partition)?;
            (began.from >= first).then(|| (topic.to_owned(), partition, began.from))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;
    use crate::lineage::Descent;
    use crate::log_view::{PartitionView, TopicView};
    use crate::span::Span;

    fn log(first: i64) -> LogView {
        let partitions = BTreeMap::from([
            (0, PartitionView { first, next: 100, expiring: first }),
            (1, PartitionView { first: 0, next: 100, expiring: 0 }),
        ]);
        let topic = TopicView { id: "id".into(), partitions, announced: None };
        LogView { log: "log".into(), topics: BTreeMap::from([("t".into(), topic)]) }
    }

    fn start(
        lineage: &Lineage,
        log: &LogView,
        generation: Option<&GenerationStart>,
        first: FirstStart,
    ) -> Result<Checkpoint, Refusal> {
        first_checkpoint("s", "main", &["t".to_owned()], lineage, log, generation, first)
    }

    fn empty() -> Lineage {
        Lineage { descent: Descent::Fresh, has_rows: false, ..Lineage::own() }
    }

    fn generation(began: i64) -> GenerationStart {
        GenerationStart { number: 3, began_at: vec![Span::at("t", 0, began), Span::at("t", 1, 7)], barrier: 2, schema_version: 4 }
    }

    #[test]
    fn an_empty_table_begins_where_a_whole_log_begins() {
        let checkpoint = start(&empty(), &log(0), Some(&generation(40)), FirstStart::Complete).unwrap();
        assert_eq!(checkpoint.partitions().collect::<Vec<_>>(), [("t", 0, 0), ("t", 1, 0)]);
        assert_eq!((checkpoint.barrier, checkpoint.touched), (0, false));
    }

    #[test]
    fn a_log_without_its_beginning_needs_a_whole_generation_or_the_operators_word() {
        let e = start(&empty(), &log(5), None, FirstStart::Complete).unwrap_err();
        assert_eq!(e, Refusal::BeginningMissing { topic: "t".into(), partition: 0, first: 5 });
        let e = start(&empty(), &log(5), Some(&generation(4)), FirstStart::Complete).unwrap_err();
        assert_eq!(e.code(), "beginning-missing");

        let checkpoint = start(&empty(), &log(5), Some(&generation(40)), FirstStart::Complete).unwrap();
        assert_eq!(checkpoint.partitions().collect::<Vec<_>>(), [("t", 0, 40), ("t", 1, 7)]);
        assert_eq!((checkpoint.barrier, checkpoint.generation, checkpoint.schema_version), (2, 3, 4));

        let checkpoint = start(&empty(), &log(5), None, FirstStart::Earliest).unwrap();
        assert_eq!(checkpoint.next("t", 0), Some(5));
    }

    #[test]
    fn rows_that_are_not_from_this_sink_are_refused_unless_a_predecessor_left_every_offset() {
        let mut lineage = Lineage { has_rows: true, ..empty() };
        assert_eq!(start(&lineage, &log(0), None, FirstStart::Earliest).unwrap_err(), Refusal::RowsWithoutCheckpoint);
        lineage.predecessor = Some(BTreeMap::from([("t".into(), BTreeMap::from([(0, 9)]))]));
        let e = start(&lineage, &log(0), None, FirstStart::Complete).unwrap_err();
        assert_eq!(e, Refusal::PredecessorIncomplete { topic: "t".into(), partition: 1 });
        lineage.predecessor = Some(BTreeMap::from([("t".into(), BTreeMap::from([(0, 9), (1, 3)]))]));
        let checkpoint = start(&lineage, &log(0), None, FirstStart::Complete).unwrap();
        assert_eq!((checkpoint.next("t", 0), checkpoint.next("t", 1), checkpoint.touched), (Some(9), Some(3), true));
        assert_eq!(start(&lineage, &log(10), None, FirstStart::Complete).unwrap_err().code(), "below-log-start");
    }

    #[test]
    fn a_topic_that_is_not_there_is_refused() {
        let e = start(&empty(), &LogView { log: "log".into(), ..LogView::default() }, None, FirstStart::Complete).unwrap_err();
        assert_eq!(e, Refusal::TopicMissing { topic: "t".into() });
    }
}
