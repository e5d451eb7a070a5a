//! The whole mirror on real servers, as a user of the library has it: what the tables hold is compared with the source's own SELECT.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod catalogs;
mod changes;
mod compaction;
mod connectors;
mod damage;
mod ddl;
mod event_form;
mod foreign_topics;
mod golden;
mod kafka;
mod names;
mod random_values;
mod refusals;
mod resnapshot;
mod restart;
mod server_faults;
mod shop;
mod snapshot;
mod space;
mod support;
mod takeover;
mod types;
mod verify;
mod verify_trino;
