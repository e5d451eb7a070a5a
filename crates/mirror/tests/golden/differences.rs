//! The list of deliberate differences, `differences.tsv` of debezium-format: patterns of scenario, topic and path, and why.

use super::compare::Scenario;
use std::path::Path;

struct Line {
    text: String,
    scenario: String,
    topic: String,
    path: String,
    seen: bool,
}

/// The list, and which of its lines were seen to be true.
pub struct Differences(Vec<Line>);

impl Differences {
    /// Reads the list.
    pub fn load() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../debezium-format/differences.tsv");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let [scenario, topic, path, why] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("four columns: {line}") };
            assert!(!why.is_empty(), "a difference needs a reason: {line}");
            let own = str::to_owned;
            Line { text: own(line), scenario: own(scenario), topic: own(topic), path: own(path), seen: false }
        });
        Self(lines.collect())
    }

    /// True if a line names this difference.
    pub fn covers(&mut self, scenario: &Scenario, topic: &str, path: &str) -> bool {
        let folder = if scenario.kind == "mysql" { "mysql-9.7.4" } else { "mariadb-10.11" };
        let name = format!("{folder}/{}", scenario.name);
        let mut covered = false;
        for line in &mut self.0 {
            if matches(&line.scenario, &name) && matches(&line.topic, topic) && matches(&line.path, path) {
                line.seen = true;
                covered = true;
            }
        }
        covered
    }

    /// Lines of a server that nothing differs by any more.
    pub fn stale(&self, kind: &str) -> Vec<&str> {
        let of_kind = |line: &&Line| line.scenario.starts_with(['*', '?']) || line.scenario.starts_with(kind);
        self.0.iter().filter(|line| !line.seen).filter(of_kind).map(|line| line.text.as_str()).collect()
    }
}

/// Shell patterns: `*` is anything, `?` one character.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.as_bytes() {
        [] => text.is_empty(),
        [b'*', ..] => (0..=text.len()).any(|at| text.is_char_boundary(at) && matches(&pattern[1..], &text[at..])),
        [b'?', ..] => text.chars().next().is_some_and(|c| matches(&pattern[1..], &text[c.len_utf8()..])),
        [byte, ..] => text.as_bytes().first() == Some(byte) && byte.is_ascii() && matches(&pattern[1..], &text[1..]),
    }
}

#[test]
fn patterns_are_those_of_a_shell() {
    assert!(matches("*/default", "mysql-9.7.4/default") && matches("value.?.x*", "value.1.x") && matches("*", ""));
    assert!(!matches("*/default", "mysql-9.7.4/defaults") && !matches("value.?.x", "value..x"));
}
