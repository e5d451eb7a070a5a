use crate::error::{Error, ErrorKind, Result};
use crate::query::{self, Executed, Query};
use crate::session::Session;
use crate::transport::Transport;
use base64::Engine;
use reqwest::header::HeaderValue;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A client of one Trino server, with a [`Session`]. Clones share both; statements may run at the same time.
#[derive(Clone)]
pub struct Client {
    pub(crate) transport: Arc<Transport>,
    pub(crate) session: SharedSession,
    /// The session that it began with.
    begun: Arc<Session>,
}

/// The session of a client and of its running queries.
#[derive(Clone, Default)]
pub(crate) struct SharedSession(Arc<Mutex<Session>>);

impl SharedSession {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Session) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Client {
    /// Begins a client of the server at `url`: `http://127.0.0.1:8080`, `https://trino.example.com`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder {
            url: url.into(),
            session: Session { source: Some("trino-client".to_owned()), ..Session::default() },
            password: None,
            password_over_http: false,
            root_certificates: None,
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(60),
            retry_for: Duration::from_secs(30),
            largest_page: 128 << 20,
        }
    }

    /// Runs a statement, and waits until its columns are known. The rows are then taken from the [`Query`].
    ///
    /// A query whose rows are not all taken is ended when the `Query` is dropped; so is one whose start is no longer waited for. That is done by a
    /// task in the background.
    ///
    /// # Errors
    /// A statement that fails ([`ErrorKind::Statement`]), a server that cannot be reached ([`ErrorKind::Unavailable`]) or does not let the user in
    /// ([`ErrorKind::Authentication`]). After `Unavailable` the statement may run: it is sent again only if the server has certainly not accepted it.
    pub async fn query(&self, sql: impl Into<String>) -> Result<Query> {
        query::start(self.clone(), sql.into()).await
    }

    /// Runs a statement to its end and says what it changed. Rows are counted and not kept.
    ///
    /// # Errors
    /// As of [`query`](Self::query).
    pub async fn execute(&self, sql: impl Into<String>) -> Result<Executed> {
        self.query(sql).await?.finish().await
    }

    /// What the next statement runs with.
    pub fn session(&self) -> Session {
        self.session.with(|session| session.clone())
    }

    /// A client of the same server and over the same connections, with a session of its own, as the builder set it.
    #[must_use]
    pub fn new_session(&self) -> Self {
        let session = SharedSession::default();
        session.with(|session| session.clone_from(&self.begun));
        Self { transport: Arc::clone(&self.transport), session, begun: Arc::clone(&self.begun) }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.transport.server())
            .field("session", &self.session())
            .finish_non_exhaustive()
    }
}

/// Sets up a [`Client`]. Only the user must be set.
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    url: String,
    session: Session,
    password: Option<String>,
    password_over_http: bool,
    root_certificates: Option<PathBuf>,
    connect_timeout: Duration,
    answer_timeout: Duration,
    retry_for: Duration,
    largest_page: usize,
}

