//! Who reads the mirror's rows.

use crate::error::Result;
use arrow_array::RecordBatch;
use async_trait::async_trait;
use iceberg_writer::{Scan, Table};

/// Reads the rows of mirrored tables.
///
/// All batches of one table are of one snapshot, the table's head as it was given. Columns have the table's names, and the Arrow types in which
/// our own reader yields them, so that rows of any engine can be compared with the source's.
#[async_trait]
pub(super) trait Engine: Send + Sync {
    /// Makes sure that there is something to read with, before any table is.
    async fn ready(&self) -> Result<()>;

    /// Begins to read all rows.
    async fn open(&self, table: &Table) -> Result<Box<dyn Rows>>;
}

/// Rows that are being read. Dropping them ends the reading.
#[async_trait]
pub(super) trait Rows: Send {
    /// The next rows; `None` after the last.
    async fn next(&mut self) -> Result<Option<RecordBatch>>;
}

/// Our own reader, which opens the files itself.
pub(super) struct Builtin;

#[async_trait]
impl Engine for Builtin {
    async fn ready(&self) -> Result<()> {
        Ok(())
    }

    async fn open(&self, table: &Table) -> Result<Box<dyn Rows>> {
        Ok(Box::new(table.scan().open().await?))
    }
}

#[async_trait]
impl Rows for Scan {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        Ok(Scan::next(self).await?)
    }
}
