//! `lakehouse run`.

use super::{Interrupt, read_config};
use crate::arguments::{Global, LogFormat, RunArgs};
use crate::text_table::{counted, duration_ms, grouped};
use crate::{Outcome, output};
use mirror::{Mirror, MirrorConfig, MirrorStatus, Result, TablePhase};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Without a terminal, a line of progress this often.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// On a terminal, the line of progress is redrawn this often.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(global: &Global, args: &RunArgs) -> Result<Outcome> {
    let config = read_config(global)?;
    let mut interrupt = Interrupt::listen()?;
    let mirror = tokio::select! {
        mirror = Mirror::start(config.clone()) => mirror?,
        () = interrupt.wait() => return Ok(if args.until_caught_up { Outcome::Interrupted } else { Outcome::Done }),
    };
    announce(global, &config);
    let mut progress = Progress::new(global);
    let ended = watch(&mirror, args, &mut interrupt, &mut progress).await;
    progress.clear();
    progress.name_stops(&mirror.status());
    let (was_interrupted, last) = match (ended, mirror.stop().await) {
        (Ok(interrupted), Ok(last)) => (interrupted, last),
        (Err(e), _) | (Ok(_), Err(e)) => return Err(e),
    };
    progress.name_stops(&last);
    summarize(global, &last)?;
    Ok(match (last.stopped().next().is_some(), was_interrupted && args.until_caught_up) {
        (true, _) => Outcome::StoppedTables,
        (false, true) => Outcome::Interrupted,
        (false, false) => Outcome::Done,
    })
}

/// Shows how far the mirror is until it ends, has caught up, or is interrupted; true if it was interrupted.
async fn watch(mirror: &Mirror, args: &RunArgs, interrupt: &mut Interrupt, progress: &mut Progress) -> Result<bool> {
    let caught_up = async { if args.until_caught_up { mirror.caught_up().await } else { std::future::pending().await } };
    tokio::pin!(caught_up);
    let mut tick = tokio::time::interval(if progress.terminal { REDRAW_EVERY } else { Duration::from_secs(1) });
    loop {
        tokio::select! {
            done = &mut caught_up => return done.map(|()| false),
            () = interrupt.wait() => return Ok(true),
            ended = mirror.ended() => return ended.map(|()| false),
            _ = tick.tick() => progress.show(&mirror.status()),
        }
    }
}

fn announce(global: &Global, config: &MirrorConfig) {
    if global.quiet || global.json {
        return;
    }
    let source = &config.source;
    output::say(&format!(
        "mirroring {}@{}:{} into {} (catalog {}, commits every {})\n",
        source.user,
        source.hostname,
        source.port,
        config.sink.warehouse.display(),
        config.sink.catalog,
        duration_ms(u64::try_from(config.sink.commit_interval.as_millis()).unwrap_or(u64::MAX)),
    ));
    output::say("exact profile: unsigned bigints precise, truncates and schema changes followed, tables created and evolved\n");
}

fn summarize(global: &Global, status: &MirrorStatus) -> Result<()> {
    if global.json {
        output::print_json(status)?;
    } else if !global.quiet {
        let commits: u64 = status.tables.values().map(|t| t.commits).sum();
        output::say(&format!(
            "stopped: {} captured, {} to {}\n",
            counted(status.source.events, "change"),
            counted(commits, "commit"),
            counted(status.tables.len() as u64, "table")
        ));
    }
    Ok(())
}

/// Says how far the mirror is: one line that is redrawn on a terminal, a line now and then elsewhere.
struct Progress {
    terminal: bool,
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
    fn new(global: &Global) -> Self {
        Self {
            terminal: std::io::stderr().is_terminal() && !global.json,
            silent: global.quiet,
            json: global.json,
            log_stops: global.log_format == LogFormat::Json,
            last_line: None,
            last_events: (0, Instant::now()),
            drawn: false,
            snapshot_was_running: false,
            named: BTreeSet::new(),
        }
    }

    fn show(&mut self, status: &MirrorStatus) {
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
            return format!(
                "streaming: {}, {}, {rate:.0}/s, {} behind",
                counted(tables as u64, "table"),
                counted(status.source.events, "change"),
                counted(lag.unsigned_abs(), "record")
            );
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
    fn name_stops(&mut self, status: &MirrorStatus) {
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

    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            output::say("\r\x1b[2K");
        }
    }
}
