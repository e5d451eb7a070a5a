//! Rows read by the schemas that their events carry: the values are those of the default scenario, which plays the same SQL.

use crate::connect::schema_of;
use crate::embedded::{first, key_and_value, parse};
use crate::golden::{Golden, load};
use crate::golden_decode::schemas_by_topic;
use crate::images::{cell, column, table};
use crate::random;
use cdc_core::{LogicalType, Op, TableId, TableSchema, Value};
use debezium_format::{
    BinaryMode, Connector, Converter, Decoded, Decoder, DecoderConfig, Encoder, EncoderConfig, ErrorKind, EventSchema, Layout,
    Profile, RecordList, TimePrecision,
};
use std::collections::HashMap;
use std::sync::Arc;

/// An event as read: what it did, and its row by column. A tombstone has no row.
#[derive(Debug, Clone, PartialEq)]
struct Read {
    topic: String,
    op: Option<Op>,
    source_ts_us: i64,
    row: Vec<(String, Value)>,
}

impl Read {
    fn value(&self, name: &str) -> &Value {
        &self.row.iter().find(|(n, _)| n == name).unwrap().1
    }
}

/// Reads one event twice: the second time by the plan that the first has taught.
fn read(decoder: &mut Decoder, event: &Golden) -> Read {
    let value = event.value.as_ref().map(|v| v.as_bytes());
    let decoded = decoder.decode(value).unwrap_or_else(|e| panic!("{}: {e}", event.topic));
    let misses = decoder.misses();
    assert_eq!(decoder.decode(value).unwrap(), decoded);
    let mut read = Read { topic: event.topic.clone(), op: None, source_ts_us: 0, row: Vec::new() };
    let Decoded::Event(op) = decoded else {
        assert_eq!(decoded, Decoded::Tombstone);
        return read;
    };
    assert_eq!(decoder.misses(), misses, "{}: a plan does not read the record it was learnt from", event.topic);
    let schema = Arc::clone(decoder.schema());
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.rows.slice(0, 1), batch.rows.slice(1, 1));
    assert_eq!((&batch.ops[..], batch.source_ts_us[0]), (&[op, op][..], batch.source_ts_us[1]));
    read.op = Some(op);
    read.source_ts_us = batch.source_ts_us[0];
    read.row = schema.columns.iter().enumerate().map(|(i, c)| (c.name.clone(), cell(&batch.rows, &schema, i, 0))).collect();
    read
}

/// Every event with a value, by the schema that it carries.
fn by_embedded(scenario: &str) -> Vec<Read> {
    let mut known: Vec<(EventSchema, Decoder)> = Vec::new();
    let mut reads = Vec::new();
    for event in load(scenario).iter().filter(|e| e.value.is_some()) {
        let (key, value) = key_and_value(event);
        let at = known.iter().position(|(schema, _)| schema.name() == event.topic && schema.is_of(key, value));
        let at = at.unwrap_or_else(|| {
            let schema = parse(event);
            assert_eq!(schema.name(), event.topic);
            let columns = Arc::new(schema.table_schema(TableId::new("inventory", event.table()), 1));
            let decoder = Decoder::for_events(columns, &schema).unwrap();
            known.push((schema, decoder));
            known.len() - 1
        });
        reads.push(read(&mut known[at].1, event));
    }
    reads
}

/// Every event with a value, by the schema that the source's types give.
fn exactly(scenario: &str) -> Vec<Read> {
    let by_topic = schemas_by_topic("mysql-default");
    let mut decoders: HashMap<String, (Arc<TableSchema>, Decoder)> = HashMap::new();
    let mut reads = Vec::new();
    for event in load(scenario).iter().filter(|e| e.value.is_some()) {
        let schemas = event.value.as_ref().unwrap().starts_with("{\"schema\":");
        let schema = if schemas { schema_of(event) } else { Arc::clone(&by_topic[&event.topic]) };
        let config = DecoderConfig::new(Converter::Json { schemas }, Profile::default());
        let fresh = || (Arc::clone(&schema), Decoder::new(Arc::clone(&schema), config).unwrap());
        let known = decoders.entry(event.topic.clone()).or_insert_with(fresh);
        if known.0 != schema {
            *known = fresh();
        }
        reads.push(read(&mut known.1, event));
    }
    reads
}

