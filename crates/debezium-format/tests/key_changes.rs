//! What becomes of one change: keys, tombstones and headers.

use crate::images::{batch, column, integer, table};
use cdc_core::{Change, ChangeBatch, LogicalType, NO_IMAGE, Op, Origin, SnapshotMarker, Value};
use debezium_format::{Connector, Converter, Encoder, EncoderConfig, Record, RecordList};
use std::sync::Arc;

fn written(key: &[usize], config: &EncoderConfig, op: Op) -> Vec<Record> {
    let schema = table("t", vec![column("id", integer(32, false), false), column("v", LogicalType::String, true)], key);
    let row = |id, v: &str| vec![Value::Int(id), Value::String(v.to_owned())];
    let (before, after) = match op {
        Op::Delete => (0, NO_IMAGE),
        _ => (0, 1),
    };
    let changes = ChangeBatch {
        schema: Arc::clone(&schema),
        images: batch(&schema, &[row(1, "a"), row(2, "a")]),
        changes: vec![Change { op, before, after, origin: 0, row: 0, marker: SnapshotMarker::False }],
        origins: vec![Origin { processed_ns: 1_700_000_000_123_456_789, ..Origin::default() }],
    };
    let mut sink = RecordList::default();
    let count = Encoder::new(config, schema, "p.inventory.t").unwrap().encode(&changes, &mut sink).unwrap();
    assert_eq!(count, sink.records().len());
    sink.records().to_vec()
}

fn config(schemas: bool) -> EncoderConfig {
    EncoderConfig::new("p", Connector::Mysql, Converter::Json { schemas }, "run")
}

fn op(record: &Record) -> Option<char> {
    let value: serde_json::Value = serde_json::from_slice(record.value.as_ref()?).unwrap();
    value["op"].as_str().unwrap().chars().next()
}

fn key(record: &Record) -> &str {
    std::str::from_utf8(record.key.as_ref().unwrap()).unwrap()
}

#[test]
fn an_update_of_the_key_is_a_delete_a_tombstone_and_a_create_that_name_each_other() {
    let records = written(&[0], &config(false), Op::Update);
    assert_eq!(records.iter().map(op).collect::<Vec<_>>(), [Some('d'), None, Some('c')]);
    assert_eq!(records.iter().map(key).collect::<Vec<_>>(), ["{\"id\":1}", "{\"id\":1}", "{\"id\":2}"]);
    let first = |r: &Record| (r.headers[0].0.clone(), String::from_utf8(r.headers[0].1.clone()).unwrap());
    let schema = "{\"schema\":{\"type\":\"struct\",\"fields\":[{\"type\":\"int32\",\"optional\":false,\"field\":\"id\"}],\
                  \"optional\":false,\"name\":\"p.inventory.t.Key\"},\"payload\":";
    let new = ("__debezium.newkey".to_owned(), format!("{schema}{{\"id\":2}}}}"));
    let old = ("__debezium.oldkey".to_owned(), format!("{schema}{{\"id\":1}}}}"));
    assert_eq!(records.iter().map(first).collect::<Vec<_>>(), [new.clone(), new, old]);
    assert!(records.iter().all(|r| r.headers.len() == 5 && r.timestamp_ms == 1_700_000_000_123));
}

#[test]
fn an_update_that_leaves_the_key_is_one_event() {
    let records = written(&[1], &config(true), Op::Update);
    assert_eq!(records.len(), 1);
    assert!(records[0].headers.iter().all(|(name, _)| name.starts_with("__debezium.context.")));
}

#[test]
fn a_table_without_a_key_has_events_without_one() {
    let update = written(&[], &config(true), Op::Update);
    assert_eq!(update.iter().map(|r| r.key.is_some()).collect::<Vec<_>>(), [false]);
    let delete = written(&[], &config(false), Op::Delete);
    assert_eq!(delete.iter().map(|r| (r.key.is_some(), op(r))).collect::<Vec<_>>(), [(false, Some('d')), (false, None)]);
}

#[test]
fn tombstones_and_context_headers_can_be_left_out() {
    let mut config = config(false);
    config.tombstones_on_delete = false;
    config.extended_headers = false;
    let delete = written(&[0], &config, Op::Delete);
    assert_eq!((delete.len(), delete[0].headers.len()), (1, 0));
    let update = written(&[0], &config, Op::Update);
    assert_eq!(update.iter().map(op).collect::<Vec<_>>(), [Some('d'), Some('c')]);
    assert_eq!(update.iter().map(|r| r.headers.len()).collect::<Vec<_>>(), [1, 1]);
}
