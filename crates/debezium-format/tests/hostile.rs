//! Input that no Debezium wrote: each is an error that says what and where, adds nothing, and leaves the decoder in order.

use crate::images::{batch, column, integer, table};
use cdc_core::{LogicalType, TableSchema, Value};
use debezium_format::{Converter, Decoded, Decoder, DecoderConfig, ErrorKind, Profile};
use std::sync::Arc;

const GOOD: &str = r#"{"before":null,"after":{"id":1,"name":"a","price":"AMg=","at":"2024-01-01T00:00:00Z","tiny":-128,"big":5,"f":1.5,"g":2.5,"bits":"AQg=","shape":{"wkb":"AQ==","srid":null},"v":[1.0],"u":"00112233-4455-6677-8899-aabbccddeeff"},"source":{"ts_us":7},"op":"c"}"#;

fn shop() -> Arc<TableSchema> {
    let columns = vec![
        column("id", integer(32, false), false),
        column("name", LogicalType::String, true),
        column("price", LogicalType::Decimal { precision: 5, scale: 2 }, true),
        column("at", LogicalType::TimestampTz { fraction: 6 }, true),
        column("tiny", integer(8, false), true),
        column("big", integer(64, true), true),
        column("f", LogicalType::Float, true),
        column("g", LogicalType::Double, true),
        column("bits", LogicalType::Bits { length: 12 }, true),
        column("shape", LogicalType::Geometry { point: false }, true),
        column("v", LogicalType::Vector, true),
        column("u", LogicalType::Uuid, true),
    ];
    table("t", columns, &[0])
}

fn decoder(schemas: bool) -> Decoder {
    Decoder::new(shop(), DecoderConfig::new(Converter::Json { schemas }, Profile::default())).unwrap()
}

/// Every text is refused with the kind and in the column; before and after it the good record is read.
fn refused(decoder: &mut Decoder, text: &[u8], kind: ErrorKind, in_column: Option<&str>) {
    decoder.decode(Some(GOOD.as_bytes())).unwrap();
    let rows = decoder.rows();
    let shown = String::from_utf8_lossy(text).chars().take(400).collect::<String>();
    let error = decoder.decode(Some(text)).expect_err(&shown);
    assert_eq!((error.kind(), error.column()), (kind, in_column), "{error}, of {shown}");
    assert!(error.offset().unwrap() <= text.len(), "{error}, of {shown}");
    assert_eq!(decoder.rows(), rows, "{shown}");
}

#[test]
fn values_that_do_not_fit_are_refused_in_their_column() {
    let mut decoder = decoder(false);
    for (column, good, bad) in [
        ("id", ":1,", vec!["-0", "1.0", "1e3", "2147483648", "\"1\"", "true", "null", "[]", "{}", "99999999999999999999999"]),
        ("name", "\"a\"", vec!["1", "true", "[]", "{\"a\":1}"]),
        (
            "price",
            "\"AMg=\"",
            vec!["\"\"", "\"AMg\"", "\"A===\"", "\"AB==\"", "\"AYag\"", "\"/nlg\"", "\"12.34\"", "12.34", "\"AMg=\\n\""],
        ),
        (
            "at",
            "\"2024-01-01T00:00:00Z\"",
            vec!["0", "\"\"", "\"2024-02-30T00:00:00Z\"", "\"2024-01-01T00:00:00.1234567Z\"", "\"0000-00-00 00:00:00\""],
        ),
        ("tiny", "-128", vec!["-129", "128", "1.5"]),
        ("big", ":5,", vec!["-0", "18446744073709551615", "\"AA==\""]),
        ("f", ":1.5,", vec!["1e39", "\"1.5\"", "\"Inf\"", "true"]),
        ("g", ":2.5,", vec!["1e309", "-1e400", "\"nan\""]),
        ("bits", "\"AQg=\"", vec!["\"AQ==\"", "\"AQgA\"", "5"]),
        (
            "shape",
            "{\"wkb\":\"AQ==\",\"srid\":null}",
            vec![
                "{}",
                "{\"srid\":1}",
                "{\"wkb\":null}",
                "{\"wkb\":\"AQ==\",\"wkb\":\"AQ==\"}",
                "{\"wkb\":\"AQ==\",\"z\":1}",
                "{\"wkb\":\"AQ==\",\"srid\":1.5}",
                "\"AQ==\"",
            ],
        ),
        ("v", "[1.0]", vec!["[\"a\"]", "[null]", "[[1]]", "[1e39]"]),
        (
            "u",
            "\"00112233-4455-6677-8899-aabbccddeeff\"",
            vec!["\"00112233445566778899aabbccddeeff\"", "\"00112233-4455-6677-8899-aabbccddeefg\"", "\"\""],
        ),
    ] {
        for bad in bad {
            let bad = match good.starts_with(':') {
                true => format!(":{bad},"),
                false => bad.to_owned(),
            };
            let text = GOOD.replacen(good, &bad, 1);
            assert_ne!(text, GOOD);
            refused(&mut decoder, text.as_bytes(), ErrorKind::Value, Some(column));
        }
    }
    // Broken JSON inside a column names the column too.
    for (good, bad, column) in [
        (":1,", ":01,", "id"),
        ("\"a\"", "\"\\ud800\"", "name"),
        ("\"a\"", "\"\\udc00\\ud800\"", "name"),
        ("\"a\"", "\"\\x41\"", "name"),
        ("\"a\"", "\"\u{1}\"", "name"),
        ("[1.0]", "[1.0,]", "v"),
    ] {
        let text = GOOD.replacen(good, bad, 1);
        assert!(decoder.decode(Some(text.as_bytes())).is_err_and(|e| e.kind() == ErrorKind::Syntax), "{column}");
    }
}

