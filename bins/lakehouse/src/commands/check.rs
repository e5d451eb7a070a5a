//! `lakehouse check`.

use super::read_config;
use crate::arguments::Global;
use crate::{Outcome, output};
use mirror::{Check, Result};

pub(crate) async fn run(global: &Global) -> Result<Outcome> {
    let config = read_config(global)?;
    let checks = mirror::check(&config).await?;
    let ok = checks.iter().all(|c| c.ok);
    if global.json {
        output::print_json(&serde_json::json!({ "ok": ok, "checks": checks }))?;
    } else {
        output::print(&render(&checks))?;
    }
    Ok(if ok { Outcome::Done } else { Outcome::Difference })
}

fn render(checks: &[Check]) -> String {
    let failed = checks.iter().filter(|c| !c.ok).count();
    let notes = match checks.iter().filter(|c| c.ok && c.fix.is_some()).count() {
        0 => String::new(),
        n => format!(", {n} with a note"),
    };
    let mut out = match failed {
        0 => format!("ready: {} checks passed{notes}\n", checks.len()),
        n => format!("not ready: {n} of {} checks failed\n", checks.len()),
    };
    for check in checks {
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
    if failed == 0 {
        out += "next: lakehouse run\n";
    }
    out
}
