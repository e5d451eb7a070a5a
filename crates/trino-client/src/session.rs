//! What a session is, and how it travels in headers: the server keeps none of it.

use crate::error::{Error, Result};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;

/// What a client's statements run with. `USE`, `SET SESSION`, `SET TIME ZONE`, `SET ROLE`, `PREPARE` and the like change it: the server keeps nothing, but says with each
/// answer what the client has to send from then on.
///
/// `Debug` shows all but the values of properties, which may be credentials.
#[derive(Clone, Default)]
pub struct Session {
    pub(crate) user: String,
    pub(crate) catalog: Option<String>,
    pub(crate) schema: Option<String>,
    pub(crate) path: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) client_tags: Vec<String>,
    pub(crate) client_info: Option<String>,
    pub(crate) time_zone: Option<String>,
    pub(crate) properties: BTreeMap<String, String>,
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) prepared: BTreeMap<String, String>,
    pub(crate) transaction: Option<String>,
    pub(crate) authorization_user: Option<String>,
}

impl Session {
    /// The user.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The catalog of names without one.
    pub fn catalog(&self) -> Option<&str> {
        self.catalog.as_deref()
    }

    /// The schema of names without one.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The value of a session property, if it was set.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// Takes over what an answer's headers say.
    pub(crate) fn apply(&mut self, headers: &HeaderMap) {
        let first = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let pairs = |name: &str| -> Vec<(String, String)> {
            let texts = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            texts.filter_map(|text| text.split_once('=')).map(|(key, value)| (decoded(key), decoded(value))).collect()
        };
        let names = |name: &str| -> Vec<String> {
            headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(decoded).collect()
        };
        if let Some(catalog) = first("x-trino-set-catalog") {
            self.catalog = Some(catalog);
        }
        if let Some(schema) = first("x-trino-set-schema") {
            self.schema = Some(schema);
        }
        if let Some(path) = first("x-trino-set-path") {
            self.path = Some(path);
        }
        if let Some(user) = first("x-trino-set-authorization-user") {
            self.authorization_user = Some(user);
        }
        if headers.contains_key("x-trino-reset-authorization-user") {
            self.authorization_user = None;
        }
        self.properties.extend(pairs("x-trino-set-session"));
        for name in names("x-trino-clear-session") {
            self.properties.remove(&name);
        }
        self.roles.extend(pairs("x-trino-set-role"));
        self.prepared.extend(pairs("x-trino-added-prepare"));
        for name in names("x-trino-deallocated-prepare") {
            self.prepared.remove(&name);
        }
        if let Some(id) = first("x-trino-started-transaction-id") {
            self.transaction = Some(id);
        }
        if headers.contains_key("x-trino-clear-transaction-id") {
            self.transaction = None;
        }
    }

    /// The headers of a statement.
    ///
    /// # Errors
    /// Names that a header cannot hold.
    pub(crate) fn headers(&self) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, what: &str, value: &str| {
            let value = HeaderValue::from_str(value).ok().filter(|value| value.to_str().is_ok()).ok_or_else(|| {
                Error::configuration(format!("{what} cannot be sent: only printable ASCII characters can\n  → change it"))
            })?;
            headers.append(HeaderName::from_static(name), value);
            Ok::<_, Error>(())
        };
        let user = self.authorization_user.as_deref().unwrap_or(&self.user);
        put("x-trino-user", "the user's name", user)?;
        if self.authorization_user.is_some() {
            put("x-trino-original-user", "the user's name", &self.user)?;
        }
        // Without it, times and timestamps are cut to milliseconds.
        put("x-trino-client-capabilities", "the capabilities", "PARAMETRIC_DATETIME,PATH,SESSION_AUTHORIZATION")?;
        let texts = [
            ("x-trino-catalog", "the catalog's name", &self.catalog),
            ("x-trino-schema", "the schema's name", &self.schema),
            ("x-trino-path", "the path", &self.path),
            ("x-trino-source", "the source's name", &self.source),
            ("x-trino-client-info", "the client's description", &self.client_info),
            ("x-trino-time-zone", "the time zone", &self.time_zone),
        ];
        for (name, what, text) in texts {
            if let Some(text) = text {
                put(name, what, text)?;
            }
        }
        // A client that does not say so cannot begin one.
        put("x-trino-transaction-id", "the transaction's number", self.transaction.as_deref().unwrap_or("NONE"))?;
        if !self.client_tags.is_empty() {
            put("x-trino-client-tags", "a client tag", &self.client_tags.join(","))?;
        }
        for (property, value) in &self.properties {
            put("x-trino-session", "the name of a session property", &format!("{property}={}", encoded(value)))?;
        }
        for (catalog, role) in &self.roles {
            put("x-trino-role", "the name of a catalog", &format!("{catalog}={}", encoded(role)))?;
        }
        for (name, sql) in &self.prepared {
            put("x-trino-prepared-statement", "a statement's name", &format!("{}={}", encoded(name), encoded(sql)))?;
        }
        Ok(headers)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .field("catalog", &self.catalog)
            .field("schema", &self.schema)
            .field("path", &self.path)
            .field("source", &self.source)
            .field("client_tags", &self.client_tags)
            .field("time_zone", &self.time_zone)
            .field("properties", &self.properties.keys().collect::<Vec<_>>())
            .field("roles", &self.roles)
            .field("prepared", &self.prepared.keys().collect::<Vec<_>>())
            .field("in_transaction", &self.transaction.is_some())
            .field("authorization_user", &self.authorization_user)
            .finish_non_exhaustive()
    }
}

