//! Defaults in schemas, of every type: Debezium's, but where `differences.tsv` says that they are wrong.

use crate::golden::load;
use crate::images::{column, integer, table};
use cdc_core::{Column, LogicalType, TableSchema, Value};
use debezium_format::{BigintUnsigned, Connector, Converter, Encoder, EncoderConfig, Profile, RecordList};
use serde_json::{Value as Json, json};
use std::sync::Arc;

/// `default_types` of `01_schema.sql`.
fn default_types() -> Arc<TableSchema> {
    let text = |v: &str| Some(Value::String(v.to_owned()));
    let decimal = |v: &str| Some(Value::Decimal(v.to_owned()));
    let bytes = |v: &[u8]| Some(Value::Bytes(v.to_vec()));
    let int = |v| Some(Value::Int(v));
    let values = |v: &[&str]| v.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
    let day = 18_263;
    let datetime = day * 86_400_000_000 + 11_045_000_000;
    let time = 3_723_000_000;
    let timestamp = |fraction| LogicalType::TimestampTz { fraction };
    let wall = |fraction| LogicalType::Timestamp { fraction };
    let price = LogicalType::Decimal { precision: 10, scale: 3 };
    let with = |name: &str, kind: LogicalType, nullable: bool, default: Option<Value>| Column {
        default,
        ..column(name, kind, nullable)
    };
    let now = |name: &str, kind, nullable| Column {
        default_expression: Some("CURRENT_TIMESTAMP".to_owned()),
        ..column(name, kind, nullable)
    };
    let columns = vec![
        with("id", integer(32, false), false, None),
        with("d_tinyint", integer(8, false), false, int(-5)),
        with("d_bool", integer(8, false), false, int(1)),
        with("d_int", integer(32, true), false, int(4_294_967_295)),
        with("d_bigint_u", integer(64, true), true, Some(Value::UInt(u64::MAX))),
        with("d_bigint", integer(64, false), true, int(0)),
        with("d_dec", price.clone(), false, decimal("1.500")),
        with("d_dec_null", price, true, Some(Value::Null)),
        with("d_float", LogicalType::Float, true, Some(Value::Float(1.25))),
        with("d_double", LogicalType::Double, false, Some(Value::Double(2.5))),
        with("d_bit1", LogicalType::Boolean, false, Some(Value::Boolean(true))),
        with("d_bit8", LogicalType::Bits { length: 8 }, true, bytes(&[0b1000_0001])),
        with("d_char", LogicalType::String, false, text("ab")),
        with("d_varchar", LogicalType::String, true, text("it's")),
        with("d_varchar_empty", LogicalType::String, false, text("")),
        with("d_binary", LogicalType::Binary, true, bytes(b"ab\0\0")),
        with("d_varbinary", LogicalType::Binary, false, bytes(b"ab")),
        with("d_date", LogicalType::Date, false, int(day)),
        with("d_time", LogicalType::Time { fraction: 0 }, false, int(time)),
        with("d_time6", LogicalType::Time { fraction: 6 }, true, int(time + 4)),
        with("d_datetime", wall(0), false, int(datetime)),
        with("d_datetime6", wall(6), true, int(datetime + 123_456)),
        now("d_datetime_now", wall(0), true),
        with("d_timestamp", timestamp(0), false, int(datetime)),
        with("d_timestamp6", timestamp(6), true, int(datetime + 123_456)),
        now("d_ts_now", timestamp(0), false),
        with("d_year", LogicalType::Year, false, int(2020)),
        with("d_enum", LogicalType::Enum { values: values(&["a", "b"]) }, false, text("b")),
        with("d_set", LogicalType::Set { values: values(&["a", "b", "c"]) }, false, text("a,c")),
        with("d_nn_nodefault", integer(32, false), false, None),
    ];
    table("default_types", columns, &[0])
}

/// The schemas of the columns, by name.
fn fields(event: &Json) -> Vec<Json> {
    event["schema"]["fields"][1]["fields"].as_array().unwrap().clone()
}

fn compare(scenario: &str, connector: Connector, profile: Profile, wrong: &[(&str, Json)]) {
    let recorded = load(scenario).into_iter().find(|e| e.table() == "default_types").unwrap();
    let config = EncoderConfig::new("dbserver1", connector, Converter::Json { schemas: true }, "run").with_profile(profile);
    let mut sink = RecordList::default();
    let mut encoder = Encoder::new(&config, default_types(), &recorded.topic).unwrap();
    // A truncate carries the schema and needs no rows.
    encoder.encode_truncate(&cdc_core::Origin::default(), &mut sink);
    let ours = fields(&serde_json::from_slice(sink.records()[0].value.as_ref().unwrap()).unwrap());
    let mut theirs = fields(&recorded.json());
    for (name, right) in wrong {
        let field = theirs.iter_mut().find(|f| f["field"] == *name).unwrap();
        assert_ne!(field["default"], *right, "{name} is right already: take it from differences.tsv");
        field["default"] = right.clone();
    }
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{scenario}");
    }
}

#[test]
fn defaults_of_every_type_are_those_of_the_recorded_schemas() {
    let wrong = [("d_bigint_u", json!(-1)), ("d_varchar", json!("it's")), ("d_binary", json!("YWIAAA=="))];
    compare("mysql-default", Connector::Mysql, Profile::default(), &wrong);
    compare("mariadb-default", Connector::Mariadb, Profile::default(), &wrong);
    let mut precise = Profile::default();
    precise.bigint_unsigned = BigintUnsigned::Precise;
    compare("mysql-bigint_precise", Connector::Mysql, precise, &wrong[1..]);
}

#[test]
fn a_default_that_is_no_value_of_its_column_is_refused_by_name() {
    let broken = Column { default: Some(Value::String("x".to_owned())), ..column("n", integer(32, false), false) };
    let config = EncoderConfig::new("p", Connector::Mysql, Converter::Json { schemas: true }, "run");
    let error = Encoder::new(&config, table("t", vec![broken], &[]), "t").unwrap_err();
    assert_eq!((error.kind(), error.column()), (debezium_format::ErrorKind::Value, Some("n")));
}
