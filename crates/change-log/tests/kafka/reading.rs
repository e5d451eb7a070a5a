//! Reading while topics go and come, and while many partitions are read at once.

use crate::cluster::Cluster;
use change_log::{Append, ChangeLog, ErrorKind, HeaderSet, RecordsBuilder, TopicSpec, Transaction};
use std::time::Duration;
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
