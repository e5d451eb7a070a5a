//! Whether rows that seemed different are.
//!
//! A look reads the candidates at the source, waits until the mirror has applied all that this could have shown, reads them in the
//! mirror, and once more at the source. A row that is the same on both sides, whichever reading of the source it agrees with, is settled.
//! One that differs while its two readings agree is different, but for two cases, in which it is looked at again:
//!
//! - The mirror has something that the source does not show yet: a commit is in the binary log before its rows can be seen.
//! - The source was written to meanwhile, so that the row may have changed and changed back. If each of several looks finds the same
//!   two rows, it has not.

use super::SourceRows;
use super::applied::Applied;
use super::engine::Engine;
use super::fingerprint::Columns;
use super::report::{ColumnDifference, Difference, DifferenceKind, KeyPart, TableVerdict};
use crate::error::{Error, ErrorKind, Result};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use cdc_core::{LogicalType, Row, SourcePosition, TableSchema, Value};
use iceberg_writer::Table;
use mysql_source::TableReader;
use std::collections::{HashMap, HashSet};

/// Candidates beyond this are not looked at: a table that differs so much has another problem.
const MOST_CANDIDATES: usize = 100_000;
/// Candidates that are looked at together: the mirror is read once for all of them.
const AT_ONCE: usize = 10_000;
/// Keys that one query of the source asks for.
const KEYS_PER_QUERY: usize = 500;
/// A row that changes at the source each time it is looked at is unsettled after so many times.
const TRIES: usize = 12;
/// So many looks must find the same two rows while the source is written to.
const CONFIRMATIONS: usize = 6;

/// Looks at candidates one by one.
pub(super) struct Settler<'a> {
    reader: &'a mut TableReader,
    applied: &'a Applied,
    columns: &'a Columns,
    mirror: &'a Table,
    engine: &'a dyn Engine,
    keep: usize,
}

/// The source's rows of some keys.
struct Reading {
    rows: Side,
    /// They show everything up to here.
    low: SourcePosition,
    /// The first of them shows nothing beyond here, and the last of them nothing beyond `high`.
    first_high: SourcePosition,
    high: SourcePosition,
}

/// The rows of a key that were not the same, as fingerprints, and how many looks in a row have found just these.
#[derive(Debug, Default, PartialEq, Eq)]
struct Suspicion {
    source: Vec<u128>,
    mirror: Vec<u128>,
    looks: usize,
}

/// What one look has seen of a key: fingerprints of its rows, sorted, in the order of reading.
struct Seen {
    before: Vec<u128>,
    mirror: Vec<u128>,
    after: Vec<u128>,
}

/// What is known of a look as a whole.
#[derive(Debug, Clone, Copy)]
struct Circumstances {
    /// The second reading of the source shows all that the mirror had.
    source_shows_all: bool,
    /// Nothing was written to the binary log between the two.
    was_quiet: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Equal,
    Different,
    LookAgain(Option<Suspicion>),
}

impl Seen {
    fn judged(self, circumstances: Circumstances, known: Option<Suspicion>) -> Verdict {
        let Self { before, mirror, after } = self;
        if mirror == before || mirror == after {
            return Verdict::Equal;
        }
        if before != after || !circumstances.source_shows_all {
            return Verdict::LookAgain(None);
        }
        let known = known.filter(|s| s.source == before && s.mirror == mirror);
        let looks = known.map_or(1, |s| s.looks + 1);
        if circumstances.was_quiet || looks >= CONFIRMATIONS {
            return Verdict::Different;
        }
        Verdict::LookAgain(Some(Suspicion { source: before, mirror, looks }))
    }
}

/// Rows of one side by key.
struct Side {
    rows: RecordBatch,
    by_key: HashMap<u128, Vec<usize>>,
    prints: Vec<u128>,
}

impl Side {
    fn new(columns: &Columns, batches: &[RecordBatch]) -> Result<Self> {
        let aligned = batches.iter().map(|b| columns.align(b)).collect::<Result<Vec<_>>>()?;
        let rows = match aligned.first() {
            None => columns.align(&RecordBatch::new_empty(columns.schema.clone()))?,
            Some(first) => concat_batches(first.schema_ref(), &aligned).map_err(fault)?,
        };
        let prints = columns.fingerprints(&rows)?;
        let mut by_key: HashMap<u128, Vec<usize>> = HashMap::new();
        for (at, key) in prints.keys.iter().enumerate() {
            by_key.entry(*key).or_default().push(at);
        }
        Ok(Self { rows, by_key, prints: prints.rows })
    }

