//! Constants as SQL writes them, and what they are in a column.

use crate::{decimal, temporal};
use cdc_core::{LogicalType, NativeType, Value};

/// A constant of SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Literal {
    Null,
    /// In quotes, or a server's text of a constant.
    Text(String),
    /// A number with its sign.
    Number(String),
    /// `x'41'`, `0x41`.
    Hex(Vec<u8>),
    /// `b'101'`, as a number.
    Bits(u64),
    Boolean(bool),
}

impl Literal {
    /// `x'...'` and `0x...`: pairs of hexadecimal digits; an odd first one stands alone.
    pub(crate) fn hex(digits: &str) -> Option<Self> {
        let padded = if digits.len().is_multiple_of(2) { digits.to_owned() } else { format!("0{digits}") };
        let (pairs, _) = padded.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        pairs.iter().map(byte).collect::<Option<_>>().map(Self::Hex)
    }

    /// `b'...'` and `0b...`.
    pub(crate) fn bits(digits: &str) -> Option<Self> {
        if digits.is_empty() { Some(Self::Bits(0)) } else { u64::from_str_radix(digits, 2).ok().map(Self::Bits) }
    }

    /// The constant as a value of a column; `None` if it is none (a number out of range, a date that is not constant).
    pub(crate) fn value(&self, logical: &LogicalType, native: &NativeType) -> Option<Value> {
        use LogicalType as L;
        if *self == Self::Null {
            return Some(Value::Null);
        }
        Some(match logical {
            L::Boolean => Value::Boolean(self.number()? != 0),
            L::Bits { length } => {
                let bytes = usize::from(length.div_ceil(8));
                let number = match self {
                    // A string's bytes are the bits.
                    Self::Text(text) if text.parse::<i128>().is_err() => big_endian(text.as_bytes())?,
                    _ => u64::try_from(self.number()?).ok()?,
                };
                Value::Bytes(number.to_le_bytes().get(..bytes)?.to_vec())
            }
            L::Integer { bits: 64, unsigned: true } => Value::UInt(u64::try_from(self.number()?).ok()?),
            L::Integer { .. } => Value::Int(i64::try_from(self.number()?).ok()?),
            L::Year => Value::Int(match (self.number()?, self) {
                (0, Self::Number(_)) => 0,
                (0, Self::Text(text)) if text.len() == 4 => 0,
                (year @ 0..=69, _) => i64::try_from(year).ok()? + 2000,
                (year @ 70..=99, _) => i64::try_from(year).ok()? + 1900,
                (year @ 1901..=2155, _) => i64::try_from(year).ok()?,
                _ => return None,
            }),
            L::Decimal { scale, .. } => Value::Decimal(fixed_point(&self.plain()?, *scale)?),
            L::Float => Value::Float(self.plain()?.trim().parse().ok()?),
            L::Double => Value::Double(self.plain()?.trim().parse().ok()?),
            L::Date => Value::Int(date_and_time(&self.plain()?)?.0.map_or(0, i64::from)),
            L::Timestamp { .. } | L::TimestampTz { .. } => Value::Int(date_and_time(&self.plain()?)?.1.unwrap_or(0)),
            L::Time { .. } => Value::Int(time(&self.plain()?)?),
            L::Binary => Value::Bytes(self.binary(native)),
            L::String | L::Enum { .. } | L::Set { .. } | L::Json | L::Inet { .. } => Value::String(match self {
                Self::Hex(bytes) => String::from_utf8(bytes.clone()).ok()?,
                other => other.plain()?,
            }),
            L::Uuid => {
                let digits: String = self.plain()?.chars().filter(|c| *c != '-').collect();
                match Self::hex(&digits)? {
                    Self::Hex(bytes) if bytes.len() == 16 => Value::Bytes(bytes),
                    _ => return None,
                }
            }
            _ => return None,
        })
    }

    fn binary(&self, native: &NativeType) -> Vec<u8> {
        let mut bytes = match self {
            Self::Hex(bytes) => bytes.clone(),
            Self::Text(text) | Self::Number(text) => text.clone().into_bytes(),
            Self::Bits(n) => n.to_be_bytes().iter().copied().skip_while(|b| *b == 0).collect(),
            Self::Boolean(b) => vec![b'0' + u8::from(*b)],
            Self::Null => Vec::new(),
        };
        if let ("BINARY", Some(length)) = (native.name.as_str(), native.length) {
            bytes.resize(bytes.len().max(length as usize), 0);
        }
        bytes
    }

    fn number(&self) -> Option<i128> {
        match self {
            Self::Text(text) | Self::Number(text) => {
                let text = text.trim();
                // `1.0` and `1e2` are whole numbers too; halves round away from zero.
                text.parse().ok().or_else(|| {
                    let n: f64 = text.parse().ok()?;
                    (n.abs() < 1e15).then(|| n.round() as i128)
                })
            }
            Self::Hex(bytes) => big_endian(bytes).map(i128::from),
            Self::Bits(n) => Some(i128::from(*n)),
            Self::Boolean(b) => Some(i128::from(*b)),
            Self::Null => None,
        }
    }

    fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.clone()),
            other => other.number().map(|n| n.to_string()),
        }
    }
}

