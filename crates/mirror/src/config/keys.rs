//! Every key that is known, and what is done with it: data, one table per whom the keys are of.

mod connect;
mod debezium;
mod iceberg_sink;
mod kafka_client;
#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
mod trino;

use super::edit_distance::nearest;

/// The part of the configuration that a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    Source,
    Log,
    Sink,
    Trino,
}

impl Section {
    pub(super) const ALL: [Self; 4] = [Self::Source, Self::Log, Self::Sink, Self::Trino];
    /// Those in which a key that is written without a section is looked for. Not Trino's: its `user` and `password` alone would be mistaken
    /// for the database's.
    pub(super) const NAMELESS: [Self; 3] = [Self::Source, Self::Log, Self::Sink];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Log => "log",
            Self::Sink => "sink",
            Self::Trino => "trino",
        }
    }
}

/// What is done with a key. Where only some values are accepted, an empty one is as good as none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// It is read.
    Used,
    /// It is a setting of the Kafka client, which librdkafka calls so.
    Client(&'static str),
    /// It has one meaning here: these values are accepted, any other is refused.
    Only(&'static [&'static str]),
    /// It shapes events. A mirror, source and sink in one, has one meaning for it; the halves as services read it.
    Event {
        /// What `lakehouse` accepts.
        mirror: &'static [&'static str],
        /// What `cdc-source` and `iceberg-sink` accept.
        halves: &'static [&'static str],
    },
    /// Another name of a key.
    Alias(&'static str),
    /// Accepted, named once and ignored.
    Ignored,
    /// Refused, unless it says what its default says: to leave it out would change what is written.
    Refused,
}

use Section::{Sink, Source};

pub(super) use connect::JSON as JSON_CONVERTER;

/// A known key, or a family of keys.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) section: Section,
    /// A `*` stands for any text.
    pub(super) name: &'static str,
    /// What its own program takes it for when it is left out; empty if that is nothing.
    pub(super) default: &'static str,
    pub(super) treatment: Treatment,
    /// What it means if it is read, why it is ignored, why it (or another value) is refused.
    pub(super) why: &'static str,
    /// Its value is never shown.
    pub(super) secret: bool,
}

impl Key {
    const fn new(section: Section, name: &'static str, default: &'static str, treatment: Treatment, why: &'static str) -> Self {
        Self { section, name, default, treatment, why, secret: false }
    }

    /// The same, of a value that is never shown.
    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// True if this key, or this family, has that name.
    fn is(&self, name: &str) -> bool {
        matches(self.name, name)
    }

    fn is_family(&self) -> bool {
        self.name.contains('*')
    }
}

/// A table, and whose keys it holds.
pub(super) struct Table {
    /// For the head of its page.
    #[cfg(test)]
    pub(super) title: &'static str,
    pub(super) keys: &'static [Key],
}

/// All tables.
pub(super) const TABLES: [Table; 6] = [
    Table {
        #[cfg(test)]
        title: "Debezium's connectors for MySQL and MariaDB",
        keys: debezium::KEYS,
    },
    Table {
        #[cfg(test)]
        title: "The Iceberg sink",
        keys: iceberg_sink::KEYS,
    },
    Table {
        #[cfg(test)]
        title: "Kafka Connect: of every connector",
        keys: connect::CONNECTOR_KEYS,
    },
    Table {
        #[cfg(test)]
        title: "Kafka's clients",
        keys: kafka_client::KEYS,
    },
    Table {
        #[cfg(test)]
        title: "Kafka Connect: of its workers",
        keys: connect::WORKER_KEYS,
    },
    Table {
        #[cfg(test)]
        title: "Trino, for `lakehouse verify --engine trino`",
        keys: trino::KEYS,
    },
];

/// Every key that is known: Debezium's connectors', the Iceberg sink's, Kafka Connect's, Kafka's clients', and our own.
pub(super) fn all() -> impl Iterator<Item = &'static Key> {
    TABLES.iter().flat_map(|table| table.keys)
}

/// True if `name` fits the pattern, in which each `*` stands for one letter or more.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().skip(1).map(|(at, _)| at).chain((!rest.is_empty()).then_some(rest.len()));
            ends.into_iter().any(|end| rest.get(end..).is_some_and(|rest| matches(tail, rest)))
        }),
    }
}

/// The key of that name in a section; a family only where no key has the name of its own.
pub(super) fn find_in(section: Section, name: &str) -> Option<&'static Key> {
    let of_section = || all().filter(|k| k.section == section);
    of_section().find(|k| k.name == name).or_else(|| of_section().filter(|k| k.is_family()).find(|k| k.is(name)))
}

/// The key of that name, looked for in sections in this order; one that matters comes before one that is ignored.
pub(super) fn find(sections: &[Section], name: &str) -> Option<&'static Key> {
    let found = || sections.iter().filter_map(|section| find_in(*section, name));
    found().find(|k| k.treatment != Treatment::Ignored).or_else(|| found().next())
}

/// The section whose keys alone this is one of, families aside; what all connectors have tells nothing.
pub(super) fn section_hint(name: &str) -> Option<Section> {
    let is =
        |section| all().any(|k| k.section == section && (k.name == name || (k.is_family() && k.name.len() > 9 && k.is(name))));
    match (is(Source), is(Sink)) {
        (true, false) => Some(Source),
        (false, true) => Some(Sink),
        _ => None,
    }
}

/// `log.type` as the section and its key, whether there is such a key or not.
pub(super) fn with_section(name: &str) -> Option<(Section, &str)> {
    Section::ALL.into_iter().find_map(|s| Some((s, name.strip_prefix(s.name())?.strip_prefix('.')?)))
}

/// The known name that was probably meant.
pub(super) fn probably_meant(section: Option<Section>, name: &str) -> Option<&'static Key> {
    let looked_for = |k: &Key| section.map_or(k.section != Section::Trino, |s| s == k.section);
    nearest(name, all().filter(|k| !k.is_family() && looked_for(k)), |k| k.name)
}

/// The way on for something at the place of a section that is none.
pub(super) fn hint_for_section(name: &str) -> String {
    const SECTIONS: &[Section] = &Section::ALL;
    let key = |key: &Key| format!("did you mean \"{}\" in [{}]?", key.name, key.section.name());
    if let Some(exactly) = find(&Section::NAMELESS, name) {
        key(exactly)
    } else if let Some(meant) = nearest(name, SECTIONS.iter(), |s| s.name()) {
        format!("did you mean [{}]?", meant.name())
    } else if let Some(meant) = probably_meant(None, name) {
        key(meant)
    } else {
        "there are [source], [log], [sink] and [trino]".to_owned()
    }
}
