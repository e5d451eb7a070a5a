//! What can be set, from a file or through [`MirrorConfig`]'s fields.

mod certificates;
mod connector_json;
#[cfg(test)]
mod connector_tests;
mod document;
mod edit_distance;
mod events;
#[cfg(feature = "kafka")]
mod jaas;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod program;
mod properties;
mod references;
mod secret;
mod settings;
mod tables;
#[cfg(test)]
mod tests;
mod topics;

pub use events::EventFormat;
pub use program::Program;
pub use secret::Secret;
pub use topics::Topics;

use crate::error::{Error, Result};
use certificates::{Store, pem_file};
use iceberg_writer::CatalogAddress;
use keys::Section::{Log, Sink, Source, Trino};
use settings::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that a mirror needs to know. [`MirrorConfig::read`] takes it from a file, [`MirrorConfig::new`] starts from defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct MirrorConfig {
    /// The database.
    pub source: SourceConfig,
    /// The change log.
    pub log: LogConfig,
    /// The tables.
    pub sink: SinkConfig,
    /// How events are written into the log and read from it.
    pub events: EventFormat,
    /// A Trino server that can read the tables, if there is one.
    pub trino: Option<TrinoConfig>,
    /// What of it this process does.
    pub halves: Halves,
    /// Settings that were accepted and ignored, a line each.
    pub notes: Vec<String>,
}

/// The halves of a mirror, with the log between them. Not a key of the file: a local log belongs to one process at a time, so halves in
/// two processes would take turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Halves {
    /// From the database into the tables.
    #[default]
    Both,
    /// From the database into the log. No table is opened, nothing in the log is ever let go.
    Source,
    /// From the log into the tables. No server is asked; the log must have been written by a source half with the same `topic.prefix`.
    Sink,
}

/// The database to mirror. Names in brackets are the file's keys.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceConfig {
    /// Host name or address (`database.hostname`).
    pub hostname: String,
    /// TCP port (`database.port`), 3306.
    pub port: u16,
    /// User (`database.user`); needs REPLICATION SLAVE, REPLICATION CLIENT and SELECT.
    pub user: String,
    /// Password (`database.password`).
    pub password: Secret,
    /// Our id among the server's replicas (`database.server.id`); random if `None`.
    pub server_id: Option<u32>,
    /// TLS: `disabled`, `preferred`, `required`, `verify_ca`, `verify_identity` (`database.ssl.mode`).
    pub ssl_mode: String,
    /// A PEM file of certificate authorities (`database.ssl.truststore`).
    pub ssl_ca: Option<PathBuf>,
    /// Regular expressions of databases (`database.include.list`, `database.exclude.list`).
    pub database_include: Option<String>,
    /// See `database_include`.
    pub database_exclude: Option<String>,
    /// Regular expressions of `database.table` (`table.include.list`, `table.exclude.list`).
    pub table_include: Option<String>,
    /// See `table_include`.
    pub table_exclude: Option<String>,
    /// Prefix of topics and name of the source (`topic.prefix`).
    pub topic_prefix: String,
    /// `initial`, `no_data`, `initial_only` (`snapshot.mode`).
    pub snapshot_mode: String,
    /// Rows per chunk (`snapshot.fetch.size`).
    pub snapshot_fetch_size: u32,
    /// Chunks read side by side (`snapshot.max.threads`).
    pub snapshot_max_threads: usize,
    /// Bytes that the source may hold (`memory.budget.bytes`).
    pub memory_budget: usize,
    /// A larger source transaction is split over log transactions (`transaction.max.bytes`).
    pub transaction_max_bytes: usize,
    /// Connect time-out (`connect.timeout.ms`).
    pub connect_timeout: Duration,
    /// How long a server that was lost is looked for before the mirror ends (`reconnect.max.wait.ms`), 5 min.
    pub reconnect_limit: Duration,
}

/// The change log between source and sink.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// Where it is.
    pub kind: LogKind,
    /// How long applied records are kept (`log.retention.ms`), 24 h.
    pub retention: Duration,
    /// Above this size applied records go whatever their age (`log.retention.bytes`); 0 is no limit. What a table still needs is kept,
    /// also of a stopped table.
    pub retention_bytes: u64,
    /// Size of a segment file (`log.segment.bytes`), 64 MiB.
    pub segment_bytes: u64,
}

