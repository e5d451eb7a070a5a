//! What the demo, the benchmark and the kill test share: real servers through the scripts in `dev/`, the real `lakehouse`
//! binary as a child process, and clocks.

pub mod binary;
pub mod process;
pub mod server;

use std::path::{Path, PathBuf};

/// Any failure: these programs print it and end.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The folder of the checkout.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}
