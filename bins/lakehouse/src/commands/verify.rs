//! `lakehouse verify`.

use super::{interrupted, read_config};
use crate::Outcome;
use crate::arguments::{Engine, Global, VerifyArgs};
use crate::text_table::{TextTable, duration_ms, grouped};
use mirror::{DifferenceKind, Error, Result, VerifyOptions, VerifyReport};
use std::io::IsTerminal;

pub(crate) async fn run(global: &Global, args: &VerifyArgs) -> Result<Outcome> {
    let config = read_config(global)?;
    let Engine::Builtin = args.engine;
    let sample = match &args.sample {
        None => None,
        Some(text) => Some(
            text.trim_end_matches('%')
                .parse::<f64>()
                .ok()
                .filter(|p| *p > 0.0 && *p <= 100.0)
                .ok_or_else(|| Error::configuration(format!("--sample {text} must be a percentage above 0: --sample 5%")))?,
        ),
    };
    let options = VerifyOptions { tables: args.tables.clone(), sample_percent: sample, differences_kept: args.show };
    let terminal = std::io::stderr().is_terminal() && !global.json && !global.quiet;
    let progress = move |table: &str, rows: u64| {
        if terminal {
            eprint!("\r\x1b[2Kcomparing {table}: {} rows", grouped(rows));
        }
    };
    let report = tokio::select! {
        report = mirror::verify(&config, &options, &progress) => report,
        () = interrupted() => return Ok(Outcome::Interrupted),
    };
    if terminal {
        eprint!("\r\x1b[2K");
    }
    let report = report?;
    if global.json {
        println!("{}", serde_json::json!(report));
    } else {
        print(&report, args.show);
    }
    Ok(if report.equal() { Outcome::Done } else { Outcome::Difference })
}

fn print(report: &VerifyReport, show: usize) {
    let rows: u64 = report.tables.iter().map(|t| t.source_rows).sum();
    let different = report.tables.iter().filter(|t| !t.equal()).count();
    let took = duration_ms(report.took_ms);
    match different {
        0 => println!("equal: {} tables, {} rows, compared row by row in {took}", report.tables.len(), grouped(rows)),
        n => println!("DIFFERENT: {n} of {} tables; {} rows compared in {took}", report.tables.len(), grouped(rows)),
    }
    let mut out = TextTable::new(&["table", ">source rows", ">mirror rows", ">different", ">unsettled", ">mapped", "result"]);
    for t in &report.tables {
        out.row([
            t.table.clone(),
            grouped(t.source_rows),
            grouped(t.mirror_rows),
            grouped(t.different),
            grouped(t.unsettled),
            grouped(t.mapped_values()),
            if t.equal() { "equal".to_owned() } else { "DIFFERENT".to_owned() },
        ]);
    }
    print!("{}", out.render());
    for t in report.tables.iter() {
        for d in &t.differences {
            println!("{} {}", t.table, d.key);
            match d.kind {
                DifferenceKind::MissingInMirror => println!("  only in the source"),
                DifferenceKind::OnlyInMirror => println!("  only in the mirror"),
                DifferenceKind::MoreThanOnce => {
                    println!("  {} times in the mirror, {} in the source", d.mirror_count, d.source_count)
                }
                _ => {}
            }
            for c in &d.columns {
                println!("  {}: source {}, mirror {}", c.column, c.source, c.mirror);
            }
        }
        if t.different > t.differences.len() as u64 {
            println!(
                "{}: {} more (--show {})",
                t.table,
                grouped(t.different - t.differences.len() as u64),
                show.saturating_mul(10).max(100)
            );
        }
        for (column, count) in &t.mapped {
            println!(
                "{}.{column}: {} zero dates, which are NULL in the mirror, or 1970-01-01 where the column cannot be NULL",
                t.table,
                grouped(*count)
            );
        }
    }
}
