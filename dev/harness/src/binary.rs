//! The `lakehouse` binary as a child process.

use crate::Result;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// The binary, in a folder that holds its configuration.
#[derive(Debug, Clone)]
pub struct Lakehouse {
    binary: PathBuf,
    folder: PathBuf,
}

/// What a finished command printed.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Lakehouse {
    /// The binary beside the running program (one target folder builds both), run in `folder`.
    pub fn beside_this(folder: &Path) -> Result<Self> {
        let this = std::env::current_exe()?;
        let binary = this.parent().map(|p| p.join("lakehouse")).filter(|p| p.exists());
        let binary = binary.ok_or("lakehouse is not built beside this program\n  → cargo build --release --workspace")?;
        Ok(Self::new(binary, folder))
    }

    /// A binary, run in `folder`.
    pub fn new(binary: PathBuf, folder: &Path) -> Self {
        Self { binary, folder: folder.to_owned() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(&self.folder).stdin(Stdio::null()).kill_on_drop(true).env("MYSQL_PWD", "mirror");
        command
    }

    /// Runs a command to its end.
    pub async fn run(&self, args: &[&str]) -> Result<Finished> {
        let output = self.command(args).output().await?;
        Ok(Finished {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Starts a command; its standard error goes to `log`.
    pub fn spawn(&self, args: &[&str], log: &Path, environment: &[(&str, String)]) -> Result<Child> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut command = self.command(args);
        command.stdout(file.try_clone()?).stderr(file);
        for (name, value) in environment {
            command.env(name, value);
        }
        Ok(command.spawn()?)
    }
}

/// Asks a child to end and waits for it; kills it after `patience`.
pub async fn end(child: &mut Child, patience: Duration) -> Result<ExitStatus> {
    if let Some(pid) = child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed())) {
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    }
    match tokio::time::timeout(patience, child.wait()).await {
        Ok(status) => Ok(status?),
        Err(_) => {
            child.kill().await?;
            Err(format!("the process did not end within {patience:?} of SIGTERM").into())
        }
    }
}
