//! Source and mirror compared row by row, while both run.
//!
//! Both sides are read once, each row becomes a fingerprint, and keys whose fingerprints differ are candidates. A candidate counts only
//! if its row has not changed at the source since a position that the mirror has applied (docs/correctness.md): `settle` looks at the
//! candidates again until that is known of each.

mod applied;
mod engine;
pub(crate) mod fingerprint;
mod report;
mod settle;
mod trino;
mod trino_columns;

pub use report::{
    ColumnDifference, Difference, DifferenceKind, KeyPart, TableVerdict, VerifyEngine, VerifyOptions, VerifyReport,
};

use crate::catalog_view::open_existing;
use crate::config::MirrorConfig;
use crate::error::{Error, ErrorKind, Result};
use crate::sink::mirrored_name;
use applied::Applied;
use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use cdc_core::{SourcePosition, TableId};
use engine::{Builtin, Engine};
use fingerprint::{Columns, Fingerprints};
use iceberg_writer::{Catalog, Table};
use mysql_source::{KeyPlace, MysqlSourceConfig, TableReader};
use settle::Settler;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;
use trino::Trino;

/// Fingerprints that are held at once, about 200 MiB; larger tables are compared in several passes over both sides.
const MOST_KEYS: u64 = 3_000_000;
/// Rows of the source that are read at once.
const RANGE_ROWS: usize = 20_000;
/// A table without a key can only be read as a whole.
const MOST_KEYLESS_BYTES: usize = 512 << 20;
/// Tells how far a comparison is: the table, and rows read so far.
pub type VerifyProgress<'a> = &'a (dyn Fn(&str, u64) + Send + Sync);

