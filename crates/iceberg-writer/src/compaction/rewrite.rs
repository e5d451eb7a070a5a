//! The rewrite itself: first which rows are dead, then the others into new files.

use super::CompactionPlan;
use super::output::Output;
use crate::error::{Error, ErrorKind, Result};
use crate::scan::deletes::{KeySet, by_columns, load_positions, spared};
use crate::scan::file::DataReader;
use crate::storage::free_bytes;
use crate::table::{Rhythm, Table};
use arrow_array::{ArrayRef, BooleanArray};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_select::filter::filter;
use iceberg::spec::{DataFile, NestedFieldRef};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Rows that are read at once take about so much memory.
const BATCH_BYTES: u64 = 4 << 20;
const BATCH_ROWS: u64 = 8_192;
/// What must stay free beside the new files.
const SPARE_BYTES: u64 = 64 << 20;
/// Decoded values are about so many times as large as they are in a file.
const INFLATION: u64 = 4;

/// What a rewrite read and wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CompactionStats {
    /// Data and delete files that go.
    pub files_before: usize,
    /// Those that come in their place.
    pub files_after: usize,
    /// Bytes of the files that go.
    pub bytes_before: u64,
    /// Bytes of the files that come.
    pub bytes_after: u64,
    /// Rows that were there and deleted.
    pub rows_dropped: u64,
    /// How long it took.
    pub took: Duration,
}

/// New files with the rows of others, not yet part of any snapshot.
#[derive(Debug, Clone)]
pub struct RewriteFiles {
    pub(crate) data: Vec<DataFile>,
    pub(crate) deletes: Vec<DataFile>,
    /// The files that go, each with its data sequence number.
    pub(crate) replaced: Vec<(DataFile, i64)>,
    /// The data sequence number of the new files.
    pub(crate) sequence: i64,
    /// The sequence number of the snapshot whose deletes were looked at.
    pub(crate) seen: i64,
    pub(crate) table_uuid: uuid::Uuid,
    /// The columns that were copied, by field id, and the highest id that had been given to one.
    pub(crate) fields: Vec<i32>,
    pub(crate) last_column_id: i32,
    stats: CompactionStats,
    /// Until it is committed or given up, its files are nobody's orphans.
    _in_flight: Arc<InFlight>,
}

/// A rewrite that is under way.
#[derive(Debug)]
struct InFlight(Arc<Rhythm>);

impl InFlight {
    fn of(table: &Table) -> Arc<Self> {
        let rhythm = Arc::clone(&table.0.rhythm);
        rhythm.rewrites.fetch_add(1, Ordering::AcqRel);
        Arc::new(Self(rhythm))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.rewrites.fetch_sub(1, Ordering::AcqRel);
    }
}

impl RewriteFiles {
    /// What was read and written.
    pub fn stats(&self) -> &CompactionStats {
        &self.stats
    }

    /// Deletes the files. Only for files that were never offered to a commit whose outcome is not certainly "no".
    pub async fn discard(self, table: &Table) {
        for file in self.data.iter().chain(&self.deletes) {
            table.catalog().delete_quietly(file.file_path()).await;
        }
    }
}

/// Which rows of a data file live; `None` is all.
type Living = HashMap<String, BooleanBuffer>;

impl CompactionPlan {
    /// Writes the files. Holds the keys of deletes up to [`CompactionConfig::key_bytes`](super::CompactionConfig::key_bytes), a bit for each row and one row group.
    ///
    /// Dropping the future leaves files that nobody names.
    ///
    /// # Errors
    /// A missing or damaged file, named; those of the storage. [`ErrorKind::DiskFull`] also if the files that go are larger than what is
    /// free: it does not begin then. What was written is deleted.
    pub async fn run(&self) -> Result<RewriteFiles> {
        self.check_space().await?;
        let mut outputs = Vec::new();
        let result = self.write(&mut outputs).await;
        if result.is_err() {
            let paths: Vec<String> = outputs.iter().flat_map(Output::paths).map(str::to_owned).collect();
            for path in paths {
                self.table.catalog().delete_quietly(&path).await;
            }
        }
        result
    }

