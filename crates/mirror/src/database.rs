//! The database side of a mirror before it runs: the URL of `init`, the preflight, what tables there are.

use crate::config::{MirrorConfig, Secret, SourceConfig};
use crate::error::{Error, Result};
use cdc_core::{ColumnFilter, TableFilter};
use mysql_source::{MysqlSourceConfig, SnapshotMode, TlsMode};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::Path;

/// The environment variable that `init` takes the password from, and names in the file it writes.
pub const PASSWORD_VARIABLE: &str = "MYSQL_PWD";

/// `mysql://user[:password]@host[:port]/database`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// User.
    pub user: String,
    /// Password, if the URL has one.
    pub password: Option<Secret>,
    /// Host name or address.
    pub hostname: String,
    /// Port, 3306 if the URL has none.
    pub port: u16,
    /// The database to mirror.
    pub database: String,
}

impl DatabaseUrl {
    /// Reads a URL; `%XX` in user, password and database is decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) says which part is missing; the password is never in it.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::configuration(format!("the database's URL {what}\n  → write mysql://user@host:3306/database (mariadb:// too)"))
        };
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| wrong("must begin with mysql:// or mariadb://"))?;
        let (authority, database) = rest.split_once('/').ok_or_else(|| wrong("has no database"))?;
        let database = database.split(['?', '#']).next().unwrap_or_default();
        let (login, address) = authority.rsplit_once('@').ok_or_else(|| wrong("has no user"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (hostname, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("has a port that is no number"))?)
            }
            _ => (address, 3306),
        };
        let decode = |text: &str| {
            percent_decode(text).ok_or_else(|| wrong("has a % that is not followed by two hexadecimal digits of UTF-8"))
        };
        let url = Self {
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret::new),
            hostname: hostname.trim_matches(['[', ']']).to_owned(),
            port,
            database: decode(database)?,
        };
        for (part, name) in [(&url.user, "user"), (&url.hostname, "host"), (&url.database, "database")] {
            if part.is_empty() {
                return Err(wrong(&format!("has no {name}")));
            }
        }
        Ok(url)
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        out.push(u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?);
    }
    String::from_utf8(out).ok()
}

/// What [`discover`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Discovery {
    /// The server's kind and version.
    pub server: String,
    /// The database's tables, by name.
    pub tables: Vec<FoundTable>,
}

/// A table that could be mirrored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundTable {
    /// `database.table`.
    pub table: String,
    /// Its key; empty if it has none.
    pub key: Vec<String>,
    /// The server's estimate of its rows.
    pub estimated_rows: u64,
    /// The server's estimate of its size.
    pub size_bytes: u64,
    /// What to know about it.
    pub remarks: Vec<String>,
}

/// Looks at a database; changes nothing in it.
///
/// # Errors
/// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if the server cannot be reached or refuses;
/// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) if the database has no table.
pub async fn discover(url: &DatabaseUrl, password: &Secret) -> Result<Discovery> {
    let mut config = MirrorConfig::new(&url.hostname, url.port, &url.user, password.clone(), Path::new(""));
    config.source.database_include = Some(regex::escape(&url.database));
    let source = config.source.to_mysql()?;
    let found = mysql_source::discover(&source).await?;
    if found.is_empty() {
        return Err(Error::configuration(format!(
            "{}:{} has no table in a database {} that {} may read\n  → check the name; GRANT SELECT ON `{}`.* TO ...",
            url.hostname, url.port, url.database, url.user, url.database
        )));
    }
    let tables = found
        .into_iter()
        .map(|t| FoundTable {
            remarks: if t.key.is_empty() {
                vec!["no key: inserts are appended; an update or delete would stop it".to_owned()]
            } else {
                Vec::new()
            },
            table: t.table.to_string(),
            key: t.key,
            estimated_rows: t.estimated_rows,
            size_bytes: t.bytes,
        })
        .collect();
    Ok(Discovery { server: mysql_source::server_info(&source).await?.version, tables })
}

