//! Rows per second into Parquet (collapse and encoding, no commit), rows per second of a compaction, and milliseconds per commit.
//!
//! `cargo bench -p iceberg-writer --profile release`: ten columns, two texts of 60 characters, as in the measured hot path.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use arrow_array::*;
use cdc_core::{Column, LogicalType, NativeType, Op, TableId, TableSchema};
use iceberg_writer::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Instant;

const LONG: LogicalType = LogicalType::Integer { bits: 64, unsigned: false };
const INT: LogicalType = LogicalType::Integer { bits: 32, unsigned: false };

fn schema() -> Arc<TableSchema> {
    let types = [
        ("id", LONG),
        ("a", INT),
        ("b", INT),
        ("c", LONG),
        ("name", LogicalType::String),
        ("note", LogicalType::String),
        ("status", LogicalType::String),
        ("price", LogicalType::Decimal { precision: 10, scale: 2 }),
        ("day", LogicalType::Date),
        ("updated_at", LogicalType::Timestamp { fraction: 6 }),
    ];
    let columns = types.into_iter().zip(1..).map(|((name, logical_type), field_id)| Column {
        field_id,
        name: name.to_owned(),
        logical_type,
        nullable: name != "id",
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native: NativeType::default(),
    });
    let columns: Vec<_> = columns.collect();
    let last_field_id = 10;
    Arc::new(TableSchema {
        table: TableId::new("d", "t"),
        version: 1,
        columns,
        key: vec![0],
        last_field_id,
        comment: None,
        charset: None,
    })
}

fn text(rng: &mut StdRng) -> String {
    (0..60).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect()
}

fn rows(s: &TableSchema, rng: &mut StdRng, ids: Vec<i64>) -> RecordBatch {
    let n = ids.len();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids)),
        Arc::new((0..n).map(|_| Some(rng.random_range(0..100))).collect::<Int32Array>()),
        Arc::new((0..n).map(|_| Some(rng.random_range(0..10_000))).collect::<Int32Array>()),
        Arc::new((0..n).map(|_| Some(rng.random::<i64>() >> 20)).collect::<Int64Array>()),
        Arc::new((0..n).map(|_| Some(text(rng))).collect::<StringArray>()),
        Arc::new((0..n).map(|_| Some(text(rng))).collect::<StringArray>()),
        Arc::new(
            (0..n).map(|_| ["new", "paid", "sent", "done"].get(rng.random_range(0..4_usize)).copied()).collect::<StringArray>(),
        ),
        Arc::new(
            (0..n)
                .map(|_| Some(rng.random_range(0..100_000_i128)))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new((0..n).map(|_| Some(rng.random_range(18_000..20_000))).collect::<Date32Array>()),
        Arc::new((0..n as i64).map(|i| Some(1_700_000_000_000_000 + i * 1_000_003)).collect::<TimestampMicrosecondArray>()),
    ];
    RecordBatch::try_new(s.arrow_schema(), columns).unwrap()
}

