//! The settings of all files and of `--set`, put together by the table of keys.

use super::document::{Document, Entry, Form};
use super::keys::{self, Key, Section, Treatment};
use super::program::Program;
use super::references::Providers;
use super::secret::Secret;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::{Bound, RangeBounds};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Settings by section and key, checked against the known keys, with references resolved.
#[derive(Debug, Default)]
pub(super) struct Settings {
    values: BTreeMap<Section, BTreeMap<String, Value>>,
    /// What the settings are for.
    pub(super) program: Program,
    /// A file with sections was among those that were read.
    pub(super) has_sections: bool,
    /// The connector's file of a sink was among those that were read.
    pub(super) has_sink_connector: bool,
    /// The folder that relative paths of `--set` and of defaults start from: that of the first file.
    pub(super) base: PathBuf,
    /// What was accepted and ignored, for one line each at the start.
    pub(super) notes: Vec<String>,
    /// Where `bootstrap.servers` were taken from, if it is not where one would look.
    pub(super) fallback: Option<String>,
}

/// A value with its references resolved.
#[derive(Debug)]
struct Value {
    text: String,
    /// Why a secret could not be had.
    missing: Option<String>,
    base: PathBuf,
    key: &'static Key,
}

/// A setting as it was written, before it is known whether another one wins.
struct Written {
    key: &'static Key,
    /// The name as it was written, for messages.
    name: String,
    text: String,
    place: String,
    base: PathBuf,
    rank: Rank,
    /// Its place among all.
    sequence: usize,
}

/// Which of two settings of the same key wins; of the same rank the later one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Plain,
    /// `producer.` or `consumer.`.
    OfClient,
    /// `producer.override.` or `consumer.override.`.
    OfConnector,
    /// `--set`.
    Set,
}

/// What all files and `--set` say, by section and name.
struct Merged {
    program: Program,
    settings: BTreeMap<(Section, String), Written>,
    /// Kafka's client keys that connectors have for topics of their own, which may serve if nothing else does.
    fallbacks: Vec<(Section, Entry, PathBuf)>,
    problems: Vec<String>,
    /// By reason: the names that are ignored for it.
    ignored: Vec<(&'static str, Vec<String>)>,
    sequence: usize,
}

impl Settings {
    /// Reads files of any format, later ones winning; `overrides` are `key=value` and win over all.
    pub(super) fn read(files: &[PathBuf], overrides: &[String], program: Program) -> Result<Self> {
        let documents = files.iter().map(|file| Document::read(file)).collect::<Result<Vec<_>>>()?;
        Self::assemble(documents, overrides, program)
    }

    #[cfg(test)]
    pub(super) fn parse(text: &str, name: &str, base: PathBuf, overrides: &[String]) -> Result<Self> {
        let extension = name.rsplit('.').next().unwrap_or_default();
        Self::assemble(vec![Document::parse(text.as_bytes(), name, extension, base)?], overrides, Program::Lakehouse)
    }

    pub(super) fn assemble(documents: Vec<Document>, overrides: &[String], program: Program) -> Result<Self> {
        let base = documents.first().map(|d| d.base.clone()).unwrap_or_default();
        let mut settings = Self { program, base: base.clone(), ..Self::default() };
        let mut merged = Merged {
            program,
            settings: BTreeMap::new(),
            fallbacks: Vec::new(),
            problems: Vec::new(),
            ignored: Vec::new(),
            sequence: 0,
        };
        let mut providers = Providers::new();
        for document in documents {
            settings.has_sections |= document.form == Form::Sections;
            settings.has_sink_connector |= document.form == Form::SinkConnector;
            settings.notes.extend(document.notes);
            for entry in document.entries {
                if let Some(name) = provider_name(&entry.key) {
                    providers.declare(name, entry.value.trim());
                }
                merged.take(entry, document.form, &document.base);
            }
        }
        for assignment in overrides {
            let (key, value) = assignment.split_once('=').ok_or_else(|| {
                Error::configuration("--set without a value\n  → write --set key=value, or --set key= for none")
            })?;
            merged.take_override(key.trim(), value.trim(), &base);
        }
        settings.fallback = merged.fall_back();
        let mut written: Vec<_> = std::mem::take(&mut merged.settings).into_iter().collect();
        written.sort_by_key(|(_, w)| w.sequence);
        for ((section, name), written) in written {
            if let Some(value) = merged.treat(&written, &providers) {
                settings.values.entry(section).or_default().insert(name, value);
            }
        }
        if !merged.problems.is_empty() {
            return Err(Error::configuration(merged.problems.join("\n")));
        }
        for (why, names) in merged.ignored {
            let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let are = if names.len() == 1 { "is" } else { "are" };
            settings.notes.push(format!("{} {are} not needed and ignored: {why}", quoted.join(", ")));
        }
        Ok(settings)
    }

