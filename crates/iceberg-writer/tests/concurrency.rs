//! Committers at one table, and what they see of each other; `catalog.rs` has them race, on each kind of database.

use crate::support::*;
use iceberg_writer::{Commit, CommitError, Lineage};

#[tokio::test]
async fn a_change_of_columns_on_an_old_version_conflicts_too() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    span(&t, &s, &[plus(1, "a")]).await;
    let wider = schema(2, vec![column(1, "id", INT, false), column(3, "n", INT, true)], &[0]);
    assert!(matches!(t.evolve(&wider).await, Err(CommitError::Conflict)));
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
