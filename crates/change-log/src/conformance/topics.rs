use super::*;
use crate::OffsetRange;

/// See the name.
pub async fn a_new_topic_is_empty_and_begins_at_0(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = name("new");
    assert_eq!(log.topic(&name).await.unwrap(), None);
    let info = log.create_topic(&name, TopicSpec { partitions: 3, compacted: false }).await.unwrap();
    assert_eq!((info.name.as_str(), info.partitions, info.compacted), (name.as_str(), 3, false));
    assert!(log.topics().await.unwrap().contains(&info));
    for partition in 0..3 {
        assert_eq!(log.offsets(&name, partition).await.unwrap(), OffsetRange { first: 0, next: 0 });
        let fetched = log.read(&name, partition, 0, 100).await.unwrap();
        assert_eq!((fetched.records.len(), fetched.next_offset, fetched.at_end), (0, 0, true));
    }
    refused(log.offsets(&name, 3).await, ErrorKind::UnknownTopic);
    refused(log.offsets(&name, -1).await, ErrorKind::UnknownTopic);
}

/// See the name.
pub async fn creating_a_topic_again_returns_the_one_that_is_there(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = name("again");
    let spec = TopicSpec { partitions: 2, compacted: true };
    let info = log.create_topic(&name, spec).await.unwrap();
    assert_eq!(log.create_topic(&name, spec).await.unwrap(), info);
    assert_eq!(log.topic(&name).await.unwrap(), Some(info));
}

/// See the name.
pub async fn a_topic_is_refused_with_another_specification(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "spec", 2).await;
    for other in [TopicSpec { partitions: 3, compacted: false }, TopicSpec { partitions: 2, compacted: true }] {
        let error = refused(log.create_topic(&name, other).await, ErrorKind::Invalid);
        assert_eq!(error.topic(), Some(name.as_str()));
    }
    assert_eq!(log.topic(&name).await.unwrap().unwrap().partitions, 2);
}

/// See the name.
pub async fn names_that_kafka_refuses_are_refused(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let long = "x".repeat(250);
    for bad in ["", ".", "..", "a b", "a/b", "ü", &long] {
        refused(log.create_topic(bad, TopicSpec::new()).await, ErrorKind::Invalid);
    }
    for partitions in [0, -1, 10_001] {
        refused(log.create_topic(&name("count"), TopicSpec { partitions, compacted: false }).await, ErrorKind::Invalid);
    }
}

/// See the name.
pub async fn a_deleted_topic_is_unknown_and_a_new_one_of_its_name_has_another_identity(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "deleted", 1).await;
    let old = log.topic(&name).await.unwrap().unwrap();
    let mut producer = log.producer(&name).await.unwrap();
    producer.append(one(&name, 0, values(["old"]))).await.unwrap();
    log.delete_topic(&name).await.unwrap();
    assert_eq!(log.topic(&name).await.unwrap(), None);
    assert!(!log.topics().await.unwrap().contains(&old));
    refused(log.delete_topic(&name).await, ErrorKind::UnknownTopic);
    refused(log.offsets(&name, 0).await, ErrorKind::UnknownTopic);
    refused(log.read(&name, 0, 0, 1).await, ErrorKind::UnknownTopic);
    refused(log.wait(&name, 0, 0).await, ErrorKind::UnknownTopic);
    refused(log.release(&name, 0, 0).await, ErrorKind::UnknownTopic);
    refused(producer.append(one(&name, 0, values(["lost"]))).await, ErrorKind::UnknownTopic);
    let new = log.create_topic(&name, TopicSpec::new()).await.unwrap();
    assert_ne!(new.id, old.id);
    assert_eq!(log.offsets(&name, 0).await.unwrap(), OffsetRange { first: 0, next: 0 });
    producer.append(one(&name, 0, values(["new"]))).await.unwrap();
    assert_eq!(read_values(log.as_ref(), &name, 0).await, [b"new"]);
    let Some(log) = factory
        .reopen({
            drop(producer);
            log
        })
        .await
    else {
        return;
    };
    assert_eq!(log.topic(&name).await.unwrap(), Some(new));
    assert_eq!(read_values(log.as_ref(), &name, 0).await, [b"new"]);
}

/// See the name.
pub async fn topics_outlive_the_process(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let identity = log.identity().clone();
    let name = name("outlives");
    let info = log.create_topic(&name, TopicSpec { partitions: 4, compacted: true }).await.unwrap();
    let Some(log) = factory.reopen(log).await else { return };
    assert_eq!(*log.identity(), identity);
    assert_eq!(log.topic(&name).await.unwrap(), Some(info));
}