#[test]
fn an_exact_unsigned_number_has_sixty_four_bits_and_no_sign() {
    let schema = table("t", vec![column("n", integer(64, true), false)], &[]);
    let mut decoder = Decoder::new(schema, DecoderConfig::new(Converter::Json { schemas: false }, Profile::exact())).unwrap();
    let event = |text: &str| format!("{{\"before\":null,\"after\":{{\"n\":{text}}},\"source\":{{\"ts_us\":7}},\"op\":\"c\"}}");
    for _ in 0..2 {
        assert!(decoder.decode(Some(event("\"AP//////////\"").as_bytes())).is_ok());
        for bad in ["\"/w==\"", "\"AQAAAAAAAAAA\"", "-1", "1", "\"\""] {
            let error = decoder.decode(Some(event(bad).as_bytes())).unwrap_err();
            assert_eq!((error.kind(), error.column()), (ErrorKind::Value, Some("n")), "{bad}");
        }
    }
    assert_eq!(decoder.rows(), 2);
}

#[test]
fn events_of_another_schema_are_refused_by_name() {
    let mut decoder = decoder(false);
    let kind = ErrorKind::Schema;
    let with = |from: &str, to: &str| GOOD.replacen(from, to, 1).into_bytes();
    let text = with("\"name\":\"a\"", "\"nome\":\"a\"");
    refused(&mut decoder, &text, kind, None);
    assert!(decoder.decode(Some(&text)).unwrap_err().to_string().contains("column \"nome\" is not in schema version 1"));
    refused(&mut decoder, &with("\"name\":\"a\"", "\"id\":2"), kind, Some("id"));
    refused(&mut decoder, &with("\"name\":\"a\"", "\"\\u0069d\":2"), kind, Some("id"));
    refused(&mut decoder, &with("\"id\":1,", ""), kind, Some("id"));
    for (from, to) in [
        ("\"op\":\"c\"", "\"op\":\"x\""),
        ("\"op\":\"c\"", "\"op\":\"cc\""),
        ("\"op\":\"c\"", "\"op\":\"d\""),
        ("\"op\":\"c\"", "\"op\":\"c\",\"op\":\"c\""),
        (",\"op\":\"c\"", ""),
        ("\"before\":null", "\"before\":1"),
        ("\"before\":null", "\"after\":null"),
        ("\"source\":{\"ts_us\":7},", ""),
        ("\"source\":{\"ts_us\":7}", "\"source\":{}"),
        ("\"source\":{\"ts_us\":7}", "\"source\":{\"ts_us\":1.5}"),
        ("\"source\":{\"ts_us\":7}", "\"source\":{\"ts_us\":7,\"x\":1,\"x\":2}"),
        ("\"source\":{\"ts_us\":7}", "\"source\":{\"ts_us\":7},\"x\":1,\"x\":2"),
    ] {
        refused(&mut decoder, &with(from, to), kind, None);
    }
    // What Debezium may add is no reason to stop.
    for (from, to) in [
        ("\"op\":\"c\"", "\"op\":\"c\",\"transaction\":{\"id\":\"a\",\"total_order\":1}"),
        ("{\"ts_us\":7}", "{\"ts_ms\":7,\"more\":[1,{\"a\":null}]}"),
    ] {
        assert!(matches!(decoder.decode(Some(&with(from, to))), Ok(Decoded::Event(_))));
    }
}

