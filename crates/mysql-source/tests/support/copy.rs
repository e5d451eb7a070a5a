use super::{DEADLINE, Server};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use cdc_core::{
    BarrierKind, ChangeSource, GenerationState, LogicalType, NO_IMAGE, Op, RecoveredState, SourceBatch, SourceItem,
    SourcePosition, TableSchema,
};
use mysql_async::prelude::Queryable;
use mysql_source::MysqlSource;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Row = Vec<Option<String>>;

/// One table, made from changes.
#[derive(Debug, Default)]
pub struct TableCopy {
    pub schema: Option<Arc<TableSchema>>,
    rows: BTreeMap<Row, Row>,
    keyless: Vec<Row>,
    pub complete: bool,
    creates_are_new: bool,
    pub stop: Option<String>,
    /// How many changes of each kind came.
    pub ops: BTreeMap<char, usize>,
    pub markers: Vec<cdc_core::SnapshotMarker>,
    /// The bytes of the greatest batch of changes.
    pub largest: usize,
}

/// All tables, and what a source needs to go on.
#[derive(Debug, Default)]
pub struct Copy {
    pub tables: BTreeMap<String, TableCopy>,
    pub state: RecoveredState,
    /// Every change of the log that came: GTID, event, row.
    seen: BTreeSet<(String, u64, u32)>,
    pub batches: usize,
    /// The bytes of the greatest batch.
    pub largest: usize,
    pub origins: Vec<cdc_core::Origin>,
}

impl Copy {
    /// Takes batches in until everything that the server has committed by now is there.
    pub async fn catch_up(&mut self, source: &mut MysqlSource, config: &mysql_source::MysqlSourceConfig) {
        let target = mysql_source::current_position(config).await.unwrap();
        self.until(source, "everything that is committed", |copy| copy.is_settled() && copy.has_reached(&target)).await;
    }

    pub async fn until(&mut self, source: &mut MysqlSource, what: &str, done: impl Fn(&Self) -> bool) {
        let start = std::time::Instant::now();
        while !done(self) {
            assert!(start.elapsed() < DEADLINE, "waited {DEADLINE:?} for {what}");
            if let Ok(next) = tokio::time::timeout(std::time::Duration::from_secs(5), source.next()).await {
                let batch = next.unwrap_or_else(|e| panic!("{e}")).expect("the source has ended");
                self.apply(batch);
            }
        }
    }

    pub fn has_reached(&self, target: &SourcePosition) -> bool {
        self.state.position.as_ref().is_some_and(|p| p >= target)
    }

    /// All tables are complete or stopped.
    pub fn is_settled(&self) -> bool {
        self.state.position.is_some()
            && !self.tables.is_empty()
            && self.tables.values().all(|t| t.stop.is_some() || (t.complete && t.creates_are_new))
    }

    pub fn apply(&mut self, batch: SourceBatch) {
        self.batches += 1;
        let bytes = |item: &SourceItem| match item {
            SourceItem::Changes(changes) => changes.images.get_array_memory_size(),
            _ => 0,
        };
        self.largest = self.largest.max(batch.items.iter().map(bytes).sum());
        for item in batch.items {
            match item {
                SourceItem::Schema { schema, .. } => {
                    let table = self.tables.entry(schema.table.to_string()).or_default();
                    table.schema = Some(Arc::clone(&schema));
                    table.fit_rows(&schema);
                    self.state.schemas.retain(|s| s.table != schema.table);
                    self.state.schemas.push((*schema).clone());
                }
                SourceItem::Changes(changes) => self.changes(&changes),
                SourceItem::Barrier { table, kind } => {
                    assert!(matches!(kind, BarrierKind::Truncate | BarrierKind::Recreate));
                    let copy = self.tables.get_mut(&table.to_string()).expect("a barrier before the schema");
                    copy.rows.clear();
                    copy.keyless.clear();
                }
                SourceItem::Generation(generation) => {
                    let copy = self.tables.get_mut(&generation.table.to_string()).expect("a generation before the schema");
                    copy.complete = generation.state != GenerationState::Running;
                    copy.stop = None;
                    self.state.stops.retain(|s| s.table != generation.table);
                    self.state.generations.retain(|g| g.table != generation.table);
                    self.state.generations.push(generation);
                }
                SourceItem::CreatesAreNew { table, generation } => {
                    let copy = self.tables.get_mut(&table.to_string()).unwrap();
                    assert!(copy.complete, "creates are new before all rows were read");
                    copy.creates_are_new = true;
                    self.state.marks.push((table, generation));
                }
                SourceItem::Stop(stop) => {
                    self.tables.entry(stop.table.to_string()).or_default().stop = Some(stop.message.clone());
                    self.state.stops.push(stop);
                }
                other => panic!("{other:?}"),
            }
        }
        if let Some(before) = &self.state.position {
            assert!(batch.position >= *before, "{:?} after {before:?}", batch.position);
        }
        self.state.position = Some(batch.position);
    }

