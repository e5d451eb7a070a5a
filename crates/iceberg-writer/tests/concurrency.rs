//! Two committers at one table, and what they see of each other.

use crate::support::*;
use iceberg_writer::{Commit, CommitError, Lineage, NewRows, Table};
use std::collections::BTreeSet;
use std::sync::Arc;

#[tokio::test]
async fn the_second_of_two_commits_on_one_version_conflicts_and_leaves_no_manifests() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    let mine = files(&t, &s, &[batch(&s, &[plus(1, "mine")])], NewRows::Unknown).await;
    span(&t, &s, &[plus(2, "theirs")]).await;
    let before = (lake.files(".avro"), lake.files(".json"));
    assert!(matches!(t.commit_delta(mine.clone(), [], None).await, Err(CommitError::Conflict)));
    assert_eq!((lake.files(".avro"), lake.files(".json")), before);
    let t = t.refresh().await.unwrap().commit_delta(mine, [], None).await.unwrap();
    assert_eq!(all(&t).await, ["1|mine", "2|theirs"]);
}

#[tokio::test]
async fn a_change_of_columns_on_an_old_version_conflicts_too() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    span(&t, &s, &[plus(1, "a")]).await;
    let wider = schema(2, vec![column(1, "id", INT, false), column(3, "n", INT, true)], &[0]);
    assert!(matches!(t.evolve(&wider).await, Err(CommitError::Conflict)));
}

async fn committer(mut t: Table, s: Arc<cdc_core::TableSchema>, who: i32, commits: i32) -> u32 {
    let mut conflicts = 0;
    for i in 0..commits {
        let f = files(&t, &s, &[batch(&s, &[plus(who * 1_000 + i, "x")])], NewRows::All).await;
        loop {
            let commit = Commit::new().with_delta(f.clone()).with_property("id", format!("{who}-{i}"));
            match t.commit(&commit).await {
                Ok(next) => {
                    t = next;
                    break;
                }
                Err(CommitError::Conflict) => {
                    conflicts += 1;
                    t = t.refresh().await.unwrap();
                }
                Err(e) => panic!("{e}"),
            }
        }
    }
    conflicts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn racing_committers_lose_no_commit_and_double_none() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    // The second has a catalog of its own, as another process would.
    let other = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    let a = tokio::spawn(committer(t.clone(), Arc::clone(&s), 1, 25));
    let b = tokio::spawn(committer(other, Arc::clone(&s), 2, 25));
    let conflicts = a.await.unwrap() + b.await.unwrap();
    let t = t.refresh().await.unwrap();
    let rows = all(&t).await;
    assert_eq!((rows.len(), rows.iter().collect::<BTreeSet<_>>().len()), (50, 50));
    let ids: Vec<_> = t.ancestry().map(|s| s.summary().additional_properties["id"].clone()).collect();
    assert_eq!((ids.len(), ids.iter().collect::<BTreeSet<_>>().len()), (50, 50));
    let sequences: Vec<i64> = t.ancestry().map(|s| s.sequence_number()).collect();
    assert_eq!(sequences, (1..=50).rev().collect::<Vec<i64>>());
    println!("{conflicts} conflicts");
}

#[tokio::test]
async fn the_lineage_tells_whose_commit_is_newest_and_what_others_did_since() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    let ours = t.commit(&Commit::new().with_property("cdc.checkpoint", "1").with_property("cdc.commit-id", "c1")).await.unwrap();
    let theirs = span(&span(&ours, &s, &[plus(1, "a")]).await, &s, &[minus(1, "a")]).await;
    let Lineage { found, since, cut } = theirs.newest_with("cdc.checkpoint");
    assert_eq!(found.unwrap().snapshot_id(), ours.head().unwrap().snapshot_id());
    assert_eq!((since.len(), cut), (2, false));
    let foreign = theirs.commits_since(ours.head().unwrap().snapshot_id()).unwrap();
    assert_eq!(foreign.iter().map(|c| c.operation.as_str()).collect::<Vec<_>>(), ["overwrite", "delete"]);
    assert!(foreign[0].summary.contains(&("added-records".to_owned(), "1".to_owned())));
    assert!(theirs.find_commit("cdc.commit-id", "c1").found.is_some());
    assert!(theirs.find_commit("cdc.commit-id", "c2").found.is_none());
    assert!(theirs.commits_since(42).is_none());
}
