//! Prints what the log on Kafka does on this machine: `cargo bench -p change-log --features kafka --bench kafka`, with the servers of a
//! cluster in `CHANGE_LOG_BENCH_KAFKA` (`dev/kafka start bench` says them).
//!
//! Records are those of a source: 400 bytes, a key, four headers that all records of a table share.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints what it measures")]

use change_log::{Append, ChangeLog, HeaderSet, KafkaLog, KafkaLogConfig, Records, RecordsBuilder, TopicSpec, Transaction};
use std::time::{Duration, Instant};

const RECORDS: usize = 200_000;
const IN_A_TRANSACTION: usize = 1_000;
const HEADERS: [(&str, &[u8]); 4] = [
    ("__debezium.context.connectorLogicalName", b"shop"),
    ("__debezium.context.taskId", b"0"),
    ("__debezium.context.connectorName", b"mysql"),
    ("__debezium.context.table", b"inventory.customers"),
];

fn batch(with_headers: bool) -> Records {
    let mut b = RecordsBuilder::new();
    let headers = if with_headers { b.headers(&HEADERS).unwrap() } else { HeaderSet::NONE };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    for n in 0..IN_A_TRANSACTION {
        let value = format!("{{\"after\":{{\"id\":{n},\"name\":\"{:0>360}\"}}}}", n.wrapping_mul(2_654_435_761));
        b.push(Some(format!("{{\"id\":{n}}}").as_bytes()), Some(value.as_bytes()), headers, now).unwrap();
    }
    b.finish()
}

async fn measure(log: &KafkaLog, what: &str, records: &Records, transactions: usize) {
    let topic = format!("bench.{}", uuid::Uuid::new_v4());
    log.create_topic(&topic, TopicSpec::new()).await.unwrap();
    let mut producer = log.producer(&topic).await.unwrap();
    let transaction = || Transaction { appends: vec![Append::new(&topic, 0, records.clone())] };
    producer.append(transaction()).await.unwrap();
    let (start, cpu) = (Instant::now(), cpu_time());
    for _ in 0..transactions {
        producer.append(transaction()).await.unwrap();
    }
    let (took, cpu) = (start.elapsed(), cpu_time().saturating_sub(cpu));
    let n = transactions * records.len();
    println!(
        "  {what:<24} {:>9.0} records/s {:>8.2} us of CPU a record",
        n as f64 / took.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / n as f64
    );
    log.delete_topic(&topic).await.unwrap();
}

/// What this process has used, which tells more than the clock on a machine that is shared.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the name, which may have spaces; ticks of user and system, 10 ms each.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|n| n.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

fn main() {
    let Ok(servers) = std::env::var("CHANGE_LOG_BENCH_KAFKA") else {
        println!("no cluster: set CHANGE_LOG_BENCH_KAFKA to its bootstrap.servers");
        return;
    };
    // `cargo test --all-targets` runs this too, without `--bench`: then a glance is enough.
    let records = if std::env::args().any(|a| a == "--bench") { RECORDS } else { 2 * IN_A_TRANSACTION };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let log = KafkaLog::open(KafkaLogConfig::new(servers)).await.unwrap();
        println!("append, {IN_A_TRANSACTION} records at once");
        for _ in 0..2 {
            measure(&log, "without headers", &batch(false), records / IN_A_TRANSACTION).await;
            measure(&log, "with four headers", &batch(true), records / IN_A_TRANSACTION).await;
        }
    });
}
