//! Ten thousand commits: the ten-thousandth is no dearer than the hundredth.

use crate::support::*;
use iceberg_writer::NewRows;
use std::time::{Duration, Instant};

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_commits_leave_metadata_and_manifest_lists_as_small_as_they_were() {
    const COMMITS: usize = 10_000;
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let (mut metadata, mut lists, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let size = |location: &str| std::fs::metadata(location.strip_prefix("file://").unwrap()).unwrap().len();
    for i in 0..COMMITS {
        let id = (i % 500) as i32;
        let f = files(&t, &s, &[batch(&s, &[update(id, "x"), plus(id + 1_000, "y")])], NewRows::Unknown).await;
        let begun = Instant::now();
        t = t.commit_delta(f, [("cdc.commit-id".to_owned(), i.to_string())], Some("cdc-checkpoint.x.main")).await.unwrap();
        times.push(u64::try_from(begun.elapsed().as_micros()).unwrap());
        metadata.push(size(t.metadata_location()));
        lists.push(size(t.head().unwrap().manifest_list()));
        lake.clock.advance(Duration::from_secs(1));
    }
    let (mut early, mut late) = (times[..1000].to_vec(), times[COMMITS - 1000..].to_vec());
    println!("commit, microseconds: median of the first thousand {}, of the last {}", median(&mut early), median(&mut late));
    let mut all_times = times.clone();
    all_times.sort_unstable();
    println!("p95 {} p99 {} max {}", all_times[COMMITS * 95 / 100], all_times[COMMITS * 99 / 100], all_times[COMMITS - 1]);
    // The first two hundred commits fill up what is kept.
    let [early, late] = [200..1_200, COMMITS - 1_000..COMMITS]
        .map(|r| (median(&mut metadata[r.clone()].to_vec()), median(&mut lists[r].to_vec())));
    println!("metadata.json: {} bytes early, {} late; manifest list: {} early, {} late", early.0, late.0, early.1, late.1);
    assert!(late.0 <= early.0 + early.0 / 10, "metadata.json grew from {} to {} bytes", early.0, late.0);
    // Ten times the files are one more tier of at most nine manifests of each kind.
    assert!(
        late.1 <= 2 * early.1 && lists.iter().all(|l| *l < 12_000),
        "manifest lists grew from {} to {} bytes",
        early.1,
        late.1
    );
    assert_eq!(t.metadata().snapshots().count(), 100);
    assert_eq!(all(&t).await.len(), 1000);
    // An hour of commits waits for deletion, not more.
    t.sweep().await.unwrap();
    let left = lake.files("metadata.json").len();
    assert!(left <= 21, "{left} metadata files are left");
    let lists = lake.files(".avro").iter().filter(|p| p.to_string_lossy().contains("snap-")).count();
    println!("{lists} manifest lists left");
    assert!(lists <= 100 + 3_600 + 60 + 10, "{lists} manifest lists are left");
}
