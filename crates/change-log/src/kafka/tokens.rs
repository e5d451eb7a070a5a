//! The token that all clients of a log share: had once, renewed in time, and given to each of them.
//!
//! librdkafka asks for tokens by a callback or an event, which comes only to a client that is polled: one that connects blocks in its
//! first question, and an administrative client of the binding hears of neither. Nor has the binding a place for extensions. So a
//! thread of the log's own has the token, and gives it to a client before its first question and whenever there is a new one, by the
//! call that a callback would make, which may be made at any time and from any thread.

use super::clients::lock;
use super::token_endpoint::{Token, TokenEndpoint};
use crate::error::{Error, ErrorKind, Result};
use rdkafka::error::RDKafkaErrorCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::oneshot;

/// The pause before a request is made again, at first; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// And at last. What a refusal is about takes somebody a while to correct: it is made again after this.
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// How often the clock is looked at while a token is valid: another clock stands still while the machine sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// However short a token lives, no sooner is the next one asked for.
const SHORTEST_REST: Duration = Duration::from_millis(200);

/// A client, or several, that log in with the token.
pub(super) trait LogIn: Send + Sync {
    /// Takes the token for the connections to come, and for those that log in anew. Does not wait.
    ///
    /// # Errors
    /// librdkafka's, if it refuses the token.
    fn log_in(&self, token: &Token) -> std::result::Result<(), RDKafkaErrorCode>;
}

/// Has the token for as long as it lives.
pub(super) struct Tokens {
    supply: Arc<Supply>,
    /// As long as it is there the token is renewed.
    _here: oneshot::Sender<()>,
}

/// The token, or why there is none.
pub(super) struct Supply {
    endpoint: TokenEndpoint,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    /// When it came.
    since: Option<Instant>,
    /// Why there is no newer one.
    failed: Option<(ErrorKind, String)>,
    clients: Vec<Weak<dyn LogIn>>,
}

impl State {
    fn valid(&self) -> Option<&Arc<Token>> {
        self.token.as_ref().filter(|token| token.is_valid())
    }
}

impl Tokens {
    /// Begins to ask for a token; waits for nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if there are no certificates where they should be; [`ErrorKind::Io`] if the system has no thread for it.
    pub(super) fn start(endpoint: TokenEndpoint, request_timeout: Duration) -> Result<Self> {
        let http = endpoint.connector(request_timeout)?;
        let no_thread = |e: std::io::Error| {
            Error::new(ErrorKind::Io, format!("a thread for the tokens of the Kafka client cannot be started: {e}"))
                .with_source(e)
        };
        // A runtime of its own: that of whoever opens the log may end before the log does.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_thread)?;
        let supply = Arc::new(Supply { endpoint, state: Mutex::default(), changed: Condvar::new() });
        let (here, gone) = oneshot::channel();
        let renewed = Arc::clone(&supply);
        let renew = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = gone => {}
                    () = renewed.renew(&http) => {}
                }
            });
            // The name of the endpoint may still be looked up.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("kafka-token".to_owned()).spawn(renew).map_err(no_thread)?;
        Ok(Self { supply, _here: here })
    }

    /// What a client's context looks at.
    pub(super) fn supply(&self) -> Arc<Supply> {
        Arc::clone(&self.supply)
    }

    /// Gives the token to this client, now and whenever it is renewed. Blocks until there is one.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`] and [`ErrorKind::Invalid`] as soon as the endpoint refuses; [`ErrorKind::Unavailable`] if there is no token in time.
    pub(super) fn log_in(&self, client: &Arc<impl LogIn + 'static>, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut state = lock(&self.supply.state);
        let token = loop {
            if let Some(token) = state.valid() {
                break Arc::clone(token);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match &state.failed {
                Some((kind, why)) if left.is_zero() || *kind != ErrorKind::Unavailable => {
                    return Err(Error::new(*kind, why.clone()));
                }
                None if left.is_zero() => return Err(self.supply.silent(timeout)),
                _ => {}
            }
            state = self.supply.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        };
        // Under the lock: a newer token cannot have come in between, and the next one finds the client in the list.
        client.log_in(&token).map_err(|code| self.supply.refused(code))?;
        state.clients.retain(|client| client.strong_count() > 0);
        let client = Arc::downgrade(client);
        state.clients.push(client);
        Ok(())
    }
}

impl Supply {
    /// Since when there is this token: what brokers said of an earlier one explains nothing.
    pub(super) fn since(&self) -> Option<Instant> {
        lock(&self.state).since
    }

    /// Why there is no valid token, if there is none.
    pub(super) fn missing(&self) -> Option<(ErrorKind, String)> {
        let state = lock(&self.state);
        match state.valid() {
            Some(_) => None,
            None => Some(state.failed.clone().unwrap_or_else(|| {
                (
                    ErrorKind::Unavailable,
                    format!("the token has expired, and the token endpoint {} has not answered yet", self.endpoint),
                )
            })),
        }
    }

    fn silent(&self, timeout: Duration) -> Error {
        Error::new(
            ErrorKind::Unavailable,
            format!(
                "the token endpoint {} has not answered within {} s: check that it is up and reached from here",
                self.endpoint,
                timeout.as_secs_f64()
            ),
        )
    }

    fn refused(&self, code: RDKafkaErrorCode) -> Error {
        Error::new(
            ErrorKind::Other,
            format!("the Kafka client refuses the token of the token endpoint {}: {code}: a fault of ours", self.endpoint),
        )
    }

    /// Keeps the token valid, for ever.
    async fn renew(&self, http: &reqwest::Client) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.endpoint.ask(http).await {
                Ok(token) => {
                    let renew_at = token.renew_at();
                    tracing::debug!(endpoint = %self.endpoint, principal = ?token.principal, expires_ms = token.expires_ms(), "a token has come");
                    self.have(token);
                    pause = FIRST_PAUSE;
                    rest_until(renew_at).await;
                }
                Err(e) => {
                    let next = if e.kind() == ErrorKind::Unavailable { pause } else { LAST_PAUSE };
                    pause = (pause * 2).min(LAST_PAUSE);
                    self.fail(&e);
                    tokio::time::sleep(next).await;
                }
            }
        }
    }

    fn have(&self, token: Token) {
        let token = Arc::new(token);
        let clients: Vec<Arc<dyn LogIn>> = {
            let mut state = lock(&self.state);
            state.token = Some(Arc::clone(&token));
            state.since = Some(Instant::now());
            state.failed = None;
            state.clients.iter().filter_map(Weak::upgrade).collect()
        };
        self.changed.notify_all();
        // Without the lock: one whose owner is gone meanwhile ends here, which takes a while.
        for client in clients {
            if let Err(code) = client.log_in(&token) {
                tracing::warn!(error = %self.refused(code), "a client goes on with the token that it has");
            }
        }
    }

    fn fail(&self, error: &Error) {
        let valid_for = {
            let mut state = lock(&self.state);
            let left = |token: &Arc<Token>| token.expires.duration_since(SystemTime::now()).unwrap_or_default();
            let valid_for = state.token.as_ref().map(left);
            state.failed = Some((error.kind(), error.to_string()));
            valid_for
        };
        self.changed.notify_all();
        // Whoever opens a log is told by an error.
        if let Some(valid_for) = valid_for {
            tracing::warn!(%error, valid_for_s = valid_for.as_secs(), "the token of the Kafka client cannot be renewed; it is tried again");
        }
    }
}

async fn rest_until(time: SystemTime) {
    tokio::time::sleep(SHORTEST_REST).await;
    while let Ok(left) = time.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.clamp(Duration::from_millis(1), LOOK_EVERY)).await;
    }
}
