//! Columns from the schemas that events carry.

use crate::golden::{Golden, load};
use cdc_core::{Column, LogicalType, TableId, Value};
use debezium_format::{BigintUnsigned, BinaryMode, DecimalMode, ErrorKind, EventSchema, Layout, TimePrecision, schema_extent};
use std::collections::HashMap;

pub fn key_and_value(event: &Golden) -> (Option<&[u8]>, &[u8]) {
    (event.key.as_ref().map(|k| k.as_bytes()), event.value.as_ref().unwrap().as_bytes())
}

pub fn parse(event: &Golden) -> EventSchema {
    let (key, value) = key_and_value(event);
    EventSchema::parse(key, value).unwrap_or_else(|e| panic!("{}: {e}", event.topic))
}

/// The first event of `table`.
pub fn first(scenario: &str, table: &str) -> Golden {
    load(scenario).into_iter().find(|e| e.table() == table && e.value.is_some()).unwrap()
}

/// A record of a table `t` with one column of the given schema, and its value's schema.
fn one_column(schema: &str) -> String {
    let row = format!(r#"{{"type":"struct","fields":[{schema}],"optional":true,"name":"p.d.t.Value","field":"#);
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{row}"before"}},{row}"after"}},{{"type":"struct","fields":[],"optional":false,"field":"source"}},{{"type":"string","optional":false,"field":"op"}}],"optional":false,"name":"p.d.t.Envelope"}},"payload":{{}}}}"#
    )
}

fn column(schema: &str) -> Column {
    let value = one_column(schema);
    EventSchema::parse(None, value.as_bytes()).unwrap_or_else(|e| panic!("{schema}: {e}")).columns()[0].clone()
}

fn columns_of(schema: &EventSchema) -> Vec<&str> {
    schema.columns().iter().map(|c| c.name.as_str()).collect()
}

#[test]
fn the_types_of_all_recorded_columns_are_those_that_their_schemas_say() {
    let mut seen: HashMap<String, EventSchema> = HashMap::new();
    for event in load("mysql-default").iter().filter(|e| e.value.is_some()) {
        seen.entry(event.table().to_owned()).or_insert_with(|| parse(event));
    }
    let expected = include_str!("embedded_types.tsv");
    let mut count = 0;
    for line in expected.lines().filter(|l| !l.starts_with('#')) {
        let [column, said, nullable, logical] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (table, name) = column.split_once('.').unwrap();
        let ours = seen[table].columns().iter().find(|c| c.name == name).unwrap();
        let logical: LogicalType = serde_json::from_str(logical).unwrap();
        assert_eq!(ours.logical_type, logical, "{column}");
        assert_eq!(ours.nullable, nullable == "NULL", "{column}");
        assert_eq!(ours.native.declaration, said, "{column}");
        count += 1;
    }
    assert_eq!(count, 164);
    let columns: usize =
        ["all_types", "charsets", "default_types", "generated_cols", "geo", "mysql_only", "not_null_types", "zero_dates"]
            .iter()
            .map(|t| seen[*t].columns().len())
            .sum();
    assert_eq!(columns, count, "a table has columns that are not in the list");
}

