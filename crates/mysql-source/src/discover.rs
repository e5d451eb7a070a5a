use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, text};
use crate::error::problem;
use crate::schema_read::{IndexRow, key_candidates, read_indexes};
use cdc_core::{ErrorKind, Result, TableId};
use std::collections::BTreeMap;

/// A table of the server, as far as it tells without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiscoveredTable {
    /// Its name.
    pub table: TableId,
    /// The columns by which rows are told apart: the primary key, else the first unique key without NULLs; empty if there is none.
    pub key: Vec<String>,
    /// The storage engine's estimate of its rows.
    pub estimated_rows: u64,
    /// The bytes of its rows on disk, estimated.
    pub bytes: u64,
    /// The storage engine.
    pub engine: String,
    /// It has transactions, and so can show its rows as of one moment.
    pub has_transactions: bool,
}

impl DiscoveredTable {
    /// Bytes of a row on average, at least 1.
    pub(crate) fn row_bytes(&self) -> u64 {
        (self.bytes / self.estimated_rows.max(1)).max(1)
    }
}

/// The captured tables that are on the server, sorted by name.
///
/// # Errors
/// [`Unavailable`](cdc_core::ErrorKind::Unavailable) if the server cannot be reached or refuses.
pub async fn discover(config: &MysqlSourceConfig) -> Result<Vec<DiscoveredTable>> {
    list_tables(&mut Connection::open(config).await?, config).await
}

const DATABASES_OF_THE_SERVER: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// True for the server's own databases, which are never captured.
pub(crate) fn is_system_database(name: &str) -> bool {
    DATABASES_OF_THE_SERVER.iter().any(|d| d.eq_ignore_ascii_case(name))
}

/// The databases that the user sees, without the server's own.
pub(crate) async fn list_databases(conn: &mut Connection) -> Result<Vec<String>> {
    let rows = conn.rows("listing databases", "SELECT schema_name FROM information_schema.schemata ORDER BY schema_name").await?;
    Ok(rows.iter().filter_map(|r| text(r, 0)).filter(|name| !is_system_database(name)).collect())
}

/// Refuses to begin where no database of the server can hold a captured table: the name is wrong, or the user does not see it.
pub(crate) async fn require_database(conn: &mut Connection, config: &MysqlSourceConfig) -> Result<()> {
    let there = list_databases(conn).await?;
    if there.iter().any(|name| config.tables.matches_database(name)) {
        return Ok(());
    }
    let shown = there.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    let found = match there.len() {
        0 => format!("{} sees none", config.user),
        1..=10 => format!("{} sees {shown}", config.user),
        n => format!("{} sees {n}: {shown}, ...", config.user),
    };
    Err(problem(
        ErrorKind::Configuration,
        format!("no database of {} matches database.include.list and database.exclude.list", config.address()),
        &[&found],
        &[
            "check the name against SHOW DATABASES; a user sees only databases that it may read",
            "make the database first: it may be empty",
        ],
    ))
}

/// As [`discover`], on a connection.
pub(crate) async fn list_tables(conn: &mut Connection, config: &MysqlSourceConfig) -> Result<Vec<DiscoveredTable>> {
    let rows = conn
        .rows(
            "listing tables",
            "SELECT table_schema, table_name, COALESCE(table_rows, 0), COALESCE(data_length, 0), COALESCE(t.engine, ''), \
             COALESCE((SELECT e.transactions FROM information_schema.engines e WHERE e.engine = t.engine), '') \
             FROM information_schema.tables t WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') \
             AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')",
        )
        .await?;
    let mut tables: Vec<DiscoveredTable> = rows
        .iter()
        .map(|row| DiscoveredTable {
            table: TableId::new(text(row, 0).unwrap_or_default(), text(row, 1).unwrap_or_default()),
            key: Vec::new(),
            estimated_rows: text(row, 2).and_then(|n| n.parse().ok()).unwrap_or(0),
            bytes: text(row, 3).and_then(|n| n.parse().ok()).unwrap_or(0),
            engine: text(row, 4).unwrap_or_default(),
            has_transactions: text(row, 5).is_some_and(|yes| yes == "YES"),
        })
        .filter(|t| config.tables.matches(&t.table))
        .collect();
    tables.sort_by(|a, b| a.table.cmp(&b.table));
    let rows = conn
        .rows(
            "listing keys",
            "SELECT table_schema, table_name, index_name, column_name, nullable, sub_part FROM information_schema.statistics \
             WHERE non_unique = 0 AND table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') \
             ORDER BY table_schema, table_name, index_name, seq_in_index",
        )
        .await?;
    let mut indexes: BTreeMap<TableId, Vec<IndexRow>> = BTreeMap::new();
    for row in &rows {
        let table = TableId::new(text(row, 0).unwrap_or_default(), text(row, 1).unwrap_or_default());
        indexes.entry(table).or_default().push(IndexRow {
            unique: true,
            index: text(row, 2).unwrap_or_default(),
            column: text(row, 3),
            nullable: text(row, 4).is_some_and(|n| n.eq_ignore_ascii_case("YES")),
            prefix: text(row, 5).is_some(),
        });
    }
    for found in &mut tables {
        let Some(mut indexes) = indexes.remove(&found.table) else { continue };
        if key_candidates(&indexes).len() > 1 && !indexes.iter().any(|row| row.index == "PRIMARY") {
            // Which of them counts is the server's choice, and not told here. The table may be gone by now: then it does not matter.
            indexes = read_indexes(conn, &found.table).await.unwrap_or(indexes);
        }
        if let Some(key) = key_candidates(&indexes).first() {
            found.key = key.iter().map(|column| (*column).to_owned()).collect();
        }
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_databases_are_known_in_any_case() {
        assert!(is_system_database("MySQL") && is_system_database("sys") && !is_system_database("mysql2"));
    }
}
