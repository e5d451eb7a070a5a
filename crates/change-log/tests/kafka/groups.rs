//! Consumer groups, as somebody sees them who is no member.

use crate::cluster::Cluster;
use change_log::{ChangeLog, ConsumerGroup, ErrorKind, GroupState, TopicSpec};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerGroupMetadata};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn name(what: &str) -> String {
    format!("groups.{what}.{}", uuid::Uuid::new_v4())
}

fn client(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &cluster.bootstrap_servers);
    config
}

fn member(cluster: &Cluster, group: &str, id: &str) -> BaseConsumer {
    client(cluster).set("group.id", group).set("client.id", id).set("enable.auto.commit", "false").create().unwrap()
}

fn at(topic: &str, offsets: &[(i32, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).unwrap();
    }
    list
}

/// Waits until the group is in a state like this.
async fn becomes(group: &ConsumerGroup, wanted: impl Fn(&GroupState) -> bool) -> GroupState {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = group.state().await.unwrap();
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "the group stays {state:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_active_as_long_as_it_has_members_and_its_offsets_stay() {
    let cluster = Cluster::start("shared", &[]);
    let log = cluster.log().await;
    let (topic, group) = (name("members"), name("members"));
    log.create_topic(&topic, TopicSpec { partitions: 3, compacted: false }).await.unwrap();
    let seen = ConsumerGroup::new(&cluster.config(), &group);
    assert_eq!(seen.state().await.unwrap(), GroupState::Absent);
    assert_eq!(seen.committed(&topic, 3).await.unwrap(), BTreeMap::new());

    let consumer = member(&cluster, &group, "the-member");
    consumer.subscribe(&[&topic]).unwrap();
    let polling = std::thread::spawn({
        let until = Instant::now() + PATIENCE;
        move || {
            while Instant::now() < until && consumer.assignment().unwrap().count() < 3 {
                drop(consumer.poll(Duration::from_millis(50)));
            }
            consumer
        }
    });
    let active = becomes(&seen, |s| matches!(s, GroupState::Active { members, .. } if !members.is_empty())).await;
    let GroupState::Active { members, .. } = active else { panic!("{active:?}") };
    assert!(members.len() == 1 && members[0].starts_with("the-member on "), "{members:?}");
    let consumer = polling.join().unwrap();
    consumer.commit(&at(&topic, &[(0, 7), (2, 1_000_000_000_000)]), CommitMode::Sync).unwrap();
    let committed = BTreeMap::from([(0, 7), (2, 1_000_000_000_000)]);
    assert_eq!(seen.committed(&topic, 3).await.unwrap(), committed);

    drop(consumer);
    assert_eq!(becomes(&seen, |s| !matches!(s, GroupState::Active { .. })).await, GroupState::Empty);
    assert_eq!(seen.committed(&topic, 3).await.unwrap(), committed);
    assert_eq!(seen.committed("groups.no-such-topic", 2).await.unwrap(), BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_transaction_count_once_it_is_decided() {
    let cluster = Cluster::start("shared", &[]);
    let log = cluster.log().await;
    let (topic, group) = (name("undecided"), name("undecided"));
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let producer: BaseProducer = client(&cluster).set("transactional.id", &group).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    let send = |offset| {
        producer.begin_transaction().unwrap();
        let metadata: ConsumerGroupMetadata = member(&cluster, &group, "teller").group_metadata().unwrap();
        producer.send_offsets_to_transaction(&at(&topic, &[(0, offset)]), &metadata, PATIENCE).unwrap();
    };
    send(5);
    let mut hasty = cluster.config();
    hasty.request_timeout = Duration::from_secs(1);
    let seen = ConsumerGroup::new(&hasty, &group);
    let e = seen.committed(&topic, 1).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unavailable, "{e}");
    assert!(e.to_string().contains(&group), "{e}");
    producer.commit_transaction(PATIENCE).unwrap();
    let seen = ConsumerGroup::new(&cluster.config(), &group);
    assert_eq!(seen.committed(&topic, 1).await.unwrap(), BTreeMap::from([(0, 5)]));
    send(6);
    producer.abort_transaction(PATIENCE).unwrap();
    assert_eq!(seen.committed(&topic, 1).await.unwrap(), BTreeMap::from([(0, 5)]));
}
