use super::*;
use std::collections::HashMap;
use tokio::time::timeout;

/// See the name.
pub async fn who_reads_one_part_of_a_transaction_finds_the_others_before_their_next_offsets(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let (a, b) = (topic(log.as_ref(), "first", 1).await, topic(log.as_ref(), "second", 2).await);
    let mut producer = log.producer(&a).await.unwrap();
    let transactions = 100;
    let reader = {
        let (log, a, b) = (Arc::clone(&log), a.clone(), b.clone());
        tokio::spawn(async move {
            let (mut from_a, mut from_b, mut of_a, mut of_b) = (0, 0, 0, 0);
            while of_a < transactions {
                log.wait(&a, 0, from_a).await.unwrap();
                let fetched = log.read(&a, 0, from_a, 1 << 20).await.unwrap();
                from_a = fetched.next_offset;
                of_a += fetched.records.len();
                // Asked for afterwards, so whatever belongs to what was just read lies before it.
                let next = log.offsets(&b, 1).await.unwrap().next;
                while from_b < next {
                    let fetched = log.read(&b, 1, from_b, 1 << 20).await.unwrap();
                    of_b += fetched.records.len();
                    if fetched.next_offset == from_b {
                        log.wait(&b, 1, from_b).await.unwrap();
                    }
                    from_b = fetched.next_offset;
                }
                assert!(of_b >= of_a * 2, "{of_a} in one partition, {of_b} in the other");
            }
            assert_eq!((of_a, of_b), (transactions, 2 * transactions));
        })
    };
    for i in 0..transactions {
        let part = |topic: &str, partition, n| Append::new(topic, partition, values((0..n).map(|_| i.to_string())));
        let appended = producer.append(Transaction { appends: vec![part(&a, 0, 1), part(&b, 1, 2)] }).await.unwrap();
        let (n, marker) = (i as i64 + 1, log.marker_offsets());
        assert_eq!(appended.next_offsets, [(a.clone(), 0, n * (1 + marker)), (b.clone(), 1, n * (2 + marker))]);
    }
    timeout(PATIENCE, reader).await.expect("the reader sees the last transaction").unwrap();
}

/// See the name.
pub async fn a_transaction_that_would_be_elsewhere_than_its_writer_expects_leaves_nothing(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let (name, other) = (topic(log.as_ref(), "expected", 1).await, topic(log.as_ref(), "beside", 1).await);
    let mut producer = log.producer(&name).await.unwrap();
    let both = |first: i64, text: &str| Transaction {
        appends: vec![Append::new(&other, 0, values([text])), Append::new(&name, 0, values([text])).at(first)],
    };
    let next = producer.append(both(0, "first")).await.unwrap().next_offsets[1].2;
    for wrong in [next - 1, next + 1, 0] {
        let error = refused(producer.append(both(wrong, "wrong")).await, ErrorKind::UnexpectedOffset);
        assert_eq!((error.topic(), error.partition()), (Some(name.as_str()), Some(0)));
        assert_eq!(read_values(log.as_ref(), &name, 0).await, [b"first"]);
        assert_eq!(read_values(log.as_ref(), &other, 0).await, [b"first"]);
    }
    // What was refused may have taken offsets; whoever goes on asks where the partition has come to.
    let next = ended(log.as_ref(), &name, 0).await.next;
    producer.append(both(next, "second")).await.unwrap();
    assert_eq!(read_values(log.as_ref(), &name, 0).await, [&b"first"[..], b"second"]);
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, 1 << 20).await[1].0, next);
}

/// See the name.
pub async fn a_transaction_with_one_wrong_part_leaves_nothing(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let good = topic(log.as_ref(), "good", 1).await;
    let mut producer = log.producer(&good).await.unwrap();
    for (wrong, partition) in [("conformance.nowhere", 0), (good.as_str(), 1), (good.as_str(), -1)] {
        let transaction = Transaction {
            appends: vec![Append::new(good.clone(), 0, values(["x"])), Append::new(wrong.to_owned(), partition, values(["y"]))],
        };
        refused(producer.append(transaction).await, ErrorKind::UnknownTopic);
        assert_eq!(log.offsets(&good, 0).await.unwrap().next, 0);
    }
    producer.append(one(&good, 0, values(["z"]))).await.unwrap();
    assert_eq!(read_values(log.as_ref(), &good, 0).await, [b"z"]);
}

