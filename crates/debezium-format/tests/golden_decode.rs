//! Every recorded event of every table is read, and what was read is written again as the same bytes.

use crate::connect::schema_of;
use crate::golden::{Golden, load};
use crate::golden_encode::origin;
use crate::images::{batch, cell};
use cdc_core::{Change, ChangeBatch, NO_IMAGE, Op, TableSchema, Value};
use debezium_format::{
    BigintUnsigned, Connector, Converter, DecimalMode, Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, Profile,
    RecordList,
};
use std::collections::HashMap;
use std::sync::Arc;

/// The text of an event without its schema.
fn payload(event: &Golden) -> &str {
    let value = event.value.as_ref().unwrap();
    match value.starts_with("{\"schema\":") {
        true => value.split_once(",\"payload\":").unwrap().1.strip_suffix('}').unwrap(),
        false => value,
    }
}

/// From `after` on for an update, of which only the row after is read; else all.
fn comparable(payload: &str) -> &str {
    if payload.contains(",\"op\":\"u\",") { payload.split_once("},\"after\":").unwrap().1 } else { payload }
}

fn check(scenario: &str, connector: Connector, profile: Profile, schemas: &HashMap<String, Arc<TableSchema>>) -> usize {
    let mut seen = 0;
    let mut decoders: Vec<(Arc<TableSchema>, Decoder)> = Vec::new();
    let events = load(scenario);
    let with_schemas = events[0].value.as_ref().unwrap().starts_with("{\"schema\":");
    for event in &events {
        if event.value.is_none() {
            continue;
        }
        let schema = if with_schemas { schema_of(event) } else { Arc::clone(&schemas[&event.topic]) };
        let at = decoders.iter().position(|(s, _)| *s == schema).unwrap_or_else(|| {
            let config = DecoderConfig::new(Converter::Json { schemas: with_schemas }, profile);
            decoders.push((Arc::clone(&schema), Decoder::new(Arc::clone(&schema), config).unwrap()));
            decoders.len() - 1
        });
        let decoder = &mut decoders[at].1;
        let value = event.value.as_ref().map(|v| v.as_bytes());
        // Twice: the second time by the plan that the first has taught.
        let op = match decoder.decode(value).unwrap_or_else(|e| panic!("{scenario}: {e}")) {
            Decoded::Event(op) => op,
            other => panic!("{other:?}"),
        };
        let misses = decoder.misses();
        decoder.decode(value).unwrap();
        assert_eq!(
            decoder.misses(),
            misses,
            "{scenario}: a plan does not read the record it was learnt from: {}",
            payload(event)
        );
        let decoded = decoder.finish().unwrap();
        assert_eq!(decoded.ops, [op, op]);
        assert_eq!(decoded.rows.slice(0, 1), decoded.rows.slice(1, 1));
        let (origin, marker, row) = origin(event);
        assert_eq!(decoded.source_ts_us, [origin.transaction.ts_us; 2]);

        let (before, after) = if op == Op::Delete { (0, NO_IMAGE) } else { (NO_IMAGE, 0) };
        let changes = vec![Change { op, before, after, origin: 0, row, marker }];
        let batch = ChangeBatch { schema: Arc::clone(&schema), images: decoded.rows, changes, origins: vec![origin] };
        let config = EncoderConfig::new("dbserver1", connector, Converter::Json { schemas: false }, "run").with_profile(profile);
        let mut sink = RecordList::default();
        Encoder::new(&config, schema, &event.topic).unwrap().encode(&batch, &mut sink).unwrap();
        let ours = String::from_utf8(sink.records()[0].value.clone().unwrap()).unwrap();
        let ours = if op == Op::Update { ours.split_once("{\"before\":null,\"after\":").unwrap().1 } else { &ours };
        assert_eq!(ours, comparable(payload(event)), "{scenario}");
        seen += 1;
    }
    seen
}

pub fn schemas_by_topic(scenario: &str) -> HashMap<String, Arc<TableSchema>> {
    let mut schemas = HashMap::new();
    for event in load(scenario).iter().filter(|e| e.value.is_some()) {
        schemas.entry(event.topic.clone()).or_insert_with(|| schema_of(event));
    }
    schemas
}

fn profile(decimals: DecimalMode, bigint_unsigned: BigintUnsigned) -> Profile {
    let mut profile = Profile::default();
    profile.decimals = decimals;
    profile.bigint_unsigned = bigint_unsigned;
    profile
}

#[test]
fn every_mysql_event_is_read_and_written_again() {
    let none = HashMap::new();
    assert_eq!(check("mysql-default", Connector::Mysql, Profile::default(), &none), 90);
    assert_eq!(check("mysql-schemaless", Connector::Mysql, Profile::default(), &schemas_by_topic("mysql-default")), 33);
}

