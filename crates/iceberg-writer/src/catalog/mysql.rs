//! A catalog in a MySQL or MariaDB database: connecting, its tables, and what its errors mean.

use super::Reach;
use super::address::Tls;
use super::database::{Cell, Value};
use super::making_tables::{Columns, Unmade};
use super::server::{Failure, ServerUse, Session};
use super::sql::{Dialect, Text};
use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error as Driver, IoError, Opts, OptsBuilder, Params, Row, SslOpts, Value as Sent};
use std::fmt;

/// "Unknown system variable": the other server's.
const UNKNOWN_VARIABLE: u16 = 1193;

pub(super) struct MysqlSession {
    connection: Conn,
    address: String,
}

#[async_trait]
impl Session for MysqlSession {
    const DIALECT: Dialect = Dialect::Mysql;
    const GRANT: &'static str = "GRANT CREATE, ALTER, INDEX on this database to the user";
    /// An update reads what is committed at its moment, whatever the isolation level.
    const BEGIN: &'static str = "START TRANSACTION";

    async fn connect(use_of: &ServerUse) -> Result<Self, Failure> {
        let address = &use_of.address;
        let at = address.to_string();
        if address.user.is_none() {
            return Err(Failure::Refused(super::no_user(address)));
        }
        let attempt = async {
            match Conn::new(options(use_of, address.tls != Tls::Disable)).await {
                Err(Driver::Driver(DriverError::NoClientSslFlagFromServer)) if address.tls == Tls::Prefer => {
                    Conn::new(options(use_of, false)).await
                }
                other => other,
            }
        };
        let connection = match tokio::time::timeout(address.connect_timeout, attempt).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => return Err(explain("reach", &at, e)),
            Err(_) => {
                let why =
                    format!("cannot reach the catalog {at}: no answer in {:?}; check host and port", address.connect_timeout);
                return Err(Failure::Lost(Error::new(ErrorKind::Unreachable, why)));
            }
        };
        let mut session = Self { connection, address: at };
        let seconds = use_of.patience.as_secs().clamp(1, 1_000_000);
        // Too long a value must be an error, and each statement outside of a transaction be one of its own, whatever the server's defaults are.
        session
            .run(&format!(
                "SET SESSION autocommit = 1, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', completion_type = 0, \
                 lock_wait_timeout = {seconds}, innodb_lock_wait_timeout = {seconds}"
            ))
            .await?;
        session.run("SET NAMES utf8mb4").await?;
        if use_of.reach == Reach::Read {
            session.run("SET SESSION TRANSACTION READ ONLY").await?;
        }
        // MariaDB limits all statements, MySQL what reads.
        for limit in [format!("max_statement_time = {seconds}"), format!("max_execution_time = {}", seconds * 1000)] {
            match session.connection.query_drop(format!("SET SESSION {limit}")).await {
                Err(Driver::Server(e)) if e.code == UNKNOWN_VARIABLE => {}
                other => other.map_err(|e| explain("use", &session.address, e))?,
            }
        }
        Ok(session)
    }

    async fn columns(&mut self) -> Result<Columns, Failure> {
        self.pairs(COLUMNS).await
    }

    /// Each commits.
    async fn make(&mut self, statements: &[&str]) -> Result<(), Unmade> {
        for statement in statements {
            self.connection.query_drop(*statement).await.map_err(|e| {
                let code = if let Driver::Server(e) = &e { e.code } else { 0 };
                let e = explain("prepare", &self.address, e).into_error();
                match code {
                    // A table, a column, one that is being changed.
                    1050 | 1060 | 1684 | 1213 => Unmade::Meanwhile(e),
                    1142 | 1044 => Unmade::Forbidden(e),
                    _ => Unmade::Failed(e),
                }
            })?;
        }
        Ok(())
    }

    async fn check(&mut self, use_of: &ServerUse) -> Result<()> {
        if use_of.durable {
            self.warn_if_commits_are_not_durable().await?;
        }
        self.check_engines().await
    }

    async fn rows(&mut self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>, Failure> {
        let rows: Vec<Row> =
            self.connection.exec(text.sql.as_str(), bound(text, values)).await.map_err(|e| explain("read", &self.address, e))?;
        rows.into_iter().map(|row| row.unwrap_raw().into_iter().map(|value| self.cell(value)).collect()).collect()
    }

    async fn execute(&mut self, text: &Text, values: &[Value<'_>]) -> Result<u64, Failure> {
        let done = self.connection.exec_drop(text.sql.as_str(), bound(text, values)).await;
        done.map(|()| self.connection.affected_rows()).map_err(|e| explain("write", &self.address, e))
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.connection.query_drop(sql).await.map_err(|e| explain("use", &self.address, e))
    }

    async fn end(self) {
        if let Err(e) = self.connection.disconnect().await {
            tracing::debug!(catalog = self.address, error = %e, "a connection was not closed cleanly");
        }
    }
}

impl MysqlSession {
    fn cell(&self, value: Option<Sent>) -> Result<Cell, Failure> {
        let unexpected = |what: &str| {
            let why = format!(
                "cannot read the catalog {}: a column holds {what}; is it the table of an Iceberg catalog?",
                self.address
            );
            Failure::Refused(Error::new(ErrorKind::Corrupt, why))
        };
        match value {
            None | Some(Sent::NULL) => Ok(Cell::Null),
            Some(Sent::Int(n)) => Ok(Cell::Long(n)),
            Some(Sent::UInt(n)) => i64::try_from(n).map(Cell::Long).map_err(|_| unexpected("too large a number")),
            Some(Sent::Bytes(bytes)) => {
                String::from_utf8(bytes).map(Cell::Text).map_err(|_| unexpected("bytes that are no text"))
            }
            Some(_) => Err(unexpected("neither text nor a number")),
        }
    }

    /// The swap and the list of what may be deleted must happen together.
    async fn check_engines(&mut self) -> Result<()> {
        match self.pairs(WITHOUT_TRANSACTIONS).await.map_err(Failure::into_error)?.first() {
            None => Ok(()),
            Some((table, engine)) => Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "the table {table} of the catalog {} has the engine {engine}, which has no transactions; ALTER TABLE {table} ENGINE = InnoDB",
                    self.address
                ),
            )),
        }
    }

    /// No session can change it.
    async fn warn_if_commits_are_not_durable(&mut self) -> Result<()> {
        let flush = Text::new(Dialect::Mysql, "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit");
        let rows = self.rows(&flush, &[]).await.map_err(Failure::into_error)?;
        if rows.into_iter().flatten().any(|cell| cell != Cell::Long(1)) {
            tracing::warn!(
                catalog = self.address,
                "a power cut of this server can undo commits that were reported: innodb_flush_log_at_trx_commit is not 1"
            );
        }
        Ok(())
    }

    async fn pairs(&mut self, sql: &str) -> Result<Columns, Failure> {
        let rows = self.rows(&Text::new(Dialect::Mysql, sql), &[]).await?;
        let pair = |row: Vec<Cell>| {
            let mut row = row.into_iter().filter_map(Cell::text);
            Some((row.next()?, row.next()?))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }
}

