//! Waiting until the mirror has applied what the source had committed at some position.

use crate::catalog_view::is_running;
use crate::clock::now_ms;
use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::mirror::Mirror;
use crate::status::{MirrorStatus, StatusFile};
use cdc_core::SourcePosition;
use std::time::{Duration, Instant};

/// How long the mirror may take to come to a position.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long a status of services is waited for that may be starting.
const SHARED_PATIENCE: Duration = Duration::from_secs(15);
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
    /// The running mirror of this configuration; if none runs, it is started here, unless its log is one that others may have at the
    /// moment.
    pub(super) async fn of(config: &MirrorConfig) -> Result<Self> {
        if let Some(file) = StatusFile::of(&config.log.kind) {
            let deadline = Instant::now() + SHARED_PATIENCE;
            loop {
                if file.read()?.is_some_and(|s| is_running(&s)) {
                    return Ok(Self::Elsewhere(file));
                }
                if config.log.is_own() {
                    break;
                }
                // To run one here would take the log from services that run elsewhere.
                if Instant::now() > deadline {
                    return Err(Error::new(
                        ErrorKind::Unavailable,
                        format!(
                            "no process of this mirror tells in {} how far its tables are\n  → start cdc-source and iceberg-sink, or lakehouse run, from this folder",
                            file.path().display()
                        ),
                    ));
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        tracing::info!("no process runs the mirror: it is brought up to date here");
        let mirror = Mirror::start(config.clone()).await?;
        if let Err(e) = mirror.caught_up().await {
            drop(mirror.stop().await);
            return Err(e);
        }
        Ok(Self::Here(Box::new(mirror)))
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

    /// Why the mirror no longer follows a table.
    pub(super) fn stopped(&self, table: &str) -> Result<Option<String>> {
        Ok(self.status()?.tables.get(table).and_then(|t| t.stopped.clone()))
    }

    /// A position that nothing lies beyond that was in the tables when this was called.
    pub(super) async fn bound(&self) -> Result<SourcePosition> {
        let asked = now_ms();
        let status = self.until(Instant::now() + PATIENCE, "its own position", |s| s.updated_ms > asked).await?;
        Ok(status.source.position.unwrap_or_default())
    }

    /// Returns when every change that the source had committed at `position` is in the tables. Tables that have stopped are not
    /// waited for.
    pub(super) async fn wait_for(&self, position: &SourcePosition) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let goal = format!("{} {} of the source", position.log.file, position.log.offset);
        // First the log must have it, then the tables what the log had then.
        let captured = self.until(deadline, &goal, |s| s.contains(position)).await?;
        self.until(deadline, &goal, |s| {
            captured
                .tables
                .iter()
                .all(|(name, then)| s.tables.get(name).is_some_and(|now| now.has_all_of(then) || now.stopped.is_some()))
        })
        .await
        .map(drop)
    }

    /// The first status that has `reached` the goal; the last one of a mirror that has ended because all its tables have stopped.
    async fn until(&self, deadline: Instant, goal: &str, reached: impl Fn(&MirrorStatus) -> bool) -> Result<MirrorStatus> {
        let mut ended = false;
        loop {
            let status = self.status()?;
            if ended || reached(&status) {
                return Ok(status);
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Unavailable,
                    format!(
                        "the mirror has not come to {goal} within {} s\n  → lakehouse status says how far it is; verify again when it has caught up",
                        PATIENCE.as_secs()
                    ),
                ));
            }
            match self {
                Self::Here(mirror) => {
                    tokio::select! {
                        result = mirror.ended() => {
                            result?;
                            ended = true;
                        }
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
