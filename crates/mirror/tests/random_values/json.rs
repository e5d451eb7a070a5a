//! Random JSON documents: texts, and on MySQL also values of SQL that JSON has no kind of its own for.

use super::literals::{Literal, hex, quoted};
use mysql_async::Value;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// How deep documents may be nested: MySQL's limit is 100, MariaDB's 32.
const MYSQL_DEPTH: usize = 100;
const MARIADB_DEPTH: usize = 30;

const NUMBERS: [&str; 40] = [
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "0.1",
    "1.10",
    "1e0",
    "1E+2",
    "1e-7",
    "-32768",
    "32767",
    "-32769",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "123456789012345",
    "1234567890123456",
    "1e14",
    "1e15",
    "1e16",
    "0.0001",
    "0.00001",
    "1e-15",
    "1e300",
    "1.7976931348623157e308",
    "2.2250738585072014e-308",
    "0.30000000000000004",
    "123456789.123456789",
];

/// As they stand in a document, without the quotes.
const STRINGS: [&str; 16] = [
    "",
    "plain",
    "é中🦀",
    "\\u0000\\u0001\\u001f\\u007f",
    "\\ud83e\\udd80",
    "\\u2028",
    "\\/ / \\\\",
    "\\\"q\\\"",
    "\\b\\f\\n\\r\\t",
    "NULL",
    "1",
    "'single'",
    "base64:type15:AA==",
    " spaces ",
    "2024-01-01 00:00:00.000000",
    "\u{7f}\u{80}\u{feff}",
];

/// A document that the server takes.
pub fn document(rng: &mut StdRng, is_mysql: bool) -> Literal {
    if is_mysql && rng.random_bool(0.4) {
        return Literal::sql(format!("CAST({} AS JSON)", constructed(rng, 0)));
    }
    let text = match rng.random_range(0..20) {
        // Offsets of two bytes do not do.
        0 => format!("[{}]", (0..30_000).map(|n| n.to_string()).collect::<Vec<_>>().join(",")),
        1 => format!("{{\"long\": \"{}\", \"n\": 70000, \"u\": 4000000000}}", "é".repeat(40_000)),
        2 => nested(if is_mysql { MYSQL_DEPTH } else { MARIADB_DEPTH }, rng),
        3 => "{}".to_owned(),
        4 => "[]".to_owned(),
        _ => text(rng, 0),
    };
    Literal { sql: quoted(&text), parameter: Some(Value::from(text)) }
}

/// Arrays and objects within each other.
fn nested(depth: usize, rng: &mut StdRng) -> String {
    let mut text = String::new();
    let objects: Vec<bool> = (0..depth).map(|_| rng.random()).collect();
    for object in &objects[1..] {
        text.push_str(if *object { "{\"k\":" } else { "[" });
    }
    text.push_str(if objects[0] { "{}" } else { "[]" });
    text.extend(objects[1..].iter().rev().map(|object| if *object { '}' } else { ']' }));
    text
}

fn text(rng: &mut StdRng, depth: usize) -> String {
    let blank = |rng: &mut StdRng| *["", "", " ", "\n\t"].choose(rng).unwrap();
    let kinds = if depth < 4 { 8 } else { 5 };
    match rng.random_range(0..kinds) {
        0 => (*["null", "true", "false"].choose(rng).unwrap()).to_owned(),
        1 | 2 => number(rng),
        3 | 4 => string(rng),
        5 => {
            let elements: Vec<String> = (0..rng.random_range(0..5)).map(|_| text(rng, depth + 1)).collect();
            let (before, between) = (blank(rng), blank(rng));
            format!("[{before}{}{before}]", elements.join(&format!("{between},")))
        }
        _ => {
            let member = |rng: &mut StdRng| format!("{}{}:{}{}", key(rng), blank(rng), blank(rng), text(rng, depth + 1));
            let members: Vec<String> = (0..rng.random_range(0..6)).map(|_| member(rng)).collect();
            format!("{{{}{}}}", blank(rng), members.join(","))
        }
    }
}

