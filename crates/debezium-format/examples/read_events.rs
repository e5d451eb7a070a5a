//! Reads an event as Debezium wrote it, without knowing its layout beforehand, and prints the row.
use cdc_core::{Column, LogicalType, NativeType, TableId, TableSchema};
use debezium_format::{Converter, Decoder, DecoderConfig, Profile};
use std::sync::Arc;

fn column(field_id: i32, name: &str, logical_type: LogicalType) -> Column {
    Column {
        field_id,
        name: name.to_owned(),
        logical_type,
        nullable: field_id != 1,
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native: NativeType::default(),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let schema = Arc::new(TableSchema {
        table: TableId::new("inventory", "order_items"),
        version: 1,
        columns: vec![
            column(1, "order_number", LogicalType::Integer { bits: 32, unsigned: false }),
            column(2, "unit_price", LogicalType::Decimal { precision: 12, scale: 4 }),
            column(3, "changed_at", LogicalType::TimestampTz { fraction: 6 }),
        ],
        key: vec![0],
        last_field_id: 3,
        comment: None,
        charset: None,
    });
    let mut decoder = Decoder::new(schema, DecoderConfig::new(Converter::Json { schemas: false }, Profile::default()))?;
    let event = br#"{"before":null,"after":{"order_number":10001,"unit_price":"B42Y","changed_at":"2024-05-01T10:00:00.000001Z"},
        "source":{"version":"3.6.3.Final","connector":"mysql","name":"dbserver1","ts_ms":1714557600000},"op":"c"}"#;
    println!("{:?}", decoder.decode(Some(event))?);
    let batch = decoder.finish()?;
    for (field, column) in batch.rows.schema().fields().iter().zip(batch.rows.columns()) {
        println!("{}: {:?}", field.name(), column);
    }

    let wrong = br#"{"before":null,"after":{"order_number":10001,"unit_price":"12.50"},"source":{"ts_ms":0},"op":"c"}"#;
    if let Err(error) = decoder.decode(Some(wrong)) {
        println!("{error}");
    }
    Ok(())
}