impl LogConfig {
    /// One process has it for itself, so that nobody else can know how the mirror is.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.kind, LogKind::Local(_) | LogKind::Memory)
    }
}

/// The kinds of log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogKind {
    /// Segment files in a folder (`type = "local"`, `dir`).
    Local(PathBuf),
    /// In memory: for tests and trials; a restart reads everything again (`type = "memory"`).
    Memory,
    /// Topics of a Kafka cluster (`type = "kafka"`, `bootstrap.servers` and the client's own keys).
    #[cfg(feature = "kafka")]
    Kafka {
        /// The cluster, and how topics are made there.
        cluster: change_log::KafkaLogConfig,
        /// Where a running mirror keeps its status for `lakehouse status` (`dir`).
        status_dir: PathBuf,
    },
}

/// The Iceberg side.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkConfig {
    /// The sink's id (`name`): its commits carry it, and a table of another id is refused. Letters, digits, `-` and `_`.
    pub id: String,
    /// The catalog's name (`iceberg.catalog`), `lake`.
    pub catalog: String,
    /// Where the catalog's database is (`iceberg.catalog.uri`, `iceberg.catalog.jdbc.user`): a SQLite file, or a database on a PostgreSQL,
    /// MySQL or MariaDB server; default the file `catalog.db` in the warehouse.
    pub catalog_address: CatalogAddress,
    /// The password for it (`iceberg.catalog.jdbc.password`); one in the address counts if this is empty.
    pub catalog_password: Secret,
    /// The folder of the tables' files (`iceberg.catalog.warehouse`), `./warehouse`.
    pub warehouse: PathBuf,
    /// Time between two commits of a table (`iceberg.control.commit.interval-ms`), 500 ms.
    pub commit_interval: Duration,
    /// Make tables that are missing (`iceberg.tables.auto-create-enabled`), yes.
    pub auto_create: bool,
    /// Fold deletes and small files away (`iceberg.tables.compaction-enabled`), yes.
    pub compaction: bool,
    /// Commits of others on the branch: stop the table, or warn (`iceberg.foreign.writes`).
    pub foreign_writes: ForeignWrites,
    /// Bytes that all tables together may hold before they write (`iceberg.memory.budget.bytes`).
    pub memory_budget: usize,
    /// The topics whose tables are written (`topics`, `topics.regex`); `None` is all.
    pub topics: Option<Topics>,
    /// Properties of tables that are made, beside our own (`iceberg.tables.auto-create-props.*`).
    pub table_properties: BTreeMap<String, String>,
    /// The sink of Kafka Connect whose tables may be taken over.
    pub predecessor: ConnectSinkConfig,
}

/// An Iceberg sink of Kafka Connect, Apache's or Tabular's, that has written the tables so far: where it keeps how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectSinkConfig {
    /// Its control topic (`iceberg.control.topic`), `control-iceberg`.
    pub control_topic: String,
    /// The consumer group of its tasks (`iceberg.connect.group-id`), `connect-<name>`. Apache's sink keeps its offsets there.
    pub group: String,
    /// The group in which Tabular's sink keeps its offsets (`iceberg.control.group-id`), `cg-control-<name>`.
    pub control_group: String,
}

impl ConnectSinkConfig {
    /// Of a connector of this name that says nothing else.
    pub fn of(connector: &str) -> Self {
        Self {
            control_topic: "control-iceberg".to_owned(),
            group: format!("connect-{connector}"),
            control_group: format!("cg-control-{connector}"),
        }
    }
}

/// A Trino server with a catalog that reads the mirror's tables.
#[derive(Debug, Clone, PartialEq)]
pub struct TrinoConfig {
    /// Its address (`url`): `http://host:8080`, `https://host:8443`.
    pub url: String,
    /// User (`user`), `lakehouse`.
    pub user: String,
    /// Password (`password`); it is sent over https only.
    pub password: Secret,
    /// The catalog in Trino (`catalog`); by default it has the name that the mirror's catalog has.
    pub catalog: String,
    /// A PEM file of certificate authorities, instead of the public ones (`ssl.truststore`).
    pub root_certificates: Option<PathBuf>,
}

