//! The client against a server that misbehaves as told, and against a real Trino by the project's own script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

mod cancelling;
mod hostile;
mod login;
mod paging;
mod real_cancelling;
mod retries;
mod secrets;
mod statements;
mod types;
