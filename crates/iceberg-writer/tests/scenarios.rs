//! What every sink must get right.

use crate::support::*;
use arrow_array::RecordBatch;
use cdc_core::{LogicalType, Op};
use iceberg_writer::{Commit, DeltaWriter, ErrorKind, NewRows, WriterConfig};
use std::sync::Arc;

#[tokio::test]
async fn upserts_by_id_leave_the_newest_version_of_each_key() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), update(1, "b")]).await;
    assert_eq!(all(&t).await, ["1|b"]);
    let t = span(&t, &s, &[plus(1, "c")]).await;
    assert_eq!(all(&t).await, ["1|c"]);
    let t = span(&t, &s, &[update(1, "d"), plus(1, "e")]).await;
    assert_eq!(all(&t).await, ["1|e"]);
}

#[tokio::test]
async fn a_change_log_of_deletes_and_inserts_leaves_the_last_of_each_key() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let events = [plus(1, "a"), minus(1, "a"), plus(1, "b"), plus(2, "a"), minus(2, "a"), plus(2, "b")];
    let t = span(&lake.table(&s).await, &s, &events).await;
    assert_eq!(all(&t).await, ["1|b", "2|b"]);
    let t = span(&t, &s, &[minus(2, "b"), plus(2, "c"), minus(2, "c"), plus(2, "d")]).await;
    assert_eq!(all(&t).await, ["1|b", "2|d"]);
    let t = span(&t, &s, &[minus(1, "b"), plus(1, "c"), minus(1, "c"), plus(1, "d")]).await;
    assert_eq!(all(&t).await, ["1|d", "2|d"]);
}

#[tokio::test]
async fn a_key_of_two_columns_tells_rows_apart_by_both() {
    let (lake, s) = (Lake::new().await, id_data(&[0, 1]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), update(1, "a"), plus(2, "b")]).await;
    assert_eq!(all(&t).await, ["1|a", "2|b"]);
    let t = span(&t, &s, &[plus(1, "a"), minus(2, "b"), plus(2, "c")]).await;
    assert_eq!(all(&t).await, ["1|a", "2|c"]);
    let t = span(&t, &s, &[update(1, "b"), update(1, "c"), minus(1, "a"), minus(1, "c")]).await;
    assert_eq!(all(&t).await, ["1|b", "2|c"]);
}

#[tokio::test]
async fn inserts_updates_and_deletes_over_many_commits_add_up() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for events in [
        vec![plus(1, "a"), plus(2, "a"), plus(3, "a"), update(2, "b")],
        vec![update(1, "b"), plus(4, "a"), plus(5, "a")],
        vec![minus(3, "a"), update(2, "c"), update(5, "b"), minus(4, "a")],
    ] {
        t = span(&t, &s, &events).await;
    }
    assert_eq!(all(&t).await, ["1|b", "2|c", "5|b"]);
    assert_eq!(t.scan().count().await.unwrap(), 3);
}

#[tokio::test]
async fn inserts_that_arrive_twice_leave_one_row_each() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let events: Vec<_> = [1, 2, 3, 4, 4, 3, 2, 1].map(|i| plus(i, "x")).to_vec();
    let t = span(&lake.table(&s).await, &s, &events).await;
    let t = span(&t, &s, &events).await;
    assert_eq!(all(&t).await, ["1|x", "2|x", "3|x", "4|x"]);
}

#[tokio::test]
async fn deletes_alone_write_no_data_file() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), plus(2, "a")]).await;
    let f = files(&t, &s, &[batch(&s, &[minus(1, "a"), minus(7, "never there")])], NewRows::Unknown).await;
    assert_eq!((f.data.len(), f.deletes.len(), f.stats.deletes), (0, 1, 2));
    let t = t.commit_delta(f, [], None).await.unwrap();
    assert_eq!(all(&t).await, ["2|a"]);
    assert_eq!(t.head().unwrap().summary().operation.as_str(), "delete");
}

#[tokio::test]
async fn changes_that_cancel_out_write_no_file_at_all() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    let f = files(&t, &s, &[batch(&s, &[plus(1, "a"), minus(1, "a")])], NewRows::All).await;
    assert!(f.is_empty());
    let t = t.commit_delta(f, [("p".to_owned(), "1".to_owned())], None).await.unwrap();
    assert_eq!((all(&t).await.len(), lake.files(".parquet").len()), (0, 0));
    assert_eq!(t.head().unwrap().summary().additional_properties["p"], "1");
}

