use super::*;
use crate::OffsetRange;

/// See the name.
pub async fn records_come_back_as_they_were_appended(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "same", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    let mut b = RecordsBuilder::new();
    let two = b.headers(&[("a", b"1"), ("a", b""), ("\u{e9}", &[0, 255])]).unwrap();
    let one_header = b.headers(&[("__debezium.newkey", b"{}")]).unwrap();
    b.push(Some(b"k"), Some(b"v"), HeaderSet::NONE, 1_700_000_000_123).unwrap();
    b.push(None, Some(b""), two, 7).unwrap();
    b.push(Some(b""), None, two, 1_700_000_000_122).unwrap();
    b.push(None, None, one_header, 1).unwrap();
    let start = b.arena().len();
    b.arena().extend_from_slice(b"shared key");
    let middle = b.arena().len();
    b.arena().extend_from_slice(b"value in place");
    let end = b.arena().len();
    b.commit(Some(start..middle), Some(middle..end), one_header, 8).unwrap();
    b.commit(Some(start..middle), None, HeaderSet::NONE, 8).unwrap();
    b.push(Some(b"after"), Some(&[0, 159, 255]), two, 8).unwrap();
    let h = |pairs: &[(&str, &[u8])]| pairs.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect::<Vec<_>>();
    let (two, one_header) = (h(&[("a", b"1"), ("a", b""), ("\u{e9}", &[0, 255])]), h(&[("__debezium.newkey", b"{}")]));
    let bytes = |b: &[u8]| Some(b.to_vec());
    let expected = vec![
        (0, bytes(b"k"), bytes(b"v"), 1_700_000_000_123, vec![]),
        (1, None, bytes(b""), 7, two.clone()),
        (2, bytes(b""), None, 1_700_000_000_122, two.clone()),
        (3, None, None, 1, one_header.clone()),
        (4, bytes(b"shared key"), bytes(b"value in place"), 8, one_header),
        (5, bytes(b"shared key"), None, 8, vec![]),
        (6, bytes(b"after"), bytes(&[0, 159, 255]), 8, two),
    ];
    assert_eq!(b.len(), 7);
    producer.append(one(&name, 0, b.finish())).await.unwrap();
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, 1 << 20).await, expected);
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, 1).await, expected);
    let Some(log) = factory
        .reopen({
            drop(producer);
            log
        })
        .await
    else {
        return;
    };
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, 1 << 20).await, expected);
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, 1).await, expected);
}

/// See the name.
pub async fn offsets_rise_by_one_in_the_order_of_appends(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "order", 2).await;
    let mut producer = log.producer(&name).await.unwrap();
    let (mut next, mut offsets) = (0, Vec::new());
    for n in 1..=20_i64 {
        offsets.extend(next..next + n);
        let records = values((next..next + n).map(|offset| offset.to_string()));
        let appended = producer.append(one(&name, 1, records)).await.unwrap();
        next += n + log.marker_offsets();
        assert_eq!(appended.next_offsets, [(name.clone(), 1, next)]);
        assert_eq!(ended(log.as_ref(), &name, 1).await, OffsetRange { first: 0, next });
    }
    let read = read_all(log.as_ref(), &name, 1, 0, 64).await;
    let expected: Vec<_> = offsets.into_iter().map(|offset| (offset, offset.to_string().into_bytes())).collect();
    assert_eq!(read.into_iter().map(|r| (r.0, r.2.unwrap())).collect::<Vec<_>>(), expected);
    assert_eq!(log.offsets(&name, 0).await.unwrap().next, 0);
}

/// See the name.
pub async fn a_read_begins_in_the_middle_of_what_was_appended_at_once(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "middle", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    let (mut start, mut offsets) = (0_i64, Vec::new());
    for _ in 0..2 {
        offsets.extend(start..start + 20);
        producer.append(one(&name, 0, values((start..start + 20).map(|i| i.to_string())))).await.unwrap();
        start += 20 + log.marker_offsets();
    }
    for from in 0..=start {
        let read = read_all(log.as_ref(), &name, 0, from, 1 << 20).await;
        let expected: Vec<_> = offsets.iter().filter(|i| **i >= from).map(|i| (*i, i.to_string().into_bytes())).collect();
        assert_eq!(read.into_iter().map(|r| (r.0, r.2.unwrap())).collect::<Vec<_>>(), expected);
    }
}

