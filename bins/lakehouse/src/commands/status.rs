//! `lakehouse status`.

use super::{interrupted, read_config};
use crate::Outcome;
use crate::arguments::{Global, StatusArgs};
use crate::text_table::{TextTable, duration_ms, grouped};
use mirror::{MirrorConfig, Result, StatusReport, TablePhase};
use std::time::Duration;

pub(crate) async fn run(global: &Global, args: &StatusArgs) -> Result<Outcome> {
    let config = read_config(global)?;
    if !args.watch {
        return show(global, &config).await;
    }
    let interrupt = interrupted();
    tokio::pin!(interrupt);
    loop {
        if !global.json {
            print!("\x1b[H\x1b[2J");
        }
        show(global, &config).await?;
        tokio::select! {
            () = &mut interrupt => return Ok(Outcome::Interrupted),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
}

async fn show(global: &Global, config: &MirrorConfig) -> Result<Outcome> {
    let report = mirror::status(config).await?;
    let stopped = report.tables.iter().any(|t| t.status.stopped.is_some());
    if global.json {
        println!("{}", serde_json::json!(report));
    } else {
        print(&report);
    }
    Ok(if stopped { Outcome::StoppedTables } else { Outcome::Done })
}

fn print(report: &StatusReport) {
    match &report.running {
        Some(pid) => println!("running (pid {pid}): {} tables", report.tables.len()),
        None => println!("not running: {} tables, as last committed", report.tables.len()),
    }
    if let Some(position) = &report.position {
        println!("  source at {} {}", position.log.file, position.log.offset);
    }
    let mut table = TextTable::new(&[
        "table",
        "phase",
        ">rows",
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
            grouped(u64::try_from(s.log_end - s.applied).unwrap_or(0)),
            t.delay_ms.map(duration_ms).unwrap_or_default(),
            t.since_commit_ms.map(|ms| format!("{} ago", duration_ms(ms))).unwrap_or_default(),
            grouped(s.commits),
            number(t.data_files),
            number(t.delete_files),
        ]);
    }
    print!("{}", table.render());
    for t in &report.tables {
        if let Some(message) = &t.status.stopped {
            println!("{} has stopped: {}", t.table, message.replace('\n', "\n  "));
        }
    }
}
