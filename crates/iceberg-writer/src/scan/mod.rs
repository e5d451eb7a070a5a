//! Reading a table as one of its snapshots has it.

pub(crate) mod deletes;
pub(crate) mod file;

use crate::error::{Error, ErrorKind, Result};
use crate::key::{Key, KeyEncoder, KeyMap};
use crate::manifests::load_manifest;
use crate::schema::{arrow_schema, arrow_type};
use crate::table::{Table, read_manifest_list};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef as ArrowSchemaRef;
use arrow_select::filter::filter_record_batch;
use deletes::Deletes;
use file::DataReader;
use futures::Stream;
use iceberg::spec::{DataContentType, DataFile, DataFileFormat, NestedFieldRef, PrimitiveLiteral, Schema, SnapshotRef};
use std::collections::VecDeque;
use std::sync::Arc;

/// What to read of a table; made by [`Table::scan`].
#[derive(Debug, Clone)]
pub struct ScanBuilder {
    table: Table,
    snapshot: Option<i64>,
    columns: Option<Vec<String>>,
    keys: Option<RecordBatch>,
    batch_rows: usize,
}

/// A scan under way: batches come one by one, files are opened one after the other.
///
/// Deletes are applied by hash: all live delete keys are held in memory, once; data is streamed. A delete reaches the rows of
/// strictly older sequence numbers; NULL in a key equals NULL. Columns are found by field id: added ones are NULL in older
/// files, promoted ones are converted, renamed ones keep their values.
pub struct Scan {
    table: Table,
    schema: ArrowSchemaRef,
    /// Columns of the result, then those that only deletes and the key filter need.
    fields: Vec<NestedFieldRef>,
    width: usize,
    tasks: VecDeque<(DataFile, i64)>,
    deletes: Deletes,
    wanted: Option<Wanted>,
    open: Option<Open>,
    batch_rows: usize,
}

struct Open {
    reader: DataReader,
    sequence: i64,
    path: String,
    /// The position in the file of the next row.
    position: i64,
}

/// The keys that are asked for.
struct Wanted {
    columns: Vec<usize>,
    encoder: KeyEncoder,
    keys: KeyMap<()>,
    /// Of a single integer key: its field id, least and greatest value.
    range: Option<(i32, i64, i64)>,
}

/// A file with its data sequence number.
pub(crate) type LiveFile = (DataFile, i64);

/// The live files of a snapshot; data files oldest first.
pub(crate) struct Plan {
    pub(crate) data: Vec<LiveFile>,
    pub(crate) equality: Vec<LiveFile>,
    pub(crate) position: Vec<LiveFile>,
}

impl Table {
    /// Begins to describe a scan: of the head, all columns, all rows.
    pub fn scan(&self) -> ScanBuilder {
        ScanBuilder { table: self.clone(), snapshot: None, columns: None, keys: None, batch_rows: 8_192 }
    }
}

impl ScanBuilder {
    /// Reads this snapshot, in the columns that the table had then.
    #[must_use]
    pub fn at_snapshot(mut self, snapshot_id: i64) -> Self {
        self.snapshot = Some(snapshot_id);
        self
    }

