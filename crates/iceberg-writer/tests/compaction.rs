//! Small files and deletes are folded away, and every row stays as it is.

use crate::support::*;
use iceberg_writer::{Commit, CommitError, CompactionConfig, NewRows, RewriteFiles, Table};
use std::sync::Arc;

fn small() -> CompactionConfig {
    let mut config = CompactionConfig::default();
    config.fan_in = 3;
    config
}

/// Data files and delete files of the head, by its summary.
fn files_of(t: &Table) -> (String, String) {
    let summary = &t.head().unwrap().summary().additional_properties;
    (summary["total-data-files"].clone(), summary["total-delete-files"].clone())
}

async fn rewrite(t: &Table, config: &CompactionConfig) -> Option<RewriteFiles> {
    match t.plan_compaction(config).await.unwrap() {
        Some(plan) => Some(plan.run().await.unwrap()),
        None => None,
    }
}

async fn compact(t: &Table, config: &CompactionConfig) -> Table {
    let files = rewrite(t, config).await.expect("there is something to put together");
    t.commit(&Commit::new().with_rewrite(files)).await.unwrap()
}

#[tokio::test]
async fn the_files_of_many_commits_become_one_and_no_delete_is_left() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    t = span(&t, &s, &[plus(1, "a"), plus(2, "b"), plus(3, "c")]).await;
    t = span(&t, &s, &[update(1, "aa"), minus(2, "b")]).await;
    assert!(rewrite(&t, &small()).await.is_none(), "two commits are too few");
    t = span(&t, &s, &[update(1, "aaa"), plus(2, "again")]).await;
    let before = all(&t).await;
    let new = compact(&t, &small()).await;
    assert_eq!(all(&new).await, before);
    assert_eq!(before, ["1|aaa", "2|again", "3|c"]);
    assert_eq!(files_of(&new), ("1".to_owned(), "0".to_owned()));
    let head = new.head().unwrap();
    assert_eq!(head.summary().operation, iceberg::spec::Operation::Replace);
    for (name, value) in
        [("added-records", "3"), ("deleted-data-files", "3"), ("removed-delete-files", "3"), ("total-records", "3")]
    {
        assert_eq!(head.summary().additional_properties[name], value, "{name}");
    }
    assert_eq!(all(&lake.reopened().await.load_table(t.name()).await.unwrap().unwrap()).await, before);
    assert_eq!(rows(t.scan()).await, before, "who reads the older snapshot still can");
}

#[tokio::test]
async fn deletes_stay_for_what_is_older_and_do_not_reach_what_was_rewritten() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let many: Vec<_> =
        (0..30_000).map(|i| plus(i, "a text that makes the file larger than those of the commits after it")).collect();
    let base = files(&t, &s, &[batch(&s, &many)], NewRows::All).await;
    t = t.commit(&Commit::new().with_delta(base)).await.unwrap();
    for text in ["x", "y", "z"] {
        t = span(&t, &s, &[update(1, text), update(2, text), minus(3, "")]).await;
    }
    let new = compact(&t, &small()).await;
    assert_eq!(files_of(&new), ("2".to_owned(), "1".to_owned()), "the large file, and one pair for the three");
    assert_eq!(all(&new).await, all(&t).await);
    assert_eq!(new.head().unwrap().summary().additional_properties["total-equality-deletes"], "3", "each key once");
    let newer = span(&new, &s, &[update(1, "newest")]).await;
    let rows = all(&newer).await;
    assert!(rows.contains(&"1|newest".to_owned()) && rows.contains(&"2|z".to_owned()) && rows.len() == 29_999);
}

#[tokio::test]
async fn what_is_committed_while_a_rewrite_is_under_way_reaches_the_rewritten_rows() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..3 {
        t = span(&t, &s, &[plus(i, "old"), plus(10 + i, "old")]).await;
    }
    let files = rewrite(&t, &small()).await.unwrap();
    t = span(&t, &s, &[update(0, "new"), minus(1, "old")]).await;
    t = span(&t, &s, &[update(2, "new")]).await;
    let before = all(&t).await;
    let new = t.commit(&Commit::new().with_rewrite(files)).await.unwrap();
    assert_eq!(all(&new).await, before);
    assert_eq!(before, ["0|new", "10|old", "11|old", "12|old", "2|new"]);
    let last = compact(&new, &small()).await;
    assert_eq!(all(&last).await, before);
    assert_eq!(files_of(&last), ("1".to_owned(), "0".to_owned()));
}

