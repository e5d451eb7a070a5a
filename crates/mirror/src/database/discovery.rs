//! What is in a database, and the configuration that mirrors it.

use super::DatabaseUrl;
use super::names::{colliding, leave_all_but_one_out};
use crate::config::{MirrorConfig, Secret};
use crate::error::{Error, Result};
use cdc_core::TableId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The environment variable that `init` takes the password from, and names in the file it writes.
pub const PASSWORD_VARIABLE: &str = "MYSQL_PWD";

/// What [`discover`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Discovery {
    /// The server's kind and version.
    pub server: String,
    /// The expression for `database.include.list` that means this database.
    pub database_include: String,
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
    let mut include = literal(&url.database);
    config.source.database_include = Some(include.clone());
    let source = config.source.to_mysql()?;
    let mut found = mysql_source::discover(&source).await?;
    // Expressions disregard case, and this server may have Shop beside shop.
    let is_this = |table: &TableId| table.database == url.database;
    if found.iter().any(|t| is_this(&t.table)) && !found.iter().all(|t| is_this(&t.table)) {
        found.retain(|t| is_this(&t.table));
        include = format!("(?-i){include}");
    }
    if found.is_empty() {
        let database = url.database.replace('`', "``");
        return Err(Error::configuration(format!(
            "{}:{} has no table in a database {} that {} may read\n  → check the name; GRANT SELECT ON `{database}`.* TO ...",
            url.hostname, url.port, url.database, url.user
        )));
    }
    let mut remarks: BTreeMap<TableId, Vec<String>> = BTreeMap::new();
    for remark in mysql_source::table_remarks(&source).await? {
        remarks.entry(remark.table).or_default().push(remark.found);
    }
    for (name, tables) in colliding(found.iter().map(|t| &t.table)) {
        for table in &tables {
            let others = tables.iter().filter(|t| *t != table).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            remarks.entry((*table).clone()).or_default().push(format!(
                "{others} would be the same table {name} in the catalog, where names are lower-cased: {}",
                leave_all_but_one_out(&config.source, &tables)
            ));
        }
    }
    let tables = found
        .into_iter()
        .map(|t| FoundTable {
            remarks: remarks.remove(&t.table).unwrap_or_default(),
            table: t.table.to_string(),
            key: t.key,
            estimated_rows: t.estimated_rows,
            size_bytes: t.bytes,
        })
        .collect();
    let server = mysql_source::server_info(&source).await?.to_string();
    Ok(Discovery { server, database_include: include, tables })
}

/// An entry of an include list that matches this name alone: a list is split at commas, and its entries are trimmed.
fn literal(name: &str) -> String {
    regex::escape(name).replace(',', r"\,").replace(' ', r"\x20")
}

impl Discovery {
    /// The text of a configuration that mirrors everything found. The password is only referred to.
    pub fn configuration(&self, url: &DatabaseUrl, password_file: Option<&Path>) -> String {
        let password = match password_file {
            Some(path) => format!("${{file:{}}}", std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).display()),
            None => format!("${{env:{PASSWORD_VARIABLE}}}"),
        };
        format!(
            r#"# A mirror of the database {database} ({server}).
# Keys are Debezium's and the Iceberg sink's own; docs/configuration.md lists them. Paths are relative to this file.

[source]
"database.hostname" = {hostname}
"database.port" = {port}
# Needs REPLICATION SLAVE, REPLICATION CLIENT and SELECT, nothing else.
"database.user" = {user}
"database.password" = {password}
# Names topics and the mirror itself.
"topic.prefix" = {prefix}
# Regular expressions, separated by commas.
"database.include.list" = {databases}
# "table.include.list" = {tables}
#
# Found, with keys and sizes:
{found}
[log]
# Segment files between source and tables; "memory" is for trials.
"type" = "local"
"dir" = "log"
# Applied records are kept so long, milliseconds.
"log.retention.ms" = 86400000

[sink]
# A SQL catalog in a SQLite file, readable by Spark, Trino and PyIceberg as a JDBC or SQL catalog.
"iceberg.catalog" = "lake"
"iceberg.catalog.type" = "jdbc"
"iceberg.catalog.uri" = "jdbc:sqlite:warehouse/catalog.db"
"iceberg.catalog.warehouse" = "warehouse"
# Time between two commits of a table.
"iceberg.control.commit.interval-ms" = 500
"#,
            database = one_line(&url.database),
            server = one_line(&self.server),
            hostname = quoted(&url.hostname),
            port = url.port,
            user = quoted(&url.user),
            password = quoted(&password),
            prefix = quoted(&cdc_core::sanitize_topic(&url.database)),
            databases = quoted(&self.database_include),
            tables = quoted(&format!(r"{}\..*", self.database_include)),
            found = self.tables_as_comments(),
        )
    }

    fn tables_as_comments(&self) -> String {
        let width = self.tables.iter().map(|t| one_line(&t.table).chars().count()).max().unwrap_or(0);
        let mut lines = String::new();
        for t in &self.tables {
            let key = if t.key.is_empty() { "no key".to_owned() } else { format!("key {}", one_line(&t.key.join(", "))) };
            let (table, rows, kib) = (one_line(&t.table), t.estimated_rows, t.size_bytes.div_ceil(1024));
            let unit = if rows == 1 { "row" } else { "rows" };
            lines += &format!("#   {table:width$}  about {rows} {unit}, {kib} KiB, {key}\n");
            for remark in &t.remarks {
                lines += &format!("#     {}\n", one_line(remark));
            }
        }
        lines
    }
}

/// A TOML string on one line, also in a comment.
fn quoted(text: &str) -> String {
    if text.chars().any(char::is_control) {
        let escape = |c: char| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
            c => c.to_string(),
        };
        return format!("\"{}\"", text.chars().map(escape).collect::<String>());
    }
    toml::Value::String(text.to_owned()).to_string()
}

/// A name as it can stand in a comment: line ends and other control characters as `\u{..}`.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_file_that_init_writes_is_read_back_with_the_same_meaning() {
        let url = DatabaseUrl::parse("mysql://me:secret@db:3307/od%22d.shop").unwrap();
        let found = Discovery {
            server: "MySQL 9.7.4".into(),
            database_include: literal(&url.database),
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

    #[test]
    fn a_name_that_could_end_a_comment_or_a_list_does_not() {
        let name = " a,b\n[sink] 'x' \"y\" \\";
        let mut url = DatabaseUrl::parse("mysql://me@db/x").unwrap();
        url.database = name.to_owned();
        let table = format!("{name}.t\n\"evil\" = 1");
        let remarks = vec!["two\nlines".to_owned()];
        let table = FoundTable { table, key: vec!["k\n".into()], estimated_rows: 0, size_bytes: 0, remarks };
        let found = Discovery { server: "MySQL".into(), database_include: literal(name), tables: vec![table] };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mirror.toml");
        std::fs::write(dir.path().join("pw"), "x").unwrap();
        std::fs::write(&path, found.configuration(&url, Some(&dir.path().join("pw")))).unwrap();
        let config = MirrorConfig::read(&path, &[]).unwrap();
        let filter = cdc_core::TableFilter::new(config.source.database_include.as_deref(), None, None, None).unwrap();
        assert!(filter.matches_database(name));
        assert!(!filter.matches_database("b") && !filter.matches_database(name.trim()));
        assert_eq!(config.sink.catalog, "lake");
    }
}