/// Compares the source's tables with the mirror's, row by row. If no process runs the mirror, it is brought up to date first, in this one.
///
/// # Errors
/// Those of reaching the server or opening the catalog, of a Trino that is asked for and not there or without the catalog, and
/// [`ErrorKind::Unavailable`] if the mirror does not come to what the source has
/// committed. A difference is no error, nor is a table that cannot be read: [`TableVerdict::not_compared`] says why.
pub async fn verify(config: &MirrorConfig, options: &VerifyOptions, progress: VerifyProgress<'_>) -> Result<VerifyReport> {
    let began = Instant::now();
    let engine: Box<dyn Engine> = match options.engine {
        VerifyEngine::Builtin => Box::new(Builtin),
        VerifyEngine::Trino => Box::new(Trino::of(config)?),
    };
    engine.ready().await?;
    let source = config.source.to_mysql()?;
    let found = mysql_source::discover(&source).await?;
    let wanted =
        |id: &TableId| options.tables.is_empty() || options.tables.iter().any(|t| t.eq_ignore_ascii_case(&id.to_string()));
    if let Some(unknown) = options.tables.iter().find(|t| !found.iter().any(|f| f.table.to_string().eq_ignore_ascii_case(t))) {
        return Err(Error::configuration(format!(
            "no captured table {unknown} in the source\n  → write database.table; lakehouse status lists them"
        )));
    }
    let applied = Applied::of(config).await?;
    let compared = async {
        applied.wait_for(&mysql_source::current_position(&source).await?).await?;
        let catalog = open_existing(config).await?.ok_or_else(|| {
            let at = &config.sink.catalog_address;
            Error::new(ErrorKind::Unavailable, format!("there is no catalog {at}\n  → does the mirror that runs use another?"))
        })?;
        let comparison =
            Comparison { source: &source, catalog: &catalog, engine: &*engine, applied: &applied, options, progress };
        let tables = comparison.tables(found.iter().map(|t| &t.table).filter(|id| wanted(id))).await;
        catalog.close().await;
        tables
    }
    .await;
    // However it went, what was started here ends as it should.
    let ended = applied.end().await;
    let tables = compared?;
    ended?;
    Ok(VerifyReport { tables, took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

struct Comparison<'a> {
    source: &'a MysqlSourceConfig,
    catalog: &'a Catalog,
    engine: &'a dyn Engine,
    applied: &'a Applied,
    options: &'a VerifyOptions,
    progress: VerifyProgress<'a>,
}

/// What the mirror holds of one key.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    row: u128,
    in_mirror: u32,
    in_source: u32,
    differs: bool,
}

impl Comparison<'_> {
    async fn tables(&self, ids: impl Iterator<Item = &TableId>) -> Result<Vec<TableVerdict>> {
        let mut tables = Vec::new();
        for id in ids {
            let mut verdict = TableVerdict { table: id.to_string(), ..TableVerdict::default() };
            verdict.stopped = self.applied.stopped(&verdict.table)?;
            verdict.not_compared = match self.table(id, &mut verdict).await {
                Ok(()) => None,
                // What one table lacks says nothing of the others; a server that is gone does.
                Err(e) if e.kind() == ErrorKind::Unavailable && mysql_source::current_position(self.source).await.is_err() => {
                    return Err(e);
                }
                Err(e) => Some(e.to_string()),
            };
            tables.push(verdict);
        }
        Ok(tables)
    }

    /// Compares one table. An error says why it cannot be compared.
    async fn table(&self, id: &TableId, verdict: &mut TableVerdict) -> Result<()> {
        let mut reader = TableReader::of_table(self.source, id).await?;
        let name = mirrored_name(id);
        let mut mirror = self.catalog.load_table(&name).await?.ok_or_else(|| {
            let hint = "lakehouse status says what the mirror does with it";
            Error::configuration(format!("there is no table {name} in the catalog {}\n  → {hint}", self.catalog.name()))
        })?;
        let schema = Arc::clone(reader.schema());
        let columns = Columns { schema: schema.arrow_schema(), key: schema.key.clone() };
        let rows =
            mirror.head().and_then(|s| s.summary().additional_properties.get("total-records")?.parse::<u64>().ok()).unwrap_or(0);
        let passes = rows.div_ceil(MOST_KEYS).max(1);
        let mut candidates = Vec::new();
        for pass in 0..passes {
            let chosen = Chosen { pass, passes, sample_percent: self.options.sample_percent };
            mirror = mirror.refresh().await?;
            candidates.extend(self.pass(&mut reader, &columns, &mirror, &chosen, verdict).await?);
        }
        let mut settler = Settler::new(&mut reader, self.applied, &columns, &mirror, self.engine, self.options.differences_kept);
        settler.settle(candidates, verdict).await
    }

    /// Reads both sides once and returns the keys whose rows are not the same, as batches of key columns.
    async fn pass(
        &self,
        reader: &mut TableReader,
        columns: &Columns,
        mirror: &Table,
        chosen: &Chosen,
        verdict: &mut TableVerdict,
    ) -> Result<Vec<RecordBatch>> {
        let name = reader.table().to_string();
        let mut seen: HashMap<u128, Seen, foldhash::fast::RandomState> = HashMap::default();
        let mut scan = self.engine.open(mirror).await?;
        let mut rows = 0;
        while let Some(batch) = scan.next().await? {
            let batch = columns.align(&batch)?;
            let Fingerprints { keys, rows: prints } = columns.fingerprints(&batch)?;
            for (key, row) in keys.iter().zip(&prints).filter(|(key, _)| chosen.has(**key)) {
                let entry = seen.entry(*key).or_default();
                entry.differs |= entry.in_mirror > 0 && entry.row != *row;
                entry.row = *row;
                entry.in_mirror = entry.in_mirror.saturating_add(1);
                verdict.mirror_rows += 1;
            }
            rows += keys.len() as u64;
            (self.progress)(&name, rows);
        }
        let mut candidates = Vec::new();
        let mut source = SourceRows::new(reader);
        while let Some(chunk) = source.next().await? {
            let batch = columns.align(&chunk)?;
            let Fingerprints { keys, rows: prints } = columns.fingerprints(&batch)?;
            let mut differing = Vec::new();
            for (at, (key, row)) in keys.iter().zip(&prints).enumerate().filter(|(_, (key, _))| chosen.has(**key)) {
                verdict.source_rows += 1;
                let entry = seen.entry(*key).or_default();
                entry.in_source = entry.in_source.saturating_add(1);
                entry.differs |= entry.in_mirror > 0 && entry.row != *row;
                if columns.key.is_empty() {
                    continue; // counted at the end
                }
                if entry.in_mirror != 1 || entry.differs {
                    entry.differs = true;
                    differing.push(u32::try_from(at).unwrap_or(u32::MAX));
                }
            }
            candidates.extend(self.keys(columns, &batch, differing)?);
            rows += keys.len() as u64;
            (self.progress)(&name, rows);
        }
        verdict.mapped = std::mem::take(&mut source.mapped);
        // What is left is only in the mirror; of a table without a key, what is not there as often as in the source.
        let left = |s: &Seen| if columns.key.is_empty() { s.in_mirror != s.in_source } else { s.in_source == 0 };
        if seen.values().any(left) {
            candidates.extend(self.mirror_keys(columns, mirror, |key| seen.get(&key).is_some_and(left)).await?);
        }
        if columns.key.is_empty() && seen.values().any(|s| s.in_mirror == 0) {
            candidates.extend(self.source_rows(reader, columns, |key| seen.get(&key).is_some_and(|s| s.in_mirror == 0)).await?);
        }
        Ok(candidates)
    }

    fn keys(&self, columns: &Columns, batch: &RecordBatch, rows: Vec<u32>) -> Result<Option<RecordBatch>> {
        if rows.is_empty() {
            return Ok(None);
        }
        let keys = columns.keys_of(batch)?;
        let taken = take_record_batch(&keys, &UInt32Array::from(rows));
        taken.map(Some).map_err(|e| Error::new(ErrorKind::Other, format!("keys cannot be taken: {e}")).with_source(e))
    }

    /// The distinct keys of the mirror that `wanted` says yes to.
    async fn mirror_keys(&self, columns: &Columns, mirror: &Table, wanted: impl Fn(u128) -> bool) -> Result<Option<RecordBatch>> {
        let mut found = Vec::new();
        let mut taken = std::collections::HashSet::new();
        let mut scan = self.engine.open(mirror).await?;
        while let Some(batch) = scan.next().await? {
            let batch = columns.align(&batch)?;
            found.extend(self.distinct(columns, &batch, &wanted, &mut taken)?);
        }
        concatenated(found)
    }

    /// The distinct rows of a source table without a key that `wanted` says yes to.
    async fn source_rows(
        &self,
        reader: &mut TableReader,
        columns: &Columns,
        wanted: impl Fn(u128) -> bool,
    ) -> Result<Option<RecordBatch>> {
        let mut found = Vec::new();
        let mut taken = std::collections::HashSet::new();
        let mut source = SourceRows::new(reader);
        while let Some(batch) = source.next().await? {
            let batch = columns.align(&batch)?;
            found.extend(self.distinct(columns, &batch, &wanted, &mut taken)?);
        }
        concatenated(found)
    }

    fn distinct(
        &self,
        columns: &Columns,
        batch: &RecordBatch,
        wanted: &impl Fn(u128) -> bool,
        taken: &mut std::collections::HashSet<u128>,
    ) -> Result<Option<RecordBatch>> {
        let keys = columns.fingerprints(batch)?.keys;
        let rows = keys.iter().enumerate().filter(|(_, key)| wanted(**key) && taken.insert(**key));
        self.keys(columns, batch, rows.filter_map(|(at, _)| u32::try_from(at).ok()).collect())
    }
}