    /// Reads only these columns, in this order.
    #[must_use]
    pub fn with_columns<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Reads only rows whose values in the columns of `keys` (found by name, of the table's types) are one of its rows.
    #[must_use]
    pub fn with_keys(mut self, keys: RecordBatch) -> Self {
        self.keys = Some(keys);
        self
    }

    /// At most so many rows in a batch; 8,192 unless told.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    /// Reads the manifests and all deletes, and is ready to read rows.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]: no such snapshot or column, or a missing file. [`ErrorKind::Corrupt`]; [`ErrorKind::Unsupported`]:
    /// files or deletes of a kind that is not read here.
    pub async fn open(self) -> Result<Scan> {
        let Self { table, snapshot, columns, keys, batch_rows } = self;
        let (snapshot, schema) = resolve(&table, snapshot)?;
        let mut fields = project(&table, &schema, columns)?;
        let width = fields.len();
        let result = Schema::builder()
            .with_fields(fields.clone())
            .build()
            .map_err(|e| Error::iceberg(format!("choosing columns of {}", table.name()), e))?;
        let plan = match &snapshot {
            Some(snapshot) => plan(&table, snapshot).await?,
            None => Plan { data: Vec::new(), equality: Vec::new(), position: Vec::new() },
        };
        let oldest = plan.data.iter().map(|(_, s)| *s).min().unwrap_or(i64::MAX);
        let equality = plan.equality.into_iter().filter(|(_, s)| *s > oldest).collect();
        let deletes = Deletes::load(&table, &schema, equality, plan.position, &mut fields).await?;
        let wanted = keys.map(|keys| Wanted::new(&table, &schema, &keys, &mut fields)).transpose()?;
        let tasks = plan.data.into_iter().filter(|(f, _)| wanted.as_ref().is_none_or(|w| w.may_hold(f))).collect();
        Ok(Scan { table, schema: arrow_schema(&result)?, fields, width, tasks, deletes, wanted, open: None, batch_rows })
    }

    /// All batches as a stream. Dropping it ends the scan.
    pub fn stream(self) -> impl Stream<Item = Result<RecordBatch>> + Send {
        enum At {
            Start(Box<ScanBuilder>),
            Open(Box<Scan>),
        }
        futures::stream::try_unfold(At::Start(Box::new(self)), |at| async move {
            let mut scan = match at {
                At::Start(builder) => Box::new(builder.open().await?),
                At::Open(scan) => scan,
            };
            Ok(scan.next().await?.map(|batch| (batch, At::Open(scan))))
        })
    }

    /// The number of rows. Read from the manifests alone if no delete is live; else only key columns are read.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn count(mut self) -> Result<u64> {
        if self.keys.is_none() {
            let (snapshot, _) = resolve(&self.table, self.snapshot)?;
            let Some(snapshot) = snapshot else { return Ok(0) };
            let plan = plan(&self.table, &snapshot).await?;
            let oldest = plan.data.iter().map(|(_, s)| *s).min().unwrap_or(i64::MAX);
            if plan.position.is_empty() && plan.equality.iter().all(|(_, s)| *s <= oldest) {
                return Ok(plan.data.iter().map(|(f, _)| f.record_count()).fold(0, u64::saturating_add));
            }
        }
        self.columns = Some(Vec::new());
        let mut scan = self.open().await?;
        let mut rows = 0_u64;
        while let Some(batch) = scan.next().await? {
            rows = rows.saturating_add(u64::try_from(batch.num_rows()).unwrap_or(u64::MAX));
        }
        Ok(rows)
    }
}

impl Scan {
    /// The schema of all batches.
    pub fn schema(&self) -> &ArrowSchemaRef {
        &self.schema
    }

    /// Bytes held by the deletes.
    pub fn delete_bytes(&self) -> usize {
        self.deletes.bytes()
    }

    /// The next batch, never an empty one; `None` at the end.
    ///
    /// # Errors
    /// A missing, short or damaged file, named. The scan is over then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.open.is_none() {
                let Some((file, sequence)) = self.tasks.pop_front() else { return Ok(None) };
                let reader = DataReader::open(&self.table, &file, &self.fields, self.batch_rows).await?;
                self.open = Some(Open { reader, sequence, path: file.file_path().to_owned(), position: 0 });
            }
            let Some(open) = &mut self.open else { continue };
            match open.reader.next().await? {
                None => self.open = None,
                Some((columns, rows)) => {
                    let first = open.position;
                    open.position = first.saturating_add(i64::try_from(rows).unwrap_or(i64::MAX));
                    let mut keep = self.deletes.survivors(&columns, rows, open.sequence, &open.path, first)?;
                    if let Some(wanted) = &mut self.wanted {
                        let asked = wanted.mask(&columns, rows)?;
                        keep = Some(match keep {
                            Some(k) => BooleanArray::new(k.values() & asked.values(), None),
                            None => asked,
                        });
                    }
                    let batch = self.batch(columns, rows, keep)?;
                    if batch.num_rows() > 0 {
                        return Ok(Some(batch));
                    }
                }
            }
        }
    }

    fn batch(&self, mut columns: Vec<ArrayRef>, rows: usize, keep: Option<BooleanArray>) -> Result<RecordBatch> {
        columns.truncate(self.width);
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        let what = || format!("reading table {}", self.table.name());
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|e| Error::arrow(what(), e))?;
        match keep {
            Some(keep) => filter_record_batch(&batch, &keep).map_err(|e| Error::arrow(what(), e)),
            None => Ok(batch),
        }
    }
}

pub(crate) fn resolve(table: &Table, snapshot: Option<i64>) -> Result<(Option<SnapshotRef>, Arc<Schema>)> {
    let metadata = table.metadata();
    let Some(id) = snapshot else { return Ok((table.head().cloned(), Arc::clone(table.schema()))) };
    let Some(snapshot) = metadata.snapshot_by_id(id) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("table {} has no snapshot {id}: it never had, or it expired; list its snapshots", table.name()),
        ));
    };
    let schema = snapshot.schema(metadata).map_err(|e| Error::iceberg(format!("the columns of snapshot {id}"), e))?;
    Ok((Some(snapshot.clone()), schema))
}

fn project(table: &Table, schema: &Schema, columns: Option<Vec<String>>) -> Result<Vec<NestedFieldRef>> {
    let all = schema.as_struct().fields();
    let Some(names) = columns else { return Ok(all.to_vec()) };
    names
        .iter()
        .map(|name| {
            all.iter().find(|f| f.name == *name).cloned().ok_or_else(|| {
                let known: Vec<&str> = all.iter().map(|f| f.name.as_str()).collect();
                Error::new(
                    ErrorKind::NotFound,
                    format!("table {} has no column {name}; it has {}", table.name(), known.join(", ")),
                )
            })
        })
        .collect()
}

