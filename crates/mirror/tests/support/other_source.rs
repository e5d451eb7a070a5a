//! Another source than ours: its events are in the topics, and no progress tells of them.

use super::{Fixture, poll, start};
use change_log::{Append, ChangeLog, HeaderSet, Producer, RecordsBuilder, TopicSpec, Transaction};
use mirror::{EventFormat, Halves, Mirror, MirrorConfig};
use std::sync::Arc;

/// Key and value.
pub type Event = (Option<Vec<u8>>, Option<Vec<u8>>);

/// What a source has captured under another prefix, it writes to the topics of ours, without any progress.
pub struct Other {
    log: Arc<dyn ChangeLog>,
    producer: Box<dyn Producer>,
    own: String,
    pub topic: String,
}

impl Other {
    pub async fn of(f: &Fixture, table: &str, partitions: i32) -> Self {
        let log = f.log().await;
        let prefix = f.config().source.topic_prefix;
        let topic = format!("{prefix}.{}.{table}", f.database);
        log.create_topic(&topic, TopicSpec { partitions, compacted: false }).await.unwrap();
        let producer = log.producer(&topic).await.unwrap();
        Self { log, producer, own: format!("own-{prefix}.{}.{table}", f.database), topic }
    }

    /// The table's events as they were captured, from the first.
    pub async fn captured(&self) -> Vec<Event> {
        let range = self.log.offsets(&self.own, 0).await.unwrap();
        let (mut at, mut events) = (range.first, Vec::new());
        while at < range.next {
            let fetched = self.log.read(&self.own, 0, at, 1 << 20).await.unwrap();
            events.extend(fetched.records.iter().map(|r| (r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec))));
            if fetched.next_offset <= at {
                self.log.wait(&self.own, 0, at).await.unwrap();
            }
            at = fetched.next_offset;
        }
        events
    }

    pub async fn write(&mut self, partition: i32, events: &[Event]) {
        let mut builder = RecordsBuilder::new();
        // Older ones retention would remove.
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap();
        for (key, value) in events {
            builder.push(key.as_deref(), value.as_deref(), HeaderSet::NONE, now_ms).unwrap();
        }
        let appends = vec![Append::new(&self.topic, partition, builder.finish())];
        self.producer.append(Transaction { appends }).await.unwrap();
    }

    /// Waits until the table has all that was written.
    pub async fn applied_by(&self, sink: &Mirror, table: &str) {
        let mut end = 0;
        for partition in 0..self.log.topic(&self.topic).await.unwrap().unwrap().partitions {
            end += self.log.offsets(&self.topic, partition).await.unwrap().next;
        }
        poll("the events to be applied", async || {
            let status = sink.status();
            assert_eq!(status.stopped().next(), None);
            status.tables.get(table).is_some_and(|t| t.applied >= end).then_some(())
        })
        .await;
    }

    /// As [`applied_by`](Self::applied_by), beside tables that have stopped.
    pub async fn applied_by_alone(&self, sink: &Mirror, table: &str) {
        let end = self.log.offsets(&self.topic, 0).await.unwrap().next;
        poll("the events to be applied", async || {
            sink.status().tables.get(table).is_some_and(|t| t.applied >= end).then_some(())
        })
        .await;
    }
}

/// Captures the database under a prefix of its own, with Debezium's defaults.
pub async fn capturing(f: &Fixture) -> Mirror {
    let mut config = MirrorConfig { halves: Halves::Source, events: EventFormat::debezium(), ..f.config() };
    config.source.topic_prefix = format!("own-{}", config.source.topic_prefix);
    start(config).await
}
