//! Makes a table, upserts into it, reads it back, and says where other engines find it.
//!
//! `cargo run --release -p iceberg-writer --example upsert -- /tmp/lake`

use arrow_array::{Int64Array, RecordBatch, StringArray};
use cdc_core::{Column, LogicalType, NativeType, Op, TableId, TableSchema};
use futures::TryStreamExt;
use iceberg_writer::{Catalog, CatalogConfig, Commit, DeltaWriter, NewRows, TableName, TableOptions, WriterConfig};
use std::sync::Arc;

fn column(field_id: i32, name: &str, logical_type: LogicalType, nullable: bool) -> Column {
    let native = NativeType::default();
    Column {
        field_id,
        name: name.to_owned(),
        logical_type,
        nullable,
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "lake".to_owned());
    let catalog = Catalog::open_sqlite(format!("{folder}/catalog.db"), &folder, CatalogConfig::default()).await?;
    let id = column(1, "id", LogicalType::Integer { bits: 64, unsigned: false }, false);
    let source = Arc::new(TableSchema {
        table: TableId::new("shop", "customers"),
        version: 1,
        columns: vec![id, column(2, "name", LogicalType::String, true)],
        key: vec![0],
        last_field_id: 2,
        comment: None,
        charset: None,
    });
    let name = TableName::new("shop", "customers");
    let table = match catalog.load_table(&name).await? {
        Some(table) => table,
        None => catalog.create_table(&name, &source, TableOptions::default()).await?,
    };
    let ids = Int64Array::from(vec![1001, 1002, 1001]);
    let names = StringArray::from(vec!["Sally", "George", "Anne"]);
    let rows = RecordBatch::try_new(source.arrow_schema(), vec![Arc::new(ids), Arc::new(names)])?;
    let mut span = DeltaWriter::new(&table, source, WriterConfig::default())?;
    span.write(&rows, &[Op::Create, Op::Create, Op::Update], NewRows::Unknown)?;
    let table = table.commit(&Commit::new().with_delta(span.finish().await?).with_property("my.offset", "3")).await?;
    for batch in table.scan().stream().try_collect::<Vec<_>>().await? {
        println!("{batch:?}");
    }
    println!("metadata: {}", table.metadata_location());
    Ok(())
}