/// The columns of the three tables. Column names are lower-cased: whoever made them may have written them otherwise.
const COLUMNS: &str =
    "SELECT LOWER(table_name), LOWER(column_name) FROM information_schema.columns WHERE table_schema = DATABASE()
     AND table_name IN ('iceberg_tables', 'iceberg_namespace_properties', 'cdc_expired_files')";
const WITHOUT_TRANSACTIONS: &str =
    "SELECT t.table_name, t.engine FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine
     WHERE t.table_schema = DATABASE() AND t.table_name IN ('iceberg_tables', 'iceberg_namespace_properties', 'cdc_expired_files')
     AND NOT e.transactions = 'YES'";

fn bound(text: &Text, values: &[Value<'_>]) -> Params {
    let sent = |value: &Value<'_>| match *value {
        Value::Text(text) => Sent::from(text),
        Value::Long(n) | Value::LongOrNull(Some(n)) => Sent::from(n),
        Value::LongOrNull(None) => Sent::NULL,
    };
    let values: Vec<Sent> = text.order.iter().filter_map(|i| values.get(*i)).map(sent).collect();
    if values.is_empty() { Params::Empty } else { Params::Positional(values) }
}

fn options(use_of: &ServerUse, tls: bool) -> Opts {
    let address = &use_of.address;
    let ssl = tls.then(|| {
        let mut ssl = SslOpts::default()
            .with_danger_accept_invalid_certs(matches!(address.tls, Tls::Prefer | Tls::Require))
            // The client does not do this yet with the TLS library that it uses: `verify-ca` compares the name, too.
            .with_danger_skip_domain_validation(address.tls != Tls::VerifyFull);
        if let Some(path) = &address.tls_ca {
            ssl = ssl.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true);
        }
        ssl
    });
    OptsBuilder::default()
        .ip_or_hostname(address.host.clone())
        .tcp_port(address.port)
        .user(address.user.clone())
        .pass(address.password.clone())
        .db_name(Some(address.database.clone()))
        .prefer_socket(false)
        .tcp_nodelay(true)
        .ssl_opts(ssl)
        .into()
}

