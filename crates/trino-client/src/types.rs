//! Types as text: `decimal(38,2)`, `row(x bigint, "y z" varchar(10))`.

use std::fmt;
use std::str::FromStr;

/// Types may be nested so deep; a server that sends more is not believed.
const DEEPEST: usize = 100;

/// A type of Trino ([documentation](https://trino.io/docs/current/language/types.html)).
///
/// [`FromStr`] reads the form in which the client protocol names the type of a column, [`fmt::Display`] writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrinoType {
    /// `boolean`
    Boolean,
    /// `tinyint`: 8 bits, signed.
    Tinyint,
    /// `smallint`: 16 bits, signed.
    Smallint,
    /// `integer`: 32 bits, signed.
    Integer,
    /// `bigint`: 64 bits, signed.
    Bigint,
    /// `real`: 32 bits.
    Real,
    /// `double`: 64 bits.
    Double,
    /// `decimal(p,s)`
    Decimal {
        /// Digits, 1 to 38.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// `varchar`, or `varchar(n)`
    Varchar {
        /// Characters at most; `None` is unbounded.
        length: Option<u32>,
    },
    /// `char(n)`
    Char {
        /// Characters, padded with blanks.
        length: u32,
    },
    /// `varbinary`
    Varbinary,
    /// `json`
    Json,
    /// `date`
    Date,
    /// `time(p)`
    Time {
        /// Digits of a second's fraction, 0 to 12.
        precision: u8,
    },
    /// `time(p) with time zone`
    TimeWithTimeZone {
        /// Digits of a second's fraction, 0 to 12.
        precision: u8,
    },
    /// `timestamp(p)`
    Timestamp {
        /// Digits of a second's fraction, 0 to 12.
        precision: u8,
    },
    /// `timestamp(p) with time zone`
    TimestampWithTimeZone {
        /// Digits of a second's fraction, 0 to 12.
        precision: u8,
    },
    /// `interval year to month`
    IntervalYearToMonth,
    /// `interval day to second`
    IntervalDayToSecond,
    /// `uuid`
    Uuid,
    /// `ipaddress`
    IpAddress,
    /// `array(E)`
    Array(Box<TrinoType>),
    /// `map(K, V)`
    Map(Box<TrinoType>, Box<TrinoType>),
    /// `row(...)`
    Row(Vec<RowField>),
    /// Any other type, as the server names it: sketches, geometries, types of plugins.
    Other(String),
}

/// A field of [`TrinoType::Row`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowField {
    /// Its name; `None` if it has none.
    pub name: Option<String>,
    /// Its type.
    pub r#type: TrinoType,
}

/// Text that is no type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeError {
    text: String,
    at: usize,
    what: &'static str,
}

impl TypeError {
    /// The byte at which it was noticed.
    pub fn position(&self) -> usize {
        self.at
    }
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no type of Trino: {} at byte {}", self.text, self.what, self.at)
    }
}

impl std::error::Error for TypeError {}

impl FromStr for TrinoType {
    type Err = TypeError;

    /// # Errors
    /// Text that is no type, parameters that a type cannot have, or one that is nested deeper than 100 types.
    fn from_str(text: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { text, at: 0 };
        let parsed = parser.parse(0).and_then(|parsed| {
            parser.blanks();
            if parser.at == text.len() { Ok(parsed) } else { Err("something follows the type") }
        });
        // Long text of a hostile server need not be repeated.
        let shown = || text.chars().take(200).collect();
        parsed.map_err(|what| TypeError { text: shown(), at: parser.at, what })
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn takes(&mut self, token: &str) -> bool {
        self.blanks();
        let there = self.rest().get(..token.len()).is_some_and(|start| start.eq_ignore_ascii_case(token));
        if there {
            self.at += token.len();
        }
        there
    }

    fn must_take(&mut self, token: &str, what: &'static str) -> Parsed<()> {
        if self.takes(token) { Ok(()) } else { Err(what) }
    }

    fn word(&mut self) -> Parsed<&'a str> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '@' | ':' | '$' | '-'))).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).filter(|word| !word.is_empty()).ok_or("a name is missing")
    }

    fn number(&mut self) -> Parsed<u32> {
        self.blanks();
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = rest.get(..end).and_then(|digits| digits.parse().ok()).ok_or("a number is missing or too large")?;
        self.at += end;
        Ok(number)
    }

    /// `(n)`, if it is there.
    fn parameter(&mut self) -> Parsed<Option<u32>> {
        if !self.takes("(") {
            return Ok(None);
        }
        let number = self.number()?;
        self.must_take(")", "a closing parenthesis is missing")?;
        Ok(Some(number))
    }

    fn fraction(&mut self) -> Parsed<u8> {
        match self.parameter()? {
            None => Ok(3),
            Some(digits) => u8::try_from(digits).ok().filter(|p| *p <= 12).ok_or("a precision is at most 12"),
        }
    }

