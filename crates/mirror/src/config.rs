//! What can be set, from a file or through [`MirrorConfig`]'s fields.

mod edit_distance;
#[cfg(feature = "kafka")]
mod kafka;
mod keys;
mod secret;
mod settings;
mod substitute;

pub use secret::Secret;

use crate::error::{Error, Result};
use iceberg_writer::CatalogAddress;
use keys::Section::{Log, Sink, Source, Trino};
use settings::Settings;
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
    /// A Trino server that can read the tables, if there is one.
    pub trino: Option<TrinoConfig>,
    /// What of it this process does.
    pub halves: Halves,
    /// Settings that were accepted and ignored, a line each.
    pub notes: Vec<String>,
}

/// The halves of a mirror, with the log between them. Not a key of the file: a local log belongs to one process at a time, so halves in
/// two processes would take turns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
            },
            trino: None,
            halves: Halves::Both,
            notes: Vec::new(),
        }
    }

    /// Reads a configuration file; each of `overrides` is `key=value` and wins over the file.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): a file that cannot be read, an unknown key (with the name
    /// that was probably meant), a value that does not parse, a reference that cannot be resolved.
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::from_settings(Settings::read(path, overrides)?)
    }

    fn from_settings(s: Settings) -> Result<Self> {
        let mut c = Self::new(
            s.required(Source, "database.hostname")?,
            s.number(Source, "database.port", "a port", 1..=65_535, 3306)?,
            s.required(Source, "database.user")?,
            s.secret("database.password"),
            &s.base,
        );
        let owned = |name| s.text(Source, name).map(str::to_owned);
        let milliseconds = |name, least: u64, default: Duration| {
            let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
            s.number(Source, name, "milliseconds", least.., default).map(Duration::from_millis)
        };
        let source = &mut c.source;
        if s.text(Source, "database.server.id").is_some() {
            source.server_id = Some(s.number(Source, "database.server.id", "a number", 1..=u32::MAX, 1)?);
        }
        source.ssl_mode = s.choice(Source, "database.ssl.mode", SSL_MODES)?.to_owned();
        source.ssl_ca = s.text(Source, "database.ssl.truststore").map(|p| s.base.join(p));
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
        c.log.kind = match s.text(Log, "type").unwrap_or("local") {
            "local" => LogKind::Local(s.path(Log, "dir", "log")),
            "memory" => LogKind::Memory,
            #[cfg(feature = "kafka")]
            "kafka" => {
                LogKind::Kafka { cluster: kafka::cluster(&s, &c.source.topic_prefix)?, status_dir: s.path(Log, "dir", "log") }
            }
            other => {
                let kafka = if cfg!(feature = "kafka") { ", \"kafka\" (with \"bootstrap.servers\")" } else { "" };
                return Err(Error::configuration(format!(
                    "[log] \"type\" = \"{other}\" cannot be used\n  → write \"local\" (segment files in \"dir\"){kafka} or \"memory\""
                )));
            }
        };
        c.log.retention = Duration::from_millis(s.number(Log, "log.retention.ms", "milliseconds", 0.., 24 * 3_600_000)?);
        c.log.retention_bytes = s.number(Log, "log.retention.bytes", BYTES, 0.., 0)?;
        c.log.segment_bytes = s.number(Log, "log.segment.bytes", BYTES, 1 << 20.., c.log.segment_bytes)?;
        c.apply_sink(&s)?;
        c.apply_trino(&s)?;
        c.notes = s.notes;
        let ignored = c.sink.catalog_address.ignored().iter();
        c.notes.extend(ignored.map(|key| format!("\"{key}\" of [sink] \"iceberg.catalog.uri\" is not needed and ignored")));
        Ok(c)
    }

    fn apply_sink(&mut self, s: &Settings) -> Result<()> {
        let sink = &mut self.sink;
        sink.id = sink_id(s.text(Sink, "name"), &self.source.topic_prefix)?;
        if let Some(name) = s.text(Sink, "iceberg.catalog") {
            name.clone_into(&mut sink.catalog);
        }
        let kind = s.text(Sink, "iceberg.catalog.type").unwrap_or("jdbc");
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
        sink.warehouse = s.base.join(folder);
        sink.catalog_address = match s.text(Sink, "iceberg.catalog.uri") {
            None => CatalogAddress::sqlite(sink.warehouse.join("catalog.db")),
            Some(uri) => catalog_address(uri, s)?,
        };
        sink.catalog_password = s.secret("iceberg.catalog.jdbc.password");
        sink.commit_interval =
            Duration::from_millis(s.number(Sink, "iceberg.control.commit.interval-ms", "milliseconds", 10.., 500)?);
        sink.auto_create = s.parsed(Sink, "iceberg.tables.auto-create-enabled", "true or false", true)?;
        sink.compaction = s.parsed(Sink, "iceberg.tables.compaction-enabled", "true or false", true)?;
        match s.text(Sink, "iceberg.tables.mode").unwrap_or("upsert") {
            "upsert" => {}
            other => {
                return Err(Error::configuration(format!(
                    "[sink] \"iceberg.tables.mode\" = \"{other}\" is not there yet\n  → write \"upsert\": tables that equal the source"
                )));
            }
        }
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
            root_certificates: s.text(Trino, "ssl.truststore").map(|path| s.base.join(path)),
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
        return Ok(CatalogAddress::sqlite(s.base.join(path)));
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
const SSL_MODES: &[&str] = &["preferred", "disabled", "required", "verify_ca", "verify_identity"];

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const MINIMAL: &str = "[source]\n\"database.hostname\" = \"db\"\n\"database.user\" = \"u\"\n\"topic.prefix\" = \"shop\"\n";

    fn parse(text: &str, overrides: &[&str]) -> Result<MirrorConfig> {
        let overrides: Vec<String> = overrides.iter().map(|s| (*s).to_owned()).collect();
        MirrorConfig::from_settings(Settings::parse(text, "mirror.toml", "/base".into(), &overrides)?)
    }

    fn refused(text: &str, overrides: &[&str]) -> String {
        let e = parse(text, overrides).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    }

    #[test]
    fn a_minimal_file_gets_defaults_that_work() {
        let c = parse(MINIMAL, &[]).unwrap();
        assert_eq!((c.source.port, c.source.ssl_mode.as_str()), (3306, "preferred"));
        assert_eq!(c.log.kind, LogKind::Local("/base/log".into()));
        assert_eq!(c.sink.catalog_address.sqlite_path(), Some(Path::new("/base/warehouse/catalog.db")));
        assert_eq!((c.sink.id.as_str(), c.sink.commit_interval), ("shop", Duration::from_millis(500)));
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_by_line_and_column_without_its_text() {
        let message = refused("[source]\n\"database.port\" = 1\n\"database.password\" = \"s3cret\n", &[]);
        assert!(message.starts_with("mirror.toml is not valid TOML: line 3, column "), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
        assert!(!refused(MINIMAL, &["database.password:s3cret"]).contains("s3cret"));
    }

    #[test]
    fn nested_tables_are_their_dotted_keys_and_set_wins() {
        let text = format!(
            "{MINIMAL}[source.table]\ninclude.list = [\"a\\\\.b\", \"a\\\\.c\"]\n[sink.iceberg.catalog]\nwarehouse = \"w\"\n"
        );
        let c = parse(&text, &["database.port=3307", "sink.iceberg.catalog.warehouse=/w2"]).unwrap();
        assert_eq!(c.source.table_include.as_deref(), Some("a\\.b,a\\.c"));
        assert_eq!((c.source.port, c.sink.warehouse), (3307, PathBuf::from("/w2")));
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
        assert_eq!(
            refused(&format!("{MINIMAL}\"tabel.include.list\" = \"x\"\n"), &[]),
            "mirror.toml: unknown key [source] \"tabel.include.list\"\n  → did you mean \"table.include.list\"?"
        );
        assert!(refused(MINIMAL, &["iceberg.catlog=x"]).contains("did you mean \"iceberg.catalog\"?"));
        assert!(refused(&format!("{MINIMAL}\"iceberg.catalog\" = \"x\"\n"), &[]).contains("it belongs in [sink]"));
    }

    #[test]
    fn a_trino_server_is_named_in_its_section_or_by_set() {
        assert_eq!(parse(MINIMAL, &[]).unwrap().trino, None);
        let text = format!(
            "{MINIMAL}[trino]\nurl = \"https://t:8443\"\nuser = \"me\"\npassword = \"s3cret\"\nssl.truststore = \"ca.pem\"\n"
        );
        let trino = parse(&text, &["iceberg.catalog=mine"]).unwrap().trino.unwrap();
        assert_eq!((trino.url.as_str(), trino.user.as_str(), trino.catalog.as_str()), ("https://t:8443", "me", "mine"));
        assert_eq!((trino.password.expose(), trino.root_certificates.as_deref()), ("s3cret", Some(Path::new("/base/ca.pem"))));
        assert!(!format!("{trino:?}").contains("s3cret"));
        let trino = parse(MINIMAL, &["trino.url=http://t:8080", "trino.catalog=other"]).unwrap().trino.unwrap();
        assert_eq!((trino.user.as_str(), trino.catalog.as_str(), trino.password.is_empty()), ("lakehouse", "other", true));
        for set in ["trino.user=me", "trino.password=s3cret"] {
            let said = refused(MINIMAL, &[set]);
            assert!(
                said.starts_with("[trino] has \"") && said.contains("\" and no \"url\"\n  → write ") && !said.contains("s3cret"),
                "{said}"
            );
        }
        // Alone they would be mistaken for the database's.
        for set in ["user=me", "password=s3cret", "url=http://t"] {
            let said = refused(MINIMAL, &[set]);
            assert!(said.starts_with("--set: unknown key \"") && !said.contains("s3cret"), "{said}");
        }
    }

    #[test]
    fn a_short_key_and_a_section_that_are_misspelt_are_understood() {
        assert!(refused(MINIMAL, &["log.typ=x"]).ends_with("unknown key \"log.typ\"\n  → did you mean \"log.type\"?"));
        assert!(refused(MINIMAL, &["sink.nme=x"]).contains("did you mean \"sink.name\"?"));
        assert!(refused(&MINIMAL.replace("[source]", "[sorce]"), &[]).ends_with("key sorce\n  → did you mean [source]?"));
    }

    #[test]
    fn a_key_without_its_section_is_the_one_that_is_read() {
        let c = parse(MINIMAL, &["name=mine"]).unwrap();
        assert_eq!((c.sink.id.as_str(), c.notes), ("mine", vec![]));
        assert_eq!(parse(MINIMAL, &["source.name=mine"]).unwrap().notes.len(), 1);
    }

    #[test]
    fn a_warehouse_that_is_no_local_folder_is_refused_by_name() {
        for (warehouse, folder) in [("file:///w", "/w"), ("file:/w", "/w"), ("w", "/base/w")] {
            let c = parse(MINIMAL, &[&format!("iceberg.catalog.warehouse={warehouse}")]).unwrap();
            assert_eq!(c.sink.warehouse, PathBuf::from(folder));
        }
        for elsewhere in ["s3://b/x", "gs://b/x", "hdfs://n/x"] {
            let said = refused(MINIMAL, &[&format!("warehouse={elsewhere}")]);
            let what = format!("[sink] \"iceberg.catalog.warehouse\" = \"{elsewhere}\" is not there yet\n  → ");
            assert!(said.starts_with(&what), "{said}");
        }
    }

    #[test]
    fn a_catalog_is_a_file_or_a_database_on_a_server() {
        for (uri, path) in [("jdbc:sqlite:c.db", "/base/c.db"), ("/x/c.db", "/x/c.db"), ("sqlite:///x/c.db", "/x/c.db")] {
            let c = parse(MINIMAL, &[&format!("iceberg.catalog.uri={uri}")]).unwrap();
            assert_eq!(c.sink.catalog_address.sqlite_path(), Some(Path::new(path)));
        }
        let sets = ["iceberg.catalog.uri=jdbc:postgresql://db/lake?loginTimeout=3", "iceberg.catalog.jdbc.user=me"];
        let c = parse(MINIMAL, &sets).unwrap();
        assert_eq!(c.sink.catalog_address.to_string(), "postgresql://db:5432/lake");
        assert_eq!(c.notes, ["\"loginTimeout\" of [sink] \"iceberg.catalog.uri\" is not needed and ignored"]);
        for (uri, said) in [
            (
                "jdbc:oracle:x/s3cret@db",
                "[sink] \"iceberg.catalog.uri\" cannot be used: a catalog \"jdbc:oracle:x...\" is not there yet",
            ),
            ("jdbc:mysql://db/lake", "[sink] needs \"iceberg.catalog.jdbc.user\" for the catalog mysql://db:3306/lake"),
            ("jdbc:mysql://u:s3cret@db/lake?odd=1", "the parameter odd of the address mysql://db:3306/lake is not known"),
        ] {
            let message = refused(MINIMAL, &[&format!("iceberg.catalog.uri={uri}")]);
            assert!(message.contains(said) && !message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn a_name_that_cannot_be_the_sinks_is_refused_with_its_key() {
        for (set, key) in [
            ("name=a.b", "[sink] \"name\" = \"a.b\""),
            ("name=a b/c", "[sink] \"name\" = \"a b/c\""),
            ("topic.prefix=a b/c", "[source] \"topic.prefix\" = \"a b/c\""),
        ] {
            let said = refused(MINIMAL, &[set]);
            assert!(said.starts_with(key) && said.contains("digits, - and _"), "{said}");
        }
        assert_eq!(parse(MINIMAL, &["topic.prefix=a.b"]).unwrap().sink.id, "a-b");
        assert_eq!(parse(MINIMAL, &["topic.prefix=a b", "sink.name=c"]).unwrap().sink.id, "c");
    }

    #[test]
    fn a_number_that_cannot_work_is_refused_with_its_key_and_range() {
        for (set, said) in [
            (
                "database.server.id=0",
                "[source] \"database.server.id\" = \"0\" cannot be used\n  → write a number, 1 to 4294967295",
            ),
            ("database.port=0", "write a port, 1 to 65535"),
            ("database.port=70000", "write a port, 1 to 65535"),
            ("snapshot.fetch.size=0", "write a number of rows, at least 1"),
            ("snapshot.max.threads=0", "write a number, at least 1"),
            (
                "memory.budget.bytes=1000",
                "[source] \"memory.budget.bytes\" = \"1000\" cannot be used\n  → write a number of bytes, at least 1048576",
            ),
            ("transaction.max.bytes=5", "write a number of bytes, at least 1024"),
            ("connect.timeout.ms=0", "write milliseconds, at least 100"),
            ("log.segment.bytes=0", "write a number of bytes, at least 1048576"),
            ("iceberg.memory.budget.bytes=0", "write a number of bytes, at least 1048576"),
            ("iceberg.control.commit.interval-ms=0", "write milliseconds, at least 10"),
            ("log.retention.ms=-1", "write milliseconds, at least 0"),
        ] {
            let message = refused(MINIMAL, &[set]);
            assert!(message.contains(said), "{set}: {message}");
        }
        assert_eq!(parse(MINIMAL, &["database.server.id=4294967295"]).unwrap().source.server_id, Some(u32::MAX));
    }

    #[test]
    fn a_word_that_is_not_known_is_answered_with_those_that_are() {
        for (set, said) in [
            (
                "iceberg.foreign.writes=maybe",
                "[sink] \"iceberg.foreign.writes\" = \"maybe\" cannot be used\n  → write \"stop\" or \"warn\"",
            ),
            ("iceberg.tables.auto-create-enabled=maybe", "→ write true or false"),
            ("database.ssl.mode=always", "or \"verify_identity\""),
            ("snapshot.mode=when_needed", "→ write \"initial\" or \"initial_only\" or \"no_data\""),
        ] {
            let message = refused(MINIMAL, &[set]);
            assert!(message.contains(said), "{set}: {message}");
        }
        assert_eq!(parse(MINIMAL, &["database.ssl.mode=REQUIRED"]).unwrap().source.ssl_mode, "required");
    }

    #[test]
    fn a_key_that_would_change_the_mirror_is_refused_and_a_needless_one_is_noted() {
        assert!(refused(&format!("{MINIMAL}\"message.key.columns\" = \"a:b\"\n"), &[]).contains("not supported yet"));
        assert!(refused(&format!("{MINIMAL}\"decimal.handling.mode\" = \"double\"\n"), &[]).contains("\"precise\""));
        let c = parse(&format!("{MINIMAL}\"max.batch.size\" = 4096\n\"decimal.handling.mode\" = \"precise\"\n"), &[]).unwrap();
        assert_eq!(c.notes, ["\"max.batch.size\" is not needed and ignored: batches are bounded in bytes"]);
    }

    #[test]
    fn every_key_that_is_accepted_is_read() {
        let (code, _) = include_str!("config.rs").split_once("#[cfg(test)]").unwrap();
        let code = format!("{code}{}", include_str!("config/kafka.rs"));
        let used = keys::KEYS.iter().filter(|k| k.treatment == keys::Treatment::Used);
        let unread: Vec<&str> = used.map(|k| k.name).filter(|name| !code.contains(&format!("\"{name}\""))).collect();
        assert_eq!(unread, Vec::<&str>::new());
        for list in ["column.include.list", "column.exclude.list"] {
            let message = refused(&format!("{MINIMAL}\"{list}\" = \"d.t.secret\"\n"), &[]);
            assert!(message.contains("not supported yet"), "{message}");
        }
    }

    #[test]
    fn unquoted_keys_that_clash_are_explained() {
        let e = refused(&format!("{MINIMAL}[sink]\niceberg.catalog = \"x\"\niceberg.catalog.type = \"jdbc\"\n"), &[]);
        assert!(e.contains("write dotted keys in quotes"), "{e}");
    }

    #[test]
    fn a_password_is_never_shown() {
        let text = format!(
            "{MINIMAL}\"database.password\" = \"hunter2\"\n[sink]\n\"iceberg.catalog.uri\" = \"jdbc:mysql://u:hunter3@db/lake\"\n"
        );
        let c = parse(&text, &["iceberg.catalog.jdbc.password=hunter4"]).unwrap();
        assert_eq!((c.source.password.expose(), c.sink.catalog_password.expose()), ("hunter2", "hunter4"));
        assert!(!format!("{c:?}").contains("hunter"), "{c:?}");
    }
}
