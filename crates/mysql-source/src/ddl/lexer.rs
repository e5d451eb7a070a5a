//! SQL text to tokens, as MySQL and MariaDB split it.

use super::Dialect;
use std::borrow::Cow;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name without quotes.
    Word,
    /// A name in quotes.
    Quoted,
    /// A string.
    Text,
    /// A number without sign.
    Number,
    /// Anything else, one character each.
    Symbol,
}

/// One token; `text` is without quotes and escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: Cow<'a, str>,
    /// Where it begins and ends in the statement.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token<'_> {
    /// It is this keyword (given in upper case).
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// It is this character.
    pub(crate) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }
}

/// All tokens of a statement, without comments. Versioned comments (`/*!50100 ... */`, MariaDB's `/*M! ... */`) that the server
/// executes are read as if they were none. A quote or comment that does not end goes to the end of the statement.
pub(crate) fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let mut lexer = Lexer { sql, at: 0, dialect, versioned: 0, after_name: None };
    std::iter::from_fn(|| lexer.next()).collect()
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    dialect: Dialect,
    /// How many executed comments are open.
    versioned: usize,
    /// Where the last name ended, and then the dot directly behind it.
    after_name: Option<usize>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or("")
    }

    fn skip_to(&mut self, end: Option<usize>) {
        self.at = end.map_or(self.sql.len(), |n| self.at.saturating_add(n));
    }

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let start = self.at;
        // `shop.2024_orders`, `shop.1e5`: what is joined to a name by a dot is a name, whatever it looks like.
        let joined = self.after_name.take() == Some(start);
        let names_on = |c: char| c == '.' && joined && rest.get(1..).is_some_and(|r| r.starts_with(is_word));
        let after_dot = joined && self.sql.get(..start).is_some_and(|s| s.ends_with('.'));
        let (kind, text) = match first {
            '`' => (Kind::Quoted, self.quoted('`', false)),
            '"' if self.dialect.ansi_quotes => (Kind::Quoted, self.quoted('"', false)),
            '\'' | '"' => (Kind::Text, self.quoted(first, !self.dialect.no_backslash_escapes)),
            c if is_word(c) => {
                let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = rest.get(..length).unwrap_or("");
                match number_length(rest, word).filter(|_| !after_dot) {
                    Some(n) => (Kind::Number, self.plain(n)),
                    None => (Kind::Word, self.plain(length)),
                }
            }
            c if names_on(c) => (Kind::Symbol, self.plain(1)),
            '.' if rest.get(1..).is_some_and(|r| r.starts_with(|c: char| c.is_ascii_digit())) => {
                let digits = rest.get(1..).unwrap_or("");
                let length = 1 + digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
                (Kind::Number, self.plain(length))
            }
            c => (Kind::Symbol, self.plain(c.len_utf8())),
        };
        if matches!(kind, Kind::Word | Kind::Quoted) || names_on(first) {
            self.after_name = Some(self.at);
        }
        Some(Token { kind, text, start, end: self.at })
    }

    fn plain(&mut self, length: usize) -> Cow<'a, str> {
        let text = self.rest().get(..length).unwrap_or("");
        self.at = self.at.saturating_add(length);
        Cow::Borrowed(text)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if let Some(c) = rest.chars().next().filter(|&c| is_blank(c)) {
                self.at = self.at.saturating_add(c.len_utf8());
            } else if rest.starts_with('#') || is_dash_comment(rest) {
                self.skip_to(rest.find('\n'));
            } else if self.versioned > 0 && rest.starts_with("*/") {
                self.versioned -= 1;
                self.at = self.at.saturating_add(2);
            } else if let Some(length) = self.executed_comment(rest) {
                self.versioned += 1;
                self.at = self.at.saturating_add(length);
            } else if rest.starts_with("/*") {
                self.skip_to(rest.get(2..).and_then(|r| r.find("*/")).map(|n| n + 4));
            } else {
                return;
            }
        }
    }

    /// The length of the opening of a comment whose contents the server executes.
    fn executed_comment(&self, rest: &str) -> Option<usize> {
        let opening = if rest.starts_with("/*!") {
            3
        } else if rest.starts_with("/*M!") {
            if !self.dialect.mariadb {
                return None;
            }
            4
        } else {
            return None;
        };
        let digits = rest.get(opening..).unwrap_or("").bytes().take(6).take_while(u8::is_ascii_digit).count();
        let version: u32 = rest.get(opening..opening + digits).and_then(|d| d.parse().ok()).unwrap_or(0);
        let executed = match (self.dialect.mariadb, digits) {
            (_, 0..=4) => return Some(opening),
            // MariaDB leaves out what is for the MySQL versions that came after it parted.
            (true, _) => opening == 4 || !(50_700..=99_999).contains(&version),
            (false, _) => version < 100_000,
        };
        executed.then_some(opening + digits)
    }

    fn quoted(&mut self, quote: char, escapes: bool) -> Cow<'a, str> {
        let body = self.rest().get(1..).unwrap_or("");
        let special = |c: char| c == quote || (escapes && c == '\\');
        // Most have nothing special up to their end.
        if let Some(end) = body.find(special)
            && body.get(end..).is_some_and(|r| r.starts_with(quote))
            && !body.get(end + 1..).is_some_and(|r| r.starts_with(quote))
        {
            self.at = self.at.saturating_add(end + 2);
            return Cow::Borrowed(body.get(..end).unwrap_or(""));
        }
        let mut out = String::new();
        let mut chars = body.char_indices().peekable();
        let mut end = body.len();
        while let Some((i, c)) = chars.next() {
            if c == quote {
                if chars.peek().is_some_and(|&(_, next)| next == quote) {
                    chars.next();
                    out.push(quote);
                    continue;
                }
                end = i + 1;
                break;
            }
            if !(escapes && c == '\\') {
                out.push(c);
                continue;
            }
            match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('b') => out.push('\u{8}'),
                Some('0') => out.push('\0'),
                Some('Z') => out.push('\u{1a}'),
                // Only LIKE patterns know what these mean.
                Some(wildcard @ ('%' | '_')) => out.extend(['\\', wildcard]),
                Some(other) => out.push(other),
                None => {}
            }
        }
        self.at = self.at.saturating_add(end + 1).min(self.sql.len());
        Cow::Owned(out)
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || c >= '\u{80}'
}

