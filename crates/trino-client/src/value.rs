//! One value, whatever its type.

use crate::decimal::Decimal;
use crate::temporal::{Date, IntervalDayToSecond, IntervalYearToMonth, Time, TimeWithTimeZone, Timestamp, TimestampWithTimeZone};
use crate::values::Values;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A value of a row. Texts, bytes and nested values are borrowed from the page that the row is in.
///
/// It is written as the server's `CAST(... AS varchar)` writes it, except `real`, `double` (shortest digits), `varbinary` (hexadecimal digits) and
/// nested values (`[1, 2]`, `{k=v}`, `{1, x}`).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// NULL, of any type.
    Null,
    /// `boolean`
    Boolean(bool),
    /// `tinyint`
    Tinyint(i8),
    /// `smallint`
    Smallint(i16),
    /// `integer`
    Integer(i32),
    /// `bigint`
    Bigint(i64),
    /// `real`
    Real(f32),
    /// `double`
    Double(f64),
    /// `decimal(p,s)`
    Decimal(Decimal),
    /// `varchar`
    Varchar(&'a str),
    /// `char(n)`, padded with blanks to its length.
    Char(&'a str),
    /// `varbinary`
    Varbinary(&'a [u8]),
    /// `json`, as text.
    Json(&'a str),
    /// `date`
    Date(Date),
    /// `time(p)`
    Time(Time),
    /// `time(p) with time zone`
    TimeWithTimeZone(TimeWithTimeZone),
    /// `timestamp(p)`
    Timestamp(Timestamp),
    /// `timestamp(p) with time zone`
    TimestampWithTimeZone(TimestampWithTimeZone),
    /// `interval year to month`
    IntervalYearToMonth(IntervalYearToMonth),
    /// `interval day to second`
    IntervalDayToSecond(IntervalDayToSecond),
    /// `uuid`
    Uuid(Uuid),
    /// `ipaddress`
    IpAddress(IpAddr),
    /// `array(E)`
    Array(Array<'a>),
    /// `map(K, V)`
    Map(Map<'a>),
    /// `row(...)`
    Row(Record<'a>),
    /// A value of [a type that is not known](crate::TrinoType::Other), as the JSON that the server sent. Keys of maps that are themselves arrays, maps or
    /// rows are here too, as the server's own text.
    Other(&'a str),
}

impl Value<'_> {
    /// True if it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The name of its kind of type, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Boolean(_) => "boolean",
            Self::Tinyint(_) => "tinyint",
            Self::Smallint(_) => "smallint",
            Self::Integer(_) => "integer",
            Self::Bigint(_) => "bigint",
            Self::Real(_) => "real",
            Self::Double(_) => "double",
            Self::Decimal(_) => "decimal",
            Self::Varchar(_) => "varchar",
            Self::Char(_) => "char",
            Self::Varbinary(_) => "varbinary",
            Self::Json(_) => "json",
            Self::Date(_) => "date",
            Self::Time(_) => "time",
            Self::TimeWithTimeZone(_) => "time with time zone",
            Self::Timestamp(_) => "timestamp",
            Self::TimestampWithTimeZone(_) => "timestamp with time zone",
            Self::IntervalYearToMonth(_) => "interval year to month",
            Self::IntervalDayToSecond(_) => "interval day to second",
            Self::Uuid(_) => "uuid",
            Self::IpAddress(_) => "ipaddress",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Row(_) => "row",
            Self::Other(_) => "type that is not known",
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean(v) => write!(f, "{v}"),
            Self::Tinyint(v) => write!(f, "{v}"),
            Self::Smallint(v) => write!(f, "{v}"),
            Self::Integer(v) => write!(f, "{v}"),
            Self::Bigint(v) => write!(f, "{v}"),
            Self::Real(v) => write!(f, "{v}"),
            Self::Double(v) => write!(f, "{v}"),
            Self::Decimal(v) => write!(f, "{v}"),
            Self::Varchar(v) | Self::Char(v) | Self::Json(v) | Self::Other(v) => f.write_str(v),
            Self::Varbinary(v) => v.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Date(v) => write!(f, "{v}"),
            Self::Time(v) => write!(f, "{v}"),
            Self::TimeWithTimeZone(v) => write!(f, "{v}"),
            Self::Timestamp(v) => write!(f, "{v}"),
            Self::TimestampWithTimeZone(v) => write!(f, "{v}"),
            Self::IntervalYearToMonth(v) => write!(f, "{v}"),
            Self::IntervalDayToSecond(v) => write!(f, "{v}"),
            Self::Uuid(v) => write!(f, "{v}"),
            Self::IpAddress(v) => write!(f, "{v}"),
            Self::Array(v) => {
                f.write_str("[")?;
                separated(f, v.iter())?;
                f.write_str("]")
            }
            Self::Map(v) => {
                f.write_str("{")?;
                for (at, (key, value)) in v.iter().enumerate() {
                    write!(f, "{}{key}={value}", if at > 0 { ", " } else { "" })?;
                }
                f.write_str("}")
            }
            Self::Row(v) => {
                f.write_str("{")?;
                separated(f, v.iter())?;
                f.write_str("}")
            }
        }
    }
}

fn separated<'a>(f: &mut fmt::Formatter<'_>, values: impl Iterator<Item = Value<'a>>) -> fmt::Result {
    for (at, value) in values.enumerate() {
        write!(f, "{}{value}", if at > 0 { ", " } else { "" })?;
    }
    Ok(())
}

/// The elements of an array.
#[derive(Clone, Copy)]
pub struct Array<'a> {
    elements: &'a Values,
    start: usize,
    end: usize,
}

impl<'a> Array<'a> {
    pub(crate) fn new(elements: &'a Values, (start, end): (usize, usize)) -> Self {
        Self { elements, start, end }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at a place, counted from 0.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        (at < self.len()).then(|| self.elements.get(self.start + at))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let elements = self.elements;
        (self.start..self.end).map(move |at| elements.get(at))
    }
}

/// The entries of a map, in the order in which the server sent them.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    keys: &'a Values,
    values: &'a Values,
    start: usize,
    end: usize,
}

impl<'a> Map<'a> {
    pub(crate) fn new(keys: &'a Values, values: &'a Values, (start, end): (usize, usize)) -> Self {
        Self { keys, values, start, end }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys and values.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let (keys, values) = (self.keys, self.values);
        (self.start..self.end).map(move |at| (keys.get(at), values.get(at)))
    }
}

/// The fields of a `row(...)` value.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    names: &'a [Option<String>],
    fields: &'a [Values],
    at: usize,
}

