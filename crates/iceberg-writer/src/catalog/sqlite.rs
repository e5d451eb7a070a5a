//! The catalog's database: opening it, and what its errors mean.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::{Durability, create_folders};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::time::Duration;

/// Opens the database, making it and its folder if missing, in WAL mode with `synchronous=FULL`: a commit that was
/// reported is on the disk.
pub(super) async fn open(path: &Path, busy_timeout: Duration, full_sync: bool) -> Result<SqlitePool> {
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
    for statement in super::sql::CREATE {
        sqlx::query(statement).execute(&pool).await.map_err(|e| describe("prepare", path, e))?;
    }
    for (is_there, add) in super::sql::LATER_COLUMNS {
        let found: i64 = sqlx::query_scalar(is_there).fetch_one(&pool).await.map_err(|e| describe("read", path, e))?;
        if found == 0 {
            sqlx::query(add).execute(&pool).await.map_err(|e| describe("prepare", path, e))?;
        }
    }
    Ok(pool)
}

/// Opens the database for reading. In WAL mode even that would make files beside it, and leave them. Who writes keeps its write-ahead
/// log there as long as it has the database open: without one nobody writes, and it is read as it lies.
pub(super) async fn open_read_only(path: &Path, busy_timeout: Duration) -> Result<SqlitePool> {
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
pub(super) fn certainly_not_applied(e: &sqlx::Error) -> bool {
    matches!(code(e), Some(5 | 6 | 8 | 13))
}

/// The error with what to do about it.
pub(super) fn describe(doing: &str, path: &Path, e: sqlx::Error) -> Error {
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
