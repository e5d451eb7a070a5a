use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use std::path::PathBuf;
use std::process::Command;

/// A running server.
#[derive(Clone)]
pub struct Server {
    pub kind: &'static str,
    pub name: String,
    pub port: u16,
}

/// Runs a test on both servers, in a database of its own on each, with a connection to it.
pub async fn both<F: AsyncFn(Server, &str, Conn)>(name: &str, test: F) {
    let database = format!("t_{name}");
    for kind in ["mysql", "mariadb"] {
        if std::env::var("ONLY").is_ok_and(|only| only != kind) {
            continue;
        }
        eprintln!("== {name} on {kind}");
        let server = Server::start(kind, "source", &[]);
        let mut admin = server.admin("").await;
        admin.query_drop(format!("DROP DATABASE IF EXISTS {database}")).await.unwrap();
        admin.query_drop(format!("CREATE DATABASE {database} CHARACTER SET utf8mb4")).await.unwrap();
        admin.query_drop(format!("USE {database}")).await.unwrap();
        test(server, &database, admin).await;
    }
}

impl Server {
    /// Starts an instance of the project's scripts, or finds it running.
    pub fn start(kind: &'static str, name: &str, options: &[&str]) -> Self {
        let output = script(kind, &[&["start", name, "--json"], options].concat());
        let info: serde_json::Value = serde_json::from_slice(&output).unwrap();
        Self { kind, name: name.to_owned(), port: u16::try_from(info["port"].as_u64().unwrap()).unwrap() }
    }

    /// `kill9`, `stop`, `start`: what the project's script does with the instance.
    pub fn act(&self, verb: &str) {
        script(self.kind, &[verb, &self.name]);
    }

    /// A connection of a user that may do everything.
    pub async fn admin(&self, database: &str) -> Conn {
        let opts = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.port)
            .user(Some("admin"))
            .pass(Some("admin"))
            .db_name((!database.is_empty()).then_some(database))
            .prefer_socket(false);
        Conn::new(opts).await.unwrap()
    }

    pub fn is_mysql(&self) -> bool {
        self.kind == "mysql"
    }
}

fn script(kind: &str, arguments: &[&str]) -> Vec<u8> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../dev").join(kind);
    let output = Command::new(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Runs statements, one after the other, in one session.
pub async fn run(conn: &mut Conn, statements: &[&str]) {
    for statement in statements {
        conn.query_drop(*statement).await.unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
}
