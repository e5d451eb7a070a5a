//! Which topics a sink takes tables from, and what that says about their source: `topics`, `topics.regex`, `iceberg.tables`.

use super::keys::Section::{Sink, Source};
use super::program::Program;
use super::settings::{Settings, unusable};
use crate::error::{Error, Result};
use regex::Regex;
use std::collections::BTreeSet;

/// Topics of tables that are written.
#[derive(Debug, Clone)]
pub struct Topics(Chosen);

#[derive(Debug, Clone)]
enum Chosen {
    Names(BTreeSet<String>),
    Matching(Regex),
}

impl PartialEq for Topics {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Chosen::Names(a), Chosen::Names(b)) => a == b,
            (Chosen::Matching(a), Chosen::Matching(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Topics {
    /// These topics (`topics`).
    pub fn names(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(Chosen::Names(names.into_iter().map(Into::into).collect()))
    }

    /// Topics whose whole name this expression matches (`topics.regex`).
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration): an expression that cannot be used. Lookaround and
    /// back-references, which Java knows, are not known here.
    pub fn matching(expression: &str) -> Result<Self> {
        match Regex::new(&format!("^(?:{expression})$")) {
            Ok(regex) => Ok(Self(Chosen::Matching(regex))),
            Err(e) => Err(Error::configuration(format!(
                "[sink] \"topics.regex\" = \"{expression}\" cannot be used: {}\n  → write it without lookaround and back-references, or name the \"topics\"",
                e.to_string().lines().last().unwrap_or_default().trim()
            ))
            .with_source(e)),
        }
    }

    /// True if tables of this topic are written.
    pub fn contains(&self, topic: &str) -> bool {
        match &self.0 {
            Chosen::Names(names) => names.contains(topic),
            Chosen::Matching(regex) => regex.is_match(topic),
        }
    }

    /// What the settings say; `None` is all.
    pub(super) fn read(s: &Settings) -> Result<Option<Self>> {
        match (s.text(Sink, "topics"), s.text(Sink, "topics.regex")) {
            (None, None) => Ok(None),
            // Whoever asks the source would miss those that are left out.
            _ if s.program == Program::Lakehouse => Err(Error::configuration(
                "[sink] \"topics\" and \"topics.regex\" are not supported by lakehouse: all captured tables are mirrored\n  → choose them by \"table.include.list\", and --set topics= --set topics.regex=",
            )),
            (Some(names), None) => Ok(Some(Self::names(list(names)))),
            (None, Some(expression)) => Self::matching(expression).map(Some),
            (Some(_), Some(_)) => {
                Err(Error::configuration("[sink] has both \"topics\" and \"topics.regex\"\n  → leave one of them out"))
            }
        }
    }

    /// The prefix that all these topics begin with, if they tell: `<prefix>.<database>.<table>`.
    fn prefix(&self) -> Result<Option<String>, &'static str> {
        match &self.0 {
            Chosen::Names(names) => {
                let mut found = BTreeSet::new();
                for name in names {
                    let mut parts = name.rsplitn(3, '.').skip(2);
                    found.insert(parts.next().ok_or("a topic is not named <prefix>.<database>.<table>")?);
                }
                if found.len() > 1 {
                    return Err("the topics have several prefixes, and one sink writes the tables of one source");
                }
                Ok(found.pop_first().map(str::to_owned))
            }
            Chosen::Matching(regex) => {
                let expression = regex.as_str().trim_start_matches("^(?:").trim_start_matches('^');
                let literal: String =
                    expression.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
                let dotted =
                    expression.get(literal.len()..).is_some_and(|rest| rest.starts_with("\\.") || rest.starts_with("[.]"));
                Ok((dotted && !literal.is_empty()).then_some(literal))
            }
        }
    }
}

