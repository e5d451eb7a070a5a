//! The crate's behaviour on real files and a real catalog.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod catalog;
mod compaction;
mod concurrency;
mod evolution;
mod long_run;
mod random;
mod scenarios;
mod support;
mod types;
mod upkeep;
