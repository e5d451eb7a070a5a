//! Reading while topics go and come, and while many partitions are read at once.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, RecordsBuilder, TopicSpec, Transaction};
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