    pub(super) fn secret(&self, name: &str) -> Secret {
        let found = self.values.values().find_map(|section| section.get(name));
        found.map(Value::secret).unwrap_or_default()
    }

    fn value(&self, section: Section, name: &str) -> Option<&Value> {
        self.values.get(&section)?.get(name)
    }

    pub(super) fn text(&self, section: Section, name: &str) -> Option<&str> {
        self.value(section, name).map(|value| value.text.as_str()).filter(|v| !v.is_empty())
    }

    /// True if the setting is there, with an empty value as well.
    pub(super) fn is_set(&self, section: Section, name: &str) -> bool {
        self.value(section, name).is_some()
    }

    /// The settings of a section whose keys begin with `prefix`, by what follows it. Keys that have a meaning of their own are left out.
    pub(super) fn family<'a>(&'a self, section: Section, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let all = self.values.get(&section).into_iter().flatten();
        all.filter(|(_, value)| value.key.name.ends_with('*') && !value.text.is_empty())
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.text.as_str())))
    }

    /// The settings of Kafka's client that have a name of librdkafka's, which is the first of the two; a secret may be missing.
    #[cfg(feature = "kafka")]
    pub(super) fn client(&self) -> impl Iterator<Item = (&'static str, Secret)> {
        let all = self.values.get(&Section::Log).into_iter().flatten();
        all.filter(|(_, value)| !value.text.is_empty() || value.missing.is_some()).filter_map(|(_, value)| {
            match value.key.treatment {
                Treatment::Client(name) => Some((name, value.secret())),
                _ => None,
            }
        })
    }

    /// Any key of a section, if one is set.
    pub(super) fn first_of(&self, section: Section) -> Option<&str> {
        self.values.get(&section).and_then(|values| values.keys().next()).map(String::as_str)
    }

    pub(super) fn required(&self, section: Section, name: &'static str) -> Result<&str> {
        self.text(section, name).ok_or_else(|| {
            let next = match self.has_sections || self.program == Program::Lakehouse {
                true => "lakehouse init writes a complete file",
                false => "write it into the file, or --set it",
            };
            Error::configuration(format!("[{}] needs \"{name}\"\n  → {next}", section.name()))
        })
    }

    /// True or false in any case, or the default.
    pub(super) fn truth(&self, section: Section, name: &'static str, default: bool) -> Result<bool> {
        match self.text(section, name) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(unusable(section, name, text, "true or false")),
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

    /// The folder that the relative paths of a setting start from: that of its file.
    pub(super) fn folder(&self, section: Section, name: &str) -> &Path {
        self.value(section, name).map_or(&self.base, |value| &value.base)
    }

    /// A path, relative to the file that has it.
    pub(super) fn path(&self, section: Section, name: &'static str, default: &str) -> PathBuf {
        self.folder(section, name).join(self.text(section, name).unwrap_or(default))
    }
}

impl Value {
    fn secret(&self) -> Secret {
        match &self.missing {
            Some(why) => Secret::missing(why.clone()),
            None => Secret::new(self.text.clone()),
        }
    }
}

impl Merged {
    /// Takes in a setting of a file.
    fn take(&mut self, entry: Entry, form: Form, base: &Path) {
        let sections = match (entry.section, form) {
            (Some(section), _) => vec![section],
            (None, Form::SinkConnector) => vec![Section::Sink, Section::Log, Section::Source],
            (None, Form::SourceConnector) => vec![Section::Source, Section::Log, Section::Sink],
            (None, Form::Worker) => vec![Section::Log],
            (None, Form::Sections | Form::Flat) => self.program.sections().to_vec(),
        };
        if form == Form::Worker && entry.key == "group.id" {
            return self.ignore("it is the workers' own group", entry.key);
        }
        if self.keep_for_later(&entry, base) {
            return;
        }
        // The order of the sections is that of whose file it is; only where nobody's is it matter which one is read.
        let found = match form {
            Form::Flat => keys::find(&sections, &entry.key),
            _ => sections.iter().find_map(|section| keys::find_in(*section, &entry.key)),
        };
        self.take_in(entry, &sections, found, base, Rank::Plain);
    }

