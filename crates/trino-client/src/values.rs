//! The values of one column of one page, one vector per type: nothing is allocated per value.

use crate::decimal::Decimal;
use crate::scan::{Fault, Scanned, Scanner};
use crate::temporal::{Date, IntervalDayToSecond, IntervalYearToMonth, Time, TimeWithTimeZone, Timestamp, TimestampWithTimeZone};
use crate::types::TrinoType;
use crate::value::{Array, Map, Record, Uuid, Value};
use base64::Engine;
use std::net::IpAddr;
use std::sync::Arc;

/// Values of one type. Where one is NULL its place is there and means nothing.
#[derive(Debug)]
pub(crate) struct Values {
    valid: Vec<bool>,
    data: Data,
}

#[derive(Debug)]
enum Data {
    Boolean(Vec<bool>),
    Tinyint(Vec<i8>),
    Smallint(Vec<i16>),
    Integer(Vec<i32>),
    Bigint(Vec<i64>),
    Real(Vec<f32>),
    Double(Vec<f64>),
    Decimal(u8, Vec<i128>),
    Text(TextKind, Texts),
    Varbinary { ends: Vec<usize>, bytes: Vec<u8> },
    Date(Vec<Date>),
    Time(u8, Vec<u64>),
    TimeWithTimeZone(u8, Vec<(u64, i16)>),
    Timestamp(u8, Vec<(i64, u64)>),
    TimestampWithTimeZone(u8, Vec<(i64, u64)>, Zones),
    IntervalYearToMonth(Vec<IntervalYearToMonth>),
    IntervalDayToSecond(Vec<IntervalDayToSecond>),
    Uuid(Vec<Uuid>),
    IpAddress(Vec<IpAddr>),
    Array { ends: Vec<usize>, elements: Box<Values> },
    Map { ends: Vec<usize>, keys: Box<Values>, values: Box<Values> },
    Row { names: Arc<[Option<String>]>, fields: Vec<Values> },
}

/// Types whose values are texts.
#[derive(Debug, Clone, Copy)]
enum TextKind {
    Varchar,
    Char,
    Json,
    /// A type that is not known: each value as JSON.
    Other,
}

/// Texts one behind the other, and where each ends.
#[derive(Debug, Default)]
struct Texts {
    ends: Vec<usize>,
    text: String,
}

impl Texts {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn get(&self, at: usize) -> &str {
        let (start, end) = bounds(&self.ends, at);
        self.text.get(start..end).unwrap_or_default()
    }
}

/// The zone of each value. There is rarely more than one in a column, so each is kept once.
#[derive(Debug, Default)]
struct Zones {
    known: Vec<Arc<str>>,
    of: Vec<u32>,
}

impl Zones {
    fn push(&mut self, zone: &str) {
        let last = self.of.last().copied().filter(|n| self.known.get(*n as usize).is_some_and(|known| &**known == zone));
        let found = last.or_else(|| self.known.iter().position(|known| &**known == zone).and_then(|n| u32::try_from(n).ok()));
        let number = found.unwrap_or_else(|| {
            self.known.push(zone.into());
            u32::try_from(self.known.len() - 1).unwrap_or(u32::MAX)
        });
        self.of.push(number);
    }

    fn get(&self, at: usize) -> Arc<str> {
        self.of.get(at).and_then(|n| self.known.get(*n as usize)).cloned().unwrap_or_else(|| "".into())
    }
}

/// Where the value at `at` begins and ends, if each ends where the next one begins.
fn bounds(ends: &[usize], at: usize) -> (usize, usize) {
    let start = at.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    (start, ends.get(at).copied().unwrap_or(start))
}