    fn changes(&mut self, batch: &cdc_core::ChangeBatch) {
        let name = batch.schema.table.to_string();
        let table = self.tables.get_mut(&name).expect("changes before the schema");
        assert!(Arc::ptr_eq(table.schema.as_ref().unwrap(), &batch.schema) || **table.schema.as_ref().unwrap() == *batch.schema);
        table.largest = table.largest.max(batch.images.get_array_memory_size());
        let image = |i: u32| (i != NO_IMAGE).then(|| row(&batch.images, i as usize));
        for change in &batch.changes {
            let origin = &batch.origins[change.origin as usize];
            *table.ops.entry(change.op.letter() as char).or_default() += 1;
            table.markers.push(change.marker);
            if let Some(gtid) = &origin.transaction.gtid {
                let new = self.seen.insert((gtid.to_string(), origin.pos, change.row));
                assert!(new, "{name}: {gtid} event at {} row {} came twice", origin.pos, change.row);
            }
            let (before, after) = (image(change.before), image(change.after));
            if batch.schema.key.is_empty() {
                assert!(matches!(change.op, Op::Read | Op::Create));
                table.keyless.push(after.unwrap());
                continue;
            }
            let key = |row: &Row| batch.schema.key.iter().map(|&i| row[i].clone()).collect::<Row>();
            if let Some(before) = &before {
                let was = table.rows.remove(&key(before));
                if table.complete {
                    assert_eq!(
                        was.as_ref(),
                        Some(before),
                        "{name}: an old image that is not the row ({gtid:?})",
                        gtid = origin.transaction.gtid
                    );
                }
            }
            if let Some(after) = after {
                let was = table.rows.insert(key(&after), after.clone());
                if change.op == Op::Create && table.creates_are_new {
                    assert_eq!(was, None, "{name}: a create of a row that is there");
                }
            }
        }
        self.origins.extend(batch.origins.iter().cloned());
    }

    /// Every table equals the server's own SELECT.
    pub async fn assert_equals(&self, server: &Server, database: &str) {
        let mut conn = server.admin(database).await;
        let tables: Vec<String> = conn
            .query("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")
            .await
            .unwrap()
            .iter()
            .map(|r: &mysql_async::Row| r.get(0).unwrap())
            .collect();
        for table in tables {
            let copy = self.tables.get(&format!("{database}.{table}")).unwrap_or_else(|| panic!("{table} never came"));
            if copy.stop.is_some() {
                continue;
            }
            let schema = copy.schema.as_ref().unwrap();
            let columns: Vec<String> = schema
                .columns
                .iter()
                .map(|c| (c.name.replace('`', "``"), &c.logical_type))
                .map(|(name, logical)| match logical {
                    LogicalType::Binary => format!("HEX(`{name}`)"),
                    LogicalType::Timestamp { .. } | LogicalType::TimestampTz { .. } => {
                        format!("CAST(CAST(`{name}` AS DATETIME(6)) AS CHAR)")
                    }
                    LogicalType::Boolean | LogicalType::Bits { .. } => format!("HEX(`{name}` + 0)"),
                    _ => format!("CAST(`{name}` AS CHAR)"),
                })
                .collect();
            let sql = format!("SELECT {} FROM `{}`", columns.join(", "), table.replace('`', "``"));
            let rows: Vec<mysql_async::Row> = conn.query(sql).await.unwrap();
            let mut theirs: Vec<Row> =
                rows.iter().map(|r| (0..columns.len()).map(|i| r.get::<Option<String>, _>(i).unwrap()).collect()).collect();
            let mut ours: Vec<Row> = copy.rows.values().chain(&copy.keyless).cloned().collect();
            theirs.sort();
            ours.sort();
            if ours != theirs {
                let (a, b): (BTreeSet<_>, BTreeSet<_>) = (ours.iter().collect(), theirs.iter().collect());
                let only_ours: Vec<_> = a.difference(&b).take(5).collect();
                let only_theirs: Vec<_> = b.difference(&a).take(5).collect();
                panic!(
                    "{table}: {} rows, the server has {}; only here {only_ours:?}; only there {only_theirs:?}",
                    ours.len(),
                    theirs.len()
                );
            }
        }
    }

    pub fn table(&self, database: &str, table: &str) -> &TableCopy {
        self.tables.get(&format!("{database}.{table}")).unwrap_or_else(|| panic!("{table} never came"))
    }

    pub fn events(&self) -> usize {
        self.seen.len()
    }
}

impl TableCopy {
    /// Rows of an older version in the columns of a new one, by field id.
    fn fit_rows(&mut self, new: &TableSchema) {
        // Columns are only added at the end in these tests.
        let width = new.columns.len();
        for row in self.rows.values_mut().chain(&mut self.keyless) {
            row.resize(width, None);
        }
    }
}

fn row(batch: &RecordBatch, i: usize) -> Row {
    batch.columns().iter().map(|c| text(c, i)).collect()
}

fn text(array: &dyn Array, i: usize) -> Option<String> {
    if array.is_null(i) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int32 => array.as_primitive::<Int32Type>().value(i).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(i).to_string(),
        DataType::Utf8 => array.as_string::<i32>().value(i).to_owned(),
        DataType::Binary => array.as_binary::<i32>().value(i).iter().map(|b| format!("{b:02X}")).collect(),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(i),
        DataType::Date32 => array.as_primitive::<Date32Type>().value_as_date(i).unwrap().to_string(),
        DataType::Timestamp(..) => {
            let at = array.as_primitive::<TimestampMicrosecondType>().value_as_datetime(i).unwrap();
            at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
        }
        other => panic!("no text for {other}"),
    })
}
