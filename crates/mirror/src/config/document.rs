//! A configuration file as it was written: which of the formats it is in, and its settings one by one, with their places.

use super::connector_json;
use super::keys::{Section, section_hint};
use super::properties;
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The section that it was written under; a flat file has none.
    pub(super) section: Option<Section>,
    pub(super) key: String,
    pub(super) value: String,
    /// `mirror.toml, line 3`.
    pub(super) place: String,
}

/// What a file is of, as far as its keys tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// TOML with `[source]`, `[log]` and `[sink]`.
    Sections,
    /// Of a Debezium connector.
    SourceConnector,
    /// Of an Iceberg sink.
    SinkConnector,
    /// Of Kafka Connect's workers.
    Worker,
    /// Keys without a hint of whose they are.
    Flat,
}

/// A file, read.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) form: Form,
    /// The folder that its relative paths start from.
    pub(super) base: PathBuf,
    pub(super) entries: Vec<Entry>,
    /// What is worth knowing about how it was read.
    pub(super) notes: Vec<String>,
}

impl Document {
    /// Reads a file of any of the formats.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| {
            let next = if e.kind() == std::io::ErrorKind::NotFound {
                "\n  → make one: lakehouse init mysql://user@host:3306/database"
            } else {
                ""
            };
            Error::configuration(format!("cannot read the configuration {name}: {e}{next}")).with_source(e)
        })?;
        let base = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        Self::parse(&bytes, &name, extension, base)
    }

    /// The format is recognised by the text; the extension decides where that says nothing.
    pub(super) fn parse(bytes: &[u8], name: &str, extension: &str, base: PathBuf) -> Result<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lossy = String::from_utf8_lossy(bytes);
        let mut document = Self { form: Form::Flat, base, entries: Vec::new(), notes: Vec::new() };
        match Format::of(&lossy, &extension.to_ascii_lowercase()) {
            Format::Yaml { connector } => return Err(yaml(name, connector)),
            Format::Toml => {
                document.form = Form::Sections;
                document.entries = sections(utf8(bytes, name)?, name)?;
            }
            Format::Json => {
                let (entries, notes) = connector_json::parse(utf8(bytes, name)?, name)?;
                (document.entries, document.notes) = (entries, notes);
            }
            Format::Properties => {
                let text = match std::str::from_utf8(bytes) {
                    Ok(text) => {
                        if !text.is_ascii() {
                            document.notes.push(format!(
                                "{name} is read as UTF-8, which it is; Java reads it as ISO-8859-1, where its letters beyond ASCII are others"
                            ));
                        }
                        text.to_owned()
                    }
                    Err(_) => bytes.iter().copied().map(char::from).collect(),
                };
                document.entries = flat_properties(&text, name)?;
            }
        }
        if document.form != Form::Sections {
            document.form = form_of(&document.entries);
        }
        Ok(document)
    }
}

/// The formats that are told apart.
#[derive(Debug, PartialEq, Eq)]
enum Format {
    Toml,
    Json,
    Properties,
    Yaml { connector: bool },
}

impl Format {
    fn of(text: &str, extension: &str) -> Self {
        let lines = || text.lines().map(str::trim_end).filter(|line| !line.trim_start().is_empty());
        let first = text.trim_start();
        if first.starts_with('{') {
            return Self::Json;
        }
        let says = |word: &str| lines().any(|line| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(':')));
        if says("apiVersion") && says("kind") {
            return Self::Yaml { connector: text.contains("KafkaConnect") };
        }
        if matches!(extension, "yaml" | "yml") {
            return Self::Yaml { connector: false };
        }
        // A quoted key is not known to Java, and a section is none of its keys.
        let is_section = |line: &str| {
            let line = line.split('#').next().unwrap_or_default().trim();
            line.starts_with('[') && line.ends_with(']')
        };
        let is_quoted = |line: &str| line.starts_with(['"', '\'']);
        match extension {
            _ if lines().any(|line| is_section(line) || is_quoted(line.trim_start())) => Self::Toml,
            "json" => Self::Json,
            "properties" | "conf" | "cfg" => Self::Properties,
            "toml" => Self::Toml,
            _ if text.trim().is_empty() => Self::Toml,
            _ => Self::Properties,
        }
    }
}

