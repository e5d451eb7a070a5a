//! A source whose events go to standard output, a line each: nothing is kept, no log and no catalog is needed.

use crate::{Interrupt, Options, Outcome, output};
use mirror::{Error, EventLines, MirrorConfig, Result};
use std::collections::BTreeSet;
use std::time::Duration;

/// Prints the source's events until Ctrl-C, SIGTERM, the end of who reads them, or, with `until_idle`, until none has come for so long.
///
/// # Errors
/// Those of [`EventLines`]; [`ErrorKind::Unavailable`](mirror::ErrorKind::Unavailable) if the lines cannot be written.
pub async fn run(options: &Options, config: &MirrorConfig, until_idle: Option<Duration>) -> Result<Outcome> {
    let mut interrupt = Interrupt::listen()?;
    let mut events = tokio::select! {
        events = EventLines::start(config) => events?,
        () = interrupt.wait() => return Ok(Outcome::Done),
    };
    let idle = async || match until_idle {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    };
    let mut named = BTreeSet::new();
    let mut stopping = false;
    loop {
        let mut lines = Vec::new();
        let more = tokio::select! {
            more = events.next(&mut lines) => more?,
            () = interrupt.wait(), if !stopping => {
                stopping = true;
                events.stop();
                continue;
            }
            () = idle(), if !stopping => {
                stopping = true;
                events.stop();
                continue;
            }
        };
        for stop in events.stops() {
            if named.insert(stop.table.clone()) && !options.quiet {
                output::say(&format!("error: {}", output::stopped(&stop.table.to_string(), &stop.message)));
            }
        }
        if more == 0 {
            return Ok(if named.is_empty() { Outcome::Done } else { Outcome::StoppedTables });
        }
        // Who reads may be slow, and then must not hold up signals.
        let printed = tokio::task::spawn_blocking(move || output::print_bytes(&lines)).await;
        let printed = printed.map_err(|e| Error::new(mirror::ErrorKind::Other, format!("the events cannot be written: {e}")))?;
        if !printed? {
            return Ok(Outcome::Done);
        }
    }
}
