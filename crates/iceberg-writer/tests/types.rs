//! Every logical type goes in and comes out as it was, with bounds that are true.

use crate::support::*;
use arrow_array::builder::{FixedSizeBinaryBuilder, Float32Builder, ListBuilder};
use arrow_array::*;
use arrow_schema::DataType;
use cdc_core::{LogicalType, Op};
use iceberg_writer::{DeltaWriter, ErrorKind, NewRows, TableName, TableOptions, ValueEncoding, WriterConfig, nested_field_id};
use std::sync::Arc;

/// One column of each type, nullable ones twice.
fn every_type() -> cdc_core::TableSchema {
    let types = [
        LogicalType::Boolean,
        INT,
        LONG,
        LogicalType::Integer { bits: 64, unsigned: true },
        LogicalType::Decimal { precision: 9, scale: 2 },
        LogicalType::Decimal { precision: 18, scale: 4 },
        LogicalType::Decimal { precision: 38, scale: 10 },
        LogicalType::Decimal { precision: 65, scale: 30 },
        LogicalType::Float,
        LogicalType::Double,
        LogicalType::Bits { length: 12 },
        LogicalType::String,
        LogicalType::Binary,
        LogicalType::Date,
        LogicalType::Time { fraction: 6 },
        LogicalType::Timestamp { fraction: 6 },
        LogicalType::TimestampTz { fraction: 6 },
        LogicalType::Year,
        LogicalType::Geometry { point: true },
        LogicalType::Vector,
        LogicalType::Uuid,
        LogicalType::Inet { v6: true },
    ];
    let mut columns = vec![column(1, "id", LONG, false)];
    for (i, t) in types.into_iter().enumerate() {
        let id = 2 + 2 * i as i32;
        columns.push(column(id, &format!("required_{i}"), t.clone(), false));
        columns.push(column(id + 1, &format!("optional {i}.x"), t, true));
    }
    schema(1, columns, &[0])
}