/// `topic.prefix`, or what the topics of a sink tell of it; the second is a note where it was told so.
pub(super) fn prefix_of(s: &Settings, topics: Option<&Topics>) -> Result<(String, Option<String>)> {
    if let Some(prefix) = s.text(Source, "topic.prefix") {
        return Ok((prefix.to_owned(), None));
    }
    let way_on = "set it: --set topic.prefix=..., as the source has it";
    match topics.map(Topics::prefix).transpose() {
        Ok(Some(Some(prefix))) => {
            let note = format!("\"topic.prefix\" is taken to be \"{prefix}\", with which the topics begin");
            Ok((prefix, Some(note)))
        }
        Ok(_) => Err(Error::configuration(format!(
            "the sink needs \"topic.prefix\", by which it finds its source's progress\n  → {way_on}"
        ))),
        Err(why) => Err(Error::configuration(format!("the sink needs \"topic.prefix\": {why}\n  → {way_on}"))),
    }
}

/// Refuses to write tables of other names than `<database>.<table>`, lower-cased.
pub(super) fn check_routes(s: &Settings, topics: Option<&Topics>) -> Result<()> {
    let dynamic = s.truth(Sink, "iceberg.tables.dynamic-enabled", false)?;
    match (dynamic, s.text(Sink, "iceberg.tables.route-field")) {
        (true, Some("_cdc.target" | "_cdc.source")) | (false, None) => {}
        (true, Some(field)) => {
            return Err(unusable(
                Sink,
                "iceberg.tables.route-field",
                field,
                "\"_cdc.target\": a table is named after its source, and no other field is asked",
            ));
        }
        (true, None) => {
            return Err(Error::configuration(
                "[sink] \"iceberg.tables.dynamic-enabled\" = \"true\" needs \"iceberg.tables.route-field\"\n  → write \"_cdc.target\"",
            ));
        }
        (false, Some(field)) => {
            return Err(Error::configuration(format!(
                "[sink] \"iceberg.tables.route-field\" = \"{field}\" is not supported yet without \"iceberg.tables.dynamic-enabled\" = \"true\"\n  → leave it out: a table is fed by one topic, its own"
            )));
        }
    }
    let Some(tables) = s.text(Sink, "iceberg.tables") else { return Ok(()) };
    let named: BTreeSet<String> = list(tables).map(str::to_lowercase).collect();
    let Some(Topics(Chosen::Names(topics))) = topics else {
        return Err(Error::configuration(
            "[sink] \"iceberg.tables\" is not supported yet without \"topics\": a table is named after its source, <database>.<table>\n  → leave it out, and name what is to be written by \"topics\" or \"topics.regex\"",
        ));
    };
    let named_anyway = |topic: &String| {
        let mut parts = topic.rsplitn(3, '.');
        let (table, database) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        format!("{database}.{table}").to_lowercase()
    };
    let anyway: BTreeSet<String> = topics.iter().map(named_anyway).collect();
    if named != anyway {
        let anyway: Vec<String> = anyway.into_iter().collect();
        return Err(unusable(
            Sink,
            "iceberg.tables",
            tables,
            &format!("\"{}\", or leave it out: a table is named after its source", anyway.join(",")),
        ));
    }
    Ok(())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn topics_are_named_or_matched_as_a_whole() {
        let names = Topics::names(["a.b.c"]);
        assert!(names.contains("a.b.c") && !names.contains("a.b.cd"));
        let matching = Topics::matching(r"shop\.inventory\.(orders|items)").unwrap();
        assert!(matching.contains("shop.inventory.items") && !matching.contains("shop.inventory.orders_old"));
        let said = Topics::matching("(?!x).*").unwrap_err().to_string();
        assert!(said.starts_with("[sink] \"topics.regex\" = \"(?!x).*\" cannot be used: "), "{said}");
    }

    #[test]
    fn topics_tell_the_prefix_of_their_source_or_not() {
        assert_eq!(Topics::names(["eu.shop.db.a", "eu.shop.db.b"]).prefix(), Ok(Some("eu.shop".to_owned())));
        assert!(Topics::names(["a.db.t", "b.db.t"]).prefix().is_err());
        assert!(Topics::names(["db.t"]).prefix().is_err());
        for (expression, prefix) in [
            (r"shop\.inventory\..*", Some("shop")),
            (r"^my-shop[.]db[.].*", Some("my-shop")),
            (r"shop.*", None),
            (r".*\.inventory\..*", None),
            (r"(a|b)\.c\.d", None),
        ] {
            assert_eq!(Topics::matching(expression).unwrap().prefix(), Ok(prefix.map(str::to_owned)), "{expression}");
        }
    }
}
