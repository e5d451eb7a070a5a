//! Database servers, started by the scripts in `dev/`.

use crate::{Result, repository};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use serde::Deserialize;
use std::io::Write;
use std::process::{Command, Stdio};

/// The kinds of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Oracle's MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Kind {
    /// The name of its script, and of its connector.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// A running server.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its kind.
    pub kind: Kind,
    /// The instance's name.
    pub name: String,
    /// Where it is.
    pub info: Info,
}

/// What the script prints of an instance.
#[derive(Debug, Clone, Deserialize)]
pub struct Info {
    /// TCP port on 127.0.0.1.
    pub port: u16,
    /// Version.
    pub version: String,
    /// Process id.
    pub pid: u32,
}

impl Server {
    /// Starts an instance, with its data thrown away if `fresh`; `set` are lines of its configuration.
    pub fn start(kind: Kind, name: &str, fresh: bool, set: &[&str]) -> Result<Self> {
        let mut args = vec!["start", name, "--json"];
        if fresh {
            args.push("--fresh");
        }
        for line in set {
            args.extend(["--set", line]);
        }
        let info = serde_json::from_slice(&script(kind, &args, None)?)?;
        Ok(Self { kind, name: name.to_owned(), info })
    }

    /// Runs SQL from a text through the server's own client, as root.
    pub fn sql(&self, text: &str) -> Result<String> {
        Ok(String::from_utf8(script(self.kind, &["sql", &self.name, "--batch", "--skip-column-names"], Some(text))?)?)
    }

    /// A connection of the user who may do everything.
    pub async fn connect(&self) -> Result<Conn> {
        let options =
            OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(self.info.port).user(Some("admin")).pass(Some("admin"));
        let mut connection = Conn::new(options).await?;
        connection.query_drop("SET time_zone = '+00:00'").await?;
        Ok(connection)
    }

    /// Stops it and deletes its data.
    pub fn remove(&self) -> Result<()> {
        script(self.kind, &["rm", &self.name], None).map(drop)
    }
}

fn script(kind: Kind, args: &[&str], input: Option<&str>) -> Result<Vec<u8>> {
    let path = repository().join("dev").join(kind.name());
    let mut child = Command::new(&path)
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run {}: {e}", path.display()))?;
    // From a thread: a client that prints much while it still reads would otherwise wait for us for ever.
    let writer = input.zip(child.stdin.take()).map(|(text, mut stdin)| {
        let text = text.to_owned();
        std::thread::spawn(move || stdin.write_all(text.as_bytes()))
    });
    let output = child.wait_with_output()?;
    if let Some(writer) = writer {
        drop(writer.join());
    }
    if output.status.success() {
        return Ok(output.stdout);
    }
    let kind = kind.name();
    Err(format!("dev/{kind} {} failed ({}): {}", args.join(" "), output.status, String::from_utf8_lossy(&output.stderr).trim())
        .into())
}
