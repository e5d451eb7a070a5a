//! The source half's place where there is none: what others have written to the log, as the tables need to know it.

use crate::capture::Captured;
use crate::config::Topics;
use crate::error::{Error, ErrorKind, Result};
use crate::progress_topic::ProgressState;
use crate::sink::ProgressFollower;
use change_log::ChangeLog;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How often it is looked where the log ends, at most.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Follows the progress topic of a log that something else writes.
pub(crate) struct LogTail {
    follower: ProgressFollower,
    captured: watch::Sender<Captured>,
    /// Those whose tables are written; `None` is all.
    topics: Option<Topics>,
    look_now: Arc<Notify>,
}

impl LogTail {
    /// Reads the progress topic; returns also who follows it, and what the tail is followed by. Whoever notifies `look_now` has it look at
    /// once.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] if none has.
    pub(crate) async fn open(
        log: Arc<dyn ChangeLog>,
        topic: String,
        topics: Option<Topics>,
        look_now: Arc<Notify>,
    ) -> Result<(Self, ProgressFollower, watch::Receiver<Captured>)> {
        if log.topic(&topic).await?.is_none() {
            return Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "the log has no topic {topic}: no source has written to it\n  → check where the log is, and topic.prefix"
                ),
            ));
        }
        let mut state = ProgressState::default();
        state.advance(log.as_ref(), &topic).await?;
        let follower = ProgressFollower::new(Arc::clone(&log), topic, state);
        let captured = watch::Sender::new(Captured::default());
        let tail = Self { follower: follower.clone(), captured, topics, look_now };
        tail.look().await?;
        let captured = tail.captured.subscribe();
        Ok((tail, follower, captured))
    }

    /// Runs until it is asked to stop.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut seen = self.follower.now().read_to;
        loop {
            let more = async {
                tokio::select! {
                    more = self.follower.wait_beyond(seen) => more?,
                    () = self.look_now.notified() => {}
                }
                self.look().await
            };
            let looked = tokio::select! {
                looked = more => looked,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            match looked {
                Ok(()) => seen = self.follower.now().read_to,
                Err(e) if e.is_log_away() => tracing::warn!(error = %e, "the log cannot be read; trying again"),
                Err(e) => return Err(e),
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.look_now.notified() => self.look_now.notify_one(),
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
    }

    async fn look(&self) -> Result<()> {
        let looked = Some(Instant::now());
        self.follower.advance().await?;
        let state = self.follower.now();
        let mut seen = Captured { position: state.position.clone(), looked, ..Captured::default() };
        for (id, table) in state.tables.iter() {
            let topic = table.topic();
            if !topic.is_none_or(|topic| self.topics.as_ref().is_none_or(|topics| topics.contains(topic))) {
                continue;
            }
            seen.stops.extend(table.stop.clone());
            let Some(topic) = topic else { continue };
            seen.next_offsets.extend(state.log_end(topic, 0).map(|next| (topic.to_owned(), next)));
            seen.topics.insert(id.clone(), topic.to_owned());
            seen.barriers.extend(table.barriers.keys().next_back().map(|number| (id.clone(), *number)));
        }
        self.captured.send_replace(seen);
        Ok(())
    }
}
