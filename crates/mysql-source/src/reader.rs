use crate::chunk::{ChunkRange, KeyValue, Limit, SelectFailure, Selected, fetch, placeholder, select, select_list, table_name};
use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, text};
use crate::decode_buffers::RowBuffers;
use crate::schema_read::{TableRead, read_table};
use cdc_core::{Column, Error, ErrorKind, LogicalType, Result, Row, SourcePosition, TableId, TableSchema, Value};
use mysql_async::Value as Parameter;
use std::sync::Arc;

/// Reads rows of a table as a source would give them, for comparing them with a mirror.
///
/// The values are decoded by the same code as a snapshot's. See snapshot.md, "Verify uses the same idea": a difference counts
/// only if the row is the same after the mirror has applied [`ReadRows::high`].
pub struct TableReader {
    connection: Connection,
    schema: Arc<TableSchema>,
}

/// A place in a table's key order, from [`ReadRows::last`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPlace(Vec<KeyValue>);

/// Rows, and between which positions of the server they were so.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReadRows {
    /// The rows, in [`TableSchema::arrow_schema`].
    pub rows: arrow_array::RecordBatch,
    /// The place of the last one; `None` if there are none, or if the rows were asked for by key.
    pub last: Option<KeyPlace>,
    /// There are rows beyond it.
    pub more: bool,
    /// Zero and partial dates that are shown as 1970-01-01, since their column cannot be NULL: column and how many.
    pub mapped: Vec<(String, u64)>,
    /// The rows show everything up to here. On MySQL only its transactions count, not its place in the log.
    pub low: SourcePosition,
    /// The rows show nothing beyond here: a mirror that has applied this has applied all that they show.
    pub high: SourcePosition,
}

impl TableReader {
    /// Connects. `schema` is the version that the rows are to have: the newest one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the server cannot be reached or refuses.
    pub async fn open(config: &MysqlSourceConfig, schema: Arc<TableSchema>) -> Result<Self> {
        Ok(Self { connection: Connection::open(config).await?, schema })
    }

    /// Connects, and reads the table's columns from the server: version 1, field ids from 1.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the server cannot be reached or refuses; [`ErrorKind::Configuration`] if it has no such table, or
    /// one with columns that are not supported.
    pub async fn of_table(config: &MysqlSourceConfig, table: &TableId) -> Result<Self> {
        let mut connection = Connection::open(config).await?;
        let schema = match read_table(&mut connection, table).await? {
            TableRead::Schema(schema) => Arc::new(schema),
            TableRead::Unsupported(unsupported) => {
                let what = format!("{table} is not supported: {}", unsupported.why.join("; "));
                return Err(Error::new(ErrorKind::Configuration, what));
            }
            TableRead::Missing => {
                let what = format!("{table} is not on the server, or {} may not read it", config.user);
                return Err(Error::new(ErrorKind::Configuration, what));
            }
        };
        Ok(Self { connection, schema })
    }

