//! Change-data capture from MySQL and MariaDB: lock-free snapshots and the binary log, as Arrow change batches

mod charset;
mod charset_tables;
mod config;
mod connection;
mod cursor;
mod decimal;
mod decode;
mod decode_buffers;
mod decode_error;
mod discover;
mod error;
mod event;
mod event_body;
mod geometry;
mod json;
mod position;
mod preflight;
mod rows_event;
mod stream_log;
mod table_map;
mod temporal;

pub use config::{Clock, MysqlSourceConfig, MysqlSourceConfigBuilder, SnapshotMode, TlsMode};
pub use connection::{ServerInfo, ServerKind};
pub use decode::RowPlan;
pub use decode_buffers::RowBuffers;
pub use decode_error::{DecodeError, DecodeErrorKind, DecodeResult};
pub use discover::{DiscoveredTable, discover};
pub use event::{Event, EventHeader, EventReader, event_type};
pub use event_body::{EventBody, FormatDescription, Gtid, MariadbGtid, Query};
pub use position::{format_gtid_set, parse_gtid_set, parse_mariadb_position};
pub use preflight::{CheckResult, preflight};
pub use rows_event::{RowsEvent, RowsKind};
pub use table_map::{Collations, ColumnLayout, TableMapEvent, TableMetadata, column_type};