/// See the name.
pub async fn a_read_takes_at_least_one_record_and_not_many_more_than_its_limit(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "limit", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    for _ in 0..5 {
        producer.append(one(&name, 0, values((0..20).map(|_| [b'x'; 1000])))).await.unwrap();
    }
    for max_bytes in [0, 1, 999] {
        let fetched = log.read(&name, 0, 3, max_bytes).await.unwrap();
        assert_eq!((fetched.records.len(), fetched.next_offset, fetched.at_end), (1, 4, false));
    }
    for max_bytes in [1000, 2500, 20_000, 55_000] {
        let fetched = log.read(&name, 0, 3, max_bytes).await.unwrap();
        let bytes: usize = fetched.records.iter().filter_map(|r| r.value).map(<[u8]>::len).sum();
        assert!((1000..=max_bytes).contains(&bytes), "{bytes} bytes for a limit of {max_bytes}");
        let last = fetched.records.iter().last().unwrap().offset;
        assert!(
            (last + 1..=last + 1 + log.marker_offsets()).contains(&fetched.next_offset),
            "{last}, then {}",
            fetched.next_offset
        );
    }
    assert_eq!(read_all(log.as_ref(), &name, 0, 0, usize::MAX).await.len(), 100);
}

/// See the name.
pub async fn a_read_outside_of_the_kept_offsets_is_refused(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "range", 1).await;
    log.producer(&name).await.unwrap().append(one(&name, 0, values(["a", "b"]))).await.unwrap();
    let next = ended(log.as_ref(), &name, 0).await.next;
    assert!(log.read(&name, 0, next, 100).await.unwrap().records.is_empty());
    for from in [-1, next + 1, i64::MAX, i64::MIN] {
        let error = refused(log.read(&name, 0, from, 100).await, ErrorKind::OffsetOutOfRange);
        assert_eq!((error.topic(), error.partition(), error.offset()), (Some(name.as_str()), Some(0), Some(from)));
    }
    refused(log.release(&name, 0, next + 1).await, ErrorKind::OffsetOutOfRange);
}

/// See the name.
pub async fn a_record_of_megabytes_and_a_million_small_ones_come_back(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = topic(log.as_ref(), "size", 1).await;
    let mut producer = log.producer(&name).await.unwrap();
    let large: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    producer.append(one(&name, 0, values([&large]))).await.unwrap();
    let (batches, per_batch) = (10_i64, 100_000_i64);
    for batch in 0..batches {
        let mut b = RecordsBuilder::new();
        for i in 0..per_batch {
            let n = batch * per_batch + i + 1;
            b.push(Some(&n.to_le_bytes()), Some(format!("value {n}").as_bytes()), HeaderSet::NONE, n).unwrap();
        }
        producer.append(one(&name, 0, b.finish())).await.unwrap();
    }
    check_large_and_small(log.as_ref(), &name, &large, batches * per_batch + 1).await;
    let Some(log) = factory
        .reopen({
            drop(producer);
            log
        })
        .await
    else {
        return;
    };
    check_large_and_small(log.as_ref(), &name, &large, batches * per_batch + 1).await;
}

async fn check_large_and_small(log: &dyn ChangeLog, name: &str, large: &[u8], records: i64) {
    let (mut from, mut expected, mut offset) = (0, 0_i64, -1);
    loop {
        let fetched = log.read(name, 0, from, 1 << 20).await.unwrap();
        for r in &fetched.records {
            assert!((1..=1 + log.marker_offsets()).contains(&(r.offset - offset)), "after {offset} comes {}", r.offset);
            offset = r.offset;
            if expected == 0 {
                assert!(r.value == Some(large), "the large record is another one");
            } else {
                assert_eq!((r.timestamp_ms, r.key), (expected, Some(&expected.to_le_bytes()[..])));
                assert!(r.value == Some(format!("value {expected}").as_bytes()), "record {expected} is another one");
            }
            expected += 1;
        }
        from = fetched.next_offset;
        if fetched.at_end {
            break;
        }
    }
    assert_eq!(expected, records);
}