    fn of(&self, key: u128) -> &[usize] {
        self.by_key.get(&key).map_or(&[], Vec::as_slice)
    }

    /// The fingerprints of a key's rows, sorted: equal if the rows are.
    fn prints(&self, key: u128) -> Vec<u128> {
        let mut prints: Vec<u128> = self.of(key).iter().filter_map(|&at| self.prints.get(at).copied()).collect();
        prints.sort_unstable();
        prints
    }
}

impl<'a> Settler<'a> {
    pub(super) fn new(
        reader: &'a mut TableReader,
        applied: &'a Applied,
        columns: &'a Columns,
        mirror: &'a Table,
        engine: &'a dyn Engine,
        keep: usize,
    ) -> Self {
        Self { reader, applied, columns, mirror, engine, keep }
    }

    /// Adds what is found out of these candidates (batches of key columns) to the verdict.
    pub(super) async fn settle(&mut self, candidates: Vec<RecordBatch>, verdict: &mut TableVerdict) -> Result<()> {
        let Some(first) = candidates.first() else { return Ok(()) };
        let all = concat_batches(first.schema_ref(), &candidates).map_err(fault)?;
        let looked_at = all.num_rows().min(MOST_CANDIDATES);
        verdict.unsettled += (all.num_rows() - looked_at) as u64;
        for start in (0..looked_at).step_by(AT_ONCE) {
            let mut keys = all.slice(start, AT_ONCE.min(looked_at - start));
            let mut suspicions = HashMap::new();
            for _ in 0..TRIES {
                keys = self.look(keys, &mut suspicions, verdict).await?;
                if keys.num_rows() == 0 {
                    break;
                }
            }
            verdict.unsettled += keys.num_rows() as u64;
        }
        Ok(())
    }

    /// Looks at these keys once; returns those that are not settled by that.
    async fn look(
        &mut self,
        keys: RecordBatch,
        suspicions: &mut HashMap<u128, Suspicion>,
        verdict: &mut TableVerdict,
    ) -> Result<RecordBatch> {
        let before = self.source(&keys).await?;
        self.applied.wait_for(&before.high).await?;
        let mirror = self.mirror_rows(&keys).await?;
        let prints = self.columns_keys(&keys)?;
        let differs = |(_, key): &(usize, &u128)| before.rows.prints(**key) != mirror.prints(**key);
        let keys = taken(&keys, prints.iter().enumerate().filter(differs).map(|(at, _)| at))?;
        if keys.num_rows() == 0 {
            return Ok(keys);
        }
        let bound = self.applied.bound().await?;
        let after = self.source(&keys).await?;
        let circumstances = Circumstances {
            source_shows_all: bound.log.row == 0 && shows(&after.low, &bound),
            was_quiet: before.first_high.log == after.high.log,
        };
        let mut again = Vec::new();
        for (at, key) in self.columns_keys(&keys)?.into_iter().enumerate() {
            let seen = Seen { before: before.rows.prints(key), mirror: mirror.prints(key), after: after.rows.prints(key) };
            match seen.judged(circumstances, suspicions.remove(&key)) {
                Verdict::Equal => {}
                Verdict::Different => {
                    verdict.different += 1;
                    if verdict.differences.len() < self.keep {
                        verdict.differences.push(self.describe(&keys, at, key, &before.rows, &mirror)?);
                    }
                }
                Verdict::LookAgain(suspicion) => {
                    suspicions.extend(suspicion.map(|s| (key, s)));
                    again.push(at);
                }
            }
        }
        taken(&keys, again.into_iter())
    }

    /// Fingerprints of keys that stand alone.
    fn columns_keys(&self, keys: &RecordBatch) -> Result<Vec<u128>> {
        let alone = Columns { schema: keys.schema(), key: (0..keys.num_columns()).collect() };
        Ok(alone.fingerprints(keys)?.keys)
    }

    async fn source(&mut self, keys: &RecordBatch) -> Result<Reading> {
        if self.columns.key.is_empty() {
            return self.whole_source(keys).await;
        }
        let mut batches = Vec::new();
        let mut positions: Option<(SourcePosition, SourcePosition, SourcePosition)> = None;
        for start in (0..keys.num_rows()).step_by(KEYS_PER_QUERY) {
            let some = keys.slice(start, KEYS_PER_QUERY.min(keys.num_rows() - start));
            let read = self.reader.rows(&key_rows(self.reader.schema(), &some)?).await?;
            batches.push(read.rows);
            positions = Some(match positions {
                None => (read.low, read.high.clone(), read.high),
                Some((low, first_high, _)) => (low, first_high, read.high),
            });
        }
        let (low, first_high, high) = positions.unwrap_or_default();
        Ok(Reading { rows: Side::new(self.columns, &batches)?, low, first_high, high })
    }

