#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
use super::*;
use std::collections::BTreeSet;

/// The lines of a table of facts, comments left out.
fn facts(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

/// A documented name as somebody would write it, where it stands for many.
fn example(documented: &str) -> String {
    let mut out = documented.replace("([^.]+)", "SHA-256").replace("(.+)", "salt").replace("(d+)", "5");
    while let (Some(from), Some(to)) = (out.find('<'), out.find('>')) {
        out.replace_range(from..=to, "db.x");
    }
    out
}

#[test]
fn every_documented_key_of_debezium_is_known_with_its_default() {
    let mut wrong = Vec::new();
    for fact in facts(include_str!("debezium.tsv")) {
        let [name, mysql, mariadb] = fact[..] else { panic!("{fact:?}") };
        match find_in(Section::Source, &example(name)) {
            None => wrong.push(format!("{name} is not known")),
            // The connectors name classes of their own, and one word otherwise.
            Some(key) if key.default != mysql && key.default != mariadb => {
                wrong.push(format!("{name} is {:?}, documented {mysql:?} and {mariadb:?}", key.default));
            }
            Some(_) => {}
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn every_documented_key_of_the_iceberg_sink_is_known_with_its_default() {
    for fact in facts(include_str!("iceberg_sink.tsv")) {
        let [name, default] = fact[..] else { panic!("{fact:?}") };
        let key = find_in(Section::Sink, &example(name)).unwrap_or_else(|| panic!("{name} is not known"));
        assert_eq!(key.default, default, "{name}");
    }
}

#[test]
fn no_key_is_there_twice_and_each_says_why() {
    let mut seen = BTreeSet::new();
    for key in all() {
        assert!(seen.insert((key.section, key.name)), "{} is there twice", key.name);
        match key.treatment {
            Treatment::Alias(of) => assert!(find_in(key.section, of).is_some(), "{}", key.name),
            _ => assert!(!key.why.is_empty(), "{} says nothing", key.name),
        }
        if let Treatment::Only(words) = key.treatment {
            assert!(!words.is_empty(), "{}", key.name);
        }
    }
}

#[test]
fn what_sounds_like_a_secret_is_one() {
    for key in all() {
        let sounds = ["password", "secret", "jaas", "passphrase", "credential", "token", "private.key"];
        let sounds = sounds.iter().any(|word| key.name.ends_with(word) || key.name.contains("private.key"));
        assert!(!sounds || key.secret, "{} is shown", key.name);
    }
}

#[test]
fn a_family_has_all_names_that_begin_and_end_so() {
    for (pattern, name, fits) in [
        ("a.*", "a.b", true),
        ("a.*", "a.b.c", true),
        ("a.*", "a.", false),
        ("a.*", "ab", false),
        ("a.*.z", "a.b.z", true),
        ("a.*.z", "a.b.c.z", true),
        ("a.*.z", "a..z", false),
        ("a.*.z", "a.z", false),
        ("a.*.z", "a.zz.zy", false),
        ("*", "ä", true),
        ("a*", "aä", true),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}

#[test]
fn a_key_of_its_own_comes_before_its_family() {
    let treatment = |section, name| find_in(section, name).map(|k| k.treatment);
    assert_eq!(treatment(Section::Log, "topic.creation.default.partitions"), Some(Treatment::Only(&["1", "-1"])));
    assert_eq!(treatment(Section::Log, "topic.creation.default.retention.ms"), Some(Treatment::Used));
    assert_eq!(treatment(Section::Log, "topic.creation.slow.include"), Some(Treatment::Refused));
}
