use crate::output;
use clap::{Args, ValueEnum};
use mirror::{MirrorConfig, Program, Result};
use std::path::PathBuf;

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The configuration: TOML, a connector's JSON as posted to Kafka Connect, or .properties; can be given more than once, then later
    /// files win.
    #[arg(short = 'c', long, global = true, value_name = "FILE", default_value = "mirror.toml")]
    pub config: Vec<PathBuf>,
    /// A setting that wins over the file; can be given more than once.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// One JSON document, or JSON lines, instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more; twice: much more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Say only what was asked for, and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// The form of log lines.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,
}

/// The forms of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Options {
    /// The same with one setting more.
    pub fn with(&self, setting: &str) -> Self {
        let mut options = self.clone();
        options.set.push(setting.to_owned());
        options
    }

    /// Reads the configuration for a program, and says once what in it was ignored.
    ///
    /// # Errors
    /// Those of [`MirrorConfig::read_for`].
    pub fn read_config(&self, program: Program) -> Result<MirrorConfig> {
        let config = MirrorConfig::read_for(program, &self.config, &self.set)?;
        if !self.quiet && !self.json {
            for note in &config.notes {
                output::say(&format!("note: {note}\n"));
            }
        }
        Ok(config)
    }
}
