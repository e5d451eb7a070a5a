//! What a cluster does not take is known before it is sent, and what it takes away is told.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, RecordsBuilder, TopicSpec, Transaction};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigSource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

fn transaction(topic: &str, key: &str, value: &[u8]) -> Transaction {
    let mut records = RecordsBuilder::new();
    records.push(Some(key.as_bytes()), Some(value), HeaderSet::NONE, 7).unwrap();
    Transaction { appends: vec![Append::new(topic, 0, records.finish())] }
}

fn name(what: &str) -> String {
    format!("limits.{what}.{}", uuid::Uuid::new_v4())
}

/// Bytes that no compression makes smaller.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[tokio::test]
async fn a_record_that_is_larger_than_its_topic_takes_is_refused_by_name_and_the_next_one_goes_on() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.max_message_bytes = 100_000;
    let log = change_log::KafkaLog::open(config).await.unwrap();
    let topic = name("large");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    let e = producer.append(transaction(&topic, "{\"id\":10001}", &noise(100_001))).await.unwrap_err();
    assert_eq!((e.kind(), e.topic(), e.partition()), (ErrorKind::Invalid, Some(topic.as_str()), Some(0)));
    let said = e.to_string();
    assert!(said.contains("max.message.bytes") && said.contains("100000") && said.contains("{\"id\":10001}"), "{said}");
    assert_eq!(log.offsets(&topic, 0).await.unwrap().next, 0);
    producer.append(transaction(&topic, "1", &noise(90_000))).await.unwrap();
}

#[tokio::test]
async fn records_that_are_too_large_together_for_their_topic_are_sent_one_after_the_other() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.max_message_bytes = 100_000;
    let log = change_log::KafkaLog::open(config).await.unwrap();
    let topic = name("together");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let value = noise(60_000);
    let mut records = RecordsBuilder::new();
    for _ in 0..5 {
        records.push(Some(b"k"), Some(&value), HeaderSet::NONE, 7).unwrap();
    }
    log.producer(&topic)
        .await
        .unwrap()
        .append(Transaction { appends: vec![Append::new(&topic, 0, records.finish())] })
        .await
        .unwrap();
    let (mut from, mut read) = (0, 0);
    while read < 5 {
        let fetched = log.read(&topic, 0, from, 1 << 20).await.unwrap();
        assert!(fetched.records.iter().all(|r| r.value == Some(&value[..])), "another value");
        (from, read) = (fetched.next_offset, read + fetched.records.len());
    }
    assert_eq!(read, 5);
}

#[tokio::test]
async fn a_topic_with_three_copies_has_two_acknowledge_a_record_unless_its_settings_say_otherwise() {
    let cluster = Cluster::start("three", &["--brokers", "3"]);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &cluster.bootstrap_servers).create().unwrap();
    for (setting, expected) in [(None, "2"), (Some("1"), "1")] {
        let mut config = cluster.config();
        config.replication_factor = Some(3);
        config.topic_settings.extend(setting.map(|value| ("min.insync.replicas".to_owned(), value.to_owned())));
        let log = change_log::KafkaLog::open(config).await.unwrap();
        let topic = name("copies");
        log.create_topic(&topic, TopicSpec::new()).await.unwrap();
        let asked = [ResourceSpecifier::Topic(&topic)];
        let settings = admin.describe_configs(&asked, &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        let entry = settings.get("min.insync.replicas").unwrap();
        // Of the topic itself: the brokers' default is another matter.
        assert_eq!((entry.value.as_deref(), &entry.source), (Some(expected), &ConfigSource::DynamicTopic));
    }
}

#[tokio::test]
async fn headers_count_towards_what_a_topic_takes_and_a_name_that_the_client_cannot_write_is_refused() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.max_message_bytes = 100_000;
    let log = change_log::KafkaLog::open(config).await.unwrap();
    let topic = name("headers");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    let with = |headers: &[(&str, &[u8])]| {
        let mut records = RecordsBuilder::new();
        let headers = records.headers(headers).unwrap();
        records.push(Some(b"k"), Some(b"without"), HeaderSet::NONE, 7).unwrap();
        records.push(Some(b"k"), Some(&noise(60_000)), headers, 7).unwrap();
        Transaction { appends: vec![Append::new(&topic, 0, records.finish())] }
    };
    let e = producer.append(with(&[("large", &noise(50_000))])).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("max.message.bytes"), "{e}");
    let e = producer.append(with(&[("a\0b", b"v")])).await.unwrap_err();
    assert_eq!((e.kind(), e.topic(), e.partition()), (ErrorKind::Invalid, Some(topic.as_str()), Some(0)));
    assert!(e.to_string().contains("zero byte"), "{e}");
    assert!(log.read(&topic, 0, 0, 100).await.unwrap().records.is_empty(), "something was kept");
    producer.append(with(&[("small", &noise(30_000))])).await.unwrap();
}

#[tokio::test]
async fn a_record_of_the_largest_size_that_a_topic_is_made_for_arrives() {
    // The shared one has not the memory to take many of these.
    let log = Cluster::start("large", &["--jvm", "-Xmx512m"]).log().await;
    let topic = name("largest");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let value = noise((64 << 20) - 4096);
    log.producer(&topic).await.unwrap().append(transaction(&topic, "1", &value)).await.unwrap();
    let fetched = log.read(&topic, 0, 0, 1 << 20).await.unwrap();
    assert!(fetched.records.iter().next().unwrap().value == Some(&value[..]), "another value");
}

#[tokio::test]
async fn who_reads_what_retention_has_removed_is_told() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    // Removed as soon as the broker looks, which it does every second here.
    config.topic_settings.insert("retention.ms".to_owned(), "1".to_owned());
    config.topic_settings.insert("segment.ms".to_owned(), "1".to_owned());
    config.topic_settings.insert("file.delete.delay.ms".to_owned(), "0".to_owned());
    let log = change_log::KafkaLog::open(config).await.unwrap();
    let topic = name("retention");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    for n in 0..3 {
        producer.append(transaction(&topic, &n.to_string(), b"old")).await.unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while log.offsets(&topic, 0).await.unwrap().first == 0 {
        assert!(std::time::Instant::now() < deadline, "retention removed nothing");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let e = log.read(&topic, 0, 0, 100).await.unwrap_err();
    assert_eq!((e.kind(), e.offset()), (ErrorKind::OffsetOutOfRange, Some(0)));
    assert!(e.to_string().contains("removed before they were read"), "{e}");
}

#[tokio::test]
async fn half_of_the_retention_before_they_go_records_are_said_to_expire() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.topic_settings.insert("retention.ms".to_owned(), "7200000".to_owned());
    let log = change_log::KafkaLog::open(config).await.unwrap();
    let topic = name("expiring");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let mut producer = log.producer(&topic).await.unwrap();
    // In one transaction: the marker of each would be of now.
    let mut records = RecordsBuilder::new();
    for age_minutes in [90, 61, 59, 0] {
        records.push(Some(b"k"), Some(b"v"), HeaderSet::NONE, now - age_minutes * 60_000).unwrap();
    }
    producer.append(Transaction { appends: vec![Append::new(&topic, 0, records.finish())] }).await.unwrap();
    assert_eq!(log.expiring(&topic, 0).await.unwrap(), 2);
}