fn yaml(name: &str, connector: bool) -> Error {
    let what = if connector { "a YAML resource of Strimzi, which is not read" } else { "YAML, which is not read" };
    Error::configuration(format!(
        "{name} is {what}\n  → write the keys of its spec.config to a file of their own, as \"key\": \"value\" in JSON or key=value in a .properties file\n  → with \"connector.class\" from spec.class, and bootstrap.servers of the KafkaConnect"
    ))
}

fn utf8<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str> {
    std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes.iter().take(e.valid_up_to()).filter(|byte| **byte == b'\n').count();
        Error::configuration(format!("{name}, line {line}: not UTF-8\n  → save the file as UTF-8")).with_source(e)
    })
}

fn flat_properties(text: &str, name: &str) -> Result<Vec<Entry>> {
    let read = properties::parse(text).map_err(|e| {
        Error::configuration(format!(
            "{name}, line {}: {}\n  → in a .properties file a backslash is written as two",
            e.line, e.what
        ))
    })?;
    let entry = |p: properties::Property| Entry {
        section: None,
        key: p.key.trim().to_owned(),
        // Kafka trims what it reads of its own settings, and Debezium of most.
        value: p.value.trim().to_owned(),
        place: format!("{name}, line {}", p.line),
    };
    Ok(read.into_iter().map(entry).collect())
}

/// Whose a flat file is: the class of a connector says it, or keys that only Connect's workers have.
fn form_of(entries: &[Entry]) -> Form {
    let value = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    match value("connector.class") {
        Some(class) if class.contains("iceberg") => return Form::SinkConnector,
        Some(_) => return Form::SourceConnector,
        None => {}
    }
    // Before the others: some names of a worker's are a connector's too, with another meaning (heartbeat.interval.ms).
    const WORKER: [&str; 5] =
        ["plugin.path", "config.storage.topic", "offset.storage.topic", "status.storage.topic", "config.providers"];
    if WORKER.into_iter().any(|key| value(key).is_some()) {
        return Form::Worker;
    }
    let has = |section| entries.iter().any(|e| section_hint(&e.key) == Some(section));
    match (has(Section::Source), has(Section::Sink)) {
        (true, false) => Form::SourceConnector,
        (false, true) => Form::SinkConnector,
        _ => Form::Flat,
    }
}

/// The settings of a TOML file, a nested table's as dotted keys.
fn sections(text: &str, name: &str) -> Result<Vec<Entry>> {
    let table: toml::Table = text.parse().map_err(|e| invalid(text, name, &e))?;
    let lines = key_lines(text);
    let mut out = Vec::new();
    for (section_name, value) in &table {
        let at = |key: &str| match lines.get(key) {
            Some(line) => format!("{name}, line {line}"),
            None => name.to_owned(),
        };
        let Some(section) = Section::ALL.into_iter().find(|s| s.name() == section_name) else {
            let next = super::keys::hint_for_section(section_name);
            return Err(Error::configuration(format!("{}: unknown section or key {section_name}\n  → {next}", at(section_name))));
        };
        let toml::Value::Table(keys) = value else {
            return Err(Error::configuration(format!(
                "{}: {section_name} must be a section: [{section_name}]",
                at(section_name)
            )));
        };
        let mut flat = Vec::new();
        flatten(keys, String::new(), &mut flat);
        for (key, value) in flat {
            let place = at(&format!("{section_name}.{key}"));
            out.push(Entry { section: Some(section), key, value, place });
        }
    }
    Ok(out)
}

