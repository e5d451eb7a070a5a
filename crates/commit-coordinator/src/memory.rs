//! Everything that the protocol needs, in memory: a table with Iceberg's rules, a log with progress records, a writer.
//!
//! They are real implementations, for tests, examples and simulations; rows are a key and a value.

mod log;
mod table;
mod writer;

pub use log::{MemoryKind, MemoryProgress, MemoryRecord, MemorySpanLog};
pub use table::{MemoryFiles, MemoryLive, MemoryReplaced, MemorySnapshot, MemoryTable};
pub use writer::MemoryWriter;
