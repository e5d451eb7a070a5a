//! What fails is done again after a pause, each thing with a clock of its own, until it has failed for too long.

use crate::engine::Engine;
use crate::snapshot::{Done, Job};
use crate::stream_table::Phase;
use cdc_core::{Error, ErrorKind, LogCoordinate, Result, SourcePosition};
use std::time::Duration;
use tokio::time::Instant;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Something that has failed each time since a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failing {
    since: Instant,
    times: u32,
    /// Before it is tried again.
    pub(crate) pause: Duration,
}

impl Failing {
    /// It has failed (once more). `None`: for so long, and so often, that it is to be given up.
    pub(crate) fn once_more(before: Option<Self>, now: Instant, limit: Duration, least: u32) -> Option<Self> {
        let (since, times) = before.map_or((now, 1), |f| (f.since, f.times.saturating_add(1)));
        let lasted = now.saturating_duration_since(since);
        let pause = (lasted / 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        (lasted < limit || times < least).then_some(Self { since, times, pause })
    }

    /// It is worth a word: the first time, then ever less often.
    fn is_told(&self) -> bool {
        self.times.is_power_of_two()
    }

    pub(crate) fn tell(&self, doing: &str, error: &Error) {
        if self.is_told() {
            let failing_for = self.since.elapsed();
            tracing::warn!(times = self.times, ?failing_for, "{doing} failed and is tried again: {error}");
        }
    }
}

/// How the connection to the log fares.
pub(crate) struct LogHealth {
    connected: Instant,
    /// Since it was lost nothing new came: up to where was read then.
    failing: Option<(Failing, LogCoordinate)>,
}

impl LogHealth {
    pub(crate) fn new() -> Self {
        Self { connected: Instant::now(), failing: None }
    }

    /// A connection was made, after so many failures. That it lasts is still to be seen: what the server cannot send ends it again.
    pub(crate) fn connected(&mut self, now: Instant, failing: Option<Failing>, place: LogCoordinate) {
        *self = Self { connected: now, failing: failing.map(|f| (f, place)) };
    }

    /// The connection is lost: its failures of before, if it has brought nothing and has not lasted.
    pub(crate) fn lost(&mut self, now: Instant, place: &LogCoordinate, lasting: Duration) -> Option<Failing> {
        let (failing, before) = self.failing.take()?;
        (before == *place && now.saturating_duration_since(self.connected) < lasting).then_some(failing)
    }
}

impl Engine {
    /// Does a job again a moment later, unless it has failed for too long.
    pub(crate) fn retry(&mut self, job: Job, error: Error, failing: Option<Failing>) -> Result<()> {
        if error.kind() != ErrorKind::Unavailable {
            return Err(error);
        }
        let Some(failing) = Failing::once_more(failing, Instant::now(), self.config.reconnect_limit, 1) else {
            return Err(error);
        };
        failing.tell(job.doing(), &error);
        self.jobs.spawn_after(failing, job);
        Ok(())
    }

    /// A job found nothing: it is done again if what it is for is still there.
    pub(crate) fn job_failed(&mut self, done: Done, error: Error) -> Result<()> {
        let wanted = match &done.job {
            Job::Chunk { table, generation, .. } => {
                let (table, generation) = (*table, *generation);
                return self.chunk_read(table, generation, Err(error.into()), done.job, done.failing);
            }
            Job::Schemas(tables) => tables.iter().any(|asked| {
                self.stream.tables.get(asked.table).is_some_and(|t| t.phase == Phase::Unread && t.reading == asked.reading)
            }),
            Job::Keys(tables) => {
                tables.iter().any(|asked| self.stream.tables.get(asked.table).is_some_and(|t| t.phase == Phase::Live))
            }
            Job::End { table, generation, .. } => self.mark_is_wanted(*table, *generation),
            Job::KeylessPlace | Job::KeylessView { .. } => self.keyless.is_some(),
            Job::Log { .. } => true,
            Job::Prepared { name, .. } => self.stream.prepared.seeks(name),
        };
        if wanted { self.retry(done.job, error, done.failing) } else { Ok(()) }
    }

    /// The table's snapshot is complete, and from where its creates are new is still to be said.
    pub(crate) fn mark_is_wanted(&self, table: usize, generation: u64) -> bool {
        self.stream.tables.get(table).is_some_and(|t| {
            t.mark_wanted && t.phase == Phase::Live && t.generation.as_ref().is_some_and(|g| g.number == generation)
        })
    }

    /// The connection to the log is lost: another one is made.
    pub(crate) fn log_lost(&mut self, error: Error) -> Result<()> {
        let position = self.stream.rewind();
        let lasting = self.config.heartbeat.saturating_mul(3) + Duration::from_secs(1);
        let failing = self.log_health.lost(Instant::now(), &position.log, lasting);
        // A dump begins at a transaction, whatever was read of it.
        let start = SourcePosition { log: LogCoordinate { row: 0, ..position.log.clone() }, ..position };
        self.retry(Job::Log { position: start, kind: self.stream.kind }, error, failing)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[test]
    fn what_fails_is_tried_at_growing_distances_until_the_limit_and_told_less_and_less() {
        let mut now = Instant::now();
        let start = now;
        let mut failing = Failing::once_more(None, now, LIMIT, 1).unwrap();
        let (mut pauses, mut told) = (vec![failing.pause], vec![failing.is_told()]);
        loop {
            now += failing.pause;
            match Failing::once_more(Some(failing), now, LIMIT, 1) {
                Some(next) => failing = next,
                None => break,
            }
            pauses.push(failing.pause);
            told.push(failing.is_told());
        }
        assert!(now - start >= LIMIT && now - start < LIMIT + LONGEST_PAUSE, "given up after {:?}", now - start);
        assert!(pauses.is_sorted() && pauses[0] == SHORTEST_PAUSE && pauses.ends_with(&[LONGEST_PAUSE]), "{pauses:?}");
        assert_eq!(told[..9], [true, true, false, true, false, false, false, true, false]);
        assert!(told.iter().filter(|told| **told).count() < 7, "{told:?}");
    }

    #[test]
    fn nothing_is_tried_again_without_time_and_what_takes_long_is_tried_often_enough() {
        let now = Instant::now();
        assert!(Failing::once_more(None, now, Duration::ZERO, 1).is_none());
        let first = Failing::once_more(None, now, LIMIT, 3).unwrap();
        let second = Failing::once_more(Some(first), now + LIMIT * 10, LIMIT, 3).unwrap();
        assert!(Failing::once_more(Some(second), now + LIMIT * 20, LIMIT, 3).is_none());
    }

    #[test]
    fn a_log_that_ends_again_before_anything_new_came_goes_on_failing() {
        let place = |offset| LogCoordinate { file: "b.000001".to_owned(), offset, row: 0 };
        let now = Instant::now();
        let failing = Failing::once_more(None, now, LIMIT, 1);
        let lasting = Duration::from_secs(16);
        let mut health = LogHealth::new();
        assert!(health.lost(now, &place(4), lasting).is_none());
        health.connected(now, failing, place(4));
        assert!(health.lost(now, &place(4), lasting).is_some(), "nothing came");
        health.connected(now, failing, place(4));
        assert!(health.lost(now, &place(5), lasting).is_none(), "something came");
        health.connected(now, failing, place(4));
        assert!(health.lost(now + lasting, &place(4), lasting).is_none(), "the server was silent, as it had nothing to say");
    }
}
