//! Where text goes: results to stdout, logs and errors to stderr.

use crate::arguments::{Global, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Sends log lines to stderr; `RUST_LOG` wins over `-v` and `-q`.
pub(crate) fn start_logging(global: &Global) {
    let level = match (global.quiet, global.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match global.log_format {
        LogFormat::Text => subscriber.with_ansi(color_on_stderr()).compact().init(),
        LogFormat::Json => subscriber.json().init(),
    }
}

/// Prints `error: ...` and what caused it, unless the message already says so.
pub(crate) fn print_error(global: &Global, message: &str, cause: Option<&(dyn std::error::Error + 'static)>) {
    let mut causes = Vec::new();
    let mut next = cause;
    while let Some(e) = next {
        let text = e.to_string();
        if !message.contains(&text) && !causes.iter().any(|c: &String| c.contains(&text)) {
            causes.push(text);
        }
        next = e.source();
    }
    if global.json {
        eprintln!("{}", serde_json::json!({ "error": message, "causes": causes }));
        return;
    }
    let (red, plain) = if color_on_stderr() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
    eprintln!("{red}error:{plain} {}", message.replace('\n', "\n  ").replace("\n    ", "\n  "));
    for cause in causes {
        eprintln!("  caused by: {cause}");
    }
}

fn color_on_stderr() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}