/// The `application/x-www-form-urlencoded` form of a text.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The text of such a form. What is no escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.trim().as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(first) = bytes.get(at) {
        let digit = |n: usize| bytes.get(at + n).and_then(|b| char::from(*b).to_digit(16));
        match (first, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
            }
            _ => {
                out.push(if *first == b'+' { b' ' } else { *first });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn answer(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn sent(session: &Session, name: &str) -> Vec<String> {
        let headers = session.headers().unwrap();
        headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn what_an_answer_sets_is_sent_from_then_on() {
        let mut session = Session { user: "me".to_owned(), ..Session::default() };
        session.apply(&answer(&[
            ("x-trino-set-session", "time_zone_id=Asia%2FTaipei"),
            ("x-trino-set-session", "lake.x=a+b%3D%C3%A9"),
            ("x-trino-set-catalog", "tpch"),
            ("x-trino-set-schema", "tiny"),
            ("x-trino-set-role", "system=NONE"),
            ("x-trino-added-prepare", "p1=SELECT+1%0A"),
            ("x-trino-started-transaction-id", "abc"),
        ]));
        assert_eq!((session.property("time_zone_id"), session.property("lake.x")), (Some("Asia/Taipei"), Some("a b=é")));
        assert_eq!(sent(&session, "x-trino-session"), ["lake.x=a+b%3D%C3%A9", "time_zone_id=Asia%2FTaipei"]);
        assert_eq!(sent(&session, "x-trino-prepared-statement"), ["p1=SELECT+1%0A"]);
        assert_eq!([sent(&session, "x-trino-catalog"), sent(&session, "x-trino-schema")], [["tpch"], ["tiny"]]);
        assert_eq!([sent(&session, "x-trino-role"), sent(&session, "x-trino-transaction-id")], [["system=NONE"], ["abc"]]);
        session.apply(&answer(&[
            ("x-trino-clear-session", "lake.x"),
            ("x-trino-deallocated-prepare", "p1"),
            ("x-trino-clear-transaction-id", "true"),
        ]));
        assert_eq!(sent(&session, "x-trino-session"), ["time_zone_id=Asia%2FTaipei"]);
        assert_eq!(sent(&session, "x-trino-prepared-statement"), Vec::<String>::new());
        assert_eq!(sent(&session, "x-trino-transaction-id"), ["NONE"]);
    }

    #[test]
    fn another_user_is_sent_until_it_is_reset() {
        let mut session = Session { user: "me".to_owned(), ..Session::default() };
        session.apply(&answer(&[("x-trino-set-authorization-user", "other")]));
        assert_eq!([sent(&session, "x-trino-user"), sent(&session, "x-trino-original-user")], [["other"], ["me"]]);
        session.apply(&answer(&[("x-trino-reset-authorization-user", "true")]));
        assert_eq!((sent(&session, "x-trino-user"), sent(&session, "x-trino-original-user").len()), (vec!["me".to_owned()], 0));
    }

    #[test]
    fn text_that_is_no_escape_stays() {
        for (form, text) in [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("é%41", "éA"), ("%é", "%é"), ("", "")] {
            assert_eq!(decoded(form), text);
        }
        assert_eq!(decoded(&encoded("a b+c%d\n€")), "a b+c%d\n€");
    }

    #[test]
    fn what_a_header_cannot_hold_is_an_error_that_names_it() {
        let session = Session { user: "me".to_owned(), catalog: Some("a\nb".to_owned()), ..Session::default() };
        assert!(session.headers().unwrap_err().to_string().starts_with("the catalog's name cannot be sent: "));
    }

    #[test]
    fn values_of_properties_are_not_in_debug() {
        let mut session = Session { user: "me".to_owned(), ..Session::default() };
        session.properties.insert("lake.token".to_owned(), "hush".to_owned());
        let text = format!("{session:?}");
        assert!(text.contains("lake.token") && !text.contains("hush"), "{text}");
    }
}