    /// The new files lie beside the old ones for a while.
    async fn check_space(&self) -> Result<()> {
        let needed =
            self.data.iter().chain(&self.equality).map(|(f, _)| f.file_size_in_bytes()).fold(SPARE_BYTES, u64::saturating_add);
        match free_bytes(self.table.metadata().location().to_owned()).await {
            Some(free) if free < needed => Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "compacting table {} needs {needed} bytes beside its files, and {free} are free; free some, it is tried again",
                    self.table.name()
                ),
            )),
            _ => Ok(()),
        }
    }

    async fn write(&self, outputs: &mut Vec<Output>) -> Result<RewriteFiles> {
        let started = Instant::now();
        let in_flight = InFlight::of(&self.table);
        let mut living = Living::new();
        self.apply_keys(&mut living, outputs).await?;
        self.apply_positions(&mut living).await?;

        // A file of the wanted size whose rows all live stays, if no delete stays that would come to be newer than its rows.
        let stays =
            |file: &DataFile| !self.keeps_deletes && self.config.is_settled(file) && !living.contains_key(file.file_path());
        let rewritten: Vec<&(DataFile, i64)> = self.data.iter().filter(|(file, _)| !stays(file)).collect();
        let rows = rewritten.iter().map(|(f, _)| f.record_count()).fold(0, u64::saturating_add);
        let mut output = Output::of_data(&self.table, self.config.target_file_bytes, usize::try_from(rows).unwrap_or(usize::MAX));
        let mut kept = 0_u64;
        let mut copied = Ok(0);
        for (file, _) in &rewritten {
            copied = copy(&self.table, file, living.get(file.file_path()), &mut output).await;
            kept = kept.saturating_add(*copied.as_ref().unwrap_or(&0));
            if copied.is_err() {
                break;
            }
        }
        outputs.push(output);
        copied?;
        let mut written = Vec::with_capacity(outputs.len());
        for output in outputs.iter_mut() {
            written.push(output.finish().await?);
        }
        let data = written.pop().unwrap_or_default();
        let deletes: Vec<DataFile> = written.into_iter().flatten().collect();

        let mut replaced: Vec<(DataFile, i64)> = rewritten.into_iter().chain(&self.equality).cloned().collect();
        if self.whole {
            replaced.extend(self.position.iter().cloned());
        }
        let bytes =
            |files: &mut dyn Iterator<Item = &DataFile>| files.map(DataFile::file_size_in_bytes).fold(0, u64::saturating_add);
        let stats = CompactionStats {
            files_before: replaced.len(),
            files_after: data.len() + deletes.len(),
            bytes_before: bytes(&mut replaced.iter().map(|(f, _)| f)),
            bytes_after: bytes(&mut data.iter().chain(&deletes)),
            rows_dropped: rows.saturating_sub(kept),
            took: started.elapsed(),
        };
        Ok(RewriteFiles {
            data,
            deletes,
            replaced,
            sequence: self.sequence,
            seen: self.table.head().map_or(0, |head| head.sequence_number()),
            table_uuid: self.table.uuid(),
            fields: self.table.schema().as_struct().fields().iter().map(|f| f.id).collect(),
            last_column_id: self.table.metadata().last_column_id(),
            stats,
            _in_flight: in_flight,
        })
    }

    /// Marks the rows that were deleted by key; what of the deletes stays is written.
    async fn apply_keys(&self, living: &mut Living, outputs: &mut Vec<Output>) -> Result<()> {
        for (ids, mut files) in by_columns(self.equality.clone())? {
            // Newest first: what a key is seen with first is its newest delete.
            files.sort_by_key(|(_, sequence)| std::cmp::Reverse(*sequence));
            let mut set = KeySet::new(&self.table, self.table.schema(), &ids)?;
            let rows = files.iter().map(|(f, _)| f.record_count()).fold(0, u64::saturating_add);
            let mut output = self.keeps_deletes.then(|| {
                let rows = usize::try_from(rows).unwrap_or(usize::MAX);
                // Whoever reads the file holds its keys.
                let bytes = self.config.target_file_bytes.min(self.config.key_bytes as u64 / 4);
                Output::of_deletes(&self.table, set.fields.clone(), bytes, self.config.delete_file_rows, rows)
            });
            let result = self.apply_set(&mut set, &ids, &files, living, output.as_mut()).await;
            outputs.extend(output);
            result?;
        }
        Ok(())
    }

    async fn apply_set(
        &self,
        set: &mut KeySet,
        ids: &[i32],
        files: &[(DataFile, i64)],
        living: &mut Living,
        mut output: Option<&mut Output>,
    ) -> Result<()> {
        for (file, sequence) in files {
            let mut reader = DataReader::open(&self.table, file, &set.fields, batch_rows(file)).await?;
            while let Some((columns, rows)) = reader.next().await? {
                let unseen = set.add(&columns, rows, *sequence)?;
                if let Some(output) = &mut output {
                    output.push(filtered(&columns, &unseen)?).await?;
                }
                // What comes later is as old or older: a key that comes again was deleted by the newer one first.
                if set.bytes() >= self.config.key_bytes {
                    self.mark(set, living).await?;
                    *set = KeySet::new(&self.table, self.table.schema(), ids)?;
                }
                tokio::task::yield_now().await;
            }
        }
        self.mark(set, living).await
    }

    /// Marks the rows whose keys are in the set.
    async fn mark(&self, set: &mut KeySet, living: &mut Living) -> Result<()> {
        let (fields, last) = (set.fields.clone(), set.last());
        for (file, sequence) in self.data.iter().filter(|(_, sequence)| *sequence < last) {
            let mut alive = BooleanBufferBuilder::new(usize::try_from(file.record_count()).unwrap_or(0));
            let mut reader = DataReader::open(&self.table, file, &fields, batch_rows(file)).await?;
            while let Some((columns, rows)) = reader.next().await? {
                alive.append_buffer(&set.survivors(&columns, rows, *sequence)?);
                tokio::task::yield_now().await;
            }
            narrow(living, file, alive.finish())?;
        }
        Ok(())
    }

    /// Marks the rows that were deleted by position.
    async fn apply_positions(&self, living: &mut Living) -> Result<()> {
        if self.position.is_empty() {
            return Ok(());
        }
        let positions = load_positions(&self.table, self.position.clone()).await?;
        for (file, sequence) in &self.data {
            if let Some(deleted) = positions.get(file.file_path()) {
                let rows = usize::try_from(file.record_count()).unwrap_or(usize::MAX);
                narrow(living, file, spared(deleted, rows, *sequence, 0))?;
            }
        }
        Ok(())
    }
}

