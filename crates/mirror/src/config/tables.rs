//! How a sink's tables are: mode, creation, evolution, transforms, and the defaults of Apache's sink.

use super::keys::Section::Sink;
use super::program::Program;
use super::settings::{Settings, unusable};
use super::{SinkConfig, topics};
use crate::error::{Error, Result};

/// True if absent keys of the sink mean what they mean to Apache's: it is a service, and has a connector's file.
pub(super) fn has_defaults_of_apache(s: &Settings) -> bool {
    s.program == Program::IcebergSink && s.has_sink_connector
}

/// Takes over what the settings say of the tables; returns what is worth knowing.
pub(super) fn apply(s: &Settings, sink: &mut SinkConfig) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let of_apache = has_defaults_of_apache(s);
    let transformed = check_transforms(s, &mut notes)?;
    check_mode(s, of_apache, transformed)?;
    topics::check_routes(s, sink.topics.as_ref())?;
    sink.auto_create = s.truth(Sink, "iceberg.tables.auto-create-enabled", !of_apache)?;
    if !s.truth(Sink, "iceberg.tables.evolve-schema-enabled", true)? {
        return Err(Error::configuration(
            "[sink] \"iceberg.tables.evolve-schema-enabled\" = \"false\" is not supported yet: a table has the columns of its source\n  → write \"true\"",
        ));
    }
    if of_apache && s.text(Sink, "iceberg.tables.evolve-schema-enabled").is_none() {
        notes.push(
            "\"iceberg.tables.evolve-schema-enabled\" is true, although false where Apache's sink has no such setting: a table has the columns of its source".to_owned(),
        );
    }
    for (name, value) in s.family(Sink, "iceberg.tables.auto-create-props.") {
        let only = match name {
            "format-version" => Some("2"),
            "write.format.default" | "write.delete.format.default" => Some("parquet"),
            _ => None,
        };
        if let Some(only) = only.filter(|only| !value.eq_ignore_ascii_case(only)) {
            return Err(unusable(Sink, &format!("iceberg.tables.auto-create-props.{name}"), value, &format!("\"{only}\"")));
        }
        if name == "write.parquet.compression-codec" && !value.eq_ignore_ascii_case("zstd") {
            notes.push(format!(
                "\"{name}\" = \"{value}\" is set on tables that are made, for other writers; files written here are zstd"
            ));
        }
        if name != "format-version" {
            sink.table_properties.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(notes)
}

/// Only tables that equal their source are written.
fn check_mode(s: &Settings, of_apache: bool, transformed: bool) -> Result<()> {
    let tabular = s.truth(Sink, "iceberg.tables.upsert-mode-enabled", false)?;
    let cdc_field = s.text(Sink, "iceberg.tables.cdc-field");
    if let Some(field) = cdc_field.filter(|field| !matches!(*field, "_cdc.op" | "_cdc_op")) {
        return Err(unusable(Sink, "iceberg.tables.cdc-field", field, "\"_cdc.op\": what a change is, its event says"));
    }
    match s.text(Sink, "iceberg.tables.mode") {
        Some("upsert") => Ok(()),
        Some(other) => Err(Error::configuration(format!(
            "[sink] \"iceberg.tables.mode\" = \"{other}\" is not there yet\n  → write \"upsert\": tables that equal the source"
        ))),
        None if s.is_set(Sink, "iceberg.tables.upsert-mode-enabled") && !tabular && cdc_field.is_none() => {
            Err(Error::configuration(
                "[sink] \"iceberg.tables.upsert-mode-enabled\" = \"false\" is not there yet: it would append\n  → write \"iceberg.tables.mode\" = \"upsert\": tables that equal the source",
            ))
        }
        None if of_apache && !tabular && cdc_field.is_none() => {
            let what = if transformed {
                "with DebeziumTransform the file makes tables logs of changes"
            } else {
                "the file makes tables that are appended to"
            };
            Err(Error::configuration(format!(
                "{what}, a row for each change; that is not supported yet\n  → for tables that equal the source: --set iceberg.tables.mode=upsert"
            )))
        }
        None => Ok(()),
    }
}

/// Accepts DebeziumTransform, whose work is done by reading events as they are; true if it is there.
fn check_transforms(s: &Settings, notes: &mut Vec<String>) -> Result<bool> {
    let Some(names) = s.text(Sink, "transforms") else { return Ok(false) };
    let mut transformed = false;
    for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let prefix = format!("transforms.{name}.");
        let class = s.text(Sink, &format!("{prefix}type")).unwrap_or_default();
        let refused = |what: &str, next: &str| {
            Err(Error::configuration(format!("[sink] \"transforms\" = \"{names}\" is not supported: {what}\n  → {next}")))
        };
        match class {
            "org.apache.iceberg.connect.transforms.DebeziumTransform"
            | "io.tabular.iceberg.connect.transforms.DebeziumTransform" => {}
            "io.debezium.transforms.ExtractNewRecordState" => {
                return refused(
                    "ExtractNewRecordState takes events apart that are read as they are",
                    "leave the transform out: rows are those of the source, and deletes are done",
                );
            }
            "" => return refused(&format!("\"{prefix}type\" is missing"), &format!("leave {name} out")),
            other => {
                let next = "leave it out, and transform what is read from the tables";
                return refused(&format!("{name} is {other}, and transforms are not applied"), next);
            }
        }
        for (option, value) in s.family(Sink, &prefix) {
            match (option, value) {
                ("type", _) | ("cdc.target.pattern", "{db}.{table}") => {}
                _ => return refused(&format!("the option \"{prefix}{option}\" changes what is written"), "leave it out"),
            }
        }
        transformed = true;
    }
    if transformed {
        notes.push("\"transforms\": DebeziumTransform is not needed: events are read as Debezium writes them, and no _cdc column is written".to_owned());
    }
    Ok(transformed)
}
