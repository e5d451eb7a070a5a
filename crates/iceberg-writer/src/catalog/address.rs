//! Where a catalog's database is: the forms that people have in their files, which are those of JDBC.

use crate::error::{Error, ErrorKind, Result};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a catalog's database is, and who asks it: a SQLite file, or a database on a PostgreSQL, MySQL or MariaDB server.
///
/// Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct CatalogAddress(pub(super) Place);

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Sqlite(PathBuf),
    Server(Box<ServerAddress>),
}

/// A database on a server.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ServerAddress {
    pub kind: ServerKind,
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: Option<String>,
    pub password: Option<String>,
    pub tls: Tls,
    /// A PEM file of authorities.
    pub tls_ca: Option<PathBuf>,
    /// PEM files of our own certificate and its key.
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// PostgreSQL's schema.
    pub schema: Option<String>,
    pub connect_timeout: Duration,
    pub application_name: String,
    ignored: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServerKind {
    Postgres,
    Mysql,
    Mariadb,
}

/// What TLS has to be, as `sslmode` of PostgreSQL says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl ServerKind {
    fn scheme(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// Parameters that cannot change what is read or written here: of PostgreSQL's driver, and of those of MySQL and MariaDB.
const UNNEEDED: [&[&str]; 2] = [
    &[
        "loginTimeout",
        "socketTimeout",
        "tcpKeepAlive",
        "prepareThreshold",
        "preparedStatementCacheQueries",
        "preparedStatementCacheSizeMiB",
        "reWriteBatchedInserts",
        "defaultRowFetchSize",
        "binaryTransfer",
        "stringtype",
        "assumeMinServerVersion",
        "autosave",
        "loggerLevel",
    ],
    &[
        "useUnicode",
        "characterEncoding",
        "connectionCollation",
        "serverTimezone",
        "connectionTimeZone",
        "autoReconnect",
        "rewriteBatchedStatements",
        "cachePrepStmts",
        "prepStmtCacheSize",
        "prepStmtCacheSqlLimit",
        "useServerPrepStmts",
        "useLocalSessionState",
        "maintainTimeStats",
        "useCursorFetch",
        "tcpKeepAlive",
        "socketTimeout",
        "allowPublicKeyRetrieval",
        "zeroDateTimeBehavior",
        "tinyInt1isBit",
        "nullDatabaseMeansCurrent",
        "nullCatalogMeansCurrent",
    ],
];

impl CatalogAddress {
    /// A SQLite file.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self(Place::Sqlite(path.into()))
    }

    /// Reads an address: `jdbc:sqlite:PATH` or a path; `jdbc:postgresql://HOST:PORT/DATABASE`, `jdbc:mysql://...`, `jdbc:mariadb://...`,
    /// with or without `jdbc:`, with user and password in front of the host or among the parameters, percent-encoded, or without.
    ///
    /// Of the drivers' parameters these have an effect: `user`, `password`, `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `currentSchema`,
    /// `connectTimeout` (seconds), `ApplicationName` (PostgreSQL); `user`, `password`, `sslMode`, `useSSL`, `serverSslCert`, `connectTimeout`
    /// (milliseconds) (MySQL, MariaDB). Without a mode a server elsewhere must prove by its certificate that it is `HOST`; for one on this machine TLS
    /// is used if it is offered. What cannot change a result is in [`ignored`](Self::ignored).
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] names what is wrong or not known, never a password.
    pub fn parse(uri: &str) -> Result<Self> {
        let bare = uri.strip_prefix("jdbc:").unwrap_or(uri);
        let (scheme, rest) = match bare.split_once(':') {
            // One letter would be a drive; a slash in front of the colon is a path's.
            Some((scheme, rest)) if scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+') => {
                // `postgresql+psycopg2`: the driver of another language.
                (scheme.split('+').next().unwrap_or(scheme), rest)
            }
            _ if bare.len() == uri.len() => return Ok(Self::sqlite(uri)),
            _ => return Err(unknown(uri)),
        };
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "sqlite" | "file" => {
                let path = rest.strip_prefix("file:").unwrap_or(rest);
                return Ok(Self::sqlite(path.strip_prefix("//").unwrap_or(path)));
            }
            "postgresql" | "postgres" => ServerKind::Postgres,
            "mysql" => ServerKind::Mysql,
            "mariadb" => ServerKind::Mariadb,
            _ if bare.len() == uri.len() && !rest.starts_with("//") => return Ok(Self::sqlite(uri)),
            _ => return Err(unknown(uri)),
        };
        ServerAddress::parse(kind, rest).map(|server| Self(Place::Server(Box::new(server))))
    }

    /// The same, asked as this user. Nothing changes for a file.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        if let Place::Server(server) = &mut self.0 {
            server.user = Some(user.into());
        }
        self
    }

    /// The same, with this password. Nothing changes for a file.
    #[must_use]
    pub fn with_password(mut self, password: impl Into<String>) -> Self {
        if let Place::Server(server) = &mut self.0 {
            server.password = Some(password.into());
        }
        self
    }

    /// Whether a user is named; of a file there is none.
    pub fn has_user(&self) -> bool {
        matches!(&self.0, Place::Server(server) if server.user.is_some())
    }

    /// The file, if it is one.
    pub fn sqlite_path(&self) -> Option<&Path> {
        match &self.0 {
            Place::Sqlite(path) => Some(path),
            Place::Server(_) => None,
        }
    }

    /// Parameters of the address that have no effect here.
    pub fn ignored(&self) -> &[String] {
        match &self.0 {
            Place::Sqlite(_) => &[],
            Place::Server(server) => &server.ignored,
        }
    }
}

