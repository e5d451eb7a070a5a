use async_trait::async_trait;
use std::time::Duration;
use tokio::time::Instant;

/// Time and fresh names, as parameters: under the simulator a seed gives both, so that it replays one history.
#[async_trait]
pub trait Environment: Send + Sync + 'static {
    /// Monotonic time since some fixed moment.
    fn now(&self) -> Duration;

    /// Returns once this much time has passed. Cancel-safe.
    async fn sleep(&self, time: Duration);

    /// A name for a commit attempt that nobody else ever gives.
    fn commit_id(&self) -> String;
}

/// Real time (that of the tokio runtime) and random UUIDs.
#[derive(Debug, Clone, Copy)]
pub struct SystemEnvironment {
    started: Instant,
}

impl SystemEnvironment {
    /// Time counts from now on.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemEnvironment {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Environment for SystemEnvironment {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn commit_id(&self) -> String {
        uuid::Uuid::now_v7().to_string()
    }
}

/// How long to wait before the next try: doubling from 5 ms to 2 s.
pub(crate) fn backoff(attempt: u32) -> Duration {
    Duration::from_millis(5u64.saturating_mul(1 << attempt.min(9)).min(2_000))
}
