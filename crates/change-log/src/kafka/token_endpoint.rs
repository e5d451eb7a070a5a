//! A token endpoint of OAuth 2.0: asking it for a token by a client's id and secret, and reading its answer.
//!
//! The request is that of RFC 6749, section 4.4 (client credentials). librdkafka has one of its own, for which it has to be built with
//! libcurl, a second TLS and a second client of HTTP.

use super::certificates::{Authorities, is_refused};
use crate::error::{Error, ErrorKind, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Client, StatusCode, Url, header};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const URL: &str = "sasl.oauthbearer.token.endpoint.url";
const METHOD: &str = "sasl.oauthbearer.method";
const GRANT: &str = "sasl.oauthbearer.grant.type";
const CLIENT_ID: &str = "sasl.oauthbearer.client.id";
const CLIENT_SECRET: &str = "sasl.oauthbearer.client.secret";
const SCOPE: &str = "sasl.oauthbearer.scope";
const EXTENSIONS: &str = "sasl.oauthbearer.extensions";
const HEADER_URLENCODE: &str = "sasl.oauthbearer.header.urlencode";
const CA_LOCATION: &str = "https.ca.location";
const CA_PEM: &str = "https.ca.pem";
const UNSIGNED: &str = "enable.sasl.oauthbearer.unsecure.jwt";

/// The settings that are read here. librdkafka, as it is built, refuses them.
pub(super) const SETTINGS: [&str; 10] =
    [URL, METHOD, GRANT, CLIENT_ID, CLIENT_SECRET, SCOPE, EXTENSIONS, HEADER_URLENCODE, CA_LOCATION, CA_PEM];

/// An answer is a token and some words; what is larger is something else.
const LARGEST_ANSWER: usize = 1 << 20;
/// How long a request may take at most; librdkafka has the same.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// A token that is said to be valid for longer is asked for anew all the same.
const LONGEST_LIFE: Duration = Duration::from_secs(366 * 24 * 3600);
/// Characters that are shown of what an endpoint says.
const SHOWN: usize = 200;

/// A bearer token and what is known of it.
pub(super) struct Token {
    /// Visible ASCII.
    pub(super) value: CString,
    /// Whose it is, for librdkafka's own words; the brokers look into the token.
    pub(super) principal: CString,
    /// What is sent along with it (RFC 7628, section 3.1): a name, its value, and so on.
    pub(super) extensions: Arc<[CString]>,
    /// When it was asked for.
    pub(super) asked: SystemTime,
    pub(super) expires: SystemTime,
}

impl Token {
    pub(super) fn is_valid(&self) -> bool {
        SystemTime::now() < self.expires
    }

    /// In milliseconds since 1970, as librdkafka counts.
    pub(super) fn expires_ms(&self) -> i64 {
        self.expires.duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }

    /// When the next one is to be asked for: after 80 % of its life, as librdkafka does.
    pub(super) fn renew_at(&self) -> SystemTime {
        self.asked + self.expires.duration_since(self.asked).unwrap_or_default() * 4 / 5
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("principal", &self.principal).field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// Where tokens are had, and as whom. `Debug` shows no more than messages do.
pub(super) struct TokenEndpoint {
    url: Url,
    client_id: String,
    client_secret: String,
    scope: Option<String>,
    /// Id and secret are encoded before they are put into the header, as RFC 6749 has it (section 2.3.1) and Kafka's clients do not by
    /// themselves.
    header_urlencode: bool,
    extensions: Arc<[CString]>,
    authorities: Authorities,
}

impl fmt::Debug for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenEndpoint({self})")
    }
}