impl ClientBuilder {
    /// The user that statements run as.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.session.user = user.into();
        self
    }

    /// The user's password. It is sent with each request, and only over `https`.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Allows the password to be sent over `http`, where whoever sees the traffic reads it.
    pub fn allow_password_over_http(mut self) -> Self {
        self.password_over_http = true;
        self
    }

    /// A PEM file with the certificates of the authorities to trust, instead of the public ones. It is read in [`build`](Self::build).
    pub fn root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates = Some(file.into());
        self
    }

    /// The catalog of names without one.
    pub fn catalog(mut self, catalog: impl Into<String>) -> Self {
        self.session.catalog = Some(catalog.into());
        self
    }

    /// The schema of names without one.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.session.schema = Some(schema.into());
        self
    }

    /// What the server's lists of queries name as their source; `trino-client` if not set.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.session.source = Some(source.into());
        self
    }

    /// Words on the client for the server's lists of queries.
    pub fn client_info(mut self, info: impl Into<String>) -> Self {
        self.session.client_info = Some(info.into());
        self
    }

    /// One more tag, by which the server's resource groups can tell queries apart. It has no comma.
    pub fn client_tag(mut self, tag: impl Into<String>) -> Self {
        self.session.client_tags.push(tag.into());
        self
    }

    /// The session's time zone: `UTC`, `Europe/Vienna`. If it is not set, it is the server's.
    pub fn time_zone(mut self, zone: impl Into<String>) -> Self {
        self.session.time_zone = Some(zone.into());
        self
    }

    /// A session property, as `SET SESSION` sets it: `query_max_run_time`, `lake.parquet_use_bloom_filter`.
    pub fn session_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.session.properties.insert(name.into(), value.into());
        self
    }

    /// How long a connection may take; 10 s if not set.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long the server may send nothing before a request counts as lost; 60 s if not set. (It answers within about a second, however long a
    /// statement takes.)
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = timeout;
        self
    }

    /// How long a request that is not answered is made again, with pauses from 50 ms to 5 s; 30 s if not set. Zero: never.
    pub fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// The largest page that is taken, in bytes; 128 MiB if not set. The server fills a page up to about 1 MB, and more only if a single row is larger.
    pub fn largest_page(mut self, bytes: usize) -> Self {
        self.largest_page = bytes;
        self
    }

    /// The client. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`]: an address that is none, no user, a password that would go over `http`, a file without certificates, names that
    /// cannot be sent.
    pub fn build(self) -> Result<Client> {
        let base = self.base()?;
        if self.session.user.is_empty() {
            return Err(Error::configuration("no user was given\n  → set one: .user(\"me\")"));
        }
        if self.session.client_tags.iter().any(|tag| tag.contains(',')) {
            return Err(Error::configuration("a client tag cannot have a comma\n  → give each tag by itself"));
        }
        let invalid = |name: &&String| name.is_empty() || name.contains(['=', ',', ' ']);
        if let Some(name) = self.session.properties.keys().find(invalid) {
            return Err(Error::configuration(format!("{name:?} cannot be a session property's name")));
        }
        self.session.headers()?;
        let authorization = self.authorization(base.scheme() == "https")?;
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("trino-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.answer_timeout)
            // Kept shorter than servers keep them: a statement that is sent on a connection that ends meanwhile must not be sent again.
            .pool_idle_timeout(Duration::from_secs(15))
            .use_rustls_tls();
        if let Some(file) = &self.root_certificates {
            http = http.tls_built_in_root_certs(false);
            for certificate in certificates(file)? {
                http = http.add_root_certificate(certificate);
            }
        }
        let http = http.build().map_err(|e| Error::configuration(format!("no client can be made: {e}")).with_source(e))?;
        let transport = Transport {
            http,
            base,
            authorization,
            retry_for: self.retry_for,
            answer_timeout: self.answer_timeout,
            largest_page: self.largest_page,
        };
        let session = SharedSession::default();
        session.with(|session| session.clone_from(&self.session));
        Ok(Client { transport: Arc::new(transport), session, begun: Arc::new(self.session) })
    }

    /// The address, ending in a slash. It is not repeated in messages while it may hold a password.
    fn base(&self) -> Result<reqwest::Url> {
        let wrong = |what: &str| Error::configuration(format!("the server's address {what}\n  → write it as https://host:port"));
        let mut url = reqwest::Url::parse(&self.url).map_err(|e| wrong(&format!("cannot be used: {e}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("holds a user: give user and password by themselves"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("begins neither with http:// nor with https://"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("has more than a host, a port and a path"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    fn authorization(&self, encrypted: bool) -> Result<Option<HeaderValue>> {
        let Some(password) = &self.password else { return Ok(None) };
        if !encrypted && !self.password_over_http {
            return Err(Error::configuration(
                "the password would be sent over http, where others can read it\n  → use an https address\n  → or allow it: .allow_password_over_http()",
            ));
        }
        if self.session.user.contains(':') {
            return Err(Error::configuration("the name of a user with a password cannot have a colon"));
        }
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{}:{password}", self.session.user));
        let mut value =
            HeaderValue::from_str(&format!("Basic {login}")).map_err(|_| Error::configuration("the password cannot be sent"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("session", &self.session)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("root_certificates", &self.root_certificates)
            .field("retry_for", &self.retry_for)
            .finish_non_exhaustive()
    }
}

fn certificates(file: &std::path::Path) -> Result<Vec<reqwest::Certificate>> {
    let named = |what: String| {
        Error::new(ErrorKind::Configuration, format!("the certificates of {} cannot be used: {what}", file.display()))
    };
    let pem = std::fs::read(file).map_err(|e| named(e.to_string()).with_source(e))?;
    let found = reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| named("it is no PEM file".to_owned()).with_source(e))?;
    if found.is_empty() {
        return Err(named("there is none in it".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn refused(builder: ClientBuilder) -> String {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.to_string()
    }

    #[test]
    fn what_cannot_be_used_is_refused_before_anything_is_sent() {
        let at = |url: &str| Client::builder(url).user("me");
        for (builder, words) in [
            (Client::builder("http://h"), "no user was given"),
            (at("h:8080"), "begins neither with http://"),
            (at("ftp://h"), "begins neither with http://"),
            (at("http://"), "cannot be used"),
            (at("http://h/?a=b"), "has more than a host"),
            (at("http://h").password("hush"), "the password would be sent over http"),
            (at("https://h").user("a:b").password("hush"), "cannot have a colon"),
            (at("http://h").client_tag("a,b"), "a client tag cannot have a comma"),
            (at("http://h").catalog("é"), "the catalog's name cannot be sent"),
            (at("http://h").session_property("a=b", "c"), "\"a=b\" cannot be a session property's name"),
            (at("https://h").root_certificates("/no/such/file"), "the certificates of /no/such/file cannot be used"),
            (at("https://h").root_certificates(concat!(env!("CARGO_MANIFEST_DIR"), "/src/client.rs")), "there is none in it"),
        ] {
            let said = refused(builder);
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let said = refused(Client::builder("https://me:hush@h").user("me"));
        assert!(said.contains("holds a user") && !said.contains("hush"), "{said}");
        let builder = Client::builder("http://h").user("me").password("hush").allow_password_over_http();
        assert!(!format!("{builder:?} {:?}", builder.clone().build().unwrap()).contains("hush"));
        assert!(format!("{:?}", builder.build().unwrap().transport.authorization).contains("Sensitive"));
    }
}
