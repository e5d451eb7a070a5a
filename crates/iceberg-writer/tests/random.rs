//! Random changes and compactions, read back after every commit and compared with a map. The seed is printed; set SEED to replay it.

use crate::support::*;
use arrow_array::RecordBatch;
use cdc_core::{LogicalType, Op};
use iceberg_writer::{Commit, CommitError, CompactionConfig, DeltaWriter, NewRows, RewriteFiles, Upkeep, WriterConfig};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn random_changes_read_back_as_a_map_would_have_them() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random::<u64>);
    println!("SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for composite in [false, true] {
        let upkeep = Upkeep {
            merge_fan_in: 3,
            keep_snapshots: 5,
            keep_for: Duration::from_secs(30),
            delete_after: Duration::from_secs(10),
            ..Upkeep::default()
        };
        let lake = Lake::with_upkeep(upkeep).await;
        let key: &[usize] = if composite { &[1, 0] } else { &[0] };
        let s = Arc::new(schema(
            1,
            vec![column(1, "a", LONG, false), column(2, "b", LogicalType::String, composite), column(3, "v", INT, true)],
            key,
        ));
        let mut t = lake.table(&s).await;
        let mut model: BTreeMap<(i64, Option<String>), i32> = BTreeMap::new();
        // Keys that ever were in the table since it was last empty: the others are certainly new.
        let mut seen: HashSet<(i64, Option<String>)> = HashSet::new();
        let mut version = 0;
        // Files of a compaction that began some commits ago.
        let mut rewrite: Option<RewriteFiles> = None;
        let (mut compacted, mut outdated) = (0, 0);
        for commit in 0..150 {
            lake.clock.advance(Duration::from_secs(1));
            if rewrite.is_none() && rng.random_ratio(1, 4) {
                let mut config = CompactionConfig::default();
                config.fan_in = rng.random_range(2..5);
                config.deleted_one_in = rng.random_range(0..5);
                config.target_file_bytes = rng.random_range(1..4_000);
                config.key_bytes = rng.random_range(1..2_000);
                config.delete_file_rows = rng.random_range(1..20);
                if let Some(plan) = t.plan_compaction(&config).await.unwrap() {
                    rewrite = Some(plan.run().await.unwrap());
                }
            } else if rewrite.is_some() && rng.random_ratio(1, 3) {
                match t.commit(&Commit::new().with_rewrite(rewrite.take().unwrap())).await {
                    Ok(new) => (t, compacted) = (new, compacted + 1),
                    Err(CommitError::Outdated(_)) => outdated += 1,
                    Err(e) => panic!("SEED={seed} {e}"),
                }
            }
            if rng.random_ratio(1, 40) {
                t = t.truncate([], None).await.unwrap();
                model.clear();
                seen.clear();
                continue;
            }
            let mut w = DeltaWriter::new(&t, Arc::clone(&s), WriterConfig::default()).unwrap();
            for _ in 0..rng.random_range(0..4) {
                let (mut a, mut b, mut v) = (Vec::new(), Vec::new(), Vec::new());
                let (mut ops, mut new) = (Vec::new(), Vec::new());
                for _ in 0..rng.random_range(0..30) {
                    let part = composite.then(|| rng.random_range(0..3)).and_then(|i| ["", "x"].get(i)).map(|s| s.to_string());
                    let k = (rng.random_range(-8..8_i64), part);
                    version += 1;
                    let op = match (model.contains_key(&k), rng.random_range(0..3)) {
                        (false, _) => Op::Create,
                        (true, 0) => Op::Delete,
                        (true, _) => Op::Update,
                    };
                    new.push(op == Op::Create && seen.insert(k.clone()) && rng.random());
                    match op {
                        Op::Delete => model.remove(&k),
                        _ => model.insert(k.clone(), version),
                    };
                    a.push(k.0);
                    b.push(k.1);
                    v.push(version);
                    ops.push(op);
                }
                let b: Vec<Option<&str>> = b.iter().map(Option::as_deref).collect();
                let b = if composite { texts(&b) } else { texts(&vec![Some("-"); b.len()]) };
                let rows = RecordBatch::try_new(s.arrow_schema(), vec![longs(&a), b, ints(&v)]).unwrap();
                w.write(&rows, &ops, NewRows::Marked(&new)).unwrap();
            }
            let f = w.finish().await.unwrap();
            t = match t.commit(&Commit::new().with_delta(f)).await {
                Ok(t) => t,
                Err(CommitError::Conflict) => panic!("nobody else commits"),
                Err(e) => panic!("{e}"),
            };
            let mut expected: Vec<String> = model
                .iter()
                .map(|((a, b), v)| format!("{a}|{}|{v}", if composite { b.as_deref().unwrap_or("∅") } else { "-" }))
                .collect();
            expected.sort();
            assert_eq!(all(&t).await, expected, "SEED={seed} commit {commit}");
            assert_eq!(t.scan().count().await.unwrap(), expected.len() as u64, "SEED={seed} commit {commit}");
        }
        println!("{compacted} compactions, {outdated} outdated");
        assert!(compacted > 5, "SEED={seed}");
        t.sweep().await.unwrap();
        let again = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
        assert_eq!(all(&again).await, all(&t).await, "SEED={seed}");
    }
}