/// As messages name it: without a query, which may hold a key.
impl fmt::Display for TokenEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl TokenEndpoint {
    /// The endpoint that a client's settings name; `None` where the client logs in without one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] names the setting that is missing, cannot be used, or contradicts another.
    pub(super) fn from_settings(client: &BTreeMap<String, String>) -> Result<Option<Self>> {
        let get = |name: &str| client.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let is = |name: &str, expected: &str| get(name).is_some_and(|value| value.eq_ignore_ascii_case(expected));
        let sasl = is("security.protocol", "sasl_ssl") || is("security.protocol", "sasl_plaintext");
        if !sasl || !(is("sasl.mechanism", "OAUTHBEARER") || is("sasl.mechanisms", "OAUTHBEARER")) {
            return Ok(None);
        }
        let assertion = client.keys().find(|name| name.starts_with("sasl.oauthbearer.assertion."));
        let other_grant = get(GRANT).filter(|grant| !grant.eq_ignore_ascii_case("client_credentials")).map(|_| GRANT);
        if let Some(name) = assertion.map(String::as_str).or(other_grant) {
            return Err(invalid(format!(
                "\"{name}\" cannot be used: a token is asked for by the id and the secret of a client; signed assertions are not supported: take it out, and set {CLIENT_ID} and {CLIENT_SECRET}"
            )));
        }
        let unsigned = is(UNSIGNED, "true");
        let url = match get(URL) {
            Some(url) if !unsigned && !is(METHOD, "default") => url,
            Some(_) => {
                let other = if unsigned { format!("\"{UNSIGNED}\" = \"true\"") } else { format!("\"{METHOD}\" = \"default\"") };
                return Err(invalid(format!(
                    "\"{URL}\" and {other} contradict each other: tokens come from an endpoint or are unsigned ones of the client's own; take one of the two out"
                )));
            }
            None if unsigned && !is(METHOD, "oidc") => return Ok(None),
            None => {
                return Err(invalid(format!(
                    "\"sasl.mechanism\" = \"OAUTHBEARER\" needs the address where tokens are had: set {URL}, {CLIENT_ID} and {CLIENT_SECRET}"
                )));
            }
        };
        if let Some(method) = get(METHOD).filter(|method| !method.eq_ignore_ascii_case("oidc")) {
            return Err(invalid(format!("\"{METHOD}\" = \"{method}\" is not known: write oidc, or leave it out")));
        }
        let needed = |name: &str| {
            let why = || {
                invalid(format!(
                    "\"{URL}\" is of no use without \"{name}\": set it (clientId and clientSecret of sasl.jaas.config)"
                ))
            };
            get(name).map(str::to_owned).ok_or_else(why)
        };
        let header_urlencode = match get(HEADER_URLENCODE) {
            None => false,
            Some(text) => text
                .to_ascii_lowercase()
                .parse()
                .map_err(|_| invalid(format!("\"{HEADER_URLENCODE}\" is true or false, not \"{text}\"")))?,
        };
        let client_id = needed(CLIENT_ID)?;
        if client_id.contains(':') && !header_urlencode {
            return Err(invalid(format!(
                "\"{CLIENT_ID}\" has a colon, which ends it in a header: set {HEADER_URLENCODE} to true, if the identity provider understands that"
            )));
        }
        let endpoint = Self {
            url: address(url)?,
            client_id,
            client_secret: needed(CLIENT_SECRET)?,
            scope: get(SCOPE).map(str::to_owned),
            header_urlencode,
            extensions: extensions(get(EXTENSIONS).unwrap_or_default())?,
            authorities: match (get(CA_PEM), get(CA_LOCATION)) {
                (Some(_), Some(_)) => {
                    return Err(invalid(format!(
                        "\"{CA_LOCATION}\" and \"{CA_PEM}\" are two ways to say the same: take one out"
                    )));
                }
                (Some(pem), None) => Authorities::Pem(pem.to_owned()),
                (None, Some(path)) if path != "probe" => Authorities::At(path.into()),
                _ => Authorities::System,
            },
        };
        Ok(Some(endpoint))
    }

    /// The client of HTTP for [`ask`](Self::ask); reads the certificates of the authorities.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`]: there are none where they should be.
    pub(super) fn connector(&self, timeout: Duration) -> Result<Client> {
        let here = is_loopback(&self.url);
        if self.url.scheme() == "http" && !here {
            tracing::warn!(endpoint = %self, "the client's secret and the tokens go over http, where others can read them: use an https address");
        }
        let timeout = timeout.clamp(Duration::from_secs(1), REQUEST_TIMEOUT);
        let builder = || {
            let http = Client::builder()
                .user_agent(concat!("lakehouse-mirror/", env!("CARGO_PKG_VERSION")))
                // The secret is for this address alone.
                .redirect(reqwest::redirect::Policy::none())
                .timeout(timeout)
                .connect_timeout(timeout / 2)
                // Minutes lie between two requests: a connection would be kept in vain.
                .pool_max_idle_per_host(0)
                .use_rustls_tls();
            // A proxy that the environment names is for what is outside.
            if here { http.no_proxy() } else { http }
        };
        let wrong = |what: String| {
            invalid(format!(
                "the certificates by which the token endpoint {self} is known cannot be used: {what}: correct {CA_LOCATION} or {CA_PEM}"
            ))
        };
        self.authorities.connector(builder).map_err(wrong)
    }

