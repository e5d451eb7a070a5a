//! Another program that writes to the tables, behind the mirror's back.

use super::{Fixture, Row};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use cdc_core::{Column, LogicalType, NativeType, Op, TableId, TableSchema};
use iceberg_writer::{Commit, DeltaWriter, NewRows, Table, WriterConfig};
use std::sync::Arc;

pub const INT: LogicalType = LogicalType::Integer { bits: 32, unsigned: false };
pub const TEXT: LogicalType = LogicalType::String;

/// Columns as the mirror makes them: numbered in their order, NULL allowed where it is no part of the key.
pub fn schema(f: &Fixture, table: &str, columns: &[(&str, LogicalType)], key: &[usize]) -> Arc<TableSchema> {
    let column = |(i, (name, logical_type)): (usize, &(&str, LogicalType))| Column {
        field_id: i32::try_from(i).unwrap() + 1,
        name: (*name).to_owned(),
        logical_type: logical_type.clone(),
        nullable: !key.contains(&i),
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native: NativeType::default(),
    };
    Arc::new(TableSchema {
        table: TableId::new(&f.database, table),
        version: 1,
        columns: columns.iter().enumerate().map(column).collect(),
        key: key.to_vec(),
        last_field_id: i32::try_from(columns.len()).unwrap(),
        comment: None,
        charset: None,
    })
}

/// A row of texts; `NULL` is NULL.
pub fn row(values: &[&str]) -> Row {
    values.iter().map(|v| (*v != "NULL").then(|| (*v).to_owned())).collect()
}

/// Writes these rows in one commit: an update or delete removes every row of that key, a create only adds.
pub async fn write(table: &Table, schema: &Arc<TableSchema>, changes: &[(Op, Row)]) {
    write_and_say(table, schema, changes, &[]).await;
}

/// The same, with properties of the snapshot.
pub async fn write_and_say(table: &Table, schema: &Arc<TableSchema>, changes: &[(Op, Row)], summary: &[(String, String)]) {
    let column = |(i, column): (usize, &Column)| -> ArrayRef {
        let texts = StringArray::from_iter(changes.iter().map(|(_, row)| row[i].clone()));
        arrow_cast::cast(&texts, &column.logical_type.arrow_type()).unwrap()
    };
    let columns = schema.columns.iter().enumerate().map(column).collect();
    let rows = RecordBatch::try_new(schema.arrow_schema(), columns).unwrap();
    let ops: Vec<Op> = changes.iter().map(|(op, _)| *op).collect();
    let mut writer = DeltaWriter::new(table, Arc::clone(schema), WriterConfig::default()).unwrap();
    writer.write(&rows, &ops, NewRows::All).unwrap();
    let files = writer.finish().await.unwrap();
    let mut table = table.clone();
    // The mirror commits, too: whoever is late looks again.
    let commit = Commit::new().with_delta(files).with_summary(summary.iter().cloned());
    while let Err(iceberg_writer::CommitError::Conflict) = table.commit(&commit).await {
        table = table.refresh().await.unwrap();
    }
}