impl Discovery {
    /// The text of a configuration that mirrors everything found. The password is only referred to.
    pub fn configuration(&self, url: &DatabaseUrl, password_file: Option<&Path>) -> String {
        let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let password = match password_file {
            Some(path) => {
                let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
                format!("${{file:{}}}", path.display())
            }
            None => format!("${{env:{PASSWORD_VARIABLE}}}"),
        };
        let mut out = String::new();
        let mut line = |text: String| {
            out.push_str(&text);
            out.push('\n');
        };
        line(format!("# A mirror of the database {} ({}).", url.database, self.server));
        line("# Keys are Debezium's and the Iceberg sink's own; docs/configuration.md lists them. Paths are relative to this file.\n".into());
        line("[source]".into());
        line(format!("\"database.hostname\" = {}", quote(&url.hostname)));
        line(format!("\"database.port\" = {}", url.port));
        line("# Needs REPLICATION SLAVE, REPLICATION CLIENT and SELECT, nothing else.".into());
        line(format!("\"database.user\" = {}", quote(&url.user)));
        line(format!("\"database.password\" = {}", quote(&password)));
        line("# Names topics and the mirror itself.".into());
        line(format!("\"topic.prefix\" = {}", quote(&cdc_core::sanitize_topic(&url.database))));
        line("# Regular expressions, separated by commas.".into());
        line(format!("\"database.include.list\" = {}", quote(&regex::escape(&url.database))));
        line(format!("# \"table.include.list\" = {}", quote(&format!("{}\\..*", regex::escape(&url.database)))));
        line("#".into());
        line("# Found, with keys and sizes:".into());
        let width = self.tables.iter().map(|t| t.table.chars().count()).max().unwrap_or(0);
        for t in &self.tables {
            let key = if t.key.is_empty() { "no key: inserts only".to_owned() } else { format!("key {}", t.key.join(", ")) };
            let pad = " ".repeat(width - t.table.chars().count());
            line(format!(
                "#   {}{pad}  about {} rows, {} KiB, {key}",
                t.table.replace(['\n', '\r'], " "),
                t.estimated_rows,
                t.size_bytes.div_ceil(1024)
            ));
        }
        let mut out2 = String::new();
        let _ = write!(
            out2,
            "\n[log]\n# Segment files between source and tables; \"memory\" is for trials.\n\"type\" = \"local\"\n\"dir\" = \"log\"\n# Applied records are kept so long, milliseconds.\n\"log.retention.ms\" = 86400000\n\
             \n[sink]\n# A SQL catalog in a SQLite file, readable by Spark, Trino and PyIceberg as a JDBC or SQL catalog.\n\"iceberg.catalog\" = \"lake\"\n\"iceberg.catalog.type\" = \"jdbc\"\n\"iceberg.catalog.uri\" = \"jdbc:sqlite:warehouse/catalog.db\"\n\"iceberg.catalog.warehouse\" = \"warehouse\"\n# Time between two commits of a table.\n\"iceberg.control.commit.interval-ms\" = 1000\n"
        );
        out + &out2
    }
}

/// One requirement, what was found, and what fixes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is required.
    pub name: String,
    /// It is met.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// The statement or setting that fixes it; also given as advice where `ok`.
    pub fix: Option<String>,
}

/// Checks every requirement of a mirror: server, grants, tables, log and warehouse folders. Changes nothing.
///
/// # Errors
/// Those of connecting; a requirement that is not met is a [`Check`], not an error.
pub async fn check(config: &MirrorConfig) -> Result<Vec<Check>> {
    let mut checks: Vec<Check> = mysql_source::preflight(&config.source.to_mysql()?)
        .await?
        .into_iter()
        .map(|c| Check { name: c.name, ok: c.ok, found: c.found, fix: c.fix })
        .collect();
    if let crate::config::LogKind::Local(dir) = &config.log.kind {
        checks.push(writable_folder("log folder", "[log] \"dir\"", dir));
    }
    checks.push(writable_folder("warehouse", "[sink] \"iceberg.catalog.warehouse\"", &config.sink.warehouse));
    Ok(checks)
}

