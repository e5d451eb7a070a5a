//! A catalog in a SQLite file: opening it, and what its errors mean.

use super::database::{Cell, Database, Outcome, Transaction, Value};
use super::sql::{Dialect, LATER_COLUMNS, Text};
use super::{CatalogConfig, Opened, Reach};
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Durability, create_folders};
use async_trait::async_trait;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{Row, SqlitePool, TypeInfo, ValueRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Sqlite {
    path: PathBuf,
    pool: SqlitePool,
    /// SQLite has one writer; waiting here is fair and does not poll.
    writer: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sqlite").field(&self.path).finish()
    }
}

pub(super) async fn open(path: &Path, reach: Reach, config: &CatalogConfig) -> Result<Opened> {
    let pool = match reach {
        Reach::Write => open_to_write(path, config.busy_timeout, config.durability == Durability::Disk).await?,
        Reach::Read => open_read_only(path, config.busy_timeout).await?,
    };
    let has_type = match reach {
        Reach::Write => true,
        Reach::Read if !has_column(&pool, path, "iceberg_tables", "metadata_location").await? => {
            return Err(super::no_tables(&path.display()));
        }
        Reach::Read => has_column(&pool, path, "iceberg_tables", "iceberg_type").await?,
    };
    let database = Arc::new(Sqlite { path: path.to_path_buf(), pool, writer: tokio::sync::Mutex::new(()) });
    Ok(Opened { database, dialect: Dialect::Sqlite, has_type })
}

impl Sqlite {
    fn failed(&self, doing: &str, e: sqlx::Error) -> Error {
        describe(doing, &self.path, e)
    }

    /// Everything up to the COMMIT. `None`: a statement that had to change a row changed none.
    async fn prepare(&self, transaction: &Transaction<'_>) -> sqlx::Result<Option<sqlx::Transaction<'static, sqlx::Sqlite>>> {
        let mut tx = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        for statement in &transaction.statements {
            let query = sqlx::query_with(&statement.text.sql, bound(&statement.values));
            let rows = query.execute(&mut *tx).await?.rows_affected();
            if statement.one_row && rows != 1 {
                return Ok(None);
            }
        }
        Ok(Some(tx))
    }
}

#[async_trait]
impl Database for Sqlite {
    async fn rows(&self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>> {
        let rows = sqlx::query_with(&text.sql, bound(values)).fetch_all(&self.pool).await;
        let rows = rows.map_err(|e| self.failed("read", e))?;
        rows.iter().map(|row| cells(row).map_err(|e| self.failed("read", e))).collect()
    }

    async fn transact(&self, transaction: &Transaction<'_>) -> Outcome {
        let _one = self.writer.lock().await;
        let tx = match self.prepare(transaction).await {
            Ok(Some(prepared)) => prepared,
            Ok(None) => return Outcome::Unmet,
            Err(e) => return Outcome::Failed(self.failed("write", e)),
        };
        if transaction.is_swap {
            cdc_failpoint::hit("catalog-before-commit");
        }
        let committed = tx.commit().await;
        if transaction.is_swap {
            cdc_failpoint::hit("catalog-after-commit");
        }
        match committed {
            Ok(()) => Outcome::Done,
            Err(e) if certainly_not_applied(&e) => Outcome::Failed(self.failed("write", e)),
            Err(e) => Outcome::Unknown(self.failed("write", e)),
        }
    }

    async fn close(&self) {
        self.pool.close().await;
        // A connection that was on its way back when the pool was closed is in it now, and open.
        while self.pool.size() > 0 {
            self.pool.close().await;
        }
    }
}

fn bound<'a>(values: &[Value<'a>]) -> SqliteArguments<'a> {
    use sqlx::Arguments;
    let mut arguments = SqliteArguments::default();
    for value in values {
        // Adding texts and numbers cannot fail; a value that were missing would be NULL, which changes nothing.
        let added = match *value {
            Value::Text(text) => arguments.add(text),
            Value::Long(n) => arguments.add(n),
            Value::LongOrNull(n) => arguments.add(n),
        };
        drop(added);
    }
    arguments
}

fn cells(row: &SqliteRow) -> sqlx::Result<Vec<Cell>> {
    (0..row.len())
        .map(|i| {
            let raw = row.try_get_raw(i)?;
            if raw.is_null() {
                return Ok(Cell::Null);
            }
            Ok(match raw.type_info().name() {
                "INTEGER" => Cell::Long(row.try_get(i)?),
                _ => Cell::Text(row.try_get(i)?),
            })
        })
        .collect()
}

async fn has_column(database: impl sqlx::SqliteExecutor<'_>, path: &Path, table: &str, column: &str) -> Result<bool> {
    let count = sqlx::query_scalar("SELECT COUNT(*) FROM pragma_table_info(?1) WHERE name = ?2");
    let found: i64 = count.bind(table).bind(column).fetch_one(database).await.map_err(|e| describe("read", path, e))?;
    Ok(found > 0)
}

