//! The source half's place where there is none: what others have written to the log, as the tables need to know it.

use crate::capture::Captured;
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::ProgressState;
use change_log::ChangeLog;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows the progress topic of a log that something else writes.
pub(crate) struct LogTail {
    log: Arc<dyn ChangeLog>,
    topic: String,
    state: ProgressState,
    captured: watch::Sender<Captured>,
}

impl LogTail {
    /// Reads the progress topic; returns also what it says, and what the tail is followed by.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if no source half has ever written to this log.
    pub(crate) async fn open(log: Arc<dyn ChangeLog>, topic: String) -> Result<(Self, ProgressState, watch::Receiver<Captured>)> {
        if log.topic(&topic).await?.is_none() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!("the log has no topic {topic}: no source has written to it\n  → check log dir and topic.prefix"),
            ));
        }
        let mut tail = Self { log, topic, state: ProgressState::default(), captured: watch::channel(Captured::default()).0 };
        tail.advance().await?;
        let (state, captured) = (tail.state.clone(), tail.captured.subscribe());
        Ok((tail, state, captured))
    }

    /// Runs until it is asked to stop.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<()> {
        loop {
            tokio::select! {
                more = self.log.wait(&self.topic, 0, self.state.read_to) => more?,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
            self.advance().await?;
        }
    }

    async fn advance(&mut self) -> Result<()> {
        self.state.advance(self.log.as_ref(), &self.topic).await?;
        let mut seen = Captured { position: self.state.position.clone(), ..Captured::default() };
        for (id, table) in self.state.tables.iter() {
            seen.stops.extend(table.stop.clone());
            let Some(topic) = table.topic() else { continue };
            seen.next_offsets.insert(topic.to_owned(), self.log.offsets(topic, 0).await?.next);
            seen.topics.insert(id.clone(), topic.to_owned());
            seen.barriers.extend(table.barriers.keys().next_back().map(|number| (id.clone(), *number)));
        }
        self.captured.send_replace(seen);
        Ok(())
    }
}
