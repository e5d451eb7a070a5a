//! The program from outside: what it prints where, and its exit codes, on real servers (docs/command-line.md).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod catalogs;
mod check;
mod help;
mod output;
mod refusals;
mod run;
mod support;
mod verify;
mod walk;
