#![doc = include_str!("../README.md")]

mod capture;
mod catalog_view;
mod clock;
mod config;
mod database;
mod error;
mod event_lines;
mod event_records;
mod foreign_topics;
mod log_tail;
mod log_view;
mod metrics;
mod mirror;
mod progress_topic;
mod resnapshot;
mod sink;
mod source_half;
mod status;
mod supervisor;
mod verify;

pub use catalog_view::{CatalogSnapshot, CatalogTable, StatusReport, TableReport, catalog_snapshots, catalog_tables, status};
pub use cdc_core::shell_word;
pub use config::{
    ConnectSinkConfig, EventFormat, ForeignWrites, Halves, LogConfig, LogKind, MirrorConfig, Program, Secret, SinkConfig,
    SourceConfig, Topics, TrinoConfig,
};
pub use database::{Check, DatabaseUrl, Discovery, FoundTable, PASSWORD_VARIABLE, check, discover};
pub use debezium_format::{BigintUnsigned, Converter, DecimalMode, Profile};
pub use error::{BoxError, Error, ErrorKind, Result};
pub use event_lines::EventLines;
pub use iceberg_writer::CatalogAddress;
pub use log_view::{LogPartition, LogRange, LogTopic, LogView};
pub use metrics::metrics;
pub use mirror::Mirror;
pub use resnapshot::{ReadAgain, Resnapshot, TableToRead, resnapshot};
pub use status::{MirrorStatus, SourceStatus, TablePhase, TableStatus};
pub use verify::{
    ColumnDifference, Difference, DifferenceKind, KeyPart, TableVerdict, VerifyEngine, VerifyOptions, VerifyReport, verify,
};
