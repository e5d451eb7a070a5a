//! What ends the following of one table, or of all.

use crate::decode_error::DecodeError;
use crate::error::problem;
use crate::stream::Stream;
use crate::stream_table::Phase;
use cdc_core::{Error, ErrorKind, Result, SourceItem, StopReason, TableStop, shell_word};

impl Stream {
    pub(crate) fn stop_undecodable(&mut self, index: usize, error: &DecodeError) -> Result<()> {
        self.stop(index, StopReason::UndecodableRow, &format!("a row cannot be decoded: {error}"), &[])
    }

    /// The table cannot be followed any further; what was read of it before is handed on first. `ways`: what is to be done, before it
    /// is read again.
    pub(crate) fn stop(&mut self, index: usize, reason: StopReason, what: &str, ways: &[&str]) -> Result<()> {
        let position = self.position_now();
        let Some(table) = self.tables.get_mut(index) else { return Ok(()) };
        table.flush(&mut self.out)?;
        table.phase = Phase::Stopped;
        table.window = None;
        table.new_creates_after = None;
        let at = format!("at {} {}", self.file, self.end);
        // Whatever is done, what came meanwhile was not taken in; but a table that is not there cannot be read.
        let then = if ways.is_empty() { "" } else { "then " };
        let again = format!("{then}read it again: lakehouse resnapshot {}", shell_word(&table.id.to_string()));
        let again = (reason != StopReason::Dropped).then_some(again.as_str());
        let ways: Vec<&str> = ways.iter().copied().chain(again).collect();
        let message =
            problem(ErrorKind::Unsafe, format!("{} is not followed any further", table.id), &[what, &at], &ways).to_string();
        tracing::error!(table = %table.id, ?reason, "{message}");
        self.out.items.push(SourceItem::Stop(TableStop { table: table.id.clone(), reason, message, position }));
        Ok(())
    }

    /// An error that ends the source, at the present place of the log.
    pub(crate) fn refuse(&self, what: &str, ways: &[&str]) -> Error {
        problem(
            ErrorKind::Unsafe,
            format!("cannot go on with the binary log of {}", self.config.address()),
            &[what, &format!("at {} {}", self.file, self.end)],
            ways,
        )
    }
}