/// What to do when someone else changed rows of a mirrored table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForeignWrites {
    /// Stop the table.
    Stop,
    /// Go on, say so, and treat every insert as an upsert.
    Warn,
}

impl MirrorConfig {
    /// Defaults for a database: local log in `./log`, warehouse in `./warehouse`, both under `base`.
    pub fn new(hostname: &str, port: u16, user: &str, password: Secret, base: &Path) -> Self {
        Self {
            source: SourceConfig {
                hostname: hostname.to_owned(),
                port,
                user: user.to_owned(),
                password,
                server_id: None,
                ssl_mode: "preferred".to_owned(),
                ssl_ca: None,
                database_include: None,
                database_exclude: None,
                table_include: None,
                table_exclude: None,
                topic_prefix: "mirror".to_owned(),
                snapshot_mode: "initial".to_owned(),
                snapshot_fetch_size: 10_000,
                snapshot_max_threads: 2,
                memory_budget: 96 << 20,
                transaction_max_bytes: 32 << 20,
                connect_timeout: Duration::from_secs(30),
                reconnect_limit: Duration::from_secs(300),
            },
            log: LogConfig {
                kind: LogKind::Local(base.join("log")),
                retention: Duration::from_secs(24 * 3600),
                retention_bytes: 0,
                segment_bytes: 64 << 20,
            },
            sink: SinkConfig {
                id: "mirror".to_owned(),
                catalog: "lake".to_owned(),
                catalog_address: CatalogAddress::sqlite(base.join("warehouse").join("catalog.db")),
                catalog_password: Secret::default(),
                warehouse: base.join("warehouse"),
                commit_interval: Duration::from_millis(500),
                auto_create: true,
                compaction: true,
                foreign_writes: ForeignWrites::Stop,
                memory_budget: 128 << 20,
                topics: None,
                table_properties: BTreeMap::new(),
                predecessor: ConnectSinkConfig::of("mirror"),
            },
            events: EventFormat::exact(),
            trino: None,
            halves: Halves::Both,
            notes: Vec::new(),
        }
    }