#[tokio::test]
async fn a_rewrite_of_files_that_have_gone_is_outdated_and_changes_nothing() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..3 {
        t = span(&t, &s, &[plus(i, "x")]).await;
    }
    let files = rewrite(&t, &small()).await.unwrap();
    let again = rewrite(&t, &small()).await.unwrap();
    let compacted = t.commit(&Commit::new().with_rewrite(files)).await.unwrap();
    let outdated = compacted.commit(&Commit::new().with_rewrite(again.clone())).await;
    assert!(
        matches!(&outdated, Err(CommitError::Outdated(e)) if e.to_string().contains("no longer one of its files")),
        "{outdated:?}"
    );
    let empty = compacted.truncate([], None).await.unwrap();
    let outdated = empty.commit(&Commit::new().with_rewrite(again)).await;
    assert!(matches!(outdated, Err(CommitError::Outdated(_))), "a truncated table does not get its rows back: {outdated:?}");
    assert_eq!(all(&empty.refresh().await.unwrap()).await, Vec::<String>::new());
}

#[tokio::test]
async fn keys_that_do_not_fit_the_memory_are_taken_in_passes() {
    let (lake, s) = (Lake::new().await, id_data(&[1, 0]));
    let mut t = lake.table(&s).await;
    for i in 0..12 {
        let events: Vec<_> = (0..200).map(|k| if (k + i) % 7 == 0 { minus(k, "k") } else { update(k, "k") }).collect();
        t = span(&t, &s, &events[(i as usize * 10)..]).await;
    }
    let mut config = small();
    config.key_bytes = 1;
    config.delete_file_rows = 50;
    config.target_file_bytes = 500;
    let new = compact(&t, &config).await;
    assert_eq!(all(&new).await, all(&t).await);
    assert_eq!(files_of(&new).1, "0");
}

#[tokio::test]
async fn large_files_whose_rows_all_live_are_not_written_again() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let rows_from = |from: i32| (from..from + 3_000).map(|i| plus(i, "x")).collect::<Vec<_>>();
    t = span(&t, &s, &rows_from(0)).await;
    t = span(&t, &s, &rows_from(10_000)).await;
    t = span(&t, &s, &rows_from(20_000)).await;
    for _ in 0..3 {
        let some: Vec<_> = (10_000..12_000).map(|i| update(i, "y")).collect();
        t = span(&t, &s, &some).await;
    }
    let mut config = small();
    config.target_file_bytes = 10_000;
    let files = rewrite(&t, &config).await.unwrap();
    assert!(files.stats().rows_dropped > 0, "{:?}", files.stats());
    let new = t.commit(&Commit::new().with_rewrite(files)).await.unwrap();
    assert_eq!(all(&new).await, all(&t).await);
    assert_eq!(files_of(&new).1, "0");
    let (old, now) = (data_files(&t).await, data_files(&new).await);
    assert_eq!(old.iter().filter(|p| now.contains(p)).count(), 2, "the two files that no delete reached");
}

/// The live data files of the head.
async fn data_files(t: &Table) -> Vec<String> {
    let local = |path: &str| std::fs::read(path.strip_prefix("file://").unwrap()).unwrap();
    let list = local(t.head().unwrap().manifest_list());
    let list = iceberg::spec::ManifestList::parse_with_version(&list, iceberg::spec::FormatVersion::V2).unwrap();
    let mut paths = Vec::new();
    for file in list.entries().iter().filter(|m| m.content == iceberg::spec::ManifestContentType::Data) {
        let manifest = iceberg::spec::Manifest::parse_avro(&local(&file.manifest_path)).unwrap();
        paths.extend(manifest.entries().iter().filter(|e| e.is_alive()).map(|e| e.file_path().to_owned()));
    }
    paths
}

