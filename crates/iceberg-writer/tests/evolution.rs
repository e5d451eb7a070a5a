//! Columns change under rows that stay.

use crate::support::*;
use arrow_array::{Array, ArrayRef, Decimal128Array, Float32Array, RecordBatch};
use arrow_schema::DataType;
use cdc_core::{LogicalType, Op, TableSchema};
use iceberg_writer::{Commit, CommitError, DeltaWriter, ErrorKind, NewRows, Table, WriterConfig};
use std::sync::Arc;

fn refused<T>(result: Result<T, CommitError>) -> iceberg_writer::Error {
    match result {
        Err(CommitError::Refused(e)) => e,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was done"),
    }
}

async fn write(table: &Table, s: &Arc<TableSchema>, columns: Vec<ArrayRef>, op: Op) -> Table {
    let rows = RecordBatch::try_new(s.arrow_schema(), columns).unwrap();
    let ops = vec![op; rows.num_rows()];
    let f = files(table, s, &[(rows, ops)], NewRows::Unknown).await;
    table.commit(&Commit::new().with_delta(f).with_schema(Arc::clone(s))).await.unwrap()
}

#[tokio::test]
async fn an_added_column_is_null_in_old_rows_and_comes_with_the_first_delta_under_it() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), plus(2, "b")]).await;
    let mut wider = TableSchema::clone(&s);
    wider.version = 2;
    wider.columns.insert(1, column(3, "shipping_address", LogicalType::String, true));
    wider.key = vec![0];
    let wider = Arc::new(wider);
    let t2 = write(&t, &wider, vec![ints(&[2]), texts(&[Some("home")]), texts(&[Some("c")])], Op::Update).await;
    assert_eq!(all(&t2).await, ["1|∅|a", "2|home|c"]);
    assert_eq!(t2.metadata().metadata_log().len(), t.metadata().metadata_log().len() + 1, "one swap");
    let old = t.head().unwrap().snapshot_id();
    assert_eq!(rows(t2.scan().at_snapshot(old)).await, ["1|a", "2|b"]);
    let again = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    assert_eq!(all(&again).await, ["1|∅|a", "2|home|c"]);
}

#[tokio::test]
async fn columns_change_also_after_the_clock_was_set_back() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    lake.clock.advance(std::time::Duration::from_secs(7_200));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    let mut wider = TableSchema::clone(&s);
    wider.version = 2;
    wider.columns.push(column(3, "more", LogicalType::String, true));
    let wider = Arc::new(wider);
    // A change without a snapshot has the machine's time, two hours before that of the newest snapshot.
    let t = t.evolve(&wider).await.unwrap();
    let t = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    let t = write(&t, &wider, vec![ints(&[2]), texts(&[Some("b")]), texts(&[Some("c")])], Op::Create).await;
    assert_eq!(all(&t).await, ["1|a|∅", "2|b|c"]);
    assert_eq!(all(&lake.reopened().await.load_table(t.name()).await.unwrap().unwrap()).await.len(), 2);
}

#[tokio::test]
async fn drop_rename_reorder_and_promote_keep_what_is_there() {
    let lake = Lake::new().await;
    let decimal = |precision| LogicalType::Decimal { precision, scale: 2 };
    let s = Arc::new(schema(
        1,
        vec![
            column(1, "id", INT, false),
            column(2, "f", LogicalType::Float, true),
            column(3, "d", decimal(8), true),
            column(4, "gone", LogicalType::String, true),
            column(5, "old name", LogicalType::String, false),
        ],
        &[0],
    ));
    let t = lake.table(&s).await;
    let d: ArrayRef = Arc::new(Decimal128Array::from(vec![12345]).with_precision_and_scale(8, 2).unwrap());
    let f: ArrayRef = Arc::new(Float32Array::from(vec![1.5]));
    let t = write(&t, &s, vec![ints(&[1]), f, d, texts(&[Some("x")]), texts(&[Some("kept")])], Op::Create).await;

    let mut new = schema(
        2,
        vec![
            column(5, "new name", LogicalType::String, true),
            column(3, "d", decimal(30), true),
            column(1, "id", LONG, false),
            column(2, "f", LogicalType::Double, true),
            column(6, "gone", LONG, true),
        ],
        &[2],
    );
    new.columns[1].comment = Some("a price".to_owned());
    let new = Arc::new(new);
    let t = t.evolve(&new).await.unwrap();
    assert_eq!(all(&t).await, ["kept|123.45|1|1.5|∅"]);
    assert_eq!(t.evolve(&new).await.unwrap().metadata_location(), t.metadata_location(), "again is nothing");
    let mut scan = t.scan().open().await.unwrap();
    let got = scan.next().await.unwrap().unwrap();
    assert_eq!(got.schema(), new.arrow_schema());
    assert_eq!(got.column(1).data_type(), &DataType::Decimal128(30, 2));
    // The old key was an int and the new one is a long: the delete must find it all the same.
    let d: ArrayRef = Arc::new(Decimal128Array::from(vec![None]).with_precision_and_scale(30, 2).unwrap());
    let f: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![2.5]));
    let t = write(&t, &new, vec![texts(&[None]), d, longs(&[1]), f, longs(&[9])], Op::Update).await;
    assert_eq!(all(&t).await, ["∅|∅|1|2.5|9"]);
    let e = t.scan().with_columns(["old name"]).open().await.map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn what_cannot_be_done_names_the_column_and_changes_nothing() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a")]).await;
    let text_to_int = schema(2, vec![column(1, "id", INT, false), column(2, "data", INT, true)], &[0]);
    let e = refused(t.evolve(&text_to_int).await);
    assert_eq!(e.kind(), ErrorKind::Schema);
    assert!(e.to_string().contains("column data of shop.orders") && e.to_string().contains("cannot become"), "{e}");
    let not_null = schema(
        2,
        vec![column(1, "id", INT, false), column(2, "data", LogicalType::String, true), column(3, "n", INT, false)],
        &[0],
    );
    let e = refused(t.evolve(&not_null).await);
    assert!(e.to_string().contains("column n of shop.orders: it is new and NOT NULL"), "{e}");
    assert_eq!(t.refresh().await.unwrap().metadata_location(), t.metadata_location());
}