    /// Without a key, rows can only be found by reading all.
    async fn whole_source(&mut self, keys: &RecordBatch) -> Result<Reading> {
        let wanted: HashSet<u128> = self.columns_keys(keys)?.into_iter().collect();
        let mut batches = Vec::new();
        let mut source = SourceRows::new(self.reader);
        while let Some(batch) = source.next().await? {
            batches.push(only(self.columns, &wanted, &batch)?);
        }
        let (low, high) = (source.low, source.high);
        Ok(Reading { rows: Side::new(self.columns, &batches)?, low, first_high: high.clone(), high })
    }

    async fn mirror_rows(&self, keys: &RecordBatch) -> Result<Side> {
        let table = self.mirror.refresh().await?;
        let wanted: HashSet<u128> = self.columns_keys(keys)?.into_iter().collect();
        let mut scan = self.engine.open(&table).await?;
        let mut batches = Vec::new();
        while let Some(batch) = scan.next().await? {
            let found = only(self.columns, &wanted, &batch)?;
            if found.num_rows() > 0 {
                batches.push(found);
            }
        }
        Side::new(self.columns, &batches)
    }

    fn describe(&self, keys: &RecordBatch, at: usize, key: u128, source: &Side, mirror: &Side) -> Result<Difference> {
        let (in_source, in_mirror) = (source.of(key), mirror.of(key));
        let kind = match (in_source.len(), in_mirror.len()) {
            (_, 0) => DifferenceKind::MissingInMirror,
            (0, _) => DifferenceKind::OnlyInMirror,
            (s, m) if s != m => DifferenceKind::MoreThanOnce,
            _ => DifferenceKind::Values,
        };
        let mut columns = Vec::new();
        if let Some(&s) = in_source.first() {
            for (i, field) in self.columns.schema.fields().iter().enumerate() {
                let ours = text(&source.rows, i, s)?;
                for &m in in_mirror {
                    let theirs = text(&mirror.rows, i, m)?;
                    if ours != theirs {
                        columns.push(ColumnDifference { column: field.name().clone(), source: ours.clone(), mirror: theirs });
                    }
                }
            }
        }
        let parts = keys
            .schema_ref()
            .fields()
            .iter()
            .enumerate()
            .map(|(i, f)| Ok(KeyPart { column: f.name().clone(), value: text(keys, i, at)? }));
        Ok(Difference {
            key: parts.collect::<Result<Vec<_>>>()?,
            kind,
            source_count: in_source.len() as u64,
            mirror_count: in_mirror.len() as u64,
            columns,
        })
    }
}

/// The rows of a batch whose keys are wanted.
fn only(columns: &Columns, wanted: &HashSet<u128>, batch: &RecordBatch) -> Result<RecordBatch> {
    let aligned = columns.align(batch)?;
    let keys = columns.fingerprints(&aligned)?.keys;
    taken(&aligned, keys.iter().enumerate().filter(|(_, key)| wanted.contains(*key)).map(|(at, _)| at))
}

/// A batch of key columns in row form.
fn key_rows(schema: &TableSchema, keys: &RecordBatch) -> Result<Vec<Row>> {
    let types: Vec<&LogicalType> = schema.key_columns().map(|c| &c.logical_type).collect();
    (0..keys.num_rows())
        .map(|row| types.iter().zip(keys.columns()).map(|(kind, column)| value(kind, column.as_ref(), row)).collect())
        .collect()
}

fn value(kind: &LogicalType, column: &dyn Array, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => Value::Boolean(column.as_boolean().value(row)),
        DataType::Int32 => Value::Int(i64::from(column.as_primitive::<Int32Type>().value(row))),
        DataType::Date32 => Value::Int(i64::from(column.as_primitive::<Date32Type>().value(row))),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(..) => Value::Int(column.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => Value::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 if matches!(kind, LogicalType::Decimal { .. }) => {
            Value::Decimal(column.as_string::<i32>().value(row).to_owned())
        }
        DataType::Utf8 => Value::String(column.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_vec()),
        DataType::FixedSizeBinary(_) => Value::Bytes(column.as_fixed_size_binary().value(row).to_vec()),
        DataType::Decimal128(..) => {
            let decimal = column.as_primitive::<Decimal128Type>();
            match (kind, u64::try_from(decimal.value(row))) {
                (LogicalType::Integer { .. }, Ok(n)) => Value::UInt(n),
                _ => Value::Decimal(decimal.value_as_string(row)),
            }
        }
        other => return Err(Error::new(ErrorKind::Other, format!("a key of type {other} cannot be looked up"))),
    })
}

