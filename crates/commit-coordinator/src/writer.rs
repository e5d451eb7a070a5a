use crate::error::Result;
use crate::log_view::{BarrierLine, Facts};
use crate::span::Span;
use async_trait::async_trait;

/// Where records come from, and what holds for them.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// The read position before them.
    pub from: i64,
    /// The read position after them.
    pub to: i64,
    /// Their schema version and generation; no record is at or after `facts.until`.
    pub facts: Facts,
    /// The number of the last barrier before them.
    pub after_barrier: u64,
    /// Others have changed the table's rows: no insert may skip its delete.
    pub touched: bool,
}

/// A span that is written.
#[derive(Debug)]
pub struct Written<F> {
    /// The files, durable; `None` if there was nothing to write.
    pub files: Option<F>,
    /// The newest change, microseconds since the Unix epoch; 0 if there is none.
    pub source_ts_us: i64,
    /// Some insert was written without a delete.
    pub skips_deletes: bool,
}

/// Turns the records of spans into files. One writer serves one worker; all records of an open span have one schema version.
///
/// # Contract
/// - Within a span, for each key, the first event decides the delete and the last one the data row.
/// - Errors of kind [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) make the worker begin again at the checkpoint,
///   with [`restart`](Self::restart); any other kind stops the table.
/// - A dropped future may leave the open span in any state: `restart` follows.
#[async_trait]
pub trait SpanWriter: Send {
    /// What the log yields.
    type Records: Send + 'static;
    /// What is offered.
    type Files: Send + Sync + 'static;

    /// Throws the open span away; the next records begin at these read positions. Whatever the writer remembers of a log
    /// partition (keys seen since a generation began) holds on only if its own reading went up to exactly there.
    async fn restart(&mut self, at: &[Span]) -> Result<()>;

    /// Adds records to the open span.
    async fn write(&mut self, place: &Place<'_>, records: Self::Records) -> Result<()>;

    /// Rows and bytes of the open span, for cutting it.
    fn open(&self) -> (u64, usize);

    /// Ends the span.
    async fn finish(&mut self) -> Result<Written<Self::Files>>;

    /// The barrier is committed: a table whose rows it removed is empty.
    fn passed(&mut self, _barrier: &BarrierLine) {}

    /// Files that were written and never offered: nobody will commit them, clean-up may have them.
    fn abandon(&mut self, files: Self::Files);
}