/// Opens the database, making it and its folder if missing, in WAL mode with `synchronous=FULL`: a commit that was
/// reported is on the disk.
async fn open_to_write(path: &Path, busy_timeout: Duration, full_sync: bool) -> Result<SqlitePool> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        let durability = if full_sync { Durability::Disk } else { Durability::Process };
        create_folders(folder, durability).map_err(|e| Error::iceberg("making the catalog's folder", e))?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if full_sync { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
        .busy_timeout(busy_timeout)
        .foreign_keys(false);
    let pool = connect(options, busy_timeout).await.map_err(|e| describe("open", path, e))?;
    // Two that begin at once make the tables one after the other.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.map_err(|e| describe("prepare", path, e))?;
    for (_, statement) in Dialect::Sqlite.create() {
        sqlx::query(&statement).execute(&mut *tx).await.map_err(|e| describe("prepare", path, e))?;
    }
    for (table, column, add) in LATER_COLUMNS {
        if !has_column(&mut *tx, path, table, column).await? {
            sqlx::query(add).execute(&mut *tx).await.map_err(|e| describe("prepare", path, e))?;
        }
    }
    tx.commit().await.map_err(|e| describe("prepare", path, e))?;
    Ok(pool)
}

/// Opens the database for reading. In WAL mode even that would make files beside it, and leave them. Who writes keeps its write-ahead
/// log there as long as it has the database open: without one nobody writes, and it is read as it lies.
async fn open_read_only(path: &Path, busy_timeout: Duration) -> Result<SqlitePool> {
    if !path.exists() {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no catalog {}; the first start of a mirror makes it", path.display()),
        ));
    }
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(busy_timeout).foreign_keys(false);
    let has_log = std::path::PathBuf::from(format!("{}-wal", path.display())).exists();
    let pool = connect(options.immutable(!has_log), busy_timeout).await.map_err(|e| describe("open", path, e))?;
    // Opening alone reads nothing.
    sqlx::query("SELECT count(*) FROM sqlite_master").fetch_one(&pool).await.map_err(|e| describe("read", path, e))?;
    Ok(pool)
}

async fn connect(options: SqliteConnectOptions, busy_timeout: Duration) -> sqlx::Result<SqlitePool> {
    SqlitePoolOptions::new()
        .max_connections(4)
        // The last one to be closed takes the write-ahead log with it, by which readers know that somebody writes.
        .max_lifetime(None)
        .idle_timeout(None)
        .test_before_acquire(false)
        .acquire_timeout(busy_timeout.saturating_mul(2).max(Duration::from_secs(5)))
        .connect_with(options)
        .await
}

/// SQLite's primary result code (<https://sqlite.org/rescode.html>), if the error is SQLite's.
fn code(e: &sqlx::Error) -> Option<u32> {
    match e {
        sqlx::Error::Database(d) => d.code()?.parse::<u32>().ok().map(|c| c & 0xff),
        _ => None,
    }
}

/// True if a failed COMMIT certainly changed nothing: SQLite was busy, read-only, or the disk full.
fn certainly_not_applied(e: &sqlx::Error) -> bool {
    matches!(code(e), Some(5 | 6 | 8 | 13))
}

/// The error with what to do about it.
fn describe(doing: &str, path: &Path, e: sqlx::Error) -> Error {
    let at = path.display();
    let (kind, message) = match code(&e) {
        Some(5 | 6) => (
            ErrorKind::Busy,
            format!("cannot {doing} the catalog {at}: another process holds it locked; end that process, or wait and try again"),
        ),
        Some(3 | 8) => (
            ErrorKind::NotWritable,
            format!("cannot {doing} the catalog {at}: it is read-only; give this user write access to the file and its folder"),
        ),
        Some(11 | 26) => (
            ErrorKind::Corrupt,
            format!(
                "cannot {doing} the catalog {at}: the file is damaged or no SQLite database; restore it from a copy, or give another path"
            ),
        ),
        Some(13) => (
            ErrorKind::DiskFull,
            format!("cannot {doing} the catalog {at}: no space is left; free some and start again, nothing is lost"),
        ),
        Some(14) => (
            ErrorKind::NotWritable,
            format!(
                "cannot {doing} the catalog {at}: the file cannot be opened; check that its folder exists and may be written"
            ),
        ),
        Some(10) => (ErrorKind::Io, format!("cannot {doing} the catalog {at}: the disk reported an error ({e})")),
        _ => match &e {
            sqlx::Error::PoolTimedOut => {
                (ErrorKind::Busy, format!("cannot {doing} the catalog {at}: all connections are in use; try again"))
            }
            _ => (ErrorKind::Other, format!("cannot {doing} the catalog {at}: {e}")),
        },
    };
    Error::new(kind, message).with_source(e)
}