/// `rows` values of a type; every third one NULL if it may be.
fn values(t: &DataType, nullable: bool, rows: usize) -> ArrayRef {
    let some = |i: usize| !nullable || i % 3 != 1;
    macro_rules! primitive {
        ($array:ty, $value:expr) => {
            Arc::new((0..rows).map(|i| some(i).then(|| $value(i))).collect::<$array>()) as ArrayRef
        };
    }
    let sign = |i: usize| if i.is_multiple_of(2) { 1 } else { -1 };
    match t {
        DataType::Boolean => primitive!(BooleanArray, |i: usize| i.is_multiple_of(2)),
        DataType::Int32 => primitive!(Int32Array, |i: usize| sign(i) * (i as i32 * 1_000_003)),
        DataType::Int64 => primitive!(Int64Array, |i: usize| i64::from(sign(i)) * (i as i64 * 1_000_000_000_039)),
        DataType::Float32 => primitive!(Float32Array, |i: usize| i as f32 * -0.5),
        DataType::Float64 => primitive!(Float64Array, |i: usize| i as f64 * 1e100),
        DataType::Date32 => primitive!(Date32Array, |i: usize| i as i32 * 367 - 300_000),
        DataType::Decimal128(p, s) => Arc::new(
            (0..rows)
                .map(|i| some(i).then(|| i128::from(sign(i)) * (10_i128.pow(u32::from(*p)) - 1 - i as i128)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(*p, *s)
                .unwrap(),
        ),
        DataType::Utf8 => primitive!(StringArray, |i: usize| format!("{}ü{}", "long ".repeat(i % 40), i)),
        DataType::Binary => Arc::new((0..rows).map(|i| some(i).then(|| vec![0xff, i as u8, 0])).collect::<BinaryArray>()),
        DataType::Timestamp(_, zone) => Arc::new(
            (0..rows)
                .map(|i| some(i).then(|| i as i64 * 86_399_999_999 - 60_000_000_000_000_000))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone_opt(zone.clone()),
        ),
        DataType::FixedSizeBinary(16) => {
            let mut b = FixedSizeBinaryBuilder::new(16);
            for i in 0..rows {
                match some(i) {
                    true => b.append_value([i as u8; 16]).unwrap(),
                    false => b.append_null(),
                }
            }
            Arc::new(b.finish())
        }
        DataType::Struct(fields) => {
            let children = fields.iter().map(|f| values(f.data_type(), f.is_nullable(), rows)).collect();
            let nulls = nullable.then(|| (0..rows).map(some).collect::<Vec<bool>>().into());
            Arc::new(StructArray::new(fields.clone(), children, nulls))
        }
        DataType::List(element) => {
            let mut b = ListBuilder::new(Float32Builder::new()).with_field(Arc::clone(element));
            for i in 0..rows {
                for j in 0..i % 4 {
                    b.values().append_value(j as f32 + 0.25);
                }
                b.append(some(i));
            }
            Arc::new(b.finish())
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_type_comes_back_as_it_went_in() {
    for (rows, encoding) in [(3, ValueEncoding::Portable), (1_500, ValueEncoding::Portable), (1_500, ValueEncoding::Delta)] {
        let lake = Lake::new().await;
        let s = Arc::new(every_type());
        let mut columns: Vec<ArrayRef> =
            s.columns.iter().map(|c| values(&c.logical_type.arrow_type(), c.nullable, rows)).collect();
        columns[0] = longs(&(0..rows as i64).collect::<Vec<_>>());
        let sent = RecordBatch::try_new(s.arrow_schema(), columns).unwrap();
        let t = lake.table(&s).await;
        let mut config = WriterConfig::default();
        config.encoding = encoding;
        config.row_group_rows = 700;
        let mut w = DeltaWriter::new(&t, Arc::clone(&s), config).unwrap();
        w.write(&sent, &vec![Op::Create; rows], NewRows::Unknown).unwrap();
        let t = t.commit_delta(w.finish().await.unwrap(), [], None).await.unwrap();
        let t = lake.reopened().await.load_table(t.name()).await.unwrap().unwrap();
        let mut scan = t.scan().with_batch_rows(rows).open().await.unwrap();
        assert_eq!(*scan.schema(), s.arrow_schema(), "the schema of a scan is the source's own");
        let mut got = Vec::new();
        while let Some(batch) = scan.next().await.unwrap() {
            got.push(batch);
        }
        assert_eq!(arrow_select::concat::concat_batches(&s.arrow_schema(), &got).unwrap(), sent);
    }
}

#[tokio::test]
async fn bounds_and_counts_in_the_manifest_are_true() {
    let lake = Lake::new().await;
    let s = Arc::new(schema(
        1,
        vec![
            column(1, "id", LONG, false),
            column(2, "d", LogicalType::Decimal { precision: 10, scale: 2 }, true),
            column(3, "t", LogicalType::String, true),
            column(4, "n", LogicalType::String, true),
            column(5, "g", LogicalType::Geometry { point: false }, false),
        ],
        &[0],
    ));
    let geometry = values(&LogicalType::Geometry { point: false }.arrow_type(), false, 3);
    let long = "z".repeat(300);
    let sent = RecordBatch::try_new(
        s.arrow_schema(),
        vec![
            longs(&[7, -3, 5]),
            Arc::new(Decimal128Array::from(vec![Some(-129), None, Some(1_000)]).with_precision_and_scale(10, 2).unwrap()),
            texts(&[Some("b"), Some(&long), Some("")]),
            texts(&[None, None, None]),
            geometry,
        ],
    )
    .unwrap();
    let t = lake.table(&s).await;
    let f = files(&t, &s, &[(sent, vec![Op::Create; 3])], NewRows::Unknown).await;
    let file = &f.data[0];
    let bound = |map: &std::collections::HashMap<i32, iceberg::spec::Datum>, id: i32| map.get(&id).map(|d| d.to_human_string());
    assert_eq!((bound(file.lower_bounds(), 1), bound(file.upper_bounds(), 1)), (Some("-3".into()), Some("7".into())));
    assert_eq!((bound(file.lower_bounds(), 2), bound(file.upper_bounds(), 2)), (Some("-1.29".into()), Some("10.00".into())));
    assert_eq!(bound(file.lower_bounds(), 3), Some(String::new()));
    let upper = bound(file.upper_bounds(), 3).unwrap();
    assert!(upper.as_str() >= long.as_str() && upper.len() <= 64, "{upper} is a short upper bound of the long text");
    assert_eq!((bound(file.lower_bounds(), 4), bound(file.upper_bounds(), 4)), (None, None));
    assert_eq!((file.value_counts()[&4], file.null_value_counts()[&4], file.null_value_counts()[&2]), (3, 3, 1));
    assert_eq!(file.value_counts()[&nested_field_id(5, 0)], 3);
    assert_eq!(file.record_count(), 3);
    assert_eq!(file.file_size_in_bytes(), std::fs::metadata(&lake.files("data.parquet")[0]).unwrap().len());
    let deletes = &f.deletes[0];
    assert_eq!((deletes.equality_ids(), deletes.record_count()), (Some(vec![1]), 3));
    assert_eq!((bound(deletes.lower_bounds(), 1), bound(deletes.upper_bounds(), 1)), (Some("-3".into()), Some("7".into())));
}

/// Engines on the JVM order UUIDs by signed halves, Parquet by bytes: `80…` is below `7f…` to the ones and above it to the other.
#[tokio::test]
async fn a_uuid_key_has_no_bounds_by_which_an_engine_of_another_order_would_pass_over_files() {
    let lake = Lake::new().await;
    let s = Arc::new(schema(1, vec![column(1, "id", LogicalType::Uuid, false), column(2, "n", LONG, false)], &[0]));
    let mut ids = FixedSizeBinaryBuilder::new(16);
    for first in [0x7f, 0x80, 0x01] {
        ids.append_value([first; 16]).unwrap();
    }
    let sent = RecordBatch::try_new(s.arrow_schema(), vec![Arc::new(ids.finish()), longs(&[1, 2, 3])]).unwrap();
    let f = files(&lake.table(&s).await, &s, &[(sent, vec![Op::Update; 3])], NewRows::Unknown).await;
    for file in [&f.data[0], &f.deletes[0]] {
        assert_eq!((file.record_count(), file.value_counts()[&1]), (3, 3));
        assert!(!file.lower_bounds().contains_key(&1) && !file.upper_bounds().contains_key(&1), "{:?}", file.lower_bounds());
    }
    assert!(f.data[0].lower_bounds().contains_key(&2), "other columns keep theirs");
}

#[tokio::test]
async fn a_table_has_the_sources_ids_key_comments_and_nullability() {
    let lake = Lake::new().await;
    let mut s = schema(
        3,
        vec![
            column(4, "a", LONG, false),
            column(9, "p", LogicalType::Geometry { point: true }, true),
            column(2, "b", INT, false),
        ],
        &[2, 0],
    );
    s.columns[0].comment = Some("the first".to_owned());
    s.comment = Some("orders of the shop".to_owned());
    let t = lake.table(&s).await;
    let fields = t.schema().as_struct().fields().to_vec();
    assert_eq!(
        fields.iter().map(|f| (f.id, f.name.as_str(), f.required)).collect::<Vec<_>>(),
        [(4, "a", true), (9, "p", false), (2, "b", true)]
    );
    assert_eq!(fields[0].doc.as_deref(), Some("the first"));
    let mut key: Vec<i32> = t.schema().identifier_field_ids().collect();
    key.sort_unstable();
    assert_eq!(key, [2, 4]);
    assert_eq!(t.metadata().properties()["comment"], "orders of the shop");
    assert_eq!(t.metadata().schemas_iter().count(), 1);
    assert!(t.schema().field_by_id(nested_field_id(9, 1)).is_some_and(|f| f.name == "srid"));
    assert_eq!(iceberg_writer::equality_ids(&s), Some(vec![2, 4]), "in key order");
}

#[tokio::test]
async fn two_columns_of_one_name_and_an_id_out_of_range_are_refused_by_name() {
    let lake = Lake::new().await;
    for (s, words) in [
        (schema(1, vec![column(1, "Name", INT, true), column(2, "name", INT, true)], &[]), "column name of shop.orders"),
        (schema(1, vec![column(0, "zero", INT, true)], &[]), "column zero of shop.orders: its field id 0"),
    ] {
        let e = lake.catalog.create_table(&TableName::new("a", "b"), &s, TableOptions::default()).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Schema);
        assert!(e.to_string().contains(words), "{e}");
    }
    assert_eq!(lake.files(".json").len(), 0);
}

#[tokio::test]
async fn rows_of_other_columns_are_refused() {
    let (lake, s) = (Lake::new().await, id_data(&[0]));
    let mut w = DeltaWriter::new(&lake.table(&s).await, Arc::clone(&s), WriterConfig::default()).unwrap();
    let wrong = RecordBatch::try_from_iter([("id", longs(&[1])), ("data", texts(&[None]))]).unwrap();
    assert_eq!(w.write(&wrong, &[Op::Create], NewRows::Unknown).unwrap_err().kind(), ErrorKind::Invalid);
    let (right, _) = batch(&s, &[plus(1, "a")]);
    assert_eq!(w.write(&right, &[], NewRows::Unknown).unwrap_err().kind(), ErrorKind::Invalid);
}
