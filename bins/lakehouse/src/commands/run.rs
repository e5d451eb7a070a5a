//! `lakehouse run`.

use super::read_config;
use crate::arguments::RunArgs;
use mirror::{Mirror, MirrorConfig, MirrorStatus, Result};
use mirror_cli::Options;
use mirror_cli::text_table::{counted, duration_ms};
use mirror_cli::{Interrupt, Outcome, Progress, output};
use std::time::Duration;

/// On a terminal, the line of progress is redrawn this often.
const REDRAW_EVERY: Duration = Duration::from_millis(250);

pub(crate) async fn run(options: &Options, args: &RunArgs) -> Result<Outcome> {
    let config = read_config(options)?;
    let mut interrupt = Interrupt::listen()?;
    let mirror = tokio::select! {
        mirror = Mirror::start(config.clone()) => mirror?,
        () = interrupt.wait() => return Ok(if args.until_caught_up { Outcome::Interrupted } else { Outcome::Done }),
    };
    announce(options, &config);
    let mut progress = Progress::new(options);
    let ended = watch(&mirror, args, &mut interrupt, &mut progress).await;
    progress.clear();
    progress.name_stops(&mirror.status());
    let (was_interrupted, last) = match (ended, mirror.stop().await) {
        (Ok(interrupted), Ok(last)) => (interrupted, last),
        (Err(e), _) | (Ok(_), Err(e)) => return Err(e),
    };
    progress.name_stops(&last);
    summarize(options, &last)?;
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

fn announce(options: &Options, config: &MirrorConfig) {
    if options.quiet || options.json {
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

fn summarize(options: &Options, status: &MirrorStatus) -> Result<()> {
    if options.json {
        output::print_json(status)?;
    } else if !options.quiet {
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
