//! The log on Apache Kafka, held to the contract of all logs, on one broker and on three.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod appending;
mod cluster;
mod conformance;
mod groups;
mod limits;
mod reading;
mod security;
mod tokens;
