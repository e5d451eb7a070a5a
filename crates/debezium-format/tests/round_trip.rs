//! What is written is read as the same columns, whatever the types, the values and the modes.

use crate::images::{batch, column, integer, table};
use crate::random::{changes, rows, schema, seeds};
use cdc_core::{Change, ChangeBatch, LogicalType, NO_IMAGE, Op, Origin, SnapshotMarker, Value};
use debezium_format::{
    BigintUnsigned, Connector, Converter, DecimalMode, Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, ErrorKind,
    Profile, RecordList,
};
use rand::Rng;
use std::sync::Arc;

#[test]
fn random_rows_of_random_tables_come_back_as_the_same_columns() {
    seeds(400, |mut random| {
        let schema = schema(&mut random);
        let rows = rows(&mut random, &schema, 20);
        let changes = changes(&mut random, &schema, &rows);
        let mut profile = Profile::default();
        profile.decimals = if random.random() { DecimalMode::Precise } else { DecimalMode::String };
        profile.bigint_unsigned = if random.random() { BigintUnsigned::Long } else { BigintUnsigned::Precise };
        let converter = Converter::Json { schemas: random.random() };
        let connector = if random.random() { Connector::Mysql } else { Connector::Mariadb };
        let config = EncoderConfig::new("shop", connector, converter, "run").with_profile(profile);
        let mut sink = RecordList::default();
        let mut encoder = Encoder::new(&config, Arc::clone(&schema), "shop.inventory.random").unwrap();
        let count = encoder.encode(&changes, &mut sink).unwrap();
        assert_eq!(count, sink.records().len());

        let mut decoder = Decoder::new(Arc::clone(&schema), DecoderConfig::new(converter, profile)).unwrap();
        let mut tombstones = 0;
        for record in sink.records() {
            if let Some(value) = &record.value {
                serde_json::from_slice::<serde_json::Value>(value).unwrap();
            }
            tombstones += usize::from(decoder.decode(record.value.as_deref()).unwrap() == Decoded::Tombstone);
        }
        assert_eq!(decoder.rows(), 20);
        assert!(decoder.bytes() > 0);
        let decoded = decoder.finish().unwrap();
        assert_eq!(decoded.rows, changes.images);
        assert_eq!(decoded.ops, changes.changes.iter().map(|c| c.op).collect::<Vec<_>>());
        assert_eq!(tombstones, decoded.ops.iter().filter(|op| **op == Op::Delete).count());
        let times: Vec<i64> = changes.origins.iter().map(|o| o.transaction.ts_us).collect();
        assert_eq!(decoded.source_ts_us, times);
        // What was learnt is still good for the next batch, which begins empty.
        let misses = decoder.misses();
        assert_eq!(decoder.decode(sink.records()[0].value.as_deref()).unwrap(), Decoded::Event(decoded.ops[0]));
        assert!(decoder.misses() <= misses + 1);
        assert_eq!(decoder.finish().unwrap().rows, changes.images.slice(0, 1));
    });
}

#[test]
fn a_table_of_one_layout_is_read_by_its_plan() {
    seeds(20, |mut random| {
        let schema = table("t", vec![column("id", integer(64, false), false), column("name", LogicalType::String, true)], &[0]);
        let rows = rows(&mut random, &schema, 500);
        let changes = changes(&mut random, &schema, &rows);
        let converter = Converter::Json { schemas: false };
        let config = EncoderConfig::new("shop", Connector::Mysql, converter, "run");
        let mut sink = RecordList::default();
        Encoder::new(&config, Arc::clone(&schema), "shop.inventory.t").unwrap().encode(&changes, &mut sink).unwrap();
        let mut decoder = Decoder::new(schema, DecoderConfig::new(converter, Profile::default())).unwrap();
        for record in sink.records() {
            decoder.decode(record.value.as_deref()).unwrap();
        }
        assert_eq!(decoder.finish().unwrap().rows, changes.images);
        // The statement in `query` has an escape: nobody's value, but only the general path checks it.
        let with_query = changes.origins.iter().filter(|o| o.query.is_some()).count() as u64;
        assert!(decoder.misses() <= with_query + 16, "{} of {} records", decoder.misses(), sink.records().len());
    });
}

#[test]
fn an_older_event_reads_as_null_in_a_column_that_came_later() {
    let id = column("id", integer(32, false), false);
    let old = table("t", vec![id.clone()], &[0]);
    let new = table("t", vec![id.clone(), column("note", LogicalType::String, true)], &[0]);
    let strict = table("t", vec![id, column("note", LogicalType::String, false)], &[0]);
    let change = |after| Change { op: Op::Create, before: NO_IMAGE, after, origin: 0, row: 0, marker: SnapshotMarker::False };
    let changes = ChangeBatch {
        schema: Arc::clone(&old),
        images: batch(&old, &[vec![Value::Int(1)], vec![Value::Int(2)]]),
        changes: vec![change(0), change(1)],
        origins: vec![Origin::default()],
    };
    let converter = Converter::Json { schemas: false };
    let config = EncoderConfig::new("shop", Connector::Mysql, converter, "run");
    let mut sink = RecordList::default();
    Encoder::new(&config, old, "t").unwrap().encode(&changes, &mut sink).unwrap();
    let decoder_config = DecoderConfig::new(converter, Profile::default());
    let mut decoder = Decoder::new(Arc::clone(&new), decoder_config).unwrap();
    for record in sink.records() {
        decoder.decode(record.value.as_deref()).unwrap();
    }
    assert_eq!(decoder.misses(), 1);
    let expected = batch(&new, &[vec![Value::Int(1), Value::Null], vec![Value::Int(2), Value::Null]]);
    assert_eq!(decoder.finish().unwrap().rows, expected);

    let mut decoder = Decoder::new(strict, decoder_config).unwrap();
    let error = decoder.decode(sink.records()[0].value.as_deref()).unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Schema, Some("note")));
    assert_eq!(decoder.rows(), 0);
}

#[test]
fn a_batch_of_other_columns_is_refused() {
    let one = table("t", vec![column("id", integer(32, false), false)], &[0]);
    let other = table("t", vec![column("id", LogicalType::String, false)], &[0]);
    let config = EncoderConfig::new("shop", Connector::Mysql, Converter::Json { schemas: true }, "run");
    let mut encoder = Encoder::new(&config, Arc::clone(&one), "t").unwrap();
    let mut changes = ChangeBatch {
        schema: Arc::clone(&other),
        images: batch(&other, &[vec![Value::String("x".to_owned())]]),
        changes: vec![],
        origins: vec![],
    };
    let mut sink = RecordList::default();
    let error = encoder.encode(&changes, &mut sink).unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Schema, Some("id")));
    changes.images = batch(&one, &[vec![Value::Int(1)]]);
    for (before, after, origin) in [(NO_IMAGE, 1, 0), (NO_IMAGE, NO_IMAGE, 0), (NO_IMAGE, 0, 1)] {
        changes.changes = vec![Change { op: Op::Create, before, after, origin, row: 0, marker: SnapshotMarker::False }];
        changes.origins = vec![Origin::default()];
        let error = encoder.encode(&changes, &mut sink).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Schema, "{error}");
    }
    assert!(sink.records().is_empty());
}
