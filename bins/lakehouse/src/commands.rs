//! One file per command: reads the configuration, calls the library, prints the result.

pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod tables;
pub(crate) mod verify;

use crate::arguments::Global;
use crate::output;
use mirror::{MirrorConfig, Result};

/// Reads the configuration and says once what in it was ignored.
fn read_config(global: &Global) -> Result<MirrorConfig> {
    let config = MirrorConfig::read(&global.config, &global.set)?;
    if !global.quiet && !global.json {
        for note in &config.notes {
            output::say(&format!("note: {note}\n"));
        }
    }
    Ok(config)
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}