#[test]
fn every_mariadb_event_is_read_and_written_again() {
    let none = HashMap::new();
    assert_eq!(check("mariadb-default", Connector::Mariadb, Profile::default(), &none), 89);
    assert_eq!(check("mariadb-schemaless", Connector::Mariadb, Profile::default(), &schemas_by_topic("mariadb-default")), 33);
}

#[test]
fn events_of_other_handling_modes_are_read_and_written_again() {
    let none = HashMap::new();
    let precise = profile(DecimalMode::Precise, BigintUnsigned::Precise);
    assert_eq!(precise, Profile::exact());
    // Only this table's unsigned number can be told from the others by its name.
    let unsigned = check("mysql-bigint_precise", Connector::Mysql, precise, &none);
    let text = check("mysql-decimal_string", Connector::Mysql, profile(DecimalMode::String, BigintUnsigned::Long), &none);
    assert_eq!((unsigned, text), (19, 19));
}

#[test]
fn truncates_and_tombstones_add_no_row() {
    for event in load("mysql-truncate_emit") {
        let schema = schema_of(&event);
        let config = DecoderConfig::new(Converter::Json { schemas: true }, Profile::default());
        let mut decoder = Decoder::new(schema, config).unwrap();
        assert_eq!(decoder.decode(event.value.as_ref().map(|v| v.as_bytes())).unwrap(), Decoded::Truncate);
        assert_eq!(decoder.decode(None).unwrap(), Decoded::Tombstone);
        assert_eq!(decoder.decode(Some(b"null")).unwrap(), Decoded::Tombstone);
        assert_eq!((decoder.rows(), decoder.finish().unwrap().rows.num_rows()), (0, 0));
    }
}

#[test]
fn the_values_of_every_type_are_those_that_the_sql_put_there() {
    let events = load("mysql-default");
    let event = events.iter().find(|e| e.table() == "all_types").unwrap();
    let schema = schema_of(event);
    let config = DecoderConfig::new(Converter::Json { schemas: true }, Profile::default());
    let mut decoder = Decoder::new(Arc::clone(&schema), config).unwrap();
    decoder.decode(event.value.as_ref().map(|v| v.as_bytes())).unwrap();
    let rows = decoder.finish().unwrap().rows;
    let decimal = |v: &str| Value::Decimal(v.to_owned());
    let bytes = |v: &[u8]| Value::Bytes(v.to_vec());
    let text = |v: &str| Value::String(v.to_owned());
    let day = 19_782;
    let noon = (day * 86_400 + 45_296) * 1_000_000;
    for (name, value) in [
        ("id", Value::Int(1)),
        ("c_tinyint", Value::Int(-128)),
        ("c_int", Value::Int(-2_147_483_648)),
        ("c_bigint", Value::Int(i64::MIN)),
        ("c_bigint_u", Value::UInt(0)),
        ("c_dec", decimal("-12345678.90")),
        ("c_dec0", decimal("-9999999999")),
        ("c_dec65", decimal("-12345678901234567890123456789012345.123456789012345678901234567890")),
        ("c_numeric", decimal("-1.2345")),
        ("c_fixed", decimal("-12345.6")),
        ("c_float", Value::Float(1.5)),
        ("c_double", Value::Double(-f64::MAX)),
        ("c_double_pd", Value::Double(123_456.789_01)),
        ("c_bit1", Value::Boolean(true)),
        ("c_bit5", bytes(&[0b10101])),
        ("c_bit12", bytes(&[1, 8])),
        ("c_bit64", bytes(&[1, 0, 0, 0, 0, 0, 0, 0x80])),
        ("c_char", text("char")),
        ("c_binary", bytes(&[1, 2, 3, 4, 5])),
        ("c_varbinary", bytes(&[0xde, 0xad, 0xbe, 0xef])),
        ("c_date", Value::Int(day)),
        ("c_time6", Value::Int(45_296_789_012)),
        ("c_datetime", Value::Int(noon)),
        ("c_datetime3", Value::Int(noon + 789_000)),
        ("c_datetime6", Value::Int(noon + 789_012)),
        ("c_timestamp6", Value::Int(noon + 789_012)),
        ("c_year", Value::Int(2024)),
        ("c_enum", text("a")),
        ("c_set", text("x,z")),
    ] {
        let index = schema.columns.iter().position(|c| c.name == name).unwrap();
        assert_eq!(cell(&rows, &schema, index, 0), value, "{name}");
    }
    // The same row in row form is the same batch.
    let row: Vec<Value> = (0..schema.columns.len()).map(|i| cell(&rows, &schema, i, 0)).collect();
    assert_eq!(batch(&schema, &[row]), rows);
}
