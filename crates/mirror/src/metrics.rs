//! The status of a mirror as Prometheus reads it (text format 0.0.4).

use crate::config::Halves;
use crate::status::{MirrorStatus, TablePhase, TableStatus};
use std::fmt::Write;

/// A family of samples, one for each table.
type Family = (&'static str, &'static str, &'static str, fn(&TableStatus) -> Option<f64>);

const TABLES: &[Family] = &[
    ("mirror_table_log_end_offset", "gauge", "The offset after the last record of the table's topic.", |t| {
        Some(t.log_end as f64)
    }),
    ("mirror_table_applied_offset", "gauge", "The offset before which every record is in the table.", |t| Some(t.applied as f64)),
    ("mirror_table_lag_records", "gauge", "Records of the topic that are not in the table yet.", |t| {
        Some(t.log_end.saturating_sub(t.applied).max(0) as f64)
    }),
    ("mirror_table_applied_timestamp_seconds", "gauge", "Commit time at the source of the last applied change.", |t| {
        (t.applied_ts_us > 0).then(|| t.applied_ts_us as f64 / 1e6)
    }),
    ("mirror_table_last_commit_timestamp_seconds", "gauge", "When the table was last committed.", |t| {
        (t.last_commit_ms > 0).then(|| t.last_commit_ms as f64 / 1e3)
    }),
    ("mirror_table_commits_total", "counter", "Commits of the table since the process started.", |t| Some(t.commits as f64)),
    ("mirror_table_snapshot_rows", "gauge", "Rows that the first reading of the table has read so far.", |t| {
        Some(t.snapshot_rows as f64)
    }),
    ("mirror_table_in_snapshot", "gauge", "Whether the table's rows are being read for the first time.", |t| {
        Some(f64::from(u8::from(t.phase == TablePhase::Snapshot)))
    }),
    ("mirror_table_stopped", "gauge", "Whether the table has stopped; the status says why.", |t| {
        Some(f64::from(u8::from(t.stopped.is_some())))
    }),
];

/// What a source half knows of a table.
const SOURCE_KNOWS: &[&str] =
    &["mirror_table_log_end_offset", "mirror_table_snapshot_rows", "mirror_table_in_snapshot", "mirror_table_stopped"];

/// The status as a page of metrics; of one half, what it knows.
///
/// Times are seconds since the Unix epoch, offsets and records plain numbers. A family without a sample has its help alone.
pub fn metrics(status: &MirrorStatus) -> String {
    let mut page = String::new();
    let mut single = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        let value = value.map(|value| format!("{name} {value}\n")).unwrap_or_default();
        // Writing into a string does not fail.
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n{value}");
    };
    single("mirror_start_time_seconds", "gauge", "When the mirror started.", Some(status.started_ms as f64 / 1e3));
    if status.halves != Halves::Sink {
        let events = Some(status.source.events as f64);
        single("mirror_source_events_total", "counter", "Changes captured since the process started.", events);
    }
    let captured = status.source.position.as_ref().map(|position| position.ts_us as f64 / 1e6);
    let help = "Commit time at the source up to which the log is complete.";
    single("mirror_source_position_timestamp_seconds", "gauge", help, captured);
    let known = |(name, ..): &&Family| status.halves != Halves::Source || SOURCE_KNOWS.contains(name);
    for (name, kind, help, value) in TABLES.iter().filter(known) {
        let _ = write!(page, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for (table, of_table) in &status.tables {
            if let Some(value) = value(of_table) {
                let _ = writeln!(page, "{name}{{table=\"{}\"}} {value}", escaped(table));
            }
        }
    }
    page
}

/// A label's value, in which a backslash, a quote and a line end must be escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_table_has_its_samples_and_an_odd_name_is_escaped() {
        let mut status = MirrorStatus { started_ms: 1_500, ..MirrorStatus::default() };
        status.source.events = 7;
        let table = TableStatus { log_end: 12, applied: 9, commits: 3, last_commit_ms: 2_500, ..TableStatus::default() };
        status.tables.insert("shop.orders".to_owned(), table);
        status
            .tables
            .insert("shop.\"odd\\\n".to_owned(), TableStatus { stopped: Some("why".to_owned()), ..TableStatus::default() });
        let page = metrics(&status);
        for line in [
            "mirror_start_time_seconds 1.5",
            "# TYPE mirror_source_events_total counter",
            "mirror_source_events_total 7",
            "mirror_table_lag_records{table=\"shop.orders\"} 3",
            "mirror_table_commits_total{table=\"shop.orders\"} 3",
            "mirror_table_last_commit_timestamp_seconds{table=\"shop.orders\"} 2.5",
            "mirror_table_stopped{table=\"shop.orders\"} 0",
            "mirror_table_stopped{table=\"shop.\\\"odd\\\\\\n\"} 1",
        ] {
            assert!(page.lines().any(|l| l == line), "{line}: {page}");
        }
        // What has no value has no sample.
        assert!(!page.lines().any(|l| l.starts_with("mirror_source_position_timestamp_seconds")), "{page}");
        assert_eq!(page.matches("mirror_table_applied_timestamp_seconds{").count(), 0);
    }

    #[test]
    fn a_half_tells_only_what_it_knows() {
        let mut status = MirrorStatus { halves: Halves::Source, ..MirrorStatus::default() };
        status.tables.insert("shop.orders".to_owned(), TableStatus { log_end: 12, ..TableStatus::default() });
        let source = metrics(&status);
        assert!(
            source.contains("mirror_table_log_end_offset{table=\"shop.orders\"} 12\n") && !source.contains("lag"),
            "{source}"
        );
        assert!(source.contains("mirror_source_events_total 0\n"), "{source}");
        let sink = metrics(&MirrorStatus { halves: Halves::Sink, ..status });
        assert!(sink.contains("mirror_table_lag_records{table=\"shop.orders\"} 12\n"), "{sink}");
        assert!(!sink.contains("mirror_source_events_total"), "{sink}");
    }
}
