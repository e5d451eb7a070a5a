use super::keys::{self, Section, Treatment};
use super::substitute::substitute;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Settings by section and key, checked against the known keys, with references resolved.
#[derive(Default)]
pub(super) struct Settings {
    values: BTreeMap<(Section, &'static str), String>,
    /// The folder that relative paths start from: that of the file.
    pub(super) base: PathBuf,
    /// What was accepted and ignored, for one line each at the start.
    pub(super) notes: Vec<String>,
}

impl Settings {
    /// Reads a TOML file with `[source]`, `[log]` and `[sink]`; `overrides` are `key=value` and win.
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
                let next = match keys::find(None, section_name).or_else(|| keys::probably_meant(None, section_name)) {
                    Some(key) => format!("did you mean \"{}\" in [{}]?", key.name, key.section.name()),
                    None => "there are [source], [log] and [sink]".to_owned(),
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
            let (section, key) = Section::ALL
                .into_iter()
                .find_map(|s| key.strip_prefix(s.name())?.strip_prefix('.').map(|k| (Some(s), k)))
                .filter(|(s, k)| keys::find(*s, k).is_some())
                .unwrap_or((None, key));
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
            } else {
                "docs/configuration.md lists the keys".to_owned()
            };
            let section = section.map(|s| format!("[{}] ", s.name())).unwrap_or_default();
            return Err(Error::configuration(format!("{place}: unknown key {section}\"{name}\"\n  → {next}")));
        };
        match key.treatment {
            Treatment::Used => {
                let value = substitute(key.name, &value, &self.base)?;
                self.values.insert((key.section, key.name), value);
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

    pub(super) fn text(&self, section: Section, name: &'static str) -> Option<&str> {
        self.values.get(&(section, name)).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(super) fn required(&self, section: Section, name: &'static str) -> Result<&str> {
        self.text(section, name).ok_or_else(|| {
            Error::configuration(format!("[{}] needs \"{name}\"\n  → lakehouse init writes a complete file", section.name()))
        })
    }

    /// A value that parses, or the default.
    pub(super) fn parsed<T: std::str::FromStr>(&self, section: Section, name: &'static str, what: &str, default: T) -> Result<T> {
        match self.text(section, name) {
            None => Ok(default),
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| Error::configuration(format!("[{}] \"{name}\" = \"{text}\" must be {what}", section.name()))),
        }
    }

    /// A path, relative to the configuration file.
    pub(super) fn path(&self, section: Section, name: &'static str, default: &str) -> PathBuf {
        self.base.join(self.text(section, name).unwrap_or(default))
    }
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
