//! `cdc-source`: captures a MySQL or MariaDB database into Kafka as Debezium events, exactly once.
//!
//! This program holds arguments; everything else is in the libraries `mirror` and `mirror-cli`.

use clap::Parser;
use mirror::Halves;
use mirror_cli::{Options, service};
use std::process::ExitCode;

/// Captures a MySQL or MariaDB database into Kafka as Debezium events, exactly once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Where /metrics, /health, /ready and Kafka Connect's calls are answered; "none": nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8083")]
    listen: String,
}

const EXAMPLE: &str = "\
Examples:
  cdc-source -c mirror.toml
  curl -X PUT http://127.0.0.1:8083/connectors/shop/pause

Exit codes: 0 done; 2 usage or configuration; 3 a server, disk or file cannot be reached or refuses;
4 stopped to keep data safe.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    mirror_cli::main(&arguments.options, async |options| {
        let listen = service::address(&arguments.listen)?;
        let config = options.read_config(Halves::Source)?;
        service::run(options, config, &service::ServiceOptions { listen }).await
    })
}