impl Values {
    /// No values yet, of a type.
    pub(crate) fn of(r#type: &TrinoType) -> Self {
        let empty = |element: &TrinoType| Box::new(Self::of(element));
        let data = match r#type {
            TrinoType::Boolean => Data::Boolean(Vec::new()),
            TrinoType::Tinyint => Data::Tinyint(Vec::new()),
            TrinoType::Smallint => Data::Smallint(Vec::new()),
            TrinoType::Integer => Data::Integer(Vec::new()),
            TrinoType::Bigint => Data::Bigint(Vec::new()),
            TrinoType::Real => Data::Real(Vec::new()),
            TrinoType::Double => Data::Double(Vec::new()),
            TrinoType::Decimal { scale, .. } => Data::Decimal(*scale, Vec::new()),
            TrinoType::Varchar { .. } => Data::Text(TextKind::Varchar, Texts::default()),
            TrinoType::Char { .. } => Data::Text(TextKind::Char, Texts::default()),
            TrinoType::Json => Data::Text(TextKind::Json, Texts::default()),
            TrinoType::Other(_) => Data::Text(TextKind::Other, Texts::default()),
            TrinoType::Varbinary => Data::Varbinary { ends: Vec::new(), bytes: Vec::new() },
            TrinoType::Date => Data::Date(Vec::new()),
            TrinoType::Time { precision } => Data::Time(*precision, Vec::new()),
            TrinoType::TimeWithTimeZone { precision } => Data::TimeWithTimeZone(*precision, Vec::new()),
            TrinoType::Timestamp { precision } => Data::Timestamp(*precision, Vec::new()),
            TrinoType::TimestampWithTimeZone { precision } => {
                Data::TimestampWithTimeZone(*precision, Vec::new(), Zones::default())
            }
            TrinoType::IntervalYearToMonth => Data::IntervalYearToMonth(Vec::new()),
            TrinoType::IntervalDayToSecond => Data::IntervalDayToSecond(Vec::new()),
            TrinoType::Uuid => Data::Uuid(Vec::new()),
            TrinoType::IpAddress => Data::IpAddress(Vec::new()),
            TrinoType::Array(element) => Data::Array { ends: Vec::new(), elements: empty(element) },
            TrinoType::Map(key, value) => {
                // A key of several values is sent as text that cannot be taken apart again.
                let nested = matches!(**key, TrinoType::Array(_) | TrinoType::Map(..) | TrinoType::Row(_));
                let keys = if nested { Box::new(Self::of(&TrinoType::Other(key.to_string()))) } else { empty(key) };
                Data::Map { ends: Vec::new(), keys, values: empty(value) }
            }
            TrinoType::Row(fields) => Data::Row {
                names: fields.iter().map(|f| f.name.clone()).collect(),
                fields: fields.iter().map(|f| Self::of(&f.r#type)).collect(),
            },
        };
        Self { valid: Vec::new(), data }
    }

    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Reads one value of a row's JSON.
    pub(crate) fn read(&mut self, scanner: &mut Scanner<'_>) -> Scanned<()> {
        if scanner.takes_null() {
            self.push_null();
            return Ok(());
        }
        match &mut self.data {
            Data::Array { ends, elements } => {
                scanner.must_take(b'[', "an array was expected")?;
                if !scanner.takes(b']') {
                    loop {
                        elements.read(scanner)?;
                        if scanner.takes(b']') {
                            break;
                        }
                        scanner.must_take(b',', "an array's elements are separated by commas")?;
                    }
                }
                ends.push(elements.len());
            }
            Data::Map { ends, keys, values } => {
                scanner.must_take(b'{', "a map was expected")?;
                if !scanner.takes(b'}') {
                    loop {
                        let place = scanner.fault("a map's key is not of its type");
                        keys.push_text(scanner.string()?).ok_or(place)?;
                        scanner.must_take(b':', "a colon was expected between a map's key and value")?;
                        values.read(scanner)?;
                        if scanner.takes(b'}') {
                            break;
                        }
                        scanner.must_take(b',', "a map's entries are separated by commas")?;
                    }
                }
                ends.push(keys.len());
            }
            Data::Row { fields, .. } => {
                scanner.must_take(b'[', "a row was expected")?;
                for (at, field) in fields.iter_mut().enumerate() {
                    if at > 0 {
                        scanner.must_take(b',', "a row has fewer fields than its type")?;
                    }
                    field.read(scanner)?;
                }
                scanner.must_take(b']', "a row has more fields than its type")?;
            }
            Data::Text(TextKind::Other, texts) => texts.push(scanner.raw()?),
            _ => {
                scanner.peek();
                let place = scanner.fault("it is no value of the column's type");
                let text = scanner.scalar()?;
                return self.push_text(text).ok_or(place);
            }
        }
        self.valid.push(true);
        Ok(())
    }

    fn push_null(&mut self) {
        let zero = || Date::from_days(0);
        match &mut self.data {
            Data::Boolean(v) => v.push(false),
            Data::Tinyint(v) => v.push(0),
            Data::Smallint(v) => v.push(0),
            Data::Integer(v) => v.push(0),
            Data::Bigint(v) => v.push(0),
            Data::Real(v) => v.push(0.0),
            Data::Double(v) => v.push(0.0),
            Data::Decimal(_, v) => v.push(0),
            Data::Text(_, texts) => texts.push(""),
            Data::Varbinary { ends, bytes } => ends.push(bytes.len()),
            Data::Date(v) => v.push(zero()),
            Data::Time(_, v) => v.push(0),
            Data::TimeWithTimeZone(_, v) => v.push((0, 0)),
            Data::Timestamp(_, v) => v.push((0, 0)),
            Data::TimestampWithTimeZone(_, v, zones) => {
                v.push((0, 0));
                zones.push("UTC");
            }
            Data::IntervalYearToMonth(v) => v.push(IntervalYearToMonth::from_months(0)),
            Data::IntervalDayToSecond(v) => v.push(IntervalDayToSecond::from_millis(0)),
            Data::Uuid(v) => v.push(Uuid::from_u128(0)),
            Data::IpAddress(v) => v.push(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
            Data::Array { ends, elements } => ends.push(elements.len()),
            Data::Map { ends, keys, .. } => ends.push(keys.len()),
            Data::Row { fields, .. } => fields.iter_mut().for_each(Self::push_null),
        }
        self.valid.push(false);
    }

    /// Appends a value of one of the types that are a single text or number in JSON, or any text as a map's key, which is a text whatever its
    /// type. `None`: it is no value of this type.
    fn push_text(&mut self, text: &str) -> Option<()> {
        match &mut self.data {
            Data::Boolean(v) => v.push(text.parse().ok()?),
            Data::Tinyint(v) => v.push(text.parse().ok()?),
            Data::Smallint(v) => v.push(text.parse().ok()?),
            Data::Integer(v) => v.push(text.parse().ok()?),
            Data::Bigint(v) => v.push(text.parse().ok()?),
            Data::Real(v) => v.push(text.parse().ok()?),
            Data::Double(v) => v.push(text.parse().ok()?),
            Data::Decimal(scale, v) => v.push(Decimal::parse_unscaled(text, *scale)?),
            Data::Text(_, texts) => texts.push(text),
            Data::Varbinary { ends, bytes } => {
                base64::engine::general_purpose::STANDARD.decode_vec(text, bytes).ok()?;
                ends.push(bytes.len());
            }
            Data::Date(v) => v.push(Date::parse(text)?),
            Data::Time(precision, v) => v.push(Time::parse_picos(text, *precision)?),
            Data::TimeWithTimeZone(precision, v) => v.push(TimeWithTimeZone::parse(text, *precision)?),
            Data::Timestamp(precision, v) => v.push(Timestamp::parse(text, *precision)?),
            Data::TimestampWithTimeZone(precision, v, zones) => {
                let (local, zone) = TimestampWithTimeZone::parse(text, *precision)?;
                v.push(local);
                zones.push(zone);
            }
            Data::IntervalYearToMonth(v) => v.push(IntervalYearToMonth::parse(text)?),
            Data::IntervalDayToSecond(v) => v.push(IntervalDayToSecond::parse(text)?),
            Data::Uuid(v) => v.push(text.parse().ok()?),
            Data::IpAddress(v) => v.push(text.parse().ok()?),
            Data::Array { .. } | Data::Map { .. } | Data::Row { .. } => return None,
        }
        self.valid.push(true);
        Some(())
    }

    /// The value at a place; NULL beyond the last.
    pub(crate) fn get(&self, at: usize) -> Value<'_> {
        if self.valid.get(at) != Some(&true) {
            return Value::Null;
        }
        self.valid_value(at).unwrap_or(Value::Null)
    }

    fn valid_value(&self, at: usize) -> Option<Value<'_>> {
        Some(match &self.data {
            Data::Boolean(v) => Value::Boolean(*v.get(at)?),
            Data::Tinyint(v) => Value::Tinyint(*v.get(at)?),
            Data::Smallint(v) => Value::Smallint(*v.get(at)?),
            Data::Integer(v) => Value::Integer(*v.get(at)?),
            Data::Bigint(v) => Value::Bigint(*v.get(at)?),
            Data::Real(v) => Value::Real(*v.get(at)?),
            Data::Double(v) => Value::Double(*v.get(at)?),
            Data::Decimal(scale, v) => Value::Decimal(Decimal::new(*v.get(at)?, *scale)),
            Data::Text(TextKind::Varchar, texts) => Value::Varchar(texts.get(at)),
            Data::Text(TextKind::Char, texts) => Value::Char(texts.get(at)),
            Data::Text(TextKind::Json, texts) => Value::Json(texts.get(at)),
            Data::Text(TextKind::Other, texts) => Value::Other(texts.get(at)),
            Data::Varbinary { ends, bytes } => {
                let (start, end) = bounds(ends, at);
                Value::Varbinary(bytes.get(start..end)?)
            }
            Data::Date(v) => Value::Date(*v.get(at)?),
            Data::Time(precision, v) => Value::Time(Time::new(*v.get(at)?, *precision)),
            Data::TimeWithTimeZone(precision, v) => {
                let (picos, offset) = *v.get(at)?;
                Value::TimeWithTimeZone(TimeWithTimeZone::new(Time::new(picos, *precision), offset))
            }
            Data::Timestamp(precision, v) => {
                let (seconds, picos) = *v.get(at)?;
                Value::Timestamp(Timestamp::new(seconds, picos, *precision))
            }
            Data::TimestampWithTimeZone(precision, v, zones) => {
                let (seconds, picos) = *v.get(at)?;
                let local = Timestamp::new(seconds, picos, *precision);
                Value::TimestampWithTimeZone(TimestampWithTimeZone::new(local, zones.get(at)))
            }
            Data::IntervalYearToMonth(v) => Value::IntervalYearToMonth(*v.get(at)?),
            Data::IntervalDayToSecond(v) => Value::IntervalDayToSecond(*v.get(at)?),
            Data::Uuid(v) => Value::Uuid(*v.get(at)?),
            Data::IpAddress(v) => Value::IpAddress(*v.get(at)?),
            Data::Array { ends, elements } => Value::Array(Array::new(elements, bounds(ends, at))),
            Data::Map { ends, keys, values } => Value::Map(Map::new(keys, values, bounds(ends, at))),
            Data::Row { names, fields } => Value::Row(Record::new(names, fields, at)),
        })
    }
}

