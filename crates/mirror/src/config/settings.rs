use super::keys::{self, Section, Treatment};
use super::secret::Secret;
use super::substitute::substitute;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How keys of secrets end.
const SECRET: &str = "password";

/// Settings by section and key, checked against the known keys, with references resolved.
#[derive(Default)]
pub(super) struct Settings {
    values: BTreeMap<(Section, &'static str), String>,
    /// Those that not every command needs: they may be missing.
    secrets: BTreeMap<&'static str, Secret>,
    /// The folder that relative paths start from: that of the file.
    pub(super) base: PathBuf,
    /// What was accepted and ignored, for one line each at the start.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// Reads a TOML file with `[source]`, `[log]`, `[sink]` and `[trino]`; `overrides` are `key=value` and win.
    pub(super) fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            let next = if e.kind() == std::io::ErrorKind::NotFound {
                "\n  → make one: lakehouse init mysql://user@host:3306/database"
            } else {
                ""
            };
            Error::configuration(format!("cannot read the configuration {}: {e}{next}", path.display())).with_source(e)
        })?;
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        Self::parse(&text, &path.display().to_string(), base, overrides)
    }

    pub(super) fn parse(text: &str, name: &str, base: PathBuf, overrides: &[String]) -> Result<Self> {
        let table: toml::Table = text.parse().map_err(|e| invalid(text, name, &e))?;
        let mut settings = Self { base, ..Self::default() };
        for (section_name, value) in &table {
            let Some(section) = Section::ALL.into_iter().find(|s| s.name() == section_name) else {
                let key = |key: &keys::Key| format!("did you mean \"{}\" in [{}]?", key.name, key.section.name());
                let next = if let Some(exactly) = keys::find(None, section_name) {
                    key(exactly)
                } else if let Some(meant) = keys::section_probably_meant(section_name) {
                    format!("did you mean [{}]?", meant.name())
                } else if let Some(meant) = keys::probably_meant(None, section_name) {
                    key(meant)
                } else {
                    "there are [source], [log], [sink] and [trino]".to_owned()
                };
                return Err(Error::configuration(format!("{name}: unknown section or key {section_name}\n  → {next}")));
            };
            let toml::Value::Table(keys) = value else {
                return Err(Error::configuration(format!("{name}: {section_name} must be a section: [{section_name}]")));
            };
            let mut flat = Vec::new();
            flatten(keys, String::new(), &mut flat);
            for (key, value) in flat {
                settings.set(name, Some(section), &key, value)?;
            }
        }
        for assignment in overrides {
            let (key, value) = assignment.split_once('=').ok_or_else(|| {
                Error::configuration("--set without a value\n  → write --set key=value, or --set key= for none")
            })?;
            let (section, key) = keys::with_section(key)
                .filter(|(s, k)| keys::find(Some(*s), k).is_some())
                .map_or((None, key), |(s, k)| (Some(s), k));
            settings.set("--set", section, key.trim(), value.trim().to_owned())?;
        }
        Ok(settings)
    }

    fn set(&mut self, place: &str, section: Option<Section>, name: &str, value: String) -> Result<()> {
        let Some(key) = keys::find(section, name) else {
            let next = if let Some(elsewhere) = keys::find(None, name) {
                format!("it belongs in [{}]", elsewhere.section.name())
            } else if let Some(meant) = keys::probably_meant(section, name).or_else(|| keys::probably_meant(None, name)) {
                format!("did you mean \"{}\"?", meant.name)
            } else if let Some((section, meant)) = keys::with_section(name)
                .filter(|_| section.is_none())
                .and_then(|(section, short)| Some((section, keys::probably_meant(Some(section), short)?)))
            {
                format!("did you mean \"{}.{}\"?", section.name(), meant.name)
            } else {
                "docs/configuration.md lists the keys".to_owned()
            };
            let section = section.map(|s| format!("[{}] ", s.name())).unwrap_or_default();
            return Err(Error::configuration(format!("{place}: unknown key {section}\"{name}\"\n  → {next}")));
        };
        match key.treatment {
            Treatment::Used => {
                let value = substitute(key.name, &value, &self.base);
                if key.name.ends_with(SECRET) {
                    let secret = value.map_or_else(|e| Secret::missing(e.to_string()), Secret::new);
                    self.secrets.insert(key.name, secret);
                } else {
                    self.values.insert((key.section, key.name), value?);
                }
            }
            Treatment::Alias(of) => return self.set(place, Some(key.section), of, value),
            Treatment::Fixed(only) if value.eq_ignore_ascii_case(only) => {}
            Treatment::Fixed(only) => {
                return Err(Error::configuration(format!(
                    "{place}: \"{name}\" = \"{value}\" is not supported yet\n  → leave it out, or write \"{only}\", which is what a mirror needs"
                )));
            }
            Treatment::Unneeded(why) => self.notes.push(format!("\"{name}\" is not needed and ignored: {why}")),
            Treatment::NotYet => {
                return Err(Error::configuration(format!(
                    "{place}: \"{name}\" is not supported yet\n  → leave it out; ignoring it would change what is mirrored, so it is refused"
                )));
            }
        }
        Ok(())
    }

    pub(super) fn secret(&self, name: &'static str) -> Secret {
        self.secrets.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn text(&self, section: Section, name: &'static str) -> Option<&str> {
        self.values.get(&(section, name)).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Any key of a section, if one is set.
    pub(super) fn first_of(&self, section: Section) -> Option<&'static str> {
        let secrets = self.secrets.keys().copied().filter(|name| keys::find(Some(section), name).is_some());
        self.values.keys().filter(|(of, _)| *of == section).map(|(_, name)| *name).chain(secrets).next()
    }

    pub(super) fn required(&self, section: Section, name: &'static str) -> Result<&str> {
        self.text(section, name).ok_or_else(|| {
            Error::configuration(format!("[{}] needs \"{name}\"\n  → lakehouse init writes a complete file", section.name()))
        })
    }

    /// A value that parses, or the default; `what` says what may be written.
    pub(super) fn parsed<T: FromStr>(&self, section: Section, name: &'static str, what: &str, default: T) -> Result<T> {
        match self.text(section, name) {
            None => Ok(default),
            Some(text) => text.trim().parse().map_err(|_| unusable(section, name, text, what)),
        }
    }

    /// A number within these bounds, or the default.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &self,
        section: Section,
        name: &'static str,
        what: &str,
        bounds: impl RangeBounds<T>,
        default: T,
    ) -> Result<T> {
        let Some(text) = self.text(section, name) else { return Ok(default) };
        text.trim().parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            let range = match (bounds.start_bound(), bounds.end_bound()) {
                (Bound::Included(least), Bound::Included(most)) => format!(", {least} to {most}"),
                (Bound::Included(least), _) => format!(", at least {least}"),
                _ => String::new(),
            };
            unusable(section, name, text, &format!("{what}{range}"))
        })
    }

    /// One of the words that a setting knows, or the default, which is the first of them.
    pub(super) fn choice(&self, section: Section, name: &'static str, words: &[&'static str]) -> Result<&'static str> {
        let default = words.first().copied().unwrap_or_default();
        let text = self.text(section, name).unwrap_or(default);
        words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied().ok_or_else(|| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            unusable(section, name, text, &quoted.join(" or "))
        })
    }

    /// A path, relative to the configuration file.
    pub(super) fn path(&self, section: Section, name: &'static str, default: &str) -> PathBuf {
        self.base.join(self.text(section, name).unwrap_or(default))
    }
}

fn unusable(section: Section, name: &str, text: &str, what: &str) -> Error {
    Error::configuration(format!("[{}] \"{name}\" = \"{text}\" cannot be used\n  → write {what}", section.name()))
}

/// What is wrong with a file, and where. The line itself is not shown: it may hold a password.
fn invalid(text: &str, name: &str, e: &toml::de::Error) -> Error {
    let message = e.message();
    let hint = if message.contains("duplicate key") || message.contains("dotted key") {
        "\n  → write dotted keys in quotes, so that one may begin with another: \"iceberg.catalog\" = \"lake\""
    } else {
        ""
    };
    let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let message = message.trim().replace('\n', ", ");
    Error::configuration(format!("{name} is not valid TOML: line {line}, column {column}: {message}{hint}"))
}

fn flatten(table: &toml::Table, prefix: String, out: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(inner, name, out),
            other => out.push((name, plain(other))),
        }
    }
}

/// A TOML value as the text that a properties file would hold; a list is comma-separated.
fn plain(value: &toml::Value) -> String {
    match value {
        toml::Value::String(s) => s.clone(),
        toml::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}