/// See the name.
pub async fn a_partition_may_occur_twice_in_a_transaction(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "twice", 2).await;
    let part = |partition, v: &str| Append::new(name.clone(), partition, values([v]));
    let appends = vec![part(1, "a"), part(0, "b"), part(1, "c")];
    let appended = log.producer(&name).await.unwrap().append(Transaction { appends }).await.unwrap();
    let marker = log.marker_offsets();
    assert_eq!(appended.next_offsets, [(name.clone(), 1, 2 + marker), (name.clone(), 0, 1 + marker)]);
    assert_eq!(read_values(log.as_ref(), &name, 1).await, [b"a", b"c"]);
    assert_eq!(read_values(log.as_ref(), &name, 0).await, [b"b"]);
}

/// See the name.
pub async fn each_partition_of_a_topic_has_its_own_records_and_offsets(factory: &dyn LogFactory) {
    const PARTITIONS: usize = 7;
    let log = factory.open().await;
    let name = topic(log.as_ref(), "partitions", PARTITIONS as i32).await;
    let mut producer = log.producer(&name).await.unwrap();
    let (mut next, mut expected) = ([0_i64; PARTITIONS], vec![Vec::new(); PARTITIONS]);
    for transaction in 0..12_usize {
        // Those of the first transaction are all, of the others some; the last partition gets nothing but in the first.
        let partitions: Vec<usize> =
            (0..PARTITIONS).filter(|p| transaction == 0 || (transaction + p) % 3 == 0 && *p < 6).collect();
        let mut appends = Vec::new();
        for &p in &partitions {
            let of: Vec<String> = (0..=p).map(|i| format!("{transaction}.{p}.{i}")).collect();
            for (i, value) in of.iter().enumerate() {
                expected[p].push((next[p] + i as i64, value.clone().into_bytes()));
            }
            next[p] += of.len() as i64 + log.marker_offsets();
            appends.push(Append::new(name.clone(), p as i32, values(of)));
        }
        let appended = producer.append(Transaction { appends }).await.unwrap();
        let ends: Vec<_> = partitions.iter().map(|&p| (name.clone(), p as i32, next[p])).collect();
        assert_eq!(appended.next_offsets, ends);
    }
    for p in 0..PARTITIONS {
        assert_eq!(ended(log.as_ref(), &name, p as i32).await, crate::OffsetRange { first: 0, next: next[p] });
        let read = read_all(log.as_ref(), &name, p as i32, 0, 64).await;
        assert_eq!(read.into_iter().map(|r| (r.0, r.2.unwrap())).collect::<Vec<_>>(), expected[p], "partition {p}");
    }
}

/// See the name.
pub async fn an_empty_transaction_changes_nothing(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "empty", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    assert_eq!(producer.append(Transaction::default()).await.unwrap().next_offsets, []);
    let appended = producer.append(one(&name, 0, Records::default())).await.unwrap();
    assert_eq!(appended.next_offsets, [(name.clone(), 0, 0)]);
    assert_eq!(log.offsets(&name, 0).await.unwrap().next, 0);
}

/// See the name.
pub async fn a_new_producer_fences_its_predecessor_and_nobody_else(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "fence", 1).await;
    let other_id = format!("{name}-other");
    let mut old = log.producer(&name).await.unwrap();
    let mut other = log.producer(&other_id).await.unwrap();
    old.append(one(&name, 0, values(["old"]))).await.unwrap();
    let mut new = log.producer(&name).await.unwrap();
    for _ in 0..2 {
        refused(old.append(one(&name, 0, values(["zombie"]))).await, ErrorKind::Fenced);
    }
    new.append(one(&name, 0, values(["new"]))).await.unwrap();
    other.append(one(&name, 0, values(["other"]))).await.unwrap();
    assert_eq!(read_values(log.as_ref(), &name, 0).await, [&b"old"[..], b"new", b"other"]);
    refused(log.producer("").await.map(drop), ErrorKind::Invalid);
}

/// See the name.
pub async fn fencing_outlives_the_process(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "fence-again", 1).await;
    let old = log.producer(&name).await.unwrap();
    let Some(log) = factory
        .reopen({
            drop(old);
            log
        })
        .await
    else {
        return;
    };
    let mut before = log.producer(&name).await.unwrap();
    let mut after = log.producer(&name).await.unwrap();
    refused(before.append(one(&name, 0, values(["zombie"]))).await, ErrorKind::Fenced);
    after.append(one(&name, 0, values(["new"]))).await.unwrap();
}