    /// Asks for a token, once.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] if there was no answer, or one that says to come again; [`ErrorKind::Denied`] if the endpoint gives this client
    /// none, or is not the one that it should be; [`ErrorKind::Invalid`] if its answer is none of a token endpoint.
    pub(super) async fn ask(&self, http: &Client) -> Result<Token> {
        let asked = SystemTime::now();
        let mut form = vec![("grant_type", "client_credentials")];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let request = http.post(self.url.clone()).header(header::ACCEPT, "application/json").form(&form);
        let request = match self.header_urlencode {
            true => request.basic_auth(self.form_encoded(&self.client_id), Some(self.form_encoded(&self.client_secret))),
            false => request.basic_auth(&self.client_id, Some(&self.client_secret)),
        };
        let mut response = request.send().await.map_err(|e| self.lost(&e))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.lost(&e))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.no_token("is larger than 1 MiB"));
            }
            body.extend_from_slice(&chunk);
        }
        match response.status() {
            StatusCode::OK => self.read(&body, asked),
            status => Err(self.refusal(status, response.headers().get(header::LOCATION).and_then(|to| to.to_str().ok()), &body)),
        }
    }

    /// As in a form: `application/x-www-form-urlencoded`.
    fn form_encoded(&self, text: &str) -> String {
        let mut url = self.url.clone();
        url.query_pairs_mut().clear().append_key_only(text);
        url.query().unwrap_or_default().to_owned()
    }

    /// The token of an answer.
    fn read(&self, body: &[u8], asked: SystemTime) -> Result<Token> {
        let answer: Value = serde_json::from_slice(body).map_err(|_| self.no_token("is not JSON"))?;
        // The second is what Kafka's own clients take where the first is missing.
        let value = ["access_token", "id_token"].iter().find_map(|name| answer.get(name)?.as_str());
        let value = value.filter(|value| !value.is_empty()).ok_or_else(|| self.no_token("has no access_token"))?;
        if !value.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.no_token("has an access_token with characters that no token has"));
        }
        let claims = claims(value);
        let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
        let in_so_long = answer.get("expires_in").and_then(seconds).and_then(|life| asked.checked_add(life.min(LONGEST_LIFE)));
        let at = claim("exp").and_then(seconds).and_then(|since| UNIX_EPOCH.checked_add(since));
        let expires = match (in_so_long, at) {
            // Brokers go by the second, which is of whole seconds. It has passed only where the clock here is far ahead.
            (Some(first), Some(second)) if second > SystemTime::now() => Some(first.min(second)),
            (first, second) => first.or(second),
        };
        let Some(expires) = expires.map(|at| at.min(asked + LONGEST_LIFE)) else {
            return Err(
                self.no_token("does not say how long the token is valid: it has no expires_in, and the token is no JWT with exp")
            );
        };
        if expires <= SystemTime::now() {
            return Err(Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the token of the token endpoint {self} was no longer valid when it came: compare the clocks of both machines"
                ),
            ));
        }
        let principal = claim("sub").and_then(Value::as_str).filter(|name| !name.is_empty()).unwrap_or(&self.client_id);
        let text = |text: &str| CString::new(text).map_err(|_| self.no_token("has a zero byte in a name"));
        Ok(Token { value: text(value)?, principal: text(principal)?, extensions: Arc::clone(&self.extensions), asked, expires })
    }

    /// An answer of success that is none.
    fn no_token(&self, what: &str) -> Error {
        invalid(format!("what the token endpoint {self} answers {what}: is it the address of a token endpoint? correct {URL}"))
    }

    /// What an answer without success means.
    fn refusal(&self, status: StatusCode, location: Option<&str>, body: &[u8]) -> Error {
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = |name: &str| answer.get(name).and_then(Value::as_str).map(|text| self.harmless(text));
        let error = said("error").unwrap_or_default();
        let words: Vec<String> = [Some(status.to_string()), Some(error.clone()), said("error_description")]
            .into_iter()
            .flatten()
            .filter(|word| !word.is_empty())
            .collect();
        let words = words.join(": ");
        if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
            return Error::new(
                ErrorKind::Unavailable,
                format!("the token endpoint {self} gives no token now ({words}): look into its own log"),
            );
        }
        let credentials = format!("correct {CLIENT_ID} and {CLIENT_SECRET} (clientId and clientSecret of sasl.jaas.config)");
        let next = match (status.as_u16(), error.as_str()) {
            (300..=399, _) => {
                let to = location
                    .and_then(|to| self.url.join(to).ok())
                    .map_or_else(|| "another address".to_owned(), |to| to.origin().ascii_serialization());
                format!("it points to {to}, where the secret is not sent: correct {URL}")
            }
            (_, "invalid_scope") => format!("correct {SCOPE}"),
            (_, "unauthorized_client" | "unsupported_grant_type") => {
                "have the identity provider allow this client the grant client_credentials".to_owned()
            }
            (404 | 405 | 410, _) => format!("correct {URL}"),
            _ => credentials,
        };
        Error::new(
            ErrorKind::Denied,
            format!("the token endpoint {self} gives the client {} no token ({words}): {next}", self.client_id),
        )
    }

    /// Words of others, on one line, shortened, without the secret.
    fn harmless(&self, text: &str) -> String {
        let text = text.replace(&self.client_secret, "(hidden)");
        text.chars().take(SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// What happened to a connection.
    fn lost(&self, error: &reqwest::Error) -> Error {
        if error.is_timeout() {
            return Error::new(
                ErrorKind::Unavailable,
                format!("the token endpoint {self} does not answer in time: check that it is up and reached from here"),
            );
        }
        let (refused, cause) = is_refused(error);
        let cause = self.harmless(&cause);
        match refused {
            true => Error::new(
                ErrorKind::Denied,
                format!(
                    "the token endpoint {self} is not known to be the right one ({cause}): is its certificate of an authority of your own? name the authority's PEM file by {CA_LOCATION}, and the host as the certificate does"
                ),
            ),
            false => Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the token endpoint {self} cannot be reached ({cause}): check that it is up and reached from here, and {URL}"
                ),
            ),
        }
    }
}

