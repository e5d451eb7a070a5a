//! A catalog in a PostgreSQL database: connecting, its tables, and what its errors mean.

use super::Reach;
use super::address::Tls;
use super::database::{Cell, Value};
use super::making_tables::{Columns, Unmade};
use super::server::{Failure, ServerUse, Session};
use super::sql::{Dialect, Text};
use crate::error::{Error, ErrorKind, Result};
use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{Arguments, Column, ConnectOptions, Connection, Executor, Row, TypeInfo};
use std::fmt;
use std::time::Duration;

/// An advisory lock of the database: who makes the tables, makes them alone, but for Java and PyIceberg. Any number that others hardly use.
const MAKING_TABLES: i64 = 0x6963_6562_6572_6701;
const COLUMNS: &str = "SELECT t.name::text, a.attname::text
     FROM (VALUES ('iceberg_tables'), ('iceberg_namespace_properties'), ('cdc_expired_files')) AS t (name)
     JOIN pg_attribute a ON a.attrelid = to_regclass(t.name) AND a.attnum > 0 AND NOT a.attisdropped";

#[derive(Debug)]
pub(super) struct PostgresSession {
    connection: PgConnection,
    address: String,
}

#[async_trait]
impl Session for PostgresSession {
    const DIALECT: Dialect = Dialect::Postgres;
    const GRANT: &'static str = "GRANT USAGE, CREATE ON SCHEMA (public, or the address's currentSchema) to the user";
    /// Under the two stricter levels an update that waited for another one's fails, instead of seeing that the pointer has moved.
    const BEGIN: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";

    async fn connect(use_of: &ServerUse) -> Result<Self, Failure> {
        let address = &use_of.address;
        let at = address.to_string();
        let options = options(use_of)?;
        let connection = match tokio::time::timeout(address.connect_timeout, options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(e)) => return Err(explain("reach", &at, e)),
            Err(_) => {
                let why =
                    format!("cannot reach the catalog {at}: no answer in {:?}; check host and port", address.connect_timeout);
                return Err(Failure::Lost(Error::new(ErrorKind::Unreachable, why)));
            }
        };
        let mut session = Self { connection, address: at };
        let patience = milliseconds(use_of.patience);
        let mut settings = format!(
            "SET statement_timeout = {patience}; SET lock_timeout = {patience}; SET idle_in_transaction_session_timeout = {}; \
             SET default_transaction_read_only = {}",
            patience.saturating_mul(2),
            if use_of.reach == Reach::Read { "on" } else { "off" },
        );
        if use_of.durable {
            settings.push_str(
                "; SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            );
        }
        session.run(&settings).await?;
        Ok(session)
    }

    /// Where the search path finds them.
    async fn columns(&mut self) -> Result<Columns, Failure> {
        let rows = self.rows(&Text::new(Dialect::Postgres, COLUMNS), &[]).await?;
        let pair = |row: Vec<Cell>| {
            let mut row = row.into_iter().filter_map(Cell::text);
            Some((row.next()?, row.next()?))
        };
        Ok(rows.into_iter().filter_map(pair).collect())
    }

    /// In one transaction.
    async fn make(&mut self, statements: &[&str]) -> Result<(), Unmade> {
        let made = async {
            let mut tx = self.connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKING_TABLES).execute(&mut *tx).await?;
            for statement in statements {
                tx.execute(*statement).await?;
            }
            tx.commit().await
        };
        made.await.map_err(|e: sqlx::Error| {
            let code = code(&e).unwrap_or_default();
            let e = explain("prepare", &self.address, e).into_error();
            match code.as_str() {
                // A table, its type, a column, or the same row of the system's catalog.
                "42P07" | "42710" | "42701" | "23505" | "XX000" => Unmade::Meanwhile(e),
                "42501" | "3F000" => Unmade::Forbidden(e),
                _ => Unmade::Failed(e),
            }
        })
    }

    async fn check(&mut self, _: &ServerUse) -> Result<()> {
        Ok(())
    }

    async fn rows(&mut self, text: &Text, values: &[Value<'_>]) -> Result<Vec<Vec<Cell>>, Failure> {
        let arguments = self.bound(values)?;
        let rows = sqlx::query_with(&text.sql, arguments).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|e| explain("read", &self.address, e))?;
        rows.iter().map(|row| cells(row).map_err(|e| explain("read", &self.address, e))).collect()
    }

    async fn execute(&mut self, text: &Text, values: &[Value<'_>]) -> Result<u64, Failure> {
        let arguments = self.bound(values)?;
        let done = sqlx::query_with(&text.sql, arguments).execute(&mut self.connection).await;
        done.map(|done| done.rows_affected()).map_err(|e| explain("write", &self.address, e))
    }

    async fn run(&mut self, sql: &str) -> Result<(), Failure> {
        self.connection.execute(sql).await.map(drop).map_err(|e| explain("use", &self.address, e))
    }

    async fn end(self) {
        if let Err(e) = self.connection.close().await {
            tracing::debug!(catalog = self.address, error = %e, "a connection was not closed cleanly");
        }
    }
}

