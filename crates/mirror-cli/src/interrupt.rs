use mirror::{Error, ErrorKind, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C and SIGTERM, which end nothing by themselves from [`Interrupt::listen`] on.
#[derive(Debug)]
pub struct Interrupt {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupt {
    /// Takes the two signals over.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] if the system does not let signals be waited for.
    pub fn listen() -> Result<Self> {
        let failed = |e| Error::new(ErrorKind::Other, format!("signals cannot be waited for: {e}")).with_source(e);
        let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate()).map_err(failed)? })
    }

    /// Returns when one of them has come.
    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
