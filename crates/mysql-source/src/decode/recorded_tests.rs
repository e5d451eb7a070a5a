//! Log files of real servers (tests/fixtures/record) against what the same servers' SELECT showed of the same rows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use crate::ddl::Dialect;
use crate::schema_read::tests::schema_of_rows;
use crate::value::Literal;
use crate::{
    DecodeErrorKind, Event, EventBody, EventHeader, EventReader, RowBuffers, RowPlan, RowsKind, Statement, parse_statement,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use cdc_core::{Column, LogicalType, TableId, TableSchema, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub(crate) struct Recording {
    log: &'static [u8],
    pub(crate) schemas: BTreeMap<String, Arc<TableSchema>>,
    /// What SELECT showed, in the order of the keys.
    rows: BTreeMap<String, Vec<Vec<Option<String>>>>,
    pub(crate) mariadb: bool,
}

impl Recording {
    /// Its events, each whole.
    pub(crate) fn events(&self) -> Vec<&'static [u8]> {
        events(self.log)
    }
}

fn unhex(digits: &str) -> String {
    match Literal::hex(digits) {
        Some(Literal::Hex(bytes)) => String::from_utf8(bytes).unwrap(),
        other => panic!("{digits}: {other:?}"),
    }
}

fn recording(log: &'static [u8], columns: &str, rows: &str, mariadb: bool) -> Recording {
    let mut tables: BTreeMap<String, Vec<[Option<String>; 7]>> = BTreeMap::new();
    for line in columns.lines() {
        let cells: Vec<Option<&str>> = line.split('\t').map(|c| (c != "NULL").then_some(c)).collect();
        let [Some(table), Some(name), Some(declaration), nullable, default, extra, charset, collation] = cells[..] else {
            panic!("{line}");
        };
        let own = |c: Option<&str>| c.map(str::to_owned);
        let default = default.map(unhex);
        let (declaration, extra) = (Some(unhex(declaration)), Some(extra.map(unhex).unwrap_or_default()));
        let row = [Some(name.to_owned()), declaration, own(nullable), default, extra, own(charset), own(collation)];
        tables.entry(table.to_owned()).or_default().push(row);
    }
    let dialect = Dialect { mariadb, ..Dialect::default() };
    let schema =
        |table: &str, rows: &[[Option<String>; 7]]| schema_of_rows(&TableId::new("recorded", table), rows, "id", dialect);
    let schemas = tables.iter().map(|(t, rows)| (t.clone(), Arc::new(schema(t, rows)))).collect();
    let mut expected: BTreeMap<String, Vec<Vec<Option<String>>>> = BTreeMap::new();
    for line in rows.lines() {
        let mut cells = line.split('\t').map(|c| (c != "NULL").then(|| c.to_owned()));
        let table = cells.next().unwrap().unwrap();
        expected.entry(table).or_default().push(cells.collect());
    }
    Recording { log, schemas, rows: expected, mariadb }
}

pub(crate) fn mysql() -> Recording {
    recording(
        include_bytes!("../../tests/fixtures/mysql.binlog"),
        include_str!("../../tests/fixtures/mysql.columns.tsv"),
        include_str!("../../tests/fixtures/mysql.rows.tsv"),
        false,
    )
}

pub(crate) fn mariadb() -> Recording {
    recording(
        include_bytes!("../../tests/fixtures/mariadb.binlog"),
        include_str!("../../tests/fixtures/mariadb.columns.tsv"),
        include_str!("../../tests/fixtures/mariadb.rows.tsv"),
        true,
    )
}

/// The events of a log file: after its four bytes of magic, one after the other.
fn events(log: &'static [u8]) -> Vec<&'static [u8]> {
    let mut rest = &log[4..];
    let mut out = Vec::new();
    while !rest.is_empty() {
        let size = EventHeader::parse(rest).unwrap().size as usize;
        let (event, after) = rest.split_at(size);
        out.push(event);
        rest = after;
    }
    out
}

/// Does the value in the column say what SELECT showed?
fn agrees(column: &Column, batch: &RecordBatch, at: usize, row: usize, shown: Option<&str>) -> bool {
    use LogicalType as L;
    let array = batch.column(at);
    let value = |shown: &str| Literal::Text(shown.to_owned()).value(&column.logical_type, &column.native);
    let dates = matches!(column.logical_type, L::Date | L::Timestamp { .. } | L::TimestampTz { .. });
    let no_date = dates && shown.is_some_and(|s| s.starts_with("0000") || s.contains("-00"));
    let Some(shown) = shown.filter(|_| !(no_date && column.nullable)) else { return array.is_null(row) };
    if array.is_null(row) {
        return false;
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
    let text = match &column.logical_type {
        L::Integer { bits: 64, unsigned: true } => array.as_primitive::<Decimal128Type>().value(row).to_string(),
        L::Integer { bits: 64, .. } | L::Integer { bits: 32, unsigned: true } => {
            return shown.parse() == Ok(array.as_primitive::<Int64Type>().value(row));
        }
        L::Integer { .. } | L::Year => {
            return shown.parse() == Ok(array.as_primitive::<Int32Type>().value(row));
        }
        L::Decimal { precision, .. } if *precision <= 38 => array.as_primitive::<Decimal128Type>().value_as_string(row),
        L::Float => return shown.parse::<f64>() == Ok(f64::from(array.as_primitive::<Float32Type>().value(row))),
        L::Double => return shown.parse() == Ok(array.as_primitive::<Float64Type>().value(row)),
        L::Boolean => u8::from(array.as_boolean().value(row)).to_string(),
        L::Bits { .. } => {
            let bytes = array.as_binary::<i32>().value(row);
            bytes.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b)).to_string()
        }
        L::Date => return value(shown) == Some(Value::Int(array.as_primitive::<Date32Type>().value(row).into())),
        L::Time { .. } => return value(shown) == Some(Value::Int(array.as_primitive::<Int64Type>().value(row))),
        L::Timestamp { .. } | L::TimestampTz { .. } => {
            return value(shown) == Some(Value::Int(array.as_primitive::<TimestampMicrosecondType>().value(row)));
        }
        L::Binary => hex(array.as_binary::<i32>().value(row)),
        L::String | L::Enum { .. } | L::Set { .. } | L::Json => hex(array.as_string::<i32>().value(row).as_bytes()),
        L::Uuid => return value(shown) == Some(Value::Bytes(array.as_fixed_size_binary().value(row).to_vec())),
        L::Geometry { .. } => {
            let parts = array.as_struct();
            let srid = parts.column(1).as_primitive::<Int32Type>();
            let srid = if srid.is_null(row) { 0 } else { srid.value(row) };
            hex(&[&srid.to_le_bytes()[..], parts.column(0).as_binary::<i32>().value(row)].concat())
        }
        L::Vector => {
            let floats = array.as_list::<i32>().value(row);
            let bytes = floats.as_primitive::<Float32Type>().values().iter().flat_map(|f| f.to_le_bytes()).collect::<Vec<u8>>();
            hex(&bytes)
        }
        _ => array.as_string::<i32>().value(row).to_owned(),
    };
    text == shown
}

/// Decodes all rows of all tables; calls `each` with every row event.
fn replay(recording: &Recording, mut each: impl FnMut(&str, RowsKind, &RecordBatch, &RowBuffers)) {
    let mut reader = EventReader::new();
    let mut plans: HashMap<u64, (String, RowPlan)> = HashMap::new();
    for raw in events(recording.log) {
        match reader.read(raw).unwrap().body {
            EventBody::TableMap(map) if map.database == "recorded" => {
                let plan = RowPlan::new(&map, Arc::clone(&recording.schemas[map.table])).unwrap();
                plans.insert(map.table_id, (map.table.to_owned(), plan));
            }
            EventBody::Rows(rows) => {
                let Some((table, plan)) = plans.get(&rows.table_id) else { continue };
                let mut buffers = RowBuffers::new(Arc::clone(plan.schema())).unwrap();
                let decoded = plan.decode(&rows, &mut buffers).unwrap();
                assert_eq!(buffers.rows(), decoded * rows.kind.images_per_row());
                let batch = buffers.finish().unwrap();
                each(table, rows.kind, &batch, &buffers);
            }
            _ => {}
        }
    }
}

fn every_row_is_what_select_showed(recording: &Recording) {
    let mut seen: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    replay(recording, |table, kind, batch, _| {
        let schema = &recording.schemas[table];
        let images = match kind {
            RowsKind::Insert => &["inserted"][..],
            RowsKind::Update => &["before", "after"],
            RowsKind::Delete => &["deleted"],
        };
        for row in 0..batch.num_rows() {
            let image = images[row % images.len()];
            let count = seen.entry((table.to_owned(), image)).or_default();
            let shown = &recording.rows[table][*count];
            *count += 1;
            for (at, column) in schema.columns.iter().enumerate() {
                let id = image != "inserted" && image != "before" && column.name == "id";
                let moved = id.then(|| (shown[at].as_ref().unwrap().parse::<i32>().unwrap() + 1000).to_string());
                let expected = moved.as_deref().or(shown[at].as_deref());
                if !agrees(column, batch, at, row, expected) {
                    wrong.push(format!(
                        "{table}.{} {image} row {count}: shown {expected:?}: {:?}",
                        column.name,
                        batch.column(at).slice(row, 1)
                    ));
                }
            }
        }
    });
    assert!(wrong.is_empty(), "{} values differ:\n{}", wrong.len(), wrong.join("\n"));
    for (table, rows) in &recording.rows {
        for image in ["inserted", "before", "after", "deleted"] {
            assert_eq!(seen.get(&(table.clone(), image)), Some(&rows.len()), "{image} rows of {table}");
        }
    }
}

#[test]
fn every_value_of_every_mysql_type_is_what_select_showed() {
    every_row_is_what_select_showed(&mysql());
}

#[test]
fn every_value_of_every_mariadb_type_is_what_select_showed() {
    every_row_is_what_select_showed(&mariadb());
}

#[test]
fn dates_that_no_calendar_has_are_counted() {
    let recording = mysql();
    let schema = Arc::clone(&recording.schemas["zeros"]);
    let mut counted = Vec::new();
    let mut reader = EventReader::new();
    let mut plan = None;
    for raw in events(recording.log) {
        match reader.read(raw).unwrap().body {
            EventBody::TableMap(map) if map.table == "zeros" => {
                plan = Some((map.table_id, RowPlan::new(&map, Arc::clone(&schema)).unwrap()))
            }
            EventBody::Rows(rows) if rows.kind == RowsKind::Insert => {
                let Some((_, plan)) = plan.as_ref().filter(|(id, _)| *id == rows.table_id) else { continue };
                let mut buffers = RowBuffers::new(Arc::clone(&schema)).unwrap();
                plan.decode(&rows, &mut buffers).unwrap();
                counted = buffers.mapped_dates().collect();
            }
            _ => {}
        }
    }
    assert_eq!(counted, [0, 2, 2, 2, 2, 1, 1, 1]);
}

#[test]
fn transactions_begin_with_their_numbers_and_end_with_a_commit() {
    for recording in [mysql(), mariadb()] {
        let (mut gtids, mut begun, mut committed, mut created) = (Vec::new(), 0, 0, 0);
        let mut reader = EventReader::new();
        for raw in events(recording.log) {
            let event = reader.read(raw).unwrap();
            match event.body {
                EventBody::FormatDescription(d) => {
                    assert_eq!(d.server_version.contains("MariaDB"), recording.mariadb, "{}", d.server_version);
                }
                EventBody::Gtid(gtid) => {
                    assert!(gtid.uuid.is_some() && gtid.transaction_length > 0);
                    // Within the second of the header, or just after it.
                    let seconds = gtid.original_commit_us / 1_000_000;
                    assert!((0..5).contains(&(seconds as i64 - i64::from(event.header.timestamp))), "{gtid:?}");
                    assert_eq!(gtid.original_commit_us, gtid.immediate_commit_us);
                    gtids.push(gtid.number);
                }
                EventBody::MariadbGtid(gtid) => {
                    assert_eq!(gtid.domain, 0);
                    gtids.push(gtid.number);
                    begun += usize::from(!gtid.is_standalone());
                }
                EventBody::Query(query) => {
                    let dialect = Dialect::of(&query, recording.mariadb);
                    match parse_statement(&query.text(), query.database, dialect) {
                        Statement::Begin => begun += 1,
                        Statement::CreateTable { table, .. } => {
                            created += 1;
                            assert!(recording.schemas.contains_key(&table.table), "{table}");
                        }
                        Statement::CreateDatabase(_)
                        | Statement::DropDatabase(_)
                        | Statement::AlterTable(_)
                        | Statement::Irrelevant => {}
                        other => panic!("{}: {other:?}", query.text()),
                    }
                    assert!(query.client_collation.is_some() && query.sql_mode.is_some());
                }
                EventBody::Xid(_) => committed += 1,
                _ => {}
            }
        }
        assert!(gtids.len() > 20);
        assert!(gtids.windows(2).all(|w| w[1] == w[0] + 1), "{gtids:?}");
        assert_eq!(begun, committed);
        assert_eq!(created, recording.schemas.len());
    }
}

#[test]
fn a_schema_that_the_table_map_contradicts_makes_no_plan() {
    let recording = mysql();
    let mut reader = EventReader::new();
    let map = |table: &str| {
        events(recording.log).into_iter().find_map(|raw| match reader.clone().read(raw) {
            Ok(Event { body: EventBody::TableMap(map), .. }) if map.table == table => Some(map),
            Ok(_) | Err(_) => {
                let _ = reader.read(raw);
                None
            }
        })
    };
    let mut map = map;
    let integers = map("integers").unwrap();
    let refused = |change: &dyn Fn(&mut TableSchema)| {
        let mut schema = (*recording.schemas["integers"]).clone();
        change(&mut schema);
        RowPlan::new(&integers, Arc::new(schema)).err().map(|e| e.kind())
    };
    assert_eq!(refused(&|_| {}), None);
    let mismatch = Some(DecodeErrorKind::LayoutMismatch);
    assert_eq!(refused(&|s| drop(s.columns.pop())), mismatch);
    assert_eq!(refused(&|s| s.columns.swap(1, 2)), mismatch);
    assert_eq!(refused(&|s| s.columns[1].name = "other".into()), mismatch);
    assert_eq!(refused(&|s| s.columns[1].logical_type = LogicalType::Integer { bits: 8, unsigned: true }), mismatch);
    assert_eq!(refused(&|s| s.columns[1].logical_type = LogicalType::String), mismatch);
    assert_eq!(refused(&|s| s.columns[1].nullable = false), mismatch);
    let texts = map("texts").unwrap();
    let mut schema = (*recording.schemas["texts"]).clone();
    schema.columns[9].logical_type = LogicalType::Enum { values: vec!["a".into(), "b".into(), "c".into(), "d".into()] };
    assert_eq!(RowPlan::new(&texts, Arc::new(schema)).unwrap_err().kind(), DecodeErrorKind::LayoutMismatch);
    let mut schema = (*recording.schemas["texts"]).clone();
    schema.columns[1].native.charset = Some("latin1".into());
    assert_eq!(RowPlan::new(&texts, Arc::new(schema)).unwrap_err().kind(), DecodeErrorKind::LayoutMismatch);
}

#[test]
fn a_flipped_bit_is_found_by_the_checksum() {
    let recording = mysql();
    let events = events(recording.log);
    let mut reader = EventReader::new();
    reader.read(events[0]).unwrap();
    for (n, raw) in events[1..].iter().enumerate() {
        let mut damaged = raw.to_vec();
        let at = EventHeader::LEN + n % (raw.len() - EventHeader::LEN);
        damaged[at] ^= 1 << (n % 8);
        assert_eq!(reader.read(&damaged).unwrap_err().kind(), DecodeErrorKind::Checksum);
        reader.read(raw).unwrap();
    }
}

/// Cut anywhere and with flipped bits, without a checksum to save us: an error or some value, never a panic, and after an error
/// no row is left.
#[test]
fn damaged_events_never_panic_and_leave_nothing() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(0x5eed_u64);
    println!("SEED={seed}");
    let mut state = seed | 1;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below.max(1)
    };
    for recording in [mysql(), mariadb()] {
        let mut plans: HashMap<u64, RowPlan> = HashMap::new();
        let mut reader = EventReader::new();
        for raw in events(recording.log) {
            let event = reader.read(raw).unwrap();
            if let EventBody::TableMap(map) = &event.body
                && map.database == "recorded"
            {
                plans.insert(map.table_id, RowPlan::new(map, Arc::clone(&recording.schemas[map.table])).unwrap());
            }
            let body = &raw[EventHeader::LEN..raw.len() - EventReader::CHECKSUM_LEN];
            for round in 0..60 {
                let mut damaged = body.to_vec();
                if round % 3 == 0 {
                    damaged.truncate(random(body.len()));
                } else {
                    for _ in 0..1 + random(3) {
                        if let Some(byte) = damaged.get_mut(random(body.len())) {
                            *byte ^= 1 << random(8);
                        }
                    }
                }
                let Ok(event) = Event::from_parts(event.header, &damaged) else { continue };
                match event.body {
                    EventBody::TableMap(map) => {
                        if let Some(schema) = recording.schemas.get(map.table) {
                            let _ = RowPlan::new(&map, Arc::clone(schema));
                        }
                    }
                    EventBody::Rows(rows) => {
                        let Some(plan) = plans.get(&rows.table_id) else { continue };
                        let mut buffers = RowBuffers::new(Arc::clone(plan.schema())).unwrap();
                        if plan.decode(&rows, &mut buffers).is_err() {
                            assert_eq!((buffers.rows(), buffers.bytes()), (0, 0));
                        }
                        buffers.finish().unwrap();
                    }
                    EventBody::Query(query) => {
                        parse_statement(&query.text(), query.database, Dialect::of(&query, recording.mariadb));
                    }
                    _ => {}
                }
            }
        }
    }
}