#[tokio::test]
async fn a_delta_that_is_given_up_leaves_no_files() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    let f = files(&t, &s, &[batch(&s, &[plus(1, "a")])], NewRows::Unknown).await;
    assert_eq!(lake.files(".parquet").len(), 2);
    f.discard(&t).await;
    assert_eq!(lake.files(".parquet").len(), 0);
}

#[tokio::test]
async fn a_key_deleted_and_inserted_again_in_one_commit_survives() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "old")]).await;
    let t = span(&t, &s, &[minus(1, "old"), plus(1, "new")]).await;
    assert_eq!(all(&t).await, ["1|new"]);
}

#[tokio::test]
async fn a_key_that_lies_in_two_files_goes_from_both() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for _ in 0..2 {
        let f = files(&t, &s, &[batch(&s, &[plus(1, "twin"), plus(2, "x")])], NewRows::All).await;
        t = t.commit_delta(f, [], None).await.unwrap();
    }
    assert_eq!(all(&t).await.len(), 4, "marked new, so nothing was deleted");
    let t = span(&t, &s, &[minus(1, "twin")]).await;
    assert_eq!(all(&t).await, ["2|x", "2|x"]);
}

#[tokio::test]
async fn a_key_that_is_null_in_part_is_found_again() {
    let lake = Lake::new().await;
    let columns = vec![column(1, "a", LONG, true), column(2, "b", LogicalType::String, true), column(3, "v", INT, true)];
    let s = Arc::new(schema(1, columns, &[0, 1]));
    let rows = |a: Option<i64>, b: Option<&str>, v: i32| {
        let a: arrow_array::ArrayRef = Arc::new(arrow_array::Int64Array::from(vec![a]));
        RecordBatch::try_new(s.arrow_schema(), vec![a, texts(&[b]), ints(&[v])]).unwrap()
    };
    let t = lake.table(&s).await;
    let first = [rows(None, Some("x"), 1), rows(Some(1), None, 2), rows(None, None, 3), rows(Some(1), Some("x"), 4)];
    let f = files(&t, &s, &first.map(|r| (r, vec![Op::Create])), NewRows::Unknown).await;
    let t = t.commit_delta(f, [], None).await.unwrap();
    assert_eq!(all(&t).await, ["1|x|4", "1|∅|2", "∅|x|1", "∅|∅|3"]);
    let second = [(rows(None, Some("x"), 9), vec![Op::Update]), (rows(None, None, 0), vec![Op::Delete])];
    let t2 = t.commit_delta(files(&t, &s, &second, NewRows::Unknown).await, [], None).await.unwrap();
    assert_eq!(all(&t2).await, ["1|x|4", "1|∅|2", "∅|x|9"]);
}

#[tokio::test]
async fn one_nullable_integer_as_key_keeps_null_and_zero_apart() {
    let lake = Lake::new().await;
    let s = Arc::new(schema(1, vec![column(1, "k", LONG, true), column(2, "v", INT, true)], &[0]));
    let rows = |k: Vec<Option<i64>>, v: &[i32]| {
        RecordBatch::try_new(s.arrow_schema(), vec![Arc::new(arrow_array::Int64Array::from(k)), ints(v)]).unwrap()
    };
    let t = lake.table(&s).await;
    let f = files(&t, &s, &[(rows(vec![None, Some(0)], &[1, 2]), vec![Op::Create; 2])], NewRows::Unknown).await;
    let t = t.commit_delta(f, [], None).await.unwrap();
    let f = files(&t, &s, &[(rows(vec![None], &[0]), vec![Op::Delete])], NewRows::Unknown).await;
    let t = t.commit_delta(f, [], None).await.unwrap();
    assert_eq!(all(&t).await, ["0|2"]);
}

#[tokio::test]
async fn a_table_without_a_key_takes_inserts_and_keeps_equal_rows() {
    let (lake, s) = (Lake::new().await, id_data(&[]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), plus(1, "a")]).await;
    assert_eq!(all(&t).await, ["1|a", "1|a"]);
    assert_eq!(t.head().unwrap().summary().operation.as_str(), "append");
    for event in [update(1, "b"), minus(1, "a")] {
        let mut w = DeltaWriter::new(&t, Arc::clone(&s), WriterConfig::default()).unwrap();
        let (rows, ops) = batch(&s, &[event]);
        let e = w.write(&rows, &ops, NewRows::Unknown).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::NoKey);
        assert!(e.to_string().contains("shop.orders") && e.to_string().contains("primary key"), "{e}");
        assert!(w.is_empty(), "nothing of the batch was taken in");
    }
}

