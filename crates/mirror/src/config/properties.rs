//! Java's `.properties` files, read as `java.util.Properties.load` does.

/// One key and its value, escapes resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) key: String,
    pub(super) value: String,
    /// The line that it begins on, from 1.
    pub(super) line: usize,
}

/// What is wrong with a file, without its text: that may be a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed {
    /// The line that the property begins on, from 1.
    pub(super) line: usize,
    pub(super) what: &'static str,
}

/// What Java takes for white space within a line.
const BLANK: [char; 3] = [' ', '\t', '\x0c'];

/// All properties in the order of the file. A key that is there twice is there twice.
///
/// Rules: <https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/util/Properties.html#load(java.io.Reader)>.
pub(super) fn parse(text: &str) -> Result<Vec<Property>, Malformed> {
    let mut out = Vec::new();
    let mut lines = natural_lines(text).into_iter().enumerate();
    while let Some((index, first)) = lines.next() {
        let mut line = first.trim_start_matches(BLANK);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::new();
        while let Some(continued) = before_continuation(line) {
            logical.push_str(continued);
            line = lines.next().map_or("", |(_, next)| next.trim_start_matches(BLANK));
        }
        logical.push_str(line);
        if logical.is_empty() {
            continue;
        }
        let (key, value) = split(&logical);
        let line = index + 1;
        let resolve = |text| unescaped(text).map_err(|what| Malformed { line, what });
        out.push(Property { key: resolve(key)?, value: resolve(value)?, line });
    }
    Ok(out)
}

/// Lines end at a line feed, a carriage return, or both.
fn natural_lines(text: &str) -> Vec<&str> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(['\n', '\r']) {
        let (line, behind) = rest.split_at(end);
        out.push(line);
        rest = behind.strip_prefix("\r\n").unwrap_or_else(|| behind.get(1..).unwrap_or_default());
    }
    out.push(rest);
    out
}

/// The line without the backslash that continues it on the next one; an even number of backslashes continues nothing.
fn before_continuation(line: &str) -> Option<&str> {
    let backslashes = line.len() - line.trim_end_matches('\\').len();
    (backslashes % 2 == 1).then(|| line.strip_suffix('\\')).flatten()
}

/// Key and value, escapes not resolved yet.
fn split(logical: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = logical.find(|c| {
        let ends = !escaped && (matches!(c, '=' | ':') || BLANK.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = logical.split_at(end.unwrap_or(logical.len()));
    let rest = rest.trim_start_matches(BLANK);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, value.trim_start_matches(BLANK))
}

fn unescaped(text: &str) -> Result<String, &'static str> {
    const HALF: &str = "one \\u escape of a pair (a character beyond U+FFFF is written as two)";
    let mut out = String::with_capacity(text.len());
    let mut high: Option<u16> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let unit = match c {
            '\\' => match rest.next() {
                Some('u') => Some(hexadecimal(&mut rest).ok_or("a \\u escape that does not have four hexadecimal digits")?),
                Some(other) => {
                    if high.is_some() {
                        return Err(HALF);
                    }
                    out.push(match other {
                        't' => '\t',
                        'n' => '\n',
                        'r' => '\r',
                        'f' => '\x0c',
                        other => other,
                    });
                    None
                }
                None => None,
            },
            _ if high.is_some() => return Err(HALF),
            c => {
                out.push(c);
                None
            }
        };
        let Some(unit) = unit else { continue };
        let units = match high.take() {
            Some(high) => vec![high, unit],
            None if (0xd800..0xdc00).contains(&unit) => {
                high = Some(unit);
                continue;
            }
            None => vec![unit],
        };
        out.push_str(&String::from_utf16(&units).map_err(|_| HALF)?);
    }
    if high.is_some() { Err(HALF) } else { Ok(out) }
}

fn hexadecimal(rest: &mut std::str::Chars<'_>) -> Option<u16> {
    (0..4).try_fold(0_u16, |unit, _| {
        let digit = rest.next()?.to_digit(16)?;
        u16::try_from(digit).ok().map(|digit| unit << 4 | digit)
    })
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
