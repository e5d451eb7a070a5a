//! What several tests need: small logs, records, and all that a log holds.

use change_log::{Append, ChangeLog, HeaderSet, LocalLog, LocalLogConfig, Records, RecordsBuilder, Transaction};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Segments of so many bytes, no cache, nothing kept once it is released.
pub fn tiny(segment_bytes: u64) -> LocalLogConfig {
    let mut config = LocalLogConfig::default();
    config.segment_bytes = segment_bytes;
    config.retention_ms = 0;
    config.cache_bytes = 0;
    config
}

pub async fn open(dir: &Path, config: &LocalLogConfig) -> LocalLog {
    LocalLog::open(dir, config.clone()).await.unwrap()
}

pub fn values<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Records {
    let mut b = RecordsBuilder::new();
    for v in values {
        b.push(Some(b"key"), Some(v.as_ref()), HeaderSet::NONE, 1).unwrap();
    }
    b.finish()
}

pub fn one(topic: &str, partition: i32, records: Records) -> Transaction {
    Transaction { appends: vec![Append::new(topic.to_owned(), partition, records)] }
}

/// Offset, key, value, timestamp.
pub type Record = (i64, Option<Vec<u8>>, Option<Vec<u8>>, i64);

/// All records from an offset on.
pub async fn read_from(log: &dyn ChangeLog, topic: &str, partition: i32, from: i64) -> change_log::Result<Vec<Record>> {
    let mut out = Vec::new();
    let mut from = from;
    loop {
        let fetched = log.read(topic, partition, from, 64 << 10).await?;
        let records = fetched.records.iter();
        out.extend(records.map(|r| (r.offset, r.key.map(<[u8]>::to_vec), r.value.map(<[u8]>::to_vec), r.timestamp_ms)));
        if fetched.at_end {
            return Ok(out);
        }
        assert!(fetched.next_offset > from, "a read that is not at the end goes on");
        from = fetched.next_offset;
    }
}

/// All records of all partitions.
pub async fn read_everything(log: &dyn ChangeLog) -> change_log::Result<BTreeMap<(String, i32), Vec<Record>>> {
    let mut out = BTreeMap::new();
    for topic in log.topics().await? {
        for partition in 0..topic.partitions {
            let first = log.offsets(&topic.name, partition).await?.first;
            out.insert((topic.name.clone(), partition), read_from(log, &topic.name, partition, first).await?);
        }
    }
    Ok(out)
}

pub fn segments(dir: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut out: Vec<PathBuf> = files.filter(|p| p.extension().is_some_and(|e| e == "log")).collect();
    out.sort();
    out
}

/// A copy of a log's files, as a crash at this moment would leave them.
pub fn copy(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// The seed of a randomised test: from `CHANGE_LOG_SEED` to replay one, else a new one. It is printed.
pub fn seed() -> u64 {
    let given = std::env::var("CHANGE_LOG_SEED").ok().and_then(|s| s.parse().ok());
    let seed = given.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    println!("CHANGE_LOG_SEED={seed}");
    seed
}