pub(crate) async fn plan(table: &Table, snapshot: &SnapshotRef) -> Result<Plan> {
    let head = table.head().is_some_and(|h| h.snapshot_id() == snapshot.snapshot_id());
    let manifests = match head {
        true => table.0.manifests.as_ref().clone(),
        false => read_manifest_list(table.file_io(), table.metadata(), snapshot).await?,
    };
    let mut plan = Plan { data: Vec::new(), equality: Vec::new(), position: Vec::new() };
    for manifest in manifests.iter().filter(|m| m.has_added_files() || m.has_existing_files()) {
        let partitioned =
            table.metadata().partition_spec_by_id(manifest.partition_spec_id).is_none_or(|spec| !spec.is_unpartitioned());
        for entry in load_manifest(&table.0, manifest).await?.entries().iter().filter(|e| e.is_alive()) {
            let file = entry.data_file().clone();
            let kind = file.content_type();
            if file.file_format() != DataFileFormat::Parquet {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!(
                        "{} is a file of format {:?}; only Parquet is read here (compact the table with its engine first)",
                        file.file_path(),
                        file.file_format()
                    ),
                ));
            }
            if partitioned && kind == DataContentType::EqualityDeletes {
                return Err(Error::new(
                    ErrorKind::Unsupported,
                    format!("{} deletes by key in one partition; only global deletes are read here", file.file_path()),
                ));
            }
            let sequence = entry.sequence_number().unwrap_or_default();
            match kind {
                DataContentType::Data => plan.data.push((file, sequence)),
                DataContentType::EqualityDeletes => plan.equality.push((file, sequence)),
                DataContentType::PositionDeletes => plan.position.push((file, sequence)),
            }
        }
    }
    plan.data.sort_by(|(a, s), (b, t)| s.cmp(t).then_with(|| a.file_path().cmp(b.file_path())));
    Ok(plan)
}

/// Where a field is among those that are read; it is added if it is not there.
fn place(fields: &mut Vec<NestedFieldRef>, field: &NestedFieldRef) -> usize {
    match fields.iter().position(|f| f.id == field.id) {
        Some(at) => at,
        None => {
            fields.push(Arc::clone(field));
            fields.len() - 1
        }
    }
}

impl Wanted {
    fn new(table: &Table, schema: &Schema, keys: &RecordBatch, fields: &mut Vec<NestedFieldRef>) -> Result<Self> {
        let (mut columns, mut types, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut nullable = false;
        for (field, array) in keys.schema().fields().iter().zip(keys.columns()) {
            let own = schema.as_struct().fields().iter().find(|f| f.name == *field.name()).ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    format!("table {} has no column {} to look keys up in", table.name(), field.name()),
                )
            })?;
            let r#type = arrow_type(&own.field_type)?;
            if r#type != *array.data_type() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("keys of column {} are {} and the table has {}", field.name(), array.data_type(), r#type),
                ));
            }
            nullable |= !own.required || array.null_count() > 0;
            columns.push(place(fields, own));
            types.push(r#type);
            ids.push(own.id);
        }
        let mut encoder = KeyEncoder::new(&types, nullable)?;
        let mut map = KeyMap::new();
        let mut range = None;
        let encoded = encoder.encode(keys.columns())?;
        for row in 0..keys.num_rows() {
            let key = encoded.at(row);
            if let (Key::Int(v), [id]) = (key, ids.as_slice()) {
                let (low, high) = range.map_or((v, v), |(_, l, h): (i32, i64, i64)| (l.min(v), h.max(v)));
                range = Some((*id, low, high));
            }
            map.get_or_insert(key, || ())?;
        }
        Ok(Self { columns, encoder, keys: map, range })
    }

    fn may_hold(&self, file: &DataFile) -> bool {
        let Some((id, low, high)) = self.range else { return true };
        let number = |literal: &PrimitiveLiteral| match literal {
            PrimitiveLiteral::Int(v) => Some(i64::from(*v)),
            PrimitiveLiteral::Long(v) => Some(*v),
            _ => None,
        };
        let lower = file.lower_bounds().get(&id).and_then(|d| number(d.literal()));
        let upper = file.upper_bounds().get(&id).and_then(|d| number(d.literal()));
        lower.is_none_or(|l| l <= high) && upper.is_none_or(|u| u >= low)
    }

    fn mask(&mut self, columns: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let columns: Vec<ArrayRef> = self.columns.iter().filter_map(|&i| columns.get(i)).map(Arc::clone).collect();
        let keys = self.encoder.encode(&columns)?;
        Ok((0..rows).map(|row| Some(self.keys.get(keys.at(row)).is_some())).collect())
    }
}