#[test]
fn keys_are_those_of_the_records_in_their_order() {
    let key = |scenario: &str, table: &str| {
        let schema = parse(&first(scenario, table));
        schema.key().iter().map(|&i| schema.columns()[i].name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(key("mysql-default", "customers"), ["id"]);
    assert_eq!(key("mysql-default", "order_items"), ["order_number", "line_no"]);
    assert!(key("mysql-default", "no_pk").is_empty());
    // message.key.columns
    assert_eq!(key("mysql-message_key", "customers"), ["email", "last_name"]);
    assert_eq!(key("mysql-message_key", "no_pk"), ["a"]);
    assert_eq!(key("mysql-smt_unwrap_rewrite", "order_items"), ["order_number", "line_no"]);
}

#[test]
fn a_table_schema_has_the_columns_in_order_with_ids_from_one() {
    let events = parse(&first("mysql-default", "orders"));
    assert_eq!((events.name(), events.layout()), ("dbserver1.inventory.orders", Layout::Envelope));
    let table = events.table_schema(TableId::new("inventory", "orders"), 4);
    let columns: Vec<_> = table.columns.iter().map(|c| (c.field_id, c.name.as_str())).collect();
    let names = ["order_number", "order_date", "purchaser", "status", "created_at", "updated_at"];
    assert_eq!(columns, (1..).zip(names).collect::<Vec<_>>());
    assert_eq!((table.version, table.last_field_id, table.key), (4, 6, vec![0]));
    let values = ["new", "paid", "shipped", "cancelled"].map(str::to_owned).to_vec();
    assert_eq!(table.columns[3].logical_type, LogicalType::Enum { values });
    assert_eq!(table.columns[3].default, Some(Value::String("new".to_owned())));
}

#[test]
fn defaults_and_comments_are_those_of_the_schemas() {
    let schema = parse(&first("mysql-default", "default_types"));
    let default = |name: &str| schema.columns().iter().find(|c| c.name == name).unwrap().default.clone();
    for (name, value) in [
        ("id", None),
        ("d_tinyint", Some(Value::Int(-5))),
        ("d_int", Some(Value::Int(4_294_967_295))),
        ("d_dec", Some(Value::Decimal("1.500".to_owned()))),
        ("d_dec_null", None),
        ("d_float", Some(Value::Float(1.25))),
        ("d_double", Some(Value::Double(2.5))),
        ("d_bit1", Some(Value::Boolean(true))),
        ("d_bit8", Some(Value::Bytes(vec![0b1000_0001]))),
        ("d_char", Some(Value::String("ab".to_owned()))),
        ("d_varchar_empty", Some(Value::String(String::new()))),
        ("d_varbinary", Some(Value::Bytes(b"ab".to_vec()))),
        ("d_date", Some(Value::Int(18_263))),
        ("d_time6", Some(Value::Int(3_723_000_004))),
        ("d_datetime", Some(Value::Int(1_577_934_245_000_000))),
        ("d_timestamp6", Some(Value::Int(1_577_934_245_123_456))),
        // CURRENT_TIMESTAMP, which Debezium writes as the epoch.
        ("d_ts_now", None),
        ("d_year", Some(Value::Int(2020))),
        ("d_set", Some(Value::String("a,c".to_owned()))),
    ] {
        assert_eq!(default(name), value, "{name}");
    }
    // Debezium's MariaDB connector hands comments on. The text of a shape's schema is none.
    let orders = parse(&first("mariadb-default", "orders"));
    let comment = |schema: &EventSchema, name: &str| schema.columns().iter().find(|c| c.name == name).unwrap().comment.clone();
    assert_eq!(comment(&orders, "status").as_deref(), Some("order status"));
    assert_eq!(comment(&parse(&first("mariadb-default", "geo")), "p"), None);
    // A default that is no value of its column is none: Debezium's are wrong sometimes.
    assert_eq!(column(r#"{"type":"bytes","optional":true,"default":"/","field":"a"}"#).default, None);
}

#[test]
fn the_modes_of_the_writer_are_told_as_far_as_the_schema_shows_them() {
    let profile = |scenario: &str| parse(&first(scenario, "all_types")).profile();
    assert_eq!(profile("mysql-default"), debezium_format::Profile::default());
    assert_eq!(profile("mysql-time_connect").time, TimePrecision::Connect);
    assert_eq!(profile("mysql-time_isostring").time, TimePrecision::IsoString);
    for (schema, mode) in [
        (
            r#"{"type":"int64","optional":true,"name":"io.debezium.time.NanoTimestamp","version":1,"field":"a"}"#,
            TimePrecision::Nanoseconds,
        ),
        (r#"{"type":"int32","optional":true,"name":"io.debezium.time.Time","version":1,"field":"a"}"#, TimePrecision::Adaptive),
    ] {
        let value = one_column(schema);
        assert_eq!(EventSchema::parse(None, value.as_bytes()).unwrap().profile().time, mode);
    }
}

#[test]
fn what_the_writer_loses_is_named_per_column() {
    let losses = |scenario: &str| {
        let schema = parse(&first(scenario, "all_types"));
        schema.losses().map(|(c, what)| (c.name.clone(), what)).collect::<Vec<_>>()
    };
    assert_eq!(losses("mysql-default"), []);
    let connect = losses("mysql-time_connect");
    let names: Vec<&str> = connect.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["c_time", "c_time3", "c_time6", "c_datetime", "c_datetime1", "c_datetime3", "c_datetime6"]);
    assert!(connect.iter().all(|(_, what)| what.contains("time.precision.mode=connect")), "{connect:?}");
    let iso = losses("mysql-time_isostring");
    assert!(iso.iter().all(|(name, what)| name.starts_with("c_time") && what.contains("null for times")), "{iso:?}");
    assert_eq!(iso.len(), 3);
}

/// A field with the parameters that `column.propagate.source.type` adds.
fn propagated(kind: &str, source: &str, length: &str, scale: &str) -> String {
    let mut parameters = format!(r#""__debezium.source.column.type":"{source}""#);
    for (name, value) in [("length", length), ("scale", scale)] {
        if !value.is_empty() {
            parameters.push_str(&format!(r#","__debezium.source.column.{name}":"{value}""#));
        }
    }
    format!(r#"{{{kind},"optional":true,"parameters":{{{parameters}}},"field":"a"}}"#)
}

#[test]
fn the_type_of_the_source_decides_where_the_schema_alone_does_not() {
    let integer = |bits, unsigned| LogicalType::Integer { bits, unsigned };
    let decimal = |precision, scale| LogicalType::Decimal { precision, scale };
    for (kind, source, length, scale, logical) in [
        ("int16", "TINYINT", "4", "", integer(8, false)),
        ("int16", "TINYINT UNSIGNED", "", "", integer(8, true)),
        ("int32", "SMALLINT UNSIGNED", "", "", integer(16, true)),
        ("int32", "MEDIUMINT", "", "", integer(24, false)),
        ("int32", "INT", "11", "", integer(32, false)),
        ("int64", "INT UNSIGNED", "", "", integer(32, true)),
        ("int64", "INT UNSIGNED ZEROFILL", "10", "", integer(32, true)),
        ("int64", "BIGINT", "", "", integer(64, false)),
        ("int64", "BIGINT UNSIGNED", "", "", integer(64, true)),
        // Not what Debezium writes for this type: the schema is right.
        ("int64", "TINYINT", "", "", integer(64, false)),
        ("string", "DECIMAL", "10", "2", decimal(10, 2)),
        ("string", "DECIMAL UNSIGNED", "10", "", decimal(10, 0)),
        ("string", "DECIMAL", "65", "30", decimal(65, 30)),
        ("string", "NUMERIC", "131089", "", LogicalType::String),
        ("string", "DECIMAL", "", "", LogicalType::String),
        ("string", "VARCHAR", "255", "", LogicalType::String),
        ("string", "BLOB", "", "", LogicalType::String),
        ("double", "DECIMAL", "10", "2", LogicalType::Double),
    ] {
        let field = propagated(&format!(r#""type":"{kind}""#), source, length, scale);
        assert_eq!(column(&field).logical_type, logical, "{source} as {kind}");
    }
    let native = column(&propagated(r#""type":"string""#, "decimal unsigned", "10", "2")).native;
    assert_eq!((native.name.as_str(), native.declaration.as_str()), ("DECIMAL UNSIGNED", "decimal(10,2) unsigned"));
    assert_eq!((native.length, native.scale), (Some(10), Some(2)));

    let schema = |field: &str| EventSchema::parse(None, one_column(field).as_bytes()).unwrap();
    let unsigned = r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"0","connect.decimal.precision":"20","__debezium.source.column.type":"BIGINT UNSIGNED"},"field":"a"}"#;
    assert_eq!(schema(unsigned).columns()[0].logical_type, integer(64, true));
    assert_eq!(schema(unsigned).profile().bigint_unsigned, BigintUnsigned::Precise);
    let text = schema(&propagated(r#""type":"string""#, "DECIMAL", "10", "2"));
    assert_eq!(text.profile().decimals, DecimalMode::String);
    let lossy = schema(&propagated(r#""type":"double""#, "DECIMAL", "10", "2"));
    assert_eq!(lossy.losses().count(), 1);
}

#[test]
fn strings_of_a_binary_column_are_bytes_when_the_mode_is_said() {
    let field = propagated(r#""type":"string""#, "VARBINARY", "16", "");
    let value = one_column(&field);
    let schema = EventSchema::parse(None, value.as_bytes()).unwrap();
    assert_eq!(schema.columns()[0].logical_type, LogicalType::String);
    for mode in [BinaryMode::Base64, BinaryMode::Base64UrlSafe, BinaryMode::Hex] {
        let said = schema.clone().with_binary_mode(mode);
        assert_eq!((&said.columns()[0].logical_type, said.profile().binary), (&LogicalType::Binary, mode));
    }
    let text = EventSchema::parse(None, one_column(&propagated(r#""type":"string""#, "VARCHAR", "16", "")).as_bytes()).unwrap();
    assert_eq!(text.with_binary_mode(BinaryMode::Hex).columns()[0].logical_type, LogicalType::String);
}

#[test]
fn semantic_types_that_are_not_known_are_the_types_under_them() {
    for (schema, logical) in [
        (r#"{"type":"string","optional":true,"name":"io.debezium.data.Xml","version":1,"field":"a"}"#, LogicalType::String),
        (r#"{"type":"string","optional":true,"name":"io.debezium.time.ZonedTime","version":1,"field":"a"}"#, LogicalType::String),
        (
            r#"{"type":"int64","optional":true,"name":"io.debezium.time.MicroDuration","version":1,"field":"a"}"#,
            LogicalType::Integer { bits: 64, unsigned: false },
        ),
        (r#"{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"field":"a"}"#, LogicalType::String),
        (
            r#"{"type":"bytes","optional":true,"name":"io.debezium.data.Bits","parameters":{"length":"2147483647"},"field":"a"}"#,
            LogicalType::Binary,
        ),
        (r#"{"type":"int8","optional":true,"field":"a"}"#, LogicalType::Integer { bits: 8, unsigned: false }),
        (
            r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"a"}"#,
            LogicalType::Decimal { precision: 38, scale: 2 },
        ),
        (
            r#"{"type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"5","connect.decimal.precision":"3"},"field":"a"}"#,
            LogicalType::Decimal { precision: 5, scale: 5 },
        ),
    ] {
        assert_eq!(column(schema).logical_type, logical, "{schema}");
    }
}

#[test]
fn types_without_a_column_are_refused_by_name() {
    for (schema, what) in [
        (r#"{"type":"array","items":{"type":"int32","optional":true},"optional":true,"field":"a"}"#, "array"),
        (r#"{"type":"map","keys":{"type":"string"},"values":{"type":"string"},"optional":true,"field":"a"}"#, "map"),
        (r#"{"type":"struct","fields":[],"name":"x.Y","field":"a"}"#, "struct x.Y"),
        (
            r#"{"type":"struct","fields":[],"name":"io.debezium.data.VariableScaleDecimal","field":"a"}"#,
            "decimal.handling.mode=string",
        ),
        (
            r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2046","connect.decimal.precision":"5"},"field":"a"}"#,
            "5 digits and scale 2046",
        ),
        (
            r#"{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"-2"},"field":"a"}"#,
            "scale -2",
        ),
        (
            r#"{"type":"struct","fields":[{"type":"bytes","field":"wkb"},{"type":"map","field":"extensions"}],"name":"io.debezium.data.geometry.Geometry","field":"a"}"#,
            "extensions",
        ),
    ] {
        let error = EventSchema::parse(None, one_column(schema).as_bytes()).unwrap_err();
        assert_eq!((error.kind(), error.column()), (ErrorKind::Configuration, Some("a")), "{error}");
        let text = error.to_string();
        assert!(text.contains(what) && text.starts_with("an event of p.d.t, column a: "), "{text}");
    }
}

#[test]
fn a_row_without_an_envelope_has_what_the_transformation_adds_as_columns() {
    let schema = parse(&first("mysql-smt_unwrap_rewrite", "customers"));
    assert_eq!((schema.layout(), schema.name()), (Layout::Flat, "dbserver1.inventory.customers"));
    let added = ["__deleted", "__op", "__table", "__source_ts_ms", "__source_file", "__source_pos"];
    assert_eq!(columns_of(&schema), [&["id", "first_name", "last_name", "email"][..], &added[..]].concat());
    let plain = parse(&first("mysql-smt_unwrap", "customers"));
    assert_eq!((plain.layout(), columns_of(&plain)), (Layout::Flat, vec!["id", "first_name", "last_name", "email"]));
}

#[test]
fn a_record_is_of_a_schema_when_both_of_its_schemas_are_the_same_bytes() {
    for scenario in ["mysql-default", "mariadb-default", "mysql-columns", "mysql-message_key", "mysql-smt_unwrap_rewrite"] {
        let events: Vec<Golden> = load(scenario).into_iter().filter(|e| e.value.is_some()).collect();
        let text = |e: &Golden| {
            let json = e.json();
            let key: Option<serde_json::Value> = e.key.as_ref().map(|k| serde_json::from_str(k).unwrap());
            (key.map(|k| k["schema"].to_string()), json["schema"].to_string())
        };
        for known in &events {
            let schema = parse(known);
            for event in &events {
                let (key, value) = key_and_value(event);
                assert_eq!(schema.is_of(key, value), text(event) == text(known), "{} and {}", known.topic, event.topic);
            }
        }
    }
}

#[test]
fn neither_a_truncate_nor_a_tombstone_brings_another_schema() {
    let customers = first("mysql-default", "customers");
    let schema = parse(&customers);
    let (key, value) = key_and_value(&customers);
    assert!(!schema.is_of(None, value), "a table that has lost its key");
    let text = customers.value.as_ref().unwrap();
    let truncate = text.replace("\"op\":\"r\"", "\"op\":\"t\"");
    assert_ne!(text, &truncate);
    assert!(schema.is_of(None, truncate.as_bytes()));
    assert!(schema.is_of(key, b"null"));
    // What ExtractNewRecordState leaves of a delete: another schema, and no row.
    for event in load("mysql-smt_unwrap").iter().filter(|e| e.table() == "customers") {
        let (key, value) = key_and_value(event);
        assert!(parse(&first("mysql-smt_unwrap", "customers")).is_of(key, value));
    }
    assert!(load("mysql-smt_unwrap").iter().any(|e| e.value.as_ref().is_some_and(|v| v.ends_with("\"payload\":null}"))));
}

#[test]
fn the_extent_of_a_schema_is_found_wherever_it_stands() {
    for (text, schema) in [
        (r#"{"schema":{"a":"}\"{"},"payload":{"#, Some(r#"{"a":"}\"{"}"#)),
        (r#"{"payload":{"x":1},"schema":{"a":[{}]}}"#, Some(r#"{"a":[{}]}"#)),
        (r#" { "schema" : {} , "payload":null}"#, Some("{}")),
        (r#"{"schema":null,"payload":{}}"#, None),
        (r#"{"schema":"public","id":1}"#, None),
        (r#"{"before":null,"after":{"schema":{}}}"#, None),
        ("null", None),
        ("1", None),
    ] {
        let extent = schema_extent(text.as_bytes()).unwrap();
        assert_eq!(extent.map(|e| &text[e]), schema, "{text}");
    }
    for text in ["", "{", r#"{"schema":{"#, r#"{"schema":{"a":"}"#, r#"{"payload":}"#, "nul"] {
        assert_eq!(schema_extent(text.as_bytes()).unwrap_err().kind(), ErrorKind::Syntax, "{text}");
    }
    // A schema that stands behind the payload is compared all the same.
    let customers = first("mysql-default", "customers");
    let json = customers.json();
    let turned = |payload: &str| format!(r#"{{"payload":{payload},"schema":{}}}"#, json["schema"]);
    let schema = EventSchema::parse(None, turned("{}").as_bytes()).unwrap();
    assert!(schema.is_of(None, turned(r#"{"other":1}"#).as_bytes()));
    assert!(!schema.is_of(None, one_column(r#"{"type":"int8","field":"a"}"#).as_bytes()));
}

#[test]
fn a_key_without_a_schema_names_its_columns_itself() {
    let value = first("mysql-default", "order_items");
    let value = value.value.as_ref().unwrap().as_bytes();
    let schema = EventSchema::parse(Some(br#"{"line_no":2,"order_number":1}"#), value).unwrap();
    assert_eq!(schema.key(), [1, 0]);
    assert!(schema.is_of(Some(br#"{"line_no":7,"order_number":8}"#), value));
    assert!(!schema.is_of(Some(br#"{"order_number":8,"line_no":7}"#), value));
    assert!(EventSchema::parse(Some(b"null"), value).unwrap().key().is_empty());

    let error = EventSchema::parse(Some(br#"{"line_no":2,"__dbz__physicalTableIdentifier":"x"}"#), value).unwrap_err();
    assert_eq!((error.kind(), error.column()), (ErrorKind::Configuration, Some("__dbz__physicalTableIdentifier")));
    for key in [&b"7"[..], br#""text""#, br#"{"schema":{"type":"int32","optional":false},"payload":7}"#, b"not JSON", b""] {
        let error = EventSchema::parse(Some(key), value).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::EmbeddedSchema | ErrorKind::Syntax), "{error}");
        assert!(error.to_string().contains("its key"), "{error}");
    }
}
