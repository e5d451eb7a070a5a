//! Row events to Arrow: rows per CPU-second on the 12-column table of the project's load.
//!
//! `cargo bench -p mysql-source --bench decode_rows`. The events are made here, 100 rows each, as MySQL writes them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use cdc_core::{Column, TableId, TableSchema};
use mysql_source::{Dialect, Event, EventBody, EventHeader, RowBuffers, RowPlan, event_type, parse_column_type};
use std::hint::black_box;
use std::sync::Arc;

const COLUMNS: [(&str, &str, bool); 12] = [
    ("id", "bigint", false),
    ("customer_id", "int", false),
    ("status", "enum('new','paid','shipped','cancelled')", false),
    ("amount", "decimal(12,2)", false),
    ("currency", "char(3)", false),
    ("qty", "int unsigned", false),
    ("note", "varchar(255)", true),
    ("email", "varchar(100)", false),
    ("is_paid", "tinyint(1)", false),
    ("created_at", "datetime(6)", false),
    ("updated_at", "timestamp(3)", true),
    ("score", "double", true),
];

fn schema() -> TableSchema {
    let column = |(field_id, &(name, declaration, nullable)): (i32, &(&str, &str, bool))| {
        let t = parse_column_type(declaration, Some("utf8mb4"), None, Dialect::default()).unwrap();
        Column {
            field_id,
            name: name.into(),
            logical_type: t.logical,
            nullable,
            default: None,
            default_expression: None,
            auto_increment: false,
            generated: None,
            comment: None,
            native: t.native,
        }
    };
    TableSchema {
        table: TableId::new("bench", "orders"),
        version: 1,
        columns: (1..).zip(&COLUMNS).map(column).collect(),
        key: vec![0],
        last_field_id: 12,
        comment: None,
        charset: Some("utf8mb4".into()),
    }
}

fn table_map() -> Vec<u8> {
    let mut b = vec![1, 0, 0, 0, 0, 0, 1, 0, 5];
    b.extend(b"bench\0\x06orders\0");
    let types = [8, 3, 254, 246, 254, 3, 15, 15, 1, 18, 17, 5];
    b.push(12);
    b.extend(types);
    // ENUM, DECIMAL(12,2), CHAR(3), VARCHAR(255), VARCHAR(100) in bytes of utf8mb4, DATETIME(6), TIMESTAMP(3), DOUBLE
    let parameters = [247, 1, 12, 2, 254, 12, 0xfc, 3, 0x90, 1, 6, 3, 8];
    b.push(parameters.len() as u8);
    b.extend(parameters);
    b.extend([0b0100_0000, 0b0000_1100]);
    b
}

fn row(n: u64, out: &mut Vec<u8>) {
    let (no_note, no_update) = (n.is_multiple_of(3), n.is_multiple_of(5));
    out.extend([u8::from(no_note) << 6, u8::from(no_update) << 2]);
    out.extend((n + 1).to_le_bytes());
    out.extend(((n % 50_000) as u32).to_le_bytes());
    out.push(1 + (n % 4) as u8);
    // DECIMAL(12,2): one leading digit, nine, two.
    let cents = n % 100_000;
    out.push(0x80);
    out.extend(((cents / 100) as u32).to_be_bytes());
    out.push((cents % 100) as u8);
    out.extend(b"\x03EUR");
    out.extend(((n % 17) as u32).to_le_bytes());
    if !no_note {
        let note = format!("note for order {n} lorem ipsum dolor sit amet");
        out.extend((note.len() as u16).to_le_bytes());
        out.extend(note.as_bytes());
    }
    let email = format!("user{}@example.com", n % 50_000);
    out.extend((email.len() as u16).to_le_bytes());
    out.extend(email.as_bytes());
    out.push((n % 2) as u8);
    let clock = n % 86_400;
    let packed = ((2024 * 13 + 1) << 5 | (1 + n / 86_400)) << 17 | (clock / 3600) << 12 | (clock / 60 % 60) << 6 | (clock % 60);
    out.extend(&(packed + 0x80_0000_0000).to_be_bytes()[3..]);
    out.extend([0, 0, 0]);
    if !no_update {
        out.extend(((1_704_067_200 + n / 1000) as u32).to_be_bytes());
        out.extend(((n % 1000 * 10) as u16).to_be_bytes());
    }
    out.extend((n as f64 / 7.0).to_le_bytes());
}

/// Row events of 100 rows; an update has two images a row.
fn rows_events(images: u64, events: u64) -> Vec<Vec<u8>> {
    let event = |e: u64| {
        let mut b = vec![1, 0, 0, 0, 0, 0, 1, 0, 2, 0, 12, 0xff, 0x0f];
        b.extend(if images == 2 { &[0xff, 0x0f][..] } else { &[] });
        (0..100 * images).for_each(|i| row(e * 100 + i / images, &mut b));
        b
    };
    (0..events).map(event).collect()
}

/// CPU time of this process, from `/proc/self/schedstat` (nanoseconds on a CPU).
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn header(event_type: u8) -> EventHeader {
    EventHeader { timestamp: 0, event_type, server_id: 1, size: 0, log_pos: 0, flags: 0 }
}

fn main() {
    let schema = Arc::new(schema());
    let map = table_map();
    let EventBody::TableMap(map) = Event::from_parts(header(event_type::TABLE_MAP), &map).unwrap().body else { unreachable!() };
    let plan = RowPlan::new(&map, Arc::clone(&schema)).unwrap();
    for (name, kind, images) in [("inserts", event_type::WRITE_ROWS, 1), ("updates", event_type::UPDATE_ROWS, 2)] {
        let events = rows_events(images, 1000);
        let mut best = u64::MAX;
        let mut bytes = 0;
        for _ in 0..7 {
            let mut buffers = RowBuffers::new(Arc::clone(&schema)).unwrap();
            let start = cpu_ns();
            let mut rows = 0;
            for chunk in events.chunks(100) {
                for body in chunk {
                    let EventBody::Rows(event) = Event::from_parts(header(kind), body).unwrap().body else { unreachable!() };
                    rows += plan.decode(&event, &mut buffers).unwrap();
                }
                bytes = buffers.bytes();
                black_box(buffers.finish().unwrap());
            }
            best = best.min(cpu_ns() - start);
            assert_eq!(rows, 100_000);
        }
        let per_row = best as f64 / 100_000.0;
        println!(
            "{name}: {per_row:.0} ns of CPU per row, {:.2} million rows per CPU-second ({images} image(s) of {} bytes in columns)",
            1000.0 / per_row,
            bytes / (10_000 * images as usize)
        );
    }
}
