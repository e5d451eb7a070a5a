#![doc = include_str!("../README.md")]

mod batch;
mod error;
mod filter;
mod position;
mod progress;
mod routing;
mod schema;
mod shell;
mod source;
mod types;
mod value;

pub use batch::{Change, ChangeBatch, NO_IMAGE, Op, Origin, RowImage, SnapshotMarker, TransactionInfo};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use filter::{ColumnFilter, TableFilter};
pub use position::{IntervalSet, LogCoordinate, SourcePosition, TransactionSet};
pub use progress::{
    Barrier, BarrierKind, Generation, GenerationState, LogEnd, Mark, OffsetVector, Progress, ProgressKey, SchemaVersion,
};
pub use routing::{TopicRouter, sanitize_topic};
pub use schema::{Column, Generated, NativeType, TableId, TableSchema};
pub use shell::shell_word;
pub use source::{ChangeSource, RecoveredState, SourceBatch, SourceItem, StopReason, TableStop};
pub use types::{FIELD_ID_KEY, LogicalType};
pub use value::{Row, Value};