/// See the name.
pub async fn producers_at_once_lose_and_double_nothing(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "many", 1).await;
    let (producers, appends) = (8, 50);
    let mut tasks = Vec::new();
    for p in 0..producers {
        let (log, name) = (Arc::clone(&log), name.clone());
        tasks.push(tokio::spawn(async move {
            let mut producer = log.producer(&format!("{name}-{p}")).await.unwrap();
            for i in 0..appends {
                producer.append(one(&name, 0, values([format!("{p} {i}"), format!("{p} {i}")]))).await.unwrap();
            }
        }));
    }
    for task in tasks {
        timeout(PATIENCE, task).await.expect("appends end").unwrap();
    }
    let read = read_values(log.as_ref(), &name, 0).await;
    assert_eq!(read.len(), producers * appends * 2);
    let mut seen: HashMap<String, usize> = HashMap::new();
    for pair in read.chunks(2) {
        assert_eq!(pair[0], pair[1], "a transaction is not interrupted by another");
        let text = String::from_utf8(pair[0].clone()).unwrap();
        let (p, i) = text.split_once(' ').unwrap();
        let next = seen.entry(p.to_owned()).or_default();
        assert_eq!(i.parse::<usize>().unwrap(), *next, "the appends of a producer keep their order");
        *next += 1;
    }
    assert!(seen.len() == producers && seen.values().all(|&n| n == appends));
}

/// See the name.
pub async fn waiting_ends_with_the_append_and_not_before(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "wait", 1).await;
    timeout(PATIENCE, log.wait(&name, 0, -1)).await.expect("0 is beyond -1").unwrap();
    let mut producer = log.producer(&name).await.unwrap();
    let next = producer.append(one(&name, 0, values(["1"]))).await.unwrap().next_offsets[0].2;
    let mut waiting = {
        let (log, name) = (Arc::clone(&log), name.clone());
        tokio::spawn(async move {
            log.wait(&name, 0, next).await.unwrap();
            log.offsets(&name, 0).await.unwrap().next
        })
    };
    // Nothing was appended, and nothing will be said of it, however long it is waited.
    assert!(timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it ended without an append");
    producer.append(one(&name, 0, values(["2"]))).await.unwrap();
    let ended = timeout(PATIENCE, waiting).await.expect("the wait ends").unwrap();
    assert!(ended > next, "ended at {ended}");
    assert!(log.read(&name, 0, next, 10).await.unwrap().records.len() == 1);
}

/// See the name.
pub async fn a_dropped_wait_loses_nothing(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "dropped-wait", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    for _ in 0..20 {
        let next = ended(log.as_ref(), &name, 0).await.next;
        assert!(timeout(Duration::from_millis(1), log.wait(&name, 0, next)).await.is_err(), "nothing was appended");
        producer.append(one(&name, 0, values(["x"]))).await.unwrap();
        timeout(PATIENCE, log.wait(&name, 0, next)).await.expect("it was appended").unwrap();
    }
}

/// See the name.
pub async fn waiting_on_a_topic_that_is_deleted_ends_with_an_error(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "wait-deleted", 1).await;
    let waiting = {
        let (log, name) = (Arc::clone(&log), name.clone());
        tokio::spawn(async move { log.wait(&name, 0, 0).await })
    };
    tokio::task::yield_now().await;
    log.delete_topic(&name).await.unwrap();
    let ended = timeout(PATIENCE, waiting).await.expect("the wait ends").unwrap();
    refused(ended, ErrorKind::UnknownTopic);
}

/// See the name.
pub async fn what_is_not_released_stays(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "release", 2).await;
    let mut producer = log.producer(&name).await.unwrap();
    for i in 0..10 {
        for partition in 0..2 {
            producer.append(one(&name, partition, values([format!("{i}")]))).await.unwrap();
        }
    }
    let at = |n: i64| n * (1 + log.marker_offsets());
    log.release(&name, 0, at(6)).await.unwrap();
    log.release(&name, 0, at(2)).await.unwrap();
    let range = ended(log.as_ref(), &name, 0).await;
    assert!(range.first <= at(6) && range.next == at(10), "{range:?}");
    let read = read_all(log.as_ref(), &name, 0, at(6), 100).await;
    assert_eq!(read.iter().map(|r| r.0).collect::<Vec<_>>(), [at(6), at(7), at(8), at(9)]);
    assert_eq!(log.offsets(&name, 1).await.unwrap().first, 0);
    assert_eq!(read_values(log.as_ref(), &name, 1).await.len(), 10);
    refused(log.release(&name, 2, 0).await, ErrorKind::UnknownTopic);
}
