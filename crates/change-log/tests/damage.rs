//! Torn tails and flipped bits.

use crate::support::{copy, one, open, read_everything, segments, tiny, values};
use change_log::{Append, ChangeLog, ErrorKind, LocalLog, LocalLogConfig, Transaction};
use std::path::Path;

/// A log of some transactions; returns the length of the newest segment before the last transaction.
async fn three_transactions(dir: &Path, config: &LocalLogConfig) -> u64 {
    let log = open(dir, config).await;
    log.create_topic("a", change_log::TopicSpec { partitions: 2, compacted: false }).await.unwrap();
    log.create_topic("progress", change_log::TopicSpec::compacted()).await.unwrap();
    let mut producer = log.producer("p").await.unwrap();
    let transaction = |n: i32| Transaction {
        appends: vec![
            Append::new("a", 0, values([format!("first {n}"), format!("second {n}")])),
            Append::new("a", 1, values([format!("other {n}")])),
            Append::new("progress", 0, values([format!("{n}")])),
        ],
    };
    producer.append(transaction(1)).await.unwrap();
    producer.append(transaction(2)).await.unwrap();
    let before = log.bytes();
    producer.append(transaction(3)).await.unwrap();
    // The files as they are now, without what closing adds.
    let crashed = copy(dir);
    drop((producer, log));
    for entry in std::fs::read_dir(crashed.path()).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    before
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_off_and_the_rest_is_whole() {
    let config = LocalLogConfig::default();
    let original = tempfile::tempdir().unwrap();
    let before = three_transactions(original.path(), &config).await as usize;
    let segment = segments(original.path()).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    let whole = read_everything(&open(copy(original.path()).path(), &config).await).await.unwrap();
    assert_eq!((whole[&("a".into(), 0)].len(), whole[&("progress".into(), 0)][0].0), (6, 2));
    for len in before..bytes.len() {
        let crashed = copy(original.path());
        std::fs::write(crashed.path().join(segment.file_name().unwrap()), &bytes[..len]).unwrap();
        for attempt in 0..2 {
            let log = open(crashed.path(), &config).await;
            let read = read_everything(&log).await.unwrap();
            let lens: Vec<usize> = read.values().map(Vec::len).collect();
            assert_eq!(lens, [4, 2, 1], "cut at {len}, opened {attempt}");
            assert_eq!(read[&("progress".into(), 0)][0].2.as_deref(), Some(&b"2"[..]));
            let mut producer = log.producer("p").await.unwrap();
            if attempt == 1 {
                let next = producer.append(one("a", 1, values(["again"]))).await.unwrap().next_offsets;
                assert_eq!(next, [("a".to_owned(), 1, 3)]);
            }
        }
    }
}

#[tokio::test]
async fn an_end_of_zeros_or_rubbish_is_cut_off() {
    let config = LocalLogConfig::default();
    let original = tempfile::tempdir().unwrap();
    three_transactions(original.path(), &config).await;
    let segment = segments(original.path()).pop().unwrap();
    let whole = read_everything(&open(copy(original.path()).path(), &config).await).await.unwrap();
    for tail in [vec![0; 1], vec![0; 5000], vec![0xff; 100], b"CLG1".repeat(50)] {
        let crashed = copy(original.path());
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes.extend_from_slice(&tail);
        std::fs::write(crashed.path().join(segment.file_name().unwrap()), bytes).unwrap();
        assert_eq!(read_everything(&open(crashed.path(), &config).await).await.unwrap(), whole);
    }
}

/// What opening and reading a damaged log gives.
async fn look(dir: &Path, config: &LocalLogConfig) -> change_log::Result<usize> {
    let log = LocalLog::open(dir, config.clone()).await?;
    Ok(read_everything(&log).await?.values().map(Vec::len).sum())
}

#[tokio::test]
async fn a_bit_flipped_anywhere_in_a_closed_log_is_refused() {
    let config = LocalLogConfig::default();
    let dir = tempfile::tempdir().unwrap();
    three_transactions(dir.path(), &config).await;
    let closed_len = {
        let log = open(dir.path(), &config).await;
        log.producer("p").await.unwrap();
        log.bytes()
    };
    let segment = segments(dir.path()).pop().unwrap();
    let bytes = std::fs::read(&segment).unwrap();
    assert!(bytes.len() as u64 > closed_len, "closing marks the end");
    let all = look(copy(dir.path()).path(), &config).await.unwrap();
    for at in 0..bytes.len() {
        let damaged = copy(dir.path());
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(damaged.path().join(segment.file_name().unwrap()), flipped).unwrap();
        let found = look(damaged.path(), &config).await;
        if at as u64 >= closed_len {
            assert_eq!(found.unwrap(), all, "the mark holds no records");
            continue;
        }
        let error = found.expect_err("a flipped bit is noticed");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {at}: {error}");
        assert!(error.to_string().contains(".log is damaged at byte"), "{error}");
    }
}

#[tokio::test]
async fn a_bit_flipped_in_a_sealed_segment_or_its_index_never_yields_other_records() {
    let config = tiny(700);
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &config).await;
        log.create_topic("a", change_log::TopicSpec::new()).await.unwrap();
        let mut producer = log.producer("p").await.unwrap();
        for i in 0..12 {
            producer.append(one("a", 0, values([format!("value {i:0100}")]))).await.unwrap();
        }
    }
    let names = segments(dir.path());
    assert!(names.len() >= 3, "{names:?}");
    let whole = read_everything(&open(copy(dir.path()).path(), &config).await).await.unwrap();
    let middle = &names[1];
    let mut noticed = 0;
    for (path, index) in [(middle.clone(), false), (middle.with_extension("index"), true)] {
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let damaged = copy(dir.path());
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(damaged.path().join(path.file_name().unwrap()), flipped).unwrap();
            let found = match LocalLog::open(damaged.path(), config.clone()).await {
                Ok(log) => read_everything(&log).await,
                Err(e) => Err(e),
            };
            match found {
                Ok(found) => assert_eq!(found, whole, "byte {at} of {}", path.display()),
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::Corrupt, "byte {at} of {}: {e}", path.display());
                    noticed += usize::from(!index);
                }
            }
        }
    }
    assert!(noticed >= 240, "the records of the segment are covered: {noticed} bytes noticed");
}

