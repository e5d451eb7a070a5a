#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use super::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::fmt::Write;

fn read(text: &str) -> Vec<(String, String)> {
    parse(text).unwrap().into_iter().map(|p| (p.key, p.value)).collect()
}

fn pair(key: &str, value: &str) -> Vec<(String, String)> {
    vec![(key.to_owned(), value.to_owned())]
}

#[test]
fn a_key_ends_at_an_equals_sign_a_colon_or_a_blank() {
    for text in ["a=b", "a = b", "a:b", "a : b", "a b", "a\t \x0cb", "  a   =  b", "a  b"] {
        assert_eq!(read(text), pair("a", "b"), "{text:?}");
    }
    assert_eq!(read("a = = b"), pair("a", "= b"));
    assert_eq!(read("a=b=c:d e "), pair("a", "b=c:d e "), "blanks behind a value belong to it");
    assert_eq!(read("a\nb="), [pair("a", ""), pair("b", "")].concat());
    assert_eq!(read(r"a\=b\:c\ d = e"), pair("a=b:c d", "e"));
}

#[test]
fn comments_and_empty_lines_say_nothing() {
    assert_eq!(read("# a=b \\\n  ! c=d\n\n \t\x0c\nx=# y\n"), pair("x", "# y"));
}

#[test]
fn a_backslash_at_the_end_goes_on_with_the_next_line_without_its_indentation() {
    assert_eq!(read("list = a,\\\n\t  b,\\\r\n   c\nnext=1"), [pair("list", "a,b,c"), pair("next", "1")].concat());
    assert_eq!(read("a = b \\\n # no comment"), pair("a", "b # no comment"));
    assert_eq!(read("a=b\\\\\nc=d"), [pair("a", "b\\"), pair("c", "d")].concat(), "two backslashes are one in the value");
    assert_eq!(read("a=b\\\n\nc=d"), [pair("a", "b"), pair("c", "d")].concat());
    assert_eq!(read("a=b\\"), pair("a", "b"));
    assert_eq!(read("\\\n\na=b"), pair("a", "b"));
    assert_eq!(read("ke\\\n  y = v"), pair("key", "v"));
}

#[test]
fn escapes_are_resolved_in_keys_and_values() {
    assert_eq!(read(r#"a = \t\n\r\f\\\q\""#), pair("a", "\t\n\r\x0c\\q\""));
    assert_eq!(read(r"\u00e4 = \u20AC \ud83d\ude00"), pair("ä", "€ 😀"));
    assert_eq!(read("a=\\  b"), pair("a", "  b"));
}

#[test]
fn every_line_ending_counts_and_lines_are_numbered_by_their_first() {
    let lines: Vec<usize> = parse("a=1\r\nb=\\\n2\rc=3\n\nd=4").unwrap().iter().map(|p| p.line).collect();
    assert_eq!(lines, [1, 2, 4, 6]);
}

#[test]
fn a_broken_escape_is_told_by_line_without_the_text() {
    for (text, line) in [("a=1\nb=\\u12x4", 2), ("a=\\u12", 1), ("a=\\ud83d", 1), ("a=\\ud83dx", 1), ("a=\\ude00", 1)] {
        assert_eq!(parse(text).unwrap_err().line, line, "{text}");
    }
}

/// What `java.util.Properties.store` writes: blanks at the head of a value, and all separators and controls, are escaped.
fn stored(text: &str, is_key: bool, rng: &mut StdRng) -> String {
    let mut out = String::new();
    for (at, c) in text.chars().enumerate() {
        match c {
            ' ' if is_key || at == 0 => out.push_str("\\ "),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\x0c' => out.push_str("\\f"),
            '=' | ':' | '#' | '!' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            _ if rng.random() => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04X}").unwrap();
                }
            }
        }
        // A line may be continued anywhere but within an escape; the next must not begin with a blank of the text, nor with what
        // separates key and value.
        let goes_on = text.chars().nth(at + 1).is_some_and(|c| c != ' ');
        if rng.random_ratio(1, 12) && goes_on {
            out.push_str(["\\\n   ", "\\\r\n\t", "\\\r"].choose(rng).unwrap());
        }
    }
    out
}

#[test]
fn what_java_stores_is_read_as_it_was_however_it_is_laid_out() {
    let letters: Vec<char> = "ab.=:#!\\ \t\n\r\x0cäß€😀\u{7}u0\"'${}".chars().collect();
    for seed in 0..2_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let word = |least: usize, rng: &mut StdRng| -> String {
            let length = rng.random_range(least..12);
            (0..length).map(|_| *letters.choose(rng).unwrap()).collect()
        };
        let mut expected = Vec::new();
        let mut text = String::new();
        for _ in 0..rng.random_range(1..6) {
            let (key, value) = (word(1, &mut rng), word(0, &mut rng));
            text.push_str(["", "  ", "# comment \\\n", "\n\n", "!x=y\r\n\t"].choose(&mut rng).unwrap());
            text.push_str(&stored(&key, true, &mut rng));
            text.push_str(["=", " = ", ":", "\t:\x0c", " "].choose(&mut rng).unwrap());
            text.push_str(&stored(&value, false, &mut rng));
            text.push_str(["\n", "\r\n", "\r"].choose(&mut rng).unwrap());
            expected.push((key, value));
        }
        assert_eq!(read(&text), expected, "seed {seed}: {text:?}");
    }
}

#[test]
fn no_text_makes_it_fail_otherwise_than_by_an_error() {
    let letters: Vec<char> = "a=: \\\\\\\n\r\tud83c#!é".chars().collect();
    for seed in 0..5_000 {
        let mut rng = StdRng::seed_from_u64(seed);
        let text: String = (0..rng.random_range(0..40)).map(|_| *letters.choose(&mut rng).unwrap()).collect();
        if let Ok(properties) = parse(&text) {
            let lines = natural_lines(&text).len();
            assert!(properties.iter().all(|p| (1..=lines).contains(&p.line)), "seed {seed}: {text:?}");
        }
    }
}
