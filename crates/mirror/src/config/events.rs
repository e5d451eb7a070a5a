//! How events are written into the log and read from it, as `value.converter` and Debezium's handling modes say.

use super::keys::Section::{self, Log, Sink, Source};
use super::program::Program;
use super::settings::Settings;
use crate::error::{Error, Result};
use debezium_format::{BigintUnsigned, Converter, DecimalMode, Profile};
use std::collections::BTreeMap;

const CONVERTER: &str = "value.converter";
const SCHEMAS: &str = "value.converter.schemas.enable";
const DECIMALS: &str = "decimal.handling.mode";
const BIGINT: &str = "bigint.unsigned.handling.mode";

/// The form of events. Whoever reads a log needs the form that it was written in: a source of ours records it with the schema versions
/// in its progress, so that a sink asks its own settings only where there is no such record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventFormat {
    /// Key and value converter.
    pub converter: Converter,
    /// Handling modes.
    pub profile: Profile,
    /// A record without a value behind each delete (`tombstones.on.delete`).
    pub tombstones_on_delete: bool,
    /// The headers `__debezium.context.*` on each record (`extended.headers.enabled`).
    pub extended_headers: bool,
}

impl EventFormat {
    /// The exact profile, without schemas: what `lakehouse` writes.
    pub fn exact() -> Self {
        Self {
            converter: Converter::Json { schemas: false },
            profile: Profile::exact(),
            tombstones_on_delete: true,
            extended_headers: true,
        }
    }

    /// Debezium's own defaults, with `JsonConverter`'s: each event has its schema with it.
    pub fn debezium() -> Self {
        Self { converter: Converter::Json { schemas: true }, profile: Profile::default(), ..Self::exact() }
    }

    /// What a reader of such events must know, by the keys of Connect and Debezium; kept with each schema version.
    pub(crate) fn recorded(&self) -> BTreeMap<String, String> {
        let Self { converter, profile, .. } = self;
        let schemas = matches!(converter, Converter::Json { schemas: true });
        let decimals = if profile.decimals == DecimalMode::String { "string" } else { "precise" };
        let bigint = if profile.bigint_unsigned == BigintUnsigned::Precise { "precise" } else { "long" };
        let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        BTreeMap::from([
            entry(CONVERTER, super::keys::JSON_CONVERTER),
            entry(SCHEMAS, if schemas { "true" } else { "false" }),
            entry(DECIMALS, decimals),
            entry(BIGINT, bigint),
        ])
    }

    /// The form that was [recorded](Self::recorded); this one where nothing was.
    ///
    /// # Errors
    /// What was recorded that this version does not know.
    pub(crate) fn or_recorded(mut self, recorded: &BTreeMap<String, String>) -> std::result::Result<Self, String> {
        for (key, value) in recorded {
            match (key.as_str(), value.as_str()) {
                (CONVERTER, super::keys::JSON_CONVERTER) => {}
                (SCHEMAS, "true") => self.converter = Converter::Json { schemas: true },
                (SCHEMAS, "false") => self.converter = Converter::Json { schemas: false },
                (DECIMALS, "precise") => self.profile.decimals = DecimalMode::Precise,
                (DECIMALS, "string") => self.profile.decimals = DecimalMode::String,
                (BIGINT, "long") => self.profile.bigint_unsigned = BigintUnsigned::Long,
                (BIGINT, "precise") => self.profile.bigint_unsigned = BigintUnsigned::Precise,
                _ => return Err(format!("{key}={value}")),
            }
        }
        Ok(self)
    }

    /// What the settings say.
    pub(super) fn read(s: &Settings) -> Result<Self> {
        // What `lakehouse` accepts says what it does anyway; a worker's converters are for topics of others.
        if s.program == Program::Lakehouse {
            return Ok(Self::exact());
        }
        let mut format = Self::debezium();
        let schemas = match s.program {
            Program::IcebergSink if converter(s, Sink, "value")?.is_some() => converter(s, Sink, "value")?,
            _ => converter(s, Source, "value")?,
        };
        let schemas = schemas.map_or_else(|| worker_converter(s, "value"), |schemas| Ok(Some(schemas)))?.unwrap_or(true);
        format.converter = Converter::Json { schemas };
        if s.program == Program::CdcSource {
            let of_key = converter(s, Source, "key")?.map_or_else(|| worker_converter(s, "key"), |schemas| Ok(Some(schemas)))?;
            if of_key.unwrap_or(true) != schemas {
                return Err(Error::configuration(format!(
                    "\"key.converter.schemas.enable\" = \"{}\" beside \"value.converter.schemas.enable\" = \"{schemas}\" is not supported yet\n  → give both the same value; true is what they are where they are left out",
                    !schemas
                )));
            }
        }
        if s.text(Source, "decimal.handling.mode").is_some_and(|mode| mode.eq_ignore_ascii_case("string")) {
            format.profile.decimals = DecimalMode::String;
        }
        if s.text(Source, "bigint.unsigned.handling.mode").is_some_and(|mode| mode.eq_ignore_ascii_case("precise")) {
            format.profile.bigint_unsigned = BigintUnsigned::Precise;
        }
        format.tombstones_on_delete = s.truth(Source, "tombstones.on.delete", true)?;
        format.extended_headers = s.truth(Source, "extended.headers.enabled", true)?;
        Ok(format)
    }
}

/// Whether a section's converter of `side` (`key`, `value`) has schemas; `None` if the section says nothing of a converter.
fn converter(s: &Settings, section: Section, side: &'static str) -> Result<Option<bool>> {
    let (class, schemas) = match side {
        "key" => ("key.converter", "key.converter.schemas.enable"),
        _ => ("value.converter", "value.converter.schemas.enable"),
    };
    if s.text(section, class).is_none() && s.text(section, schemas).is_none() {
        return Ok(None);
    }
    s.truth(section, schemas, true).map(Some)
}

/// The same of a worker's file.
fn worker_converter(s: &Settings, side: &'static str) -> Result<Option<bool>> {
    let class = if side == "key" { "key.converter" } else { "value.converter" };
    let Some(given) = s.text(Log, class) else { return Ok(None) };
    if given != super::keys::JSON_CONVERTER {
        return Err(Error::configuration(format!(
            "\"{class}\" = \"{given}\" of the worker is not supported yet: events are JSON\n  → write \"{class}\" = \"{}\" into the connector's file",
            super::keys::JSON_CONVERTER
        )));
    }
    if side == "key" {
        s.truth(Log, "key.converter.schemas.enable", true)
    } else {
        s.truth(Log, "value.converter.schemas.enable", true)
    }
    .map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_recorded_form_is_read_back_whatever_the_reader_was_told() {
        let mut strings = EventFormat::debezium();
        strings.profile.decimals = DecimalMode::String;
        for written in [EventFormat::exact(), EventFormat::debezium(), strings] {
            for told in [EventFormat::exact(), EventFormat::debezium(), strings] {
                assert_eq!(told.or_recorded(&written.recorded()), Ok(written));
            }
        }
        assert_eq!(strings.or_recorded(&BTreeMap::new()), Ok(strings), "nothing was recorded");
    }

    #[test]
    fn a_form_of_another_version_is_named() {
        let recorded = BTreeMap::from([("decimal.handling.mode".to_owned(), "double".to_owned())]);
        assert_eq!(EventFormat::exact().or_recorded(&recorded), Err("decimal.handling.mode=double".to_owned()));
    }
}
