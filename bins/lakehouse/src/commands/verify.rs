//! `lakehouse verify`.

use super::read_config;
use crate::arguments::{Engine, VerifyArgs};
use mirror::{Error, Result, TableVerdict, VerifyEngine, VerifyOptions, VerifyReport};
use mirror_cli::text_table::{TextTable, counted, duration_ms, grouped};
use mirror_cli::{Interrupt, Options, Outcome, output};
use std::io::IsTerminal;

pub(crate) async fn run(options: &Options, args: &VerifyArgs) -> Result<Outcome> {
    let config = read_config(options)?;
    let engine = match args.engine {
        Engine::Builtin => VerifyEngine::Builtin,
        Engine::Trino => VerifyEngine::Trino,
    };
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
    let wanted = VerifyOptions { tables: args.tables.clone(), sample_percent: sample, differences_kept: args.show, engine };
    let terminal = std::io::stderr().is_terminal() && !options.json && !options.quiet;
    let progress = move |table: &str, rows: u64| {
        if terminal {
            output::say(&format!("\r\x1b[2Kcomparing {table}: {} rows", grouped(rows)));
        }
    };
    let mut interrupt = Interrupt::listen()?;
    let report = tokio::select! {
        report = mirror::verify(&config, &wanted, &progress) => report,
        () = interrupt.wait() => return Ok(Outcome::Interrupted),
    };
    if terminal {
        output::say("\r\x1b[2K");
    }
    let report = report?;
    if options.json {
        output::print_json(&Document { report: &report, sample_percent: sample })?;
    } else {
        output::print(&render(&report, args.show, sample))?;
    }
    Ok(if report.equal() { Outcome::Done } else { Outcome::Difference })
}

/// The report as JSON, with what was asked for.
#[derive(serde::Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    report: &'a VerifyReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_percent: Option<f64>,
}

fn result(table: &TableVerdict) -> &'static str {
    match table {
        TableVerdict { not_compared: Some(_), .. } => "not compared",
        TableVerdict { different: 0, unsettled: 1.., .. } => "unsettled",
        // Both sides are read one after the other; what differed was looked at again.
        TableVerdict { different: 0, source_rows, mirror_rows, .. } if source_rows != mirror_rows => {
            "equal (it changed meanwhile)"
        }
        TableVerdict { different: 0, .. } => "equal",
        _ => "DIFFERENT",
    }
}

fn render(report: &VerifyReport, show: usize, sample: Option<f64>) -> String {
    let rows: u64 = report.tables.iter().map(|t| t.source_rows).sum();
    let sampled = sample.map(|percent| format!(", a sample of about {percent}%,")).unwrap_or_default();
    let rows = format!("{}{sampled}", counted(rows, "row"));
    let (tables, took) = (counted(report.tables.len() as u64, "table"), duration_ms(report.took_ms));
    let different = report.tables.iter().filter(|t| t.different > 0).count();
    let unknown = report.tables.iter().filter(|t| !t.equal() && t.different == 0).count();
    let mut out = match (different, unknown) {
        (0, 0) => format!("equal: {tables}, {}, compared row by row in {took}\n", rows.trim_end_matches(',')),
        (0, n) => format!("not known to be equal: {n} of {tables}; {rows} compared in {took}\n"),
        (n, _) => format!("DIFFERENT: {n} of {tables}; {rows} compared in {took}\n"),
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
            out += &output::stopped(&t.table, why);
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
        if !t.mapped.is_empty() {
            let columns: Vec<String> = t.mapped.iter().map(|(column, n)| format!("{column} ({})", grouped(*n))).collect();
            out += &format!(
                "{}: zero, partial or impossible dates, which are NULL in the mirror, or 1970-01-01 where the column cannot be NULL: {}\n",
                t.table,
                columns.join(", ")
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> VerifyReport {
        let mut t = TableVerdict { table: "d.t".to_owned(), source_rows: 1, mirror_rows: 1, ..TableVerdict::default() };
        t.mapped = [("a".to_owned(), 2), ("b".to_owned(), 1)].into();
        VerifyReport { tables: vec![t], took_ms: 5 }
    }

    #[test]
    fn a_sample_is_called_one() {
        assert!(render(&report(), 1, None).starts_with("equal: 1 table, 1 row, compared row by row in 5 ms\n"));
        let text = render(&report(), 1, Some(50.0));
        assert!(text.starts_with("equal: 1 table, 1 row, a sample of about 50%, compared row by row in 5 ms\n"), "{text}");
        let mut report = report();
        report.tables[0].different = 1;
        let text = render(&report, 1, Some(50.0));
        assert!(text.starts_with("DIFFERENT: 1 of 1 table; 1 row, a sample of about 50%, compared in 5 ms\n"), "{text}");
    }

    #[test]
    fn columns_whose_dates_are_mapped_are_one_line() {
        let text = render(&report(), 1, None);
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.ends_with(" where the column cannot be NULL: a (2), b (1)\n"), "{text}");
    }

    #[test]
    fn counts_that_differ_beside_equal_are_explained() {
        let mut report = report();
        report.tables[0].mirror_rows = 2;
        assert!(render(&report, 1, None).contains("  equal (it changed meanwhile)\n"));
    }
}
