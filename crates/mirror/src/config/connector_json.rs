//! A connector's configuration in JSON: as it is posted to Kafka Connect, as Connect answers, or its bare `config`.

use super::document::Entry;
use crate::error::{Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;

/// The settings and what is worth knowing. Null is a setting that is not there, as for Connect.
///
/// # Errors
/// What is not JSON (by line and column), what has another shape, a key that is there twice. Values are not shown.
pub(super) fn parse(text: &str, name: &str) -> Result<(Vec<Entry>, Vec<String>)> {
    let outer: Pairs<Value> = serde_json::from_str(text).map_err(|e| invalid(name, &e))?;
    let mut notes = Vec::new();
    let wrapped = outer.0.iter().find(|(key, _)| key == "config").is_some_and(|(_, value)| value.is_object());
    if !wrapped {
        return Ok((settings(outer, text, name)?, notes));
    }
    // Once more, since an object in a `Value` has forgotten what was there twice.
    let posted: Pairs<Member> = serde_json::from_str(text).map_err(|e| invalid(name, &e))?;
    outer.once(text, name)?;
    let mut entries = Vec::new();
    let mut named = None;
    for (key, member) in posted.0 {
        match (key.as_str(), member) {
            ("config", Member::Object(config)) => entries = settings(config, text, name)?,
            ("name", Member::Other(Value::String(it))) => named = Some(it),
            ("tasks" | "type" | "version", _) => {}
            ("initial_state", Member::Other(Value::String(state))) => {
                if !state.eq_ignore_ascii_case("RUNNING") {
                    notes.push(format!(
                        "\"initial_state\" = \"{state}\" of {name} is ignored: the process runs when it is started"
                    ));
                }
            }
            (key, _) => {
                return Err(Error::configuration(format!(
                    "{}: \"{key}\" beside \"config\" is not known\n  → a connector is posted as {{\"name\": ..., \"config\": {{...}}}}",
                    place(text, name, key)
                )));
            }
        }
    }
    if let Some(named) = named
        && !entries.iter().any(|e| e.key == "name")
    {
        entries.push(Entry { section: None, key: "name".to_owned(), value: named, place: place(text, name, "name") });
    }
    Ok((entries, notes))
}

fn settings(pairs: Pairs<Value>, text: &str, name: &str) -> Result<Vec<Entry>> {
    pairs.once(text, name)?;
    let mut out = Vec::with_capacity(pairs.0.len());
    for (key, value) in pairs.0 {
        let place = place(text, name, &key);
        let value = match value {
            Value::Null => continue,
            Value::String(it) => it,
            Value::Bool(it) => it.to_string(),
            Value::Number(it) => it.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(Error::configuration(format!(
                    "{place}: \"{key}\" is a list or an object\n  → write its value as a string; the parts of a list are separated by commas"
                )));
            }
        };
        out.push(Entry { section: None, key, value, place });
    }
    Ok(out)
}

/// The line of a key, found by its quoted name.
fn place(text: &str, name: &str, key: &str) -> String {
    let quoted = serde_json::to_string(key).unwrap_or_default();
    let is_key = |at: usize| text.get(at + quoted.len()..).is_some_and(|behind| behind.trim_start().starts_with(':'));
    let found = text.match_indices(quoted.as_str()).map(|(at, _)| at).find(|at| is_key(*at));
    match found.and_then(|at| text.get(..at)) {
        Some(before) => format!("{name}, line {}", before.matches('\n').count() + 1),
        None => name.to_owned(),
    }
}

fn invalid(name: &str, e: &serde_json::Error) -> Error {
    let what = match e.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Data => "it is not one object",
        _ => "it is not well-formed",
    };
    Error::configuration(format!("{name} is not valid JSON: line {}, column {}: {what}", e.line(), e.column()))
}

/// An object's members in their order, those that are there twice as well.
struct Pairs<T>(Vec<(String, T)>);

impl<T> Pairs<T> {
    fn once(&self, text: &str, name: &str) -> Result<()> {
        let mut seen = BTreeSet::new();
        match self.0.iter().find(|(key, _)| !seen.insert(key)) {
            None => Ok(()),
            Some((key, _)) => Err(Error::configuration(format!(
                "{}: \"{key}\" is there twice\n  → leave one of the two; Connect would take the last",
                place(text, name, key)
            ))),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(member) = map.next_entry()? {
                    out.push(member);
                }
                Ok(Pairs(out))
            }
        }
        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// A member of what was posted.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Member {
    Object(Pairs<Value>),
    Other(Value),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text, "c.json").unwrap().0.into_iter().map(|e| (e.key, e.value)).collect()
    }

    fn refused(text: &str) -> String {
        parse(text, "c.json").unwrap_err().to_string()
    }

    #[test]
    fn what_is_posted_put_or_answered_is_the_same_connector() {
        let expected = [("topic.prefix", "shop"), ("tasks.max", "1"), ("tombstones.on.delete", "true"), ("name", "src")];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        let config = r#"{"topic.prefix": "shop", "tasks.max": 1, "tombstones.on.delete": true, "gone": null"#;
        assert_eq!(read(&format!(r#"{{"name": "src", "config": {config}}}}}"#)), expected);
        assert_eq!(read(&format!(r#"{config}, "name": "src"}}"#)), expected);
        let answer = format!(r#"{{"name":"src","config":{config}}},"tasks":[{{"connector":"src","task":0}}],"type":"source"}}"#);
        assert_eq!(read(&answer), expected);
        assert_eq!(read(&format!(r#"{{"name": "other", "config": {config}, "name": "src"}}}}"#)), expected);
    }

    #[test]
    fn a_connector_that_is_posted_as_stopped_is_said_to_run() {
        let notes = parse(r#"{"name":"s","config":{},"initial_state":"STOPPED"}"#, "c.json").unwrap().1;
        assert!(notes[0].starts_with("\"initial_state\" = \"STOPPED\" of c.json is ignored"), "{notes:?}");
    }

    #[test]
    fn what_is_not_a_connector_is_told_by_its_place_without_its_text() {
        assert_eq!(refused("{\n\"a\": s3cret}"), "c.json is not valid JSON: line 2, column 6: it is not well-formed");
        assert_eq!(refused("{\"a\": \"s3cret\""), "c.json is not valid JSON: line 1, column 14: it ends too early");
        assert!(refused("[]").ends_with("it is not one object"));
        assert!(
            refused("{\n\"a\": \"x\",\n\"b\": [\"s3cret\"]}").starts_with("c.json, line 3: \"b\" is a list or an object\n  → ")
        );
        assert!(refused("{\"a\": \"s3cret\",\n\"a\": \"y\"}").starts_with("c.json, line 1: \"a\" is there twice\n  → "));
        let twice = "{\"name\": \"n\", \"config\": {\"a\": \"s3cret\", \"a\": \"y\"}}";
        assert!(refused(twice).starts_with("c.json, line 1: \"a\" is there twice"));
        assert!(refused(r#"{"config": {}, "cofnig": 1}"#).contains("\"cofnig\" beside \"config\" is not known"));
    }
}
