#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model;
#[cfg(feature = "planted-bugs")]
mod planted;
mod protocol;
mod seeds;
mod sim;
