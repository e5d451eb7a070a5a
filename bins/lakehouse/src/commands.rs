//! One file per command: reads the configuration, calls the library, prints the result.

pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod log;
pub(crate) mod resnapshot;
pub(crate) mod run;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod tables;
pub(crate) mod verify;

use mirror::{MirrorConfig, Program, Result};
use mirror_cli::Options;

/// Reads the configuration and says once what in it was ignored.
fn read_config(options: &Options) -> Result<MirrorConfig> {
    options.read_config(Program::Lakehouse)
}
