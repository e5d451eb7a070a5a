//! The URL that `init` takes.

use crate::config::Secret;
use crate::error::{Error, Result};

/// `mysql://user[:password]@host[:port]/database`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// User.
    pub user: String,
    /// Password, if the URL has one.
    pub password: Option<Secret>,
    /// Host name or address.
    pub hostname: String,
    /// Port, 3306 if the URL has none.
    pub port: u16,
    /// The database to mirror.
    pub database: String,
}

impl DatabaseUrl {
    /// Reads a URL; `%XX` in user, password and database is decoded.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) says which part is missing; the password is never in it.
    pub fn parse(url: &str) -> Result<Self> {
        let wrong = |what: &str| {
            Error::configuration(format!("the database's URL {what}\n  → write mysql://user@host:3306/database (mariadb:// too)"))
        };
        let rest = url
            .strip_prefix("mysql://")
            .or_else(|| url.strip_prefix("mariadb://"))
            .ok_or_else(|| wrong("must begin with mysql:// or mariadb://"))?;
        let (authority, database) = rest.split_once('/').ok_or_else(|| wrong("has no database"))?;
        let database = database.split(['?', '#']).next().unwrap_or_default();
        let (login, address) = authority.rsplit_once('@').ok_or_else(|| wrong("has no user"))?;
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (hostname, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| wrong("has a port that is no number"))?)
            }
            _ => (address, 3306),
        };
        let decode = |text: &str| {
            percent_decode(text).ok_or_else(|| wrong("has a % that is not followed by two hexadecimal digits of UTF-8"))
        };
        let url = Self {
            user: decode(user)?,
            password: password.map(decode).transpose()?.map(Secret::new),
            hostname: hostname.trim_matches(['[', ']']).to_owned(),
            port,
            database: decode(database)?,
        };
        for (part, name) in [(&url.user, "user"), (&url.hostname, "host"), (&url.database, "database")] {
            if part.is_empty() {
                return Err(wrong(&format!("has no {name}")));
            }
        }
        Ok(url)
    }
}

fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        out.push(u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).ok()?);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let url = DatabaseUrl::parse("mysql://me:p%40ss@db.example:3307/my%20shop?x=1").unwrap();
        assert_eq!(
            (url.user.as_str(), url.hostname.as_str(), url.port, url.database.as_str()),
            ("me", "db.example", 3307, "my shop")
        );
        assert_eq!(url.password.unwrap().expose(), "p@ss");
        let url = DatabaseUrl::parse("mariadb://me@[::1]/shop").unwrap();
        assert_eq!((url.hostname.as_str(), url.port), ("::1", 3306));
    }

    #[test]
    fn a_url_that_lacks_a_part_says_which() {
        for (url, lacks) in [
            ("postgres://a@b/c", "must begin with"),
            ("mysql://a@b", "has no database"),
            ("mysql://b/c", "has no user"),
            ("mysql://a@b:x/c", "port"),
            ("mysql://a@/c", "has no host"),
        ] {
            let e = DatabaseUrl::parse(url).unwrap_err();
            assert!(e.to_string().contains(lacks) && e.exit_code() == 2, "{url}: {e}");
        }
    }
}
