//! Schemas that no converter wrote: an error that says what and where, never a crash.

use crate::embedded::{first, key_and_value};
use crate::golden::load;
use crate::mutations::PIECES;
use crate::random::seeds;
use cdc_core::TableId;
use debezium_format::{Decoder, Error, ErrorKind, EventSchema, schema_extent};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::sync::Arc;

fn refused(value: &str) -> Error {
    EventSchema::parse(None, value.as_bytes()).expect_err(&value.chars().take(300).collect::<String>())
}

fn flat(schema: &str) -> String {
    format!(r#"{{"schema":{schema},"payload":{{}}}}"#)
}

#[test]
fn what_is_no_schema_of_connect_is_refused_with_its_place() {
    let row = |fields: &str| flat(&format!(r#"{{"type":"struct","fields":{fields},"name":"p.d.t.Value"}}"#));
    for (value, kind, what) in [
        ("{}".to_owned(), ErrorKind::EmbeddedSchema, "no schema"),
        ("null".to_owned(), ErrorKind::EmbeddedSchema, "no schema"),
        (r#"{"before":null,"after":{"id":1},"op":"c"}"#.to_owned(), ErrorKind::EmbeddedSchema, "no schema"),
        (r#"{"schema":null,"payload":{"id":1}}"#.to_owned(), ErrorKind::EmbeddedSchema, "no schema"),
        (String::new(), ErrorKind::Syntax, "at byte 0"),
        ("\0\0\0\0\u{1}abc".to_owned(), ErrorKind::Syntax, "at byte 0"),
        (flat("{}"), ErrorKind::EmbeddedSchema, "without a type"),
        (flat(r#"{"type":null}"#), ErrorKind::EmbeddedSchema, "null"),
        (flat(r#"{"type":7}"#), ErrorKind::EmbeddedSchema, "no string"),
        (flat(r#"{"type":["struct"]}"#), ErrorKind::EmbeddedSchema, "no string"),
        (flat(r#"{"type":"int32"}"#), ErrorKind::EmbeddedSchema, "a int32, no row"),
        (flat(r#"{"type":"struct"}"#), ErrorKind::EmbeddedSchema, "without columns"),
        (flat(r#"{"type":"struct","fields":{}}"#), ErrorKind::EmbeddedSchema, "no array"),
        (flat(r#"{"type":"struct","type":"struct"}"#), ErrorKind::EmbeddedSchema, "twice"),
        (row("[1]"), ErrorKind::EmbeddedSchema, "no object"),
        (row("[{\"type\":\"int32\"}]"), ErrorKind::EmbeddedSchema, "without a name"),
        (row(r#"[{"type":"int32","field":"a"},{"type":"int32","field":"a"}]"#), ErrorKind::EmbeddedSchema, "twice"),
        (row(r#"[{"type":"int32","optional":1,"field":"a"}]"#), ErrorKind::EmbeddedSchema, "neither"),
        (row(r#"[{"type":"int32","parameters":[],"field":"a"}]"#), ErrorKind::EmbeddedSchema, "no object"),
        (row(r#"[{"type":"int32","parameters":{"a":1},"field":"a"}]"#), ErrorKind::EmbeddedSchema, "no string"),
        (row(r#"[{"type":"int99","field":"a"}]"#), ErrorKind::Configuration, "int99"),
        (row(r#"[{"type":"int32","field":"a"},]"#), ErrorKind::Syntax, "comma"),
        (
            flat(
                r#"{"type":"struct","fields":[{"type":"struct","field":"source"},{"type":"string","field":"op"}],"name":"x.Envelope"}"#,
            ),
            ErrorKind::EmbeddedSchema,
            "no row after",
        ),
    ] {
        let error = refused(&value);
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text} of {value}");
        assert!(text.contains(what) && text.starts_with("an event of "), "{text} of {value}");
        assert!(error.offset().is_none_or(|at| at <= value.len()), "{text}");
    }
}

#[test]
fn a_schema_change_is_no_row() {
    let value = r#"{"schema":{"type":"struct","fields":[{"type":"struct","fields":[],"optional":false,"name":"io.debezium.connector.mysql.Source","field":"source"},{"type":"string","optional":true,"field":"ddl"}],"optional":false,"name":"io.debezium.connector.mysql.SchemaChangeValue"},"payload":{}}"#;
    assert_eq!(
        (refused(value).kind(), refused(value).column().map(str::to_owned)),
        (ErrorKind::Configuration, Some("source".to_owned()))
    );
}

#[test]
fn schemas_that_are_too_deep_or_too_large_are_refused() {
    let nested = |depth: usize| {
        let (open, close) = (r#"{"type":"array","field":"a","items":"#, "}");
        flat(&format!(r#"{{"type":"struct","fields":[{}{{"type":"int8"}}{}]}}"#, open.repeat(depth), close.repeat(depth)))
    };
    assert_eq!(refused(&nested(5)).kind(), ErrorKind::Configuration);
    assert!(refused(&nested(20)).to_string().contains("more than 12 deep"));
    assert_eq!(refused(&nested(60)).kind(), ErrorKind::EmbeddedSchema);
    assert_eq!(refused(&nested(100_000)).kind(), ErrorKind::Syntax);
    let wide = |columns: usize| {
        let fields: Vec<String> = (0..columns).map(|i| format!(r#"{{"type":"int8","field":"c{i}"}}"#)).collect();
        flat(&format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(",")))
    };
    assert_eq!(EventSchema::parse(None, wide(4096).as_bytes()).unwrap().columns().len(), 4096);
    assert!(refused(&wide(4097)).to_string().contains("more than 4096 columns"));
    assert!(refused(&wide(100_000)).to_string().contains("more than 16384 fields"));
}

#[test]
fn a_record_that_is_cut_off_anywhere_in_its_schema_is_refused() {
    for table in ["customers", "geo"] {
        let event = first("mysql-default", table);
        let (key, value) = key_and_value(&event);
        let schema = EventSchema::parse(key, value).unwrap();
        let end = schema_extent(value).unwrap().unwrap().end;
        for length in 0..end {
            let error = EventSchema::parse(key, &value[..length]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Syntax, "{length}: {error}");
            assert!(!schema.is_of(key, &value[..length]));
        }
        // What follows the schema is the decoder's to judge.
        assert!(EventSchema::parse(key, &value[..end]).is_ok());
        assert!(schema.is_of(key, &value[..end]));
    }
}

fn damage(random: &mut StdRng, value: &[u8], within: usize) -> Vec<u8> {
    let at = random.random_range(0..within);
    let until = (at + random.random_range(0..12)).min(value.len());
    let piece = PIECES.choose(random).unwrap().as_bytes();
    let names: [&[u8]; 8] = [b"int64", b"string", b"struct", b"array", b"fields", b"items", b"default", b"parameters"];
    match random.random_range(0..6) {
        0 => [&value[..at], piece, &value[at..]].concat(),
        1 => [&value[..at], piece, &value[until..]].concat(),
        2 => [&value[..at], &value[until..]].concat(),
        3 => [&value[..until], &value[at..]].concat(),
        4 => [&value[..at], *names.choose(random).unwrap(), &value[until..]].concat(),
        _ => {
            let mut flipped = value.to_vec();
            flipped[at] ^= 1 << random.random_range(0..8);
            flipped
        }
    }
}

#[test]
fn damaged_schemas_are_refused_or_read_and_never_crash() {
    let mut events = load("mysql-default");
    events.extend(load("mysql-time_isostring"));
    events.extend(load("mysql-smt_unwrap_rewrite"));
    events.retain(|e| e.value.is_some());
    seeds(60, |mut random| {
        let event = events.choose(&mut random).unwrap();
        let (key, value) = key_and_value(event);
        let whole = EventSchema::parse(key, value).unwrap();
        let end = schema_extent(value).unwrap().unwrap().end;
        let (mut read, mut refused) = (0, 0);
        for _ in 0..60 {
            let mut damaged = damage(&mut random, value, end);
            if random.random_bool(0.3) {
                let within = damaged.len().min(end).max(1);
                damaged = damage(&mut random, &damaged, within);
            }
            let key = key.map(|key| if random.random_bool(0.2) { damage(&mut random, key, key.len()) } else { key.to_vec() });
            let is_of = whole.is_of(key.as_deref(), &damaged);
            match EventSchema::parse(key.as_deref(), &damaged) {
                Ok(schema) => {
                    read += 1;
                    assert!(schema.is_of(key.as_deref(), &damaged));
                    let table = Arc::new(schema.table_schema(TableId::new("d", "t"), 1));
                    assert!(table.key.iter().all(|&i| i < table.columns.len()));
                    let mut decoder = Decoder::for_events(table, &schema).unwrap();
                    // The row may belong to the schema no longer: an error, or a row.
                    let decoded = decoder.decode(Some(&damaged));
                    assert_eq!(decoder.rows(), usize::from(matches!(decoded, Ok(debezium_format::Decoded::Event(_)))));
                    decoder.finish().unwrap();
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().starts_with("an event of "), "{error}");
                    let longest = damaged.len().max(key.as_ref().map_or(0, Vec::len));
                    assert!(error.offset().is_none_or(|at| at <= longest), "{error}");
                    assert!(!is_of || key.is_some(), "{error}");
                }
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    });
}
