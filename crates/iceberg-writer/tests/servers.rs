//! A catalog in a database of its own on each kind of server, and what a test does there behind the catalog's back.

use crate::support::*;
use iceberg_writer::{CatalogAddress, Upkeep};
use mysql_async::prelude::Queryable;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Row};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
    Mysql,
    Mariadb,
}

impl Kind {
    /// The name of its script in `dev/`.
    pub fn script(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }

    pub fn is_wanted(self) -> bool {
        !std::env::var("ONLY").is_ok_and(|only| only != self.script())
    }
}

/// A script of the project.
pub fn dev(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev").join(script)
}

/// An empty database.
#[derive(Clone)]
pub struct Database {
    pub kind: Kind,
    /// Of SQLite the file, of a server the database's name.
    pub name: String,
    pub port: u16,
    /// Where the server keeps its data.
    pub data: PathBuf,
}

impl Database {
    /// A new one, on the server that all tests share.
    pub async fn new(kind: Kind, test: &str, folder: &Path) -> Self {
        if kind == Kind::Sqlite {
            let name = folder.join("catalog.db").to_string_lossy().into_owned();
            return Self { kind, name, port: 0, data: PathBuf::new() };
        }
        let output = Command::new(dev(kind.script())).args(["start", "shared", "--json"]).output().unwrap();
        assert!(output.status.success(), "{kind:?}: {}", String::from_utf8_lossy(&output.stderr));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let port = u16::try_from(info["port"].as_u64().unwrap()).unwrap();
        let name = format!("iw_{test}");
        let at = Self { kind, name: String::new(), port, data: info["datadir"].as_str().unwrap().into() };
        let force = if kind == Kind::Postgres { " WITH (FORCE)" } else { "" };
        at.sql(&format!("DROP DATABASE IF EXISTS {name}{force}")).await;
        at.sql(&format!("CREATE DATABASE {name}")).await;
        Self { name, ..at }
    }

    pub fn uri(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("jdbc:sqlite:{}", self.name),
            Kind::Postgres => format!("jdbc:postgresql://127.0.0.1:{}/{}", self.port, self.name),
            Kind::Mysql => format!("jdbc:mysql://127.0.0.1:{}/{}", self.port, self.name),
            Kind::Mariadb => format!("jdbc:mariadb://127.0.0.1:{}/{}", self.port, self.name),
        }
    }

    pub fn address(&self) -> CatalogAddress {
        CatalogAddress::parse(&self.uri()).unwrap().with_user("admin").with_password("admin")
    }

    /// Runs a statement as the administrator; what it returns, a value after the other with `|` between, NULL as `∅`, a line a row.
    pub async fn sql(&self, text: &str) -> Vec<String> {
        self.try_sql(text).await.unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    pub async fn try_sql(&self, text: &str) -> Result<Vec<String>, String> {
        let line = |row: Vec<Option<String>>| row.into_iter().map(|v| v.unwrap_or("∅".into())).collect::<Vec<_>>().join("|");
        match self.kind {
            Kind::Sqlite => {
                let options = SqliteConnectOptions::new().filename(&self.name).create_if_missing(true);
                let mut c = options.connect().await.map_err(|e| e.to_string())?;
                let rows = sqlx::query(text).fetch_all(&mut c).await.map_err(|e| e.to_string())?;
                let texts = |row: &sqlx::sqlite::SqliteRow| (0..row.len()).map(|i| row.get_unchecked(i)).collect();
                Ok(rows.iter().map(|row| line(texts(row))).collect())
            }
            Kind::Postgres => {
                let output = Command::new(dev("postgres"))
                    .args(["sql", "shared", "-At", "-F", "|", "-P", "null=∅", "-v", "ON_ERROR_STOP=1"])
                    .args((!self.name.is_empty()).then_some(&self.name))
                    .args(["-c", text])
                    .output()
                    .unwrap();
                match output.status.success() {
                    true => Ok(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()),
                    false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
                }
            }
            Kind::Mysql | Kind::Mariadb => {
                let opts = mysql_async::OptsBuilder::default()
                    .ip_or_hostname("127.0.0.1")
                    .tcp_port(self.port)
                    .user(Some("admin"))
                    .pass(Some("admin"))
                    .db_name((!self.name.is_empty()).then_some(&self.name))
                    .prefer_socket(false);
                let mut conn = mysql_async::Conn::new(opts).await.map_err(|e| e.to_string())?;
                let rows: Vec<mysql_async::Row> = conn.query(text).await.map_err(|e| e.to_string())?;
                conn.disconnect().await.map_err(|e| e.to_string())?;
                Ok(rows.into_iter().map(|row| line((0..row.len()).map(|i| row.get(i).unwrap()).collect())).collect())
            }
        }
    }

    /// Another program that has changed every row of `iceberg_tables` and does not commit.
    pub fn hold_rows_locked(&self) -> Child {
        let change = "UPDATE iceberg_tables SET previous_metadata_location = NULL";
        let mut command = Command::new(dev(self.kind.script()));
        command.args(["sql", "shared", &self.name]);
        match self.kind {
            Kind::Postgres => command.arg("-c").arg(format!("BEGIN; {change}; SELECT pg_sleep(60); ROLLBACK")),
            _ => command.arg("-e").arg(format!("BEGIN; {change}; DO SLEEP(60); ROLLBACK")),
        };
        command.stdout(Stdio::null()).spawn().unwrap()
    }

    /// Ends every connection to the database. SQLite has none that could be lost.
    pub async fn cut_connections(&self) {
        match self.kind {
            Kind::Sqlite => {}
            Kind::Postgres => {
                self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
                    .await;
            }
            Kind::Mysql | Kind::Mariadb => {
                let of_database =
                    format!("SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()", self.name);
                for id in self.sql(&of_database).await {
                    // It may be gone already.
                    drop(self.try_sql(&format!("KILL {id}")).await);
                }
            }
        }
    }
}

/// Runs a test on each kind of database at once, with an empty catalog in each.
pub async fn on_each<F: AsyncFn(Lake, Database)>(test: &str, run: F) {
    on_each_empty(test, async |folder, database| {
        let lake = Lake::at(folder, database.address(), Upkeep::default()).await;
        run(lake, database).await;
    })
    .await;
}

/// The same with empty databases.
pub async fn on_each_empty<F: AsyncFn(tempfile::TempDir, Database)>(test: &str, run: F) {
    let on = async |kind: Kind| {
        if kind.is_wanted() {
            let folder = folder();
            let database = Database::new(kind, test, folder.path()).await;
            run(folder, database).await;
            eprintln!("{test} on {kind:?}: done");
        }
    };
    tokio::join!(on(Kind::Sqlite), on(Kind::Postgres), on(Kind::Mysql), on(Kind::Mariadb));
}