    /// Reads a configuration file for `lakehouse`; each of `overrides` is `key=value` and wins over the file.
    ///
    /// # Errors
    /// Those of [`read_for`](Self::read_for).
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::read_for(Program::Lakehouse, &[path.to_owned()], overrides)
    }

    /// Reads configuration files for a program, later ones winning; each of `overrides` is `key=value` and wins over all of them.
    ///
    /// A file is TOML with `[source]`, `[log]` and `[sink]`, or flat: a connector's JSON as it is posted to Kafka Connect, or a
    /// `.properties` file of a connector, of Connect's workers, or of Kafka's clients. It is recognised by its text.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): a file that cannot be read, an unknown key (with the name
    /// that was probably meant), one that is refused (with the reason), a value that does not parse, a reference that cannot be resolved.
    /// All keys that are unknown or refused are told at once.
    pub fn read_for(program: Program, files: &[PathBuf], overrides: &[String]) -> Result<Self> {
        Self::from_settings(Settings::read(files, overrides, program)?)
    }

    fn from_settings(s: Settings) -> Result<Self> {
        let mut c = Self::new("", 3306, "", Secret::default(), &s.base);
        c.halves = s.program.halves();
        c.events = EventFormat::read(&s)?;
        if c.halves != Halves::Sink {
            c.apply_source(&s)?;
        }
        if c.halves != Halves::Source {
            c.sink.topics = Topics::read(&s)?;
            let (prefix, note) = topics::prefix_of(&s, c.sink.topics.as_ref())?;
            c.source.topic_prefix = prefix;
            c.notes.extend(note);
        }
        c.apply_log(&s)?;
        if c.halves != Halves::Source {
            c.apply_sink(&s)?;
            c.notes.extend(tables::apply(&s, &mut c.sink)?);
            let ignored = c.sink.catalog_address.ignored().iter();
            c.notes.extend(ignored.map(|key| format!("\"{key}\" of [sink] \"iceberg.catalog.uri\" is not needed and ignored")));
        }
        c.apply_trino(&s)?;
        c.notes.extend(s.notes);
        Ok(c)
    }

    fn apply_source(&mut self, s: &Settings) -> Result<()> {
        let source = &mut self.source;
        check_class(s, Source)?;
        s.required(Source, "database.hostname")?.clone_into(&mut source.hostname);
        source.port = s.number(Source, "database.port", "a port", 1..=65_535, 3306)?;
        s.required(Source, "database.user")?.clone_into(&mut source.user);
        source.password = s.secret("database.password");
        let owned = |name| s.text(Source, name).map(str::to_owned);
        let milliseconds = |name, least: u64, default: Duration| {
            let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
            s.number(Source, name, "milliseconds", least.., default).map(Duration::from_millis)
        };
        if s.text(Source, "database.server.id").is_some() {
            source.server_id = Some(s.number(Source, "database.server.id", "a number", 1..=u32::MAX, 1)?);
        }
        let ssl_mode = s.choice(Source, "database.ssl.mode", SSL_MODES)?;
        source.ssl_mode =
            SSL_MODES_OF_MARIADB.iter().find(|(name, _)| *name == ssl_mode).map_or(ssl_mode, |(_, of)| of).to_owned();
        source.ssl_ca = s
            .text(Source, "database.ssl.truststore")
            .map(|_| s.path(Source, "database.ssl.truststore", ""))
            .map(|path| pem_file("database.ssl.truststore", path, None, Store::Trust))
            .transpose()?;
        source.database_include = owned("database.include.list");
        source.database_exclude = owned("database.exclude.list");
        source.table_include = owned("table.include.list");
        source.table_exclude = owned("table.exclude.list");
        s.required(Source, "topic.prefix")?.clone_into(&mut source.topic_prefix);
        source.snapshot_mode = s.choice(Source, "snapshot.mode", &["initial", "initial_only", "no_data"])?.to_owned();
        source.snapshot_fetch_size =
            s.number(Source, "snapshot.fetch.size", "a number of rows", 1.., source.snapshot_fetch_size)?;
        source.snapshot_max_threads = s.number(Source, "snapshot.max.threads", "a number", 1.., source.snapshot_max_threads)?;
        source.memory_budget = s.number(Source, "memory.budget.bytes", BYTES, 1 << 20.., source.memory_budget)?;
        source.transaction_max_bytes =
            s.number(Source, "transaction.max.bytes", BYTES, 1 << 10.., source.transaction_max_bytes)?;
        source.connect_timeout = milliseconds("connect.timeout.ms", 100, source.connect_timeout)?;
        source.reconnect_limit = milliseconds("reconnect.max.wait.ms", 0, source.reconnect_limit)?;
        if s.program == Program::CdcSource && s.truth(Source, "include.schema.changes", true)? {
            self.notes.push(format!(
                "the schema change topic {} is not written yet (\"include.schema.changes\"): schema versions are in the progress topic",
                self.source.topic_prefix
            ));
        }
        Ok(())
    }

    fn apply_log(&mut self, s: &Settings) -> Result<()> {
        // Servers that a connector has for a topic of its own do not make a log of what was a folder.
        let has_servers = s.text(Log, "bootstrap.servers").is_some() && (s.fallback.is_none() || !s.has_sections);
        let default = if has_servers || (s.program.expects_kafka() && !s.has_sections) { "kafka" } else { "local" };
        self.log.kind = match s.text(Log, "type").unwrap_or(default) {
            "local" => LogKind::Local(s.path(Log, "dir", "log")),
            "memory" => LogKind::Memory,
            #[cfg(feature = "kafka")]
            "kafka" => {
                self.notes.extend(s.fallback.clone());
                LogKind::Kafka { cluster: kafka::cluster(s, &self.source.topic_prefix)?, status_dir: s.path(Log, "dir", "log") }
            }
            other => {
                let kafka = if cfg!(feature = "kafka") { ", \"kafka\" (with \"bootstrap.servers\")" } else { "" };
                return Err(Error::configuration(format!(
                    "[log] \"type\" = \"{other}\" cannot be used\n  → write \"local\" (segment files in \"dir\"){kafka} or \"memory\""
                )));
            }
        };
        self.log.retention = Duration::from_millis(s.number(Log, "log.retention.ms", "milliseconds", 0.., 24 * 3_600_000)?);
        self.log.retention_bytes = s.number(Log, "log.retention.bytes", BYTES, 0.., 0)?;
        self.log.segment_bytes = s.number(Log, "log.segment.bytes", BYTES, 1 << 20.., self.log.segment_bytes)?;
        Ok(())
    }

    fn apply_sink(&mut self, s: &Settings) -> Result<()> {
        let sink = &mut self.sink;
        check_class(s, Sink)?;
        // A connector may have dots in its name; a name that is written for this sink is taken as it is.
        let name = s.text(Sink, "name").map(|name| if s.has_sink_connector { name.replace('.', "-") } else { name.to_owned() });
        sink.id = sink_id(name.as_deref(), &self.source.topic_prefix)?;
        if let Some(name) = s.text(Sink, "iceberg.catalog") {
            name.clone_into(&mut sink.catalog);
        } else if tables::has_defaults_of_apache(s) {
            "iceberg".clone_into(&mut sink.catalog);
        }
        let kind = match s.text(Sink, "iceberg.catalog.catalog-impl") {
            Some("org.apache.iceberg.jdbc.JdbcCatalog") => "jdbc",
            Some(class) => class,
            None => s.text(Sink, "iceberg.catalog.type").unwrap_or("jdbc"),
        };
        if !matches!(kind, "jdbc" | "sql") {
            return Err(Error::configuration(format!(
                "[sink] \"iceberg.catalog.type\" = \"{kind}\" is not there yet\n  → write \"jdbc\": a SQL catalog in a SQLite file, or on a PostgreSQL, MySQL or MariaDB server"
            )));
        }
        let warehouse = s.text(Sink, "iceberg.catalog.warehouse").unwrap_or("warehouse");
        let folder = warehouse.strip_prefix("file://").or_else(|| warehouse.strip_prefix("file:")).unwrap_or(warehouse);
        if folder.contains("://") {
            return Err(Error::configuration(format!(
                "[sink] \"iceberg.catalog.warehouse\" = \"{warehouse}\" is not there yet\n  → write the path of a local folder"
            )));
        }
        sink.warehouse = s.folder(Sink, "iceberg.catalog.warehouse").join(folder);
        sink.catalog_address = match s.text(Sink, "iceberg.catalog.uri") {
            None => CatalogAddress::sqlite(sink.warehouse.join("catalog.db")),
            Some(uri) => catalog_address(uri, s)?,
        };
        sink.catalog_password = s.secret("iceberg.catalog.jdbc.password");
        let interval = if tables::has_defaults_of_apache(s) { 300_000 } else { 500 };
        sink.commit_interval =
            Duration::from_millis(s.number(Sink, "iceberg.control.commit.interval-ms", "milliseconds", 10.., interval)?);
        sink.predecessor = ConnectSinkConfig::of(s.text(Sink, "name").unwrap_or(&sink.id));
        for (name, value) in [
            ("iceberg.control.topic", &mut sink.predecessor.control_topic),
            ("iceberg.connect.group-id", &mut sink.predecessor.group),
            ("iceberg.control.group-id", &mut sink.predecessor.control_group),
        ] {
            if let Some(text) = s.text(Sink, name) {
                text.clone_into(value);
            }
        }
        sink.compaction = s.truth(Sink, "iceberg.tables.compaction-enabled", true)?;
        sink.foreign_writes = match s.choice(Sink, "iceberg.foreign.writes", &["stop", "warn"])? {
            "warn" => ForeignWrites::Warn,
            _ => ForeignWrites::Stop,
        };
        sink.memory_budget = s.number(Sink, "iceberg.memory.budget.bytes", BYTES, 1 << 20.., sink.memory_budget)?;
        Ok(())
    }

    fn apply_trino(&mut self, s: &Settings) -> Result<()> {
        let owned = |name, default: &str| s.text(Trino, name).unwrap_or(default).to_owned();
        let Some(url) = s.text(Trino, "url") else {
            return match s.first_of(Trino) {
                Some(other) => Err(Error::configuration(format!("[trino] has \"{other}\" and no \"url\"\n  → write {TRINO}"))),
                None => Ok(()),
            };
        };
        self.trino = Some(TrinoConfig {
            url: url.to_owned(),
            user: owned("user", "lakehouse"),
            password: s.secret("password"),
            catalog: owned("catalog", &self.sink.catalog),
            root_certificates: s.text(Trino, "ssl.truststore").map(|_| s.path(Trino, "ssl.truststore", "")),
        });
        Ok(())
    }
}