/// Other blanks of Unicode, as the no-break space, are letters to the servers.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// `--` begins a comment only before a blank.
fn is_dash_comment(rest: &str) -> bool {
    rest.strip_prefix("--").is_some_and(|r| r.is_empty() || r.starts_with(|c: char| is_blank(c) || c.is_ascii_control()))
}

/// The length of the number that begins here; `None` if `word` is a name (names may begin with digits) or `0x` and `0b`
/// literals, which are words here.
fn number_length(rest: &str, word: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    let whole = digits(0);
    if whole == 0 {
        return None;
    }
    let mut length = whole;
    if bytes.get(length) == Some(&b'.') && (whole == word.len()) {
        length += 1 + digits(length + 1);
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            // `1e5x` is a number and a word, unlike `1x`.
            return Some(length + 1 + sign + exponent);
        }
    }
    (length >= word.len()).then_some(length)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn lex(sql: &str, dialect: Dialect) -> String {
        let of = |k| match k {
            Kind::Word => 'w',
            Kind::Quoted => 'q',
            Kind::Text => 't',
            Kind::Number => 'n',
            Kind::Symbol => 's',
        };
        tokens(sql, dialect).iter().map(|t| format!("{}:{}", of(t.kind), t.text)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_strings_numbers_and_symbols_are_told_apart() {
        let my = Dialect::default();
        for (sql, expected) in [
            ("a `b``c` 'it''s' \"x\"", "w:a q:b`c t:it's t:x"),
            (r"'a\nb\'c\\' '\%'", "t:a\nb'c\\ t:\\%"),
            ("1 1.5 1. 1e5 .5 2nd 0x1F", "n:1 n:1.5 n:1. n:1e5 n:.5 w:2nd w:0x1F"),
            ("db.`t-1`(x)", "w:db s:. q:t-1 s:( w:x s:)"),
            ("naïve 表", "w:naïve w:表"),
            ("\u{a0}t\u{3000} b", "w:\u{a0}t\u{3000} w:b"),
            ("'not ended", "t:not ended"),
            ("''", "t:"),
        ] {
            assert_eq!(lex(sql, my), expected, "{sql}");
        }
    }

    /// Each was tried as a table's name on MySQL 9.7 and MariaDB 10.11; what they refuse is left out.
    #[test]
    fn names_may_begin_with_digits_and_anything_may_follow_a_dot() {
        for (sql, expected) in [
            ("2024_orders", "w:2024_orders"),
            ("shop.2024_orders", "w:shop s:. w:2024_orders"),
            ("shop . 2024_orders", "w:shop s:. w:2024_orders"),
            ("shop. 2024_orders", "w:shop s:. w:2024_orders"),
            ("`shop`.`2024_orders`", "q:shop s:. q:2024_orders"),
            ("shop.2024", "w:shop s:. w:2024"),
            ("shop.1e5", "w:shop s:. w:1e5"),
            ("shop.1e5x", "w:shop s:. w:1e5x"),
            ("shop.0x1F", "w:shop s:. w:0x1F"),
            ("shop.1é2", "w:shop s:. w:1é2"),
            ("2db.1t", "w:2db s:. w:1t"),
            ("2db.1t.2c", "w:2db s:. w:1t s:. w:2c"),
            ("1ea10 1e 0xg 0x 0b2 0X1F 1$ $1 a$b 1é 1_", "w:1ea10 w:1e w:0xg w:0x w:0b2 w:0X1F w:1$ w:$1 w:a$b w:1é w:1_"),
            // Numbers all the same.
            (
                "1e5 1e+5 1E-5x 1.5e3 DEFAULT .5, (.5) =.5",
                "n:1e5 n:1e+5 n:1E-5 w:x n:1.5e3 w:DEFAULT n:.5 s:, s:( n:.5 s:) s:= n:.5",
            ),
        ] {
            for mariadb in [false, true] {
                assert_eq!(lex(sql, Dialect { mariadb, ..Dialect::default() }), expected, "{sql}");
            }
        }
    }

    #[test]
    fn comments_are_blanks_and_versioned_ones_are_code() {
        let my = Dialect::default();
        let maria = Dialect { mariadb: true, ..my };
        for (sql, mysql, mariadb) in [
            ("a -- b\nc", "w:a w:c", "w:a w:c"),
            ("a --b", "w:a s:- s:- w:b", "w:a s:- s:- w:b"),
            ("a # b\nc", "w:a w:c", "w:a w:c"),
            ("a/* b */c", "w:a w:c", "w:a w:c"),
            ("a /*! b */ c", "w:a w:b w:c", "w:a w:b w:c"),
            ("a /*!40101 b */ c", "w:a w:b w:c", "w:a w:b w:c"),
            ("a /*!80016 b */ c", "w:a w:b w:c", "w:a w:c"),
            ("a /*!100301 b */ c", "w:a w:c", "w:a w:b w:c"),
            ("a /*M! b */ c", "w:a w:c", "w:a w:b w:c"),
            ("a /* not ended", "w:a", "w:a"),
            ("/*!50503 a /* b */ c */ d", "w:a w:c w:d", "w:a w:c w:d"),
        ] {
            assert_eq!(lex(sql, my), mysql, "{sql}");
            assert_eq!(lex(sql, maria), mariadb, "{sql}");
        }
    }

    #[test]
    fn the_sql_mode_decides_on_quotes_and_escapes() {
        let dialect = Dialect { ansi_quotes: true, no_backslash_escapes: true, ..Dialect::default() };
        assert_eq!(lex(r#""a" 'b\' c"#, dialect), "q:a t:b\\ w:c");
    }
}
