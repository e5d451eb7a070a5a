use cdc_core::{ColumnFilter, Error, ErrorKind, Result, TableFilter};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How the connection is encrypted: Debezium's `database.ssl.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsMode {
    /// Never.
    Disabled,
    /// If the server offers it; its certificate is not looked at.
    #[default]
    Preferred,
    /// Always; the certificate is not looked at.
    Required,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority that names the host.
    VerifyIdentity,
}

impl TlsMode {
    /// Reads Debezium's spelling.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] lists the five words.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            "verify_ca" => Self::VerifyCa,
            "verify_identity" => Self::VerifyIdentity,
            other => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!(
                        "database.ssl.mode = {other:?} is not known: write disabled, preferred, required, verify_ca or verify_identity"
                    ),
                ));
            }
        })
    }
}

/// What a source reads when it starts for the first time: Debezium's `snapshot.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SnapshotMode {
    /// All rows that are there, then the changes.
    #[default]
    Initial,
    /// All rows that are there; then the source ends.
    InitialOnly,
    /// Only changes.
    NoData,
}

impl SnapshotMode {
    /// Reads Debezium's spelling.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] lists the modes that this version has.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "initial" => Self::Initial,
            "initial_only" => Self::InitialOnly,
            "no_data" => Self::NoData,
            other => {
                return Err(Error::new(
                    ErrorKind::Configuration,
                    format!("snapshot.mode = {other:?} is not supported yet: write initial, initial_only or no_data"),
                ));
            }
        })
    }
}

/// A wall clock, so that tests can hold it.
pub type Clock = fn() -> Duration;

/// How a [`MysqlSource`](crate::MysqlSource) connects, what it captures and how much it may hold.
///
/// Made by [`MysqlSourceConfig::builder`]. The names in the docs are Debezium's.
#[derive(Clone)]
pub struct MysqlSourceConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) tls: TlsMode,
    pub(crate) tls_ca: Option<PathBuf>,
    pub(crate) server_id: u32,
    pub(crate) tables: TableFilter,
    pub(crate) columns: ColumnFilter,
    pub(crate) snapshot_mode: SnapshotMode,
    pub(crate) chunk_rows: usize,
    pub(crate) snapshot_threads: usize,
    pub(crate) memory_bytes: usize,
    pub(crate) batch_rows: usize,
    pub(crate) max_transaction_bytes: usize,
    pub(crate) heartbeat: Duration,
    pub(crate) idle_position_interval: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) reconnect_limit: Duration,
    pub(crate) clock: Clock,
}

impl fmt::Debug for MysqlSourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSourceConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("password", &"<hidden>")
            .field("tls", &self.tls)
            .field("server_id", &self.server_id)
            .field("tables", &self.tables)
            .field("snapshot_mode", &self.snapshot_mode)
            .finish_non_exhaustive()
    }
}

