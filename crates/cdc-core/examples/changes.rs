//! A source of one's own: two changes of one table, as Arrow columns.

use arrow_array::{Int32Array, RecordBatch, StringArray};
use async_trait::async_trait;
use cdc_core::{
    Change, ChangeBatch, ChangeSource, Column, LogicalType, NO_IMAGE, NativeType, Op, Origin, Result, SnapshotMarker,
    SourceBatch, SourceItem, SourcePosition, TableId, TableSchema,
};
use std::sync::Arc;

struct TwoChanges(Option<SourceBatch>);

#[async_trait]
impl ChangeSource for TwoChanges {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        Ok(self.0.take())
    }
}

fn column(field_id: i32, name: &str, logical_type: LogicalType, nullable: bool) -> Column {
    Column {
        field_id,
        name: name.into(),
        logical_type,
        nullable,
        default: None,
        default_expression: None,
        auto_increment: false,
        generated: None,
        comment: None,
        native: NativeType::default(),
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let columns = vec![
        column(1, "id", LogicalType::Integer { bits: 32, unsigned: false }, false),
        column(2, "name", LogicalType::String, true),
    ];
    let table = TableId::new("shop", "customers");
    let schema = TableSchema { table, version: 1, columns, key: vec![0], last_field_id: 2, comment: None, charset: None };
    // Three images: the insert's, and the update's before and after.
    let ids = Arc::new(Int32Array::from(vec![1, 1, 1]));
    let names = Arc::new(StringArray::from(vec![Some("Ann"), Some("Ann"), Some("Anna")]));
    let images = RecordBatch::try_new(schema.arrow_schema(), vec![ids, names])?;
    let change = |op, before, after| Change { op, before, after, origin: 0, row: 0, marker: SnapshotMarker::False };
    let changes = vec![change(Op::Create, NO_IMAGE, 0), change(Op::Update, 1, 2)];
    let batch = ChangeBatch { schema: Arc::new(schema), images, changes, origins: vec![Origin::default()] };
    let items = vec![SourceItem::Schema { schema: batch.schema.clone(), ddl: None }, SourceItem::Changes(batch)];
    let source = TwoChanges(Some(SourceBatch { items, position: SourcePosition::default() }));
    println!("{:#?}", source.0.map(|b| b.items));
    Ok(())
}