fn big_endian(bytes: &[u8]) -> Option<u64> {
    (bytes.len() <= 8).then(|| bytes.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
}

/// Decimal text with exactly `scale` fraction digits. More digits are rounded, halves away from zero, as the server does.
fn fixed_point(text: &str, scale: u8) -> Option<String> {
    let text = text.trim();
    let text = text.strip_prefix('+').unwrap_or(text);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |d| ("-", d));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let scale_len = usize::from(scale);
    if let Some(cut) = fraction.get(scale_len..).filter(|cut| !cut.is_empty()) {
        let kept = format!("{whole}{}", fraction.get(..scale_len)?);
        let mut n = decimal::unscaled_of_text(if kept.is_empty() { b"0" } else { kept.as_bytes() }, 0).ok()?;
        if cut.starts_with(|c: char| c >= '5') {
            n = n.checked_add(1)?;
        }
        let digits = format!("{n:0>width$}", width = scale_len + 1);
        let (whole, fraction) = digits.split_at_checked(digits.len() - scale_len)?;
        return Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") });
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction:0<scale_len$}") })
}

/// Days, and microseconds, of `YYYY-MM-DD[ hh:mm:ss[.ffffff]]`; a date that no calendar has is an inner `None`.
#[allow(clippy::type_complexity, reason = "two readings of one text")]
fn date_and_time(text: &str) -> Option<(Option<i32>, Option<i64>)> {
    let text = text.trim();
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00:00"));
    let mut parts = date.split('-').map(|p| p.parse::<u32>().ok());
    let (Some(y), Some(m), Some(d), None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    let of_day = time(clock)?;
    let day = temporal::days(y, m, d);
    Some((day, day.map(|day| i64::from(day) * 86_400_000_000 + of_day)))
}

/// Microseconds of `[-]h:mm:ss[.ffffff]`.
fn time(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |t| (-1, t));
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':').map(|p| p.parse::<u32>().ok());
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
    if parts.next().is_some() || h > 838 || m > 59 || s > 59 || fraction.len() > 6 {
        return None;
    }
    let micros: u32 = format!("{fraction:0<6}").parse().ok()?;
    Some(sign * temporal::clock(h, m, s, micros))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn constants_become_values_of_their_columns_type() {
        let text = |s: &str| Literal::Text(s.to_owned());
        let number = |s: &str| Literal::Number(s.to_owned());
        let plain = NativeType::default();
        let int = LogicalType::Integer { bits: 32, unsigned: false };
        for (literal, logical, expected) in [
            (number("-5"), int.clone(), Some(Value::Int(-5))),
            (text("7"), int.clone(), Some(Value::Int(7))),
            (Literal::Boolean(true), LogicalType::Integer { bits: 8, unsigned: false }, Some(Value::Int(1))),
            (text("abc"), int, None),
            (number("18446744073709551615"), LogicalType::Integer { bits: 64, unsigned: true }, Some(Value::UInt(u64::MAX))),
            (number("1.5"), LogicalType::Decimal { precision: 10, scale: 3 }, Some(Value::Decimal("1.500".into()))),
            (number("0.995"), LogicalType::Decimal { precision: 10, scale: 2 }, Some(Value::Decimal("1.00".into()))),
            (number("-.5"), LogicalType::Decimal { precision: 10, scale: 2 }, Some(Value::Decimal("-0.50".into()))),
            (text("1.25"), LogicalType::Float, Some(Value::Float(1.25))),
            (text("2020-01-02"), LogicalType::Date, Some(Value::Int(18_263))),
            (text("0000-00-00"), LogicalType::Date, Some(Value::Int(0))),
            (text("-01:02:03.000004"), LogicalType::Time { fraction: 6 }, Some(Value::Int(-3_723_000_004))),
            (
                text("2020-01-02 03:04:05.5"),
                LogicalType::Timestamp { fraction: 6 },
                Some(Value::Int(18_263 * 86_400_000_000 + 11_045_500_000)),
            ),
            (Literal::bits("10000001").unwrap(), LogicalType::Bits { length: 8 }, Some(Value::Bytes(vec![0x81]))),
            (Literal::bits("100000000001").unwrap(), LogicalType::Bits { length: 12 }, Some(Value::Bytes(vec![1, 8]))),
            (Literal::bits("1").unwrap(), LogicalType::Boolean, Some(Value::Boolean(true))),
            (number("2020"), LogicalType::Year, Some(Value::Int(2020))),
            (text("0000"), LogicalType::Year, Some(Value::Int(0))),
            (number("70"), LogicalType::Year, Some(Value::Int(1970))),
            (Literal::hex("6162").unwrap(), LogicalType::Binary, Some(Value::Bytes(b"ab".to_vec()))),
            (Literal::Null, LogicalType::Binary, Some(Value::Null)),
        ] {
            assert_eq!(literal.value(&logical, &plain), expected, "{literal:?} as {logical:?}");
        }
    }

    #[test]
    fn a_default_of_a_fixed_length_binary_column_is_padded() {
        let native = NativeType { name: "BINARY".into(), length: Some(4), ..NativeType::default() };
        assert_eq!(Literal::Text("ab".into()).value(&LogicalType::Binary, &native), Some(Value::Bytes(b"ab\0\0".to_vec())));
    }
}