/// A value of a column without the differences that the schema cannot tell: an unsigned number as a signed one or as a decimal.
fn signed(value: &Value) -> Value {
    match value {
        Value::UInt(v) => Value::Int(v.cast_signed()),
        other => other.clone(),
    }
}

/// Compares every row of `scenario` with the same row of `exact`: `expected` makes of an exact value the one that the events have.
fn compare(scenario: &str, exact: &str, expected: impl Fn(&str, &str, &Value) -> Value) -> usize {
    let reads = by_embedded(scenario);
    let mut left: Vec<Read> = exactly(exact);
    let mut values = 0;
    for read in &reads {
        let at = left.iter().position(|e| e.topic == read.topic).unwrap();
        let same = left.remove(at);
        assert_eq!(read.op, same.op, "{scenario}: {}", read.topic);
        let names = |r: &Read| r.row.iter().map(|(n, _)| n.clone()).collect::<Vec<_>>();
        assert_eq!(names(read), names(&same), "{scenario}: {}", read.topic);
        for (name, value) in &read.row {
            let table = read.topic.rsplit('.').next().unwrap();
            assert_eq!(*value, expected(table, name, same.value(name)), "{scenario}: {table}.{name}");
            values += 1;
        }
    }
    let topics: Vec<&String> = reads.iter().map(|r| &r.topic).collect();
    assert!(!left.iter().any(|e| topics.contains(&&e.topic)), "{scenario}: events are missing");
    assert!(values > 20, "{scenario}: {values} values");
    values
}

/// True for a `TIME` of the recorded tables.
fn is_time(name: &str) -> bool {
    name.starts_with("c_time") && !name.starts_with("c_timestamp") || matches!(name, "d_time" | "d_time6" | "m")
}

fn is_datetime(name: &str) -> bool {
    let named = ["c_datetime", "d_datetime", "dt_"].iter().any(|n| name.starts_with(n));
    named || matches!(name, "n" | "updated_at")
}

const DAY: i64 = 86_400_000_000;

#[test]
fn the_default_modes_give_the_exact_values() {
    let same = |_: &str, _: &str, v: &Value| signed(v);
    assert!(compare("mysql-default", "mysql-default", same) > 1000);
    assert!(compare("mariadb-default", "mariadb-default", same) > 1000);
    compare("mysql-message_key", "mysql-schemaless", same);
}

#[test]
fn connects_time_types_give_the_exact_values_to_the_millisecond() {
    let cut = |_: &str, name: &str, value: &Value| match value {
        Value::Int(v) if is_time(name) && !(0..DAY).contains(v) => Value::Null,
        Value::Int(v) if is_time(name) || is_datetime(name) => Value::Int(v.div_euclid(1000) * 1000),
        other => signed(other),
    };
    compare("mysql-time_connect", "mysql-default", cut);
    compare("mariadb-time_connect", "mariadb-default", cut);
}

#[test]
fn iso_texts_give_the_exact_values() {
    let expected = |_: &str, name: &str, value: &Value| match value {
        Value::Int(v) if is_time(name) && !(0..DAY).contains(v) => Value::Null,
        other => signed(other),
    };
    compare("mysql-time_isostring", "mysql-default", expected);
}

