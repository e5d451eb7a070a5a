#![doc = include_str!("../README.md")]

mod block;
mod builder;
mod codec;
mod compacted;
#[cfg(feature = "conformance")]
pub mod conformance;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod local;
mod log;
mod memory;
mod prepare;
mod records;

pub use builder::{HeaderSet, MAX_BATCH_BYTES, RecordsBuilder};
pub use error::{Error, ErrorKind, Result};
#[cfg(feature = "kafka")]
pub use kafka::{ConsumerGroup, GroupState, KafkaLog, KafkaLogConfig};
pub use local::{Holder, LocalLog, LocalLogConfig, OverRetention};
pub use log::{Append, Appended, ChangeLog, Fetched, LogIdentity, OffsetRange, Producer, TopicInfo, TopicSpec, Transaction};
pub use memory::MemoryLog;
pub use records::{Headers, RecordRef, Records, RecordsIter};
