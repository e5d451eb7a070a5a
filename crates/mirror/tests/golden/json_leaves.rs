//! JSON text taken apart without reading its values: which bytes stand where, in order.

/// One value without parts: a number, string, literal, or an empty list or object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The names and numbers that lead to it, joined by points.
    pub path: String,
    /// Its bytes.
    pub raw: String,
}

/// All leaves of a JSON text, in the order in which they stand there.
pub fn leaves(root: &str, text: &str) -> Vec<Leaf> {
    let mut walk = Walk { text, at: 0, out: Vec::new() };
    walk.value(root);
    assert_eq!(walk.at, text.len(), "{root}: something follows the JSON value");
    walk.out
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Leaf>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, path: &str) {
        match self.peek() {
            b'{' => self.parts(path, b'}'),
            b'[' => self.parts(path, b']'),
            b'"' => {
                let raw = self.string();
                self.leaf(path, raw);
            }
            _ => {
                let rest = &self.text[self.at..];
                let raw = &rest[..rest.find([',', '}', ']']).unwrap_or(rest.len())];
                self.at += raw.len();
                self.leaf(path, raw);
            }
        }
    }

    fn parts(&mut self, path: &str, close: u8) {
        let begin = self.at;
        self.at += 1;
        if self.peek() == close {
            self.at += 1;
            self.leaf(path, &self.text[begin..self.at]);
            return;
        }
        for number in 0.. {
            let name = match close {
                b'}' => {
                    let name = self.string();
                    assert_eq!(self.next(), b':', "{path}");
                    name.trim_matches('"').to_owned()
                }
                _ => number.to_string(),
            };
            self.value(&format!("{path}.{name}"));
            match self.next() {
                b',' => {}
                other => return assert_eq!(other, close, "{path}"),
            }
        }
    }

    fn string(&mut self) -> &'a str {
        let begin = self.at;
        assert_eq!(self.next(), b'"');
        loop {
            match self.next() {
                b'"' => return &self.text[begin..self.at],
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    fn leaf(&mut self, path: &str, raw: &str) {
        self.out.push(Leaf { path: path.to_owned(), raw: raw.to_owned() });
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes()[self.at]
    }

    fn next(&mut self) -> u8 {
        self.at += 1;
        self.text.as_bytes()[self.at - 1]
    }
}

#[test]
fn every_value_is_found_in_its_place() {
    let found = leaves("value", r#"{"a":{"b":[1.50,"x\"}",{}]},"c":null,"d":[]}"#);
    let found: Vec<(&str, &str)> = found.iter().map(|l| (l.path.as_str(), l.raw.as_str())).collect();
    let expected =
        [("value.a.b.0", "1.50"), ("value.a.b.1", r#""x\"}""#), ("value.a.b.2", "{}"), ("value.c", "null"), ("value.d", "[]")];
    assert_eq!(found, expected);
}
