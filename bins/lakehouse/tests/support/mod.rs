//! The program as a person has it: a folder, a database on a real server, a command line.

use harness::server::{Kind, Server};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test fails.
const DEADLINE: Duration = Duration::from_secs(90);
/// It must be in no output and in no file that the program writes.
pub const PASSWORD: &str = "S3cret ß$pw";

/// A folder and a database that is mirrored from there.
pub struct Desk {
    pub server: Server,
    pub database: String,
    pub folder: tempfile::TempDir,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a test on both servers at once, each with an empty database of this name.
pub fn both(database: &str, test: impl Fn(Desk) + Sync) {
    let on = |kind| test(Desk::new(kind, database));
    std::thread::scope(|scope| {
        let others = scope.spawn(|| on(Kind::Mariadb));
        on(Kind::Mysql);
        others.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

impl Desk {
    pub fn new(kind: Kind, database: &str) -> Self {
        let server = Server::start(kind, "shared", false, &[]).unwrap();
        let desk = Self { server, database: database.to_owned(), folder: tempfile::tempdir().unwrap() };
        let name = quote(database);
        let user = format!("'cli'@'%' IDENTIFIED BY '{PASSWORD}'");
        desk.sql_as_root(&format!(
            "DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name} CHARACTER SET utf8mb4; CREATE USER IF NOT EXISTS {user}; \
             GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'cli'@'%';"
        ));
        desk
    }

    fn sql_as_root(&self, statements: &str) -> String {
        self.server.sql(&format!("SET NAMES utf8mb4; {statements}")).unwrap()
    }

    /// Runs statements in the database.
    pub fn sql(&self, statements: &str) -> String {
        self.sql_as_root(&format!("USE {}; {statements}", quote(&self.database)))
    }

    /// The URL of the database, for `init`.
    pub fn url(&self) -> String {
        let scheme = self.server.kind.name();
        let encoded: String = self.database.bytes().map(|b| format!("%{b:02X}")).collect();
        format!("{scheme}://cli@127.0.0.1:{}/{encoded}", self.server.info.port)
    }

    /// `init`, which must work.
    pub fn init(&self) -> Ran {
        self.ok(&["init", &self.url()])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).stdin(Stdio::null()).env("MYSQL_PWD", PASSWORD).env_remove("RUST_LOG");
        command
    }

    /// A command line that is about to be run.
    pub fn prepare(&self, args: &[&str]) -> Command {
        let mut command = self.command("timeout");
        command.arg(DEADLINE.as_secs().to_string()).arg(env!("CARGO_BIN_EXE_lakehouse")).args(args);
        command
    }

    /// Runs a command line to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.prepare(args))
    }

    /// A command that ends with 0, and says nothing on standard error.
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert!(ran.code == 0 && ran.err.is_empty(), "{args:?}: {ran:#?}");
        ran
    }

    /// The JSON document that a command prints which ends with 0.
    pub fn json(&self, args: &[&str]) -> Value {
        let ran = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", ran.out))
    }

    /// The message of a command that fails with this exit code, without a result.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert!(ran.code == code && ran.out.is_empty() && ran.err.starts_with("error: "), "{args:?}: {ran:#?}");
        ran.err
    }

    /// `run --until-caught-up`, which must work.
    pub fn catch_up(&self) -> Ran {
        let ran = self.run(&["run", "--until-caught-up"]);
        assert!(ran.code == 0 && ran.out.is_empty(), "{ran:#?}");
        ran
    }

    /// Starts the program in the background; what it prints goes to files.
    pub fn start(&self, args: &[&str]) -> Running {
        let file = |name| std::fs::File::create(self.path(name)).unwrap();
        let mut command = self.command(env!("CARGO_BIN_EXE_lakehouse"));
        let child = command.args(args).stdout(file("out.txt")).stderr(file("err.txt")).spawn().unwrap();
        Running { child, folder: self.folder.path().to_owned() }
    }

    /// The status of a table, once it is as wanted.
    pub fn wait_for(&self, table: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let name = format!("{}.{table}", self.database);
        self.poll(&name, || {
            let status = self.json(&["status"]);
            status["tables"].as_array().unwrap().iter().find(|t| t["table"] == *name && wanted(t)).cloned()
        })
    }

    /// Waits until there is something.
    pub fn poll<T>(&self, what: &str, there: impl Fn() -> Option<T>) -> T {
        let start = Instant::now();
        loop {
            if let Some(found) = there() {
                return found;
            }
            assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Runs a command to its end.
pub fn finish(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let ran = Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "the password is printed: {ran:#?}");
    ran
}

/// The program in the background.
pub struct Running {
    child: Child,
    folder: PathBuf,
}

impl Running {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error so far.
    pub fn err(&self) -> String {
        std::fs::read_to_string(self.folder.join("err.txt")).unwrap()
    }

    /// Sends it a signal, and waits for its end.
    pub fn end(mut self, signal: &str) -> Ran {
        let sent = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < DEADLINE, "it does not end on SIG{signal}");
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = |name| std::fs::read_to_string(self.folder.join(name)).unwrap();
        let ran = Ran { code: status.code().unwrap_or(-1), out: text("out.txt"), err: text("err.txt") };
        assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "the password is printed: {ran:#?}");
        ran
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// `` `name` ``, whatever is in it.
pub fn quote(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Every file below a folder whose bytes hold this text.
pub fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}
