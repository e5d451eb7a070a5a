//! `cdc-source`: captures a MySQL or MariaDB database into Kafka as Debezium events, exactly once.
//!
//! This program holds arguments; everything else is in the libraries `mirror` and `mirror-cli`.

use clap::Parser;
use mirror::Program;
use mirror_cli::{Options, event_output, service};
use std::process::ExitCode;
use std::time::Duration;

/// Captures a MySQL or MariaDB database into Kafka as Debezium events, exactly once.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLE, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Where /metrics, /health, /ready and Kafka Connect's calls are answered; "none": nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8083")]
    listen: String,
    /// Where events go: "-" is standard output, a JSON line each with topic, key, value and headers; without Kafka, and nothing is kept.
    #[arg(long, value_name = "-", value_parser = ["-"])]
    output: Option<String>,
    /// With --output: end when no event has come for so long, as in 3s.
    #[arg(long, value_name = "TIME", requires = "output", value_parser = duration)]
    until_idle: Option<Duration>,
}

const EXAMPLE: &str = "\
Examples:
  cdc-source -c mirror.toml
  cdc-source -c connector.json --output - --until-idle 3s
  curl -X PUT http://127.0.0.1:8083/connectors/shop/pause

Exit codes: 0 done; 2 usage or configuration; 3 a server, disk or file cannot be reached or refuses;
4 stopped to keep data safe.";

/// A time with its unit: `500ms`, `3s`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        _ => return Err("write it with ms, s or m, as in 3s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|e| format!("{e}: write it as in 3s"))?;
    Ok(Duration::from_millis(number.saturating_mul(milliseconds)))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    mirror_cli::main(&arguments.options, async |options| {
        if arguments.output.is_some() {
            let config = options.with("log.type=memory").read_config(Program::CdcSource)?;
            return event_output::run(options, &config, arguments.until_idle).await;
        }
        let listen = service::address(&arguments.listen)?;
        let config = options.read_config(Program::CdcSource)?;
        service::run(options, config, &service::ServiceOptions { listen }).await
    })
}
