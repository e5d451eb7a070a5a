//! The logs of this crate, held to their contract and to what can happen to files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod conformance;
mod damage;
mod full_disk;
mod kill;
mod model;
mod open;
mod segments;
mod support;
