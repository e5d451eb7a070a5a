//! Stopped anywhere and started again, a mirror goes on exactly: no gap, nothing twice.

use crate::support::{Fixture, both, both_over_kafka, caught_up, run, seed, start, stop};
use mysql_async::prelude::Queryable;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::time::Duration;

/// Changes of random rows; counts what the server says that it changed.
async fn change(conn: &mut mysql_async::Conn, rng: &mut StdRng, counts: &mut BTreeMap<char, usize>) {
    for _ in 0..30 {
        let id = rng.random_range(0..200);
        let (op, sql) = match rng.random_range(0..5) {
            0 | 1 => ('c', format!("INSERT IGNORE INTO t VALUES ({id}, {})", rng.random_range(0..1_000_000))),
            2 => ('d', format!("DELETE FROM t WHERE id BETWEEN {id} AND {}", id + 3)),
            _ => ('u', format!("UPDATE t SET v = v + 1 WHERE id BETWEEN {id} AND {}", id + 10)),
        };
        run(conn, &[&sql]).await;
        let affected = conn.affected_rows() as usize;
        if affected > 0 {
            *counts.entry(op).or_default() += affected;
            if op == 'd' {
                *counts.entry('-').or_default() += affected;
            }
        }
    }
    conn.query_drop("INSERT INTO other (v) VALUES (1)").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_log_once_over_restarts_at_any_point() {
    let seed = seed();
    both("restarts", async |f| restarts(f, 10, seed).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_kafka_once_over_restarts_at_any_point() {
    let seed = seed();
    both_over_kafka("krestarts", async |f| restarts(f, 10, seed).await).await;
}

async fn restarts(mut f: Fixture, rounds: usize, seed: u64) {
    f.sql(&[
        "CREATE TABLE t (id INT PRIMARY KEY, v INT)",
        "CREATE TABLE other (id INT PRIMARY KEY AUTO_INCREMENT, v INT)",
        "INSERT INTO t VALUES (1, 1), (50, 50), (199, 199)",
    ])
    .await;
    f.once().await;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut counts = BTreeMap::from([('r', 3)]);
    for round in 0..rounds {
        // Changes while it is down, while it starts, and while it runs.
        change(&mut f.admin, &mut rng, &mut counts).await;
        let mut config = f.config();
        config.sink.commit_interval = Duration::from_millis([1, 50, 60_000][round % 3]);
        let mirror = start(config).await;
        change(&mut f.admin, &mut rng, &mut counts).await;
        match round % 5 {
            // At once; with a commit that is due in a minute, the tables lag behind the log.
            0 | 1 => {}
            2 => {
                let captured = |s: &mirror::MirrorStatus| s.source.events > 0;
                crate::support::within("a captured change", mirror.watch().wait_for(captured)).await.unwrap();
            }
            3 => caught_up(&mirror).await,
            _ => {
                // As a crash would end it: nobody asks it to stop.
                drop(mirror);
                if f.cluster.is_none() {
                    crate::support::poll("the log to be let go", async || {
                        change_log::LocalLog::open(f.log_folder(), Default::default()).await.ok()
                    })
                    .await;
                }
                continue;
            }
        }
        assert_eq!(stop(mirror).await.stopped().count(), 0);
    }
    f.once().await;
    f.assert_equal().await;
    assert_eq!(f.events("t").await.ops, counts);
    assert_eq!(f.events("other").await.ops, [('c', 2 * rounds)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_mirror_left_nothing_uncommitted() {
    both("flushed", async |mut f| {
        f.sql(&["CREATE TABLE t (id INT PRIMARY KEY)", "INSERT INTO t VALUES (1)"]).await;
        f.once().await;
        let mut config = f.config();
        config.sink.commit_interval = Duration::from_secs(3600);
        let mirror = start(config).await;
        caught_up(&mirror).await;
        f.sql(&["INSERT INTO t VALUES (2), (3)"]).await;
        let captured = |s: &mirror::MirrorStatus| s.source.events == 2;
        crate::support::within("the changes", mirror.watch().wait_for(captured)).await.unwrap();
        let status = stop(mirror).await;
        let table = &status.tables[&f.name("t")];
        assert_eq!(table.applied, table.log_end, "{table:?}");
        f.assert_equal().await;
    })
    .await;
}
