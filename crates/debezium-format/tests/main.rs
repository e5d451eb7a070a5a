//! What the real Debezium wrote is what this crate writes and reads; whatever it writes, it reads back; nothing makes it crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod connect;
mod defaults;
mod embedded;
mod embedded_hostile;
mod embedded_rows;
mod golden;
mod golden_decode;
mod golden_encode;
mod hostile;
mod images;
mod key_changes;
mod mutations;
mod random;
mod round_trip;
