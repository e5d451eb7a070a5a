//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use mirror_cli::Options;
use std::path::PathBuf;

/// Keeps Apache Iceberg tables an exact, seconds-fresh mirror of a MySQL or MariaDB database.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, after_help = EXAMPLE, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLE: &str = "\
A mirror of your own database:
  lakehouse init mysql://me@127.0.0.1:3306/shop    look at it and write mirror.toml
  lakehouse check                                  is everything there?
  lakehouse run                                    mirror it, until Ctrl-C
  lakehouse verify                                 source = mirror, row by row

Exit codes: 0 done; 1 a difference was found or a check failed; 2 usage or configuration;
3 a server, disk or file cannot be reached or refuses; 4 stopped to keep data safe; 130 interrupted.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at a database and write a commented configuration.
    Init(InitArgs),
    /// Check every requirement, and say what fixes those that fail; changes nothing.
    #[command(after_help = "Example:\n  lakehouse check && lakehouse run")]
    Check,
    /// Mirror the database: source, log and tables in one process.
    Run(RunArgs),
    /// Compare source and mirror, row by row, while both run.
    Verify(VerifyArgs),
    /// Show each table's phase, lag and last commit.
    Status(StatusArgs),
    /// List the tables in the catalog.
    #[command(after_help = "Example:\n  lakehouse tables --json | jq -r '.tables[].name'")]
    Tables,
    /// List the snapshots of a table.
    Snapshots(SnapshotsArgs),
    /// Have tables read again, all if none is given; the mirror does it when it starts, and must not be running now.
    Resnapshot(ResnapshotArgs),
    /// Look into the log of a mirror that is not running: topics, offsets, records as JSON.
    Log(LogArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  lakehouse init mysql://me@127.0.0.1:3306/shop\n  lakehouse init --password-file pw mysql://me@db/shop -c shop.toml"
)]
pub(crate) struct InitArgs {
    /// mysql://user@host:port/database (mariadb:// too). The password comes from --password-file, the URL, or MYSQL_PWD.
    pub(crate) url: String,
    /// A file that holds the password.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Overwrite an existing configuration.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lakehouse run --until-caught-up && lakehouse verify")]
pub(crate) struct RunArgs {
    /// End when all that was committed at the start is in the tables.
    #[arg(long)]
    pub(crate) until_caught_up: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lakehouse verify shop.orders\n  lakehouse verify --engine trino --set trino.url=http://127.0.0.1:8080"
)]
pub(crate) struct VerifyArgs {
    /// Tables as database.table; all if none is given.
    pub(crate) tables: Vec<String>,
    /// Compare about N percent of each table's keys.
    #[arg(long, value_name = "N%")]
    pub(crate) sample: Option<String>,
    /// Who reads the mirror.
    #[arg(long, value_enum, default_value = "builtin")]
    pub(crate) engine: Engine,
    /// Differences to show of each table.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) show: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Our own reader.
    Builtin,
    /// The Trino server that the configuration names.
    Trino,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lakehouse status --watch")]
pub(crate) struct StatusArgs {
    /// Show it again every second.
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  lakehouse snapshots shop.orders")]
pub(crate) struct SnapshotsArgs {
    /// The table, as namespace.table.
    pub(crate) table: String,
    /// Show at most so many, the newest first.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lakehouse resnapshot shop.orders && lakehouse run    one table, after what stopped it was mended\n  lakehouse resnapshot --only-needed && lakehouse run  whatever cannot be gone on with\n\nThe rows of the mirror's table go when the reading begins, and come again as it goes on."
)]
pub(crate) struct ResnapshotArgs {
    /// Tables as database.table.
    #[arg(conflicts_with = "only_needed")]
    pub(crate) tables: Vec<String>,
    /// Those that have stopped; all, if the server's binary log does not go on where the mirror stopped.
    #[arg(long)]
    pub(crate) only_needed: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  lakehouse log                                          the topics\n  lakehouse log inventory.inventory.orders --from 120    their records, one JSON object a line"
)]
pub(crate) struct LogArgs {
    /// The topic whose records are printed; without it, the topics are.
    pub(crate) topic: Option<String>,
    /// The first offset.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    pub(crate) from: i64,
    /// At most so many records.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// The partition.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) partition: i32,
    /// Print the headers too.
    #[arg(long)]
    pub(crate) headers: bool,
}
