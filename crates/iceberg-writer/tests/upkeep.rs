//! Snapshots expire, manifests are merged, files go: and nothing that is still named.

use crate::support::*;
use iceberg_writer::{Commit, NewRows, Table, Upkeep};
use std::collections::BTreeSet;
use std::time::Duration;

fn few() -> Upkeep {
    Upkeep {
        merge_fan_in: 3,
        keep_snapshots: 5,
        keep_for: Duration::from_secs(3600),
        delete_after: Duration::from_secs(60),
        // By hand only.
        sweep_every: Duration::from_secs(1_000_000_000),
        metadata_versions: 3,
        ..Upkeep::default()
    }
}

async fn manifests(t: &Table) -> usize {
    let list = t.head().unwrap().manifest_list().strip_prefix("file://").unwrap().to_owned();
    iceberg::spec::ManifestList::parse_with_version(&std::fs::read(list).unwrap(), iceberg::spec::FormatVersion::V2)
        .unwrap()
        .entries()
        .len()
}

#[tokio::test]
async fn the_newest_snapshots_stay_and_so_does_what_a_reference_names() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let mut tagged = None;
    for i in 0..20 {
        lake.clock.advance(Duration::from_secs(1));
        t = span(&t, &s, &[plus(i, "x")]).await;
        if i == 3 {
            t = t.commit(&Commit::new().with_tag("keep")).await.unwrap();
            tagged = t.head().cloned();
        }
        if i == 10 {
            t = t.commit(&Commit::new().with_tag("cdc-checkpoint.other.main")).await.unwrap();
        }
    }
    assert_eq!(t.metadata().snapshots().count(), 5 + 2);
    assert_eq!(t.reference("keep").unwrap().snapshot_id(), tagged.unwrap().snapshot_id());
    assert_eq!(t.references().collect::<Vec<_>>(), ["cdc-checkpoint.other.main", "keep", "main"]);
    let lineage = t.newest_with("nobody has this");
    assert!(lineage.cut && lineage.found.is_none(), "what is older has been forgotten, and it says so");

    lake.clock.advance(Duration::from_secs(61));
    assert!(t.sweep().await.unwrap() > 0);
    let kept = t.reference("keep").unwrap().snapshot_id();
    assert_eq!(rows(t.scan().at_snapshot(kept)).await, ["0|x", "1|x", "2|x", "3|x"]);
    assert_eq!(all(&t).await.len(), 20);
    assert_eq!(lake.files("metadata.json").len(), 4);
}

#[tokio::test]
async fn old_snapshots_expire_by_age_but_never_the_head() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let t = span(&span(&lake.table(&s).await, &s, &[plus(1, "a")]).await, &s, &[plus(2, "b")]).await;
    lake.clock.advance(Duration::from_secs(3_700));
    let t = t.refresh().await.unwrap();
    assert_eq!(t.metadata().snapshots().count(), 2, "reading forgets nothing");
    let t = span(&t, &s, &[plus(3, "c")]).await;
    assert_eq!(t.metadata().snapshots().count(), 1);
    assert_eq!(all(&t).await, ["1|a", "2|b", "3|c"]);
}

