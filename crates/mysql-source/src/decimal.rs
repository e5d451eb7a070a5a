//! DECIMAL: from the server's binary form and from text to a scaled 128-bit number, or to text above 38 digits.
//!
//! The binary form: digits in groups of nine, four bytes each, big-endian, the integer part's first group and the fraction's
//! last group shorter; the sign bit is inverted, and all bytes of a negative number are.

use crate::decode_error::{DecodeError, DecodeResult};

/// Bytes of a group of 0 to 9 digits.
const GROUP_BYTES: [usize; 10] = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4];
/// 10^digits for groups of 0 to 9 digits.
const POWERS: [u32; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// How a `DECIMAL(precision, scale)` lies in its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DecimalLayout {
    leading: u8,
    whole_groups: u8,
    fraction_groups: u8,
    trailing: u8,
    scale: u8,
    bytes: u8,
}

impl DecimalLayout {
    /// `None` for what the server does not allow: more than 65 digits, more than 38 of them after the point.
    pub(crate) fn new(precision: u8, scale: u8) -> Option<Self> {
        if precision > 65 || scale > precision || scale > 38 {
            return None;
        }
        let whole = precision.checked_sub(scale)?;
        let (leading, whole_groups) = (whole % 9, whole / 9);
        let (trailing, fraction_groups) = (scale % 9, scale / 9);
        let bytes = |digits: u8| GROUP_BYTES.get(usize::from(digits)).copied().unwrap_or(0);
        let total = bytes(leading) + bytes(trailing) + 4 * (usize::from(whole_groups) + usize::from(fraction_groups));
        Some(Self { leading, whole_groups, fraction_groups, trailing, scale, bytes: u8::try_from(total).ok()? })
    }

    /// Bytes of every value.
    #[inline]
    pub(crate) fn bytes(self) -> usize {
        usize::from(self.bytes)
    }

    /// The groups in order as (digits, bytes).
    fn groups(self) -> impl Iterator<Item = (usize, usize)> {
        let group = |digits: u8| (usize::from(digits), GROUP_BYTES.get(usize::from(digits)).copied().unwrap_or(0));
        let nine = |count: u8| std::iter::repeat_n((9, 4), usize::from(count));
        std::iter::once(group(self.leading))
            .chain(nine(self.whole_groups))
            .chain(nine(self.fraction_groups))
            .chain(std::iter::once(group(self.trailing)))
    }

    /// The number times 10^scale. `raw` has exactly [`DecimalLayout::bytes`] bytes; `None` if the digits are impossible or do
    /// not fit into 128 bits.
    #[inline]
    pub(crate) fn unscaled(self, raw: &[u8]) -> Option<i128> {
        let negative = raw.first()? & 0x80 == 0;
        let flip = if negative { 0xff } else { 0 };
        if raw.len() <= 8 {
            // At most 18 digits: 64-bit arithmetic.
            return self
                .fold(raw, flip, 0u64, |n, power, group| n.checked_mul(u64::from(power))?.checked_add(u64::from(group)))
                .map(|n| {
                    let n = i128::from(n);
                    if negative { -n } else { n }
                });
        }
        let n =
            self.fold(raw, flip, 0i128, |n, power, group| n.checked_mul(i128::from(power))?.checked_add(i128::from(group)))?;
        Some(if negative { -n } else { n })
    }

    #[inline]
    fn fold<N: Copy>(self, raw: &[u8], flip: u8, zero: N, step: impl Fn(N, u32, u32) -> Option<N>) -> Option<N> {
        let mut n = zero;
        let mut rest = raw;
        let mut sign = 0x80;
        for (digits, bytes) in self.groups() {
            let (group, after) = rest.split_at_checked(bytes)?;
            rest = after;
            let mut value = 0u32;
            for &byte in group {
                value = value << 8 | u32::from(byte ^ flip ^ sign);
                sign = 0;
            }
            let power = *POWERS.get(digits)?;
            if value >= power {
                return None;
            }
            n = step(n, power, value)?;
        }
        Some(n)
    }

    /// Appends the number's plain text with all its fraction digits.
    pub(crate) fn text(self, raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let negative = raw.first()? & 0x80 == 0;
        let flip = if negative { 0xff } else { 0 };
        let start = out.len();
        if negative {
            out.push(b'-');
        }
        let digits_start = out.len();
        let mut rest = raw;
        let mut sign = 0x80;
        let mut nonzero = false;
        let whole_groups = 1 + usize::from(self.whole_groups);
        for (i, (digits, bytes)) in self.groups().enumerate() {
            if i == whole_groups {
                if out.len() == digits_start {
                    out.push(b'0');
                }
                if self.scale > 0 {
                    out.push(b'.');
                }
            }
            let (group, after) = rest.split_at_checked(bytes)?;
            rest = after;
            let mut value = 0u32;
            for &byte in group {
                value = value << 8 | u32::from(byte ^ flip ^ sign);
                sign = 0;
            }
            if value >= *POWERS.get(digits)? {
                out.truncate(start);
                return None;
            }
            nonzero |= value != 0;
            for d in (0..digits).rev() {
                let digit = value / POWERS.get(d)? % 10;
                // No zeros in front of the whole part.
                if digit != 0 || i >= whole_groups || out.len() > digits_start {
                    out.push(b'0' + digit as u8);
                }
            }
        }
        if negative && !nonzero {
            out.remove(start);
        }
        Some(())
    }
}

