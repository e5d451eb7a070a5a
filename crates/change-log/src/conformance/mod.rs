//! The behaviours that every [`ChangeLog`] is held to, one function each.
//!
//! An implementation brings a [`LogFactory`] and writes [`conformance_tests!`](crate::conformance_tests) in a test: that makes one test
//! of each behaviour. They fail by panicking, and use topics of their own names, so that a log shared with others will do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod records;
mod topics;
mod transactions;

pub use records::*;
pub use topics::*;
pub use transactions::*;

use crate::{Append, ChangeLog, ErrorKind, HeaderSet, Records, RecordsBuilder, Result, TopicSpec, Transaction};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Makes the logs that are tested.
#[async_trait]
pub trait LogFactory: Send + Sync {
    /// A log; it may hold topics of others.
    async fn open(&self) -> Arc<dyn ChangeLog>;

    /// The same log as another process would find it, after this one has let go of it; `None` if it does not outlive its process.
    async fn reopen(&self, log: Arc<dyn ChangeLog>) -> Option<Arc<dyn ChangeLog>>;
}

/// One test of each behaviour, on a multi-threaded tokio runtime: `conformance_tests!(Factory::new());`.
#[macro_export]
macro_rules! conformance_tests {
    ($factory:expr) => {
        $crate::conformance_tests!(@each $factory,
            a_new_topic_is_empty_and_begins_at_0
            creating_a_topic_again_returns_the_one_that_is_there
            a_topic_is_refused_with_another_specification
            names_that_kafka_refuses_are_refused
            a_deleted_topic_is_unknown_and_a_new_one_of_its_name_has_another_identity
            topics_outlive_the_process
            records_come_back_as_they_were_appended
            offsets_rise_by_one_in_the_order_of_appends
            a_read_begins_in_the_middle_of_what_was_appended_at_once
            a_read_takes_at_least_one_record_and_not_many_more_than_its_limit
            a_read_outside_of_the_kept_offsets_is_refused
            a_record_of_megabytes_and_a_million_small_ones_come_back
            records_that_were_read_can_be_appended_elsewhere
            a_compacted_topic_keeps_the_newest_record_of_each_key_at_its_offset
            a_compacted_topic_refuses_a_record_without_a_key
            records_outlive_the_process
            who_reads_one_part_of_a_transaction_finds_the_others_before_their_next_offsets
            a_transaction_that_would_be_elsewhere_than_its_writer_expects_leaves_nothing
            a_transaction_with_one_wrong_part_leaves_nothing
            a_partition_may_occur_twice_in_a_transaction
            each_partition_of_a_topic_has_its_own_records_and_offsets
            an_empty_transaction_changes_nothing
            a_new_producer_fences_its_predecessor_and_nobody_else
            fencing_outlives_the_process
            producers_at_once_lose_and_double_nothing
            waiting_ends_with_the_append_and_not_before
            a_dropped_wait_loses_nothing
            waiting_on_a_topic_that_is_deleted_ends_with_an_error
            what_is_not_released_stays
        );
    };
    (@each $factory:expr, $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::conformance::$name(&$factory).await;
            }
        )*
    };
}

/// How long something may take that has to happen: a failure, not a measure.
const PATIENCE: Duration = Duration::from_secs(60);

fn name(what: &str) -> String {
    format!("conformance.{what}.{}", uuid::Uuid::new_v4())
}

async fn topic(log: &dyn ChangeLog, what: &str, partitions: i32) -> String {
    let name = name(what);
    log.create_topic(&name, TopicSpec { partitions, compacted: false }).await.unwrap();
    name
}

/// Records with these values, without keys.
fn values<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Records {
    let mut b = RecordsBuilder::new();
    for v in values {
        b.push(None, Some(v.as_ref()), HeaderSet::NONE, 7).unwrap();
    }
    b.finish()
}

fn one(topic: &str, partition: i32, records: Records) -> Transaction {
    Transaction { appends: vec![Append::new(topic.to_owned(), partition, records)] }
}

fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// The partition's offsets once all that was appended is decided there: the marker of a transaction may come a moment after the
/// answer.
async fn ended(log: &dyn ChangeLog, topic: &str, partition: i32) -> crate::OffsetRange {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut from = log.offsets(topic, partition).await.unwrap().first;
    loop {
        let fetched = log.read(topic, partition, from, 1 << 20).await.unwrap();
        from = fetched.next_offset;
        let range = log.offsets(topic, partition).await.unwrap();
        if fetched.at_end && from == range.next {
            return range;
        }
        assert!(std::time::Instant::now() < deadline, "read up to {from} of {range:?}");
    }
}

/// A record on its own: offset, key, value, timestamp, headers.
type Owned = (i64, Option<Vec<u8>>, Option<Vec<u8>>, i64, Vec<(String, Vec<u8>)>);

fn owned(records: &Records) -> Vec<Owned> {
    let to_owned = |r: crate::RecordRef<'_>| {
        let headers = r.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
        (r.offset, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.timestamp_ms, headers)
    };
    records.iter().map(to_owned).collect()
}

/// All records from an offset on, read in steps of about so many bytes, once all that was appended is decided.
async fn read_all(log: &dyn ChangeLog, topic: &str, partition: i32, mut from: i64, max_bytes: usize) -> Vec<Owned> {
    let mut out: Vec<Owned> = Vec::new();
    ended(log, topic, partition).await;
    loop {
        let fetched = log.read(topic, partition, from, max_bytes).await.unwrap();
        assert!(fetched.next_offset > from || fetched.records.is_empty(), "a read of records goes on");
        for r in owned(&fetched.records) {
            assert!(r.0 >= from && r.0 < fetched.next_offset, "offset {} of a read from {from} to {}", r.0, fetched.next_offset);
            assert!(out.last().is_none_or(|last| last.0 < r.0), "offsets rise");
            out.push(r);
        }
        if fetched.at_end {
            return out;
        }
        assert!(fetched.next_offset > from, "a read that is not at the end goes on");
        from = fetched.next_offset;
    }
}

/// The values of all records.
async fn read_values(log: &dyn ChangeLog, topic: &str, partition: i32) -> Vec<Vec<u8>> {
    let first = log.offsets(topic, partition).await.unwrap().first;
    read_all(log, topic, partition, first, 1 << 20).await.into_iter().filter_map(|r| r.2).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: ErrorKind) -> crate::Error {
    let error = result.expect_err("this must be refused");
    assert_eq!(error.kind(), kind, "{error}");
    error
}