/// The line of each key by its dotted path; nothing for what is not valid TOML.
fn key_lines(text: &str) -> BTreeMap<String, usize> {
    fn walk(table: &toml::de::DeTable<'_>, prefix: &str, text: &str, out: &mut BTreeMap<String, usize>) {
        for (key, value) in table.iter() {
            let name = if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            let before = text.get(..key.span().start).unwrap_or_default();
            if let toml::de::DeValue::Table(inner) = value.get_ref() {
                walk(inner, &name, text, out);
            }
            out.insert(name, before.matches('\n').count() + 1);
        }
    }
    let mut out = BTreeMap::new();
    if let Ok(table) = toml::de::DeTable::parse(text) {
        walk(table.get_ref(), "", text, &mut out);
    }
    out
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn parse(text: &str, name: &str) -> Result<Document> {
        let extension = name.rsplit('.').next().unwrap_or_default();
        Document::parse(text.as_bytes(), name, extension, PathBuf::new())
    }

    fn entries(text: &str, name: &str) -> Vec<(String, String)> {
        parse(text, name).unwrap().entries.into_iter().map(|e| (e.key, e.value)).collect()
    }

    fn one(key: &str, value: &str) -> Vec<(String, String)> {
        vec![(key.to_owned(), value.to_owned())]
    }

    #[test]
    fn a_format_is_recognised_by_the_text_whatever_the_file_is_called() {
        for name in ["a.toml", "a.json", "a.properties", "a", "a.txt"] {
            assert_eq!(entries("[log]\ntype = \"local\"\n", name), one("type", "local"), "{name}");
            assert_eq!(entries("\n {\"topic.prefix\": \"a\"}", name), one("topic.prefix", "a"), "{name}");
            if name != "a.toml" && name != "a.json" {
                assert_eq!(entries("topic.prefix=a\n", name), one("topic.prefix", "a"), "{name}");
            }
        }
        assert_eq!(entries("", "a.toml"), []);
        assert_eq!(entries("", "a.properties"), []);
    }

    #[test]
    fn a_resource_of_strimzi_is_refused_with_the_way_on() {
        let text = "apiVersion: kafka.strimzi.io/v1\nkind: KafkaConnector\nspec:\n  config:\n    topic.prefix: a\n";
        let said = parse(text, "shop").unwrap_err().to_string();
        assert!(said.starts_with("shop is a YAML resource of Strimzi, which is not read\n  → write the keys of its spec.config"));
        assert!(parse("a: 1\n", "shop.yaml").unwrap_err().to_string().starts_with("shop.yaml is YAML, which is not read"));
    }

    #[test]
    fn each_setting_knows_its_line() {
        let places =
            |text: &str, name: &str| -> Vec<String> { parse(text, name).unwrap().entries.into_iter().map(|e| e.place).collect() };
        assert_eq!(places("\n[log]\ntype = \"a\"\n[log.topic]\nx.y = 1", "m.toml"), ["m.toml, line 5", "m.toml, line 3"]);
        assert_eq!(places("a=1\\\n2\nb=1", "m.properties"), ["m.properties, line 1", "m.properties, line 3"]);
        assert_eq!(places("{\n \"a\": \"1\",\n\n \"b\": \"a\"}", "m.json"), ["m.json, line 2", "m.json, line 4"]);
    }

    #[test]
    fn a_properties_file_is_utf_8_where_it_is_and_iso_8859_1_where_not() {
        let parse = |bytes: &[u8]| Document::parse(bytes, "p.properties", "properties", PathBuf::new()).unwrap();
        let utf8 = parse("a=ä".as_bytes());
        assert_eq!((utf8.entries[0].value.as_str(), utf8.notes.len()), ("ä", 1));
        let latin = parse(b"a=\xe4\xff");
        assert_eq!((latin.entries[0].value.as_str(), latin.notes.len()), ("äÿ", 0));
        assert_eq!(parse(b"\xef\xbb\xbfa=1").entries[0].key, "a");
        let e = Document::parse(b"[log]\ntype = \"\xe4\"", "m.toml", "toml", PathBuf::new()).unwrap_err().to_string();
        assert!(e.starts_with("m.toml, line 2: not UTF-8"), "{e}");
    }

    #[test]
    fn a_flat_file_is_a_connectors_or_a_workers() {
        let form = |text: &str| parse(text, "x.properties").unwrap().form;
        assert_eq!(form("connector.class=io.debezium.connector.mysql.MySqlConnector"), Form::SourceConnector);
        assert_eq!(form("connector.class=org.apache.iceberg.connect.IcebergSinkConnector"), Form::SinkConnector);
        assert_eq!(form("database.hostname=h"), Form::SourceConnector);
        assert_eq!(form("iceberg.tables=a.b"), Form::SinkConnector);
        assert_eq!(form("bootstrap.servers=h:1\nplugin.path=/x\ngroup.id=g"), Form::Worker);
        assert_eq!(form("bootstrap.servers=h:1"), Form::Flat);
    }
}
