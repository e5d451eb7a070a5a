//! A strict JSON reader over bytes (RFC 8259): the general path, and the judge of what the fast path accepts.

use crate::error::Fault;
use crate::scan::plain_text;

/// How deep arrays and objects may nest in what is stepped over. Debezium's own schemas reach 8.
const MAX_DEPTH: usize = 64;

type Result<T> = std::result::Result<T, Fault>;

/// A position in a text.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    text: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub fn new(text: &'a [u8], pos: usize) -> Self {
        Self { text, pos }
    }

    pub fn pos(&self) -> usize {
        self.pos
    }

    /// A reader of the same text at another place.
    pub fn at(&self, pos: usize) -> Self {
        Self { text: self.text, pos }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    pub fn slice(&self, from: usize, to: usize) -> &'a [u8] {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The next byte, after white space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.pos) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.pos += 1;
        }
        None
    }

    /// Takes `byte`, after white space, if it is next.
    pub fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.pos += usize::from(found);
        found
    }

    pub fn expect(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(Fault::syntax(self.pos, what)) }
    }

    fn word(&mut self, word: &'static [u8]) -> bool {
        let found = self.rest().starts_with(word);
        self.pos += if found { word.len() } else { 0 };
        found
    }

    /// Takes `null`, if it is next.
    pub fn null(&mut self) -> Result<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        if self.word(b"null") { Ok(true) } else { Err(Fault::syntax(self.pos, "a word that is not null")) }
    }

    /// Takes `true` or `false`; `None` if another kind of value is next.
    pub fn boolean(&mut self) -> Result<Option<bool>> {
        match self.peek() {
            Some(b't') if self.word(b"true") => Ok(Some(true)),
            Some(b'f') if self.word(b"false") => Ok(Some(false)),
            Some(b't' | b'f') => Err(Fault::syntax(self.pos, "a word that is neither true nor false")),
            _ => Ok(None),
        }
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::syntax(self.pos, "text after the end of the value")),
        }
    }

    /// Goes to the next key of an object whose `{` was taken, or takes its `}`. A comma is only taken together
    /// with the key behind it. The key is left in `scratch` if it has escapes.
    pub fn key<'s>(&mut self, first: &mut bool, scratch: &'s mut Vec<u8>) -> Result<Option<&'s [u8]>>
    where
        'a: 's,
    {
        if self.take(b'}') {
            return Ok(None);
        }
        if !*first {
            self.expect(b',', "a comma or a closing brace is missing")?;
        }
        *first = false;
        let key = self.string(scratch)?;
        self.expect(b':', "a colon is missing")?;
        Ok(Some(key))
    }

    /// A string's text, in `scratch` if it has escapes. Its UTF-8 is checked.
    pub fn string<'s>(&mut self, scratch: &'s mut Vec<u8>) -> Result<&'s [u8]>
    where
        'a: 's,
    {
        self.expect(b'"', "a string is missing")?;
        let start = self.pos;
        let (length, ascii) = plain_text(self.rest());
        self.pos += length;
        let body = self.slice(start, self.pos);
        if !ascii {
            check_utf8(body, start)?;
        }
        match self.text.get(self.pos) {
            Some(b'"') => {
                self.pos += 1;
                Ok(body)
            }
            Some(b'\\') => {
                scratch.clear();
                scratch.extend_from_slice(body);
                self.escaped(scratch)?;
                Ok(scratch)
            }
            Some(_) => Err(Fault::syntax(self.pos, "a control character in a string")),
            None => Err(Fault::syntax(self.pos, "a string without an end")),
        }
    }

    /// The rest of a string from its first escape on.
    #[cold]
    fn escaped(&mut self, out: &mut Vec<u8>) -> Result<()> {
        loop {
            match self.text.get(self.pos) {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.pos += 1;
                    let at = self.pos;
                    let letter = self.text.get(at).copied();
                    self.pos += usize::from(letter.is_some());
                    out.push(match letter {
                        Some(plain @ (b'"' | b'\\' | b'/')) => plain,
                        Some(b'b') => 0x08,
                        Some(b'f') => 0x0c,
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b't') => b'\t',
                        Some(b'u') => {
                            let character = self.unicode()?;
                            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                            continue;
                        }
                        _ => return Err(Fault::syntax(at, "an escape that JSON does not have")),
                    });
                }
                Some(0..0x20) => return Err(Fault::syntax(self.pos, "a control character in a string")),
                Some(_) => {
                    let start = self.pos;
                    let (length, ascii) = plain_text(self.rest());
                    self.pos += length;
                    let body = self.slice(start, self.pos);
                    if !ascii {
                        check_utf8(body, start)?;
                    }
                    out.extend_from_slice(body);
                }
                None => return Err(Fault::syntax(self.pos, "a string without an end")),
            }
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let at = self.pos;
        let first = self.hex4()?;
        let code = match first {
            0xd800..0xdc00 => {
                if !self.word(b"\\u") {
                    return Err(Fault::syntax(at, "half of a surrogate pair"));
                }
                let second = self.hex4()?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(Fault::syntax(at, "half of a surrogate pair"));
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        char::from_u32(code).ok_or_else(|| Fault::syntax(at, "half of a surrogate pair"))
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.text.get(self.pos).and_then(|&b| (b as char).to_digit(16));
            let Some(digit) = digit else { return Err(Fault::syntax(self.pos, "an escape without four hexadecimal digits")) };
            value = value * 16 + digit;
            self.pos += 1;
        }
        Ok(value)
    }

    /// A number's text, checked against the grammar; `None` if another kind of value is next.
    pub fn number(&mut self) -> Result<Option<&'a [u8]>> {
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Ok(None);
        }
        let start = self.pos;
        self.pos += usize::from(self.text.get(start) == Some(&b'-'));
        let whole = self.pos;
        if self.digits() == 0 {
            return Err(Fault::syntax(self.pos, "a number without digits"));
        }
        if self.text.get(whole) == Some(&b'0') && self.pos - whole > 1 {
            return Err(Fault::syntax(whole, "a number with a leading zero"));
        }
        if self.text.get(self.pos) == Some(&b'.') {
            self.pos += 1;
            if self.digits() == 0 {
                return Err(Fault::syntax(self.pos, "a number that ends in a point"));
            }
        }
        if matches!(self.text.get(self.pos), Some(b'e' | b'E')) {
            self.pos += 1;
            self.pos += usize::from(matches!(self.text.get(self.pos), Some(b'+' | b'-')));
            if self.digits() == 0 {
                return Err(Fault::syntax(self.pos, "an exponent without digits"));
            }
        }
        Ok(Some(self.slice(start, self.pos)))
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        self.pos += count;
        count
    }

    /// Steps over one value, checking it.
    pub fn skip(&mut self, scratch: &mut Vec<u8>) -> Result<()> {
        self.skip_nested(scratch, 0)
    }

    fn skip_nested(&mut self, scratch: &mut Vec<u8>, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Fault::syntax(self.pos, "values nested more than 64 deep"));
        }
        match self.peek() {
            Some(b'"') => self.string(scratch).map(drop),
            Some(b'{') => {
                self.pos += 1;
                let mut first = true;
                while self.key(&mut first, scratch)?.is_some() {
                    self.skip_nested(scratch, depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.pos += 1;
                let mut first = true;
                while self.element(&mut first)? {
                    self.skip_nested(scratch, depth + 1)?;
                }
                Ok(())
            }
            Some(b'n') => self.null().map(drop),
            Some(b't' | b'f') => self.boolean().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(_) => Err(Fault::syntax(self.pos, "a byte that begins no value")),
            None => Err(Fault::syntax(self.pos, "a value is missing at the end")),
        }
    }

    /// Goes to the next element of an array whose `[` was taken, or takes its `]`.
    pub fn element(&mut self, first: &mut bool) -> Result<bool> {
        if self.take(b']') {
            return Ok(false);
        }
        if !*first {
            self.expect(b',', "a comma or a closing bracket is missing")?;
            if self.peek() == Some(b']') {
                return Err(Fault::syntax(self.pos, "a comma before a bracket"));
            }
        }
        *first = false;
        Ok(true)
    }
}

