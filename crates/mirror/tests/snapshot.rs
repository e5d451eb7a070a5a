//! A source that is written to while its tables are read for the first time.

use crate::support::{both, caught_up, run, seed, start, stop};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const ROWS: u32 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_rows_that_the_snapshot_has_not_reached_arrive_exactly() {
    let seed = seed();
    both("moving", async |mut f| {
        f.sql(&[
            "CREATE TABLE t (id INT PRIMARY KEY, v INT, s VARCHAR(30))",
            "CREATE TABLE pairs (a INT, b VARCHAR(8), v INT, PRIMARY KEY (a, b))",
        ])
        .await;
        let values: Vec<String> = (0..ROWS).map(|i| format!("({}, {i}, 'old')", i * 2)).collect();
        f.sql(&[
            &format!("INSERT INTO t VALUES {}", values.join(",")),
            "INSERT INTO pairs SELECT id % 50, CONCAT('k', id), v FROM t",
        ])
        .await;

        let done = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for writer in 0..2 {
            let (done, mut conn) = (Arc::clone(&done), f.server.admin(&f.database).await);
            let mut rng = StdRng::seed_from_u64(seed + writer);
            writers.push(tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let (a, b) = (rng.random_range(0..ROWS * 2), rng.random_range(0..ROWS * 2));
                    let sql = match rng.random_range(0..7) {
                        0 => format!("UPDATE IGNORE t SET id = {b} WHERE id = {a}"),
                        1 => format!("DELETE FROM t WHERE id = {a}"),
                        2 => format!("REPLACE INTO t VALUES ({a}, {b}, 'w{writer}')"),
                        3 => format!("UPDATE t SET v = v + 1 WHERE id BETWEEN {a} AND {}", a + 20),
                        4 => format!("UPDATE IGNORE pairs SET a = {} WHERE b = 'k{a}'", b % 50),
                        5 => format!("DELETE FROM pairs WHERE b = 'k{a}'"),
                        _ => format!("INSERT IGNORE INTO pairs VALUES ({}, 'n{b}', {a})", a % 50),
                    };
                    // Two writers deadlock at times; the loser's statement simply did not happen.
                    if let Err(e) = conn.query_drop(&sql).await {
                        assert!(e.to_string().contains("1213"), "{sql}: {e}");
                    }
                }
            }));
        }
        let mut config = f.config();
        config.source.snapshot_fetch_size = 100;
        let mirror = start(config).await;
        caught_up(&mirror).await;
        done.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        caught_up(&mirror).await;
        f.assert_equal().await;
        assert_eq!(stop(mirror).await.stopped().count(), 0);
        for table in ["t", "pairs"] {
            let events = f.events(table).await;
            assert!(events.of('r') > 0 && events.of('u') + events.of('d') > 0, "nothing changed meanwhile: {events:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_was_cut_goes_on_and_reads_no_row_twice() {
    both("cut", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, s CHAR(200))"]).await;
        let mut conn = f.server.admin(&f.database).await;
        for i in 0..60 {
            let values: Vec<String> = (0..1_000).map(|j| format!("({}, 'x')", i * 1_000 + j)).collect();
            run(&mut conn, &[&format!("INSERT INTO t VALUES {}", values.join(","))]).await;
        }
        let mut config = f.config();
        config.source.snapshot_fetch_size = 100;
        let name = f.name("t");
        let mut cuts = 0;
        loop {
            let mirror = start(config.clone()).await;
            let mut status = mirror.watch();
            let before = status.borrow().tables.get(&name).map_or(0, |t| t.snapshot_rows);
            let more = |s: &mirror::MirrorStatus| {
                s.tables.get(&name).is_some_and(|t| t.snapshot_rows > before || t.phase == mirror::TablePhase::Streaming)
            };
            crate::support::within("more of the snapshot", status.wait_for(more)).await.unwrap();
            let last = stop(mirror).await;
            if last.tables[&name].phase == mirror::TablePhase::Streaming {
                break;
            }
            cuts += 1;
        }
        let mirror = start(config).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        stop(mirror).await;
        assert!(cuts > 0, "the snapshot was never cut");
        assert_eq!(f.events("t").await.ops, [('r', 60_000)].into());
    })
    .await;
}