impl fmt::Display for CatalogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(path) => path.display().fmt(f),
            Place::Server(server) => server.fmt(f),
        }
    }
}

impl fmt::Debug for CatalogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CatalogAddress({self})")
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host: &dyn fmt::Display = if self.host.contains(':') { &format!("[{}]", self.host) } else { &self.host };
        write!(f, "{}://{host}:{}/{}", self.kind.scheme(), self.port, self.database)
    }
}

fn unknown(uri: &str) -> Error {
    // Of an address that is not understood nothing is shown where a password could be.
    let scheme: String = uri.chars().take_while(|c| !matches!(c, '/' | '@' | '?')).collect();
    invalid(format!(
        "a catalog \"{scheme}...\" is not there yet; write jdbc:postgresql://, jdbc:mysql://, jdbc:mariadb:// or jdbc:sqlite:PATH"
    ))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl ServerAddress {
    fn parse(kind: ServerKind, rest: &str) -> Result<Self> {
        let scheme = kind.scheme();
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = match before.strip_prefix("//") {
            Some(rest) => rest.split_once('/').unwrap_or((rest, "")),
            None => ("", before),
        };
        let (login, host_port) = match authority.rsplit_once('@') {
            Some((login, host_port)) => (Some(login), host_port),
            None => (None, authority),
        };
        if host_port.contains(',') {
            return Err(invalid(format!(
                "the address {scheme}://{host_port} names several servers; write the one that may be written to"
            )));
        }
        let (host, port) =
            host_and_port(host_port).ok_or_else(|| invalid(format!("{scheme}://{host_port} is no host and port")))?;
        let default_port = if kind == ServerKind::Postgres { 5432 } else { 3306 };
        let database = decoded(database)?;
        if database.is_empty() || database.contains('/') {
            return Err(invalid(format!(
                "the address {scheme}://{host_port} names no database; write {scheme}://HOST:PORT/DATABASE"
            )));
        }
        let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let mut server = Self {
            kind,
            host: host.to_owned(),
            port: port.unwrap_or(default_port),
            database,
            user: None,
            password: None,
            tls: if is_here { Tls::Prefer } else { Tls::VerifyFull },
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            schema: None,
            connect_timeout: Duration::from_secs(10),
            application_name: "iceberg-writer".to_owned(),
            ignored: Vec::new(),
        };
        if let Some(login) = login {
            let (user, password) = login.split_once(':').map_or((login, None), |(user, password)| (user, Some(password)));
            server.user = Some(decoded(user)?);
            server.password = password.map(decoded).transpose()?;
        }
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            server.set(key, decoded(value)?)?;
        }
        if server.tls_cert.is_some() != server.tls_key.is_some() {
            return Err(invalid("sslcert and sslkey belong together; give both or none"));
        }
        Ok(server)
    }

    fn set(&mut self, key: &str, value: String) -> Result<()> {
        let postgres = self.kind == ServerKind::Postgres;
        let timeout = |unit: fn(u64) -> Duration| match value.parse::<u64>() {
            // 0 is JDBC's "no limit".
            Ok(0) => Ok(Duration::from_secs(3600)),
            Ok(n) => Ok(unit(n)),
            Err(_) => Err(invalid(format!("{key}={value} of the catalog's address is no number"))),
        };
        match key.to_ascii_lowercase().as_str() {
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            "sslmode" => self.tls = tls(&value)?,
            "ssl" if postgres && value != "false" => self.tls = Tls::VerifyFull,
            "ssl" if postgres => self.tls = Tls::Disable,
            "usessl" if !postgres && value == "false" => self.tls = Tls::Disable,
            "usessl" if !postgres && value == "true" => self.tls = Tls::VerifyFull,
            "sslrootcert" | "serversslcert" => self.tls_ca = Some(value.into()),
            "sslcert" if postgres => self.tls_cert = Some(value.into()),
            "sslkey" if postgres => self.tls_key = Some(value.into()),
            "currentschema" if postgres => self.schema = Some(value),
            "connecttimeout" if postgres => self.connect_timeout = timeout(Duration::from_secs)?,
            "connecttimeout" => self.connect_timeout = timeout(Duration::from_millis)?,
            "applicationname" if postgres => self.application_name = value,
            _ if UNNEEDED[usize::from(!postgres)].iter().any(|known| known.eq_ignore_ascii_case(key)) => {
                self.ignored.push(key.to_owned())
            }
            _ => {
                return Err(invalid(format!(
                    "the parameter {key} of the address {self} is not known; take it out, since what it would change is not changed here"
                )));
            }
        }
        Ok(())
    }
}

