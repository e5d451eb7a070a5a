//! How long to wait before a request is made again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use tokio::time::Instant;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// Pauses that double, until the time for it is over.
pub(crate) struct Backoff {
    limit: Duration,
    began: Instant,
    next: Duration,
    tries: u32,
}

impl Backoff {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, began: Instant::now(), next: FIRST, tries: 1 }
    }

    /// How often it was tried.
    pub(crate) fn tries(&self) -> u32 {
        self.tries
    }

    /// The pause before the next try, at least what the server asked for; `None` if it would end too late.
    pub(crate) fn pause(&mut self, asked: Option<Duration>) -> Option<Duration> {
        let left = self.limit.checked_sub(self.began.elapsed())?;
        // Clients that were interrupted together do not come back together.
        let spread = self.next.mul_f64((RandomState::new().hash_one(self.tries) % 1000) as f64 / 4000.0);
        let pause = match asked {
            Some(asked) => Some(asked.max(self.next)).filter(|pause| *pause <= left)?,
            // One last try at the end of the time.
            None if left.is_zero() => return None,
            None => (self.next + spread).min(left),
        };
        self.next = (self.next * 2).min(LONGEST);
        self.tries += 1;
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_until_the_time_is_over() {
        let mut backoff = Backoff::new(Duration::from_secs(20));
        let began = Instant::now();
        let mut pauses = Vec::new();
        while let Some(pause) = backoff.pause(None) {
            tokio::time::sleep(pause).await;
            pauses.push(pause);
        }
        assert!(began.elapsed() >= Duration::from_secs(20) && began.elapsed() < Duration::from_secs(21));
        for (n, pause) in pauses.iter().enumerate().take(pauses.len() - 1) {
            let least = (FIRST * (1 << n)).min(LONGEST);
            assert!((least..=least.mul_f64(1.25)).contains(pause), "{n}: {pause:?}");
        }
        assert_eq!(backoff.tries() as usize, pauses.len() + 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_asks_for_is_waited_unless_it_is_too_long() {
        let mut backoff = Backoff::new(Duration::from_secs(20));
        assert_eq!(backoff.pause(Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(backoff.pause(Some(Duration::ZERO)), Some(FIRST * 2));
        assert_eq!(backoff.pause(Some(Duration::from_secs(21))), None);
        assert_eq!(Backoff::new(Duration::ZERO).pause(None), None);
    }
}
