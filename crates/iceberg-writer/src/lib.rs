#![doc = include_str!("../README.md")]

mod catalog;
mod clock;
mod collapse;
mod commit;
mod compaction;
mod delta;
mod encode;
mod error;
mod evolve;
mod key;
mod lineage;
mod manifests;
mod metrics;
mod orphans;
mod scan;
mod schema;
mod storage;
mod table;
mod upkeep;

pub use catalog::{Catalog, CatalogAddress, CatalogConfig, TableName, TableOptions};
pub use clock::{Clock, ManualClock, SystemClock};
pub use collapse::NewRows;
pub use commit::{Commit, CommitError};
pub use compaction::{CompactionConfig, CompactionPlan, CompactionStats, RewriteFiles};
pub use delta::{DeltaFiles, DeltaStats, DeltaWriter, WriterConfig};
pub use encode::ValueEncoding;
pub use error::{BoxError, Error, ErrorKind, Result};
pub use lineage::{ForeignCommit, Lineage};
pub use scan::{Scan, ScanBuilder};
pub use schema::{NESTED_IDS_FROM, equality_ids, iceberg_schema, nested_field_id};
pub use storage::{Durability, LocalStorage, LocalStorageFactory};
pub use table::Table;
pub use upkeep::Upkeep;