    /// The columns of the rows.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.schema
    }

    /// The table.
    pub fn table(&self) -> &TableId {
        &self.schema.table
    }

    /// How many rows the table has at this moment. The server counts them one by one.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if the server cannot be reached, refuses, or has no such table.
    pub async fn count(&mut self) -> Result<u64> {
        let sql = format!("SELECT COUNT(*) FROM {}", table_name(&self.schema));
        let rows = self.connection.rows("counting rows", &sql).await?;
        Ok(rows.first().and_then(|r| text(r, 0)).and_then(|n| n.parse().ok()).unwrap_or(0))
    }

    /// At most `rows` rows after a place, in key order as the server's collations have it; a batch also ends at 32 MiB.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if the table has no key; else as [`count`](Self::count).
    pub async fn range(&mut self, after: Option<&KeyPlace>, rows: usize) -> Result<ReadRows> {
        if self.schema.key.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, format!("{} has no key to read ranges by", self.schema.table)));
        }
        let range = ChunkRange {
            schema: Arc::clone(&self.schema),
            last: after.map(|place| place.0.clone()),
            rows: rows.max(1),
            bytes: 32 << 20,
        };
        let low = self.begin().await?;
        let read = select(&mut self.connection, &range).await.map_err(SelectFailure::into_error)?;
        self.read_rows(read, low).await.map(|(rows, last)| ReadRows { last: last.map(KeyPlace), ..rows })
    }

    /// All rows at once, in no order, until they exceed so many bytes: for tables without a key. [`ReadRows::more`] tells that they did.
    ///
    /// # Errors
    /// As [`count`](Self::count).
    pub async fn whole(&mut self, bytes: usize) -> Result<ReadRows> {
        let schema = Arc::clone(&self.schema);
        let sql = format!("SELECT {} FROM {}", select_list(&schema, &[]), table_name(&schema));
        let low = self.begin().await?;
        let read = fetch(&mut self.connection, &schema, &sql, Vec::new(), Limit { rows: usize::MAX, bytes }).await;
        self.read_rows(read.map_err(SelectFailure::into_error)?, low).await.map(|(rows, _)| rows)
    }

    /// The rows of these keys, in any order; those that are not there are missing. A key's values are in key order.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if a value does not fit its column; else as [`range`](Self::range).
    pub async fn rows(&mut self, keys: &[Row]) -> Result<ReadRows> {
        let key: Vec<&Column> = self.schema.key_columns().collect();
        let mut parameters = Vec::new();
        let mut conditions = Vec::new();
        for row in keys {
            if row.len() != key.len() || key.is_empty() {
                let what = format!("a key of {} has {} values instead of {}", self.schema.table, row.len(), key.len());
                return Err(Error::new(ErrorKind::Invalid, what));
            }
            let mut one = Vec::new();
            for (column, value) in key.iter().zip(row) {
                one.push(equals(column, value, &mut parameters)?);
            }
            conditions.push(format!("({})", one.join(" AND ")));
        }
        let condition = if conditions.is_empty() { "FALSE".to_owned() } else { conditions.join(" OR ") };
        let sql = format!("SELECT {} FROM {} WHERE {condition}", select_list(&self.schema, &[]), table_name(&self.schema));
        let low = self.begin().await?;
        let schema = Arc::clone(&self.schema);
        let all = Limit { rows: usize::MAX, bytes: usize::MAX };
        let read = fetch(&mut self.connection, &schema, &sql, parameters, all).await;
        self.read_rows(read.map_err(SelectFailure::into_error)?, low).await.map(|(rows, _)| rows)
    }

    /// Rows that were just read, without the last one.
    async fn read_rows<L>(&mut self, read: Selected<L>, low: SourcePosition) -> Result<(ReadRows, Option<L>)> {
        let Selected { rows: mut buffers, last, more, .. } = read;
        let high = self.end().await?;
        let mapped = self.mapped(&buffers);
        Ok((ReadRows { rows: buffers.finish()?, last: None, more, mapped, low, high }, last))
    }

    fn mapped(&self, buffers: &RowBuffers) -> Vec<(String, u64)> {
        let columns = self.schema.columns.iter().map(|c| c.name.clone());
        columns.zip(buffers.mapped_dates()).filter(|(_, count)| *count > 0).collect()
    }

    async fn begin(&mut self) -> Result<SourcePosition> {
        let mut low = SourcePosition { server: self.connection.server.identity.clone(), ..Default::default() };
        match self.connection.server.kind {
            ServerKind::Mysql => low.transactions = self.connection.visible_transactions().await?,
            ServerKind::Mariadb => low.log = self.connection.open_view().await?.unwrap_or_default(),
        }
        Ok(low)
    }

    /// Everything that a SELECT has shown is in the log by now.
    async fn end(&mut self) -> Result<SourcePosition> {
        if self.connection.server.kind == ServerKind::Mariadb {
            self.connection.close_view().await?;
        }
        let transactions = self.connection.visible_transactions().await?;
        let log = self.connection.log_end().await?;
        Ok(SourcePosition { server: self.connection.server.identity.clone(), transactions, log, ..Default::default() })
    }
}

/// `column = ?` for a value as batches have it.
fn equals(column: &Column, value: &Value, parameters: &mut Vec<Parameter>) -> Result<String> {
    let (left, mut right) = (crate::connection::quoted(&column.name), placeholder(column));
    let parameter = match (&column.logical_type, value) {
        (LogicalType::Date, Value::Int(days)) => {
            right = "DATE'1970-01-01' + INTERVAL ? DAY".to_owned();
            Parameter::Int(*days)
        }
        (LogicalType::Timestamp { .. } | LogicalType::TimestampTz { .. }, Value::Int(us)) => {
            right = "TIMESTAMP'1970-01-01 00:00:00' + INTERVAL ? MICROSECOND".to_owned();
            Parameter::Int(*us)
        }
        (LogicalType::Time { .. }, Value::Int(us)) => time(*us),
        (LogicalType::Bits { .. }, Value::Bytes(bytes)) => {
            Parameter::UInt(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
        }
        (LogicalType::Boolean, Value::Boolean(set)) => Parameter::UInt(u64::from(*set)),
        (_, Value::Int(n)) => Parameter::Int(*n),
        (_, Value::UInt(n)) => Parameter::UInt(*n),
        (_, Value::Float(x)) => Parameter::Float(*x),
        (_, Value::Double(x)) => Parameter::Double(*x),
        (_, Value::Decimal(digits)) => Parameter::Bytes(digits.clone().into_bytes()),
        (_, Value::String(s)) => Parameter::Bytes(s.clone().into_bytes()),
        (LogicalType::Binary, Value::Bytes(bytes)) => {
            Parameter::Bytes(bytes.iter().map(|b| format!("{b:02X}")).collect::<String>().into_bytes())
        }
        (_, other) => {
            let what = format!("{other:?} cannot be a value of {}", column.name);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
    };
    parameters.push(parameter);
    Ok(format!("{left} = {right}"))
}

fn time(us: i64) -> Parameter {
    let (seconds, micros) = (us.unsigned_abs() / 1_000_000, us.unsigned_abs() % 1_000_000);
    let part = |n: u64| u8::try_from(n).unwrap_or(0);
    let days = u32::try_from(seconds / 86_400).unwrap_or(u32::MAX);
    let (hours, minutes) = (part(seconds / 3_600 % 24), part(seconds / 60 % 60));
    Parameter::Time(us < 0, days, hours, minutes, part(seconds % 60), u32::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_split_into_its_parts() {
        assert_eq!(time(-(34 * 3_600 + 61) * 1_000_000 - 5), Parameter::Time(true, 1, 10, 1, 1, 5));
    }
}
