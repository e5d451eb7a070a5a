//! Where a source begins, and whether it can go on where it stopped (exactly-once.md, section 6).

use crate::config::MysqlSourceConfig;
use crate::connection::{Connection, ServerKind, text};
use crate::error::problem;
use crate::position::{file_number, format_gtid_set, parse_gtid_set, parse_mariadb_position};
use crate::stream_log::file_created;
use cdc_core::{ErrorKind, LogCoordinate, Result, SourcePosition, TransactionSet};

const KEEP_LONGER: &str = "keep binary logs longer: SET GLOBAL binlog_expire_logs_seconds = 604800";
const RESNAPSHOT: &str = "go on now: lakehouse resnapshot --only-needed";
const RESNAPSHOT_ALL: &str = "or read the tables again: lakehouse resnapshot";

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

/// Whether a source that has come to `position` can go on from there.
///
/// # Errors
/// [`Unsafe`](ErrorKind::Unsafe) if it cannot: the message says why. [`Unavailable`](ErrorKind::Unavailable) if the server cannot be
/// reached or writes no log.
pub async fn check_position(config: &MysqlSourceConfig, position: &SourcePosition) -> Result<()> {
    let mut connection = Connection::open(config).await?;
    check_resumable(&mut connection, config, position.clone(), false).await.map(drop)
}

async fn mariadb_transactions(connection: &mut Connection, at: &LogCoordinate) -> Result<TransactionSet> {
    let rows = connection
        .rows_with("reading the GTID of a position", "SELECT BINLOG_GTID_POS(?, ?)", (at.file.as_str(), at.offset))
        .await?;
    parse_mariadb_position(&rows.first().and_then(|r| text(r, 0)).unwrap_or_default())
}

/// Where the server can go on after `position`; refuses, with the reason and the ways on, if it cannot.
///
/// That is `position` itself, unless its place in the log is gone although nothing after it is.
/// `same_server`: the stream only lost its connection, another server must not answer.
pub(crate) async fn check_resumable(
    connection: &mut Connection,
    config: &MysqlSourceConfig,
    position: SourcePosition,
    same_server: bool,
) -> Result<SourcePosition> {
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
            &["connect to the server that was followed", RESNAPSHOT_ALL],
        ));
    }
    if connection.server.kind == ServerKind::Mysql {
        check_gtids(connection, &address, &position).await?;
    }
    if moved {
        // The coordinates of another server's log mean nothing here: its transactions say where to go on.
        tracing::warn!(from = %position.server, to = %connection.server.identity, "going on with another server, by its GTIDs");
        let server = connection.server.identity.clone();
        return Ok(SourcePosition { server, log: LogCoordinate::default(), log_created: 0, ..position });
    }
    let position = check_file(connection, config, position).await?;
    if connection.server.kind == ServerKind::Mariadb {
        check_mariadb_transactions(connection, &address, &position).await?;
    }
    Ok(position)
}

/// The file in which the mirror stopped must be the one that it has read, and reach as far.
///
/// A reset log has files of the same names, and soon transactions of the same numbers: only the time in the file's first event
/// tells it from the old one.
async fn check_file(connection: &mut Connection, config: &MysqlSourceConfig, position: SourcePosition) -> Result<SourcePosition> {
    let wanted = &position.log;
    if wanted.file.is_empty() {
        return Ok(position);
    }
    let kind = connection.server.kind;
    let reset = match kind {
        ServerKind::Mysql => "RESET BINARY LOGS AND GTIDS",
        ServerKind::Mariadb => "RESET MASTER",
    };
    let refuse = |what: &str, why: &str| {
        Err(problem(
            ErrorKind::Unsafe,
            format!("cannot go on with the binary log of {}", config.address()),
            &[what, why],
            &["connect to the server that was followed", RESNAPSHOT_ALL],
        ))
    };
    let rows = connection.rows("listing binary logs", "SHOW BINARY LOGS").await?;
    let files: Vec<(String, u64)> = rows.iter().filter_map(|r| Some((text(r, 0)?, text(r, 1)?.parse().ok()?))).collect();
    if let Some((_, size)) = files.iter().find(|(file, _)| *file == wanted.file) {
        if *size < wanted.offset {
            return refuse(
                &format!("{} has {size} bytes, this mirror has read {} of it", wanted.file, wanted.offset),
                &format!("the server was reset ({reset}), restored from an older backup, or lost the end of its log in a crash"),
            );
        }
        if position.log_created != 0 && file_created(config, kind, &wanted.file).await? != position.log_created {
            return refuse(
                &format!("{} is another file than the one that this mirror has read", wanted.file),
                &format!("the server was reset ({reset}) or restored, and has written a new log since"),
            );
        }
        return Ok(position);
    }
    let same_name: Vec<&str> =
        files.iter().map(|(file, _)| file.as_str()).filter(|file| base_name(file) == base_name(&wanted.file)).collect();
    if !same_name.is_empty() && same_name.iter().all(|file| file_number(file) < file_number(&wanted.file)) {
        return refuse(
            &format!("this mirror has read {}, and the server's last file is {}", wanted.file, same_name.last().unwrap_or(&"")),
            &format!("the server was reset ({reset}) or restored from an older backup"),
        );
    }
    match kind {
        // Nothing that the mirror lacks was purged, as its transactions say.
        ServerKind::Mysql => Ok(position),
        ServerKind::Mariadb => after_purge(connection, config, position, files.first().map(|(file, _)| file.as_str())).await,
    }
}

/// MariaDB is asked for a place, and that of the mirror was purged: the beginning of its first file will do, if no transaction lies
/// between the two.
async fn after_purge(
    connection: &mut Connection,
    config: &MysqlSourceConfig,
    position: SourcePosition,
    first: Option<&str>,
) -> Result<SourcePosition> {
    if let Some(first) = first
        && position.log.row == 0
    {
        let log = LogCoordinate { file: first.to_owned(), offset: 4, row: 0 };
        if mariadb_transactions(connection, &log).await? == position.transactions {
            tracing::info!(file = first, "the file in which the mirror stopped was purged, and nothing came after it there");
            return Ok(SourcePosition { log, log_created: 0, ..position });
        }
    }
    Err(problem(
        ErrorKind::Unsafe,
        format!("cannot read the binary log of {}", config.address()),
        &[
            &format!(
                "this mirror stopped at {} (position {}), which is not there any more",
                position.log.file, position.log.offset
            ),
            "the server has purged it, with transactions that the mirror still needs",
        ],
        &[KEEP_LONGER, RESNAPSHOT],
    ))
}

/// A log file's name without its number.
fn base_name(file: &str) -> &str {
    file.rsplit_once('.').map_or(file, |(base, _)| base)
}

async fn check_gtids(connection: &mut Connection, address: &str, position: &SourcePosition) -> Result<()> {
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
            &["connect to the server that was followed", RESNAPSHOT_ALL],
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

async fn check_mariadb_transactions(connection: &mut Connection, address: &str, position: &SourcePosition) -> Result<()> {
    let now = connection.visible_transactions().await?;
    if position.transactions.minus(&now).is_empty() {
        return Ok(());
    }
    Err(problem(
        ErrorKind::Unsafe,
        format!("cannot go on with the binary log of {address}"),
        &["the server lacks transactions that this mirror has: it was reset (RESET MASTER) or restored from an older backup"],
        &["connect to the server that was followed", RESNAPSHOT_ALL],
    ))
}
