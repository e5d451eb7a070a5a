//! `lakehouse check`.

use super::read_config;
use mirror::{Check, Result};
use mirror_cli::Options;
use mirror_cli::{Outcome, output};

pub(crate) async fn run(options: &Options) -> Result<Outcome> {
    let config = read_config(options)?;
    let checks = mirror::check(&config).await?;
    let ok = checks.iter().all(|c| c.ok);
    if options.json {
        output::print_json(&serde_json::json!({ "ok": ok, "checks": checks }))?;
    } else {
        output::print(&render(&checks, options.quiet))?;
    }
    Ok(if ok { Outcome::Done } else { Outcome::Difference })
}

/// What was found; with `-q` only what failed.
fn render(checks: &[Check], quiet: bool) -> String {
    let failed = checks.iter().filter(|c| !c.ok).count();
    let notes = match checks.iter().filter(|c| c.ok && c.fix.is_some()).count() {
        0 => String::new(),
        n => format!(", {n} with a note"),
    };
    let mut out = match failed {
        _ if quiet => String::new(),
        0 => format!("ready: {} checks passed{notes}\n", checks.len()),
        n => format!("not ready: {n} of {} checks failed\n", checks.len()),
    };
    for check in checks.iter().filter(|c| !quiet || !c.ok) {
        let result = match (check.ok, &check.fix) {
            (false, _) => "FAILED",
            (true, Some(_)) => "note  ",
            (true, None) => "ok    ",
        };
        out += &format!("  {result} {}: {}\n", check.name, check.found.replace('\n', "\n         "));
        if let Some(fix) = &check.fix {
            out += &format!("         → {}\n", fix.replace('\n', "\n           "));
        }
    }
    if failed == 0 && !quiet {
        out += "next: lakehouse run\n";
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_failed_is_said_when_nothing_else_is_wanted() {
        let check = |name: &str, ok| Check { name: name.to_owned(), ok, found: "x".to_owned(), fix: Some("y".to_owned()) };
        assert_eq!(render(&[check("a", true), check("b", false)], true), "  FAILED b: x\n         → y\n");
        assert_eq!(render(&[check("a", true)], true), "");
    }
}
