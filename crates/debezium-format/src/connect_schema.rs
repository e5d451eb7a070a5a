//! Embedded schemas: the text that Connect's JSON converter puts before each key and value, made once per schema version.

use crate::config::{Connector, Profile};
use crate::error::{Error, ErrorKind, Result};
use crate::string_text::write_string;
use crate::value_text;
use crate::wire::{Semantic, Wire};
use cdc_core::{Column, LogicalType, TableSchema, Value};

/// The two schema texts of a table.
pub(crate) struct SchemaTexts {
    /// Of the key; empty if the table has none.
    pub key: Vec<u8>,
    /// Of the value: the envelope.
    pub value: Vec<u8>,
}

/// The schema of each `__debezium.context.*` header.
pub(crate) const STRING: &str = r#"{"type":"string","optional":false}"#;

const TRANSACTION: &str = concat!(
    r#"{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":false,"field":"total_order"},"#,
    r#"{"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"name":"event.block","version":1,"field":"transaction"}"#
);

const SOURCE_FIELDS: &str = concat!(
    r#"{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},"#,
    r#"{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},"#,
    r#"{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"#,
    r#""true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},"#,
    r#"{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},"#,
    r#"{"type":"string","optional":true,"field":"table"},{"type":"int64","optional":false,"field":"server_id"},"#,
    r#"{"type":"string","optional":true,"field":"gtid"},{"type":"string","optional":false,"field":"file"},"#,
    r#"{"type":"int64","optional":false,"field":"pos"},{"type":"int32","optional":false,"field":"row"},"#,
    r#"{"type":"int64","optional":true,"field":"thread"},{"type":"string","optional":true,"field":"query"}"#
);

const TAIL: &str = concat!(
    r#"{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"},"#,
    r#"{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}"#
);

/// Makes both texts. `topic` names the schemas, as in Debezium.
pub(crate) fn schema_texts(schema: &TableSchema, topic: &str, connector: Connector, profile: Profile) -> Result<SchemaTexts> {
    let mut key = Vec::new();
    if !schema.key.is_empty() {
        key.extend_from_slice(br#"{"type":"struct","fields":["#);
        for (i, column) in schema.key_columns().enumerate() {
            if i > 0 {
                key.push(b',');
            }
            write_field(&mut key, schema, column, connector, profile)?;
        }
        key.extend_from_slice(br#"],"optional":false,"name":"#);
        write_string(&mut key, &format!("{topic}.Key"));
        key.push(b'}');
    }
    let mut row = Vec::new();
    row.extend_from_slice(br#"{"type":"struct","fields":["#);
    for (i, column) in schema.columns.iter().enumerate() {
        if i > 0 {
            row.push(b',');
        }
        write_field(&mut row, schema, column, connector, profile)?;
    }
    row.extend_from_slice(br#"],"optional":true,"name":"#);
    write_string(&mut row, &format!("{topic}.Value"));
    let mut value = Vec::with_capacity(row.len().saturating_mul(2).saturating_add(3000));
    value.extend_from_slice(br#"{"type":"struct","fields":["#);
    value.extend_from_slice(&row);
    value.extend_from_slice(br#","field":"before"},"#);
    value.extend_from_slice(&row);
    value.extend_from_slice(br#","field":"after"},{"type":"struct","fields":["#);
    value.extend_from_slice(SOURCE_FIELDS.as_bytes());
    value.extend_from_slice(br#"],"optional":false,"name":"io.debezium.connector."#);
    value.extend_from_slice(connector.name().as_bytes());
    value.extend_from_slice(br#".Source","version":1,"field":"source"},"#);
    value.extend_from_slice(TRANSACTION.as_bytes());
    value.push(b',');
    value.extend_from_slice(TAIL.as_bytes());
    value.extend_from_slice(br#"],"optional":false,"name":"#);
    write_string(&mut value, &format!("{topic}.Envelope"));
    value.extend_from_slice(br#","version":2}"#);
    Ok(SchemaTexts { key, value })
}

fn write_field(out: &mut Vec<u8>, schema: &TableSchema, column: &Column, connector: Connector, profile: Profile) -> Result<()> {
    let wire = Wire::of(column, profile).ok_or_else(|| unknown_type(schema, column))?;
    let semantic = Semantic::of(column, wire, connector);
    out.push(b'{');
    out.extend_from_slice(semantic.body.as_bytes());
    out.extend_from_slice(if column.nullable { br#","optional":true"# } else { br#","optional":false"# });
    if let Some(name) = semantic.name {
        out.extend_from_slice(br#","name":"#);
        write_string(out, name);
        out.extend_from_slice(br#","version":1"#);
    }
    if let Some(doc) = &semantic.doc {
        out.extend_from_slice(br#","doc":"#);
        write_string(out, doc);
    }
    if !semantic.parameters.is_empty() {
        out.extend_from_slice(br#","parameters":{"#);
        for (i, (name, value)) in semantic.parameters.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(out, name);
            out.push(b':');
            write_string(out, value);
        }
        out.push(b'}');
    }
    if let Some(default) = default_of(column) {
        out.extend_from_slice(br#","default":"#);
        value_text::write_value(out, wire, &default).ok_or_else(|| {
            let what = format!("its default {default:?} is no value of its type {}", column.native.declaration);
            Error::new(ErrorKind::Value, &schema.table, what).in_column(&column.name)
        })?;
    }
    out.extend_from_slice(br#","field":"#);
    write_string(out, &column.name);
    out.push(b'}');
    Ok(())
}

/// The default that the schema shows. `CURRENT_TIMESTAMP` is the epoch, as Debezium has it; other expressions are none.
fn default_of(column: &Column) -> Option<Value> {
    match (&column.default, &column.default_expression) {
        (Some(Value::Null), None) => None,
        (Some(value), _) if *value != Value::Null => Some(value.clone()),
        (_, Some(expression)) if is_current_timestamp(expression) => {
            matches!(column.logical_type, LogicalType::Timestamp { .. } | LogicalType::TimestampTz { .. })
                .then_some(Value::Int(0))
        }
        _ => None,
    }
}

fn is_current_timestamp(expression: &str) -> bool {
    let lower = expression.trim().to_ascii_lowercase();
    ["current_timestamp", "now(", "localtime"].iter().any(|name| lower.starts_with(name))
}

pub(crate) fn unknown_type(schema: &TableSchema, column: &Column) -> Error {
    Error::new(
        ErrorKind::Configuration,
        &schema.table,
        format!("its type {} has no form in Debezium's events", column.native.declaration),
    )
    .in_column(&column.name)
}