/// What is wrong with a page, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RowFault {
    /// Rows that were read before it.
    pub(crate) row: usize,
    /// The column, if it is in a value.
    pub(crate) column: Option<usize>,
    pub(crate) what: &'static str,
}

/// Reads a page's rows, a JSON array of arrays, into one [`Values`] per column.
pub(crate) fn read_rows<'t>(text: &str, types: impl Iterator<Item = &'t TrinoType>) -> Result<(usize, Vec<Values>), RowFault> {
    let mut columns: Vec<Values> = types.map(Values::of).collect();
    let mut scanner = Scanner::new(text);
    let mut row = 0;
    let outside = |row| move |fault: Fault| RowFault { row, column: None, what: fault.what };
    scanner.must_take(b'[', "a page is an array of rows").map_err(outside(row))?;
    if !scanner.takes(b']') {
        loop {
            scanner.must_take(b'[', "a row is an array of values").map_err(outside(row))?;
            for (at, column) in columns.iter_mut().enumerate() {
                if at > 0 {
                    scanner.must_take(b',', "a row has fewer values than there are columns").map_err(outside(row))?;
                }
                column.read(&mut scanner).map_err(|fault| RowFault { row, column: Some(at), what: fault.what })?;
            }
            scanner.must_take(b']', "a row has more values than there are columns").map_err(outside(row))?;
            row += 1;
            if scanner.takes(b']') {
                break;
            }
            scanner.must_take(b',', "rows are separated by commas").map_err(outside(row))?;
        }
    }
    scanner.end().map_err(outside(row))?;
    Ok((row, columns))
}
