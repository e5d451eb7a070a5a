//! Appending when something is in the way.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, KafkaLog, Records, RecordsBuilder, TopicSpec, Transaction};
use std::time::{Duration, Instant};

fn records(value: &[u8]) -> Records {
    let mut records = RecordsBuilder::new();
    records.push(Some(b"k"), Some(value), HeaderSet::NONE, 7).unwrap();
    records.finish()
}

fn name(what: &str) -> String {
    format!("appending.{what}.{}", uuid::Uuid::new_v4())
}

#[tokio::test]
async fn an_append_that_names_a_topic_that_has_gone_keeps_nothing_even_if_nothing_goes_there() {
    let cluster = Cluster::start("shared", &[]);
    let (log, others, observer) = (cluster.log().await, cluster.log().await, cluster.log().await);
    let (topic, gone) = (name("kept"), name("gone"));
    for topic in [&topic, &gone] {
        log.create_topic(topic, TopicSpec::new()).await.unwrap();
    }
    let mut producer = log.producer(&topic).await.unwrap();
    let both =
        |beside: Records| Transaction { appends: vec![Append::new(&topic, 0, records(b"v")), Append::new(&gone, 0, beside)] };
    // The log has seen both, and believes that they are there.
    producer.append(both(Records::default())).await.unwrap();
    observer.offsets(&gone, 0).await.unwrap();
    others.delete_topic(&gone).await.unwrap();
    // Its leader hears of it a moment later, and is asked itself by who knows it.
    let deadline = Instant::now() + Duration::from_secs(30);
    while observer.offsets(&gone, 0).await.is_ok() {
        assert!(Instant::now() < deadline, "the leader of the partition never hears that its topic has gone");
    }
    let e = producer.append(both(Records::default())).await.unwrap_err();
    assert_eq!((e.kind(), e.topic()), (ErrorKind::UnknownTopic, Some(gone.as_str())), "{e}");
    let next = producer.append(Transaction { appends: vec![Append::new(&topic, 0, Records::default())] }).await.unwrap();
    assert_eq!(next.next_offsets, [(topic.clone(), 0, 2)], "the record and the marker of the first append");
}

#[tokio::test]
async fn an_append_that_runs_out_of_its_time_names_the_setting() {
    // Of its own, since it stands still for a while.
    let cluster = Cluster::start("paused", &[]);
    let mut config = cluster.config();
    config.transaction_timeout = Duration::from_secs(1);
    let log = KafkaLog::open(config).await.unwrap();
    let topic = name("slow");
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    let transaction = |value| Transaction { appends: vec![Append::new(&topic, 0, records(value))] };
    producer.append(transaction(b"before")).await.unwrap();
    cluster.act("pause");
    let failed = producer.append(transaction(b"meanwhile")).await;
    cluster.act("resume");
    let e = failed.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains("transaction.timeout.ms"), "{e}");
    assert!(!e.to_string().contains("bootstrap.servers"), "the servers are there: {e}");
    // Whoever does not know asks, with a new producer.
    let mut producer = log.producer(&topic).await.unwrap();
    producer.append(transaction(b"after")).await.unwrap();
}

#[tokio::test]
async fn a_topic_that_must_keep_its_newest_records_for_ever_may_not_go_by_age() {
    let cluster = Cluster::start("shared", &[]);
    let topic = name("policy");
    let mut config = cluster.config();
    config.topic_settings.insert("cleanup.policy".to_owned(), "compact,delete".to_owned());
    let operator = KafkaLog::open(config).await.unwrap();
    // As someone made it who lets all topics go by age.
    let made = operator.create_topic(&topic, TopicSpec::new()).await.unwrap();
    assert!(!made.compacted);
    let log = cluster.log().await;
    let e = log.create_topic(&topic, TopicSpec::compacted()).await.unwrap_err();
    assert_eq!((e.kind(), e.topic()), (ErrorKind::Invalid, Some(topic.as_str())));
    assert!(e.to_string().contains(&format!("--entity-name {topic} --alter --add-config cleanup.policy=compact")), "{e}");
}