async fn files(
    t: &Table,
    s: &Arc<TableSchema>,
    encoding: ValueEncoding,
    batches: &[(RecordBatch, Vec<Op>)],
    new: NewRows<'_>,
) -> DeltaFiles {
    let mut config = WriterConfig::default();
    config.encoding = encoding;
    let mut w = DeltaWriter::new(t, Arc::clone(s), config).unwrap();
    for (rows, ops) in batches {
        w.write(rows, ops, new).unwrap();
    }
    w.finish().await.unwrap()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    let s = schema();
    let mut rng = StdRng::seed_from_u64(7);
    let open = async |durability, at: &str| {
        let config = CatalogConfig { durability, ..CatalogConfig::default() };
        let root = dir.path().join(at);
        let catalog = Catalog::open_sqlite(root.join("c.db"), root.to_string_lossy(), config).await.unwrap();
        catalog.create_table(&TableName::new("d", "t"), &s, TableOptions::default()).await.unwrap()
    };
    let t = open(Durability::Process, "rows").await;
    const SPAN: usize = 200_000;
    const BATCH: usize = 20_000;
    let appends: Vec<_> = (0..SPAN / BATCH)
        .map(|b| (rows(&s, &mut rng, (0..BATCH).map(|i| (b * BATCH + i) as i64).collect()), vec![Op::Create; BATCH]))
        .collect();
    let upserts: Vec<_> = (0..SPAN / BATCH)
        .map(|_| {
            let ids = (0..BATCH).map(|_| rng.random_range(0..200_000)).collect();
            let ops = (0..BATCH)
                .map(|_| [Op::Update, Op::Update, Op::Update, Op::Create, Op::Delete][rng.random_range(0..5)])
                .collect();
            (rows(&s, &mut rng, ids), ops)
        })
        .collect();
    for encoding in [ValueEncoding::Portable, ValueEncoding::Delta] {
        for (what, batches, new) in [("append", &appends, NewRows::All), ("upsert", &upserts, NewRows::Unknown)] {
            let mut best = f64::MAX;
            let mut stats = DeltaStats::default();
            for _ in 0..5 {
                let begun = Instant::now();
                let f = files(&t, &s, encoding, batches, new).await;
                best = best.min(begun.elapsed().as_secs_f64());
                stats = f.stats;
                f.discard(&t).await;
            }
            println!(
                "{what:7} {encoding:?}: {:9.0} events/s, {:.0} ns/event, {} rows, {} deletes, {:.1} bytes/row",
                SPAN as f64 / best,
                best * 1e9 / SPAN as f64,
                stats.rows,
                stats.deletes,
                stats.bytes as f64 / stats.rows as f64
            );
        }
    }
    compaction(open(Durability::Process, "compaction").await, &s, &appends, &mut rng).await;
    for (what, durability) in [("in memory", Durability::Process), ("on disk", Durability::Disk)] {
        let mut t = open(durability, what).await;
        let (mut commits, mut spans) = (Vec::new(), Vec::new());
        for i in 0..300 {
            let batch = rows(&s, &mut rng, (0..10).map(|r| i * 10 + r).collect());
            let begun = Instant::now();
            let f = files(&t, &s, ValueEncoding::Portable, &[(batch, vec![Op::Update; 10])], NewRows::Unknown).await;
            spans.push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            t = t.commit_delta(f, [], Some("cdc-checkpoint.bench.main")).await.unwrap();
            commits.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        for (name, values) in [("commit", &mut commits), ("files of ten rows and ten deletes", &mut spans)] {
            values.sort_by(f64::total_cmp);
            println!("{what}: {name}: median {:.2} ms, p95 {:.2} ms", values[150], values[285]);
        }
    }
}

/// A table of 200,000 rows with fifty commits of 2,000 updates each: all are merged.
async fn compaction(mut t: Table, s: &Arc<TableSchema>, base: &[(RecordBatch, Vec<Op>)], rng: &mut StdRng) {
    let base = files(&t, s, ValueEncoding::Portable, base, NewRows::All).await;
    t = t.commit_delta(base, [], None).await.unwrap();
    for _ in 0..50 {
        let ids = (0..2_000).map(|_| rng.random_range(0..200_000)).collect();
        let updates = rows(s, rng, ids);
        let f = files(&t, s, ValueEncoding::Portable, &[(updates, vec![Op::Update; 2_000])], NewRows::Unknown).await;
        t = t.commit_delta(f, [], None).await.unwrap();
    }
    let mut best = f64::MAX;
    for _ in 0..5 {
        let plan = t.plan_compaction(&CompactionConfig::default()).await.unwrap().unwrap();
        let begun = Instant::now();
        let f = plan.run().await.unwrap();
        best = best.min(begun.elapsed().as_secs_f64());
        println!(
            "compaction: {} files become {}, {} rows dropped",
            f.stats().files_before,
            f.stats().files_after,
            f.stats().rows_dropped
        );
        f.discard(&t).await;
    }
    println!("compaction: {:9.0} rows/s written, {:.0} ns/row", 200_000.0 / best, best * 1e9 / 200_000.0);
}
