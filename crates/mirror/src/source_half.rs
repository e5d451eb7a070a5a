//! The source half as it lives: fenced, connected, capturing, and all that again when the log's servers were away.

use crate::capture::{Capture, Captured, Fenced};
use crate::config::EventFormat;
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::ProgressState;
use cdc_core::TopicRouter;
use change_log::ChangeLog;
use debezium_format::{Connector, EncoderConfig};
use mysql_source::{MysqlSource, MysqlSourceConfig, ServerKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the log's servers are left alone after they were away: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// What captures one source into one log.
pub(crate) struct SourceHalf {
    source: MysqlSourceConfig,
    router: TopicRouter,
    events: EventFormat,
    log: Arc<dyn ChangeLog>,
    captured: watch::Sender<Captured>,
    run: String,
    /// The run that was the newest when this one began.
    predecessor: Option<String>,
}

/// A source half that has begun.
pub(crate) struct Begun {
    capture: Capture,
    source: MysqlSource,
}

impl SourceHalf {
    pub(crate) fn new(source: MysqlSourceConfig, router: TopicRouter, events: EventFormat, log: Arc<dyn ChangeLog>) -> Self {
        let run = uuid::Uuid::now_v7().to_string();
        Self { source, router, events, log, captured: watch::Sender::new(Captured::default()), run, predecessor: None }
    }

    /// What the log holds, as it goes on.
    pub(crate) fn captured(&self) -> watch::Receiver<Captured> {
        self.captured.subscribe()
    }

    /// Fences a predecessor, connects the source, goes on behind what was left; returns also what that was.
    pub(crate) async fn begin(&mut self) -> Result<(Begun, ProgressState)> {
        let fenced = Fenced::open(Arc::clone(&self.log), self.router.clone()).await?.with_format(self.events.recorded());
        self.predecessor.clone_from(&fenced.state.run);
        let source = MysqlSource::start(self.source.clone(), fenced.state.recovered()).await?;
        let connector = match source.server().kind {
            ServerKind::Mysql => Connector::Mysql,
            ServerKind::Mariadb => Connector::Mariadb,
            other => {
                return Err(Error::new(
                    ErrorKind::Other,
                    format!("a server of the kind {other:?} cannot be mirrored by this version"),
                ));
            }
        };
        let prefix = self.router.prefix().to_owned();
        let mut encoder =
            EncoderConfig::new(prefix, connector, self.events.converter, self.run.clone()).with_profile(self.events.profile);
        encoder.tombstones_on_delete = self.events.tombstones_on_delete;
        encoder.extended_headers = self.events.extended_headers;
        let (capture, state) = fenced.begin(encoder, &self.run, self.captured.clone()).await?;
        Ok((Begun { capture, source }, state))
    }

    /// Captures until it is asked to stop, the source ends, or it cannot go on. While the log's servers are away it waits for
    /// them; what it had not written then is read from the source again.
    pub(crate) async fn run(mut self, begun: Begun, stop: watch::Receiver<bool>) -> Result<()> {
        let mut begun = begun;
        let mut pause = PAUSE.0;
        loop {
            let position = self.captured.borrow().position.clone();
            let ended = begun.capture.run(begun.source, stop.clone()).await;
            let away = match ended {
                Err(e) if e.is_log_away() => e,
                ended => return ended,
            };
            if self.captured.borrow().position != position {
                pause = PAUSE.0;
            }
            let mut away = away;
            begun = loop {
                tracing::warn!(error = %away, "the log cannot be written to; trying again");
                let mut stopping = stop.clone();
                tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                    () = tokio::time::sleep(pause) => pause = (2 * pause).min(PAUSE.1),
                }
                let again = tokio::select! {
                    _ = stopping.wait_for(|stop| *stop) => return Ok(()),
                    again = self.begin_again() => again,
                };
                match again {
                    Ok(begun) => break begun,
                    Err(e) if e.is_log_away() => away = e,
                    Err(e) => return Err(e),
                }
            };
        }
    }

    /// Begins again, unless another has taken over meanwhile: to fence that one would be to fight it.
    async fn begin_again(&mut self) -> Result<Begun> {
        let topic = self.router.progress_topic();
        let mut now = ProgressState::default();
        now.advance(self.log.as_ref(), &topic).await?;
        if now.run.as_ref() != Some(&self.run) && now.run != self.predecessor {
            return Err(Error::new(
                ErrorKind::Unsafe,
                format!(
                    "another source with the topic prefix {} has taken over while this one was away from the log\n  → nothing is lost: leave one of the two running",
                    self.router.prefix()
                ),
            ));
        }
        Ok(self.begin().await?.0)
    }
}
