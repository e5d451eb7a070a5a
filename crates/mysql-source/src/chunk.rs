//! Reading a range of a table's rows in key order, with what of the server's history the rows are known to show.

use crate::connection::{Connection, ServerKind, quoted, text};
use crate::decode_buffers::RowBuffers;
use crate::error::{code, problem, server_code};
use crate::position::file_number;
use crate::snapshot::KeylessRows;
use crate::snapshot_row::SnapshotRowDecoder;

use cdc_core::{
    Column, Error, ErrorKind, LogCoordinate, LogicalType, Result, SourcePosition, TableId, TableSchema, TransactionSet,
};
use mysql_async::prelude::Queryable;
use mysql_async::{Params, Row, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// What a server had committed at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watermark {
    /// MySQL: these transactions.
    Transactions(TransactionSet),
    /// MariaDB: everything before this place of its log.
    At(LogCoordinate),
}

impl Watermark {
    /// What a stream at `position` has passed.
    pub(crate) fn of(kind: ServerKind, position: &SourcePosition) -> Self {
        match kind {
            ServerKind::Mysql => Self::Transactions(position.transactions.clone()),
            ServerKind::Mariadb => Self::At(position.log.clone()),
        }
    }

    /// True if a stream at `position` has passed all of this.
    pub(crate) fn is_passed_by(&self, position: &SourcePosition) -> bool {
        match self {
            Self::Transactions(set) => position.transactions.contains(set),
            Self::At(place) => at_or_after(&position.log, place),
        }
    }

    /// True if all of `other` is in this.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Transactions(mine), Self::Transactions(other)) => mine.contains(other),
            (Self::At(mine), Self::At(other)) => at_or_after(mine, other),
            _ => false,
        }
    }
}

/// True if `place` is not before `other`; both of one server, between transactions.
pub(crate) fn at_or_after(place: &LogCoordinate, other: &LogCoordinate) -> bool {
    (file_number(&place.file), place.offset) >= (file_number(&other.file), other.offset)
}

/// The value of one key column, in the form in which it goes back to the server as a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KeyValue {
    Int(i64),
    UInt(u64),
    /// The bits of a 32-bit float: exact in any text.
    Float(u32),
    /// The bits of a 64-bit float.
    Double(u64),
    /// Text, decimals.
    Text(String),
    /// Hexadecimal digits.
    Hex(String),
    /// Year, month, day, hour, minute, second, microsecond.
    Date(u16, u8, u8, u8, u8, u8, u32),
    /// Negative, days, hours, minutes, seconds, microseconds.
    Time(bool, u32, u8, u8, u8, u32),
}

impl KeyValue {
    fn read(column: &Column, value: &Value) -> Option<Self> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(match (&column.logical_type, value) {
            (LogicalType::Binary, Value::Bytes(bytes)) => Self::Hex(bytes.iter().map(|b| format!("{b:02X}")).collect()),
            (LogicalType::Boolean | LogicalType::Bits { .. }, Value::Bytes(bytes)) if bytes.len() <= 8 => {
                Self::UInt(bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
            }
            (_, Value::Int(n)) => Self::Int(*n),
            (_, Value::UInt(n)) => Self::UInt(*n),
            (_, Value::Float(x)) => Self::Float(x.to_bits()),
            (_, Value::Double(x)) => Self::Double(x.to_bits()),
            (_, Value::Bytes(bytes)) => Self::Text(text(bytes)?),
            (_, &Value::Date(y, m, d, h, min, s, us)) => Self::Date(y, m, d, h, min, s, us),
            (_, &Value::Time(neg, d, h, m, s, us)) => Self::Time(neg, d, h, m, s, us),
            (_, Value::NULL) => return None,
        })
    }

    fn parameter(&self) -> Value {
        match self {
            Self::Int(n) => Value::Int(*n),
            Self::UInt(n) => Value::UInt(*n),
            Self::Float(bits) => Value::Float(f32::from_bits(*bits)),
            Self::Double(bits) => Value::Double(f64::from_bits(*bits)),
            Self::Text(text) | Self::Hex(text) => Value::Bytes(text.as_bytes().to_vec()),
            &Self::Date(y, m, d, h, min, s, us) => Value::Date(y, m, d, h, min, s, us),
            &Self::Time(neg, d, h, m, s, us) => Value::Time(neg, d, h, m, s, us),
        }
    }
}