/// A value as text; `None` is NULL.
fn text(batch: &RecordBatch, column: usize, row: usize) -> Result<Option<String>> {
    let column = batch.column(column);
    if column.is_null(row) {
        return Ok(None);
    }
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(fault)?;
    Ok(Some(formatter.value(row).to_string()))
}

/// True if a reading that shows everything up to `low` shows everything up to `bound`.
fn shows(low: &SourcePosition, bound: &SourcePosition) -> bool {
    // What a view of MySQL shows is told by its transactions, of MariaDB by its place in the log.
    if low.log.file.is_empty() { low.transactions.contains(&bound.transactions) } else { low >= bound }
}

/// Some rows of a batch.
fn taken(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<RecordBatch> {
    let rows = UInt32Array::from_iter_values(rows.map(|at| u32::try_from(at).unwrap_or(u32::MAX)));
    take_record_batch(batch, &rows).map_err(fault)
}

fn fault(e: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Other, format!("rows cannot be compared: {e}")).with_source(e)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn seen(before: u128, mirror: u128, after: u128) -> Seen {
        Seen { before: vec![before], mirror: vec![mirror], after: vec![after] }
    }

    fn circumstances(source_shows_all: bool, was_quiet: bool) -> Circumstances {
        Circumstances { source_shows_all, was_quiet }
    }

    #[test]
    fn a_row_that_agrees_with_either_reading_is_equal() {
        for c in [circumstances(true, true), circumstances(false, false)] {
            assert_eq!(seen(1, 1, 2).judged(c, None), Verdict::Equal);
            assert_eq!(seen(1, 2, 2).judged(c, None), Verdict::Equal);
        }
    }

    #[test]
    fn while_the_source_rests_one_look_is_enough() {
        assert_eq!(seen(1, 2, 1).judged(circumstances(true, true), None), Verdict::Different);
    }

    #[test]
    fn a_row_that_changed_or_that_the_source_may_not_show_yet_is_never_called_different() {
        assert_eq!(seen(1, 2, 3).judged(circumstances(true, true), None), Verdict::LookAgain(None));
        assert_eq!(seen(1, 2, 1).judged(circumstances(false, true), None), Verdict::LookAgain(None));
    }

    #[test]
    fn while_the_source_is_written_to_only_looks_that_all_find_the_same_two_rows_count() {
        let busy = circumstances(true, false);
        let mut known = None;
        for look in 1..CONFIRMATIONS {
            let Verdict::LookAgain(next) = seen(1, 2, 1).judged(busy, known) else { panic!("after {look} looks") };
            known = next;
        }
        assert_eq!(seen(1, 2, 1).judged(busy, known.take()), Verdict::Different);
        // A row that changes to and fro differs now this way and now that.
        let mut known = None;
        for look in 0..10 * CONFIRMATIONS as u128 {
            let (source, mirror) = if look % 4 < 2 { (1, 2) } else { (2, 1) };
            let Verdict::LookAgain(next) = seen(source, mirror, source).judged(busy, known) else { panic!("after {look} looks") };
            known = next;
        }
    }

    #[test]
    fn what_a_view_shows_is_told_by_transactions_or_by_its_place() {
        let at = |file: &str, offset, transactions: &[u64]| {
            let mut position = SourcePosition { server: "s".to_owned(), ..SourcePosition::default() };
            (position.log.file, position.log.offset) = (file.to_owned(), offset);
            transactions.iter().for_each(|&n| position.transactions.insert("s", n));
            position
        };
        // MySQL: the end of its log says nothing of what is visible.
        let bound = at("mysql-bin.000001", 100, &[1, 2]);
        assert!(shows(&at("", 0, &[1, 2, 3]), &bound) && !shows(&at("", 0, &[1, 3]), &bound));
        // MariaDB: the place of the view.
        let bound = at("mariadb-bin.000009", 100, &[]);
        assert!(shows(&at("mariadb-bin.000010", 4, &[]), &bound) && !shows(&at("mariadb-bin.000009", 99, &[]), &bound));
    }
}