/// The number in plain decimal text times 10^scale. Missing fraction digits count as zero; more than `scale` of them, or
/// anything that is not a number, is an error.
pub(crate) fn unscaled_of_text(text: &[u8], scale: u8) -> DecodeResult<i128> {
    let bad =
        || DecodeError::invalid(format!("'{}' is not a decimal with {scale} fraction digits", String::from_utf8_lossy(text)));
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let mut n = 0i128;
    let mut fraction: Option<u8> = None;
    let mut any = false;
    for &c in digits {
        match c {
            b'0'..=b'9' => {
                any = true;
                n = n.checked_mul(10).and_then(|n| n.checked_add(i128::from(c - b'0'))).ok_or_else(bad)?;
                if let Some(f) = &mut fraction {
                    *f = f.checked_add(1).ok_or_else(bad)?;
                }
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => return Err(bad()),
        }
    }
    let missing = scale.checked_sub(fraction.unwrap_or(0)).ok_or_else(bad)?;
    let n = 10i128.checked_pow(u32::from(missing)).and_then(|p| n.checked_mul(p)).ok_or_else(bad)?;
    if !any {
        return Err(bad());
    }
    Ok(if negative { -n } else { n })
}

/// The server's text of a number without the zeros that ZEROFILL puts in front, which the binary log does not have.
pub(crate) fn without_zerofill(text: &[u8]) -> &[u8] {
    let zeros = text.iter().zip(text.iter().skip(1)).take_while(|(c, next)| **c == b'0' && next.is_ascii_digit()).count();
    text.get(zeros..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    /// The binary form, made the other way round: digits to groups to bytes.
    fn encode(text: &str, precision: u8, scale: u8) -> Vec<u8> {
        let negative = text.starts_with('-');
        let (whole, fraction) = text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
        let whole = whole.trim_start_matches('0');
        let digits = format!("{whole:0>w$}{fraction:0<f$}", w = usize::from(precision - scale), f = usize::from(scale));
        let layout = DecimalLayout::new(precision, scale).unwrap();
        let mut at = 0;
        let mut out = Vec::new();
        for (n, bytes) in layout.groups() {
            let value: u32 = if n == 0 { 0 } else { digits[at..at + n].parse().unwrap() };
            at += n;
            out.extend(&value.to_be_bytes()[4 - bytes..]);
        }
        out[0] ^= 0x80;
        if negative {
            out.iter_mut().for_each(|b: &mut u8| *b = !*b);
        }
        out
    }

    #[test]
    fn the_binary_form_reads_as_number_and_as_text() {
        for (text, p, s) in [
            ("0.00", 12, 2),
            ("1234567890.12", 12, 2),
            ("-1234567890.12", 12, 2),
            ("-0.01", 10, 2),
            ("99999999.99", 10, 2),
            ("-1", 1, 0),
            ("0.0000", 4, 4),
            ("-0.9999", 4, 4),
            ("12345678901234567890123456789012345678", 38, 0),
            ("-99999999999999999999999999999999999999", 38, 0),
            ("-1234567890123456789.0123456789012345678", 38, 19),
            ("123456789012345678", 18, 0),
            ("-0.99999999999999999999", 20, 20),
        ] {
            let layout = DecimalLayout::new(p, s).unwrap();
            let raw = encode(text, p, s);
            assert_eq!(raw.len(), layout.bytes());
            let number = unscaled_of_text(text.as_bytes(), s).unwrap();
            assert_eq!(layout.unscaled(&raw), Some(number), "{text}");
            let mut out = Vec::new();
            layout.text(&raw, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn sixty_five_digits_are_text() {
        let text = "-12345678901234567890123456789012345.123456789012345678901234567890";
        let layout = DecimalLayout::new(65, 30).unwrap();
        let raw = encode(text, 65, 30);
        assert_eq!(raw.len(), 30);
        let mut out = Vec::new();
        layout.text(&raw, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), text);
        assert_eq!(layout.unscaled(&raw), None);
    }

    #[test]
    fn impossible_digits_are_refused() {
        let layout = DecimalLayout::new(4, 2).unwrap();
        assert_eq!(layout.unscaled(&[0x80 | 100, 0]), None);
        assert_eq!(layout.text(&[0x80, 100], &mut Vec::new()), None);
        assert_eq!(DecimalLayout::new(66, 0), None);
        assert_eq!(DecimalLayout::new(2, 3), None);
    }

    #[test]
    fn zeros_in_front_are_no_part_of_a_number() {
        for (text, plain) in
            [("0001.50", "1.50"), ("000.05", "0.05"), ("0", "0"), ("000", "0"), ("-0.5", "-0.5"), ("100", "100"), ("", "")]
        {
            assert_eq!(without_zerofill(text.as_bytes()), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn text_needs_no_fraction_but_may_not_have_too_much() {
        assert_eq!(unscaled_of_text(b"1.5", 3).unwrap(), 1500);
        assert_eq!(unscaled_of_text(b"-7", 2).unwrap(), -700);
        for bad in ["1.2345", "", "-", ".", "1e5", "1.2.3", " 1"] {
            assert!(unscaled_of_text(bad.as_bytes(), 3).is_err(), "{bad}");
        }
    }
}
