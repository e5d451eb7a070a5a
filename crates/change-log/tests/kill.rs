//! A process that appends is killed with -9, again and again.

use crate::support::{one, open, read_from, seed, tiny, values};
use change_log::{Append, ChangeLog, TopicSpec, Transaction};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "CHANGE_LOG_KILL_DIRECTORY";
const PRODUCERS: i32 = 3;

/// Appends for ever, several producers at once, each to two topics; says on stdout what is acknowledged.
async fn append_for_ever(dir: &Path) {
    let log = open(dir, &tiny(20_000)).await;
    log.create_topic("data", TopicSpec { partitions: PRODUCERS, compacted: false }).await.unwrap();
    log.create_topic("progress", TopicSpec { partitions: PRODUCERS, compacted: true }).await.unwrap();
    let mut tasks = Vec::new();
    for p in 0..PRODUCERS {
        let log = log.clone();
        tasks.push(tokio::spawn(async move {
            let mut producer = log.producer(&p.to_string()).await.unwrap();
            let start = log.offsets("progress", p).await.unwrap().next;
            for n in start.. {
                // Transaction n has the records 3n, 3n+1, 3n+2.
                let data = values((0..3).map(|i| format!("{} of producer {p}", n * 3 + i)));
                let appends = vec![Append::new("data", p, data), Append::new("progress", p, values([n.to_string()]))];
                producer.append(Transaction { appends }).await.unwrap();
                println!("acknowledged {p} {n}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_whole_and_once() {
    if let Some(dir) = std::env::var_os(CHILD) {
        return append_for_ever(Path::new(&dir)).await;
    }
    let mut rng = StdRng::seed_from_u64(seed());
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = [-1_i64; PRODUCERS as usize];
    for round in 0..15 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::what_was_acknowledged_survives_kill_9_whole_and_once", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let kill_after = Duration::from_micros(rng.random_range(0..40_000));
        let killer = std::thread::spawn({
            let after_lines = rng.random_range(1..60);
            move || {
                let mut seen = Vec::new();
                let mut child = Some(child);
                for line in lines {
                    let Ok(line) = line else { break };
                    // The test harness writes into the first line.
                    if let Some(at) = line.find("acknowledged ") {
                        seen.push(line[at..].to_owned());
                    }
                    if seen.len() >= after_lines
                        && let Some(mut child) = child.take()
                    {
                        std::thread::sleep(kill_after);
                        child.kill().unwrap();
                        child.wait().unwrap();
                    }
                }
                assert!(child.is_none(), "the child ended by itself");
                seen
            }
        });
        for line in killer.join().unwrap() {
            let numbers: Vec<i64> = line.split(' ').skip(1).filter_map(|n| n.parse().ok()).collect();
            let [p, n] = numbers[..] else { continue };
            acknowledged[p as usize] = acknowledged[p as usize].max(n);
        }
        let log = open(dir.path(), &tiny(20_000)).await;
        for p in 0..PRODUCERS {
            let transactions = log.offsets("progress", p).await.unwrap().next;
            let range = log.offsets("data", p).await.unwrap();
            let acknowledged = acknowledged[p as usize];
            assert!(transactions > acknowledged, "round {round}, producer {p}: {acknowledged} acknowledged, {transactions} kept");
            assert_eq!(range.next, transactions * 3, "round {round}, producer {p}: transactions are whole");
            let progress = read_from(&log, "progress", p, 0).await.unwrap();
            assert_eq!(progress.len(), usize::from(transactions > 0));
            if let Some(newest) = progress.first() {
                assert_eq!(newest.2.as_deref(), Some((transactions - 1).to_string().as_bytes()));
            }
            let data = read_from(&log, "data", p, range.first).await.unwrap();
            assert_eq!(data.len() as i64, range.next - range.first);
            for (n, r) in (range.first..).zip(data) {
                assert_eq!((r.0, r.2.unwrap()), (n, format!("{n} of producer {p}").into_bytes()));
            }
            // Now and then what was read is released, so that segments go while processes are killed.
            if round % 4 == 3 {
                log.release("data", p, range.next).await.unwrap();
            }
        }
        let mut producer = log.producer("0").await.unwrap();
        assert!(producer.append(one("nowhere", 0, values(["x"]))).await.is_err());
    }
    assert!(acknowledged.iter().all(|&n| n > 0), "{acknowledged:?}");
}
