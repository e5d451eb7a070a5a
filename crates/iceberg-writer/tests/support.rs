//! A table in a folder of its own, rows by the handful, and what a scan says of them.

use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use cdc_core::{Column, LogicalType, NativeType, Op, TableId, TableSchema};
use futures::TryStreamExt;
use iceberg_writer::{
    Catalog, CatalogAddress, CatalogConfig, Commit, DeltaFiles, DeltaWriter, Durability, ManualClock, NewRows, ScanBuilder,
    Table, TableName, TableOptions, Upkeep, WriterConfig,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub struct Lake {
    pub dir: tempfile::TempDir,
    pub address: CatalogAddress,
    pub catalog: Catalog,
    pub clock: ManualClock,
}

impl Lake {
    pub async fn new() -> Self {
        Self::with_upkeep(Upkeep::default()).await
    }

    pub async fn with_upkeep(upkeep: Upkeep) -> Self {
        let dir = folder();
        let address = CatalogAddress::sqlite(dir.path().join("catalog.db"));
        Self::at(dir, address, upkeep).await
    }

    /// A catalog at this address, its tables' files in this folder.
    pub async fn at(dir: tempfile::TempDir, address: CatalogAddress, upkeep: Upkeep) -> Self {
        let clock = ManualClock::at_ms(std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64);
        let catalog = open(dir.path(), &address, config(&clock, upkeep)).await;
        Self { dir, address, catalog, clock }
    }

    /// The same files, opened anew as another process would.
    pub async fn reopened(&self) -> Catalog {
        open(self.dir.path(), &self.address, config(&self.clock, Upkeep::default())).await
    }

    pub async fn table(&self, schema: &TableSchema) -> Table {
        self.catalog.create_table(&name(schema), schema, TableOptions::default()).await.unwrap()
    }

    /// Files of the table whose name ends like this, sorted.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.dir.path().join("warehouse")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false if path.to_string_lossy().ends_with(ending) => found.push(path),
                    false => {}
                }
            }
        }
        found.sort();
        found
    }
}

pub fn config(clock: &ManualClock, upkeep: Upkeep) -> CatalogConfig {
    CatalogConfig { durability: Durability::Process, upkeep, clock: Arc::new(clock.clone()), ..CatalogConfig::default() }
}

pub async fn open(dir: &Path, address: &CatalogAddress, config: CatalogConfig) -> Catalog {
    Catalog::open(address, dir.join("warehouse").to_string_lossy(), config).await.unwrap()
}

/// A folder that is gone after the test.
pub fn folder() -> tempfile::TempDir {
    let mut dir = tempfile::tempdir().unwrap();
    // Kept, another engine can read what a test left: TMPDIR says where.
    dir.disable_cleanup(std::env::var_os("KEEP_LAKES").is_some());
    dir
}

pub fn name(schema: &TableSchema) -> TableName {
    TableName::new(&schema.table.database, &schema.table.table)
}

pub fn column(id: i32, name: &str, logical_type: LogicalType, nullable: bool) -> Column {
    Column {
        field_id: id,
        name: name.to_owned(),
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

pub const INT: LogicalType = LogicalType::Integer { bits: 32, unsigned: false };
pub const LONG: LogicalType = LogicalType::Integer { bits: 64, unsigned: false };

pub fn schema(version: u32, columns: Vec<Column>, key: &[usize]) -> TableSchema {
    let last_field_id = columns.iter().map(|c| c.field_id).max().unwrap_or(0);
    TableSchema {
        table: TableId::new("shop", "orders"),
        version,
        columns,
        key: key.to_vec(),
        last_field_id,
        comment: None,
        charset: None,
    }
}

/// `(id INT NOT NULL, data VARCHAR)` with this key.
pub fn id_data(key: &[usize]) -> Arc<TableSchema> {
    let nullable = !key.contains(&1);
    Arc::new(schema(1, vec![column(1, "id", INT, false), column(2, "data", LogicalType::String, nullable)], key))
}

/// One event of a table `(id, data)`.
pub type Event<'a> = (Op, i32, Option<&'a str>);

pub fn plus<'a>(id: i32, data: &'a str) -> Event<'a> {
    (Op::Create, id, Some(data))
}

pub fn update<'a>(id: i32, data: &'a str) -> Event<'a> {
    (Op::Update, id, Some(data))
}

pub fn minus<'a>(id: i32, data: &'a str) -> Event<'a> {
    (Op::Delete, id, Some(data))
}

pub fn batch(schema: &TableSchema, events: &[Event<'_>]) -> (RecordBatch, Vec<Op>) {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from(events.iter().map(|e| e.1).collect::<Vec<_>>())),
        Arc::new(StringArray::from(events.iter().map(|e| e.2).collect::<Vec<_>>())),
    ];
    (RecordBatch::try_new(schema.arrow_schema(), columns).unwrap(), events.iter().map(|e| e.0).collect())
}

pub async fn files(table: &Table, schema: &Arc<TableSchema>, batches: &[(RecordBatch, Vec<Op>)], new: NewRows<'_>) -> DeltaFiles {
    let mut writer = DeltaWriter::new(table, Arc::clone(schema), WriterConfig::default()).unwrap();
    for (rows, ops) in batches {
        writer.write(rows, ops, new).unwrap();
    }
    writer.finish().await.unwrap()
}

/// One span of events, committed.
pub async fn span(table: &Table, schema: &Arc<TableSchema>, events: &[Event<'_>]) -> Table {
    let files = files(table, schema, &[batch(schema, events)], NewRows::Unknown).await;
    table.commit(&Commit::new().with_delta(files).with_schema(Arc::clone(schema))).await.unwrap()
}

/// Rows as text, sorted: `1|a`; NULL is `∅`.
pub async fn rows(scan: ScanBuilder) -> Vec<String> {
    let batches: Vec<RecordBatch> = scan.stream().try_collect().await.unwrap();
    let mut out: Vec<String> = batches.iter().flat_map(text).collect();
    out.sort();
    out
}

pub fn text(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<_> = batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
    (0..batch.num_rows()).map(|r| columns.iter().map(|c| c.value(r).to_string()).collect::<Vec<_>>().join("|")).collect()
}

pub async fn all(table: &Table) -> Vec<String> {
    rows(table.scan()).await
}

pub fn longs(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub fn ints(values: &[i32]) -> ArrayRef {
    Arc::new(Int32Array::from(values.to_vec()))
}

pub fn texts(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}