fn address(text: &str) -> Result<Url> {
    // Not repeated, as it may hold a password.
    let wrong = |what: &str| invalid(format!("\"{URL}\" {what}: write it as https://host/path"));
    let url = Url::parse(text).map_err(|e| wrong(&format!("cannot be used ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong("begins neither with https:// nor with http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(&format!("holds a user, who is said by {CLIENT_ID} and {CLIENT_SECRET}")));
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// `name=value,name=value`, as librdkafka takes them; names and values as in RFC 7628, section 3.1.
fn extensions(text: &str) -> Result<Arc<[CString]>> {
    let wrong = |part: &str, what: &str| {
        let name = part.split_once('=').map_or(part, |(name, _)| name);
        invalid(format!("\"{EXTENSIONS}\" has {name:?}, {what}: write name=value, comma-separated, names of letters alone"))
    };
    let mut out = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').ok_or_else(|| wrong(part, "which has no value"))?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic()) || name == "auth" {
            return Err(wrong(part, "which cannot be a name"));
        }
        if !value.bytes().all(|b| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
            return Err(wrong(part, "whose value has other characters than ASCII's"));
        }
        for text in [name, value] {
            out.push(CString::new(text).map_err(|_| wrong(part, "which has a zero byte"))?);
        }
    }
    Ok(out.into())
}

/// A time in seconds, as a number or, as some write it, a text.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// What a JWT (RFC 7519) says; nothing if the token is none. Nobody has to believe it here: the brokers check its signature.
fn claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, claims, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?).ok()
}

#[cfg(test)]
#[path = "token_endpoint_tests.rs"]
mod tests;
