//! Random schemas and rows of every logical type. A seed replays exactly.

use crate::images::{column, integer, table};
use cdc_core::{
    Change, ChangeBatch, Column, LogicalType, NO_IMAGE, Op, Origin, SnapshotMarker, TableSchema, TransactionInfo, Value,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

/// A generator that prints its seed when the test fails. `SEED=n` replays one.
pub fn seeds(count: u64, test: impl Fn(StdRng)) {
    let first = std::env::var("SEED").ok().map(|s| s.parse::<u64>().unwrap());
    for seed in first.map_or(0..count, |s| s..s + 1) {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(StdRng::seed_from_u64(seed))));
        if let Err(panic) = outcome {
            eprintln!("replay with SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

pub fn logical_type(random: &mut StdRng) -> LogicalType {
    let fraction = random.random_range(0..=6);
    let values = vec!["new".to_owned(), "paid".to_owned(), "d,e".to_owned(), "f'g".to_owned(), "ünï".to_owned()];
    match random.random_range(0..20) {
        0 => LogicalType::Boolean,
        1 | 2 => integer(*[8, 16, 24, 32, 64].choose(random).unwrap(), random.random()),
        3 => {
            let precision = random.random_range(1..=65);
            LogicalType::Decimal { precision, scale: random.random_range(0..=precision.min(30)) }
        }
        4 => LogicalType::Float,
        5 => LogicalType::Double,
        6 => LogicalType::Bits { length: random.random_range(2..=64) },
        7 | 8 => LogicalType::String,
        9 => LogicalType::Binary,
        10 => LogicalType::Date,
        11 => LogicalType::Time { fraction },
        12 => LogicalType::Timestamp { fraction },
        13 => LogicalType::TimestampTz { fraction },
        14 => LogicalType::Year,
        15 => LogicalType::Enum { values },
        16 => LogicalType::Set { values },
        17 => LogicalType::Json,
        18 => LogicalType::Geometry { point: random.random() },
        _ => [LogicalType::Vector, LogicalType::Uuid, LogicalType::Inet { v6: true }].choose(random).unwrap().clone(),
    }
}

fn text(random: &mut StdRng) -> String {
    let length = *[0, 1, 3, 7, 8, 9, 15, 16, 17, 40, 100].choose(random).unwrap();
    let plain = random.random_bool(0.6);
    let character = |random: &mut StdRng| match plain || random.random_bool(0.7) {
        true => char::from(random.random_range(b' '..=b'~')),
        false => *['"', '\\', '\n', '\0', '\u{1f}', '\u{7f}', 'é', '日', '😀', '\u{2028}', '/', '\t'].choose(random).unwrap(),
    };
    (0..length).map(|_| character(random)).collect()
}

fn bytes(random: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random()).collect()
}

/// A number of any size up to `bits`, small ones and the bounds often.
fn number(random: &mut StdRng, min: i64, max: i64) -> i64 {
    match random.random_range(0..6) {
        0 => *[min, max, 0, 1].choose(random).unwrap(),
        1 => random.random_range(min..=max),
        _ => random.random_range(min.max(-1000)..=max.min(1_000_000)),
    }
    .clamp(min, max)
}

pub fn value(random: &mut StdRng, column: &Column) -> Value {
    if column.nullable && random.random_bool(0.2) {
        return Value::Null;
    }
    let unit = |fraction: u8| 10_i64.pow(6 - u32::from(fraction));
    match &column.logical_type {
        LogicalType::Boolean => Value::Boolean(random.random()),
        LogicalType::Integer { bits: 64, unsigned: true } => {
            Value::UInt(*[0, u64::MAX, 1 << 63, random.random(), random.random_range(0..1000)].choose(random).unwrap())
        }
        LogicalType::Integer { bits, unsigned } => {
            let (min, max) = match unsigned {
                true => (0, (1_i64 << bits) - 1),
                false => (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits)),
            };
            Value::Int(number(random, min, max))
        }
        LogicalType::Decimal { precision, scale } => {
            let digits = random.random_range(0..=precision - scale);
            let mut text: String = (0..digits).map(|i| char::from(random.random_range(b'0' + u8::from(i == 0)..=b'9'))).collect();
            if text.is_empty() {
                text.push('0');
            }
            if *scale > 0 {
                text.push('.');
                text.extend((0..*scale).map(|_| char::from(random.random_range(b'0'..=b'9'))));
            }
            let zero = text.bytes().all(|b| matches!(b, b'0' | b'.'));
            Value::Decimal(if !zero && random.random() { format!("-{text}") } else { text })
        }
        LogicalType::Float => Value::Float(loop {
            let v = *[random.random::<f32>() * 1000.0, f32::from_bits(random.random()), -0.0, 3.15].choose(random).unwrap();
            if v.is_finite() {
                break v;
            }
        }),
        LogicalType::Double => Value::Double(loop {
            let short = f64::from(random.random_range(-100_000_i32..100_000)) / 100.0;
            let v = *[short, random.random::<f64>() * 1e9, f64::from_bits(random.random()), -0.0].choose(random).unwrap();
            if v.is_finite() {
                break v;
            }
        }),
        LogicalType::Bits { length } => Value::Bytes(bytes(random, usize::from(length.div_ceil(8)))),
        LogicalType::Binary => {
            let length = random.random_range(0..40);
            Value::Bytes(bytes(random, length))
        }
        LogicalType::Uuid => Value::Bytes(bytes(random, 16)),
        LogicalType::Date => Value::Int(number(random, -400_000, 3_000_000)),
        LogicalType::Time { fraction } => {
            let unit = unit(*fraction);
            Value::Int(number(random, -3_020_399_999_999, 3_020_399_999_999) / unit * unit)
        }
        LogicalType::Timestamp { fraction } | LogicalType::TimestampTz { fraction } => {
            let unit = unit(*fraction);
            Value::Int(number(random, -30_610_224_000_000_000, 253_402_300_799_999_999).div_euclid(unit) * unit)
        }
        LogicalType::Year => Value::Int(number(random, 1901, 2155)),
        LogicalType::Geometry { point } => {
            let mut wkb = bytes(random, 16);
            if *point {
                let (x, y): (f64, f64) = (random.random(), random.random());
                wkb = [&[1, 1, 0, 0, 0][..], &x.to_le_bytes(), &y.to_le_bytes()].concat();
            }
            Value::Geometry { wkb, srid: random.random_bool(0.5).then_some(4326) }
        }
        LogicalType::Vector => Value::Vector((0..random.random_range(0..5)).map(|_| random.random::<f32>() - 0.5).collect()),
        _ => Value::String(text(random)),
    }
}

/// A table of 1 to 12 columns, with or without a key.
pub fn schema(random: &mut StdRng) -> Arc<TableSchema> {
    let count = random.random_range(1..=12);
    let names = ["id", "name", "before", "a b", "é", "quote\"d", "op", "ts_ms", "source", "payload", "x.y", "last"];
    let columns: Vec<Column> = (0..count)
        .map(|i| {
            let kind = logical_type(random);
            let mut column = column(names[i], kind, random.random());
            if column.logical_type == LogicalType::Float && random.random() {
                column.native.scale = Some(3);
            }
            column
        })
        .collect();
    let key = if random.random_bool(0.8) { vec![random.random_range(0..count)] } else { Vec::new() };
    table("random", columns, &key)
}

pub fn rows(random: &mut StdRng, schema: &TableSchema, count: usize) -> Vec<Vec<Value>> {
    (0..count).map(|_| schema.columns.iter().map(|c| value(random, c)).collect()).collect()
}

/// One change for each row, of random kinds; updates keep the row as it was.
pub fn changes(random: &mut StdRng, schema: &Arc<TableSchema>, rows: &[Vec<Value>]) -> ChangeBatch {
    let mut changes = Vec::new();
    let mut origins = Vec::new();
    for image in 0..rows.len() as u32 {
        let op = *[Op::Read, Op::Create, Op::Update, Op::Delete].choose(random).unwrap();
        let (before, after) = match op {
            Op::Read | Op::Create => (NO_IMAGE, image),
            Op::Update => (image, image),
            Op::Delete => (image, NO_IMAGE),
        };
        let marker = if op == Op::Read { SnapshotMarker::True } else { SnapshotMarker::False };
        changes.push(Change { op, before, after, origin: origins.len() as u32, row: random.random_range(0..3), marker });
        origins.push(Origin {
            transaction: TransactionInfo {
                gtid: random.random_bool(0.8).then(|| format!("0-1-{}", random.random::<u32>()).into()),
                file: "binlog.000001".into(),
                server_id: 1,
                ts_us: random.random_range(0..2_000_000_000_000_000),
            },
            pos: random.random_range(4..u64::from(u32::MAX)),
            thread: random.random_bool(0.5).then(|| random.random_range(1..99)),
            query: random.random_bool(0.1).then(|| "UPDATE \"t\" SET a=1".into()),
            processed_ns: random.random_range(0..2_000_000_000_000_000_000),
        });
    }
    ChangeBatch { schema: Arc::clone(schema), images: crate::images::batch(schema, rows), changes, origins }
}
