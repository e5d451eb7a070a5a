//! What an Iceberg sink of Kafka Connect leaves: snapshots that say how far its control topic is read, events in that topic, and the offsets of
//! a consumer group. Played by hand here; dev/takeover-test has the real one.

use super::{Fixture, Row, other_writer, poll};
use cdc_core::{LogicalType, Op};
use change_log::{
    Append, ChangeLog, ConsumerGroup, GroupState, HeaderSet, KafkaLog, KafkaLogConfig, RecordsBuilder, TopicSpec, Transaction,
};
use iceberg_writer::{TableName, TableOptions};
use mirror::{ConnectSinkConfig, MirrorConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The schema of a `DATA_WRITTEN`, without its lists of files.
const DATA_WRITTEN: &str = r#"{"type":"record","name":"org.apache.iceberg.connect.events.Event","fields":[
{"name":"id","type":{"type":"fixed","name":"uuid_fixed","size":16,"logicalType":"uuid"},"field-id":10500},
{"name":"type","type":"int","field-id":10501},
{"name":"timestamp","type":{"type":"long","logicalType":"timestamp-micros","adjust-to-utc":true},"field-id":10502},
{"name":"group_id","type":"string","field-id":10503},
{"name":"payload","type":{"type":"record","name":"org.apache.iceberg.connect.events.DataWritten","fields":[
{"name":"commit_id","type":"uuid_fixed","field-id":10300},
{"name":"table_reference","type":{"type":"record","name":"org.apache.iceberg.connect.events.TableReference","fields":[
{"name":"catalog","type":"string","field-id":10600},
{"name":"namespace","type":{"type":"array","items":"string","element-id":10602},"field-id":10601},
{"name":"name","type":"string","field-id":10603}]},"field-id":10301}]},"field-id":10504}]}"#;

pub struct ConnectSink {
    pub config: ConnectSinkConfig,
    cluster: KafkaLogConfig,
    log: KafkaLog,
}

/// A member of its group.
pub struct Member {
    over: Arc<AtomicBool>,
    polling: std::thread::JoinHandle<()>,
}

impl ConnectSink {
    /// A connector with names of its own, and its control topic.
    pub async fn of(f: &Fixture) -> Self {
        let cluster = f.cluster.as_ref().unwrap();
        let mut config = ConnectSinkConfig::of(&cluster.prefix);
        config.control_topic = format!("control.{}", cluster.prefix);
        let mut cluster = cluster.config();
        cluster.group_id = Some(config.group.clone());
        let log = KafkaLog::open(cluster.clone()).await.unwrap();
        log.create_topic(&config.control_topic, TopicSpec::new()).await.unwrap();
        Self { config, cluster, log }
    }

    /// The configuration of who goes on with its tables.
    pub fn followed_by(&self, config: MirrorConfig) -> MirrorConfig {
        let mut config = config;
        config.sink.predecessor = self.config.clone();
        config
    }

    /// Makes the table and appends rows, having read its control topic up to an offset.
    pub async fn append(&self, f: &Fixture, table: &str, columns: &[(&str, LogicalType)], rows: &[&[&str]], control: i64) {
        let (catalog, name) = (f.catalog().await, TableName::new(&f.database, table));
        let schema = other_writer::schema(f, table, columns, &[0]);
        let made = match catalog.load_table(&name).await.unwrap() {
            Some(made) => made,
            None => {
                catalog.create_namespace(&name.namespace).await.unwrap();
                catalog.create_table(&name, &schema, TableOptions::default()).await.unwrap()
            }
        };
        let rows: Vec<(Op, Row)> = rows.iter().map(|row| (Op::Create, other_writer::row(row))).collect();
        let ConnectSinkConfig { control_topic, group, .. } = &self.config;
        let said = [
            (format!("kafka.connect.offsets.{control_topic}.{group}"), format!("{{\"0\":{control}}}")),
            ("kafka.connect.commit-id".to_owned(), uuid::Uuid::new_v4().to_string()),
        ];
        other_writer::write_and_say(&made, &schema, &rows, &said).await;
    }

    /// Commits the offset of a topic's partition, and is no member of the group.
    pub async fn commits(&self, topic: &str, partition: i32, next: i64) {
        self.log.release(topic, partition, next).await.unwrap();
        let group = ConsumerGroup::new(&self.cluster, &self.config.group);
        poll("the offset to be committed", async || {
            let committed = group.committed(topic, partition + 1).await.unwrap();
            (committed.get(&partition) == Some(&next)).then_some(())
        })
        .await;
    }

    /// A worker offers files of the table; returns the offset of that event.
    pub async fn offers(&self, f: &Fixture, table: &str) -> i64 {
        let mut event = vec![0xc2, 0x01];
        event.extend(u16::try_from(DATA_WRITTEN.len()).unwrap().to_be_bytes());
        event.extend(DATA_WRITTEN.as_bytes());
        event.extend([7; 16]);
        event.extend([2, 0]);
        event.extend(text(&self.config.group));
        event.extend([8; 16]);
        event.extend(text("lake"));
        event.push(2);
        event.extend(text(&f.database));
        event.push(0);
        event.extend(text(table));
        self.says(&event).await
    }

    /// Writes anything to the control topic; returns its offset.
    pub async fn says(&self, event: &[u8]) -> i64 {
        let topic = &self.config.control_topic;
        let mut records = RecordsBuilder::new();
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap();
        records.push(Some(b"producer"), Some(event), HeaderSet::NONE, now_ms).unwrap();
        let mut producer = self.log.producer(topic).await.unwrap();
        let appended = producer.append(Transaction { appends: vec![Append::new(topic, 0, records.finish())] }).await.unwrap();
        // Before it there are the record's own and that of its transaction's marker.
        appended.next_offsets[0].2 - 2
    }

    /// A task of the connector begins to run.
    pub async fn runs(&self, topic: &str) -> Member {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", &self.config.group)
            .set("client.id", "connector-consumer-0")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let polling = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                drop(consumer.poll(Duration::from_millis(50)));
            }
        });
        self.becomes(|state| matches!(state, GroupState::Active { members, .. } if !members.is_empty())).await;
        Member { over, polling }
    }

    /// It is stopped.
    pub async fn stops(&self, member: Member) {
        member.over.store(true, Ordering::Relaxed);
        member.polling.join().unwrap();
        self.becomes(|state| *state == GroupState::Empty).await;
    }

    async fn becomes(&self, wanted: impl Fn(&GroupState) -> bool) {
        let group = ConsumerGroup::new(&self.cluster, &self.config.group);
        poll("the group to change", async || wanted(&group.state().await.unwrap()).then_some(())).await;
    }
}

/// A text of up to 8,191 bytes in Avro's form.
fn text(it: &str) -> Vec<u8> {
    let length = u16::try_from(it.len() * 2).unwrap();
    let low = u8::try_from(length & 0x7f).unwrap();
    match u8::try_from(length >> 7).unwrap() {
        0 => [&[low], it.as_bytes()].concat(),
        high => [&[low | 0x80, high], it.as_bytes()].concat(),
    }
}
