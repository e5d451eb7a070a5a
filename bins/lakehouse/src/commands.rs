//! One file per command: reads the configuration, calls the library, prints the result.

pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod resnapshot;
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod tables;
pub(crate) mod verify;

use crate::arguments::Global;
use crate::output;
use mirror::{Error, ErrorKind, MirrorConfig, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Ctrl-C and SIGTERM, which end nothing by themselves from [`Interrupt::listen`] on.
struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    fn listen() -> Result<Self> {
        let failed = |e| Error::new(ErrorKind::Other, format!("signals cannot be waited for: {e}")).with_source(e);
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate()).map_err(failed)? })
    }

    /// Returns when one of them has come.
    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
