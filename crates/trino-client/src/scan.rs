//! Reads JSON text from left to right, without a tree: what a cell must be is known from its column's type.

use memchr::memchr2;

/// What is wrong with a text, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

pub(crate) type Scanned<T> = Result<T, Fault>;

/// A place in a JSON text. No text makes it panic, loop or recurse.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The last string, if it had escapes.
    unescaped: String,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, unescaped: String::new() }
    }

    pub(crate) fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte that is no blank.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                next => return next.copied(),
            }
        }
    }

    /// Goes behind `byte`, if it is next.
    pub(crate) fn takes(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn must_take(&mut self, byte: u8, otherwise: &'static str) -> Scanned<()> {
        if self.takes(byte) { Ok(()) } else { Err(self.fault(otherwise)) }
    }

    /// True, and behind it, if `null` is next.
    pub(crate) fn takes_null(&mut self) -> bool {
        self.peek();
        let there = self.text.get(self.at..).is_some_and(|rest| rest.starts_with("null"));
        self.at += if there { 4 } else { 0 };
        there
    }

    /// Nothing but blanks may follow.
    pub(crate) fn end(&mut self) -> Scanned<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("something follows the end")) }
    }

    /// The text of a string (without escapes), of a number, of `true` or `false`.
    pub(crate) fn scalar(&mut self) -> Scanned<&str> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                let rest = self.bytes().get(self.at..).unwrap_or_default();
                let length = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')));
                let start = self.at;
                self.at += length.unwrap_or(rest.len());
                Ok(self.text.get(start..self.at).unwrap_or_default())
            }
            Some(b'[' | b'{') => Err(self.fault("a single value was expected")),
            Some(_) => Err(self.fault("a value was expected")),
            None => Err(self.fault("the text ends too early")),
        }
    }

    /// The content of a string.
    pub(crate) fn string(&mut self) -> Scanned<&str> {
        self.must_take(b'"', "a string was expected")?;
        let start = self.at;
        let stop = self.string_stop(start)?;
        if self.bytes().get(stop) == Some(&b'"') {
            self.at = stop + 1;
            return Ok(self.text.get(start..stop).unwrap_or_default());
        }
        self.unescaped.clear();
        let mut from = start;
        loop {
            let stop = self.string_stop(from)?;
            self.unescaped.push_str(self.text.get(from..stop).unwrap_or_default());
            self.at = stop + 1;
            if self.bytes().get(stop) == Some(&b'"') {
                return Ok(&self.unescaped);
            }
            let character = self.escape()?;
            self.unescaped.push(character);
            from = self.at;
        }
    }

    /// Where the next quote or backslash is.
    fn string_stop(&self, from: usize) -> Scanned<usize> {
        let rest = self.bytes().get(from..).unwrap_or_default();
        memchr2(b'"', b'\\', rest).map(|n| from + n).ok_or(Fault { at: from, what: "a string has no end" })
    }

    /// What a backslash, which lies behind us, stands for.
    fn escape(&mut self) -> Scanned<char> {
        let code = self.bytes().get(self.at).copied();
        self.at += 1;
        Ok(match code {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(Fault { at: self.at - 1, what: "a backslash stands before something else than an escape" }),
        })
    }

    /// `XXXX`, or `XXXX\uXXXX` for a character beyond the first 65,536.
    fn unicode(&mut self) -> Scanned<char> {
        const WRONG: &str = "\\u is not followed by a character's code";
        let first = self.four_digits().ok_or(self.fault(WRONG))?;
        let code = match first {
            0xD800..=0xDBFF => {
                let low = self.bytes().get(self.at..self.at + 2) == Some(b"\\u");
                self.at += 2;
                match self.four_digits() {
                    Some(second @ 0xDC00..=0xDFFF) if low => 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00),
                    _ => return Err(self.fault(WRONG)),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or(self.fault(WRONG))
    }

    fn four_digits(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let all = digits.bytes().all(|b| b.is_ascii_hexdigit());
        self.at += 4;
        u32::from_str_radix(digits, 16).ok().filter(|_| all)
    }

    /// The text of any value as it is, objects and arrays included.
    pub(crate) fn raw(&mut self) -> Scanned<&'a str> {
        self.peek();
        let start = self.at;
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Some(b'[' | b'{') => {
                    self.at += 1;
                    open += 1;
                }
                Some(b']' | b'}') if open > 0 => {
                    self.at += 1;
                    open -= 1;
                }
                Some(b',' | b':') if open > 0 => self.at += 1,
                Some(b'n') => {
                    if !self.takes_null() {
                        return Err(self.fault("a value was expected"));
                    }
                }
                _ => {
                    self.scalar()?;
                }
            }
            if open == 0 {
                return Ok(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn strings_are_what_serde_json_reads() {
        for text in
            [r#""""#, r#""plain""#, r#""a\"b\\c\/d\b\f\n\r\t""#, r#""\u00e9\u20AC\ud83d\ude00 é€😀""#, r#""\\""#, r#""\u0000""#]
        {
            let expected: String = serde_json::from_str(text).unwrap();
            let mut scanner = Scanner::new(text);
            assert_eq!(scanner.string().unwrap(), expected);
            scanner.end().unwrap();
        }
    }

    #[test]
    fn values_are_taken_as_text() {
        let text = r#" [ 1, -2.5E+7,true , null,{"a":[{}, "]\"}"]} ,"x" ] "#;
        let mut scanner = Scanner::new(text);
        assert!(scanner.takes(b'['));
        for expected in ["1", "-2.5E+7", "true", "null", r#"{"a":[{}, "]\"}"]}"#, "\"x\""] {
            assert_eq!(scanner.raw().unwrap(), expected);
            scanner.takes(b',');
        }
        scanner.must_take(b']', "no end").unwrap();
        scanner.end().unwrap();
        assert_eq!(Scanner::new(text).raw().unwrap(), text.trim());
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        for (text, at, what) in [
            ("", 0, "the text ends too early"),
            ("  ]", 2, "a value was expected"),
            ("\"abc", 1, "a string has no end"),
            ("\"\\ud83d\"", 9, "\\u is not followed by a character's code"),
            ("\"\\udc00\"", 7, "\\u is not followed by a character's code"),
            ("\"\\u+123\"", 7, "\\u is not followed by a character's code"),
            ("\"\\u€\"", 7, "\\u is not followed by a character's code"),
            ("\"\\x\"", 2, "a backslash stands before something else than an escape"),
            ("\"a\\", 3, "a backslash stands before something else than an escape"),
        ] {
            assert_eq!(Scanner::new(text).scalar().unwrap_err(), Fault { at, what }, "{text}");
        }
        assert_eq!(Scanner::new("[1, {\"a\": nul}]").raw().unwrap_err(), Fault { at: 10, what: "a value was expected" });
    }

    #[test]
    fn any_text_ends_in_a_value_or_a_fault() {
        let seed = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0);
        let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
        let pieces = ["\"", "\\", "\\u", "d83d", "[", "]", "{", "}", ",", ":", "null", "nul", "1", "-", "é", " ", "true", "a"];
        for _ in 0..20_000 {
            let text: String = (0..random.random_range(0..12)).map(|_| pieces[random.random_range(0..pieces.len())]).collect();
            let valid = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            let mut scanner = Scanner::new(&text);
            let taken = scanner.raw().map(str::to_owned);
            assert!(!valid || (taken.is_ok() && scanner.end().is_ok()), "seed {seed}: {text}");
            let _ = Scanner::new(&text).string();
        }
    }
}
