//! The benchmark that `make bench` runs: snapshot, each half of the stream by itself, the whole pipe, freshness, memory. What it
//! measures and how is in docs/performance.md.

mod freshness;
mod report;
mod stages;
mod worker;

use harness::Result;
use std::path::PathBuf;

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Under two minutes, with smaller numbers.
    pub(crate) quick: bool,
    /// Only these groups of stages: `inserts`, `snapshot`, `fresh`.
    pub(crate) only: Vec<String>,
    /// Where the tables of figures, logs and data go.
    pub(crate) out: PathBuf,
    /// Rows that the snapshot reads.
    pub(crate) table_rows: u64,
    /// Row changes of each stream.
    pub(crate) changes: u64,
    /// Seconds of 1,000 changes each.
    pub(crate) fresh_seconds: u64,
    /// Seconds without a change.
    pub(crate) idle_seconds: u64,
}

impl Plan {
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|o| o == group)
    }
}

fn main() -> std::process::ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("error: cannot start: {e}");
            return std::process::ExitCode::from(3);
        }
    };
    let args: Vec<String> = std::env::args().skip(1).collect();
    let ended = runtime.block_on(async {
        match args.split_first() {
            Some((first, rest)) if first == "worker" => worker::run(rest).await,
            _ => stages::run(&plan(&args)?).await,
        }
    });
    match ended {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            std::process::ExitCode::from(3)
        }
    }
}

fn plan(args: &[String]) -> Result<Plan> {
    let (mut quick, mut only, mut out) = (false, Vec::new(), None);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--quick" => quick = true,
            "--only" => only.extend(args.next().ok_or("--only takes a stage")?.split(',').map(str::to_owned)),
            "--out" => out = Some(PathBuf::from(args.next().ok_or("--out takes a folder")?)),
            other => return Err(format!("unknown argument {other}\n  → dev/bench/stages --help").into()),
        }
    }
    let out = out.ok_or("--out is missing\n  → start it through dev/bench/stages")?;
    let sizes = if quick { (200_000, 60_000, 8, 5) } else { (1_000_000, 500_000, 30, 20) };
    let (table_rows, changes, fresh_seconds, idle_seconds) = sizes;
    Ok(Plan { quick, only, out, table_rows, changes, fresh_seconds, idle_seconds })
}
