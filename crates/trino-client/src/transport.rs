//! Requests and their answers: what is tried again, what must not be, and what may be said of it.

use crate::backoff::Backoff;
use crate::error::{Error, ErrorKind, Result};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use std::time::Duration;

/// Where a query goes on. Whoever has it can read the rows and end the query, so it is never shown: it has no `Debug`, and what a server says
/// is searched for it.
pub(crate) struct NextUri(Url);

impl NextUri {
    /// The part of it that cannot be guessed: the last but one.
    fn secret(&self) -> Option<&str> {
        let mut segments = self.0.path_segments()?;
        segments.next_back()?;
        segments.next_back().filter(|slug| !slug.is_empty())
    }
}

/// A server, and how it is spoken to.
pub(crate) struct Transport {
    pub(crate) http: reqwest::Client,
    /// The server's address, with a path that ends in a slash.
    pub(crate) base: Url,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) retry_for: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) largest_page: usize,
}

/// An answer that is complete.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why a request has no answer.
struct Miss {
    what: String,
    /// What the server asks to wait.
    after: Option<Duration>,
    /// The server has certainly not begun what it was asked for.
    refused: bool,
    /// Another try would end in the same way.
    lasting: bool,
    kind: ErrorKind,
}

impl Transport {
    /// Scheme, host and port.
    pub(crate) fn server(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Sends a statement. It is sent again only if the server has certainly not accepted it.
    pub(crate) async fn post(&self, headers: HeaderMap, sql: &str) -> Result<Reply> {
        let url = self.base.join("v1/statement").map_err(|e| Error::configuration(format!("the address cannot be used: {e}")))?;
        let mut backoff = Backoff::new(self.retry_for);
        loop {
            let request = self.request(Method::POST, url.clone()).headers(headers.clone()).body(sql.to_owned());
            match self.attempt(request, None).await {
                Ok(reply) => return Ok(reply),
                Err(miss) if !miss.refused => {
                    let hint = "the statement may have been accepted and may run: it is not sent again";
                    return Err(self.gave_up(&miss, backoff.tries(), (!miss.lasting).then_some(hint)));
                }
                Err(miss) => self.wait(&mut backoff, &miss).await?,
            }
        }
    }

    /// Asks for a page. A page may be asked for until the one behind it was: so it is tried again.
    pub(crate) async fn get(&self, uri: &NextUri) -> Result<Reply> {
        self.repeat(Method::GET, uri, self.retry_for).await
    }

    /// Ends a query.
    pub(crate) async fn delete(&self, uri: &NextUri) -> Result<Reply> {
        self.repeat(Method::DELETE, uri, self.retry_for.min(Duration::from_secs(5))).await
    }

    async fn repeat(&self, method: Method, uri: &NextUri, limit: Duration) -> Result<Reply> {
        let mut backoff = Backoff::new(limit);
        loop {
            match self.attempt(self.request(method.clone(), uri.0.clone()), Some(uri)).await {
                Ok(reply) => return Ok(reply),
                Err(miss) => self.wait(&mut backoff, &miss).await?,
            }
        }
    }

    fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    async fn wait(&self, backoff: &mut Backoff, miss: &Miss) -> Result<()> {
        let tries = backoff.tries();
        let pause = if miss.lasting { None } else { backoff.pause(miss.after) };
        let Some(pause) = pause else { return Err(self.gave_up(miss, tries, None)) };
        tracing::debug!(
            server = self.server(),
            tries,
            pause_ms = pause.as_millis() as u64,
            why = miss.what,
            "a request is made again"
        );
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn gave_up(&self, miss: &Miss, tries: u32, more: Option<&str>) -> Error {
        let Miss { what, kind, after, .. } = miss;
        let mut message = match kind {
            ErrorKind::Unavailable => format!("no answer from Trino at {}\n  {what}", self.server()),
            _ => format!("an answer of Trino at {} cannot be used\n  {what}", self.server()),
        };
        if tries > 1 {
            message.push_str(&format!(" (tried {tries} times)"));
        }
        if let Some(after) = after.filter(|after| *after > self.retry_for) {
            message.push_str(&format!("\n  it asks to come back in {} s", after.as_secs()));
        }
        let hint =
            if *kind == ErrorKind::Unavailable { more.or(Some("is the server up, and is the address right?")) } else { more };
        if let Some(hint) = hint {
            message.push_str(&format!("\n  → {hint}"));
        }
        Error::new(*kind, message)
    }

    async fn attempt(&self, request: RequestBuilder, uri: Option<&NextUri>) -> Result<Reply, Miss> {
        let mut response = request.send().await.map_err(|e| self.lost(e, uri))?;
        let status = response.status();
        if matches!(status.as_u16(), 429 | 502 | 503 | 504) {
            let after = retry_after(response.headers());
            // A proxy answers 502 to 504 as well when the server has taken the request and the connection broke, or took too long.
            let refused =
                status == StatusCode::TOO_MANY_REQUESTS || (status == StatusCode::SERVICE_UNAVAILABLE && after.is_some());
            return Err(Miss { what: format!("it says {status}"), after, refused, lasting: false, kind: ErrorKind::Unavailable });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(e, uri))? {
            if body.len() + chunk.len() > self.largest_page {
                let what = format!(
                    "a page is larger than {} MiB, the most that is taken\n  → select fewer or shorter values, or raise the limit",
                    self.largest_page >> 20
                );
                return Err(Miss { what, after: None, refused: false, lasting: true, kind: ErrorKind::Protocol });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers: std::mem::take(response.headers_mut()), body })
    }

    /// What happened to a connection.
    fn lost(&self, error: reqwest::Error, uri: Option<&NextUri>) -> Miss {
        let mut what = if error.is_timeout() && !error.is_connect() {
            format!("nothing came for {} s", self.answer_timeout.as_secs())
        } else {
            root_cause(&error)
        };
        let certificate = is_tls_refusal(&error);
        if certificate {
            what.push_str(
                "\n  → is the certificate of an authority of your own? name its PEM file, and the host as the certificate does",
            );
        }
        Miss {
            what: redacted(what, uri),
            after: None,
            refused: error.is_connect(),
            lasting: certificate || error.is_builder(),
            kind: ErrorKind::Unavailable,
        }
    }

    /// Takes an address from an answer.
    ///
    /// # Errors
    /// One of another server: neither the login nor the query may go there.
    pub(crate) fn next_uri(&self, text: &str) -> Result<NextUri> {
        let url = Url::parse(text).map_err(|_| Error::new(ErrorKind::Protocol, "the address of the next page is no address"))?;
        if url.origin() == self.base.origin() {
            return Ok(NextUri(url));
        }
        Err(Error::new(
            ErrorKind::Protocol,
            format!(
                "Trino at {} says that the next page is at {}, where neither query nor login are sent\n  → behind a proxy the server needs http-server.process-forwarded=true, and the proxy has to send X-Forwarded-Proto, -Host and -Port",
                self.server(),
                url.origin().ascii_serialization()
            ),
        ))
    }

    /// The error that an answer other than 200 is.
    pub(crate) fn refusal(&self, reply: &Reply, uri: Option<&NextUri>) -> Error {
        let server = self.server();
        let text = String::from_utf8_lossy(&reply.body);
        // Of a page for people only the status is of use.
        let plain = reply.headers.get(header::CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
        let said = match text.trim() {
            text if plain && !text.is_empty() => redacted(text.chars().take(300).collect(), uri),
            _ => reply.status.to_string(),
        };
        match reply.status.as_u16() {
            401 => {
                let hint = if self.authorization.is_some() {
                    "check user and password"
                } else {
                    "give a user and, over https, a password"
                };
                Error::new(
                    ErrorKind::Authentication,
                    format!("Trino at {server} does not let this user in\n  it says: {said}\n  → {hint}"),
                )
            }
            403 => {
                let hint = "if it wants a login: that works over https only";
                Error::new(ErrorKind::Authentication, format!("Trino at {server} refuses\n  it says: {said}\n  → {hint}"))
            }
            404 | 410 if uri.is_some() => {
                let hint = "it was started again, or the next rows were not asked for in five minutes: run the statement again";
                Error::new(
                    ErrorKind::Gone,
                    format!("Trino at {server} does not know the query any more\n  it says: {said}\n  → {hint}"),
                )
            }
            300..=399 => {
                let to = reply.headers.get(header::LOCATION).and_then(|to| self.base.join(to.to_str().ok()?).ok());
                let to = to.map_or_else(|| "elsewhere".to_owned(), |to| to.origin().ascii_serialization());
                let hint = "use that address: requests are not sent on, since they hold the statement and the login";
                Error::new(ErrorKind::Protocol, format!("{server} points to {to}\n  → {hint}"))
            }
            _ => {
                let hint = "is it Trino, and is the path right?";
                Error::new(ErrorKind::Protocol, format!("{server} does not answer as Trino does\n  it says: {said}\n  → {hint}"))
            }
        }
    }
}

/// A text without the secret part of an address.
fn redacted(text: String, uri: Option<&NextUri>) -> String {
    match uri.and_then(NextUri::secret) {
        Some(secret) => text.replace(secret, "(hidden)"),
        None => text,
    }
}

/// The seconds of a `Retry-After`. (It can be a date too, which nobody is known to send here: the own pauses do then.)
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// The innermost error: those around it only say that a request failed, and some of them where.
fn root_cause(error: &reqwest::Error) -> String {
    causes(error).last().map_or_else(|| "the connection was lost".to_owned(), ToString::to_string)
}

/// True if there is a server, but not the right one: its certificate does not pass, or it does not speak TLS.
fn is_tls_refusal(error: &reqwest::Error) -> bool {
    causes(error).filter_map(|e| e.downcast_ref::<std::io::Error>()).any(|e| e.kind() == std::io::ErrorKind::InvalidData)
}

/// An error's causes. The one inside an I/O error is not its source, but has to be asked for.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |e| {
        match e.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => e.source(),
        }
    })
}
