use crate::config::{MysqlSourceConfig, TlsMode};
use crate::error::{explain, problem};
use crate::position::{parse_gtid_set, parse_mariadb_position};
use cdc_core::{Error, ErrorKind, LogCoordinate, Result, TransactionSet};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error as Driver, IoError, Opts, OptsBuilder, Params, Row, SslOpts, Value};
use std::fmt;

/// The two families of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerKind {
    /// Oracle MySQL and what descends from it (Percona Server).
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// Who a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The family.
    pub kind: ServerKind,
    /// The version as it prints it.
    pub version: String,
    /// What tells it from others: `server_uuid` (MySQL), `server_id` (MariaDB).
    pub identity: String,
}

impl fmt::Display for ServerInfo {
    /// `MySQL 9.7.4`, `MariaDB 10.11.19`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ServerKind::Mysql => write!(f, "MySQL {}", self.version),
            ServerKind::Mariadb => write!(f, "MariaDB {}", self.version.split("-MariaDB").next().unwrap_or_default()),
        }
    }
}

/// Connects once and says which server it is.
///
/// # Errors
/// [`ErrorKind::Unavailable`] if the server cannot be reached or refuses.
pub async fn server_info(config: &MysqlSourceConfig) -> Result<ServerInfo> {
    Ok(Connection::open(config).await?.server)
}

/// A connection for reading tables and variables: UTC, UTF-8, read-only.
pub(crate) struct Connection {
    pub(crate) conn: Conn,
    pub(crate) config: MysqlSourceConfig,
    pub(crate) server: ServerInfo,
}

