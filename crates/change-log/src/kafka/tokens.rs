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

/// How long brokers may still say of a connection that its token has expired, once there is a new one.
const SETTLES_IN: Duration = Duration::from_secs(10);

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
    /// The one before it had expired by then.
    late: bool,
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

    /// Why brokers may refuse the token although it is this client's: it is overdue, or came when the one before it had expired, of which what is
    /// under way on the connections does not know.
    pub(super) fn doubt(&self) -> Option<(ErrorKind, String)> {
        let state = lock(&self.state);
        let settling = state.late && state.since.is_some_and(|since| since.elapsed() < SETTLES_IN);
        let late = || (ErrorKind::Unavailable, "it had expired, and a new one has come only now: try again".to_owned());
        state.failed.clone().or_else(|| settling.then(late))
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

    pub(super) fn have(&self, token: Token) {
        let token = Arc::new(token);
        let clients: Vec<Arc<dyn LogIn>> = {
            let mut state = lock(&self.state);
            state.late = state.token.as_ref().is_some_and(|before| !before.is_valid());
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

    pub(super) fn fail(&self, error: &Error) {
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

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::collections::BTreeMap;
    use std::ffi::CString;

    /// One that nothing has come to yet.
    pub(in crate::kafka) fn supply() -> Arc<Supply> {
        let settings = [
            ("security.protocol", "sasl_ssl"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", "https://idp/token"),
            ("sasl.oauthbearer.client.id", "me"),
            ("sasl.oauthbearer.client.secret", "s3cret"),
        ];
        let settings: BTreeMap<String, String> = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let endpoint = TokenEndpoint::from_settings(&settings).unwrap().unwrap();
        Arc::new(Supply { endpoint, state: Mutex::default(), changed: Condvar::new() })
    }

    /// One that is valid for so many seconds from now.
    pub(in crate::kafka) fn token(value: &str, seconds: i64) -> Token {
        let (now, off) = (SystemTime::now(), Duration::from_secs(seconds.unsigned_abs()));
        let expires = if seconds < 0 { now - off } else { now + off };
        let text = |text: &str| CString::new(text).unwrap();
        Token { value: text(value), principal: text("me"), extensions: Arc::new([]), asked: now, expires }
    }

    /// A client that keeps what it is given.
    #[derive(Default)]
    struct Given(Mutex<Vec<String>>);

    impl LogIn for Given {
        fn log_in(&self, token: &Token) -> std::result::Result<(), RDKafkaErrorCode> {
            lock(&self.0).push(token.value.to_str().unwrap().to_owned());
            Ok(())
        }
    }

    #[test]
    fn every_client_that_is_still_there_gets_each_token_once() {
        let supply = supply();
        let tokens = Tokens { supply: Arc::clone(&supply), _here: oneshot::channel().0 };
        let (early, gone, late) = (Arc::new(Given::default()), Arc::new(Given::default()), Arc::new(Given::default()));
        let in_time = Duration::from_secs(60);
        supply.have(token("1", 60));
        tokens.log_in(&early, in_time).unwrap();
        tokens.log_in(&gone, in_time).unwrap();
        let was_there = Arc::downgrade(&gone);
        drop(gone);
        assert_eq!(was_there.strong_count(), 0, "a client is kept from its end");
        supply.have(token("2", 60));
        tokens.log_in(&late, in_time).unwrap();
        supply.have(token("3", 60));
        assert_eq!((lock(&early.0).join(" "), lock(&late.0).join(" ")), ("1 2 3".to_owned(), "2 3".to_owned()));
    }

    #[test]
    fn whoever_waits_for_a_token_is_told_of_a_refusal_at_once_and_of_silence_in_time() {
        let supply = supply();
        let tokens = Tokens { supply: Arc::clone(&supply), _here: oneshot::channel().0 };
        let client = Arc::new(Given::default());
        let ask = |timeout| tokens.log_in(&client, timeout).unwrap_err();
        let e = ask(Duration::ZERO);
        assert!(
            e.kind() == ErrorKind::Unavailable && e.to_string().contains("https://idp/token has not answered within 0 s"),
            "{e}"
        );
        supply.fail(&Error::new(ErrorKind::Unavailable, "it is away"));
        let e = ask(Duration::ZERO);
        assert!(e.kind() == ErrorKind::Unavailable && e.to_string() == "it is away", "{e}");
        supply.fail(&Error::new(ErrorKind::Denied, "no"));
        // It would otherwise wait until the test is ended.
        assert_eq!(ask(Duration::from_secs(86_400)).kind(), ErrorKind::Denied);
        // A token that is there is used, whatever became of the next one.
        supply.have(token("1", 60));
        supply.fail(&Error::new(ErrorKind::Denied, "no"));
        tokens.log_in(&client, Duration::ZERO).unwrap();
    }
}