const TRINO: &str = "the address of a Trino server: \"http://host:8080\"";

impl SinkConfig {
    /// The catalog's address with all that opening it needs.
    pub(crate) fn catalog(&self) -> Result<CatalogAddress> {
        let address = self.catalog_address.clone();
        Ok(match self.catalog_password.needed()? {
            _ if address.sqlite_path().is_some() => address,
            "" => address,
            password => address.with_password(password),
        })
    }
}

fn catalog_address(uri: &str, s: &Settings) -> Result<CatalogAddress> {
    let address = CatalogAddress::parse(uri)
        .map_err(|e| Error::configuration(format!("[sink] \"iceberg.catalog.uri\" cannot be used: {e}")))?;
    if let Some(path) = address.sqlite_path() {
        return Ok(CatalogAddress::sqlite(s.folder(Sink, "iceberg.catalog.uri").join(path)));
    }
    match s.text(Sink, "iceberg.catalog.jdbc.user") {
        Some(user) => Ok(address.with_user(user)),
        None if address.has_user() => Ok(address),
        None => Err(Error::configuration(format!(
            "[sink] needs \"iceberg.catalog.jdbc.user\" for the catalog {address}\n  → and \"iceberg.catalog.jdbc.password\" = \"${{env:NAME}}\""
        ))),
    }
}