    fn take_override(&mut self, key: &str, value: &str, base: &Path) {
        let with_section = keys::with_section(key).filter(|(s, k)| keys::find_in(*s, k).is_some());
        let (sections, key) = match with_section {
            Some((section, key)) => (vec![section], key),
            None => (self.program.sections().to_vec(), key),
        };
        let entry = Entry {
            section: with_section.map(|(section, _)| section),
            key: key.to_owned(),
            value: value.to_owned(),
            place: "--set".to_owned(),
        };
        let found = keys::find(&sections, key);
        self.take_in(entry, &sections, found, base, Rank::Set);
    }

    fn take_in(&mut self, entry: Entry, sections: &[Section], found: Option<&'static Key>, base: &Path, rank: Rank) {
        if let Some(key) = found {
            let name = entry.key.clone();
            return self.put(key, name, entry, base, rank);
        }
        if let Some((kind, of_connector, rest)) = client_key(&entry.key)
            && let Some(key) = keys::find_in(Section::Log, rest)
            && sections.contains(&Section::Log)
        {
            if !self.program.uses_client(kind) {
                return self.ignore("one client does it all, set up as the one for records", entry.key);
            }
            let of_client = if of_connector { Rank::OfConnector } else { Rank::OfClient };
            let name = rest.to_owned();
            return self.put(key, name, entry, base, rank.max(of_client));
        }
        self.problems.push(unknown(&entry, sections));
    }

    fn put(&mut self, key: &'static Key, name: String, entry: Entry, base: &Path, rank: Rank) {
        if let Treatment::Alias(of) = key.treatment {
            match keys::find_in(key.section, of) {
                Some(key) => return self.put(key, of.to_owned(), entry, base, rank),
                None => return self.problems.push(unknown(&entry, &[key.section])),
            }
        }
        self.sequence += 1;
        let written = Written {
            key,
            name: entry.key,
            text: entry.value,
            place: entry.place,
            base: base.to_owned(),
            rank,
            sequence: self.sequence,
        };
        let at = (key.section, name);
        if self.settings.get(&at).is_none_or(|there| there.rank <= written.rank) {
            self.settings.insert(at, written);
        }
    }

    /// Kafka's client keys of a connector's own topics are looked at once everything else is known.
    fn keep_for_later(&mut self, entry: &Entry, base: &Path) -> bool {
        let (of, rest) = if let Some(rest) = entry.key.strip_prefix("iceberg.kafka.") {
            (Section::Sink, rest)
        } else if entry.key == "schema.history.internal.kafka.bootstrap.servers" {
            (Section::Source, "bootstrap.servers")
        } else if let Some(rest) = entry.key.strip_prefix("schema.history.internal.producer.") {
            (Section::Source, rest)
        } else {
            return false;
        };
        if entry.section.is_some_and(|section| section != of) {
            return false;
        }
        let kept = Entry { key: rest.to_owned(), ..entry.clone() };
        self.fallbacks.push((of, kept, base.to_owned()));
        true
    }

    /// Takes `bootstrap.servers` and what belongs to them from where a connector has them for itself, if they are nowhere else.
    fn fall_back(&mut self) -> Option<String> {
        if self.settings.contains_key(&(Section::Log, "bootstrap.servers".to_owned())) {
            return None;
        }
        let kept = std::mem::take(&mut self.fallbacks);
        let has = |of: &Section| kept.iter().any(|(section, entry, _)| section == of && entry.key == "bootstrap.servers");
        let of = self.program.sections().into_iter().find(has)?;
        for (_, entry, base) in kept.into_iter().filter(|(section, ..)| *section == of) {
            let found = keys::find_in(Section::Log, &entry.key);
            if let Some(key) =
                found.filter(|k| matches!(k.treatment, Treatment::Used | Treatment::Client(_) | Treatment::Only(_)))
            {
                let name = entry.key.clone();
                if !self.settings.contains_key(&(key.section, name.clone())) {
                    self.put(key, name, entry, &base, Rank::Plain);
                }
            }
        }
        Some(match of {
            Section::Sink => "the log's servers are those of \"iceberg.kafka.bootstrap.servers\"".to_owned(),
            _ => "the log's servers are those of \"schema.history.internal.kafka.bootstrap.servers\"".to_owned(),
        })
    }