#[tokio::test]
async fn manifests_are_merged_and_old_deletes_still_reach_only_older_rows() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..40 {
        t = span(&t, &s, &[plus(i % 7, "x"), minus((i + 3) % 7, "x"), plus(100 + i, "y")]).await;
        // Two kinds, tiers of 1, 3, 9 and 27 files, at most two manifests of each, and those of the commit itself.
        assert!(manifests(&t).await <= 2 * (2 * 4 + 1));
    }
    let again = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    let mut model = BTreeSet::new();
    for i in 0..40 {
        model.insert(format!("{}|x", i % 7));
        model.remove(&format!("{}|x", (i + 3) % 7));
        model.insert(format!("{}|y", 100 + i));
    }
    assert_eq!(all(&again).await, model.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn files_of_a_truncated_table_go_when_the_last_snapshot_with_them_has_gone_long_enough() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..4 {
        t = span(&t, &s, &[plus(i, "x")]).await;
    }
    let before = lake.files(".parquet");
    assert_eq!(before.len(), 8);
    t = t.truncate([], None).await.unwrap();
    for i in 0..3 {
        t = span(&t, &s, &[plus(i, "new")]).await;
        t.sweep().await.unwrap();
    }
    lake.clock.advance(Duration::from_secs(61));
    t.sweep().await.unwrap();
    assert!(before.iter().all(|f| f.exists()), "a snapshot before the truncation is still there");
    for i in 3..8 {
        t = span(&t, &s, &[plus(i, "new")]).await;
    }
    t.sweep().await.unwrap();
    assert!(before.iter().all(|f| f.exists()), "it expired just now, and a query may be reading it");
    lake.clock.advance(Duration::from_secs(61));
    t.sweep().await.unwrap();
    assert!(before.iter().all(|f| !f.exists()), "nobody can need them");
    assert_eq!(all(&t).await.len(), 8);
    for snapshot in t.metadata().snapshots() {
        rows(t.scan().at_snapshot(snapshot.snapshot_id())).await;
    }
    assert_eq!(t.sweep().await.unwrap(), 0, "there is nothing left to do");
}

#[tokio::test]
async fn a_query_on_a_snapshot_that_expired_a_moment_ago_ends_well_on_a_table_that_seldom_changes() {
    let upkeep = Upkeep { delete_after: Duration::from_secs(3600), ..few() };
    let (lake, s) = (Lake::with_upkeep(upkeep).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..12 {
        // Each commit makes the one before it expire, and those before that are due for long.
        lake.clock.advance(Duration::from_secs(2 * 3600));
        let before = t.clone();
        t = span(&t, &s, &[plus(i, "x")]).await;
        assert_eq!(t.metadata().snapshots().count(), 1);
        t.sweep().await.unwrap();
        assert_eq!(all(&before).await.len(), i as usize, "its files are there for an hour more");
    }
    lake.clock.advance(Duration::from_secs(2 * 3600));
    t.sweep().await.unwrap();
    assert_eq!(lake.files(".avro").len(), manifests(&t).await + 1, "and no longer");
    assert_eq!(all(&t).await.len(), 12);
}

#[tokio::test]
async fn files_of_a_truncated_table_go_though_snapshots_that_share_their_manifest_are_swept_one_by_one() {
    let (lake, s) = (Lake::with_upkeep(Upkeep { keep_snapshots: 2, ..few() }).await, id_data(&[0]));
    let mut t = span(&lake.table(&s).await, &s, &[plus(0, "x")]).await;
    let before = lake.files(".parquet");
    let mut turn = 0;
    while turn < 30 {
        turn += 1;
        lake.clock.advance(Duration::from_secs(10));
        t = match turn {
            4 => t.truncate([], None).await.unwrap(),
            _ => t.commit(&Commit::new().with_property("turn", turn.to_string())).await.unwrap(),
        };
        t.sweep().await.unwrap();
    }
    assert!(before.iter().all(|f| !f.exists()), "nobody can need them: {before:?}");
    assert_eq!(all(&t).await.len(), 0);
}

#[tokio::test]
async fn what_a_tag_kept_longer_goes_with_it_and_takes_nothing_from_younger_snapshots() {
    let (lake, s) = (Lake::with_upkeep(Upkeep { keep_snapshots: 2, ..few() }).await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(0, "x")]).await;
    let mut t = t.commit(&Commit::new().with_tag("keep")).await.unwrap();
    let (first, tagged) = (lake.files(".parquet"), t.clone());
    let mut last_full = t.clone();
    for turn in 0..30 {
        lake.clock.advance(Duration::from_secs(10));
        t = match turn {
            8 => t.truncate([], None).await.unwrap(),
            // The tag goes elsewhere: what it named expires after much that is younger.
            10 => t.commit(&Commit::new().with_tag("keep")).await.unwrap(),
            _ => t.commit(&Commit::new().with_property("turn", turn.to_string())).await.unwrap(),
        };
        if turn < 8 {
            last_full = t.clone();
        }
        t.sweep().await.unwrap();
        if turn <= 14 {
            assert_eq!(all(&tagged).await, ["0|x"], "turn {turn}: it has not expired for long enough");
            assert_eq!(all(&last_full).await, ["0|x"], "turn {turn}: nor has this one");
        }
    }
    assert!(first.iter().all(|f| !f.exists()), "nobody can need them: {first:?}");
}