#[tokio::test]
async fn a_sealed_segment_that_is_missing_or_shorter_is_refused() {
    let config = tiny(700);
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &config).await;
        log.create_topic("a", change_log::TopicSpec::new()).await.unwrap();
        let mut producer = log.producer("p").await.unwrap();
        for i in 0..20 {
            producer.append(one("a", 0, values([format!("value {i:0100}")]))).await.unwrap();
        }
    }
    let middle = segments(dir.path())[2].clone();
    let missing = copy(dir.path());
    std::fs::remove_file(missing.path().join(middle.file_name().unwrap())).unwrap();
    let error = look(missing.path(), &config).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("a segment between them is missing"), "{error}");
    for keep_index in [true, false] {
        let shorter = copy(dir.path());
        let path = shorter.path().join(middle.file_name().unwrap());
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        if !keep_index {
            std::fs::remove_file(path.with_extension("index")).unwrap();
        }
        assert_eq!(look(shorter.path(), &config).await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn a_missing_index_is_made_again() {
    let config = tiny(700);
    let dir = tempfile::tempdir().unwrap();
    {
        let log = open(dir.path(), &config).await;
        log.create_topic("a", change_log::TopicSpec::new()).await.unwrap();
        let mut producer = log.producer("p").await.unwrap();
        for i in 0..20 {
            producer.append(one("a", 0, values([format!("value {i:0100}")]))).await.unwrap();
        }
    }
    let whole = read_everything(&open(dir.path(), &config).await).await.unwrap();
    let indexes: Vec<_> = segments(dir.path()).iter().map(|s| s.with_extension("index")).filter(|p| p.exists()).collect();
    assert!(indexes.len() > 3);
    let before: Vec<_> = indexes.iter().map(|p| std::fs::read(p).unwrap()).collect();
    for index in &indexes {
        std::fs::remove_file(index).unwrap();
    }
    assert_eq!(read_everything(&open(dir.path(), &config).await).await.unwrap(), whole);
    assert_eq!(indexes.iter().map(|p| std::fs::read(p).unwrap()).collect::<Vec<_>>(), before);
}

/// A crash of the machine may keep the later pages of an unfinished write and not the earlier ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_one_flush_that_reached_the_disk_in_another_order_are_a_torn_tail() {
    let config = LocalLogConfig::default();
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), &config).await;
    log.create_topic("a", change_log::TopicSpec::new()).await.unwrap();
    let mut producers = Vec::new();
    for i in 0..64 {
        producers.push(log.producer(&i.to_string()).await.unwrap());
    }
    let start = log.bytes() as usize;
    // Frames are alike, so that their size is known; `durable` (bytes 24 to 32) tells the flushes apart. Whether appends share a flush is
    // a matter of chance: again until they do.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let (segment, bytes, size, frames, last_flush, crashed) = loop {
        let mut tasks = Vec::new();
        for mut p in producers.drain(..) {
            tasks.push(tokio::spawn(async move {
                p.append(one("a", 0, values(["value"]))).await.unwrap();
                p
            }));
        }
        for task in tasks {
            producers.push(task.await.unwrap());
        }
        let crashed = copy(dir.path());
        let segment = segments(crashed.path()).pop().unwrap();
        let bytes = std::fs::read(&segment).unwrap();
        let frames = log.offsets("a", 0).await.unwrap().next as usize;
        let size = (bytes.len() - start) / frames;
        let durable = |frame: usize| {
            let at = start + frame * size + 24;
            u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
        };
        let last_flush = (0..frames).filter(|&f| durable(f) == durable(frames - 1)).count();
        if last_flush > 1 && last_flush < frames {
            break (segment, bytes, size, frames, last_flush, crashed);
        }
        assert!(std::time::Instant::now() < deadline, "appends at once share a flush");
    };
    drop((producers, log));
    let damage = |frame: usize| {
        let mut damaged = bytes.clone();
        let at = start + frame * size;
        damaged[at..at + size].fill(0);
        std::fs::write(&segment, damaged).unwrap();
    };
    damage(frames - last_flush);
    let read = read_everything(&open(crashed.path(), &config).await).await.unwrap();
    assert_eq!(read[&("a".into(), 0)].len(), frames - last_flush);
    damage(frames - last_flush - 1);
    assert_eq!(look(crashed.path(), &config).await.unwrap_err().kind(), ErrorKind::Corrupt, "a flushed frame is not a tail");
}