fn narrow(living: &mut Living, file: &DataFile, alive: BooleanBuffer) -> Result<()> {
    if alive.count_set_bits() == alive.len() {
        return Ok(());
    }
    match living.get_mut(file.file_path()) {
        Some(known) if known.len() != alive.len() => Err(miscounted(file, known.len().min(alive.len()))),
        Some(known) => {
            *known = &*known & &alive;
            Ok(())
        }
        None => {
            living.insert(file.file_path().to_owned(), alive);
            Ok(())
        }
    }
}

fn miscounted(file: &DataFile, counted: usize) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{} has another number of rows than the {counted} that were counted in it; restore it from a copy",
            file.file_path()
        ),
    )
}

/// Copies the living rows of a file; returns how many they are.
async fn copy(table: &Table, file: &DataFile, living: Option<&BooleanBuffer>, to: &mut Output) -> Result<u64> {
    let fields: Vec<NestedFieldRef> = table.schema().as_struct().fields().to_vec();
    let (mut first, mut kept) = (0_usize, 0_u64);
    let mut reader = DataReader::open(table, file, &fields, batch_rows(file)).await?;
    while let Some((columns, rows)) = reader.next().await? {
        let mask = match living {
            Some(all) if all.len() < first.saturating_add(rows) => {
                return Err(miscounted(file, all.len()));
            }
            Some(all) => Some(BooleanArray::new(all.slice(first, rows), None)),
            None => None,
        };
        first = first.saturating_add(rows);
        let columns = match mask {
            Some(mask) => filtered(&columns, &mask)?,
            None => columns,
        };
        kept = kept.saturating_add(columns.first().map_or(0, |c| c.len() as u64));
        to.push(columns).await?;
        tokio::task::yield_now().await;
    }
    Ok(kept)
}

fn filtered(columns: &[ArrayRef], keep: &BooleanArray) -> Result<Vec<ArrayRef>> {
    if keep.true_count() == keep.len() {
        return Ok(columns.to_vec());
    }
    columns.iter().map(|c| filter(c, keep).map_err(|e| Error::arrow("choosing the rows that live", e))).collect()
}

fn batch_rows(file: &DataFile) -> usize {
    let row = (file.file_size_in_bytes() / file.record_count().max(1)).saturating_mul(INFLATION).max(1);
    usize::try_from((BATCH_BYTES / row).clamp(1, BATCH_ROWS)).unwrap_or(BATCH_ROWS as usize)
}
