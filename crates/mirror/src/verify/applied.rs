//! Waiting until the mirror has applied what the source had committed at some position.

use crate::catalog_view::is_running;
use crate::config::{LogKind, MirrorConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use crate::status::{MirrorStatus, StatusFile};
use cdc_core::SourcePosition;
use std::time::{Duration, Instant};

/// How long the mirror may take to come to a position.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often its status file is read.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Who knows how far the mirror is.
pub(super) enum Applied {
    /// Another process runs it, and keeps its status in a file.
    Elsewhere(StatusFile),
    /// This process runs it while it compares.
    Here(Box<Mirror>),
}

impl Applied {
    /// The running mirror of this configuration; started here if none runs.
    pub(super) async fn of(config: &MirrorConfig) -> Result<Self> {
        if let LogKind::Local(dir) = &config.log.kind {
            let file = StatusFile::beside(dir);
            if file.read()?.is_some_and(|s| is_running(&s)) {
                return Ok(Self::Elsewhere(file));
            }
        }
        tracing::info!("no process runs the mirror: it is brought up to date here");
        Ok(Self::Here(Box::new(Mirror::start(config.clone()).await?)))
    }

    fn status(&self) -> Result<MirrorStatus> {
        match self {
            Self::Here(mirror) => Ok(mirror.status()),
            Self::Elsewhere(file) => file.read()?.filter(is_running).ok_or_else(|| {
                Error::new(
                    ErrorKind::Unavailable,
                    "the process that runs the mirror has ended\n  → start it again: lakehouse run",
                )
            }),
        }
    }

    /// Returns when every change that the source had committed at `position` is in the tables.
    pub(super) async fn wait_for(&self, position: &SourcePosition) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // First the log must have it, then the tables what the log had then.
        let captured = self.until(deadline, position, |s| s.contains(position)).await?;
        self.until(deadline, position, |s| {
            captured
                .tables
                .iter()
                .all(|(name, then)| s.tables.get(name).is_some_and(|now| now.applied >= then.log_end || now.stopped.is_some()))
        })
        .await
        .map(drop)
    }

    async fn until(
        &self,
        deadline: Instant,
        position: &SourcePosition,
        reached: impl Fn(&MirrorStatus) -> bool,
    ) -> Result<MirrorStatus> {
        loop {
            let status = self.status()?;
            if reached(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the mirror has not come to {} {} of the source within {} s\n  → lakehouse status says how far it is; verify again when it has caught up",
                        position.log.file,
                        position.log.offset,
                        PATIENCE.as_secs()
                    ),
                ));
            }
            match self {
                Self::Here(mirror) => {
                    tokio::select! {
                        ended = mirror.ended() => ended?,
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                }
                Self::Elsewhere(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Stops what was started here.
    pub(super) async fn end(self) -> Result<()> {
        match self {
            Self::Here(mirror) => mirror.stop().await.map(drop),
            Self::Elsewhere(_) => Ok(()),
        }
    }
}