impl MysqlSourceConfig {
    /// Starts a configuration for the server at `host` (`database.hostname`).
    pub fn builder(host: impl Into<String>) -> MysqlSourceConfigBuilder {
        MysqlSourceConfigBuilder {
            config: Self {
                host: host.into(),
                port: 3306,
                user: String::new(),
                password: String::new(),
                tls: TlsMode::default(),
                tls_ca: None,
                server_id: 0,
                tables: TableFilter::default(),
                columns: ColumnFilter::default(),
                snapshot_mode: SnapshotMode::default(),
                chunk_rows: 10_240,
                snapshot_threads: 2,
                memory_bytes: 64 << 20,
                batch_rows: 65_536,
                max_transaction_bytes: 64 << 20,
                heartbeat: Duration::from_secs(5),
                idle_position_interval: Duration::from_secs(3),
                connect_timeout: Duration::from_secs(30),
                reconnect_limit: Duration::from_secs(300),
                clock: wall_clock,
            },
        }
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

/// Sets what differs from the defaults, then [`build`](Self::build)s.
#[derive(Debug, Clone)]
pub struct MysqlSourceConfigBuilder {
    config: MysqlSourceConfig,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $method:ident($argument:ident: $ty:ty) => $field:ident = $value:expr;)*) => {
        $($(#[$doc])* #[must_use] pub fn $method(mut self, $argument: $ty) -> Self { self.config.$field = $value; self })*
    };
}

impl MysqlSourceConfigBuilder {
    setters! {
        /// `database.port`; 3306 if not set.
        port(port: u16) => port = port;
        /// `database.user`. It needs `REPLICATION SLAVE`, `REPLICATION CLIENT` and `SELECT`.
        user(user: impl Into<String>) => user = user.into();
        /// `database.password`. Never printed.
        password(password: impl Into<String>) => password = password.into();
        /// `database.ssl.mode`; preferred if not set.
        tls(mode: TlsMode) => tls = mode;
        /// A PEM file with the authorities for the two verifying modes; the built-in public ones if not set.
        tls_ca(path: impl Into<PathBuf>) => tls_ca = Some(path.into());
        /// `database.server.id`: unique among the server's replicas; random, from 5400 upwards, if not set.
        server_id(id: u32) => server_id = id;
        /// `database.include.list` and the three like it.
        tables(filter: TableFilter) => tables = filter;
        /// `column.include.list`, `column.exclude.list`: not supported yet, [`build`](Self::build) refuses any but the default.
        columns(filter: ColumnFilter) => columns = filter;
        /// `snapshot.mode`; initial if not set.
        snapshot_mode(mode: SnapshotMode) => snapshot_mode = mode;
        /// The most rows of one chunk (`snapshot.fetch.size`); 10,240 if not set. A chunk also ends at its share of the memory.
        chunk_rows(rows: usize) => chunk_rows = rows;
        /// How many tables are read at a time (`snapshot.max.threads`); 2 if not set.
        snapshot_threads(threads: usize) => snapshot_threads = threads;
        /// The most bytes of decoded rows held at a time, transactions under `max_transaction_bytes` apart; 64 MiB if not set.
        memory_bytes(bytes: usize) => memory_bytes = bytes;
        /// The most row changes of one batch that ends at a transaction's end; 65,536 if not set.
        batch_rows(rows: usize) => batch_rows = rows;
        /// A transaction whose decoded rows need more bytes is split over batches; 64 MiB if not set.
        max_transaction_bytes(bytes: usize) => max_transaction_bytes = bytes;
        /// How often an idle server says that it lives; after three silent intervals the connection counts as lost. 5 s if not set.
        heartbeat(interval: Duration) => heartbeat = interval;
        /// How often a position is yielded when nothing that is captured changes; 3 s if not set.
        idle_position_interval(interval: Duration) => idle_position_interval = interval;
        /// How long a connection may take (`connect.timeout.ms`); 30 s if not set.
        connect_timeout(timeout: Duration) => connect_timeout = timeout;
        /// How long a lost server, or whatever else fails on it, is tried again before the source gives up; 5 min if not set.
        reconnect_limit(limit: Duration) => reconnect_limit = limit;
        /// The clock for processing times and snapshot rows.
        clock(clock: Clock) => clock = clock;
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] names the setting.
    pub fn build(self) -> Result<MysqlSourceConfig> {
        let mut config = self.config;
        let refuse = |what: &str| Err(Error::new(ErrorKind::Configuration, what.to_owned()));
        if config.host.trim().is_empty() {
            return refuse("database.hostname is empty: name the server's host");
        }
        if config.user.is_empty() {
            return refuse("database.user is empty: name a user with REPLICATION SLAVE, REPLICATION CLIENT and SELECT");
        }
        if config.chunk_rows == 0 || config.snapshot_threads == 0 || config.batch_rows == 0 {
            return refuse("snapshot.fetch.size, snapshot.max.threads and max.batch.size must be at least 1");
        }
        if config.memory_bytes < 1 << 20 || config.max_transaction_bytes < 1 << 10 {
            return refuse(
                "the memory budget must be at least 1 MiB, and the size from which transactions are split at least 1 KiB",
            );
        }
        // A filter says no more of itself than its text.
        if format!("{:?}", config.columns) != format!("{:?}", ColumnFilter::default()) {
            return refuse("column.include.list and column.exclude.list are not supported yet: leave them out");
        }
        if config.heartbeat < Duration::from_millis(10) {
            return refuse("the heartbeat must be at least 10 ms");
        }
        if config.server_id == 0 {
            config.server_id = random_server_id();
        }
        Ok(config)
    }
}

fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}

/// Any number in Debezium's range and above, so that two mirrors of one server seldom meet.
pub(crate) fn random_server_id() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u64(u64::from(std::process::id()));
    5_400 + (hasher.finish() % 2_000_000_000) as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let config = MysqlSourceConfig::builder("db").user("u").password("s3cret").build().unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let e = MysqlSourceConfig::builder("db").build().unwrap_err();
        assert!(e.to_string().starts_with("database.user is empty"), "{e}");
        let filter = ColumnFilter::new(None, Some("d\\.t\\.secret")).unwrap();
        let e = MysqlSourceConfig::builder("db").user("u").columns(filter).build().unwrap_err();
        assert!(e.to_string().starts_with("column.include.list"), "{e}");
        let e = TlsMode::parse("always").unwrap_err();
        assert!(e.to_string().contains("verify_identity"), "{e}");
    }

    #[test]
    fn a_server_id_is_chosen_when_none_is_given() {
        let id = |b: MysqlSourceConfigBuilder| b.user("u").build().unwrap().server_id;
        assert!(id(MysqlSourceConfig::builder("db")) >= 5_400);
        assert_eq!(id(MysqlSourceConfig::builder("db").server_id(7)), 7);
    }
}
