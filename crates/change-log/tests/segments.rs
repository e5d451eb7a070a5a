//! Rolling, retention, and what old segments are not needed for.

use crate::support::{one, open, read_everything, read_from, segments, tiny, values};
use change_log::{ChangeLog, ErrorKind, HeaderSet, Holder, LocalLog, OffsetRange, RecordsBuilder, TopicSpec};

async fn append(log: &LocalLog, topic: &str, n: i64) {
    let mut producer = log.producer(topic).await.unwrap();
    for i in 0..n {
        producer.append(one(topic, 0, values([format!("{i:0200}")]))).await.unwrap();
    }
}

#[tokio::test]
async fn released_segments_go_oldest_first_and_the_first_offset_follows() {
    let dir = tempfile::tempdir().unwrap();
    let config = tiny(2000);
    let log = open(dir.path(), &config).await;
    for name in ["a", "b"] {
        log.create_topic(name, TopicSpec::new()).await.unwrap();
    }
    append(&log, "a", 40).await;
    append(&log, "b", 40).await;
    let all = segments(dir.path()).len();
    assert!(all > 8, "{all}");
    assert_eq!(log.offsets("a", 0).await.unwrap(), OffsetRange { first: 0, next: 40 });
    log.release("a", 0, 25).await.unwrap();
    assert!(segments(dir.path()).len() < all);
    let range = log.offsets("a", 0).await.unwrap();
    // Five to twelve records fit into a segment.
    assert!(range.first > 25 - 12 && range.first <= 25, "{range:?}");
    assert_eq!(log.read("a", 0, range.first - 1, 1).await.unwrap_err().kind(), ErrorKind::OffsetOutOfRange);
    assert_eq!(read_from(&log, "a", 0, range.first).await.unwrap().len() as i64, 40 - range.first);
    assert_eq!(log.offsets("b", 0).await.unwrap(), OffsetRange { first: 0, next: 40 }, "nobody released b");
    let whole = read_everything(&log).await.unwrap();
    drop(log);
    let log = open(dir.path(), &config).await;
    assert_eq!(log.offsets("a", 0).await.unwrap(), range, "the first offset is the same after opening");
    assert_eq!(read_everything(&log).await.unwrap(), whole);
    // All of a applied: it is empty, and its offsets go on.
    log.release("a", 0, 40).await.unwrap();
    log.release("b", 0, 35).await.unwrap();
    let of_b = log.offsets("b", 0).await.unwrap().first;
    assert!(of_b > 35 - 12 && of_b <= 35, "{of_b}");
    assert_eq!(log.offsets("a", 0).await.unwrap(), OffsetRange { first: 40, next: 40 });
    drop(log);
    let log = open(dir.path(), &config).await;
    assert_eq!(log.offsets("a", 0).await.unwrap(), OffsetRange { first: 40, next: 40 });
    append(&log, "a", 1).await;
    assert_eq!(read_from(&log, "a", 0, 40).await.unwrap()[0].0, 40);
}

#[tokio::test]
async fn applied_records_stay_as_long_as_retention_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = tiny(2000);
    config.retention_ms = 3_600_000;
    let log = open(dir.path(), &config).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    append(&log, "a", 40).await;
    log.release("a", 0, 40).await.unwrap();
    append(&log, "a", 40).await;
    assert_eq!(log.offsets("a", 0).await.unwrap().first, 0);
    drop(log);
    // Applied is in the heads: what is old enough goes without being released again.
    config.retention_ms = 0;
    let log = open(dir.path(), &config).await;
    append(&log, "a", 10).await;
    let first = log.offsets("a", 0).await.unwrap().first;
    assert!((30..=40).contains(&first), "{first}");
}

#[tokio::test]
async fn a_deleted_topic_holds_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &tiny(2000)).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    append(&log, "a", 60).await;
    assert!(segments(dir.path()).len() > 5);
    log.delete_topic("a").await.unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
}

#[tokio::test]
async fn beyond_its_bytes_the_log_drops_what_is_applied_and_tells_who_holds_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = tiny(2000);
    config.retention_ms = 3_600_000;
    config.retention_bytes = 8000;
    let log = open(dir.path(), &config).await;
    for name in ["applied", "stopped"] {
        log.create_topic(name, TopicSpec::new()).await.unwrap();
    }
    append(&log, "applied", 60).await;
    log.release("applied", 0, 60).await.unwrap();
    assert!(log.bytes() <= 8000, "applied records go, whatever their age");
    assert_eq!(log.over_retention(), None);
    append(&log, "stopped", 60).await;
    assert_eq!(log.offsets("stopped", 0).await.unwrap().first, 0, "never by itself");
    let over = log.over_retention().expect("more than it may hold");
    assert!(over.bytes > over.limit && over.limit == 8000);
    let [Holder { topic, partition: 0, applied: 0, needed }] = &over.holders[..] else { panic!("{over:?}") };
    assert_eq!(topic, "stopped");
    log.release("stopped", 0, *needed).await.unwrap();
    assert!(log.bytes() <= 8000, "given up, it goes");
    assert_eq!(log.over_retention(), None);
    let first = log.offsets("stopped", 0).await.unwrap().first;
    assert!(first > 0 && first <= *needed && *needed < 60, "{first} {needed}");
}

