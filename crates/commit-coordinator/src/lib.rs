#![doc = include_str!("../README.md")]

mod checkpoint;
mod coordinator;
mod environment;
mod error;
pub mod failpoint;
mod lineage;
mod log_view;
pub mod memory;
mod one_table;
mod planted;
mod refusal;
mod rule;
mod span;
mod start;
mod table;
mod transport;
mod worker;
mod writer;

pub use checkpoint::{
    CHECKPOINT_PROPERTY, CHECKPOINT_VERSION, COMMIT_ID_PROPERTY, Checkpoint, OFFSETS_PROPERTY, SINK_PROPERTY, SOURCE_TS_PROPERTY,
    TopicCheckpoint, check_sink_id, checkpoint_tag,
};
pub use coordinator::{Coordinator, CoordinatorSettings, CoordinatorStatus};
pub use environment::{Environment, SystemEnvironment};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use lineage::{Descent, ForeignCommit, ForeignRows, ForeignWrites, Lineage, Operation, SnapshotView, assess, trace};
pub use log_view::{
    BarrierLine, Facts, Fetch, GenerationStart, LogInspector, LogView, PartitionView, ProgressView, SpanLog, TopicView,
};
pub use one_table::run_table;
#[cfg(feature = "planted-bugs")]
pub use planted::{Bug, Discard, Planted};
pub use refusal::Refusal;
pub use rule::{Admission, Round, Stale, Verdict, check_log, decide};
pub use span::{Act, BarrierKind, Claim, Covered, Span};
pub use start::{FirstStart, first_checkpoint};
pub use table::{Change, Head, MirrorTable, SwapError};
pub use transport::{Answer, Delta, LocalTransport, PendingAnswer, Receipt, Transport, WeakTransport};
pub use worker::{Applied, Finished, Worker, WorkerParts, WorkerSettings};
pub use writer::{Place, SpanWriter, Written};
