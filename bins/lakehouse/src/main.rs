//! `lakehouse`: keeps Apache Iceberg tables an exact mirror of a MySQL or MariaDB database.
//!
//! This program holds arguments, output and exit codes; everything else is in the `mirror` library.

mod arguments;
mod commands;
mod output;
mod text_table;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// What a command ends with besides an error; the numbers are documented in `docs/command-line.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 0
    Done,
    /// 1: a difference was found, or a check failed.
    Difference,
    /// 4: a table stopped to keep data safe.
    StoppedTables,
    /// 130: interrupted.
    Interrupted,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Done => 0,
            Outcome::Difference => 1,
            Outcome::StoppedTables => 4,
            Outcome::Interrupted => 130,
        })
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    output::start_logging(&arguments.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::print_error(&arguments.global, &format!("cannot start: {e}"), None);
            return ExitCode::from(3);
        }
    };
    let global = &arguments.global;
    let result = runtime.block_on(async {
        match &arguments.command {
            Command::Init(args) => commands::init::run(global, args).await,
            Command::Check => commands::check::run(global).await,
            Command::Run(args) => commands::run::run(global, args).await,
            Command::Verify(args) => commands::verify::run(global, args).await,
            Command::Status(args) => commands::status::run(global, args).await,
            Command::Tables => commands::tables::run(global).await,
            Command::Snapshots(args) => commands::snapshots::run(global, args).await,
            Command::Resnapshot(args) => commands::resnapshot::run(global, args).await,
            Command::Log(args) => commands::log::run(global, args).await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(outcome) => outcome.into(),
        Err(e) => {
            output::print_error(global, &e.to_string(), std::error::Error::source(&e));
            ExitCode::from(e.exit_code())
        }
    }
}
