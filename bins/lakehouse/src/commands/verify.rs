//! `lakehouse verify`.

use super::{Interrupt, read_config};
use crate::arguments::{Engine, Global, VerifyArgs};
use crate::text_table::{TextTable, duration_ms, grouped};
use crate::{Outcome, output};
use mirror::{Error, Result, TableVerdict, VerifyOptions, VerifyReport};
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
            output::say(&format!("\r\x1b[2Kcomparing {table}: {} rows", grouped(rows)));
        }
    };
    let mut interrupt = Interrupt::listen()?;
    let report = tokio::select! {
        report = mirror::verify(&config, &options, &progress) => report,
        () = interrupt.wait() => return Ok(Outcome::Interrupted),
    };
    if terminal {
        output::say("\r\x1b[2K");
    }
    let report = report?;
    if global.json {
        output::print_json(&report)?;
    } else {
        output::print(&render(&report, args.show))?;
    }
    Ok(if report.equal() { Outcome::Done } else { Outcome::Difference })
}

fn result(table: &TableVerdict) -> &'static str {
    match table {
        TableVerdict { not_compared: Some(_), .. } => "not compared",
        TableVerdict { different: 0, unsettled: 1.., .. } => "unsettled",
        TableVerdict { different: 0, .. } => "equal",
        _ => "DIFFERENT",
    }
}

fn render(report: &VerifyReport, show: usize) -> String {
    let rows: u64 = report.tables.iter().map(|t| t.source_rows).sum();
    let (tables, rows, took) = (report.tables.len(), grouped(rows), duration_ms(report.took_ms));
    let different = report.tables.iter().filter(|t| t.different > 0).count();
    let unknown = report.tables.iter().filter(|t| !t.equal() && t.different == 0).count();
    let mut out = match (different, unknown) {
        (0, 0) => format!("equal: {tables} tables, {rows} rows, compared row by row in {took}\n"),
        (0, n) => format!("not known to be equal: {n} of {tables} tables; {rows} rows compared in {took}\n"),
        (n, _) => format!("DIFFERENT: {n} of {tables} tables; {rows} rows compared in {took}\n"),
    };
    let mut table = TextTable::new(&["table", ">source rows", ">mirror rows", ">different", ">unsettled", ">mapped", "result"]);
    for t in &report.tables {
        table.row([
            t.table.clone(),
            grouped(t.source_rows),
            grouped(t.mirror_rows),
            grouped(t.different),
            grouped(t.unsettled),
            grouped(t.mapped_values()),
            result(t).to_owned(),
        ]);
    }
    out += &table.render();
    for t in &report.tables {
        if let Some(why) = &t.not_compared {
            out += &format!("{} cannot be compared: {}\n", t.table, output::indented(why));
        }
        if let Some(why) = &t.stopped {
            out += &format!("{} has stopped and is not followed: {}\n", t.table, output::indented(why));
        }
        for d in &t.differences {
            out += &format!("{} {d}\n", t.table);
        }
        if t.different > t.differences.len() as u64 {
            out += &format!(
                "{}: {} more (--show {})\n",
                t.table,
                grouped(t.different - t.differences.len() as u64),
                show.saturating_mul(10).max(100)
            );
        }
        for (column, count) in &t.mapped {
            out += &format!(
                "{}.{column}: {} zero dates, which are NULL in the mirror, or 1970-01-01 where the column cannot be NULL\n",
                t.table,
                grouped(*count)
            );
        }
    }
    out
}
