//! `lakehouse`: keeps Apache Iceberg tables an exact mirror of a MySQL or MariaDB database.
//!
//! This program holds arguments, output and exit codes; everything else is in the `mirror` library.

mod arguments;
mod commands;

use arguments::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Arguments { options, command } = Arguments::parse();
    mirror_cli::main(&options, async |options| match &command {
        Command::Init(args) => commands::init::run(options, args).await,
        Command::Check => commands::check::run(options).await,
        Command::Run(args) => commands::run::run(options, args).await,
        Command::Verify(args) => commands::verify::run(options, args).await,
        Command::Status(args) => commands::status::run(options, args).await,
        Command::Tables => commands::tables::run(options).await,
        Command::Snapshots(args) => commands::snapshots::run(options, args).await,
        Command::Resnapshot(args) => commands::resnapshot::run(options, args).await,
        Command::Log(args) => commands::log::run(options, args).await,
    })
}