/// What the error means for a transaction, with what to do about it. Numbers are MySQL's and MariaDB's
/// (<https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html>).
fn explain(doing: &str, at: &str, e: Driver) -> Failure {
    let cannot = |why: &dyn fmt::Display| format!("cannot {doing} the catalog {at}: {why}");
    let Driver::Server(server) = &e else {
        // What TLS does not like comes as an error of reading.
        let untrusted = matches!(&e, Driver::Io(IoError::Io(io)) if io.kind() == std::io::ErrorKind::InvalidData);
        let lost = !untrusted
            && matches!(
                e,
                Driver::Io(IoError::Io(_))
                    | Driver::Driver(
                        DriverError::ConnectionClosed | DriverError::PacketOutOfOrder | DriverError::UnexpectedPacket { .. }
                    )
            );
        let tls = |why: &dyn fmt::Display| {
            format!(
                "no TLS that can be trusted ({why}); give the authority by serverSslCert=FILE, or say in the address what is enough, such as \
                 sslMode=REQUIRED or sslMode=DISABLED"
            )
        };
        let (kind, why) = match &e {
            Driver::Io(IoError::Io(io)) if untrusted => (ErrorKind::Unreachable, tls(io)),
            Driver::Io(IoError::Io(io)) => {
                (ErrorKind::Unreachable, format!("{io}; check that the server runs and that host and port are right"))
            }
            Driver::Io(IoError::Tls(why)) => (ErrorKind::Unreachable, tls(why)),
            Driver::Driver(DriverError::NoClientSslFlagFromServer) => (
                ErrorKind::Unreachable,
                "the server does not offer TLS; say in the address if that is right: sslMode=DISABLED".to_owned(),
            ),
            // MySQL also asks those whom it does not know, for any plugin that it has, so that nobody learns who there is.
            Driver::Driver(DriverError::UnknownAuthPlugin { name }) => (
                ErrorKind::Unreachable,
                format!(
                    "the user would have to log in by {name}, which is not supported; check user and password, or alter the user to caching_sha2_password"
                ),
            ),
            _ => (ErrorKind::Unreachable, e.to_string()),
        };
        let error = Error::new(kind, cannot(&why)).with_source(e);
        return if lost { Failure::Lost(error) } else { Failure::Refused(error) };
    };
    let (code, said) = (server.code, server.message.clone());
    let (kind, hint) = match code {
        1045 | 1698 | 1130 | 1044 | 1129 | 1251 => {
            (ErrorKind::Unreachable, "; check user and password, and from where the user may come")
        }
        1049 => (ErrorKind::Unreachable, "; CREATE DATABASE makes it"),
        1053 | 1077 | 1079 | 1927 | 1047 | 1317 | 4031 => (ErrorKind::Unreachable, "; try again when it is up"),
        1040 | 1203 | 1226 => (ErrorKind::Busy, "; try again, or raise max_connections"),
        1205 | 3024 | 1969 => {
            (ErrorKind::Busy, "; somebody holds a lock on it or the server is slow: end that, or wait and try again")
        }
        1213 => (ErrorKind::Busy, "; try again"),
        1290 | 1792 | 1836 => {
            (ErrorKind::NotWritable, "; it is opened for reading, or this server is a replica: name the primary")
        }
        1142 | 1143 => (ErrorKind::NotWritable, "; GRANT SELECT, INSERT, UPDATE, DELETE on its tables to the user"),
        1021 | 1114 => (ErrorKind::DiskFull, "; free some space on the server and try again, nothing is lost"),
        1406 | 1366 | 3988 => (ErrorKind::Invalid, "; names have up to 255 letters there, locations of files 1000"),
        _ => (ErrorKind::Other, ""),
    };
    let error = Error::new(kind, cannot(&format!("{said}{hint}"))).with_source(e);
    match code {
        1053 | 1077 | 1079 | 1927 | 1047 | 1317 | 4031 | 1040 | 1203 => Failure::Lost(error),
        1213 => Failure::Undone(error),
        1062 => Failure::Duplicate(error),
        _ => Failure::Refused(error),
    }
}
