//! Table schemas from the schemas that the recorded events carry.

use crate::golden::Golden;
use crate::images::{column, integer, table};
use cdc_core::{Column, LogicalType, TableSchema};
use serde_json::Value as Json;
use std::sync::Arc;

/// The schema version that an event with an embedded schema was written under.
pub fn schema_of(event: &Golden) -> Arc<TableSchema> {
    let json = event.json();
    let after = json["schema"]["fields"].as_array().unwrap().iter().find(|f| f["field"] == "after").unwrap().clone();
    let columns: Vec<Column> = after["fields"].as_array().unwrap().iter().map(column_of).collect();
    let key: Vec<usize> = match &event.key {
        Some(key) => {
            let key: Json = serde_json::from_str(key).unwrap();
            let fields = key["schema"]["fields"].as_array().unwrap();
            fields.iter().map(|f| columns.iter().position(|c| f["field"] == c.name.as_str()).unwrap()).collect()
        }
        None => Vec::new(),
    };
    table(event.table(), columns, &key)
}

fn column_of(field: &Json) -> Column {
    let name = field["field"].as_str().unwrap();
    let parameter = |name: &str| field["parameters"][name].as_str().unwrap();
    let number = |name: &str| parameter(name).parse().unwrap();
    let values = || parameter("allowed").split(',').map(str::to_owned).collect();
    let logical = match (field["type"].as_str().unwrap(), field["name"].as_str().unwrap_or("")) {
        ("boolean", _) => LogicalType::Boolean,
        ("int16", _) => integer(16, false),
        ("int32", "io.debezium.time.Date") => LogicalType::Date,
        ("int32", "io.debezium.time.Year") => LogicalType::Year,
        ("int32", _) => integer(32, false),
        ("int64", "io.debezium.time.MicroTime") => LogicalType::Time { fraction: 6 },
        ("int64", "io.debezium.time.Timestamp") => LogicalType::Timestamp { fraction: 3 },
        ("int64", "io.debezium.time.MicroTimestamp") => LogicalType::Timestamp { fraction: 6 },
        ("int64", _) => integer(64, name.ends_with("bigint_u")),
        ("float", _) => LogicalType::Float,
        ("double", _) => LogicalType::Double,
        ("bytes", "org.apache.kafka.connect.data.Decimal") if name.ends_with("bigint_u") => integer(64, true),
        ("bytes", "org.apache.kafka.connect.data.Decimal") => {
            LogicalType::Decimal { precision: number("connect.decimal.precision"), scale: number("scale") }
        }
        ("bytes", "io.debezium.data.Bits") => LogicalType::Bits { length: number("length") },
        ("bytes", _) => LogicalType::Binary,
        ("string", "io.debezium.time.ZonedTimestamp") => LogicalType::TimestampTz { fraction: 6 },
        ("string", "io.debezium.data.Enum") => LogicalType::Enum { values: values() },
        ("string", "io.debezium.data.EnumSet") => LogicalType::Set { values: values() },
        ("string", "io.debezium.data.Json") => LogicalType::Json,
        ("string", "io.debezium.data.Uuid") => LogicalType::Uuid,
        ("string", _) => LogicalType::String,
        ("struct", name) => LogicalType::Geometry { point: name == "io.debezium.data.geometry.Point" },
        ("array", _) => LogicalType::Vector,
        other => panic!("{other:?}"),
    };
    column(name, logical, field["optional"].as_bool().unwrap())
}
