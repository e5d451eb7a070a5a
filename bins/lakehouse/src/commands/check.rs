//! `lakehouse check`.

use super::read_config;
use crate::Outcome;
use crate::arguments::Global;
use mirror::Result;

pub(crate) async fn run(global: &Global) -> Result<Outcome> {
    let config = read_config(global)?;
    let checks = mirror::check(&config).await?;
    let failed = checks.iter().filter(|c| !c.ok).count();
    if global.json {
        println!("{}", serde_json::json!({ "ok": failed == 0, "checks": checks }));
    } else {
        match failed {
            0 => println!("ready: {} checks passed", checks.len()),
            n => println!("not ready: {n} of {} checks failed", checks.len()),
        }
        for check in &checks {
            println!("  {} {}: {}", if check.ok { "ok    " } else { "FAILED" }, check.name, check.found);
            if let Some(fix) = &check.fix {
                println!("         → {}", fix.replace('\n', "\n           "));
            }
        }
        if failed == 0 {
            println!("next: lakehouse run");
        }
    }
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Difference })
}