fn number(rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => rng.random::<i64>().to_string(),
        // Away from the ends of the range, which parsers of decimal digits take in different ways.
        1 => format!("{:e}", rng.random_range(-1.0..1.0) * 10_f64.powi(rng.random_range(-300..300))),
        _ => (*NUMBERS.choose(rng).unwrap()).to_owned(),
    }
}

fn string(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        // Lengths of one, two and three bytes.
        0 => format!("\"{}\"", "x".repeat(*[127, 128, 255, 256, 16_383, 16_384].choose(rng).unwrap())),
        _ => format!("\"{}\"", STRINGS.choose(rng).unwrap()),
    }
}

/// Objects are ordered by their keys, the shorter first; of two equal ones the last counts.
fn key(rng: &mut StdRng) -> String {
    let long = "k".repeat(300);
    format!("\"{}\"", ["", "a", "A", "b", "aa", "ab", "é", "🦀", "z", "\\\"", "\\u0001", "a b", &long].choose(rng).unwrap())
}

/// An expression of SQL whose value, made JSON, may be of a kind that only SQL knows.
fn constructed(rng: &mut StdRng, depth: usize) -> String {
    let kinds = if depth < 3 { 16 } else { 12 };
    let digits = rng.random_range(0..=6);
    let clock =
        format!("{:02}:{:02}:{:02}.{:06}", rng.random_range(0..24), rng.random_range(0..60), 59, rng.random_range(0..1_000_000));
    let date = *["0001-01-01", "1969-12-31", "2024-02-29", "9999-12-30"].choose(rng).unwrap();
    match rng.random_range(0..kinds) {
        0 => format!("CAST('{date}' AS DATE)"),
        1 => format!("CAST('{date} {clock}' AS DATETIME({digits}))"),
        2 => {
            let time =
                ["-838:59:59", "838:59:59", "-00:00:00.000001", "-12:34:56.789", "00:00:00", "100:00:00.5"].choose(rng).unwrap();
            format!("CAST('{time}' AS TIME({digits}))")
        }
        3 | 4 => {
            let decimal = [
                "0.0",
                "-0.00",
                "1.50",
                "-1.5",
                "0.00001",
                "123456789.123456789",
                "-99999999999999999999999999999999999.999",
                "1",
            ];
            format!("CAST({} AS DECIMAL(65,{}))", decimal.choose(rng).unwrap(), rng.random_range(0..=30))
        }
        5 => format!("CAST({} AS UNSIGNED)", rng.random::<u64>()),
        6 => format!("CAST({} AS DOUBLE)", ["1.0", "-0e0", "1e20", "0.1", "1e-20"].choose(rng).unwrap()),
        7 => format!("CAST({} AS FLOAT)", ["1.1", "16777217", "1e-20", "3.4e38"].choose(rng).unwrap()),
        // Up to 57 bytes are a line of Base64, three more another one.
        8 | 9 => {
            let length = *[0, 1, 2, 3, 20, 57, 58, 60, 115, 300].choose(rng).unwrap();
            let bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            format!("CAST(X'{}' AS BINARY)", hex(&bytes))
        }
        10 => format!("CAST({} AS YEAR)", [1901, 2024, 2155].choose(rng).unwrap()),
        11 => format!("CAST({} AS JSON)", quoted(&text(rng, 2))),
        12 | 13 => {
            let elements: Vec<String> = (0..rng.random_range(0..5)).map(|_| constructed(rng, depth + 1)).collect();
            format!("JSON_ARRAY({})", elements.join(", "))
        }
        _ => {
            let members: Vec<String> =
                (0..rng.random_range(0..5)).map(|n| format!("'k{n}', {}", constructed(rng, depth + 1))).collect();
            format!("JSON_OBJECT({})", members.join(", "))
        }
    }
}