#[test]
fn decimals_as_text_and_unsigned_numbers_as_decimals_give_the_exact_values() {
    let text = |_: &str, _: &str, value: &Value| match value {
        Value::Decimal(text) => Value::String(text.clone()),
        other => signed(other),
    };
    compare("mysql-decimal_string", "mysql-default", text);
    let unsigned = |table: &str, name: &str, value: &Value| match value {
        Value::UInt(v) => Value::Decimal(v.to_string()),
        // Its name does not tell that it is unsigned.
        Value::Int(v) if (table, name) == ("not_null_types", "e") => Value::Decimal(v.cast_unsigned().to_string()),
        other => other.clone(),
    };
    compare("mysql-bigint_precise", "mysql-default", unsigned);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn bytes_as_hexadecimal_text_are_that_text_until_their_type_is_known() {
    let text = |_: &str, name: &str, value: &Value| match value {
        Value::Bytes(bytes) if !name.starts_with("c_bit") && name != "d_bit8" && name != "i" => Value::String(hex(bytes)),
        other => signed(other),
    };
    compare("mysql-binary_hex", "mysql-default", text);

    // The same events with the types of the source, as column.propagate.source.type adds them.
    let exact: Vec<Read> = exactly("mysql-default").into_iter().filter(|r| r.topic.ends_with(".all_types")).collect();
    let events: Vec<Golden> =
        load("mysql-binary_hex").into_iter().filter(|e| e.table() == "all_types" && e.value.is_some()).collect();
    assert_eq!(events.len(), exact.len());
    for (event, exact) in events.iter().zip(&exact) {
        let mut event = event.clone();
        let named = r#""parameters":{"__debezium.source.column.type":"VARBINARY"},"field":"c_varbinary""#;
        event.value = event.value.map(|v| v.replace(r#""field":"c_varbinary""#, named));
        let schema = parse(&event).with_binary_mode(BinaryMode::Hex);
        let columns = Arc::new(schema.table_schema(TableId::new("inventory", "all_types"), 1));
        let read = read(&mut Decoder::for_events(columns, &schema).unwrap(), &event);
        assert_eq!(read.value("c_varbinary"), exact.value("c_varbinary"));
        assert!(matches!(read.value("c_binary"), Value::String(_) | Value::Null));
    }
}

#[test]
fn masked_and_truncated_columns_are_what_the_events_have() {
    let reads = by_embedded("mysql-columns");
    let exact = exactly("mysql-schemaless");
    let of = |reads: &[Read], topic: &str| {
        reads.iter().filter(|r| r.topic.ends_with(topic) && r.op.is_some()).cloned().collect::<Vec<_>>()
    };
    let (ours, theirs) = (of(&reads, ".customers"), of(&exact, ".customers"));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours.value("id"), theirs.value("id"));
        assert_eq!(ours.value("last_name"), &Value::String("*****".to_owned()));
        let Value::String(first_name) = theirs.value("first_name") else { panic!("{theirs:?}") };
        assert_eq!(ours.value("first_name"), &Value::String(first_name.chars().take(2).collect()));
        assert_eq!(ours.row.len(), 3, "email is left out");
    }
}

#[test]
fn rows_without_an_envelope_are_the_rows_of_the_envelopes() {
    let exact: Vec<Read> = exactly("mysql-schemaless").into_iter().filter(|r| r.op.is_some()).collect();
    for scenario in ["mysql-smt_unwrap", "mysql-smt_unwrap_rewrite"] {
        let rewrite = scenario.ends_with("rewrite");
        let mut left = exact.clone();
        let (mut deletes, mut updates) = (0, 0);
        for read in by_embedded(scenario) {
            let at = left.iter().position(|e| e.topic == read.topic).unwrap();
            let same = left.remove(at);
            let Some(op) = read.op else {
                assert_eq!(same.op, Some(Op::Delete), "{scenario}: only a delete leaves no row");
                assert!(!rewrite);
                deletes += 1;
                continue;
            };
            assert_eq!(&read.row[..same.row.len()], &same.row[..], "{scenario}: {}", read.topic);
            if !rewrite {
                assert_eq!((op, read.source_ts_us, read.row.len()), (Op::Update, 0, same.row.len()));
                continue;
            }
            assert_eq!(Some(op), same.op);
            deletes += usize::from(op == Op::Delete);
            updates += usize::from(op == Op::Update);
            assert_eq!(Value::Int(read.source_ts_us / 1000), *read.value("__source_ts_ms"));
            assert_eq!(*read.value("__deleted"), Value::String((op == Op::Delete).to_string()));
            assert_eq!(*read.value("__op"), Value::String(char::from(op.letter()).to_string()));
        }
        assert_eq!(deletes, 1, "{scenario}");
        assert_eq!(updates > 0, rewrite);
    }
}

/// A decoder of flat rows `{id, <added>}`, and a value with these marks.
fn flat(added: &[(&str, &str)]) -> (EventSchema, impl Fn(&[&str]) -> String) {
    let names: Vec<String> = added.iter().map(|(name, _)| (*name).to_owned()).collect();
    let fields: Vec<String> =
        added.iter().map(|(name, kind)| format!(r#",{{"type":"{kind}","optional":true,"field":"{name}"}}"#)).collect();
    let schema = format!(
        r#"{{"type":"struct","fields":[{{"type":"int32","optional":false,"field":"id"}}{}],"name":"p.d.t.Value"}}"#,
        fields.concat()
    );
    let value = move |values: &[&str]| {
        let values: Vec<String> = names.iter().zip(values).map(|(n, v)| format!(r#","{n}":{v}"#)).collect();
        format!(r#"{{"schema":{schema},"payload":{{"id":1{}}}}}"#, values.concat())
    };
    let nulls = vec!["null"; added.len()];
    (EventSchema::parse(None, value(&nulls).as_bytes()).unwrap(), value)
}

#[test]
fn the_marks_of_a_row_without_an_envelope_say_what_the_event_did() {
    let (schema, value) = flat(&[("__op", "string"), ("__deleted", "string"), ("__source_ts_ns", "int64")]);
    let mut decoder = Decoder::for_events(Arc::new(schema.table_schema(TableId::new("d", "t"), 1)), &schema).unwrap();
    for (marks, op, time) in [
        (["\"c\"", "\"false\"", "5000"], Op::Create, 5),
        (["\"r\"", "null", "-1"], Op::Read, -1),
        (["null", "\"true\"", "null"], Op::Delete, 0),
        (["\"d\"", "\"true\"", "null"], Op::Delete, 0),
        (["\"d\"", "null", "null"], Op::Delete, 0),
        (["null", "\"false\"", "null"], Op::Update, 0),
        (["null", "null", "null"], Op::Update, 0),
    ] {
        // Once generally, then by a plan.
        for _ in 0..2 {
            assert_eq!(decoder.decode(Some(value(&marks).as_bytes())).unwrap(), Decoded::Event(op), "{marks:?}");
        }
        assert_eq!(decoder.finish().unwrap().source_ts_us, [time; 2], "{marks:?}");
    }
    for marks in [["\"x\"", "null", "null"], ["\"cc\"", "null", "null"], ["\"c\"", "\"true\"", "null"]] {
        let error = decoder.decode(Some(value(&marks).as_bytes())).unwrap_err();
        assert_eq!((error.kind(), decoder.rows()), (ErrorKind::Schema, 0), "{error}");
    }
    assert_eq!(decoder.decode(None).unwrap(), Decoded::Tombstone);
}

#[test]
fn a_table_schema_with_other_columns_is_refused() {
    let customers = first("mysql-default", "customers");
    let schema = parse(&customers);
    let own = schema.table_schema(TableId::new("lake", "customers"), 7);
    let refused = |change: &dyn Fn(&mut TableSchema)| {
        let mut other = own.clone();
        change(&mut other);
        Decoder::for_events(Arc::new(other), &schema).unwrap_err()
    };
    for (error, column) in [
        (refused(&|t| drop(t.columns.pop())), None),
        (refused(&|t| t.columns.swap(1, 2)), Some("last_name")),
        (refused(&|t| t.columns[0].logical_type = LogicalType::Double), Some("id")),
    ] {
        assert_eq!((error.kind(), error.column()), (ErrorKind::Configuration, column), "{error}");
    }
    // Other ids, names of the same Arrow form and nullability are the caller's.
    let mut mapped = own;
    mapped.columns[0].field_id = 42;
    mapped.columns[1].logical_type = LogicalType::Json;
    mapped.columns[2].nullable = true;
    let mut decoder = Decoder::for_events(Arc::new(mapped), &schema).unwrap();
    decoder.decode(customers.value.as_ref().map(|v| v.as_bytes())).unwrap();
    let batch = decoder.finish().unwrap();
    assert_eq!(batch.rows.schema().field(0).metadata()["PARQUET:field_id"], "42");
}

#[test]
fn random_rows_with_schemas_are_read_by_them_as_they_were_written() {
    random::seeds(150, |mut random| {
        let schema = random::schema(&mut random);
        let rows = random::rows(&mut random, &schema, 8);
        let changes = random::changes(&mut random, &schema, &rows);
        let config =
            EncoderConfig::new("shop", Connector::Mysql, Converter::Json { schemas: true }, "run").with_profile(Profile::exact());
        let mut sink = RecordList::default();
        Encoder::new(&config, Arc::clone(&schema), "shop.inventory.random").unwrap().encode(&changes, &mut sink).unwrap();
        let mut decoder: Option<(EventSchema, Decoder)> = None;
        for record in sink.records().iter().filter(|r| r.value.is_some()) {
            let (key, value) = (record.key.as_deref(), record.value.as_deref().unwrap());
            let (events, decoder) = decoder.get_or_insert_with(|| {
                let events = EventSchema::parse(key, value).unwrap();
                let columns = Arc::new(events.table_schema(schema.table.clone(), 1));
                let decoder = Decoder::for_events(columns, &events).unwrap();
                (events, decoder)
            });
            assert!(events.is_of(key, value));
            assert!(matches!(decoder.decode(Some(value)).unwrap(), Decoded::Event(_)));
        }
        let (events, mut decoder) = decoder.unwrap();
        assert_eq!(events.key(), schema.key);
        let batch = decoder.finish().unwrap();
        let read = decoder.schema();
        for (index, (ours, own)) in read.columns.iter().zip(&schema.columns).enumerate() {
            assert_eq!((&ours.name, ours.nullable), (&own.name, own.nullable));
            for row in 0..batch.rows.num_rows() {
                let written = match cell(&changes.images, &schema, index, row) {
                    // FLOAT(M,D) is a double in the events, BIGINT UNSIGNED a decimal.
                    Value::Float(v) if ours.logical_type == LogicalType::Double => Value::Double(f64::from(v)),
                    Value::UInt(v) => Value::Decimal(v.to_string()),
                    other => other,
                };
                assert_eq!(cell(&batch.rows, read, index, row), written, "{}", own.name);
            }
        }
    });
}

/// One event of a table with one column that may be null, read under `profile`.
fn read_one(logical: LogicalType, profile: Profile, text: &str) -> Result<Value, ErrorKind> {
    let schema = table("t", vec![column("a", logical, true)], &[]);
    let mut decoder = Decoder::new(Arc::clone(&schema), DecoderConfig::new(Converter::Json { schemas: false }, profile)).unwrap();
    let event = format!(r#"{{"before":null,"after":{{"a":{text}}},"source":{{"ts_us":7}},"op":"c"}}"#);
    for _ in 0..2 {
        decoder.decode(Some(event.as_bytes())).map_err(|e| e.kind())?;
    }
    let rows = decoder.finish().unwrap().rows;
    assert_eq!(rows.slice(0, 1), rows.slice(1, 1));
    Ok(cell(&rows, &schema, 0, 0))
}

#[test]
fn every_unit_of_time_is_read_exactly_or_refused() {
    let wrong = Err(ErrorKind::Value);
    let time = |fraction| LogicalType::Time { fraction };
    let wall = |fraction| LogicalType::Timestamp { fraction };
    for (mode, logical, text, value) in [
        (TimePrecision::AdaptiveTimeMicroseconds, time(0), "-3020399000000", Ok(Value::Int(-3_020_399_000_000))),
        (TimePrecision::AdaptiveTimeMicroseconds, wall(3), "7", Ok(Value::Int(7000))),
        (TimePrecision::AdaptiveTimeMicroseconds, wall(6), "7", Ok(Value::Int(7))),
        (TimePrecision::Adaptive, time(3), "7", Ok(Value::Int(7000))),
        (TimePrecision::Adaptive, time(6), "7", Ok(Value::Int(7))),
        (TimePrecision::Adaptive, wall(0), "7", Ok(Value::Int(7000))),
        (TimePrecision::Connect, time(6), "7", Ok(Value::Int(7000))),
        (TimePrecision::Connect, wall(6), "-7", Ok(Value::Int(-7000))),
        (TimePrecision::Connect, wall(6), "9223372036854775807", wrong.clone()),
        (TimePrecision::Microseconds, time(0), "7", Ok(Value::Int(7))),
        (TimePrecision::Microseconds, wall(0), "7", Ok(Value::Int(7))),
        (TimePrecision::Nanoseconds, time(0), "7000", Ok(Value::Int(7))),
        (TimePrecision::Nanoseconds, wall(6), "-9223372036854775000", Ok(Value::Int(-9_223_372_036_854_775))),
        (TimePrecision::Nanoseconds, wall(6), "7001", wrong.clone()),
        (TimePrecision::Nanoseconds, wall(6), "\"7000\"", wrong.clone()),
        (TimePrecision::IsoString, time(0), "\"01:02:03.000004Z\"", Ok(Value::Int(3_723_000_004))),
        (TimePrecision::IsoString, time(0), "\"01:02:03.0000041Z\"", wrong.clone()),
        (TimePrecision::IsoString, time(0), "3723000004", wrong.clone()),
        (TimePrecision::IsoString, wall(0), "\"1970-01-01T00:00:00.000007Z\"", Ok(Value::Int(7))),
        (TimePrecision::IsoString, wall(0), "\"1970-02-30T00:00:00Z\"", wrong.clone()),
        (TimePrecision::IsoString, LogicalType::Date, "\"2024-02-29Z\"", Ok(Value::Int(19_782))),
        (TimePrecision::IsoString, LogicalType::Date, "19782", wrong.clone()),
        (TimePrecision::Connect, LogicalType::Date, "19782", Ok(Value::Int(19_782))),
        (TimePrecision::Nanoseconds, wall(6), "null", Ok(Value::Null)),
    ] {
        let mut profile = Profile::default();
        profile.time = mode;
        assert_eq!(read_one(logical.clone(), profile, text), value, "{mode:?} {logical:?} {text}");
    }
}

#[test]
fn every_form_of_bytes_is_read_exactly_or_refused() {
    let wrong = Err(ErrorKind::Value);
    let bytes = |b: &[u8]| Ok(Value::Bytes(b.to_vec()));
    for (mode, text, value) in [
        (BinaryMode::Base64, "\"3q2+7w==\"", bytes(&[0xde, 0xad, 0xbe, 0xef])),
        (BinaryMode::Base64UrlSafe, "\"3q2-7w==\"", bytes(&[0xde, 0xad, 0xbe, 0xef])),
        (BinaryMode::Base64UrlSafe, "\"_-__\"", bytes(&[0xff, 0xef, 0xff])),
        (BinaryMode::Base64UrlSafe, "\"3q2+7w==\"", wrong.clone()),
        (BinaryMode::Base64, "\"3q2-7w==\"", wrong.clone()),
        (BinaryMode::Hex, "\"deadBEEF\"", bytes(&[0xde, 0xad, 0xbe, 0xef])),
        (BinaryMode::Hex, "\"\"", bytes(&[])),
        (BinaryMode::Hex, "\"abc\"", wrong.clone()),
        (BinaryMode::Hex, "\"0x\"", wrong.clone()),
        (BinaryMode::Hex, "null", Ok(Value::Null)),
    ] {
        let mut profile = Profile::default();
        profile.binary = mode;
        assert_eq!(read_one(LogicalType::Binary, profile, text), value, "{mode:?} {text}");
    }
}

#[test]
fn modes_that_are_only_read_are_not_written() {
    for change in [|p: &mut Profile| p.time = TimePrecision::Connect, |p: &mut Profile| p.binary = BinaryMode::Hex] {
        let mut profile = Profile::default();
        change(&mut profile);
        let config = EncoderConfig::new("p", Connector::Mysql, Converter::Json { schemas: false }, "run").with_profile(profile);
        let error = Encoder::new(&config, table("t", vec![column("a", LogicalType::String, true)], &[]), "t").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("connect") || error.to_string().contains("hex"), "{error}");
    }
}

#[test]
fn a_layout_is_told_by_the_schema() {
    assert_eq!(parse(&first("mysql-default", "customers")).layout(), Layout::Envelope);
    assert_eq!(parse(&first("mysql-smt_unwrap", "customers")).layout(), Layout::Flat);
}