impl PostgresSession {
    fn bound(&self, values: &[Value<'_>]) -> Result<PgArguments, Failure> {
        let mut arguments = PgArguments::default();
        for value in values {
            let added = match *value {
                Value::Text(text) => arguments.add(text),
                Value::Long(n) => arguments.add(n),
                Value::LongOrNull(n) => arguments.add(n),
            };
            added.map_err(|e| explain("use", &self.address, sqlx::Error::Encode(e)))?;
        }
        Ok(arguments)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    // The settings are 32-bit numbers, and 0 is no limit.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).clamp(1, 1_000_000_000)
}

fn options(use_of: &ServerUse) -> Result<PgConnectOptions, Failure> {
    let address = &use_of.address;
    let user = address.user.as_deref().ok_or_else(|| Failure::Refused(super::no_user(address)))?;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&address.host)
        .port(address.port)
        .database(&address.database)
        .username(user)
        .application_name(&address.application_name)
        .ssl_mode(match address.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Require => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        })
        .disable_statement_logging();
    if let Some(password) = &address.password {
        options = options.password(password);
    }
    if let Some(path) = &address.tls_ca {
        options = options.ssl_root_cert(path);
    }
    if let (Some(cert), Some(key)) = (&address.tls_cert, &address.tls_key) {
        options = options.ssl_client_cert(cert).ssl_client_key(key);
    }
    if let Some(schema) = &address.schema {
        options = options.options([("search_path", schema)]);
    }
    Ok(options)
}

fn cells(row: &PgRow) -> sqlx::Result<Vec<Cell>> {
    let cell = |(i, column): (usize, &sqlx::postgres::PgColumn)| {
        Ok(match column.type_info().name() {
            "INT8" => row.try_get::<Option<i64>, _>(i)?.map_or(Cell::Null, Cell::Long),
            "INT4" => row.try_get::<Option<i32>, _>(i)?.map_or(Cell::Null, |n| Cell::Long(i64::from(n))),
            _ => row.try_get::<Option<String>, _>(i)?.map_or(Cell::Null, Cell::Text),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

/// The five letters of SQLSTATE (<https://www.postgresql.org/docs/15/errcodes-appendix.html>), if the error is the server's.
fn code(e: &sqlx::Error) -> Option<String> {
    e.as_database_error()?.code().map(|code| code.into_owned())
}

/// What the error means for a transaction, with what to do about it.
fn explain(doing: &str, at: &str, e: sqlx::Error) -> Failure {
    let cannot = |why: &dyn fmt::Display| format!("cannot {doing} the catalog {at}: {why}");
    let Some(code) = code(&e) else {
        // What TLS does not like comes as an error of reading.
        let untrusted = matches!(&e, sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData);
        let lost = !untrusted && matches!(e, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed);
        let tls = |why: &dyn fmt::Display| {
            format!(
                "no TLS that can be trusted ({why}); give the authority by sslrootcert=FILE, or say in the address what is enough, such as \
                 sslmode=require or sslmode=disable"
            )
        };
        let (kind, why) = match &e {
            sqlx::Error::Io(io) if untrusted => (ErrorKind::Unreachable, tls(io)),
            sqlx::Error::Io(io) => {
                (ErrorKind::Unreachable, format!("{io}; check that the server runs and that host and port are right"))
            }
            sqlx::Error::Tls(why) => (ErrorKind::Unreachable, tls(why)),
            _ => (ErrorKind::Other, e.to_string()),
        };
        let error = Error::new(kind, cannot(&why)).with_source(e);
        return if lost { Failure::Lost(error) } else { Failure::Refused(error) };
    };
    let said = e.as_database_error().map(|d| d.message().to_owned()).unwrap_or_default();
    let (kind, hint) = match code.as_str() {
        "28P01" | "28000" => (ErrorKind::Unreachable, "; check user and password, and pg_hba.conf on the server"),
        "3D000" => (ErrorKind::Unreachable, "; CREATE DATABASE makes it"),
        "57P01" | "57P02" | "57P03" => (ErrorKind::Unreachable, "; try again when it is up"),
        "53300" => (ErrorKind::Busy, "; try again, or raise max_connections"),
        "55P03" | "57014" | "25P03" => {
            (ErrorKind::Busy, "; somebody holds a lock on it or the server is slow: end that, or wait and try again")
        }
        "40001" | "40P01" => (ErrorKind::Busy, "; try again"),
        "25006" => (ErrorKind::NotWritable, "; it is opened for reading, or this server is a replica: name the primary"),
        "42501" => (ErrorKind::NotWritable, "; GRANT SELECT, INSERT, UPDATE, DELETE on its tables to the user"),
        "53100" => (ErrorKind::DiskFull, "; free some space on the server and try again, nothing is lost"),
        "22001" | "22021" | "22P05" => {
            (ErrorKind::Invalid, "; names have up to 255 letters there, locations of files 1000, and none is NUL")
        }
        "XX001" | "XX002" => (ErrorKind::Corrupt, "; restore the database from a copy"),
        other if other.starts_with("08") => (ErrorKind::Unreachable, ""),
        other if other.starts_with("58") => (ErrorKind::Io, ""),
        _ => (ErrorKind::Other, ""),
    };
    let error = Error::new(kind, cannot(&format!("{said}{hint}"))).with_source(e);
    match code.as_str() {
        "57P01" | "57P02" | "57P03" | "53300" | "25P03" => Failure::Lost(error),
        other if other.starts_with("08") => Failure::Lost(error),
        "40001" | "40P01" => Failure::Undone(error),
        "23505" => Failure::Duplicate(error),
        _ => Failure::Refused(error),
    }
}