/// All rows of a source table, batch by batch.
struct SourceRows<'a> {
    reader: &'a mut TableReader,
    after: Option<KeyPlace>,
    done: bool,
    /// Between which positions the last batch was so.
    low: SourcePosition,
    high: SourcePosition,
    /// Values that are mapped, by column.
    mapped: BTreeMap<String, u64>,
}

impl<'a> SourceRows<'a> {
    fn new(reader: &'a mut TableReader) -> Self {
        let (low, high) = (SourcePosition::default(), SourcePosition::default());
        Self { reader, after: None, done: false, low, high, mapped: BTreeMap::new() }
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if self.done {
            return Ok(None);
        }
        let read = if self.reader.schema().key.is_empty() {
            let read = self.reader.whole(MOST_KEYLESS_BYTES).await?;
            if read.more {
                let table = self.reader.table();
                return Err(Error::configuration(format!(
                    "{table} has no key and is larger than the {} MiB that can be compared at once\n  → give it a key, or leave it out of the list",
                    MOST_KEYLESS_BYTES >> 20
                )));
            }
            self.done = true;
            read
        } else {
            let read = self.reader.range(self.after.as_ref(), RANGE_ROWS).await?;
            self.done = !read.more;
            self.after.clone_from(&read.last);
            read
        };
        for (column, count) in read.mapped {
            *self.mapped.entry(column).or_default() += count;
        }
        (self.low, self.high) = (read.low, read.high);
        Ok(Some(read.rows))
    }
}

fn concatenated(batches: Vec<RecordBatch>) -> Result<Option<RecordBatch>> {
    let Some(first) = batches.first() else { return Ok(None) };
    let whole = concat_batches(first.schema_ref(), &batches);
    whole.map(Some).map_err(|e| Error::new(ErrorKind::Other, format!("keys cannot be put together: {e}")).with_source(e))
}

/// Which keys a pass looks at.
struct Chosen {
    pass: u64,
    passes: u64,
    sample_percent: Option<f64>,
}

impl Chosen {
    fn has(&self, key: u128) -> bool {
        let low = key as u64;
        let sampled = self.sample_percent.is_none_or(|percent| ((key >> 64) as u64 % 1_000_000) as f64 <= percent * 10_000.0);
        sampled && low % self.passes == self.pass
    }
}