#[tokio::test]
async fn compacted_records_are_carried_over_with_their_offsets_and_old_tombstones_go() {
    let dir = tempfile::tempdir().unwrap();
    let config = tiny(2000);
    let log = open(dir.path(), &config).await;
    log.create_topic("progress", TopicSpec::compacted()).await.unwrap();
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let mut producer = log.producer("p").await.unwrap();
    for (key, value) in [("old", Some("1")), ("gone", Some("2")), ("gone", None), ("position", Some("3"))] {
        let mut b = RecordsBuilder::new();
        let headers = b.headers(&[("h", b"x")]).unwrap();
        b.push(Some(key.as_bytes()), value.map(str::as_bytes), headers, 5).unwrap();
        producer.append(one("progress", 0, b.finish())).await.unwrap();
    }
    for i in 4..100_i64 {
        let mut b = RecordsBuilder::new();
        b.push(Some(b"position"), Some(format!("{i:0100}").as_bytes()), HeaderSet::NONE, 5).unwrap();
        producer.append(one("progress", 0, b.finish())).await.unwrap();
    }
    assert_eq!(segments(dir.path()).len(), 1, "older segments are not needed");
    let expected = vec![
        (0, Some(b"old".to_vec()), Some(b"1".to_vec()), 5),
        (99, Some(b"position".to_vec()), Some(format!("{:0100}", 99).into_bytes()), 5),
    ];
    assert_eq!(read_from(&log, "progress", 0, 0).await.unwrap(), expected);
    let header = log.read("progress", 0, 0, 1).await.unwrap();
    assert_eq!(header.records.iter().next().unwrap().headers.get("h"), Some(&b"x"[..]));
    assert_eq!(header.next_offset, 99);
    drop((producer, log));
    let log = open(dir.path(), &config).await;
    assert_eq!(read_from(&log, "progress", 0, 0).await.unwrap(), expected);
    assert_eq!(log.offsets("progress", 0).await.unwrap(), OffsetRange { first: 0, next: 100 });
}

#[tokio::test]
async fn a_block_larger_than_a_segment_and_than_the_reader_takes_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &tiny(2000)).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let mut producer = log.producer("p").await.unwrap();
    for _ in 0..3 {
        producer.append(one("a", 0, values((0..1000).map(|i| format!("{i:0100}"))))).await.unwrap();
    }
    let mut from = 0;
    while from < 3000 {
        let fetched = log.read("a", 0, from, 1000).await.unwrap();
        assert!(!fetched.records.is_empty() && fetched.records.len() <= 10);
        for r in &fetched.records {
            assert_eq!((r.offset, r.value.unwrap()), (from, format!("{:0100}", from % 1000).as_bytes()));
            from += 1;
        }
        assert_eq!(fetched.next_offset, from);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_behind_retention_is_told_and_one_before_it_is_not_disturbed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &tiny(2000)).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let writer = {
        let log = log.clone();
        tokio::spawn(async move { append(&log, "a", 400).await })
    };
    let mut from = 0;
    while from < 400 {
        log.wait("a", 0, from).await.unwrap();
        let fetched = log.read("a", 0, from, 700).await.unwrap();
        assert!(fetched.records.iter().map(|r| r.offset).eq(from..fetched.next_offset));
        from = fetched.next_offset;
        log.release("a", 0, from).await.unwrap();
    }
    writer.await.unwrap();
    assert_eq!(log.read("a", 0, 0, 700).await.unwrap_err().kind(), ErrorKind::OffsetOutOfRange);
}

#[tokio::test]
async fn a_large_batch_is_read_piece_by_piece_with_all_its_headers() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &tiny(64 << 20)).await;
    log.create_topic("a", TopicSpec::new()).await.unwrap();
    let mut b = RecordsBuilder::new();
    let (even, odd) = (b.headers(&[("h", b"even")]).unwrap(), b.headers(&[("h", b"odd")]).unwrap());
    let value = [b'v'; 1000];
    for i in 0..9_000_i64 {
        // Half of them copied, half of them written in place, with a key that its tombstone shares.
        let set = if i % 2 == 0 { even } else { odd };
        if i % 3 == 0 {
            b.may_break();
            let arena = b.arena();
            let start = arena.len();
            arena.extend_from_slice(&i.to_le_bytes());
            let middle = arena.len();
            arena.extend_from_slice(&value);
            let end = arena.len();
            b.commit(Some(start..middle), Some(middle..end), set, i).unwrap();
            b.commit(Some(start..middle), None, HeaderSet::NONE, i).unwrap();
        } else {
            b.push(Some(&i.to_le_bytes()), Some(&value), set, i).unwrap();
        }
    }
    assert_eq!(b.len(), 12_000);
    let records = b.finish();
    assert_eq!(records.iter().map(|r| r.offset).collect::<Vec<_>>(), (0..12_000).collect::<Vec<_>>());
    log.producer("p").await.unwrap().append(one("a", 0, records)).await.unwrap();
    let (mut at, mut reads, mut keys) = (0, 0, Vec::new());
    while at < 12_000 {
        let fetched = log.read("a", 0, at, 1 << 20).await.unwrap();
        assert!(fetched.records.bytes() < 2 << 20, "a reader of a mebibyte holds {} bytes", fetched.records.bytes());
        for r in &fetched.records {
            assert_eq!(r.offset, at);
            let key = i64::from_le_bytes(r.key.unwrap().try_into().unwrap());
            assert_eq!(r.timestamp_ms, key);
            let expected: Option<&[u8]> = match r.value {
                Some(_) if key % 2 == 0 => Some(b"even"),
                Some(_) => Some(b"odd"),
                None => None,
            };
            assert_eq!(r.headers.get("h"), expected, "at {at}");
            keys.extend(r.value.map(|v| (key, v.len())));
            at += 1;
        }
        reads += 1;
    }
    assert_eq!(keys, (0..9_000).map(|i| (i, 1000)).collect::<Vec<_>>());
    assert!((9..=20).contains(&reads), "{reads} reads of a mebibyte for nine");
}