const BYTES: &str = "a number of bytes";
const SSL_MODES: &[&str] =
    &["preferred", "disabled", "required", "verify_ca", "verify_identity", "disable", "trust", "verify-ca", "verify-full"];
/// What Debezium's connector for MariaDB calls them.
const SSL_MODES_OF_MARIADB: [(&str, &str); 4] =
    [("disable", "disabled"), ("trust", "required"), ("verify-ca", "verify_ca"), ("verify-full", "verify_identity")];

/// Refuses the file of another connector.
fn check_class(s: &Settings, section: keys::Section) -> Result<()> {
    let Some(class) = s.text(section, "connector.class") else { return Ok(()) };
    let (known, what): (&[&str], _) = match section {
        Source => (
            &[
                "io.debezium.connector.mysql.MySqlConnector",
                "io.debezium.connector.mariadb.MariaDbConnector",
                "MySqlConnector",
                "MariaDbConnector",
                "MySql",
                "MariaDb",
            ],
            "the source is MySQL or MariaDB",
        ),
        _ => (
            &[
                "org.apache.iceberg.connect.IcebergSinkConnector",
                "io.tabular.iceberg.connect.IcebergSinkConnector",
                "IcebergSinkConnector",
                "IcebergSink",
            ],
            "the sink is Iceberg",
        ),
    };
    if known.contains(&class) {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "[{}] \"connector.class\" = \"{class}\" is not supported: {what}\n  → give the file of {} or of {}",
        section.name(),
        known.first().unwrap_or(&""),
        known.get(1).unwrap_or(&"")
    )))
}

/// The sink's id. It becomes part of a tag's name, in which a dot has a meaning.
fn sink_id(name: Option<&str>, topic_prefix: &str) -> Result<String> {
    const WHICH: &str = "write letters (a to z, A to Z), digits, - and _";
    let is_usable = |id: &str| commit_coordinator::check_sink_id(id).is_ok();
    match name {
        Some(name) if is_usable(name) => Ok(name.to_owned()),
        Some(name) => Err(Error::configuration(format!("[sink] \"name\" = \"{name}\" cannot be used\n  → {WHICH} only"))),
        None => Some(topic_prefix.replace('.', "-")).filter(|id| is_usable(id)).ok_or_else(|| {
            Error::configuration(format!(
                "[source] \"topic.prefix\" = \"{topic_prefix}\" cannot be the sink's id\n  → {WHICH}, and dots\n  → or give the sink a [sink] \"name\" of its own"
            ))
        }),
    }
}
