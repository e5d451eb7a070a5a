//! The fast path gives what the general path gives: on records as written, and on the same records damaged in every way we can think of.

use crate::connect::schema_of;
use crate::embedded;
use crate::golden::load;
use crate::random::{changes, rows, schema, seeds};
use cdc_core::{TableId, TableSchema};
use debezium_format::{Connector, Converter, Decoder, DecoderConfig, Encoder, EncoderConfig, Profile, RecordList};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::ops::Range;
use std::sync::Arc;

/// Pieces that mean something to a JSON reader or to this one.
pub const PIECES: &[&str] = &[
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "true",
    "false",
    "-",
    "0",
    "00",
    "-0",
    "1e3",
    "1.5",
    ".",
    "\\u0041",
    "\\ud83d",
    "\\n",
    "é",
    " ",
    "\n",
    "\t",
    "},\"after\":",
    "{\"before\":null,\"after\":",
    "\"op\":\"d\"",
    "\"op\":\"t\"",
    "99999999999999999999",
    "9223372036854775808",
    "AA==",
    "=",
    "\"\"",
    "NaN",
    "}}",
    "\u{0}",
    "/",
    ",\"x\":1",
];

/// The image before, if the row after is there too: bytes that only the general path checks.
fn unread(value: &[u8]) -> Option<Range<usize>> {
    let text = std::str::from_utf8(value).ok()?;
    let envelope = text.find("{\"before\":{")?;
    let between = envelope + text[envelope..].find("},\"after\":")? + "},\"after\":".len();
    (!text[between..].starts_with("null")).then_some(envelope..between)
}

fn damage(random: &mut StdRng, value: &[u8]) -> Vec<u8> {
    let spared = unread(value).unwrap_or(0..0);
    let at = loop {
        let at = random.random_range(0..value.len());
        if !spared.contains(&at) {
            break at;
        }
    };
    let reach = if at < spared.start { spared.start } else { value.len() };
    let until = at + random.random_range(0..=(reach - at).min(12));
    let (head, cut, tail) = (&value[..at], &value[at..until], &value[until..]);
    let piece = PIECES.choose(random).unwrap().as_bytes();
    match random.random_range(0..8) {
        0 => [head, tail].concat(),
        1 => [head, piece, &value[at..]].concat(),
        2 => [head, piece, tail].concat(),
        3 => [head, cut, cut, tail].concat(),
        4 => head.to_vec(),
        5 => [head, &[random.random()], &value[(at + 1).min(value.len())..]].concat(),
        6 => {
            let mut flipped = value.to_vec();
            flipped[at] ^= 1 << random.random_range(0..8);
            flipped
        }
        _ => [value, piece].concat(),
    }
}

/// Damages `values` and reads them both ways.
fn compare(random: &mut StdRng, decoder: impl Fn() -> Decoder, values: &[Vec<u8>], count: usize) -> (usize, usize) {
    let (mut fast, mut strict) = (decoder(), decoder());
    let (mut read, mut refused) = (0, 0);
    for i in 0..count {
        let original = values.choose(random).unwrap();
        // One in three stays whole, so that plans are learnt and used.
        let value = if i % 3 == 0 { original.clone() } else { damage(random, original) };
        let text = String::from_utf8_lossy(&value).into_owned();
        let outcomes = (fast.decode(Some(&value)), strict.decode_strictly(Some(&value)));
        match &outcomes {
            (Ok(a), Ok(b)) => assert_eq!(a, b, "{text}"),
            (Err(a), Err(b)) => {
                assert_eq!((a.kind(), a.offset(), a.to_string()), (b.kind(), b.offset(), b.to_string()), "{text}");
                assert!(a.offset().unwrap() <= value.len(), "{a}");
                refused += 1;
            }
            _ => panic!("{outcomes:?} of {text}"),
        }
        assert_eq!(fast.rows(), strict.rows(), "{text}");
        read += usize::from(outcomes.0.is_ok());
        if i % 50 == 49 {
            let (a, b) = (fast.finish().unwrap(), strict.finish().unwrap());
            assert_eq!((&a.rows, &a.ops, &a.source_ts_us), (&b.rows, &b.ops, &b.source_ts_us));
        }
    }
    (read, refused)
}

#[test]
fn damaged_random_events_are_read_alike_by_both_paths() {
    seeds(150, |mut random| {
        let schema = schema(&mut random);
        let rows = rows(&mut random, &schema, 12);
        let changes = changes(&mut random, &schema, &rows);
        let schemas = random.random_bool(0.2);
        let config =
            EncoderConfig::new("shop", Connector::Mysql, Converter::Json { schemas }, "run").with_profile(Profile::exact());
        let mut sink = RecordList::default();
        Encoder::new(&config, Arc::clone(&schema), "shop.inventory.random").unwrap().encode(&changes, &mut sink).unwrap();
        let values: Vec<Vec<u8>> = sink.records().iter().filter_map(|r| r.value.clone()).collect();
        let config = DecoderConfig::new(Converter::Json { schemas }, Profile::exact());
        let decoder = || Decoder::new(Arc::clone(&schema), config).unwrap();
        let (read, refused) = compare(&mut random, decoder, &values, 400);
        assert!(read > 100 && refused > 50, "{read} read, {refused} refused");
    });
}

#[test]
fn damaged_recorded_events_are_read_alike_by_both_paths() {
    let events = load("mysql-default");
    let decoder = |schema: &Arc<TableSchema>, schemas| {
        let config = DecoderConfig::new(Converter::Json { schemas }, Profile::default());
        Decoder::new(Arc::clone(schema), config).unwrap()
    };
    seeds(30, |mut random| {
        let event = events.iter().filter(|e| e.value.is_some()).collect::<Vec<_>>().choose(&mut random).copied().unwrap();
        let schema = schema_of(event);
        let alike = events.iter().filter(|e| e.topic == event.topic && e.value.is_some() && schema_of(e) == schema);
        let values: Vec<Vec<u8>> = alike.map(|e| e.value.clone().unwrap().into_bytes()).collect();
        compare(&mut random, || decoder(&schema, true), &values, 150);
        let payloads: Vec<Vec<u8>> = values
            .iter()
            .map(|v| serde_json::from_slice::<serde_json::Value>(v).unwrap()["payload"].to_string().into_bytes())
            .collect();
        compare(&mut random, || decoder(&schema, false), &payloads, 300);
    });
}

#[test]
fn damaged_events_of_other_layouts_and_modes_are_read_alike_by_both_paths() {
    let scenarios =
        ["mysql-smt_unwrap_rewrite", "mysql-smt_unwrap", "mysql-time_isostring", "mysql-time_connect", "mysql-binary_hex"];
    let events = scenarios.map(|scenario| load(scenario).into_iter().filter(|e| e.value.is_some()).collect::<Vec<_>>());
    seeds(40, |mut random| {
        let events = events.choose(&mut random).unwrap();
        let event = events.choose(&mut random).unwrap();
        let schema = embedded::parse(event);
        let alike = events.iter().filter(|e| e.topic == event.topic).map(embedded::key_and_value);
        let values: Vec<Vec<u8>> =
            alike.filter(|(key, value)| schema.is_of(*key, value)).map(|(_, value)| value.to_vec()).collect();
        let table = Arc::new(schema.table_schema(TableId::new("inventory", event.table()), 1));
        compare(&mut random, || Decoder::for_events(Arc::clone(&table), &schema).unwrap(), &values, 400);
    });
}
