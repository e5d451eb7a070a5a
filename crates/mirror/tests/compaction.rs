//! A table that is updated all the time stays quick to read, and exact.

use crate::support::{Fixture, both, caught_up, poll, start, stop};
use mirror::Mirror;

/// Rounds of changes, each a commit of its own.
const ROUNDS: u32 = 40;

async fn change_all_the_time(f: &mut Fixture, mirror: &Mirror, rounds: std::ops::Range<u32>) {
    for round in rounds {
        let third = round % 3;
        f.sql(&[
            &format!("UPDATE t SET v = {round} WHERE MOD(id, 3) = {third}"),
            &format!("DELETE FROM t WHERE id = {}", round % 30),
            &format!("INSERT INTO t VALUES ({}, 'again', {round})", round % 30),
            &format!("INSERT INTO t VALUES ({}, 'new', {round})", 1_000 + round),
        ])
        .await;
        caught_up(mirror).await;
    }
}

/// Live data and delete files of the newest snapshot.
async fn files(f: &Fixture) -> u32 {
    let table = f.table("t").await;
    let summary = &table.head().unwrap().summary().additional_properties;
    ["total-data-files", "total-delete-files"].iter().map(|total| summary[*total].parse::<u32>().unwrap()).sum()
}

/// How many snapshots are rewrites. Each must say how much of the log the table has, like any other.
async fn rewrites(f: &Fixture) -> usize {
    let table = f.table("t").await;
    let rewrites = table.metadata().snapshots().filter(|s| s.summary().operation == iceberg::spec::Operation::Replace);
    rewrites.inspect(|s| assert!(s.summary().additional_properties.contains_key("cdc.checkpoint"))).count()
}

async fn prepare(f: &mut Fixture) {
    f.sql(&["CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR(20), v INT)"]).await;
    for id in 0..30 {
        f.sql(&[&format!("INSERT INTO t VALUES ({id}, 'old', 0)")]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_and_small_files_are_folded_away_while_the_table_is_mirrored() {
    both("folded", async |mut f| {
        prepare(&mut f).await;
        let mirror = f.caught_up_mirror().await;
        change_all_the_time(&mut f, &mirror, 0..ROUNDS).await;
        let f = &mut f;
        poll("few files", async || (files(f).await < 20).then_some(())).await;
        assert!(rewrites(f).await >= 2);
        f.assert_equal().await;
        stop(mirror).await;
        // Another start goes on from a rewrite as from any other snapshot.
        let mirror = f.caught_up_mirror().await;
        change_all_the_time(f, &mirror, ROUNDS..ROUNDS + 15).await;
        f.sql(&["TRUNCATE TABLE t", "INSERT INTO t VALUES (1, 'alone', 1)"]).await;
        caught_up(&mirror).await;
        f.assert_equal().await;
        change_all_the_time(f, &mirror, 0..15).await;
        stop(mirror).await;
        f.assert_equal().await;
        f.assert_equal_by_oracle(&[]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_can_be_left_to_another_engine() {
    both("unfolded", async |mut f| {
        prepare(&mut f).await;
        let mut config = f.config();
        config.sink.compaction = false;
        let mirror = start(config).await;
        caught_up(&mirror).await;
        change_all_the_time(&mut f, &mirror, 0..15).await;
        stop(mirror).await;
        assert!(files(&f).await >= 30, "a data and a delete file of each round");
        assert_eq!(rewrites(&f).await, 0);
        f.assert_equal().await;
    })
    .await;
}