    fn parse(&mut self, depth: usize) -> Parsed<TrinoType> {
        if depth > DEEPEST {
            return Err("it is nested too deep");
        }
        self.blanks();
        let start = self.at;
        let name = self.word()?.to_ascii_lowercase();
        Ok(match name.as_str() {
            "boolean" => TrinoType::Boolean,
            "tinyint" => TrinoType::Tinyint,
            "smallint" => TrinoType::Smallint,
            "integer" | "int" => TrinoType::Integer,
            "bigint" => TrinoType::Bigint,
            "real" => TrinoType::Real,
            "double" => TrinoType::Double,
            "varbinary" => TrinoType::Varbinary,
            "json" => TrinoType::Json,
            "date" => TrinoType::Date,
            "uuid" => TrinoType::Uuid,
            "ipaddress" => TrinoType::IpAddress,
            "decimal" => self.decimal()?,
            "varchar" => TrinoType::Varchar { length: self.parameter()?.filter(|n| *n != i32::MAX.unsigned_abs()) },
            "char" => TrinoType::Char { length: self.parameter()?.unwrap_or(1) },
            "time" | "timestamp" => {
                let precision = self.fraction()?;
                match (name.as_str(), self.takes("with time zone")) {
                    ("time", false) => TrinoType::Time { precision },
                    ("time", true) => TrinoType::TimeWithTimeZone { precision },
                    (_, false) => TrinoType::Timestamp { precision },
                    (_, true) => TrinoType::TimestampWithTimeZone { precision },
                }
            }
            "interval" if self.takes("year to month") => TrinoType::IntervalYearToMonth,
            "interval" if self.takes("day to second") => TrinoType::IntervalDayToSecond,
            "array" if self.takes("(") => {
                let element = self.parse(depth + 1)?;
                self.must_take(")", "a closing parenthesis is missing")?;
                TrinoType::Array(Box::new(element))
            }
            "map" if self.takes("(") => {
                let key = self.parse(depth + 1)?;
                self.must_take(",", "a map has a key and a value")?;
                let value = self.parse(depth + 1)?;
                self.must_take(")", "a closing parenthesis is missing")?;
                TrinoType::Map(Box::new(key), Box::new(value))
            }
            "row" if self.takes("(") => self.row(depth)?,
            _ => {
                self.arguments()?;
                TrinoType::Other(self.text.get(start..self.at).unwrap_or_default().to_owned())
            }
        })
    }

