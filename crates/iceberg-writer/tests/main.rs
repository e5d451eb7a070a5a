//! The crate's behaviour on real files and a real catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod catalog_lost_connections;
mod catalog_other_engines;
mod catalog_sqlite;
mod catalog_tables;
mod compaction;
mod concurrency;
mod evolution;
mod long_run;
mod random;
mod scenarios;
mod servers;
mod support;
mod types;
mod upkeep;