    /// Does with a setting what its key says; the value, if it is one that is read.
    fn treat(&mut self, written: &Written, providers: &Providers) -> Option<Value> {
        let key = written.key;
        if matches!(key.treatment, Treatment::Ignored) {
            let text = written.text.trim();
            if !text.is_empty() && !text.eq_ignore_ascii_case(key.default) {
                self.ignore(key.why, written.name.clone());
            }
            return None;
        }
        let resolved = providers.resolve(&written.name, &written.text, &written.base);
        let (text, missing) = match resolved {
            // A password may begin or end with a blank; Kafka cuts those of its own.
            Ok(text) if key.secret && key.section != Section::Log => (text, None),
            Ok(text) => (text.trim().to_owned(), None),
            Err(e) if key.secret => (String::new(), Some(e.to_string())),
            Err(e) => {
                self.problems.push(e.to_string());
                return None;
            }
        };
        let shown = if key.secret { String::new() } else { format!(" = \"{text}\"") };
        let (place, name, why) = (&written.place, &written.name, key.why);
        let any_of = |words: &[&str]| words.iter().any(|word| class_name(word).eq_ignore_ascii_case(class_name(&text)));
        let refuse = |words: &[&str]| {
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            format!("{place}: \"{name}\"{shown} is not supported yet: {why}\n  → leave it out, or write {}", quoted.join(" or "))
        };
        let accepted = match key.treatment {
            Treatment::Event { mirror, .. } if self.program == Program::Lakehouse => mirror,
            Treatment::Event { halves, .. } => halves,
            Treatment::Only(words) => words,
            Treatment::Refused if text.is_empty() && missing.is_none() => return None,
            Treatment::Refused if !key.default.is_empty() && any_of(&[key.default]) => return None,
            Treatment::Refused => {
                self.problems
                    .push(format!("{place}: \"{name}\" is not supported yet: {why}\n  → leave it out, or --set {name}="));
                return None;
            }
            _ => return Some(Value { text, missing, base: written.base.clone(), key }),
        };
        if !text.is_empty() && !any_of(accepted) {
            self.problems.push(refuse(accepted));
            return None;
        }
        Some(Value { text, missing, base: written.base.clone(), key })
    }

    fn ignore(&mut self, why: &'static str, name: String) {
        match self.ignored.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, names)) if names.contains(&name) => {}
            Some((_, names)) => names.push(name),
            None => self.ignored.push((why, vec![name])),
        }
    }
}

/// A Java class may be written as `class java.lang.X`.
fn class_name(text: &str) -> &str {
    text.strip_prefix("class ").unwrap_or(text)
}

/// The name of a provider in `config.providers.<name>.class`.
fn provider_name(key: &str) -> Option<&str> {
    key.strip_prefix("config.providers.")?.strip_suffix(".class")
}

/// `producer.override.x` as the kind of client, whether it is a connector's override, and the client's own key.
fn client_key(name: &str) -> Option<(&'static str, bool, &str)> {
    ["producer", "consumer", "admin"].into_iter().find_map(|kind| {
        let rest = name.strip_prefix(kind)?.strip_prefix('.')?;
        let overridden = rest.strip_prefix("override.");
        Some((kind, overridden.is_some(), overridden.unwrap_or(rest)))
    })
}

fn unknown(entry: &Entry, sections: &[Section]) -> String {
    let Entry { section, key: name, place, .. } = entry;
    let next = if let Some(elsewhere) = keys::find(&Section::NAMELESS, name).filter(|k| !sections.contains(&k.section)) {
        format!("it belongs in [{}]", elsewhere.section.name())
    } else if let Some((prefix, meant)) = client_key(name)
        .and_then(|(_, _, rest)| Some((name.strip_suffix(rest)?, keys::probably_meant(Some(Section::Log), rest)?)))
    {
        format!("did you mean \"{prefix}{}\"?", meant.name)
    } else if let Some(meant) = sections.iter().find_map(|s| keys::probably_meant(Some(*s), name)).filter(|_| section.is_some()) {
        format!("did you mean \"{}\"?", meant.name)
    } else if let Some((section, meant)) = keys::with_section(name)
        .filter(|_| section.is_none())
        .and_then(|(section, short)| Some((section, keys::probably_meant(Some(section), short)?)))
    {
        format!("did you mean \"{}.{}\"?", section.name(), meant.name)
    } else if let Some(meant) = keys::probably_meant(None, name) {
        format!("did you mean \"{}\"?", meant.name)
    } else {
        "docs/configuration-keys.md lists the keys".to_owned()
    };
    let section = section.map(|s| format!("[{}] ", s.name())).unwrap_or_default();
    format!("{place}: unknown key {section}\"{name}\"\n  → {next}")
}

pub(super) fn unusable(section: Section, name: &str, text: &str, what: &str) -> Error {
    Error::configuration(format!("[{}] \"{name}\" = \"{text}\" cannot be used\n  → write {what}", section.name()))
}
