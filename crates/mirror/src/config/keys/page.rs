//! The page of all keys, made from the tables.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::{Key, TABLES, Treatment};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# Every key, and what is done with it

Made from the tables in `crates/mirror/src/config/keys`; `UPDATE_PAGES=1 cargo test --release -p mirror --lib keys::page` writes it anew.
How files are read and put together, and what the keys that are used mean in detail, is in [configuration.md](configuration.md).

- **used**: it is read;
- **values**: it has one meaning here; these values are accepted, others refused by name;
- **ignored**: named once at the start, unless it has its default;
- **refused**: by name, with the reason, unless it has its default or is empty: to ignore it would change what is written.

A `*` stands for any text. *default* is what the key's own program takes it for when it is left out. Keys of Kafka's clients may have
`producer.override.`, `consumer.override.`, `producer.` or `consumer.` before them.
";

fn code(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn done(key: &Key) -> String {
    match key.treatment {
        Treatment::Used => "used".to_owned(),
        Treatment::Client(name) if name == key.name => "used".to_owned(),
        Treatment::Client(name) => format!("used, as `{name}`"),
        Treatment::Only(words) => format!("values: {}", code(words)),
        Treatment::Event { mirror, halves } if mirror == halves => format!("values: {}", code(mirror)),
        Treatment::Event { mirror, halves } => {
            format!("values: {} (`lakehouse`), {} (`cdc-source`, `iceberg-sink`)", code(mirror), code(halves))
        }
        Treatment::Alias(of) => format!("another name of `{of}`"),
        Treatment::Ignored => "ignored".to_owned(),
        Treatment::Refused => "refused".to_owned(),
    }
}

fn page() -> String {
    let mut out = HEAD.to_owned();
    for table in TABLES {
        write!(out, "\n## {}\n\n| key | default | what is done | why, or what it means |\n|---|---|---|---|\n", table.title)
            .unwrap();
        let mut keys: Vec<&Key> = table.keys.iter().collect();
        keys.sort_by_key(|key| (key.section, key.name));
        for key in keys {
            let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
            let section = if table.keys.iter().any(|other| other.section != key.section) {
                format!(" ({})", key.section.name())
            } else {
                String::new()
            };
            let why = key.why.replace('|', "\\|");
            writeln!(out, "| `{}`{section} | {default} | {} | {why} |", key.name, done(key)).unwrap();
        }
    }
    out
}

#[test]
fn the_page_of_keys_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration-keys.md");
    let page = page();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = page.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(
        page == there,
        "docs/configuration-keys.md is not what the tables say ({differs:?})\n  → UPDATE_PAGES=1 cargo test --release -p mirror --lib keys::page"
    );
}
