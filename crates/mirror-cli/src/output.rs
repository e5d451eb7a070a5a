//! Where text goes: results to stdout, logs and errors to stderr.

use crate::{LogFormat, Options};
use mirror::{Error, ErrorKind, Result};
use std::io::{IsTerminal, Write};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sends log lines to stderr; `RUST_LOG` wins over `-v` and `-q`.
pub fn start_logging(options: &Options) {
    let level = match (options.quiet, options.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    // The library's only errors are stops of tables, which the commands print themselves, whole.
    let without_stops = filter_fn(|event| *event.level() != tracing::Level::ERROR || event.fields().field("table").is_none());
    match options.log_format {
        LogFormat::Text => subscriber.with_ansi(color_on_stderr()).compact().finish().with(without_stops).init(),
        LogFormat::Json => subscriber.json().finish().with(without_stops).init(),
    }
}

/// Writes a result to standard output. False if its reader has gone (`lakehouse tables | head -1`), which is no fault of ours.
///
/// # Errors
/// [`ErrorKind::Unavailable`] if it cannot be written for another reason.
pub fn print(text: &str) -> Result<bool> {
    print_bytes(text.as_bytes())
}

/// As [`print()`], what may be no text.
///
/// # Errors
/// Those of [`print()`].
pub fn print_bytes(bytes: &[u8]) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(e) => Err(Error::new(ErrorKind::Unavailable, format!("the result cannot be written out: {e}")).with_source(e)),
    }
}

/// As [`print()`], one JSON document.
///
/// # Errors
/// Those of [`print()`].
pub fn print_json(document: &impl serde::Serialize) -> Result<bool> {
    let text = serde_json::to_string(document)
        .map_err(|e| Error::new(ErrorKind::Other, format!("the result cannot be written as JSON: {e}")).with_source(e))?;
    print(&(text + "\n"))
}

/// Writes a message to standard error. That nobody can read it must not end a mirror.
pub fn say(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

/// A message of several lines with all but the first indented by two spaces, whether they were already or not.
pub fn indented(message: &str) -> String {
    message.replace('\n', "\n  ").replace("\n    ", "\n  ")
}

/// A table that has stopped, with the reason. The library's own headline, that it is not followed any further, would say it twice.
pub fn stopped(table: &str, message: &str) -> String {
    let why = message.strip_prefix(table).and_then(|rest| rest.strip_prefix(" is not followed any further\n")).unwrap_or(message);
    format!("{table} has stopped: {}\n", indented(why.trim_start()))
}

/// Prints `error: ...` and what caused it, unless the message already says so.
pub fn print_error(options: &Options, message: &str, cause: Option<&(dyn std::error::Error + 'static)>) {
    let mut causes = Vec::new();
    let mut next = cause;
    while let Some(e) = next {
        let text = e.to_string();
        if !message.contains(&text) && !causes.iter().any(|c: &String| c.contains(&text)) {
            causes.push(text);
        }
        next = e.source();
    }
    if options.json {
        say(&format!("{}\n", serde_json::json!({ "error": message, "causes": causes })));
        return;
    }
    let (red, plain) = if color_on_stderr() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    say(&format!("{red}error:{plain} {}\n", indented(message)));
    for cause in causes {
        say(&format!("  caused by: {}\n", cause.replace('\n', "\n    ")));
    }
}

fn color_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_told_once() {
        let message = "d.t is not followed any further\n  a row was updated\n  → lakehouse resnapshot";
        assert_eq!(stopped("d.t", message), "d.t has stopped: a row was updated\n  → lakehouse resnapshot\n");
        assert_eq!(stopped("d.t", "a disk is full"), "d.t has stopped: a disk is full\n");
    }
}
