//! Values as types of Rust, and rows as tuples.

use crate::decimal::Decimal;
use crate::error::Result;
use crate::page::Row;
use crate::temporal::{Date, IntervalDayToSecond, IntervalYearToMonth, Time, TimeWithTimeZone, Timestamp, TimestampWithTimeZone};
use crate::value::{Array, Map, Record, Uuid, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;

/// What a value can be read as.
///
/// | of Trino | as |
/// |---|---|
/// | `boolean` | `bool` |
/// | `tinyint`, `smallint`, `integer`, `bigint` | every integer of Rust that the value fits in |
/// | `real` | `f32`, `f64` |
/// | `double` | `f64` |
/// | `decimal` | [`Decimal`] |
/// | `varchar`, `char`, `json` | `&str`, `String` |
/// | `varbinary` | `&[u8]`, `Vec<u8>` |
/// | dates, times, intervals, `uuid` | the types of this crate |
/// | `ipaddress` | [`IpAddr`] |
/// | `array` | [`Array`], `Vec<T>` (not of bytes) |
/// | `map` | [`Map`], `BTreeMap`, `HashMap` |
/// | `row` | [`Record`], tuples |
/// | NULL and any of these | `Option<T>` |
/// | anything | [`Value`] |
///
/// Nothing is rounded or converted on the way: what does not fit is an error.
pub trait FromValue<'a>: Sized {
    /// Reads a value.
    ///
    /// # Errors
    /// It is of another type, or does not fit.
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch>;
}

/// A value is not what was asked for. It does not hold the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch(Cow<'static, str>);

impl Mismatch {
    /// In words: "a port is 1 to 65535".
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }

    fn of(value: &Value<'_>, wanted: &str) -> Self {
        let hint = if value.is_null() { ": ask for an Option" } else { "" };
        Self::new(format!("{} is no {wanted}{hint}", value.kind()))
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// What a row can be read as: tuples of up to 12 values, in the order of the columns.
pub trait FromRow<'a>: Sized {
    /// Reads a row.
    ///
    /// # Errors
    /// [`ErrorKind::Conversion`](crate::ErrorKind::Conversion), by the first value that is not as wanted, or for another number of columns.
    fn from_row(row: &'a Row) -> Result<Self>;
}

impl<'a> FromValue<'a> for Value<'a> {
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
        Ok(value)
    }
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Option<T> {
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
        if value.is_null() { Ok(None) } else { T::from_value(value).map(Some) }
    }
}

macro_rules! integers {
    ($($type:ident)*) => {$(
        impl FromValue<'_> for $type {
            fn from_value(value: Value<'_>) -> Result<Self, Mismatch> {
                let number = match value {
                    Value::Tinyint(v) => i64::from(v),
                    Value::Smallint(v) => i64::from(v),
                    Value::Integer(v) => i64::from(v),
                    Value::Bigint(v) => v,
                    other => return Err(Mismatch::of(&other, stringify!($type))),
                };
                $type::try_from(number).map_err(|_| Mismatch::new(concat!("the value does not fit in ", stringify!($type))))
            }
        }
    )*};
}

integers!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

macro_rules! same {
    ($($type:ty, $name:literal, $($variant:ident)|+;)*) => {$(
        impl<'a> FromValue<'a> for $type {
            fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
                match value {
                    $(Value::$variant(v) => Ok(v.into()),)+
                    other => Err(Mismatch::of(&other, $name)),
                }
            }
        }
    )*};
}

same! {
    bool, "bool", Boolean;
    f32, "f32", Real;
    f64, "f64", Real | Double;
    Decimal, "Decimal", Decimal;
    &'a str, "str", Varchar | Char | Json;
    String, "String", Varchar | Char | Json;
    &'a [u8], "[u8]", Varbinary;
    Vec<u8>, "Vec<u8>", Varbinary;
    Date, "Date", Date;
    Time, "Time", Time;
    TimeWithTimeZone, "TimeWithTimeZone", TimeWithTimeZone;
    Timestamp, "Timestamp", Timestamp;
    TimestampWithTimeZone, "TimestampWithTimeZone", TimestampWithTimeZone;
    IntervalYearToMonth, "IntervalYearToMonth", IntervalYearToMonth;
    IntervalDayToSecond, "IntervalDayToSecond", IntervalDayToSecond;
    Uuid, "Uuid", Uuid;
    IpAddr, "IpAddr", IpAddress;
    Array<'a>, "Array", Array;
    Map<'a>, "Map", Map;
    Record<'a>, "Record", Row;
}

macro_rules! lists {
    ($($type:ty)*) => {$(
        impl<'a> FromValue<'a> for Vec<$type> {
            fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
                list(value)
            }
        }
    )*};
}

// Not `Vec<T>`: a `Vec<u8>` is a varbinary.
lists! {
    bool i8 i16 i32 i64 f32 f64 Decimal &'a str String Vec<u8> Date Time TimeWithTimeZone Timestamp TimestampWithTimeZone
    IntervalYearToMonth IntervalDayToSecond Uuid IpAddr Value<'a>
}

impl<'a, T: FromValue<'a>> FromValue<'a> for Vec<Option<T>> {
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
        list(value)
    }
}

fn list<'a, T: FromValue<'a>>(value: Value<'a>) -> Result<Vec<T>, Mismatch> {
    Array::from_value(value)?.iter().map(T::from_value).collect()
}

impl<'a, K: FromValue<'a> + Ord, V: FromValue<'a>> FromValue<'a> for BTreeMap<K, V> {
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
        Map::from_value(value)?.iter().map(|(k, v)| Ok((K::from_value(k)?, V::from_value(v)?))).collect()
    }
}

impl<'a, K: FromValue<'a> + Hash + Eq, V: FromValue<'a>, S: BuildHasher + Default> FromValue<'a> for HashMap<K, V, S> {
    fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
        Map::from_value(value)?.iter().map(|(k, v)| Ok((K::from_value(k)?, V::from_value(v)?))).collect()
    }
}

macro_rules! tuples {
    ($($count:literal: $($type:ident $at:tt),+;)*) => {$(
        impl<'a, $($type: FromValue<'a>),+> FromValue<'a> for ($($type,)+) {
            fn from_value(value: Value<'a>) -> Result<Self, Mismatch> {
                let fields = Record::from_value(value)?;
                if fields.len() != $count {
                    return Err(Mismatch::new(format!("a row of {} fields is no tuple of {}", fields.len(), $count)));
                }
                Ok(($($type::from_value(fields.get($at).unwrap_or(Value::Null))?,)+))
            }
        }

        impl<'a, $($type: FromValue<'a>),+> FromRow<'a> for ($($type,)+) {
            fn from_row(row: &'a Row) -> Result<Self> {
                if row.columns().len() != $count {
                    let what = format!("a row of {} columns is no tuple of {}", row.columns().len(), $count);
                    return Err(crate::Error::new(crate::ErrorKind::Conversion, what));
                }
                Ok(($(row.get::<$type>($at)?,)+))
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
    7: A 0, B 1, C 2, D 3, E 4, F 5, G 6;
    8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7;
    9: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8;
    10: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9;
    11: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10;
    12: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11;
}