/// The words of all three drivers.
fn tls(mode: &str) -> Result<Tls> {
    Ok(match mode.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Tls::Disable,
        "allow" | "prefer" | "preferred" => Tls::Prefer,
        "require" | "required" | "trust" => Tls::Require,
        "verify-ca" => Tls::VerifyCa,
        "verify-full" | "verify-identity" => Tls::VerifyFull,
        _ => {
            return Err(invalid(format!(
                "sslmode={mode} of the catalog's address is not known; write disable, prefer, require, verify-ca or verify-full"
            )));
        }
    })
}

fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        (host, after.strip_prefix(':').or_else(|| after.is_empty().then_some(""))?)
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    let port = if port.is_empty() { None } else { Some(port.parse().ok().filter(|port| *port > 0)?) };
    Some((if host.is_empty() { "localhost" } else { host }, port))
}

fn decoded(text: &str) -> Result<String> {
    let wrong =
        || invalid("a percent sign in the catalog's address is not followed by two hex digits of UTF-8; write %25 for it");
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
            let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
            out.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn server(uri: &str) -> ServerAddress {
        match CatalogAddress::parse(uri).unwrap().0 {
            Place::Server(server) => *server,
            Place::Sqlite(path) => panic!("{}", path.display()),
        }
    }

    #[test]
    fn a_path_and_the_forms_of_sqlite_are_files() {
        for (uri, path) in [
            ("jdbc:sqlite:/a/c.db", "/a/c.db"),
            ("jdbc:sqlite:file:/a/c.db", "/a/c.db"),
            ("sqlite:///a/c.db", "/a/c.db"),
            ("file:///a/c.db", "/a/c.db"),
            ("a/c.db", "a/c.db"),
            ("a/b:c.db", "a/b:c.db"),
            ("odd:name.db", "odd:name.db"),
        ] {
            assert_eq!(CatalogAddress::parse(uri).unwrap().sqlite_path(), Some(Path::new(path)), "{uri}");
        }
    }

    #[test]
    fn the_forms_of_jdbc_and_of_other_languages_are_servers() {
        for (uri, shown) in [
            ("jdbc:postgresql://db:5433/lake", "postgresql://db:5433/lake"),
            ("jdbc:postgresql:lake", "postgresql://localhost:5432/lake"),
            ("jdbc:postgresql:///lake", "postgresql://localhost:5432/lake"),
            ("postgres://db/lake", "postgresql://db:5432/lake"),
            ("postgresql+psycopg2://u:p@db/lake", "postgresql://db:5432/lake"),
            ("jdbc:mysql://db/lake", "mysql://db:3306/lake"),
            ("mysql+pymysql://u:p@[::1]:3307/lake", "mysql://[::1]:3307/lake"),
            ("jdbc:mariadb://db:1/a%2Db", "mariadb://db:1/a-b"),
        ] {
            assert_eq!(CatalogAddress::parse(uri).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn user_and_password_come_from_the_address_or_beside_it_and_are_not_shown() {
        let in_front = server("postgresql://me:s3%40cret@db/lake");
        assert_eq!((in_front.user.as_deref(), in_front.password.as_deref()), (Some("me"), Some("s3@cret")));
        let behind = server("jdbc:mysql://db/lake?user=me&password=s3cret%26");
        assert_eq!((behind.user.as_deref(), behind.password.as_deref()), (Some("me"), Some("s3cret&")));
        let beside = CatalogAddress::parse("jdbc:mysql://a:b@db/lake").unwrap().with_user("me").with_password("s3cret");
        let Place::Server(inner) = &beside.0 else { panic!() };
        assert_eq!((inner.user.as_deref(), inner.password.as_deref()), (Some("me"), Some("s3cret")));
        assert!(!format!("{beside} {beside:?}").contains("s3cret"));
    }

    #[test]
    fn a_server_elsewhere_must_prove_who_it_is_unless_told() {
        assert_eq!(server("postgresql://db/lake").tls, Tls::VerifyFull);
        assert_eq!(server("postgresql://127.0.0.1/lake").tls, Tls::Prefer);
        assert_eq!(server("jdbc:mysql://localhost/lake").tls, Tls::Prefer);
        for (uri, tls) in [
            ("postgresql://db/lake?sslmode=disable", Tls::Disable),
            ("postgresql://db/lake?sslmode=require", Tls::Require),
            ("postgresql://localhost/lake?ssl=true", Tls::VerifyFull),
            ("jdbc:mysql://db/lake?sslMode=VERIFY_CA", Tls::VerifyCa),
            ("jdbc:mysql://db/lake?useSSL=false", Tls::Disable),
            ("jdbc:mariadb://db/lake?sslMode=trust", Tls::Require),
        ] {
            assert_eq!(server(uri).tls, tls, "{uri}");
        }
    }

    #[test]
    fn a_parameter_without_effect_is_told_and_an_unknown_one_refused() {
        let address =
            CatalogAddress::parse("jdbc:postgresql://db/lake?reWriteBatchedInserts=true&currentSchema=ice&connectTimeout=3")
                .unwrap();
        assert_eq!(address.ignored(), ["reWriteBatchedInserts"]);
        assert_eq!(server("postgresql://db/lake?connectTimeout=3").connect_timeout, Duration::from_secs(3));
        assert_eq!(server("mysql://db/lake?connectTimeout=300").connect_timeout, Duration::from_millis(300));
        for (uri, said) in [
            (
                "postgresql://u:s3cret@db/lake?hostRecheckSeconds=1",
                "the parameter hostRecheckSeconds of the address postgresql://db:5432/lake",
            ),
            ("mysql://u:s3cret@db/lake?sslMode=maybe", "sslmode=maybe"),
            ("mysql://u:s3cret@a,b/lake", "names several servers"),
            ("mysql://u:s3cret@db", "names no database"),
            ("mysql://u:s3cret@db:0/lake", "is no host and port"),
            ("mysql://u:s3cret%zz@db/lake", "percent sign"),
            ("jdbc:oracle:thin:u/s3cret@db", "a catalog \"jdbc:oracle:thin:u...\" is not there yet"),
            ("https://u:s3cret@db/lake", "a catalog \"https:...\" is not there yet"),
        ] {
            let e = CatalogAddress::parse(uri).unwrap_err();
            assert!(e.kind() == ErrorKind::Invalid && e.to_string().contains(said) && !e.to_string().contains("s3cret"), "{e}");
        }
    }
}
