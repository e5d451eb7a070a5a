//! Nanoseconds per row, one thread: `cargo bench -p debezium-format`. The fastest and the median of many runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../tests/images.rs"]
#[allow(dead_code)]
mod images;

use cdc_core::{Change, ChangeBatch, LogicalType, NO_IMAGE, Op, Origin, SnapshotMarker, TableSchema, TransactionInfo, Value};
use debezium_format::{Connector, Converter, Decoder, DecoderConfig, EncodedEvent, Encoder, EncoderConfig, EventSink, Profile};
use images::{batch, column, integer, table};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

const ROWS: usize = 20_000;

/// What a log's builder does: bytes in one arena, ranges in a list.
#[derive(Default)]
struct Arena {
    bytes: Vec<u8>,
    values: Vec<Option<Range<usize>>>,
}

impl EventSink for Arena {
    fn arena(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn commit(&mut self, event: EncodedEvent<'_>) {
        self.values.push(event.value);
    }
}

fn words(random: &mut SmallRng, length: usize) -> Value {
    Value::String((0..length).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect())
}

/// The ten columns that the peers are measured with: two texts of 60 letters, two decimals.
fn ten() -> (Arc<TableSchema>, Vec<Vec<Value>>) {
    let columns = vec![
        column("id", integer(64, false), false),
        column("a", integer(32, false), true),
        column("b", integer(32, false), true),
        column("c", integer(64, false), true),
        column("price", LogicalType::Decimal { precision: 12, scale: 2 }, true),
        column("qty", LogicalType::Decimal { precision: 18, scale: 4 }, true),
        column("name", LogicalType::String, true),
        column("note", LogicalType::String, true),
        column("status", LogicalType::String, true),
        column("updated_at", LogicalType::Timestamp { fraction: 3 }, true),
    ];
    let mut random = SmallRng::seed_from_u64(7);
    let row = |i: usize| {
        let i = i as i64;
        vec![
            Value::Int(i),
            Value::Int(i * 7919 % 5000),
            Value::Int(i % 7),
            Value::Int(i * 31),
            Value::Decimal(format!("{}.{:02}", i % 2000, i % 100)),
            Value::Decimal(format!("{}.{:04}", i * 37 % 90_000, i % 10_000)),
            words(&mut random, 60),
            words(&mut random, 60),
            Value::String(["new", "paid", "sent"][i as usize % 3].to_owned()),
            Value::Int((1_763_884_800_000 + i) * 1000),
        ]
    };
    (table("ten", columns, &[0]), (0..ROWS).map(row).collect())
}

/// The twelve columns of the shop's big table.
fn orders() -> (Arc<TableSchema>, Vec<Vec<Value>>) {
    let statuses = ["new", "paid", "shipped", "cancelled"];
    let columns = vec![
        column("id", integer(64, false), false),
        column("customer_id", integer(32, false), false),
        column("status", LogicalType::Enum { values: statuses.map(str::to_owned).to_vec() }, false),
        column("amount", LogicalType::Decimal { precision: 12, scale: 2 }, false),
        column("currency", LogicalType::String, false),
        column("qty", integer(32, true), false),
        column("note", LogicalType::String, true),
        column("email", LogicalType::String, false),
        column("is_paid", integer(8, false), false),
        column("created_at", LogicalType::Timestamp { fraction: 6 }, false),
        column("updated_at", LogicalType::TimestampTz { fraction: 3 }, true),
        column("score", LogicalType::Double, true),
    ];
    let row = |i: usize| {
        let n = i as i64;
        vec![
            Value::Int(n + 1),
            Value::Int(n % 50_000),
            Value::String(statuses[i % 4].to_owned()),
            Value::Decimal(format!("{}.{:02}", n % 1000, n % 100)),
            Value::String("EUR".to_owned()),
            Value::Int(n % 17),
            if i.is_multiple_of(3) {
                Value::Null
            } else {
                Value::String(format!("note for order {n} lorem ipsum dolor sit amet"))
            },
            Value::String(format!("user{}@example.com", n % 50_000)),
            Value::Int(n % 2),
            Value::Int(1_704_067_200_000_000 + n * 1_000_000),
            if i.is_multiple_of(5) { Value::Null } else { Value::Int(1_704_067_200_000_000 + n * 1000) },
            Value::Double(n as f64 / 7.0),
        ]
    };
    (table("orders", columns, &[0]), (0..ROWS).map(row).collect())
}

/// Changes of all rows, `per_event` in each event of the log.
fn changes(schema: &Arc<TableSchema>, rows: &[Vec<Value>], op: Op, per_event: usize) -> ChangeBatch {
    let origins = (0..ROWS.div_ceil(per_event)).map(|i| Origin {
        transaction: TransactionInfo {
            gtid: Some(format!("11111111-2222-3333-4444-555555555555:{}", i + 1).into()),
            file: "mysql-bin.000002".into(),
            server_id: 223_344,
            ts_us: 1_763_884_800_000_000 + i as i64 * 1777,
        },
        pos: 4000 + i as u64 * 300,
        thread: Some(617),
        query: None,
        processed_ns: 1_763_884_800_000_000_000 + i as i64 * 1_777_333,
    });
    let change = |i: usize| {
        let image = i as u32;
        let before = if op == Op::Update { image } else { NO_IMAGE };
        Change {
            op,
            before,
            after: image,
            origin: (i / per_event) as u32,
            row: (i % per_event) as u32,
            marker: SnapshotMarker::False,
        }
    };
    ChangeBatch {
        schema: Arc::clone(schema),
        images: batch(schema, rows),
        changes: (0..ROWS).map(change).collect(),
        origins: origins.collect(),
    }
}

fn measure(name: &str, bytes: usize, mut run: impl FnMut()) {
    let runs = std::env::var("BENCH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let mut times: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_nanos() as f64 / ROWS as f64
        })
        .skip(1)
        .collect();
    times.sort_by(f64::total_cmp);
    println!("{name:<44} {:>7.0} ns/row fastest {:>7.0} median {:>7} B/row", times[0], times[times.len() / 2], bytes / ROWS);
}