impl Connection {
    /// Connects and sets up the session. Fails with [`ErrorKind::Unavailable`] and what to do.
    pub(crate) async fn open(config: &MysqlSourceConfig) -> Result<Self> {
        let mut conn = connect(config).await?;
        let failed = |e| explain(config, "setting up the session", e);
        let row: Option<Row> = conn.query_first("SELECT VERSION(), @@version_comment, @@server_id").await.map_err(failed)?;
        let row =
            row.ok_or_else(|| Error::new(ErrorKind::Unavailable, format!("{} does not answer a query", config.address())))?;
        let version = text(&row, 0).unwrap_or_default();
        let kind = match version.to_ascii_lowercase().contains("mariadb") || text(&row, 1).unwrap_or_default().contains("MariaDB")
        {
            true => ServerKind::Mariadb,
            false => ServerKind::Mysql,
        };
        let identity = match kind {
            ServerKind::Mariadb => text(&row, 2).unwrap_or_default(),
            ServerKind::Mysql => conn.query_first("SELECT @@server_uuid").await.map_err(failed)?.unwrap_or_default(),
        };
        // A long read must not be cut by a server-wide limit for the queries of people.
        let limit = match kind {
            ServerKind::Mysql => "max_execution_time = 0",
            ServerKind::Mariadb => "max_statement_time = 0",
        };
        conn.query_drop(format!(
            "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 600, wait_timeout = 86400, {limit}"
        ))
        .await
        .map_err(failed)?;
        conn.query_drop("SET NAMES utf8mb4").await.map_err(failed)?;
        conn.query_drop("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(failed)?;
        Ok(Self { conn, config: config.clone(), server: ServerInfo { kind, version, identity } })
    }

    /// What a driver error on this connection means.
    pub(crate) fn explain(&self, doing: &str, error: Driver) -> Error {
        explain(&self.config, doing, error)
    }

    /// Runs a statement in the text protocol.
    pub(crate) async fn run(&mut self, doing: &str, sql: &str) -> Result<()> {
        self.conn.query_drop(sql).await.map_err(|e| explain(&self.config, doing, e))
    }

    /// All rows of a query, values as text.
    pub(crate) async fn rows(&mut self, doing: &str, sql: &str) -> Result<Vec<Row>> {
        self.conn.query(sql).await.map_err(|e| explain(&self.config, doing, e))
    }

    /// All rows of a parameterised query.
    pub(crate) async fn rows_with(&mut self, doing: &str, sql: &str, params: impl Into<Params> + Send) -> Result<Vec<Row>> {
        self.conn.exec(sql, params).await.map_err(|e| explain(&self.config, doing, e))
    }

    /// Ends the query under way, of which more rows would come, and its session with it; this is a new one.
    pub(crate) async fn cut_off(&mut self) -> Result<()> {
        let mut new = Self::open(&self.config).await?;
        // A driver that drops a connection reads first what still comes over it. It may have ended by itself: then nothing comes.
        let kill = format!("KILL {}", self.conn.id());
        if let Err(e) = new.conn.query_drop(kill).await {
            tracing::debug!("a query that is not needed any more was not ended: {e}");
        }
        *self = new;
        Ok(())
    }

    /// The value of a global variable; `None` if the server has none of that name.
    pub(crate) async fn variable(&mut self, name: &str) -> Result<Option<String>> {
        let rows = self.rows_with("reading server variables", "SHOW GLOBAL VARIABLES WHERE Variable_name = ?", (name,)).await;
        // MariaDB does not prepare every SHOW; names are our own constants.
        let rows = match rows {
            Ok(rows) => rows,
            Err(_) => self.rows("reading server variables", &format!("SHOW GLOBAL VARIABLES LIKE '{name}'")).await?,
        };
        Ok(rows.first().and_then(|r| text(r, 1)))
    }

    /// All transactions whose effect every new read view of this server shows.
    ///
    /// MySQL: `gtid_executed` gains a transaction only after the storage engine has committed it (manual, "GTID Life Cycle").
    /// MariaDB has no such set: use [`Connection::open_view`].
    pub(crate) async fn visible_transactions(&mut self) -> Result<TransactionSet> {
        match self.server.kind {
            ServerKind::Mysql => {
                let rows = self.rows("reading gtid_executed", "SELECT @@GLOBAL.gtid_executed").await?;
                parse_gtid_set(&rows.first().and_then(|r| text(r, 0)).unwrap_or_default())
            }
            ServerKind::Mariadb => {
                let rows = self.rows("reading gtid_binlog_pos", "SELECT @@GLOBAL.gtid_binlog_pos").await?;
                parse_mariadb_position(&rows.first().and_then(|r| text(r, 0)).unwrap_or_default())
            }
        }
    }

    /// The end of the binary log. Transactions before it may not be visible in tables yet.
    pub(crate) async fn log_end(&mut self) -> Result<LogCoordinate> {
        let doing = "reading the end of the binary log";
        let first = match self.server.kind {
            ServerKind::Mysql => "SHOW BINARY LOG STATUS",
            ServerKind::Mariadb => "SHOW MASTER STATUS",
        };
        let rows = match self.conn.query::<Row, _>(first).await {
            Ok(rows) => rows,
            // Before 8.2 the statement has its old name alone.
            Err(Driver::Server(e)) if e.code == 1064 => self.rows(doing, "SHOW MASTER STATUS").await?,
            Err(e) => return Err(self.explain(doing, e)),
        };
        let coordinate =
            rows.first().and_then(|r| Some(LogCoordinate { file: text(r, 0)?, offset: text(r, 1)?.parse().ok()?, row: 0 }));
        coordinate.ok_or_else(|| {
            problem(
                ErrorKind::Unavailable,
                format!("{} writes no binary log", self.config.address()),
                &["SHOW BINARY LOG STATUS is empty"],
                &["set log_bin in the server's configuration and restart it"],
            )
        })
    }

    /// Opens a read view and, on MariaDB, says at which place of the binary log it is: exactly, without a lock.
    pub(crate) async fn open_view(&mut self) -> Result<Option<LogCoordinate>> {
        self.run("opening a read view", "START TRANSACTION WITH CONSISTENT SNAPSHOT").await?;
        if self.server.kind == ServerKind::Mysql {
            return Ok(None);
        }
        let rows = self.rows("reading the view's position", "SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
        let (mut file, mut offset) = (None, None);
        for row in &rows {
            match text(row, 0).unwrap_or_default().to_ascii_lowercase().as_str() {
                "binlog_snapshot_file" => file = text(row, 1),
                "binlog_snapshot_position" => offset = text(row, 1).and_then(|t| t.parse().ok()),
                _ => {}
            }
        }
        match (file.filter(|f| !f.is_empty()), offset) {
            (Some(file), Some(offset)) => Ok(Some(LogCoordinate { file, offset, row: 0 })),
            _ => Err(problem(
                ErrorKind::Unavailable,
                format!("{} does not say at which place of its binary log a read view is", self.config.address()),
                &["binlog_snapshot_file and binlog_snapshot_position are empty"],
                &["set log_bin in the server's configuration and restart it"],
            )),
        }
    }

    /// Ends what [`Connection::open_view`] began.
    pub(crate) async fn close_view(&mut self) -> Result<()> {
        self.run("closing a read view", "COMMIT").await
    }
}

/// A bare connection: for the replication stream, which needs no session of its own.
pub(crate) async fn connect(config: &MysqlSourceConfig) -> Result<Conn> {
    let attempt = async {
        match Conn::new(options(config, config.tls != TlsMode::Disabled)).await {
            Err(Driver::Driver(DriverError::NoClientSslFlagFromServer)) if config.tls == TlsMode::Preferred => {
                Conn::new(options(config, false)).await
            }
            other => other,
        }
    };
    match tokio::time::timeout(config.connect_timeout, attempt).await {
        Ok(done) => done.map_err(|e| explain(config, "connecting", e)),
        Err(_) => {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer in {:?}", config.connect_timeout));
            Err(explain(config, "connecting", Driver::Io(IoError::Io(late))))
        }
    }
}

fn options(config: &MysqlSourceConfig, tls: bool) -> Opts {
    let ssl = tls.then(|| {
        let blind = matches!(config.tls, TlsMode::Preferred | TlsMode::Required);
        let mut ssl = SslOpts::default()
            .with_danger_accept_invalid_certs(blind)
            .with_danger_skip_domain_validation(config.tls != TlsMode::VerifyIdentity);
        if let Some(path) = &config.tls_ca {
            ssl = ssl.with_root_certs(vec![path.clone().into()]);
        }
        ssl
    });
    OptsBuilder::default()
        .ip_or_hostname(config.host.clone())
        .tcp_port(config.port)
        .user(Some(config.user.clone()))
        .pass(Some(config.password.clone()))
        .prefer_socket(false)
        .tcp_nodelay(true)
        .ssl_opts(ssl)
        .max_allowed_packet(Some(1 << 30))
        .wait_timeout(Some(86_400))
        .into()
}

/// A column of a row as text; `None` for NULL and for what is not there.
pub(crate) fn text(row: &Row, index: usize) -> Option<String> {
    match row.as_ref(index)? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(n) => Some(n.to_string()),
        Value::UInt(n) => Some(n.to_string()),
        Value::Float(x) => Some(x.to_string()),
        Value::Double(x) => Some(x.to_string()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// A name as an SQL identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_survive_any_name() {
        assert_eq!(quoted("or`ders; DROP"), "`or``ders; DROP`");
    }
}