#[tokio::test]
async fn not_null_at_the_source_stays_optional_here_and_takes_rows() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[(Op::Create, 1, None)]).await;
    let strict = Arc::new(schema(2, vec![column(1, "id", INT, false), column(2, "data", LogicalType::String, false)], &[0]));
    assert_eq!(t.evolve(&strict).await.unwrap().metadata_location(), t.metadata_location());
    let t = write(&t, &strict, vec![ints(&[2]), texts(&[Some("b")])], Op::Create).await;
    assert_eq!(all(&t).await, ["1|∅", "2|b"]);
}

#[tokio::test]
async fn a_new_key_column_comes_after_a_truncate_and_old_deletes_still_hold_in_old_snapshots() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = span(&lake.table(&s).await, &s, &[plus(1, "a"), plus(2, "b")]).await;
    let before = span(&t, &s, &[minus(1, "a")]).await;
    let t = before.truncate([], None).await.unwrap();
    let other =
        Arc::new(schema(2, vec![column(3, "uid", LogicalType::Uuid, false), column(2, "data", LogicalType::String, true)], &[0]));
    let uuid = |b: u8| -> ArrayRef { Arc::new(arrow_array::FixedSizeBinaryArray::try_from_iter([[b; 16]].into_iter()).unwrap()) };
    let t = write(&t, &other, vec![uuid(1), texts(&[Some("x")])], Op::Create).await;
    let t = write(&t, &other, vec![uuid(1), texts(&[Some("y")])], Op::Update).await;
    assert_eq!(all(&t).await, [format!("{}|y", "01".repeat(16))]);
    assert_eq!(rows(t.scan().at_snapshot(before.head().unwrap().snapshot_id())).await, ["2|b"]);
    let narrowed = t.scan().at_snapshot(before.head().unwrap().snapshot_id()).with_columns(["data"]);
    assert_eq!(rows(narrowed).await, ["b"], "the key is compared though it is not shown");
}

#[tokio::test]
async fn a_column_that_live_deletes_compare_is_not_dropped_but_is_read_where_another_engine_dropped_it() {
    let lake = Lake::new().await;
    let s = Arc::new(schema(1, vec![column(1, "a", INT, false), column(2, "b", INT, false)], &[0]));
    let t = lake.table(&s).await;
    let t = write(&t, &s, vec![ints(&[1, 2]), ints(&[10, 20])], Op::Create).await;
    let t = write(&t, &s, vec![ints(&[1]), ints(&[10])], Op::Delete).await;
    let s2 = Arc::new(schema(2, vec![column(2, "b", INT, false)], &[0]));
    for e in [refused(t.evolve(&s2).await), refused(t.commit(&Commit::new().with_schema(Arc::clone(&s2))).await)] {
        assert_eq!(e.kind(), ErrorKind::Schema);
        assert!(e.to_string().contains("column a of table shop.orders cannot be dropped"), "{e}");
    }
    // Another engine does it all the same, behind our back.
    let metadata = iceberg::spec::TableMetadata::clone(t.metadata()).into_builder(None);
    let metadata = metadata.add_current_schema(iceberg_writer::iceberg_schema(&s2).unwrap()).unwrap().build().unwrap().metadata;
    std::fs::write(t.metadata_location().strip_prefix("file://").unwrap(), serde_json::to_vec(&metadata).unwrap()).unwrap();
    let theirs = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
    assert_eq!(all(&theirs).await, ["20"]);
    assert_eq!(theirs.scan().count().await.unwrap(), 1);
    let emptied = t.commit(&Commit::new().with_truncate().with_schema(s2)).await.unwrap();
    assert_eq!(emptied.schema().as_struct().fields().len(), 1);
}

#[tokio::test]
async fn files_of_other_columns_than_the_table_has_are_refused() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let t = lake.table(&s).await;
    let mut wider = TableSchema::clone(&s);
    wider.columns.push(column(3, "n", INT, true));
    let wider = Arc::new(wider);
    let mut w = DeltaWriter::new(&t, Arc::clone(&wider), WriterConfig::default()).unwrap();
    let rows = RecordBatch::try_new(wider.arrow_schema(), vec![ints(&[1]), texts(&[None]), ints(&[5])]).unwrap();
    w.write(&rows, &[Op::Create], NewRows::All).unwrap();
    let f = w.finish().await.unwrap();
    let e = refused(t.commit_delta(f.clone(), [], None).await);
    assert!(e.to_string().contains("other columns"), "{e}");
    let t = t.commit(&Commit::new().with_delta(f).with_schema(wider)).await.unwrap();
    assert_eq!(all(&t).await, ["1|∅|5"]);
}