impl<'a> Record<'a> {
    pub(crate) fn new(names: &'a [Option<String>], fields: &'a [Values], at: usize) -> Self {
        Self { names, fields, at }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The name of a field, if there is such a field and it has a name.
    pub fn name(&self, at: usize) -> Option<&'a str> {
        self.names.get(at)?.as_deref()
    }

    /// The field at a place, counted from 0.
    pub fn get(&self, at: usize) -> Option<Value<'a>> {
        Some(self.fields.get(at)?.get(self.at))
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let at = self.at;
        self.fields.iter().map(move |field| field.get(at))
    }
}

impl fmt::Debug for Array<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Array<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Map<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl PartialEq for Map<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for Record<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

/// A `uuid`: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(u128);

impl Uuid {
    /// From its 128 bits, the first byte the highest.
    pub fn from_u128(bits: u128) -> Self {
        Self(bits)
    }

    /// Its 128 bits, the first byte the highest.
    pub fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let b = self.0;
        let (first, second, third, fourth) = (b >> 96, b >> 80 & 0xFFFF, b >> 64 & 0xFFFF, b >> 48 & 0xFFFF);
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{fourth:04x}-{:012x}", b & 0xFFFF_FFFF_FFFF)
    }
}

impl FromStr for Uuid {
    type Err = InvalidUuid;

    /// # Errors
    /// Anything but 32 hexadecimal digits with hyphens behind the 8th, 12th, 16th and 20th.
    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        let mut bits = 0;
        for (at, byte) in text.bytes().enumerate() {
            let hyphen = matches!(at, 8 | 13 | 18 | 23);
            match char::from(byte).to_digit(16) {
                Some(digit) if !hyphen => bits = bits << 4 | u128::from(digit),
                None if hyphen && byte == b'-' => {}
                _ => return Err(InvalidUuid),
            }
        }
        if text.len() == 36 { Ok(Self(bits)) } else { Err(InvalidUuid) }
    }
}

/// Text that is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUuid;

impl fmt::Display for InvalidUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a UUID has 32 hexadecimal digits: 12151fd2-7586-11e9-8f9e-2a86e4085a59")
    }
}

impl std::error::Error for InvalidUuid {}
