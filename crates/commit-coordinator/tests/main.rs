#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "failpoints")]
mod kills;
mod model;
#[cfg(feature = "planted-bugs")]
mod planted;
mod protocol;
mod rewrites;
mod seeds;
mod sim;
