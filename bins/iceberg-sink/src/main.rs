//! `iceberg-sink`: keeps Apache Iceberg tables an exact mirror of what `cdc-source` writes to Kafka.
//!
//! This program holds arguments; everything else is in the libraries `mirror` and `mirror-cli`.

use clap::Parser;
use mirror::Program;
use mirror_cli::{Options, service};
use std::process::ExitCode;

/// Keeps Apache Iceberg tables an exact mirror of what cdc-source writes to Kafka.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Where /metrics, /health, /ready and Kafka Connect's calls are answered; "none": nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8084")]
    listen: String,
}

const EXAMPLE: &str = "\
Examples:
  iceberg-sink -c mirror.toml
  curl http://127.0.0.1:8084/connectors/shop/status

Exit codes: 0 done; 2 usage or configuration; 3 a server, disk or file cannot be reached or refuses;
4 a table stopped to keep data safe.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    mirror_cli::main(&arguments.options, async |options| {
        let listen = service::address(&arguments.listen)?;
        let config = options.read_config(Program::IcebergSink)?;
        service::run(options, config, &service::ServiceOptions { listen }).await
    })
}
