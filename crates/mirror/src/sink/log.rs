//! The change log as the commit protocol reads it.

use super::event_schemas::EventSchemas;
use super::progress_view::ProgressFollower;
use async_trait::async_trait;
use change_log::{ChangeLog, ErrorKind as LogErrorKind, RecordRef, Records};
use commit_coordinator::{Error, ErrorKind, Fetch, LogInspector, LogView, PartitionView, Receipt, Result, SpanLog, TopicView};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A [`ChangeLog`] behind the protocol's own traits.
#[derive(Clone)]
pub(super) struct SinkLog {
    log: Arc<dyn ChangeLog>,
    progress: ProgressFollower,
    /// Looks at each record before the worker does, where the source keeps no progress.
    event_schemas: Option<Arc<EventSchemas>>,
}

impl SinkLog {
    pub(super) fn new(log: Arc<dyn ChangeLog>, progress: ProgressFollower, event_schemas: Option<Arc<EventSchemas>>) -> Self {
        Self { log, progress, event_schemas }
    }
}

fn wrap(e: change_log::Error) -> Error {
    let kind = match e.kind() {
        // The worker looks at the log again, and the refusal that follows names what is lost.
        LogErrorKind::OffsetOutOfRange | LogErrorKind::UnknownTopic | LogErrorKind::Unavailable => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    };
    Error::new(kind, e.to_string()).with_source(e)
}

#[async_trait]
impl LogInspector for SinkLog {
    async fn view(&self, topics: &[String]) -> Result<LogView> {
        let identity = self.progress.identity(self.log.as_ref()).await.map_err(wrap)?;
        let mut view = LogView { log: identity, topics: BTreeMap::new() };
        for name in topics {
            let Some(topic) = self.log.topic(name).await.map_err(wrap)? else { continue };
            let mut partitions = BTreeMap::new();
            for partition in 0..topic.partitions {
                let range = self.log.offsets(name, partition).await.map_err(wrap)?;
                let expiring = self.log.expiring(name, partition).await.map_err(wrap)?;
                partitions.insert(partition, PartitionView { first: range.first, next: range.next, expiring });
            }
            view.topics.insert(name.clone(), TopicView { id: topic.id, partitions, announced: None });
        }
        Ok(view)
    }
}

/// Records of a span: those of a read that lie before its end.
pub(super) struct SpanRecords {
    records: Records,
    until: i64,
}

impl SpanRecords {
    /// The records, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = RecordRef<'_>> {
        self.records.iter().take_while(|r| r.offset < self.until)
    }
}

#[async_trait]
impl SpanLog for SinkLog {
    type Records = SpanRecords;

    async fn read(
        &self,
        topic: &str,
        partition: i32,
        from: i64,
        until: Option<i64>,
        max_bytes: usize,
    ) -> Result<Fetch<SpanRecords>> {
        let fetched = self.log.read(topic, partition, from, max_bytes).await.map_err(wrap)?;
        if let Some(event_schemas) = &self.event_schemas {
            event_schemas
                .look(&self.progress, partition, &fetched.records)
                .await
                .map_err(|e| Error::new(ErrorKind::Record, e.to_string()).with_source(e))?;
        }
        let next = until.map_or(fetched.next_offset, |until| fetched.next_offset.min(until));
        let bytes = fetched.records.bytes();
        let whole = next == fetched.next_offset;
        let records = SpanRecords { records: fetched.records, until: next };
        let (count, end) = match whole {
            true => (records.records.len(), records.records.end_offset().unwrap_or(from)),
            false => records.iter().fold((0, from), |(count, _), record| (count + 1, record.offset + 1)),
        };
        Ok(Fetch { count, bytes, end, next, records })
    }

    async fn wait(&self, topic: &str, partition: i32, from: i64) -> Result<()> {
        self.log.wait(topic, partition, from).await.map_err(wrap)
    }

    async fn release(&self, receipt: &Receipt) -> Result<()> {
        for (topic, partition, next) in receipt.checkpoint().partitions() {
            self.log.release(topic, partition, next).await.map_err(wrap)?;
        }
        Ok(())
    }
}