/// See the name.
pub async fn records_that_were_read_can_be_appended_elsewhere(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let (from, to) = (topic(log.as_ref(), "from", 1).await, topic(log.as_ref(), "to", 1).await);
    let mut producer = log.producer(&from).await.unwrap();
    for batch in ["abc", "def", "ghi"] {
        producer.append(one(&from, 0, values(batch.split("").filter(|s| !s.is_empty())))).await.unwrap();
    }
    let fetched = log.read(&from, 0, 1, 4).await.unwrap();
    let (part, part_end) = (fetched.records, fetched.next_offset);
    let n = part.len();
    assert!(n >= 1);
    producer.append(one(&to, 0, part)).await.unwrap();
    let rest = log.read(&from, 0, part_end, 1000).await.unwrap().records;
    producer.append(one(&to, 0, rest)).await.unwrap();
    let copied: Vec<u8> = read_values(log.as_ref(), &to, 0).await.concat();
    assert!(b"bcdefghi".starts_with(&copied) && copied.len() > n, "copied {:?}", copied.escape_ascii().to_string());
}

/// See the name.
pub async fn a_compacted_topic_keeps_the_newest_record_of_each_key_at_its_offset(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = name("compacted");
    log.create_topic(&name, TopicSpec::compacted()).await.unwrap();
    let mut producer = log.producer(&name).await.unwrap();
    for (key, value) in [("a", Some("1")), ("b", Some("2")), ("a", Some("3")), ("c", Some("4")), ("b", None)] {
        let mut b = RecordsBuilder::new();
        let headers = b.headers(&[("h", key.as_bytes())]).unwrap();
        b.push(Some(key.as_bytes()), value.map(str::as_bytes), headers, now_ms()).unwrap();
        producer.append(one(&name, 0, b.finish())).await.unwrap();
    }
    // An implementation may compact later, never less than this: the newest of each key, at its offset, in order.
    let newest = |records: Vec<Owned>| {
        let mut by_key = std::collections::BTreeMap::new();
        for (offset, key, value, _, headers) in records {
            assert_eq!(headers, [("h".to_owned(), key.clone().unwrap())]);
            by_key.insert(key.unwrap(), (offset, value));
        }
        by_key.into_iter().map(|(k, (o, v))| (k, o, v)).collect::<Vec<_>>()
    };
    let at = |n: i64| n * (1 + log.marker_offsets());
    let expected = vec![
        (b"a".to_vec(), at(2), Some(b"3".to_vec())),
        (b"b".to_vec(), at(4), None),
        (b"c".to_vec(), at(3), Some(b"4".to_vec())),
    ];
    let (from_b, next) = (at(4), at(5));
    for max_bytes in [1 << 20, 1] {
        assert_eq!(newest(read_all(log.as_ref(), &name, 0, 0, max_bytes).await), expected);
    }
    assert_eq!(ended(log.as_ref(), &name, 0).await, OffsetRange { first: 0, next });
    log.release(&name, 0, next).await.unwrap();
    assert_eq!(log.offsets(&name, 0).await.unwrap().first, 0);
    let Some(log) = factory
        .reopen({
            drop(producer);
            log
        })
        .await
    else {
        return;
    };
    assert_eq!(newest(read_all(log.as_ref(), &name, 0, 0, 1 << 20).await), expected);
    assert_eq!(newest(read_all(log.as_ref(), &name, 0, from_b, 1 << 20).await), expected[1..2]);
}

/// See the name.
pub async fn a_compacted_topic_refuses_a_record_without_a_key(factory: &dyn LogFactory) {
    let log = factory.open().await;
    let name = name("keyless");
    log.create_topic(&name, TopicSpec::compacted()).await.unwrap();
    let mut producer = log.producer(&name).await.unwrap();
    refused(producer.append(one(&name, 0, values(["no key"]))).await, ErrorKind::Invalid);
    assert_eq!(log.offsets(&name, 0).await.unwrap().next, 0);
}

/// See the name.
pub async fn records_outlive_the_process(factory: &dyn LogFactory) {
    let mut log = factory.open().await;
    let name = topic(log.as_ref(), "durable", 2).await;
    let mut expected = Vec::new();
    for round in 0..4 {
        let mut producer = log.producer(&name).await.unwrap();
        for i in 0..10 {
            let value = format!("{round}.{i}").into_bytes();
            producer.append(one(&name, 1, values([&value]))).await.unwrap();
            expected.push(value);
        }
        drop(producer);
        let Some(again) = factory.reopen(log).await else { return };
        log = again;
        assert_eq!(read_values(log.as_ref(), &name, 1).await, expected);
        assert_eq!(log.offsets(&name, 0).await.unwrap(), OffsetRange { first: 0, next: 0 });
    }
}
