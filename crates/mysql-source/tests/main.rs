//! The source on real servers: MySQL and MariaDB, by the project's own scripts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

mod ddl;
mod lasting;
mod odd;
mod reader;
mod refusals;
mod reset;
mod restart;
mod rollback;
mod shop;
mod trap;