#[tokio::test]
async fn a_sweep_that_was_cut_off_is_taken_up_again() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let first = span(&t, &s, &[plus(0, "x")]).await;
    let list = first.head().unwrap().manifest_list().strip_prefix("file://").unwrap().to_owned();
    t = first;
    for i in 0..30 {
        t = span(&t, &s, &[plus(i, "x")]).await;
    }
    lake.clock.advance(Duration::from_secs(61));
    std::fs::remove_file(&list).unwrap();
    // Another process takes it up.
    let t = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    assert!(t.sweep().await.unwrap() > 20);
    assert_eq!(all(&t).await.len(), 30);
}

#[tokio::test]
async fn files_that_nothing_names_go_after_a_day_and_all_others_stay() {
    let (lake, s) = (Lake::with_upkeep(few()).await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let lost = files(&t, &s, &[batch(&s, &[plus(1, "never committed")])], NewRows::Unknown).await;
    let (data, metadata) = (lake.files("-data.parquet")[0].parent().unwrap().to_path_buf(), lake.files(".json")[0].clone());
    std::fs::write(data.join(".x.parquet.1.part"), "half a file of a process that was killed").unwrap();
    std::fs::write(data.join("notes.txt"), "a stranger's").unwrap();
    std::fs::copy(&metadata, metadata.with_file_name("00001-0193f1f0-7b1c-7000-8000-000000000001.metadata.json")).unwrap();
    for i in 0..12 {
        lake.clock.advance(Duration::from_secs(1));
        t = span(&t, &s, &[plus(i, "x"), plus(0, "y")]).await;
    }
    let all_files = lake.files("").len();
    lake.clock.advance(Duration::from_secs(23 * 3600));
    assert_eq!(t.remove_orphans().await.unwrap(), 0, "they are not old enough");
    lake.clock.advance(Duration::from_secs(2 * 3600));
    // Some snapshots have expired and are not swept yet: their files are somebody's.
    assert_eq!(t.remove_orphans().await.unwrap(), 4, "the two lost files, the draft and the metadata that lost its swap");
    assert_eq!(lake.files("").len(), all_files - 4);
    assert!(lake.files("notes.txt").len() == 1 && lost.data.iter().all(|f| !std::fs::exists(&f.file_path()[7..]).unwrap()));
    let snapshots: Vec<i64> = t.metadata().snapshots().map(|s| s.snapshot_id()).collect();
    for id in snapshots {
        rows(t.scan().at_snapshot(id)).await;
    }
    t.sweep().await.unwrap();
    assert_eq!(all(&t).await.len(), 12);
}

#[tokio::test]
async fn what_another_table_left_in_the_folders_is_not_touched() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "all that is left of it")]).await;
    assert!(lake.catalog.drop_table(t.name()).await.unwrap());
    let before = lake.files("").len();
    let new = lake.table(&s).await;
    lake.clock.advance(Duration::from_secs(25 * 3600));
    assert_eq!(new.remove_orphans().await.unwrap(), 0);
    assert_eq!(lake.files("").len(), before + 1);
    assert_eq!(all(&t).await, ["1|all that is left of it"]);
}
