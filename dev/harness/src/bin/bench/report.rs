//! Figures, as a table and as JSON.

use crate::worker::Outcome;
use harness::Result;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// All that one run of the benchmark found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    quick: bool,
    server: String,
    /// How the server writes its binary log; it matters for the freshness of small transactions.
    server_settings: &'static str,
    processors: usize,
    pub(crate) figures: Vec<Figure>,
    pub(crate) freshness: Option<Freshness>,
}

/// One stage.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    stage: String,
    rows: u64,
    seconds: f64,
    cpu_seconds: f64,
    start_cpu_seconds: f64,
    rows_per_second: f64,
    rows_per_cpu_second: f64,
    cpu_us_per_row: f64,
    commits: u64,
    peak_rss_mib: f64,
    load_before: String,
}

/// Delays from the source's COMMIT having returned to the row being read from the table's head, and the process at rest.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Freshness {
    pub(crate) changes: usize,
    pub(crate) changes_per_second: f64,
    /// Changes that a later one of the same row replaced before anyone looked.
    pub(crate) replaced_unseen: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) commits_seen: usize,
    pub(crate) cpu_us_per_change: f64,
    pub(crate) cpu_percent: f64,
    pub(crate) rss_mib: f64,
    pub(crate) idle_cpu_percent: f64,
    pub(crate) idle_rss_mib: f64,
    pub(crate) load_before: String,
}

impl Report {
    pub(crate) fn new(quick: bool, server: &str) -> Self {
        Self {
            quick,
            server: server.to_owned(),
            server_settings: "sync_binlog=0, innodb_flush_log_at_trx_commit=2",
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            figures: Vec::new(),
            freshness: None,
        }
    }
}

impl Figure {
    pub(crate) fn new(stage: &str, outcome: &Outcome, load_before: String) -> Self {
        let (seconds, cpu_seconds) = (outcome.wall.as_secs_f64(), outcome.cpu.as_secs_f64());
        let rows = outcome.rows as f64;
        Self {
            stage: stage.to_owned(),
            rows: outcome.rows,
            seconds,
            cpu_seconds,
            start_cpu_seconds: outcome.start_cpu.as_secs_f64(),
            rows_per_second: rows / seconds.max(0.001),
            rows_per_cpu_second: rows / cpu_seconds.max(0.01),
            cpu_us_per_row: cpu_seconds * 1e6 / rows.max(1.0),
            commits: outcome.commits,
            peak_rss_mib: outcome.peak_rss_kib as f64 / 1024.0,
            load_before,
        }
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{:<44} {:>9} {:>7.2} {:>9.0} {:>7.2} {:>10.0} {:>7.2} {:>8.0} {:>8}  {}",
            self.stage,
            self.rows,
            self.seconds,
            self.rows_per_second,
            self.cpu_seconds,
            self.rows_per_cpu_second,
            self.cpu_us_per_row,
            self.peak_rss_mib,
            self.commits,
            self.load_before
        )
    }
}

/// Prints the table, and writes `bench.txt` and `bench.json`.
pub(crate) fn write(report: &Report, out: &Path) -> Result<()> {
    let mut text = format!(
        "{:<44} {:>9} {:>7} {:>9} {:>7} {:>10} {:>7} {:>8} {:>8}  load before\n",
        "stage", "rows", "s", "rows/s", "CPU s", "rows/CPU s", "us/row", "peak MiB", "commits"
    );
    for figure in &report.figures {
        writeln!(text, "{}", figure.line())?;
    }
    if let Some(f) = &report.freshness {
        writeln!(
            text,
            "freshness: {} changes at {:.0}/s, p50 {:.0} ms, p99 {:.0} ms, max {:.0} ms over {} heads ({} replaced unseen); {:.0} us CPU a change, {:.0} % of one core, {:.0} MiB; load before {}",
            f.changes,
            f.changes_per_second,
            f.p50_ms,
            f.p99_ms,
            f.max_ms,
            f.commits_seen,
            f.replaced_unseen,
            f.cpu_us_per_change,
            f.cpu_percent,
            f.rss_mib,
            f.load_before
        )?;
        writeln!(text, "idle: {:.1} % of one core, {:.0} MiB", f.idle_cpu_percent, f.idle_rss_mib)?;
    }
    print!("{text}");
    let json = out.join("bench.json");
    std::fs::write(&json, serde_json::to_vec_pretty(report)?)?;
    std::fs::write(out.join("bench.txt"), text)?;
    println!("figures: {}", json.display());
    Ok(())
}