fn check_utf8(body: &[u8], start: usize) -> Result<()> {
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(e) => Err(Fault::syntax(start.saturating_add(e.valid_up_to()), "text that is not UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &[u8]) -> bool {
        let mut reader = Reader::new(text, 0);
        let mut scratch = Vec::new();
        reader.skip(&mut scratch).and_then(|()| reader.end()).is_ok()
    }

    #[test]
    fn it_accepts_and_refuses_what_serde_json_does() {
        let texts: &[&str] = &[
            "null",
            "nul",
            "true",
            "truex",
            "false",
            "0",
            "-0",
            "-",
            "01",
            "1.",
            "1.0",
            ".5",
            "1e",
            "1e5",
            "1E+5",
            "1e-",
            "-1.5e-3",
            "\"\"",
            "\"a",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\ud83d\\u0041\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\t\"",
            "[]",
            "[1,2]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{,}",
            "{\"a\":}",
            " { \"a\" : [ 1 , { } ] } ",
            "",
            " ",
            "[",
            "{",
            "{\"a\"",
            "]",
            "}",
            "1 2",
            "NaN",
            "Infinity",
            "'a'",
            "//",
            "[1]]",
            "\u{feff}1",
        ];
        for text in texts {
            assert_eq!(accepts(text.as_bytes()), serde_json::from_str::<serde_json::Value>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_at_their_offset() {
        let mut reader = Reader::new(b"\"ab\xff\"", 0);
        let fault = reader.skip(&mut Vec::new()).err();
        assert_eq!(fault.map(|f| f.at), Some(3));
        assert!(!accepts(b"\"\\n\xc3\""));
        assert!(!accepts(b"\"\xed\xa0\x80\""));
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        assert!(accepts(&[vec![b'['; 60], vec![b']'; 60]].concat()));
        assert!(!accepts(&[vec![b'['; 100], vec![b']'; 100]].concat()));
        assert!(!accepts(&vec![b'['; 1_000_000]));
        assert!(!accepts("{\"a\":".repeat(100_000).as_bytes()));
    }
}
