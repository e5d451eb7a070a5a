use crate::{Options, output};
use std::process::ExitCode;

/// What a command ends with besides an error; the numbers are documented in `docs/command-line.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
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

/// A program from its options to its exit code: log lines are set up, the command runs on two threads, its error is printed.
pub fn main(options: &Options, command: impl AsyncFnOnce(&Options) -> mirror::Result<Outcome>) -> ExitCode {
    output::start_logging(options);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::print_error(options, &format!("cannot start: {e}"), None);
            return ExitCode::from(3);
        }
    };
    let result = runtime.block_on(command(options));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(outcome) => outcome.into(),
        Err(e) => {
            output::print_error(options, &e.to_string(), std::error::Error::source(&e));
            ExitCode::from(e.exit_code())
        }
    }
}
