//! `lakehouse status`.

use super::read_config;
use crate::arguments::StatusArgs;
use mirror::{MirrorConfig, Result, StatusReport, TablePhase};
use mirror_cli::Interrupt;
use mirror_cli::Options;
use mirror_cli::text_table::{TextTable, counted, duration_ms, grouped};
use mirror_cli::{Outcome, output};
use std::time::Duration;

pub(crate) async fn run(options: &Options, args: &StatusArgs) -> Result<Outcome> {
    let config = read_config(options)?;
    if !args.watch {
        return Ok(show(options, &config, "").await?.0);
    }
    let clear = if options.json { "" } else { "\x1b[H\x1b[2J" };
    let mut interrupt = Interrupt::listen()?;
    loop {
        if let (outcome, false) = show(options, &config, clear).await? {
            return Ok(outcome); // nobody reads it any more
        }
        tokio::select! {
            // It has no other end.
            () = interrupt.wait() => return Ok(Outcome::Done),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

/// Shows it once; also tells whether anybody reads it.
async fn show(options: &Options, config: &MirrorConfig, before: &str) -> Result<(Outcome, bool)> {
    let report = mirror::status(config).await?;
    let stopped = report.tables.iter().any(|t| t.status.stopped.is_some() || t.unreadable.is_some());
    let read = if options.json {
        output::print_json(&report)?
    } else {
        output::print(&format!("{before}{}", render(&report, options.quiet)))?
    };
    Ok((if stopped { Outcome::StoppedTables } else { Outcome::Done }, read))
}

/// All of it; with `-q` only tables that do not go on.
fn render(report: &StatusReport, quiet: bool) -> String {
    if quiet {
        return stops(report);
    }
    let tables = counted(report.tables.len() as u64, "table");
    let mut out = match &report.running {
        Some(pid) => format!("running (pid {pid}): {tables}\n"),
        None => format!("not running: {tables}, as last committed\n"),
    };
    if let Some(position) = &report.position {
        out += &format!("  source at {} {}\n", position.log.file, position.log.offset);
    }
    if report.tables.is_empty() {
        return out + "next: lakehouse run\n";
    }
    let mut table = TextTable::new(&[
        "table",
        "phase",
        ">records",
        ">deletes",
        ">behind",
        ">delay",
        ">last commit",
        ">commits",
        ">data files",
        ">delete files",
    ]);
    for t in &report.tables {
        let s = &t.status;
        let phase = match s.phase {
            TablePhase::Snapshot => match s.snapshot_estimate.filter(|&e| e > 0) {
                Some(e) => format!("snapshot {}%", (s.snapshot_rows * 100 / e).min(99)),
                None => "snapshot".to_owned(),
            },
            TablePhase::Streaming => "streaming".to_owned(),
            TablePhase::Stopped => "stopped".to_owned(),
            _ => "waiting".to_owned(),
        };
        let number = |n: Option<u64>| n.map(grouped).unwrap_or_default();
        table.row([
            t.table.clone(),
            phase,
            number(t.records),
            number(t.deletes),
            grouped(u64::try_from(s.log_end - s.applied).unwrap_or(0)),
            t.delay_ms.map(duration_ms).unwrap_or_default(),
            t.since_commit_ms.map(|ms| format!("{} ago", duration_ms(ms))).unwrap_or_default(),
            number(t.commits),
            number(t.data_files),
            number(t.delete_files),
        ]);
    }
    out + &table.render() + &stops(report)
}

fn stops(report: &StatusReport) -> String {
    let mut out = String::new();
    for t in &report.tables {
        if let Some(message) = &t.status.stopped {
            out += &output::stopped(&t.table, message);
        }
        if let Some(message) = &t.unreadable {
            out += &format!("{} cannot be read: {}\n", t.table, output::indented(message));
        }
    }
    out
}
