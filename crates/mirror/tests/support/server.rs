use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running server of the project's scripts.
pub struct Server {
    pub kind: &'static str,
    pub name: String,
    pub port: u16,
}

/// A script of the project.
pub fn dev(script: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev").join(script)
}

impl Server {
    /// Starts an instance, or finds it running.
    pub fn start(kind: &'static str, name: &str, options: &[&str]) -> Self {
        let output = Command::new(dev(kind)).args(["start", name, "--json"]).args(options).output().unwrap();
        assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
        let info: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        Self { kind, name: name.to_owned(), port: u16::try_from(info["port"].as_u64().unwrap()).unwrap() }
    }

    /// Stops the instance and deletes its data.
    pub fn remove(&self) {
        let output = Command::new(dev(self.kind)).args(["rm", &self.name]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A connection of a user that may do everything, in UTC.
    pub async fn admin(&self, database: &str) -> Conn {
        let opts = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("admin"))
            .pass(Some("admin"))
            .db_name((!database.is_empty()).then_some(database))
            .prefer_socket(false);
        let mut conn = Conn::new(opts).await.unwrap();
        run(&mut conn, &["SET NAMES utf8mb4", "SET time_zone = '+00:00'"]).await;
        conn
    }

    pub fn is_mysql(&self) -> bool {
        self.kind == "mysql"
    }
}

/// Runs statements, one after the other, in one session.
pub async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}
