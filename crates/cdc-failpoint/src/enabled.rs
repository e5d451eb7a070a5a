//! What the points do in a test build.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, OnceLock, PoisonError};

struct Registry {
    kills: BTreeMap<String, u64>,
    hits: Mutex<BTreeMap<&'static str, u64>>,
    record: Option<String>,
}

static REGISTRY: OnceLock<Registry> = OnceLock::new();

fn parse(spec: &str) -> Result<BTreeMap<String, u64>, String> {
    let parts = spec.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let parsed = part.split_once('=').and_then(|(name, action)| {
                let count = action.strip_prefix("kill")?;
                let count = if count.is_empty() { 1 } else { count.strip_prefix('@')?.parse().ok()? };
                (!name.is_empty() && count > 0).then(|| (name.to_owned(), count))
            });
            parsed.ok_or_else(|| format!("CDC_FAILPOINTS: {part:?} is not of the form name=kill@3"))
        })
        .collect()
}

fn fail(message: &str) -> ! {
    // Before logging is set up, and only in builds for tests.
    let _ = writeln!(std::io::stderr(), "{message}");
    std::process::exit(2)
}

fn registry() -> &'static Registry {
    REGISTRY.get_or_init(|| {
        let spec = std::env::var("CDC_FAILPOINTS").unwrap_or_default();
        let kills = parse(&spec).unwrap_or_else(|message| fail(&message));
        Registry { kills, hits: Mutex::default(), record: std::env::var("CDC_FAILPOINTS_HITS").ok() }
    })
}

impl Registry {
    fn note(&self, name: &str, what: &str) {
        let Some(path) = &self.record else { return };
        let written = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(format!("{name} {what}\n").as_bytes()));
        if let Err(e) = written {
            fail(&format!("CDC_FAILPOINTS_HITS: cannot append to {path}: {e}"));
        }
    }
}

/// A place that a test can name.
pub fn hit(name: &'static str) {
    let registry = registry();
    let count = {
        let mut hits = registry.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let count = hits.entry(name).or_insert(0);
        *count = count.saturating_add(1);
        *count
    };
    if count == 1 {
        registry.note(name, "hit");
    }
    if registry.kills.get(name) == Some(&count) {
        registry.note(name, "kill");
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; nothing more may happen in this thread.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::parse;

    #[test]
    fn a_specification_names_points_and_the_hit_that_kills() {
        let kills = parse("a-b=kill@3, c=kill").unwrap();
        assert_eq!(kills.into_iter().collect::<Vec<_>>(), [("a-b".to_owned(), 3), ("c".to_owned(), 1)]);
        for wrong in ["a", "a=kill@0", "a=kill@x", "=kill@1", "a=sleep@1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
