//! Where a source begins, and whether it can go on where it stopped (exactly-once.md, section 6).

use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, text};
use crate::error::problem;
use crate::position::{file_number, format_gtid_set, parse_gtid_set, parse_mariadb_position};
use cdc_core::{ErrorKind, LogCoordinate, Result, SourcePosition, TransactionSet};

const KEEP_LONGER: &str = "keep binary logs longer: SET GLOBAL binlog_expire_logs_seconds = 604800";
const RESNAPSHOT: &str = "go on now: lakehouse resnapshot --only-needed";

/// The server's position now: a stream from there misses nothing that is not yet visible in its tables.
pub(crate) async fn first_position(connection: &mut Connection, config: &MysqlSourceConfig) -> Result<SourcePosition> {
    // The end of the log first: transactions that are in it but not in the set yet are sent again, and lie before it.
    let end = connection.log_end().await?;
    let (transactions, log) = match connection.server.kind {
        ServerKind::Mysql => {
            // Only what the stream has really sent may count as passed: the beginning of the file.
            (connection.visible_transactions().await?, LogCoordinate { file: end.file, offset: 4, row: 0 })
        }
        ServerKind::Mariadb => (mariadb_transactions(connection, &end).await?, end),
    };
    Ok(SourcePosition {
        server: connection.server.identity.clone(),
        transactions,
        log,
        log_created: 0,
        ts_us: i64::try_from((config.clock)().as_micros()).unwrap_or(i64::MAX),
    })
}

/// Where a server's changes are complete right now: for tools that compare a mirror with it.
///
/// # Errors
/// [`Unavailable`](ErrorKind::Unavailable) if the server cannot be reached or writes no log.
pub async fn current_position(config: &MysqlSourceConfig) -> Result<SourcePosition> {
    let mut connection = Connection::open(config).await?;
    let mut position = first_position(&mut connection, config).await?;
    if connection.server.kind == ServerKind::Mysql {
        position.log = connection.log_end().await?;
    }
    Ok(position)
}

async fn mariadb_transactions(connection: &mut Connection, at: &LogCoordinate) -> Result<TransactionSet> {
    let rows = connection
        .rows_with("reading the GTID of a position", "SELECT BINLOG_GTID_POS(?, ?)", (at.file.as_str(), at.offset))
        .await?;
    parse_mariadb_position(&rows.first().and_then(|r| text(r, 0)).unwrap_or_default())
}

/// Refuses, with the reason and the ways on, if the server cannot go on after `position`.
///
/// `same_server`: the stream only lost its connection, another server must not answer.
pub(crate) async fn check_resumable(
    connection: &mut Connection,
    config: &MysqlSourceConfig,
    position: &SourcePosition,
    same_server: bool,
) -> Result<()> {
    let address = config.address();
    let moved = position.server != connection.server.identity;
    if moved && same_server {
        return Err(problem(
            ErrorKind::Unavailable,
            format!("another server answers at {address} now"),
            &[&format!("it was {}, it is {}", position.server, connection.server.identity)],
            &["start again: the mirror checks whether it can go on there"],
        ));
    }
    if moved && (connection.server.kind == ServerKind::Mariadb || position.log.row > 0) {
        return Err(problem(
            ErrorKind::Unsafe,
            format!("cannot go on with the binary log of {address}"),
            &[&format!("the mirror has followed server {}, this one is {}", position.server, connection.server.identity)],
            &["connect to the server that was followed", "or read the tables again: lakehouse resnapshot"],
        ));
    }
    match connection.server.kind {
        ServerKind::Mysql => check_mysql(connection, &address, position).await,
        ServerKind::Mariadb => check_mariadb(connection, &address, position).await,
    }
}

async fn check_mysql(connection: &mut Connection, address: &str, position: &SourcePosition) -> Result<()> {
    let rows = connection.rows("reading GTID sets", "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.gtid_purged").await?;
    let set = |i| parse_gtid_set(&rows.first().and_then(|r| text(r, i)).unwrap_or_default());
    let (executed, purged) = (set(0)?, set(1)?);
    let lacking = position.transactions.minus(&executed);
    // A transaction is in the log, and was sent to us, a moment before it is in the set.
    if !lacking.is_empty() && !soon_visible(connection, &position.transactions).await? {
        return Err(problem(
            ErrorKind::Unsafe,
            format!("cannot go on with the binary log of {address}"),
            &[
                &format!("the server lacks transactions that this mirror has: {}", format_gtid_set(&lacking)),
                "it was reset (RESET BINARY LOGS AND GTIDS), restored from an older backup, or is another server",
            ],
            &["connect to the server that was followed", "or read the tables again: lakehouse resnapshot"],
        ));
    }
    let missing = purged.minus(&position.transactions);
    if !missing.is_empty() {
        return Err(problem(
            ErrorKind::Unsafe,
            format!("cannot read the binary log of {address}"),
            &[
                &format!("the server has purged transactions that this mirror still needs: {}", format_gtid_set(&missing)),
                &format!("the mirror stopped at {} (position {})", position.log.file, position.log.offset),
            ],
            &[KEEP_LONGER, RESNAPSHOT],
        ));
    }
    Ok(())
}

async fn soon_visible(connection: &mut Connection, set: &TransactionSet) -> Result<bool> {
    for _ in 0..50 {
        if connection.visible_transactions().await?.contains(set) {
            return Ok(true);
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(false)
}

async fn check_mariadb(connection: &mut Connection, address: &str, position: &SourcePosition) -> Result<()> {
    let rows = connection.rows("listing binary logs", "SHOW BINARY LOGS").await?;
    let files: Vec<(String, u64)> = rows.iter().filter_map(|r| Some((text(r, 0)?, text(r, 1)?.parse().ok()?))).collect();
    let wanted = &position.log;
    match files.iter().find(|(file, _)| *file == wanted.file) {
        Some((_, size)) if *size >= wanted.offset => {}
        Some((_, size)) => {
            return Err(problem(
                ErrorKind::Unsafe,
                format!("cannot go on with the binary log of {address}"),
                &[
                    &format!("{} has {size} bytes, this mirror has read {} of it", wanted.file, wanted.offset),
                    "the server was reset (RESET MASTER) or restored from an older backup",
                ],
                &["read the tables again: lakehouse resnapshot"],
            ));
        }
        None => {
            let reset = files.iter().all(|(file, _)| file_number(file) < file_number(&wanted.file));
            let (what, ways) = match reset {
                true => (
                    "the server's log is behind that place: it was reset (RESET MASTER) or restored",
                    &["read the tables again: lakehouse resnapshot"][..],
                ),
                false => ("the server has purged it", &[KEEP_LONGER, RESNAPSHOT][..]),
            };
            return Err(problem(
                ErrorKind::Unsafe,
                format!("cannot read the binary log of {address}"),
                &[
                    &format!("this mirror stopped at {} (position {}), which is not there any more", wanted.file, wanted.offset),
                    what,
                ],
                ways,
            ));
        }
    }
    let now = connection.visible_transactions().await?;
    let lacking = position.transactions.minus(&now);
    if !lacking.is_empty() {
        return Err(problem(
            ErrorKind::Unsafe,
            format!("cannot go on with the binary log of {address}"),
            &["the server lacks transactions that this mirror has: it was reset (RESET MASTER) or restored from an older backup"],
            &["read the tables again: lakehouse resnapshot"],
        ));
    }
    Ok(())
}
