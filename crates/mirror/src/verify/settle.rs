//! Whether rows that seemed different are.

use super::SourceRows;
use super::applied::Applied;
use super::fingerprint::Columns;
use super::report::{ColumnDifference, Difference, DifferenceKind, TableVerdict};
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

/// Keys that are read at once.
const AT_ONCE: usize = 500;
/// A row that changes at the source each time it is looked at is unsettled after so many times.
const TRIES: usize = 10;

/// Looks at candidates one by one.
pub(super) struct Settler<'a> {
    reader: &'a mut TableReader,
    applied: &'a Applied,
    columns: &'a Columns,
    mirror: &'a Table,
    keep: usize,
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
        keep: usize,
    ) -> Self {
        Self { reader, applied, columns, mirror, keep }
    }

    /// Adds what is found out of these candidates (batches of key columns) to the verdict.
    pub(super) async fn settle(&mut self, candidates: Vec<RecordBatch>, verdict: &mut TableVerdict) -> Result<()> {
        for batch in candidates {
            for start in (0..batch.num_rows()).step_by(AT_ONCE) {
                let mut keys = batch.slice(start, AT_ONCE.min(batch.num_rows() - start));
                for _ in 0..TRIES {
                    keys = self.look(keys, verdict).await?;
                    if keys.num_rows() == 0 {
                        break;
                    }
                }
                verdict.unsettled += keys.num_rows() as u64;
            }
        }
        Ok(())
    }

    /// Looks at these keys once; returns those whose rows changed at the source meanwhile.
    async fn look(&mut self, keys: RecordBatch, verdict: &mut TableVerdict) -> Result<RecordBatch> {
        let (before, high) = self.source(&keys).await?;
        self.applied.wait_for(&high).await?;
        let mirror = self.mirror_rows(&keys).await?;
        let (after, _) = self.source(&keys).await?;
        let mut changed = Vec::new();
        for (at, key) in self.columns_keys(&keys)?.into_iter().enumerate() {
            let (source, again, mirrored) = (before.prints(key), after.prints(key), mirror.prints(key));
            if source != again {
                changed.push(u32::try_from(at).unwrap_or(u32::MAX));
            } else if source != mirrored {
                verdict.different += 1;
                if verdict.differences.len() < self.keep {
                    verdict.differences.push(self.describe(&keys, at, key, &before, &mirror)?);
                }
            }
        }
        take_record_batch(&keys, &UInt32Array::from(changed)).map_err(fault)
    }

    /// Fingerprints of keys that stand alone.
    fn columns_keys(&self, keys: &RecordBatch) -> Result<Vec<u128>> {
        let alone = Columns { schema: keys.schema(), key: (0..keys.num_columns()).collect() };
        Ok(alone.fingerprints(keys)?.keys)
    }

    async fn source(&mut self, keys: &RecordBatch) -> Result<(Side, SourcePosition)> {
        if self.columns.key.is_empty() {
            return self.whole_source(keys).await;
        }
        let read = self.reader.rows(&key_rows(self.reader.schema(), keys)?).await?;
        Ok((Side::new(self.columns, &[read.rows])?, read.high))
    }

    /// Without a key, rows can only be found by reading all.
    async fn whole_source(&mut self, keys: &RecordBatch) -> Result<(Side, SourcePosition)> {
        let wanted: HashSet<u128> = self.columns_keys(keys)?.into_iter().collect();
        let mut batches = Vec::new();
        let mut source = SourceRows::new(self.reader);
        while let Some(batch) = source.next().await? {
            batches.push(only(self.columns, &wanted, &batch)?);
        }
        Ok((Side::new(self.columns, &batches)?, source.high))
    }

    async fn mirror_rows(&self, keys: &RecordBatch) -> Result<Side> {
        let table = self.mirror.refresh().await?;
        let wanted: HashSet<u128> = self.columns_keys(keys)?.into_iter().collect();
        let mut scan = table.scan().open().await?;
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
        if let (DifferenceKind::Values, [s], [m]) = (kind, in_source, in_mirror) {
            for (i, field) in self.columns.schema.fields().iter().enumerate() {
                let (ours, theirs) = (text(&source.rows, i, *s)?, text(&mirror.rows, i, *m)?);
                if ours != theirs {
                    columns.push(ColumnDifference { column: field.name().clone(), source: ours, mirror: theirs });
                }
            }
        }
        let parts =
            keys.schema_ref().fields().iter().enumerate().map(|(i, f)| Ok(format!("{}={}", f.name(), text(keys, i, at)?)));
        Ok(Difference {
            key: parts.collect::<Result<Vec<_>>>()?.join(", "),
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
    let rows = keys.iter().enumerate().filter(|(_, key)| wanted.contains(*key)).filter_map(|(at, _)| u32::try_from(at).ok());
    take_record_batch(&aligned, &UInt32Array::from_iter_values(rows)).map_err(fault)
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

fn text(batch: &RecordBatch, column: usize, row: usize) -> Result<String> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(batch.column(column).as_ref(), &options).map_err(fault)?;
    Ok(formatter.value(row).to_string())
}

fn fault(e: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Other, format!("rows cannot be compared: {e}")).with_source(e)
}
