//! A mirror, or a half of one, in a process of its own, measured by itself from when it is connected until it has caught up.

use harness::Result;
use harness::process::Usage;
use mirror::{Halves, LogKind, Mirror, MirrorConfig, Secret};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{Duration, Instant};

/// What to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    /// `source`, `sink` or `both`.
    pub(crate) halves: String,
    /// The server's port.
    pub(crate) port: u16,
    /// `initial` or `no_data`.
    pub(crate) snapshot_mode: String,
    /// Holds `log` and `warehouse`.
    pub(crate) folder: String,
}

/// What it used.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Processor time until the server was connected and log and catalog open.
    pub(crate) start_cpu: Duration,
    /// Processor time from then until it had caught up.
    pub(crate) cpu: Duration,
    /// The same by the clock on the wall.
    pub(crate) wall: Duration,
    /// Row changes captured.
    pub(crate) rows: u64,
    /// Commits.
    pub(crate) commits: u64,
    /// The most that was resident, KiB.
    pub(crate) peak_rss_kib: u64,
}

/// The configuration of every stage: defaults, one table.
pub(crate) fn config(port: u16, folder: &Path) -> MirrorConfig {
    let mut config = MirrorConfig::new("127.0.0.1", port, "mirror", Secret::new("mirror"), folder);
    config.source.database_include = Some("bench".to_owned());
    config.source.table_include = Some("bench\\.orders".to_owned());
    config.log.kind = LogKind::Local(folder.join("log"));
    config
}

/// Runs the task that the argument holds as JSON; prints the outcome likewise.
pub(crate) async fn run(args: &[String]) -> Result<()> {
    let task: Task = serde_json::from_str(args.first().ok_or("worker takes a task")?)?;
    let mut config = config(task.port, Path::new(&task.folder));
    config.halves = match task.halves.as_str() {
        "source" => Halves::Source,
        "sink" => Halves::Sink,
        _ => Halves::Both,
    };
    config.source.snapshot_mode = task.snapshot_mode;
    let pid = std::process::id();
    let mirror = Mirror::start(config).await?;
    let (began, before) = (Instant::now(), Usage::of(pid)?);
    mirror.caught_up().await?;
    let (wall, after) = (began.elapsed(), Usage::of(pid)?);
    let status = mirror.stop().await?;
    if let Some((table, why)) = status.stopped().next() {
        return Err(format!("{table} has stopped: {why}").into());
    }
    let outcome = Outcome {
        start_cpu: before.cpu,
        cpu: after.cpu.saturating_sub(before.cpu),
        wall,
        rows: status.source.events,
        commits: status.tables.values().map(|t| t.commits).sum(),
        peak_rss_kib: after.peak_rss_kib,
    };
    println!("{}", serde_json::to_string(&outcome)?);
    Ok(())
}

/// Runs a task in a process of its own; `profile` is a command that is put in front of it.
pub(crate) async fn measure(task: &Task, profile: Option<&str>) -> Result<Outcome> {
    let this = std::env::current_exe()?;
    let mut words = profile.unwrap_or_default().split_whitespace();
    let mut command = match words.next() {
        Some(program) => {
            let mut command = tokio::process::Command::new(program);
            command.args(words).arg(this);
            command
        }
        None => tokio::process::Command::new(this),
    };
    let output = command
        .arg("worker")
        .arg(serde_json::to_string(task)?)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        return Err(format!("the {} half ended with {}", task.halves, output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
