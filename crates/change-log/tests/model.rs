//! Random operations on a local log with tiny segments, against the log in memory as the model.

use crate::support::{copy, open, read_everything, seed, tiny};
use change_log::{
    Append, ChangeLog, HeaderSet, LocalLogConfig, MemoryLog, Producer, Records, RecordsBuilder, TopicSpec, Transaction,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const TOPICS: [&str; 4] = ["a", "b", "c", "progress"];

fn spec(topic: &str) -> TopicSpec {
    TopicSpec { partitions: if topic == "a" { 3 } else { 1 }, compacted: topic == "progress" }
}

fn random_records(rng: &mut StdRng, counter: &mut i64) -> Records {
    let mut b = RecordsBuilder::new();
    let headers = [HeaderSet::NONE, b.headers(&[("x", b"1")]).unwrap(), b.headers(&[("y", b"2"), ("z", b"")]).unwrap()];
    for _ in 0..rng.random_range(0..6) {
        *counter += 1;
        let key = format!("key {}", rng.random_range(0..10));
        let value = format!("{counter} {}", "x".repeat(rng.random_range(0..200)));
        let value = rng.random_bool(0.9).then_some(value);
        // No time is before the tombstones' horizon, so that both logs keep them.
        let timestamp = i64::MAX / 2 + rng.random_range(0..3);
        b.push(Some(key.as_bytes()), value.as_ref().map(|v| v.as_bytes()), headers[rng.random_range(0..3)], timestamp).unwrap();
    }
    b.finish()
}

fn random_transaction(rng: &mut StdRng, counter: &mut i64) -> Transaction {
    let mut appends = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let topic = TOPICS[rng.random_range(0..TOPICS.len())];
        // Now and then a partition that is not there.
        let partition = if rng.random_bool(0.05) { 3 } else { rng.random_range(0..spec(topic).partitions) };
        appends.push(Append::new(topic.to_owned(), partition, random_records(rng, counter)));
    }
    Transaction { appends }
}

async fn same(local: &dyn ChangeLog, model: &dyn ChangeLog, rng: &mut StdRng) {
    let mut everything = (read_everything(local).await.unwrap(), read_everything(model).await.unwrap());
    assert!(everything.0.keys().eq(everything.1.keys()), "the same topics");
    for ((topic, partition), local_records) in &mut everything.0 {
        let model_records = everything.1.get_mut(&(topic.clone(), *partition)).unwrap();
        let (l, m) = (local.offsets(topic, *partition).await.unwrap(), model.offsets(topic, *partition).await.unwrap());
        assert_eq!(l.next, m.next, "{topic}/{partition}");
        let first = l.first.max(m.first);
        local_records.retain(|r| r.0 >= first);
        model_records.retain(|r| r.0 >= first);
        assert_eq!(local_records, model_records, "{topic}/{partition} from {first}");
        // One read from anywhere, of any size: the same records, as far as it goes, with the same headers.
        let from = rng.random_range(first..=l.next);
        let max_bytes = [0, 1, 100, 1000, 100_000][rng.random_range(0..5)];
        let l = local.read(topic, *partition, from, max_bytes).await.unwrap();
        let m = model.read(topic, *partition, from, usize::MAX).await.unwrap();
        assert_eq!(l.records.is_empty(), m.records.is_empty());
        let n = l.records.len();
        assert!(l.records.iter().eq(m.records.iter().take(n)), "{topic}/{partition} read from {from}");
    }
}

async fn run(seed: u64, operations: usize, config: &LocalLogConfig) {
    println!("run {seed} of {config:?}");
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut local = open(dir.path(), config).await;
    let model = MemoryLog::new();
    let mut producers: Vec<(Box<dyn Producer>, Box<dyn Producer>)> = Vec::new();
    let mut counter = 0;
    for _ in 0..operations {
        match rng.random_range(0..100) {
            0..5 => {
                let topic = TOPICS[rng.random_range(0..TOPICS.len())];
                local.create_topic(topic, spec(topic)).await.unwrap();
                model.create_topic(topic, spec(topic)).await.unwrap();
            }
            5..6 => {
                let topic = TOPICS[rng.random_range(0..TOPICS.len())];
                let results = (local.delete_topic(topic).await, model.delete_topic(topic).await);
                assert_eq!(results.0.map_err(|e| e.kind()), results.1.map_err(|e| e.kind()));
            }
            6..10 => {
                // Producers that came before stay, and are fenced if they have the same id.
                let id = format!("producer {}", rng.random_range(0..3));
                producers.push((local.producer(&id).await.unwrap(), model.producer(&id).await.unwrap()));
            }
            10..80 if !producers.is_empty() => {
                let recent = producers.len().saturating_sub(4)..producers.len();
                let (l, m) = &mut producers[rng.random_range(recent)];
                let transaction = random_transaction(&mut rng, &mut counter);
                let results = (l.append(transaction.clone()).await, m.append(transaction).await);
                match results {
                    (Ok(l), Ok(m)) => assert_eq!(l, m),
                    (Err(l), Err(m)) => assert_eq!((l.kind(), l.topic()), (m.kind(), m.topic())),
                    other => panic!("one log refuses, the other does not: {other:?}"),
                }
            }
            80..90 => {
                let topic = TOPICS[rng.random_range(0..TOPICS.len())];
                let partition = rng.random_range(0..spec(topic).partitions);
                if let Ok(range) = model.offsets(topic, partition).await {
                    let applied = rng.random_range(range.first..=range.next);
                    local.release(topic, partition, applied).await.unwrap();
                    model.release(topic, partition, applied).await.unwrap();
                }
            }
            90..93 => {
                // As a crash would leave the files: nothing is flushed for the occasion.
                let crashed = copy(dir.path());
                let recovered = open(crashed.path(), config).await;
                same(&recovered, &model, &mut rng).await;
            }
            93..96 => {
                producers.clear();
                drop(local);
                local = open(dir.path(), config).await;
            }
            _ => same(&local, &model, &mut rng).await,
        }
    }
    same(&local, &model, &mut rng).await;
}

#[tokio::test]
async fn a_local_log_is_the_same_as_one_in_memory() {
    let start = seed();
    for i in 0..6 {
        let mut config = tiny([1500, 6000, 1 << 20][i % 3]);
        config.cache_bytes = [0, 3000][i % 2];
        run(start.wrapping_add(i as u64), 300, &config).await;
    }
}