/// Looks whether a folder, or the nearest one above it that exists, can be written to, without creating anything that stays.
fn writable_folder(name: &str, setting: &str, dir: &Path) -> Check {
    let existing = dir.ancestors().find(|p| p.exists() || p.as_os_str().is_empty()).unwrap_or(dir);
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    let probe = existing.join(format!(".lakehouse-check-{}", std::process::id()));
    let outcome = std::fs::write(&probe, b"probe");
    drop(std::fs::remove_file(&probe));
    let (ok, found, fix) = match outcome {
        Ok(()) => (true, format!("{} can be written to", dir.display()), None),
        Err(e) => (
            false,
            format!("{} cannot be written to: {e}", existing.display()),
            Some(format!("make it writable, or name another folder in {setting}")),
        ),
    };
    Check { name: name.to_owned(), ok, found, fix }
}

/// Row changes that the source hands on at once, unless one transaction has more. As events they take up to ten mebibytes, and
/// an append of that size costs less for its flush than for its bytes.
const BATCH_ROWS: usize = 8_192;

impl SourceConfig {
    /// The source's own configuration.
    pub(crate) fn to_mysql(&self) -> Result<MysqlSourceConfig> {
        let tables = TableFilter::new(
            self.database_include.as_deref(),
            self.database_exclude.as_deref(),
            self.table_include.as_deref(),
            self.table_exclude.as_deref(),
        )?;
        let mut builder = MysqlSourceConfig::builder(&self.hostname)
            .port(self.port)
            .user(&self.user)
            .password(self.password.expose())
            .tls(TlsMode::parse(&self.ssl_mode)?)
            .tables(tables)
            .columns(ColumnFilter::default())
            .snapshot_mode(SnapshotMode::parse(&self.snapshot_mode)?)
            .chunk_rows(self.snapshot_fetch_size as usize)
            .snapshot_threads(self.snapshot_max_threads)
            .memory_bytes(self.memory_budget)
            .batch_rows(BATCH_ROWS)
            .max_transaction_bytes(self.transaction_max_bytes)
            .connect_timeout(self.connect_timeout);
        if let Some(id) = self.server_id {
            builder = builder.server_id(id);
        }
        if let Some(ca) = &self.ssl_ca {
            builder = builder.tls_ca(ca);
        }
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = DatabaseUrl::parse("mysql://me:p%40ss@db.example:3307/my%20shop?x=1").unwrap();
        assert_eq!(
            (url.user.as_str(), url.hostname.as_str(), url.port, url.database.as_str()),
            ("me", "db.example", 3307, "my shop")
        );
        assert_eq!(url.password.unwrap().expose(), "p@ss");
        let url = DatabaseUrl::parse("mariadb://me@[::1]/shop").unwrap();
        assert_eq!((url.hostname.as_str(), url.port), ("::1", 3306));
    }

    #[test]
    fn a_url_that_lacks_a_part_says_which() {
        for (url, lacks) in [
            ("postgres://a@b/c", "must begin with"),
            ("mysql://a@b", "has no database"),
            ("mysql://b/c", "has no user"),
            ("mysql://a@b:x/c", "port"),
            ("mysql://a@/c", "has no host"),
        ] {
            let e = DatabaseUrl::parse(url).unwrap_err();
            assert!(e.to_string().contains(lacks) && e.exit_code() == 2, "{url}: {e}");
        }
    }

    #[test]
    fn the_file_that_init_writes_is_read_back_with_the_same_meaning() {
        let url = DatabaseUrl::parse("mysql://me:secret@db:3307/od%22d.shop").unwrap();
        let found = Discovery {
            server: "MySQL 9.7.4".into(),
            tables: vec![FoundTable {
                table: "od\"d.shop.t".into(),
                key: vec![],
                estimated_rows: 3,
                size_bytes: 16384,
                remarks: vec![],
            }],
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "secret\n").unwrap();
        let text = found.configuration(&url, Some(&dir.path().join("pw")));
        assert!(!text.contains("secret"));
        std::fs::write(dir.path().join("mirror.toml"), text).unwrap();
        let config = MirrorConfig::read(&dir.path().join("mirror.toml"), &[]).unwrap();
        assert_eq!(config.source.password.expose(), "secret");
        assert_eq!(config.source.database_include.as_deref(), Some("od\"d\\.shop"));
        assert_eq!((config.source.port, config.source.topic_prefix.as_str()), (3307, "od_d.shop"));
        assert_eq!(config.sink.id, "od_d-shop");
    }
}