/// True if the server orders the column by a number that its text does not show.
fn is_ordinal(column: &Column) -> bool {
    matches!(column.logical_type, LogicalType::Enum { .. } | LogicalType::Set { .. })
}

/// The column in a comparison.
fn compared(column: &Column) -> String {
    match is_ordinal(column) {
        true => format!("({} + 0)", quoted(&column.name)),
        false => quoted(&column.name),
    }
}

/// The placeholder that a column is compared with. Comparisons are the server's own, in the column's collation.
pub(crate) fn placeholder(column: &Column) -> String {
    match &column.logical_type {
        LogicalType::Decimal { precision, scale } => format!("CAST(? AS DECIMAL({precision},{scale}))"),
        LogicalType::Binary => "UNHEX(?)".to_owned(),
        LogicalType::String => match (&column.native.charset, &column.native.collation) {
            (Some(charset), Some(collation)) if charset != "utf8mb4" => {
                format!("CONVERT(? USING {charset}) COLLATE {collation}")
            }
            _ => "?".to_owned(),
        },
        _ => "?".to_owned(),
    }
}

/// `(k1 > ?) OR (k1 = ? AND k2 > ?)`, with `k1 >= ?` before it, by which the server finds the range in the index.
fn after(key: &[&Column], last: &[KeyValue], parameters: &mut Vec<Value>) -> String {
    let mut sql = String::new();
    if let (Some(column), Some(value), true) = (key.first(), last.first(), key.len() > 1) {
        sql.push_str(&format!("{} >= {} AND ", compared(column), placeholder(column)));
        parameters.push(value.parameter());
    }
    sql.push('(');
    for (i, column) in key.iter().enumerate() {
        if i > 0 {
            sql.push_str(" OR ");
        }
        sql.push('(');
        for (before, value) in key.iter().zip(last).take(i) {
            sql.push_str(&format!("{} = {} AND ", compared(before), placeholder(before)));
            parameters.push(value.parameter());
        }
        sql.push_str(&format!("{} > {})", compared(column), placeholder(column)));
        parameters.extend(last.get(i).map(KeyValue::parameter));
    }
    sql.push(')');
    sql
}

/// Which rows a [`read_chunk`] reads.
#[derive(Debug, Clone)]
pub(crate) struct ChunkRange {
    /// The table and its columns.
    pub(crate) schema: Arc<TableSchema>,
    /// The key of the last row before the chunk; `None` for the beginning.
    pub(crate) last: Option<Vec<KeyValue>>,
    /// At most so many rows.
    pub(crate) rows: usize,
    /// The chunk ends at the row with which the bytes that the server sent reach this: it may have one row, whatever its size.
    pub(crate) bytes: usize,
}

/// What a [`read_chunk`] read.
pub(crate) struct Chunk {
    /// The rows, in key order.
    pub(crate) rows: RowBuffers,
    /// The key of the last one; `None` if there are none.
    pub(crate) last: Option<Vec<KeyValue>>,
    /// There are rows beyond it.
    pub(crate) more: bool,
    /// The bytes of the rows, as the server sent them.
    pub(crate) bytes: usize,
    /// A stream that has passed this has passed all that the rows show, and more at most.
    pub(crate) high: Watermark,
}

/// Why a chunk could not be read.
pub(crate) struct ChunkFailure {
    /// What happened.
    pub(crate) error: Error,
    /// The table may have been changed meanwhile: the stream will say so before it passes this.
    pub(crate) altered_before: Option<Watermark>,
}

impl From<Error> for ChunkFailure {
    fn from(error: Error) -> Self {
        Self { error, altered_before: None }
    }
}

/// Reads rows in key order in one consistent read, which is no older than all that is in `emitted` (snapshot protocol,
/// steps 2 to 4).
pub(crate) async fn read_chunk(conn: &mut Connection, range: &ChunkRange, emitted: &Watermark) -> Result<Chunk, ChunkFailure> {
    let view = begin_not_before(conn, emitted).await?;
    let read = select(conn, range).await;
    let high = match view {
        Some(at) => {
            conn.close_view().await?;
            at
        }
        None => Watermark::Transactions(conn.visible_transactions().await?),
    };
    match read {
        Ok(Selected { rows, last, more, bytes }) => Ok(Chunk { rows, last, more, bytes, high }),
        Err(SelectFailure::Altered(error)) => {
            // What the stream has to pass to see the change: all that is in the log by now.
            let altered_before = match conn.server.kind {
                ServerKind::Mysql => high,
                ServerKind::Mariadb => Watermark::At(conn.log_end().await?),
            };
            Err(ChunkFailure { error, altered_before: Some(altered_before) })
        }
        Err(SelectFailure::Other(error)) => Err(error.into()),
    }
}