#[tokio::test]
async fn columns_that_came_and_went_are_what_they_were() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    t = span(&t, &s, &[plus(1, "a"), plus(2, "b")]).await;
    let wide = Arc::new(schema(
        2,
        vec![column(1, "id", LONG, false), column(2, "data", cdc_core::LogicalType::String, true), column(3, "more", INT, true)],
        &[0],
    ));
    t = t.evolve(&wide).await.unwrap();
    for id in [2, 3] {
        let rows =
            arrow_array::RecordBatch::try_new(wide.arrow_schema(), vec![longs(&[id]), texts(&[Some("w")]), ints(&[7])]).unwrap();
        let f = files(&t, &wide, &[(rows, vec![cdc_core::Op::Update])], NewRows::Unknown).await;
        t = t.commit(&Commit::new().with_delta(f)).await.unwrap();
    }
    let before = all(&t).await;
    assert_eq!(before, ["1|a|∅", "2|w|7", "3|w|7"]);
    assert_eq!(all(&compact(&t, &small()).await).await, before);
}

#[tokio::test]
async fn a_rewrite_that_fails_leaves_no_file_behind() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    let mut newest = Vec::new();
    for i in 0..8 {
        let before = lake.files(".parquet");
        let rows: Vec<_> = (0..9_000).map(|k| plus(i * 9_000 + k, "a row")).collect();
        let added = files(&t, &s, &[batch(&s, &rows)], NewRows::All).await;
        t = t.commit(&Commit::new().with_delta(added)).await.unwrap();
        newest = lake.files(".parquet").into_iter().filter(|f| !before.contains(f)).collect();
    }
    let mut config = small();
    config.target_file_bytes = std::fs::metadata(&newest[0]).unwrap().len() * 5 / 2;
    let before = lake.files("");
    let whole = std::fs::read(&newest[0]).unwrap();
    let mut damaged = whole.clone();
    damaged[20..200].fill(0xee);
    std::fs::write(&newest[0], damaged).unwrap();
    let plan = t.plan_compaction(&config).await.unwrap().unwrap();
    let error = plan.run().await.unwrap_err();
    assert!(error.to_string().contains(newest[0].file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(lake.files(""), before);

    std::fs::write(&newest[0], whole).unwrap();
    let rewritten = plan.run().await.unwrap();
    assert!(rewritten.stats().files_after > 1, "the test needs one that is finished before the failure");
    assert!(!plan.is_outdated(&t).await.unwrap());
    let new = t.commit(&Commit::new().with_rewrite(rewritten)).await.unwrap();
    assert!(plan.is_outdated(&new).await.unwrap());
    assert_eq!(all(&new).await, all(&t).await);
}

#[tokio::test]
async fn a_rewrite_whose_own_files_were_deleted_is_outdated() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..3 {
        t = span(&t, &s, &[plus(i, "x")]).await;
    }
    let before = lake.files(".parquet");
    let files = rewrite(&t, &small()).await.unwrap();
    for written in lake.files(".parquet").iter().filter(|f| !before.contains(f)) {
        std::fs::remove_file(written).unwrap();
    }
    let outdated = t.commit(&Commit::new().with_rewrite(files)).await;
    assert!(matches!(&outdated, Err(CommitError::Outdated(e)) if e.to_string().contains("was deleted")), "{outdated:?}");
    assert_eq!(all(&t.refresh().await.unwrap()).await.len(), 3);
}

#[tokio::test]
async fn a_rewrite_does_not_lose_a_column_that_was_away_while_it_was_planned() {
    let lake = Lake::new().await;
    let narrow = id_data(&[0]);
    let wide = Arc::new(schema(
        2,
        vec![column(1, "id", INT, false), column(2, "data", cdc_core::LogicalType::String, true), column(3, "more", INT, true)],
        &[0],
    ));
    let mut t = lake.table(&wide).await;
    for id in 0..3 {
        let rows =
            arrow_array::RecordBatch::try_new(wide.arrow_schema(), vec![ints(&[id]), texts(&[Some("w")]), ints(&[7])]).unwrap();
        let f = files(&t, &wide, &[(rows, vec![cdc_core::Op::Create])], NewRows::All).await;
        t = t.commit(&Commit::new().with_delta(f)).await.unwrap();
    }
    let before = all(&t).await;
    t = t.evolve(&narrow).await.unwrap();
    let files = rewrite(&t, &small()).await.unwrap();
    t = t.evolve(&wide).await.unwrap();
    assert_eq!(all(&t).await, before, "its values are where they were");
    let outdated = t.commit(&Commit::new().with_rewrite(files)).await;
    assert!(matches!(&outdated, Err(CommitError::Outdated(e)) if e.to_string().contains("column more")), "{outdated:?}");
    assert_eq!(all(&compact(&t, &small()).await).await, before);
}
