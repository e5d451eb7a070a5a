//! The shared vocabulary of change data capture: what a table is, what a change is, where it was read.
//!
//! A [`ChangeSource`] (MySQL, later others) yields [`SourceBatch`]es: changes of many tables as Arrow columns,
//! the schema versions they were written under, and the [`SourcePosition`] up to which they are complete.
//! Whoever keeps them (a change log) keeps the batch whole or not at all: that is what makes a restart exact.
//!
//! This crate knows no database, no log, no table format and no JSON.

mod batch;
mod error;
mod filter;
mod position;
mod progress;
mod routing;
mod schema;
mod source;
mod types;
mod value;

pub use batch::{Change, ChangeBatch, NO_IMAGE, Op, Origin, RowImage, SnapshotMarker, TransactionInfo};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use filter::{ColumnFilter, TableFilter};
pub use position::{IntervalSet, LogCoordinate, SourcePosition, TransactionSet};
pub use progress::{Barrier, BarrierKind, Generation, GenerationState, Mark, OffsetVector, Progress, ProgressKey, SchemaVersion};
pub use routing::{TopicRouter, sanitize_topic};
pub use schema::{Column, Generated, NativeType, TableId, TableSchema};
pub use source::{ChangeSource, RecoveredState, SourceBatch, SourceItem, StopReason, TableStop};
pub use types::{FIELD_ID_KEY, LogicalType};
pub use value::{Row, Value};