#[test]
fn bytes_that_are_no_json_are_refused() {
    let mut decoder = decoder(false);
    let mut texts: Vec<Vec<u8>> =
        ["", " ", "{", "[]", "1", "\"x\"", "nul", "nulll", "{}}", "\u{feff}{}", "{\"before\":null,\"after\":"]
            .map(|t| t.as_bytes().to_vec())
            .to_vec();
    texts.extend((1..GOOD.len()).map(|end| GOOD.as_bytes()[..end].to_vec()));
    texts.push(format!("{GOOD}x").into_bytes());
    texts.push(format!("{GOOD}{GOOD}").into_bytes());
    texts.push(GOOD.replace("\"op\"", "\"x\":{\"y\":[1,]},\"op\"").into_bytes());
    texts.push(GOOD.replace("\"op\"", &format!("\"x\":{}1{},\"op\"", "[".repeat(70), "]".repeat(70))).into_bytes());
    texts.push("[".repeat(500_000).into_bytes());
    texts.push("{\"source\":".repeat(200_000).into_bytes());
    for (bad, length) in [(&b"\xff"[..], 1), (b"\xc3", 1), (b"\xed\xa0\x80", 3), (b"\xc0\x80", 2), (b"\xf4\x90\x80\x80", 4)] {
        let at = GOOD.find("\"a\"").unwrap() + 1;
        assert_eq!(bad.len(), length);
        texts.push([&GOOD.as_bytes()[..at], bad, &GOOD.as_bytes()[at + 1..]].concat());
        let at = GOOD.find("ts_us").unwrap();
        texts.push([&GOOD.as_bytes()[..at], bad, &GOOD.as_bytes()[at..]].concat());
    }
    for text in texts {
        decoder.decode(Some(GOOD.as_bytes())).unwrap();
        let rows = decoder.rows();
        let error = decoder.decode(Some(&text)).expect_err(&String::from_utf8_lossy(&text));
        assert!(matches!(error.kind(), ErrorKind::Syntax | ErrorKind::Schema), "{error}");
        assert!(error.to_string().starts_with("an event of inventory.t"), "{error}");
        assert_eq!(decoder.rows(), rows);
    }
    // A hundred thousand keys are checked for doubles in reasonable time.
    let many: String = (0..100_000).map(|i| format!("\"k{i}\":1,")).collect();
    let text = GOOD.replacen("\"op\"", &format!("{many}\"op\""), 1);
    assert!(decoder.decode(Some(text.as_bytes())).is_ok());
}

#[test]
fn a_converter_with_schemas_wants_a_payload() {
    let mut decoder = decoder(true);
    for (text, kind) in [
        (GOOD.to_owned(), ErrorKind::Schema),
        ("{}".to_owned(), ErrorKind::Schema),
        ("{\"schema\":null}".to_owned(), ErrorKind::Schema),
        (format!("{{\"payload\":{GOOD},\"payload\":{GOOD}}}"), ErrorKind::Schema),
        (format!("{{\"schema\":{{}},\"payload\":{GOOD}"), ErrorKind::Syntax),
        ("[".to_owned(), ErrorKind::Syntax),
    ] {
        assert_eq!(decoder.decode(Some(text.as_bytes())).unwrap_err().kind(), kind, "{text}");
    }
    assert_eq!(decoder.decode(Some(b"{\"schema\":null,\"payload\":null}")).unwrap(), Decoded::Tombstone);
    for order in [format!("{{\"schema\":{{}},\"payload\":{GOOD}}}"), format!("{{\"payload\":{GOOD},\"schema\":{{}}}}")] {
        for _ in 0..3 {
            assert!(matches!(decoder.decode(Some(order.as_bytes())), Ok(Decoded::Event(_))));
        }
    }
    assert_eq!(decoder.misses(), 9);
    assert_eq!(decoder.rows(), 6);
}

#[test]
fn what_is_valid_but_unusual_is_read_exactly() {
    let mut decoder = decoder(false);
    let spaced = GOOD.replace(',', " ,\n").replace(':', "\t: ").replace("00\t: 00\t: 00Z", "00:00:00Z");
    let escaped = GOOD.replacen("\"name\":\"a\"", "\"n\\u0061me\":\"\\u0061\"", 1);
    let reordered = {
        let source = "\"source\":{\"ts_us\":7},\"op\":\"c\"";
        format!("{{{source},{}}}", GOOD.strip_prefix('{').unwrap().strip_suffix(&format!(",{source}}}")).unwrap())
    };
    let with_before = GOOD
        .replacen("\"before\":null", "\"before\":{\"anything\":[\"},\\\"after\\\":\"]}", 1)
        .replace("\"op\":\"c\"", "\"op\":\"u\"");
    for text in [GOOD, &spaced, &escaped, &reordered, &with_before, GOOD, &spaced, &with_before] {
        decoder.decode(Some(text.as_bytes())).unwrap_or_else(|e| panic!("{e} in {text}"));
    }
    let rows = decoder.finish().unwrap().rows;
    for row in 1..8 {
        assert_eq!(rows.slice(row, 1), rows.slice(0, 1), "{row}");
    }
    let text = |v: &str| Value::String(v.to_owned());
    let expected = vec![
        Value::Int(1),
        text("a"),
        Value::Decimal("2.00".to_owned()),
        Value::Int(1_704_067_200_000_000),
        Value::Int(-128),
        Value::UInt(5),
        Value::Float(1.5),
        Value::Double(2.5),
        Value::Bytes(vec![1, 8]),
        Value::Geometry { wkb: vec![1], srid: None },
        Value::Vector(vec![1.0]),
        Value::Bytes((0..16).map(|i| i * 0x11).collect()),
    ];
    assert_eq!(rows.slice(0, 1), batch(&shop(), &[expected]));
}
