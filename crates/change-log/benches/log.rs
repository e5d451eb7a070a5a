//! Prints what the log does on this machine: `cargo bench -p change-log`. `CHANGE_LOG_BENCH_DIR` chooses the disk.
//!
//! The same measure is taken in memory (`/dev/shm`), where a flush costs nothing: what remains is the log's own work.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints what it measures")]

use change_log::{Append, ChangeLog, HeaderSet, LocalLog, LocalLogConfig, Records, RecordsBuilder, TopicSpec, Transaction};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EVENT: &[u8] = br#"{"before":null,"after":{"id":1001,"first_name":"Sally","last_name":"Thomas","email":"sally.thomas@acme.com"},"source":{"version":"3.6.1.Final","connector":"mysql","name":"shop","ts_ms":1700000000000,"snapshot":"false","db":"shop","table":"customers","server_id":1,"file":"mysql-bin.000003","pos":4821,"row":0},"op":"c","ts_ms":1700000000001}"#;

fn batch(records: usize) -> Records {
    let mut b = RecordsBuilder::with_capacity(records * (EVENT.len() + 16));
    for i in 0..records {
        let arena = b.arena();
        let start = arena.len();
        arena.extend_from_slice(b"{\"id\":");
        arena.extend_from_slice(&(i as u32).to_le_bytes());
        arena.push(b'}');
        let middle = arena.len();
        arena.extend_from_slice(EVENT);
        let end = arena.len();
        b.commit(Some(start..middle), Some(middle..end), HeaderSet::NONE, 1_700_000_000_000 + i as i64).unwrap();
    }
    b.finish()
}

fn one(records: Records) -> Transaction {
    Transaction { appends: vec![Append::new("events", 0, records)] }
}

fn rates(what: &str, bytes: usize, records: usize, took: Duration) {
    let seconds = took.as_secs_f64();
    println!("  {what:<44} {:>8.0} MB/s {:>12.0} records/s", bytes as f64 / 1e6 / seconds, records as f64 / seconds);
}

async fn measure(name: &str, dir: &Path, megabytes: usize) {
    println!("{name} ({})", dir.display());
    let dir = tempfile::tempdir_in(dir).unwrap();
    let log = LocalLog::open(dir.path(), LocalLogConfig::default()).await.unwrap();
    log.create_topic("events", TopicSpec::new()).await.unwrap();
    let mut producer = log.producer("bench").await.unwrap();

    let records = batch(20_000);
    let (n, each) = (megabytes * 1_000_000 / records.bytes(), records.bytes());
    let start = Instant::now();
    for _ in 0..n {
        producer.append(one(records.clone())).await.unwrap();
    }
    rates(&format!("append, {} MB at once", each / 1_000_000), n * each, n * records.len(), start.elapsed());

    let mut from = 0;
    let (mut bytes, mut read) = (0, 0);
    let start = Instant::now();
    loop {
        let fetched = log.read("events", 0, from, 4 << 20).await.unwrap();
        for r in &fetched.records {
            bytes += r.value.map_or(0, <[u8]>::len) + r.key.map_or(0, <[u8]>::len);
            read += 1;
        }
        from = fetched.next_offset;
        if fetched.at_end {
            break;
        }
    }
    rates("read all, 4 MiB at once, each record visited", bytes, read, start.elapsed());

    let small = batch(1);
    let mut latencies = Vec::new();
    let start = Instant::now();
    while latencies.len() < 2_000 && start.elapsed() < Duration::from_secs(2) {
        let start = Instant::now();
        producer.append(one(small.clone())).await.unwrap();
        latencies.push(start.elapsed());
    }
    let n = latencies.len();
    let rate = n as f64 / start.elapsed().as_secs_f64();
    latencies.sort();
    println!(
        "  one producer, one record at once: {rate:.0} appends/s, p50 {:?}, p99 {:?}",
        latencies[n / 2],
        latencies[n * 99 / 100]
    );

    let start = Instant::now();
    let mut tasks = Vec::new();
    for p in 0..64 {
        let (log, small) = (log.clone(), small.clone());
        tasks.push(tokio::spawn(async move {
            let mut producer = log.producer(&p.to_string()).await.unwrap();
            let mut n = 0;
            while start.elapsed() < Duration::from_secs(1) {
                producer.append(one(small.clone())).await.unwrap();
                n += 1;
            }
            n
        }));
    }
    let mut appends = 0;
    for task in tasks {
        appends += task.await.unwrap();
    }
    println!("  64 producers, one record at once: {:.0} appends/s", f64::from(appends) / start.elapsed().as_secs_f64());

    let bytes = log.bytes();
    drop((producer, log));
    let start = Instant::now();
    let log = LocalLog::open(dir.path(), LocalLogConfig::default()).await.unwrap();
    println!("  opening {} MB: {:?}", bytes / 1_000_000, start.elapsed());
    drop(log);
}

fn main() {
    // `cargo test --all-targets` runs this too, without `--bench`: then a glance is enough.
    let megabytes = if std::env::args().any(|a| a == "--bench") { 1000 } else { 20 };
    let start = Instant::now();
    let records = batch(200_000);
    rates("encode in place", records.bytes(), records.len(), start.elapsed());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        runtime.block_on(measure("without the cost of a flush", memory, megabytes));
    }
    let disk = std::env::var_os("CHANGE_LOG_BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    runtime.block_on(measure("on disk", &disk, megabytes));
}