    fn decimal(&mut self) -> Parsed<TrinoType> {
        if !self.takes("(") {
            return Ok(TrinoType::Decimal { precision: 38, scale: 0 });
        }
        let precision = self.number()?;
        let scale = if self.takes(",") { self.number()? } else { 0 };
        self.must_take(")", "a closing parenthesis is missing")?;
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => Ok(TrinoType::Decimal { precision, scale }),
            _ => Err("a decimal has 1 to 38 digits, and no more behind its point"),
        }
    }

    fn row(&mut self, depth: usize) -> Parsed<TrinoType> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field(depth)?);
            if self.takes(")") {
                return Ok(TrinoType::Row(fields));
            }
            self.must_take(",", "fields of a row are separated by commas")?;
        }
    }

    /// A type alone, or a name and a type. What could be either is a type, if that is all of the field.
    fn field(&mut self, depth: usize) -> Parsed<RowField> {
        self.blanks();
        let start = self.at;
        if self.rest().starts_with('"') {
            let name = self.quoted()?;
            return Ok(RowField { name: Some(name), r#type: self.parse(depth + 1)? });
        }
        let alone = self.parse(depth + 1);
        self.blanks();
        if let (Ok(alone), Some(b',' | b')')) = (&alone, self.rest().bytes().next()) {
            return Ok(RowField { name: None, r#type: alone.clone() });
        }
        // Deep inside it stays what it is: another try could only fail in the same place.
        let failed_inside = alone.is_err();
        let failed_at = self.at;
        self.at = start;
        let name = self.word()?.to_owned();
        if failed_inside && self.rest().starts_with('(') {
            self.at = failed_at;
            return alone.map(|r#type| RowField { name: None, r#type });
        }
        Ok(RowField { name: Some(name), r#type: self.parse(depth + 1)? })
    }

    fn quoted(&mut self) -> Parsed<String> {
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((at, c)) = characters.next() {
            if c != '"' {
                name.push(c);
            } else if characters.next_if(|(_, next)| *next == '"').is_some() {
                name.push('"');
            } else {
                self.at += at + 1;
                return Ok(name);
            }
        }
        Err("a quoted name has no end")
    }

    /// The arguments of a type that is not known: anything between parentheses that are closed.
    fn arguments(&mut self) -> Parsed<()> {
        if !self.rest().starts_with('(') {
            return Ok(());
        }
        let mut open = 0_usize;
        for (at, c) in self.rest().char_indices() {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                self.at += at + 1;
                return Ok(());
            }
        }
        Err("a closing parenthesis is missing")
    }
}

impl fmt::Display for TrinoType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Tinyint => f.write_str("tinyint"),
            Self::Smallint => f.write_str("smallint"),
            Self::Integer => f.write_str("integer"),
            Self::Bigint => f.write_str("bigint"),
            Self::Real => f.write_str("real"),
            Self::Double => f.write_str("double"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Varchar { length: None } => f.write_str("varchar"),
            Self::Varchar { length: Some(length) } => write!(f, "varchar({length})"),
            Self::Char { length } => write!(f, "char({length})"),
            Self::Varbinary => f.write_str("varbinary"),
            Self::Json => f.write_str("json"),
            Self::Date => f.write_str("date"),
            Self::Time { precision } => write!(f, "time({precision})"),
            Self::TimeWithTimeZone { precision } => write!(f, "time({precision}) with time zone"),
            Self::Timestamp { precision } => write!(f, "timestamp({precision})"),
            Self::TimestampWithTimeZone { precision } => write!(f, "timestamp({precision}) with time zone"),
            Self::IntervalYearToMonth => f.write_str("interval year to month"),
            Self::IntervalDayToSecond => f.write_str("interval day to second"),
            Self::Uuid => f.write_str("uuid"),
            Self::IpAddress => f.write_str("ipaddress"),
            Self::Array(element) => write!(f, "array({element})"),
            Self::Map(key, value) => write!(f, "map({key}, {value})"),
            Self::Row(fields) => {
                f.write_str("row(")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    match &field.name {
                        Some(name) => write!(f, "{comma}{} {}", Name(name), field.r#type)?,
                        None => write!(f, "{comma}{}", field.r#type)?,
                    }
                }
                f.write_str(")")
            }
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// A field's name, in quotes unless it is a plain word.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        match self.0.starts_with(|c: char| c.is_ascii_lowercase()) && self.0.chars().all(plain) {
            true => f.write_str(self.0),
            false => write!(f, "\"{}\"", self.0.replace('"', "\"\"")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn parsed(text: &str) -> TrinoType {
        text.parse().unwrap()
    }

    #[test]
    fn every_type_is_read_and_written_as_the_server_names_it() {
        for text in [
            "boolean",
            "tinyint",
            "smallint",
            "integer",
            "bigint",
            "real",
            "double",
            "decimal(38,10)",
            "varchar",
            "varchar(10)",
            "char(3)",
            "varbinary",
            "json",
            "date",
            "time(0)",
            "time(12) with time zone",
            "timestamp(6)",
            "timestamp(3) with time zone",
            "interval year to month",
            "interval day to second",
            "uuid",
            "ipaddress",
            "array(array(bigint))",
            "map(varchar, row(x bigint, y array(date)))",
            "row(bigint, timestamp(3) with time zone)",
            "row(\"A b\" varchar, \"q\"\"t\" date, date date, time time(3))",
            "HyperLogLog",
            "qdigest(bigint)",
            "unknown",
        ] {
            assert_eq!(parsed(text).to_string(), text);
        }
    }

    #[test]
    fn other_spellings_of_the_same_type_are_understood() {
        assert_eq!(parsed("DECIMAL( 5 )"), TrinoType::Decimal { precision: 5, scale: 0 });
        assert_eq!(parsed("varchar(2147483647)"), TrinoType::Varchar { length: None });
        assert_eq!(parsed("timestamp with time zone"), TrinoType::TimestampWithTimeZone { precision: 3 });
        assert_eq!(parsed("row(interval interval day to second)").to_string(), "row(interval interval day to second)");
        let TrinoType::Row(fields) = parsed("row(a row(double, b varchar(5)), decimal(3,1))") else { unreachable!() };
        assert_eq!((fields[0].name.as_deref(), fields[1].name.as_deref()), (Some("a"), None));
    }

    #[test]
    fn what_is_no_type_is_an_error_with_its_place() {
        for (text, at) in [
            ("", 0),
            ("decimal(39,1)", 13),
            ("decimal(3,4)", 12),
            ("array(bigint", 12),
            ("map(bigint)", 10),
            ("row()", 4),
            ("timestamp(13)", 13),
            ("row(\"a bigint)", 4),
            ("bigint bigint", 7),
            ("qdigest(bigint", 7),
            ("row(a array(decimal(0)), b date)", 22),
            ("varchar(99999999999)", 8),
        ] {
            let error = text.parse::<TrinoType>().unwrap_err();
            assert_eq!(error.position(), at, "{error}");
            assert!(error.to_string().starts_with(&format!("{text:?} is no type of Trino: ")), "{error}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_every_text_ends_soon() {
        let deep = |n: usize| "array(".repeat(n) + "date" + &")".repeat(n);
        assert_eq!(parsed(&deep(100)).to_string(), deep(100));
        assert!(deep(101).parse::<TrinoType>().unwrap_err().to_string().contains("nested too deep"));
        for unit in ["row(", "row(a ", "array(", "map(", "row(\"", "row(row ", "(", "row(a row(b,"] {
            assert!(unit.repeat(100_000).parse::<TrinoType>().is_err());
        }
    }
}
