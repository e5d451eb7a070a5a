//! Reading while topics go and come, and while many partitions are read at once.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, KafkaLog, RecordsBuilder, TopicSpec, Transaction};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Less than the time after which a wait that hears nothing asks by itself.
const PATIENCE: Duration = Duration::from_secs(15);

fn transaction(topic: &str, partition: i32, value: &[u8]) -> Transaction {
    let mut records = RecordsBuilder::new();
    records.push(Some(b"k"), Some(value), HeaderSet::NONE, 7).unwrap();
    Transaction { appends: vec![Append::new(topic, partition, records.finish())] }
}

fn name(what: &str) -> String {
    format!("reading.{what}.{}", uuid::Uuid::new_v4())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_on_a_topic_that_is_made_anew_is_told_and_whoever_comes_then_is_woken() {
    let cluster = Cluster::start("shared", &[]);
    let (log, others) = (cluster.log().await, cluster.log().await);
    let topic = name("anew");
    others.create_topic(&topic, TopicSpec::new()).await.unwrap();
    for _ in 0..5 {
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..30 {
            let (log, topic) = (log.clone(), topic.clone());
            waiting.spawn(async move {
                let mut told = 0;
                while let Err(e) = log.wait(&topic, 0, 0).await {
                    assert_eq!(e.kind(), ErrorKind::UnknownTopic, "{e}");
                    told += 1;
                }
                told
            });
        }
        // Until they wait.
        timeout(PATIENCE, log.read(&topic, 0, 0, 100)).await.expect("the read ends").unwrap();
        others.delete_topic(&topic).await.unwrap();
        others.create_topic(&topic, TopicSpec::new()).await.unwrap();
        // This is how the log comes to know of it.
        log.topic(&topic).await.unwrap();
        timeout(PATIENCE, log.read(&topic, 0, 0, 100)).await.expect("the read ends").unwrap();
        others.producer(&topic).await.unwrap().append(transaction(&topic, 0, b"new")).await.unwrap();
        while let Some(told) = timeout(PATIENCE, waiting.join_next()).await.expect("whoever waits is woken") {
            assert!(told.unwrap() < 1000, "told again and again");
        }
        // Empty for the next round.
        others.delete_topic(&topic).await.unwrap();
        others.create_topic(&topic, TopicSpec::new()).await.unwrap();
        log.topic(&topic).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_not_gone_because_it_was_not_found_for_a_moment() {
    let cluster = Cluster::start("shared", &[]);
    let (log, others) = (cluster.log().await, cluster.log().await);
    let topic = name("moment");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut short = 0;
    for _ in 0..20 {
        let asking = {
            let (log, topic) = (log.clone(), topic.clone());
            let before = log.topic(&topic).await.unwrap().unwrap();
            tokio::spawn(async move {
                let deadline = Instant::now() + PATIENCE;
                while Instant::now() < deadline {
                    match log.topic(&topic).await.unwrap() {
                        Some(now) if now.id == before.id => {}
                        other => return other,
                    }
                }
                panic!("the topic was never made anew");
            })
        };
        let began = Instant::now();
        others.delete_topic(&topic).await.unwrap();
        let anew = others.create_topic(&topic, TopicSpec::new()).await.unwrap();
        let took = began.elapsed();
        let found = asking.await.unwrap();
        // On a machine that is very busy it really was away for long.
        if took < Duration::from_secs(1) {
            assert_eq!(found, Some(anew));
            short += 1;
        }
        if short == 3 {
            return;
        }
    }
    assert!(short > 0, "this cluster makes no topic anew within a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_in_the_middle_of_an_undecided_transaction_ends_and_goes_on_when_it_is_decided() {
    let cluster = Cluster::start("shared", &[]);
    let log = cluster.log().await;
    let topic = name("undecided");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let writer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.bootstrap_servers)
        .set("transactional.id", &topic)
        .create()
        .unwrap();
    let (writer, of) = tokio::task::spawn_blocking({
        let topic = topic.clone();
        move || {
            writer.init_transactions(PATIENCE).unwrap();
            writer.begin_transaction().unwrap();
            for n in 0..3 {
                writer.send(BaseRecord::to(&topic).partition(0).key("k").payload(&format!("{n}"))).unwrap();
            }
            writer.flush(PATIENCE).unwrap();
            (writer, topic)
        }
    })
    .await
    .unwrap();
    assert_eq!(log.offsets(&of, 0).await.unwrap().next, 3);
    for from in 0..3 {
        let fetched = timeout(PATIENCE, log.read(&topic, 0, from, 100)).await.expect("the read ends").unwrap();
        assert_eq!((fetched.records.len(), fetched.next_offset, fetched.at_end), (0, from, true));
    }
    tokio::task::spawn_blocking(move || writer.commit_transaction(PATIENCE).unwrap()).await.unwrap();
    timeout(PATIENCE, log.wait(&topic, 0, 1)).await.expect("the wait ends").unwrap();
    let fetched = timeout(PATIENCE, log.read(&topic, 0, 1, 100)).await.expect("the read ends").unwrap();
    assert_eq!(fetched.records.iter().map(|r| (r.offset, r.value)).collect::<Vec<_>>(), [(1, Some(&b"1"[..])), (2, Some(b"2"))]);
}

#[tokio::test]
async fn bytes_that_a_broker_has_stored_and_that_are_not_those_written_are_damage_and_not_a_broker_that_is_away() {
    let cluster = Cluster::start("shared", &[]);
    let log = KafkaLog::open(cluster.config().set("compression.type", "none")).await.unwrap();
    let topic = name("damage");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    for value in ["whole", "damaged", "whole"] {
        producer.append(transaction(&topic, 0, value.as_bytes())).await.unwrap();
    }
    let place = std::fs::read_dir(cluster.data().join(format!("{topic}-0"))).unwrap().find_map(|entry| {
        let segment = entry.unwrap().path();
        let at = std::fs::read(&segment).unwrap().windows(7).position(|w| w == b"damaged")?;
        Some((segment, at as u64))
    });
    let (segment, at) = place.expect("the value lies in a segment as it is");
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"D", at).unwrap();
    let e = timeout(PATIENCE, log.read(&topic, 0, 2, 100)).await.expect("the read ends").unwrap_err();
    assert_eq!(
        (e.kind(), e.topic(), e.partition(), e.offset()),
        (ErrorKind::Corrupt, Some(topic.as_str()), Some(0), Some(2)),
        "{e}"
    );
    // What lies behind it is there.
    let fetched = timeout(PATIENCE, log.read(&topic, 0, 4, 100)).await.expect("the read ends").unwrap();
    assert_eq!(fetched.records.iter().map(|r| r.value).collect::<Vec<_>>(), [Some(&b"whole"[..])]);
}

/// Records of so many bytes that no compression makes smaller.
fn noise(seed: u64, records: usize, bytes: usize) -> RecordsBuilder {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ seed;
    let mut out = RecordsBuilder::new();
    for _ in 0..records {
        let next = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let value: Vec<u8> = (0..bytes).map(next).collect();
        out.push(Some(b"k"), Some(&value), HeaderSet::NONE, 7).unwrap();
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_partitions_are_read_at_once_what_is_read_ahead_has_one_limit() {
    const PARTITIONS: i32 = 24;
    const RECORDS: usize = 60;
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.read_ahead_bytes = 1 << 20;
    let log = KafkaLog::open(config).await.unwrap();
    let topic = name("budget");
    log.create_topic(&topic, TopicSpec { partitions: PARTITIONS, compacted: false }).await.unwrap();
    let records = noise(1, RECORDS, 5_000).finish();
    let appends = (0..PARTITIONS).map(|partition| Append::new(&topic, partition, records.clone())).collect();
    log.producer(&topic).await.unwrap().append(Transaction { appends }).await.unwrap();
    let mut readers = tokio::task::JoinSet::new();
    for partition in 0..PARTITIONS {
        let (log, topic, records) = (log.clone(), topic.clone(), records.clone());
        readers.spawn(async move {
            let (mut from, mut at) = (0, 0);
            while at < RECORDS {
                let fetched = timeout(PATIENCE, log.read(&topic, partition, from, 20_000)).await.expect("a read ends").unwrap();
                for (read, written) in fetched.records.iter().zip(records.iter().skip(at)) {
                    assert_eq!(read.offset, at as i64);
                    assert!(read.value == written.value, "{topic}/{partition} at {at} has another value");
                    at += 1;
                }
                from = fetched.next_offset;
            }
        });
    }
    while let Some(read) = readers.join_next().await {
        read.unwrap();
    }
    // All of them begin anew, and stop in the middle.
    for partition in 0..PARTITIONS {
        log.read(&topic, partition, 0, 20_000).await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while log.bytes_ahead() > 1 << 20 {
        assert!(Instant::now() < deadline, "{} bytes are held and not read", log.bytes_ahead());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_nobody_reads_any_more_gives_up_what_it_holds_and_is_read_again_from_anywhere() {
    let cluster = Cluster::start("shared", &[]);
    let mut config = cluster.config();
    config.idle_partition_timeout = Duration::from_secs(1);
    let log = KafkaLog::open(config).await.unwrap();
    let topic = name("idle");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    log.producer(&topic)
        .await
        .unwrap()
        .append(Transaction { appends: vec![Append::new(&topic, 0, noise(2, 20, 5_000).finish())] })
        .await
        .unwrap();
    let first = log.read(&topic, 0, 0, 20_000).await.unwrap();
    assert!(!first.at_end && log.bytes_ahead() > 0, "there is more");
    let deadline = Instant::now() + PATIENCE;
    while log.bytes_ahead() > 0 {
        assert!(Instant::now() < deadline, "it is still held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (mut from, mut read) = (first.next_offset, first.records.len());
    while read < 20 {
        let fetched = timeout(PATIENCE, log.read(&topic, 0, from, 20_000)).await.expect("a read ends").unwrap();
        (from, read) = (fetched.next_offset, read + fetched.records.len());
    }
    // Who waits is not idle, however long it takes.
    let waiting = tokio::spawn({
        let (log, topic) = (log.clone(), topic.clone());
        async move { log.wait(&topic, 0, from).await }
    });
    tokio::time::sleep(Duration::from_secs(3)).await;
    log.producer(&topic).await.unwrap().append(transaction(&topic, 0, b"at last")).await.unwrap();
    timeout(PATIENCE, waiting).await.expect("the wait ends").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_come_one_transaction_after_the_other_keep_their_offsets_however_many_ends_lie_between() {
    let cluster = Cluster::start("shared", &[]);
    let log = cluster.log().await;
    let topic = name("offsets");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    // From here on the client fetches by itself, and says at each end that it is there.
    assert!(log.read(&topic, 0, 0, 100).await.unwrap().at_end);
    let mut offsets = Vec::new();
    for _ in 0..40 {
        let appended = producer.append(transaction(&topic, 0, b"v")).await.unwrap();
        // The record is the one before its marker.
        offsets.push(appended.next_offsets[0].2 - 2);
    }
    let (mut at, mut seen) = (0, Vec::new());
    while seen.len() < offsets.len() {
        let fetched = log.read(&topic, 0, at, 1 << 20).await.unwrap();
        seen.extend(fetched.records.iter().map(|r| r.offset));
        if fetched.next_offset <= at {
            log.wait(&topic, 0, at).await.unwrap();
        }
        at = fetched.next_offset;
    }
    assert_eq!(seen, offsets);
}