fn main() {
    // `cargo bench -- TEXT` runs only what has TEXT in its name.
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_default();
    for (name, (schema, rows)) in [("ten columns", ten()), ("orders", orders())] {
        for (op, per_event) in [(Op::Create, 1), (Op::Create, 100), (Op::Update, 100)] {
            let changes = changes(&schema, &rows, op, per_event);
            for schemas in [false, true] {
                let name = format!("{name}, {op:?}, {per_event} a statement, schemas {schemas}");
                if !name.contains(&wanted) {
                    continue;
                }
                let converter = Converter::Json { schemas };
                let config = EncoderConfig::new("bench", Connector::Mysql, converter, "run").with_profile(Profile::exact());
                let mut encoder = Encoder::new(&config, Arc::clone(&schema), "bench.inventory.t").unwrap();
                let mut arena = Arena::default();
                encoder.encode(&changes, &mut arena).unwrap();
                let bytes = arena.bytes.len();
                measure(&format!("encode {name}"), bytes, || {
                    arena.bytes.clear();
                    arena.values.clear();
                    encoder.encode(&changes, &mut arena).unwrap();
                });
                let mut decoder = Decoder::new(Arc::clone(&schema), DecoderConfig::new(converter, Profile::exact())).unwrap();
                measure(&format!("decode {name}"), bytes, || {
                    for value in &arena.values {
                        decoder.decode(value.clone().and_then(|range| arena.bytes.get(range))).unwrap();
                    }
                    assert_eq!(decoder.finish().unwrap().rows.num_rows(), ROWS);
                });
                assert!(decoder.misses() < 10, "{} records missed the plan", decoder.misses());
            }
        }
    }
}