#[tokio::test]
async fn a_float_in_the_key_is_no_key_to_delete_by() {
    let lake = Lake::new().await;
    let s = Arc::new(schema(1, vec![column(1, "k", LogicalType::Double, false)], &[0]));
    let t = lake.table(&s).await;
    assert_eq!(t.schema().identifier_field_ids().count(), 0);
    let rows = RecordBatch::try_new(s.arrow_schema(), vec![Arc::new(arrow_array::Float64Array::from(vec![-0.0]))]).unwrap();
    let mut w = DeltaWriter::new(&t, Arc::clone(&s), WriterConfig::default()).unwrap();
    w.write(&rows, &[Op::Create], NewRows::All).unwrap();
    assert_eq!(w.write(&rows, &[Op::Delete], NewRows::All).unwrap_err().kind(), ErrorKind::NoKey);
    // What was inserted while the table was read comes as created and as read: nobody could take the first away again.
    for op in [Op::Create, Op::Read] {
        let e = w.write(&rows, &[op], NewRows::Marked(&[false])).unwrap_err();
        assert!(e.kind() == ErrorKind::NoKey && e.to_string().contains("may have come before"), "{e}");
    }
    assert_eq!(w.events(), 1);
}

#[tokio::test]
async fn a_truncate_empties_the_table_and_later_rows_stay() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), plus(2, "b")]).await;
    let before = span(&t, &s, &[update(1, "b")]).await;
    let t = before.truncate([("why".to_owned(), "barrier".to_owned())], Some("cdc-checkpoint.x.main")).await.unwrap();
    assert_eq!((all(&t).await.len(), t.scan().count().await.unwrap(), t.has_rows()), (0, 0, false));
    let summary = &t.head().unwrap().summary().additional_properties;
    assert_eq!(t.head().unwrap().summary().operation.as_str(), "delete");
    assert_eq!((summary["deleted-data-files"].as_str(), summary["removed-delete-files"].as_str()), ("2", "2"));
    assert_eq!((summary["total-records"].as_str(), summary["total-delete-files"].as_str()), ("0", "0"));
    let t = span(&t, &s, &[plus(1, "again")]).await;
    assert_eq!(all(&t).await, ["1|again"]);
    let old = before.head().unwrap().snapshot_id();
    assert_eq!(rows(t.scan().at_snapshot(old)).await, ["1|b", "2|b"]);
    let reloaded = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    assert_eq!(all(&reloaded).await, ["1|again"]);
}

#[tokio::test]
async fn a_truncate_of_an_empty_table_is_a_snapshot_like_any_other() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await.truncate([], None).await.unwrap();
    let t = span(&t.truncate([], None).await.unwrap(), &s, &[plus(1, "a")]).await;
    assert_eq!((all(&t).await, t.ancestry().count()), (vec!["1|a".to_owned()], 3));
}

#[tokio::test]
async fn progress_without_rows_is_a_snapshot_with_the_same_rows() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    let commit = Commit::new().with_property("cdc.commit-id", "c2").with_tag("cdc-checkpoint.x.main");
    let t2 = t.commit(&commit).await.unwrap();
    assert_eq!(all(&t2).await, ["1|a"]);
    assert_eq!(t2.reference("cdc-checkpoint.x.main").unwrap().snapshot_id(), t2.head().unwrap().snapshot_id());
    assert!(t2.head().unwrap().timestamp_ms() > t.head().unwrap().timestamp_ms(), "later, though the clock stands still");
    assert_eq!(t2.head().unwrap().summary().additional_properties["total-records"], "1");
}

#[tokio::test]
async fn only_the_asked_keys_and_columns_are_read() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut t = lake.table(&s).await;
    for i in 0..5 {
        t = span(&t, &s, &[plus(i * 10, "a"), plus(i * 10 + 1, "b")]).await;
    }
    let t = span(&t, &s, &[minus(20, "a"), update(31, "new")]).await;
    let keys = RecordBatch::try_from_iter([("id", ints(&[20, 31, 40, 999]))]).unwrap();
    assert_eq!(rows(t.scan().with_keys(keys.clone())).await, ["31|new", "40|a"]);
    assert_eq!(rows(t.scan().with_keys(keys.clone()).with_columns(["data"])).await, ["a", "new"]);
    assert_eq!(t.scan().with_keys(keys).count().await.unwrap(), 2);
    let e = t.scan().with_columns(["nope"]).open().await.map(|_| ()).unwrap_err();
    assert!(e.to_string().contains("no column nope; it has id, data"), "{e}");
}