/// Waits until the server shows all of `emitted`. MariaDB: with an open view, whose place is returned.
///
/// A transaction is in the binary log, and is sent to us, before the storage engine shows it (snapshot protocol, "The trap").
pub(crate) async fn begin_not_before(conn: &mut Connection, emitted: &Watermark) -> Result<Option<Watermark>> {
    let mut pause = Duration::from_millis(1);
    loop {
        match conn.server.kind {
            ServerKind::Mysql => {
                if Watermark::Transactions(conn.visible_transactions().await?).includes(emitted) {
                    return Ok(None);
                }
            }
            ServerKind::Mariadb => {
                if let Some(place) = conn.open_view().await? {
                    let at = Watermark::At(place);
                    if at.includes(emitted) {
                        return Ok(Some(at));
                    }
                    conn.close_view().await?;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Why a query gave no rows.
pub(crate) enum SelectFailure {
    /// The table is not what its schema says, or not any more.
    Altered(Error),
    Other(Error),
}

impl SelectFailure {
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Altered(e) | Self::Other(e) => e,
        }
    }
}

/// What a query gave.
pub(crate) struct Selected<L> {
    pub(crate) rows: RowBuffers,
    /// The last row; `None` if there are none.
    pub(crate) last: Option<L>,
    /// There are rows beyond it.
    pub(crate) more: bool,
    /// The bytes of the rows, as the server sent them.
    pub(crate) bytes: usize,
}

/// Reads the rows of a range; of the last one, the key.
pub(crate) async fn select(conn: &mut Connection, range: &ChunkRange) -> Result<Selected<Vec<KeyValue>>, SelectFailure> {
    let schema = &range.schema;
    let key: Vec<&Column> = schema.key_columns().collect();
    let ordinals: Vec<&Column> = key.iter().copied().filter(|c| is_ordinal(c)).collect();
    let mut parameters = Vec::new();
    let condition = range.last.as_ref().map(|last| format!(" WHERE {}", after(&key, last, &mut parameters)));
    let sql = format!(
        "SELECT {} FROM {}{} ORDER BY {} LIMIT {}",
        select_list(schema, &ordinals),
        table_name(schema),
        condition.unwrap_or_default(),
        key.iter().map(|c| quoted(&c.name)).collect::<Vec<_>>().join(", "),
        range.rows.saturating_add(1),
    );
    let limit = Limit { rows: range.rows, bytes: range.bytes };
    let Selected { rows, last, more, bytes } = fetch(conn, schema, &sql, parameters, limit).await?;
    let last = match last {
        None => None,
        Some(values) => Some(key_of(schema, &key, &values).map_err(SelectFailure::Other)?),
    };
    Ok(Selected { rows, last, more, bytes })
}

/// Where a read ends.
pub(crate) struct Limit {
    /// At this row. The query itself has one more at most.
    pub(crate) rows: usize,
    /// At the row with which the bytes reach this.
    pub(crate) bytes: usize,
}

impl Limit {
    /// What the server may still send, behind so many rows of so many bytes and one more, is soon read over.
    fn rest_is_small(&self, rows: usize, bytes: usize) -> bool {
        let rest = self.rows.saturating_sub(rows);
        rest.saturating_mul(bytes / rows.max(1)) <= self.bytes
    }
}

/// Runs a query and decodes its rows up to the limit; of the last one, the raw values.
pub(crate) async fn fetch(
    conn: &mut Connection,
    schema: &Arc<TableSchema>,
    sql: &str,
    parameters: Vec<Value>,
    limit: Limit,
) -> Result<Selected<Vec<Value>>, SelectFailure> {
    let doing = format!("reading {}", schema.table);
    let decoder = SnapshotRowDecoder::new(Arc::clone(schema));
    let mut buffers = RowBuffers::new(Arc::clone(schema)).map_err(|e| SelectFailure::Other(e.into()))?;
    let parameters = if parameters.is_empty() { Params::Empty } else { Params::Positional(parameters) };
    let mut failure = None;
    let (mut last, mut more, mut bytes) = (None, false, 0usize);
    let outcome = async {
        let mut result = conn.conn.exec_iter(sql, parameters).await?;
        while let Some(row) = result.next().await? {
            if buffers.rows() >= limit.rows || bytes >= limit.bytes {
                more = true;
                if !limit.rest_is_small(buffers.rows(), bytes) {
                    return Ok(true);
                }
                break;
            }
            let values = raw_values(row);
            bytes = bytes.saturating_add(raw_bytes(&values));
            if let Err(e) = decoder.append_values(values.get(..schema.columns.len()).unwrap_or(&[]).iter(), &mut buffers) {
                failure = Some(e);
                break;
            }
            last = Some(values);
        }
        result.drop_result().await?;
        Ok(false)
    };
    match outcome.await {
        Ok(false) => {}
        Ok(true) => conn.cut_off().await.map_err(SelectFailure::Other)?,
        Err(e) if matches!(server_code(&e), Some(code::UNKNOWN_COLUMN | code::NO_SUCH_TABLE)) => {
            return Err(SelectFailure::Altered(conn.explain(&doing, e)));
        }
        // Also that the table was rebuilt since the view was opened (MariaDB, error 1412): another view shows it.
        Err(e) => return Err(SelectFailure::Other(conn.explain(&doing, e))),
    }
    match failure {
        // The columns may have another type by now.
        Some(e) => Err(SelectFailure::Altered(e.into())),
        None => Ok(Selected { rows: buffers, last, more, bytes }),
    }
}

fn raw_values(row: Row) -> Vec<Value> {
    row.unwrap_raw().into_iter().map(|v| v.unwrap_or(Value::NULL)).collect()
}

/// The bytes of a row, as the server sent it.
fn raw_bytes(values: &[Value]) -> usize {
    let bytes = |value: &Value| match value {
        Value::Bytes(bytes) => bytes.len(),
        _ => size_of::<u64>(),
    };
    values.iter().map(bytes).fold(0, usize::saturating_add)
}

/// A table without a key is read as of one place in the log, which an engine without transactions cannot show: what is inserted while it
/// is read would be there twice, and nothing could tell.
async fn has_views(conn: &mut Connection, table: &TableId) -> Result<()> {
    const ENGINE: &str = "SELECT t.engine, e.transactions FROM information_schema.tables t \
                          LEFT JOIN information_schema.engines e ON e.engine = t.engine \
                          WHERE t.table_schema = ? AND t.table_name = ?";
    let names = (table.database.clone(), table.table.clone());
    let rows = conn.rows_with(&format!("asking for the engine of {table}"), ENGINE, names).await?;
    // One that is gone is found missing by the SELECT.
    let Some(row) = rows.first().filter(|row| text(row, 1).as_deref() != Some("YES")) else { return Ok(()) };
    let engine = text(row, 0).unwrap_or_default();
    Err(Error::new(
        ErrorKind::Unsafe,
        format!(
            "{table} has no key, and its engine {engine} no transactions: what is inserted meanwhile could not be told from what is read; give it a key, or ENGINE=InnoDB, or leave the table out"
        ),
    ))
}

/// Reads a whole table in the view that is open, and sends its rows in batches.
pub(crate) async fn read_all(
    conn: &mut Connection,
    schema: &Arc<TableSchema>,
    bytes: usize,
    out: &mpsc::Sender<KeylessRows>,
) -> Result<()> {
    let doing = format!("reading {}", schema.table);
    has_views(conn, &schema.table).await?;
    let decoder = SnapshotRowDecoder::new(Arc::clone(schema));
    let (mut buffers, mut held) = (RowBuffers::new(Arc::clone(schema))?, 0usize);
    let sql = format!("SELECT {} FROM {}", select_list(schema, &[]), table_name(schema));
    let failed = |e| crate::error::explain(&conn.config, &doing, e);
    let mut result = conn.conn.exec_iter(sql, Params::Empty).await.map_err(failed)?;
    while let Some(row) = result.next().await.map_err(failed)? {
        let values = raw_values(row);
        held = held.saturating_add(raw_bytes(&values));
        decoder.append_values(values.iter(), &mut buffers)?;
        if held >= bytes {
            held = 0;
            let full = std::mem::replace(&mut buffers, RowBuffers::new(Arc::clone(schema))?);
            if out.send(KeylessRows::Rows(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    result.drop_result().await.map_err(failed)?;
    if buffers.rows() > 0 && out.send(KeylessRows::Rows(buffers)).await.is_err() {
        return Ok(());
    }
    conn.close_view().await
}

/// The key of a row of [`select_list`].
fn key_of(schema: &TableSchema, key: &[&Column], values: &[Value]) -> Result<Vec<KeyValue>> {
    let mut extra = schema.columns.len();
    let mut out = Vec::with_capacity(key.len());
    for (column, &index) in key.iter().zip(&schema.key) {
        let at = if is_ordinal(column) {
            extra = extra.saturating_add(1);
            extra - 1
        } else {
            index
        };
        let value = values.get(at).and_then(|v| KeyValue::read(column, v)).ok_or_else(|| {
            problem(
                ErrorKind::Unsafe,
                format!("a row of {} cannot be found again by its key", schema.table),
                &[&format!("the value of {} is NULL or no text", column.name)],
                &["exclude the table, or give it a primary key of another type"],
            )
        })?;
        out.push(value);
    }
    Ok(out)
}

/// All columns, then the numbers of ENUM and SET key columns.
pub(crate) fn select_list(schema: &TableSchema, ordinals: &[&Column]) -> String {
    let columns = schema.columns.iter().map(|c| quoted(&c.name));
    columns.chain(ordinals.iter().map(|c| format!("{} + 0", quoted(&c.name)))).collect::<Vec<_>>().join(", ")
}

/// The table, quoted.
pub(crate) fn table_name(schema: &TableSchema) -> String {
    format!("{}.{}", quoted(&schema.table.database), quoted(&schema.table.table))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use cdc_core::NativeType;

    fn column(name: &str, logical_type: LogicalType) -> Column {
        Column {
            field_id: 1,
            name: name.to_owned(),
            logical_type,
            nullable: false,
            default: None,
            default_expression: None,
            auto_increment: false,
            generated: None,
            comment: None,
            native: NativeType::default(),
        }
    }

    #[test]
    fn a_composite_key_is_compared_column_by_column() {
        let (a, b) = (column("a", LogicalType::Integer { bits: 32, unsigned: false }), column("b`", LogicalType::Binary));
        let mut parameters = Vec::new();
        let sql = after(&[&a, &b], &[KeyValue::Int(7), KeyValue::Hex("FF".to_owned())], &mut parameters);
        assert_eq!(sql, "`a` >= ? AND ((`a` > ?) OR (`a` = ? AND `b``` > UNHEX(?)))");
        assert_eq!(parameters, [Value::Int(7), Value::Int(7), Value::Int(7), Value::Bytes(b"FF".to_vec())]);
    }

    #[test]
    fn enums_compare_by_their_number_and_decimals_as_decimals() {
        let e = column("e", LogicalType::Enum { values: vec![] });
        let mut parameters = Vec::new();
        assert_eq!(after(&[&e], &[KeyValue::UInt(2)], &mut parameters), "(((`e` + 0) > ?))");
        let d = column("d", LogicalType::Decimal { precision: 10, scale: 2 });
        assert_eq!(placeholder(&d), "CAST(? AS DECIMAL(10,2))");
    }

    #[test]
    fn keys_survive_the_progress_record() {
        let key = vec![
            KeyValue::Int(i64::MIN),
            KeyValue::UInt(u64::MAX),
            KeyValue::Double(0.1f64.to_bits()),
            KeyValue::Text("é'\"".to_owned()),
            KeyValue::Date(2024, 2, 29, 1, 2, 3, 4),
            KeyValue::Time(true, 34, 22, 59, 59, 1),
        ];
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<Vec<KeyValue>>(&text).unwrap(), key);
    }

    #[test]
    fn what_is_left_of_a_query_is_read_over_only_if_it_is_small() {
        let limit = Limit { rows: 1_000, bytes: 8 << 20 };
        assert!(limit.rest_is_small(1_000, 100_000), "nothing is left");
        assert!(limit.rest_is_small(500, 4 << 20), "as much again");
        assert!(!limit.rest_is_small(1, 10 << 20), "999 rows of 10 MiB");
        let all = Limit { rows: usize::MAX, bytes: 8 << 20 };
        assert!(!all.rest_is_small(10, 8 << 20), "nobody knows");
    }

    #[test]
    fn a_watermark_is_passed_by_file_number_then_offset() {
        let at = |file: &str, offset| LogCoordinate { file: file.to_owned(), offset, row: 0 };
        let position = SourcePosition { log: at("b.000010", 4), ..Default::default() };
        assert!(Watermark::At(at("b.000009", 999)).is_passed_by(&position));
        assert!(!Watermark::At(at("b.000010", 5)).is_passed_by(&position));
    }
}
