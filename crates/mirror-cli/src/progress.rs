use crate::text_table::{counted, duration_ms, grouped};
use crate::{LogFormat, Options, output};
use mirror::{Halves, MirrorStatus, TablePhase};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal, a line of progress this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Says how far the mirror is: one line that is redrawn on a terminal, a line now and then elsewhere.
#[derive(Debug)]
pub struct Progress {
    /// Standard error is a terminal, and text is wanted.
    pub terminal: bool,
    silent: bool,
    json: bool,
    /// Whoever wants the log as JSON wants stops so as well.
    log_stops: bool,
    last_line: Option<Instant>,
    last_events: (u64, Instant),
    drawn: bool,
    snapshot_was_running: bool,
    named: BTreeSet<String>,
}

impl Progress {
    /// As the options want it.
    pub fn new(options: &Options) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal() && !options.json,
            silent: options.quiet,
            json: options.json,
            log_stops: options.log_format == LogFormat::Json,
            last_line: None,
            last_events: (0, Instant::now()),
            drawn: false,
            snapshot_was_running: false,
            named: BTreeSet::new(),
        }
    }

    /// Shows this status, if it is time.
    pub fn show(&mut self, status: &MirrorStatus) {
        self.name_stops(status);
        let running = status.tables.values().any(|t| t.phase == TablePhase::Snapshot);
        let finished = self.snapshot_was_running && !running;
        self.snapshot_was_running = running;
        if self.silent {
            return;
        }
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) || finished;
        if self.terminal {
            let line = self.line(status);
            output::say(&format!("\r\x1b[2K{line}"));
            self.drawn = true;
        } else if due && !status.tables.is_empty() {
            if self.json {
                // A mirror does not end because nobody can read how it is.
                if let Err(e) = output::print_json(status) {
                    tracing::warn!(error = %e, "the status cannot be written out");
                }
            } else {
                output::say(&format!("{}\n", self.line(status)));
            }
            self.last_line = Some(Instant::now());
        }
    }

    fn line(&mut self, status: &MirrorStatus) -> String {
        let tables = status.tables.len();
        let lag: i64 = status.tables.values().map(|t| (t.log_end - t.applied).max(0)).sum();
        let (before, at) = self.last_events;
        let seconds = at.elapsed().as_secs_f64().max(0.001);
        let rate = (status.source.events.saturating_sub(before)) as f64 / seconds;
        if seconds > 2.0 {
            self.last_events = (status.source.events, Instant::now());
        }
        let snapshots: Vec<_> = status.tables.values().filter(|t| t.phase == TablePhase::Snapshot).collect();
        if snapshots.is_empty() {
            let captured = format!(", {}, {rate:.0}/s", counted(status.source.events, "change"));
            let behind = format!(", {} behind", counted(lag.unsigned_abs(), "record"));
            // A half tells what it knows.
            let told = match status.halves {
                Halves::Source => captured,
                Halves::Sink => behind,
                Halves::Both => captured + &behind,
            };
            return format!("streaming: {}{told}", counted(tables as u64, "table"));
        }
        let rows: u64 = snapshots.iter().map(|t| t.snapshot_rows).sum();
        let estimate: u64 = snapshots.iter().map(|t| t.snapshot_estimate.unwrap_or(t.snapshot_rows)).sum();
        let left = if rate > 0.0 {
            format!(", about {} left", duration_ms((estimate.saturating_sub(rows) as f64 / rate * 1000.0) as u64))
        } else {
            String::new()
        };
        format!(
            "snapshot: {} of {}, {} of about {}, {rate:.0}/s{left}",
            snapshots.len(),
            counted(tables as u64, "table"),
            grouped(rows),
            counted(estimate, "row")
        )
    }

    /// Names each stopped table once, as an error.
    pub fn name_stops(&mut self, status: &MirrorStatus) {
        for (table, message) in status.stopped() {
            if !self.named.insert(table.to_owned()) {
                continue;
            }
            if self.log_stops {
                tracing::error!(stopped = table, "{message}");
            } else {
                self.clear();
                output::say(&format!("error: {}", output::stopped(table, message)));
            }
        }
    }

    /// Takes the line away that is redrawn.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            output::say("\r\x1b[2K");
        }
    }
}
