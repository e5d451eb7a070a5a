//! Decimals: unscaled numbers as minimal big-endian two's complement (Java's `BigInteger.toByteArray`), and as plain text.
//!
//! Up to 38 digits they are `i128`; MySQL goes to 65 digits, which fit 217 bits.

use crate::base64_text;
use crate::number_text::write_integer;

/// `10^n` for n up to 38.
pub(crate) const POWERS: [i128; 39] = {
    let mut powers = [1_i128; 39];
    let mut i = 1;
    while i < 39 {
        powers[i] = powers[i - 1] * 10;
        i += 1;
    }
    powers
};

/// True if `value` has at most `precision` digits.
#[inline]
pub(crate) fn fits(value: i128, precision: u8) -> bool {
    POWERS.get(precision as usize).is_none_or(|&limit| -limit < value && value < limit)
}

/// Appends the base64 of the shortest two's complement of `value`.
pub(crate) fn write_base64(out: &mut Vec<u8>, value: i128) {
    let bytes = value.to_be_bytes();
    let spare = (if value < 0 { value.leading_ones() } else { value.leading_zeros() }).saturating_sub(1) / 8;
    base64_text::encode(bytes.get(spare as usize..).unwrap_or(&bytes), out);
}

/// Appends plain text with exactly `scale` fraction digits.
pub(crate) fn write_text(out: &mut Vec<u8>, value: i128, scale: u8) {
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [b'0'; 40];
    let mut left = value.unsigned_abs();
    let mut at = digits.len();
    for place in (0..digits.len()).rev() {
        if left == 0 && digits.len() - place > scale as usize + 1 {
            break;
        }
        digits[place] = b'0' + (left % 10) as u8;
        left /= 10;
        at = place;
    }
    push_with_point(out, digits.get(at..).unwrap_or_default(), scale);
}

fn push_with_point(out: &mut Vec<u8>, digits: &[u8], scale: u8) {
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(scale as usize));
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// Sign and digits of `[-]digits[.digits]`: whole and fraction. No exponent, no plus sign, digits on at least one side... of which
/// the whole side is one.
fn split(text: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(point) => (text.get(..point)?, text.get(point.checked_add(1)?..)?),
        None => (text, &b""[..]),
    };
    let has_point = whole.len() != text.len();
    let valid = !whole.is_empty() && (!has_point || !fraction.is_empty());
    (valid && whole.iter().chain(fraction).all(u8::is_ascii_digit)).then_some((negative, whole, fraction))
}

/// The fraction digits that count under `scale`; zeros beyond it may go.
fn clip(fraction: &[u8], scale: u8) -> Option<&[u8]> {
    match fraction.split_at_checked(scale as usize) {
        Some((kept, beyond)) => beyond.iter().all(|&b| b == b'0').then_some(kept),
        None => Some(fraction),
    }
}

/// The unscaled value of plain text; `None` if it is no number, or has digits beyond `precision` and `scale`.
pub(crate) fn parse_text(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let (negative, whole, fraction) = split(text)?;
    let fraction = clip(fraction, scale)?;
    let mut value = 0_i128;
    for &digit in whole.iter().chain(fraction) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    value = value.checked_mul(*POWERS.get((scale as usize).checked_sub(fraction.len())?)?)?;
    let value = if negative { -value } else { value };
    fits(value, precision).then_some(value)
}

/// A 256-bit magnitude, least significant word first.
#[derive(Clone, Copy, Default, PartialEq)]
struct Wide([u32; 8]);

impl Wide {
    fn times_ten_plus(&mut self, digit: u8) -> Option<()> {
        let mut carry = u64::from(digit);
        for word in &mut self.0 {
            let product = u64::from(*word) * 10 + carry;
            *word = product as u32;
            carry = product >> 32;
        }
        (carry == 0).then_some(())
    }

    fn divide_by_ten(&mut self) -> u8 {
        let mut rest = 0_u64;
        for word in self.0.iter_mut().rev() {
            let value = (rest << 32) | u64::from(*word);
            *word = (value / 10) as u32;
            rest = value % 10;
        }
        rest as u8
    }

    fn negate(&mut self) {
        let mut carry = 1_u64;
        for word in &mut self.0 {
            let sum = u64::from(!*word) + carry;
            *word = sum as u32;
            carry = sum >> 32;
        }
    }

    fn is_negative(&self) -> bool {
        self.0[7] >> 31 != 0
    }

    fn to_be_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.0.iter().rev()) {
            *chunk = word.to_be_bytes();
        }
        bytes
    }

    fn from_be_bytes(bytes: [u8; 32]) -> Self {
        let mut words = [0; 8];
        for (chunk, word) in bytes.as_chunks::<4>().0.iter().zip(words.iter_mut().rev()) {
            *word = u32::from_be_bytes(*chunk);
        }
        Self(words)
    }
}

/// Appends the base64 of a decimal's plain text of up to 65 digits; `None`, with nothing appended, if it does not fit `scale`.
pub(crate) fn write_base64_of_text(out: &mut Vec<u8>, text: &[u8], scale: u8) -> Option<()> {
    let (negative, whole, fraction) = split(text)?;
    let fraction = clip(fraction, scale)?;
    let mut value = Wide::default();
    for &digit in whole.iter().chain(fraction) {
        value.times_ten_plus(digit - b'0')?;
    }
    for _ in fraction.len()..scale as usize {
        value.times_ten_plus(0)?;
    }
    if value.is_negative() {
        return None;
    }
    if negative {
        value.negate();
    }
    let bytes = value.to_be_bytes();
    let filler = if value.is_negative() { 0xff } else { 0 };
    let spare = bytes.windows(2).take_while(|pair| pair[0] == filler && (pair[1] ^ filler) & 0x80 == 0).count();
    base64_text::encode(bytes.get(spare..).unwrap_or(&bytes), out);
    Some(())
}

/// Appends the plain text, with exactly `scale` fraction digits, of a big-endian two's complement of at most 32 bytes; `None`, with
/// nothing appended, if it has more than `precision` digits.
pub(crate) fn write_text_of_bytes(out: &mut Vec<u8>, bytes: &[u8], precision: u8, scale: u8) -> Option<()> {
    let negative = bytes.first()? & 0x80 != 0;
    let mut full = [if negative { 0xff } else { 0 }; 32];
    full.get_mut(32_usize.checked_sub(bytes.len())?..)?.copy_from_slice(bytes);
    let mut value = Wide::from_be_bytes(full);
    if negative {
        value.negate();
    }
    let mut digits = [b'0'; 80];
    let mut at = digits.len();
    for place in (0..digits.len()).rev() {
        if value == Wide::default() && digits.len() - place > scale as usize + 1 {
            break;
        }
        digits[place] = b'0' + value.divide_by_ten();
        at = place;
    }
    let digits = digits.get(at..)?;
    let significant = digits.len() - digits.iter().take_while(|&&d| d == b'0').count();
    if significant > precision as usize {
        return None;
    }
    if negative {
        out.push(b'-');
    }
    push_with_point(out, digits, scale);
    Some(())
}

/// Appends plain text in the one form that columns hold: no superfluous leading zeros, exactly `scale` fraction digits, no `-0`.
pub(crate) fn normalize_text(out: &mut Vec<u8>, text: &[u8], precision: u8, scale: u8) -> Option<()> {
    let (negative, whole, fraction) = split(text)?;
    let fraction = clip(fraction, scale)?;
    let zeros = whole.iter().take_while(|&&d| d == b'0').count();
    let whole = whole.get(zeros..)?;
    if whole.len() > (precision as usize).saturating_sub(scale as usize) {
        return None;
    }
    if negative && whole.iter().chain(fraction).any(|&d| d != b'0') {
        out.push(b'-');
    }
    out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
    if scale > 0 {
        out.push(b'.');
        out.extend_from_slice(fraction);
        out.extend(std::iter::repeat_n(b'0', (scale as usize) - fraction.len()));
    }
    Some(())
}

/// Appends an unscaled number with the scale of a `Decimal`, in the text form of `decimal.handling.mode=string`.
pub(crate) fn write_plain(out: &mut Vec<u8>, value: i128, scale: u8) {
    match (scale, i64::try_from(value)) {
        (0, Ok(small)) => write_integer(out, small),
        _ => write_text(out, value, scale),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    fn base64(value: i128) -> String {
        let mut out = Vec::new();
        write_base64(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn unscaled_numbers_take_the_fewest_bytes() {
        for (value, text) in [
            (0, "AA=="),
            (100, "ZA=="),
            (200, "AMg="),
            (-1, "/w=="),
            (-128, "gA=="),
            (-129, "/38="),
            (4950, "E1Y="),
            (999, "A+c="),
            (i128::from(u64::MAX), "AP//////////"),
        ] {
            assert_eq!(base64(value), text);
        }
        assert_eq!(STANDARD.decode(base64(i128::MIN)).unwrap(), i128::MIN.to_be_bytes());
    }

    #[test]
    fn text_has_exactly_the_fraction_digits_of_the_scale() {
        for (value, scale, text) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (5, 2, "0.05"),
            (-5, 2, "-0.05"),
            (12345, 2, "123.45"),
            (-100, 0, "-100"),
            (10, 1, "1.0"),
        ] {
            let mut out = Vec::new();
            write_text(&mut out, value, scale);
            assert_eq!(out, text.as_bytes());
            assert_eq!(parse_text(text.as_bytes(), 38, scale), Some(value));
        }
    }

    #[test]
    fn text_that_does_not_fit_is_refused() {
        for (text, precision, scale) in [
            ("", 5, 2),
            ("-", 5, 2),
            (".5", 5, 2),
            ("1.", 5, 2),
            ("1e3", 5, 2),
            ("+1", 5, 2),
            ("1.234", 5, 2),
            ("1000", 5, 2),
            ("NaN", 5, 2),
            ("1.2.3", 9, 4),
        ] {
            assert_eq!(parse_text(text.as_bytes(), precision, scale), None, "{text}");
        }
        assert_eq!(parse_text(b"1.2300", 5, 2), Some(123));
        assert_eq!(parse_text(b"99999999999999999999999999999999999999", 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(parse_text(b"999999999999999999999999999999999999999", 38, 0), None);
    }

    #[test]
    fn sixty_five_digits_survive_both_ways() {
        let text = "-12345678901234567890123456789012345.123456789012345678901234567890";
        let mut out = Vec::new();
        write_base64_of_text(&mut out, text.as_bytes(), 30).unwrap();
        assert_eq!(out, b"4f1D4Wh6dCOTRq+nDL2ygsWAE4T8HZlxwPUu");
        let mut back = Vec::new();
        write_text_of_bytes(&mut back, &STANDARD.decode(&out).unwrap(), 65, 30).unwrap();
        assert_eq!(back, text.as_bytes());
        let nines = "99999999999999999999999999999999999.999999999999999999999999999999";
        out.clear();
        write_base64_of_text(&mut out, nines.as_bytes(), 30).unwrap();
        assert_eq!(out, b"APMWJxx/w5CKi+9GTjlF73olNgn//////////w==");
        back.clear();
        assert!(write_text_of_bytes(&mut back, &STANDARD.decode(&out).unwrap(), 64, 30).is_none());
        assert!(back.is_empty());
    }

    #[test]
    fn small_wide_numbers_keep_their_zeros() {
        for (bytes, text) in [(vec![0_u8], "0.000"), (vec![0xff], "-0.001"), (vec![5], "0.005"), (vec![4, 0xd2], "1.234")] {
            let mut out = Vec::new();
            write_text_of_bytes(&mut out, &bytes, 40, 3).unwrap();
            assert_eq!(out, text.as_bytes());
            let mut again = Vec::new();
            write_base64_of_text(&mut again, &out, 3).unwrap();
            assert_eq!(again, STANDARD.encode(&bytes).as_bytes());
        }
        let mut out = Vec::new();
        normalize_text(&mut out, b"-000.10", 40, 3).unwrap();
        assert_eq!(out, b"-0.100");
        out.clear();
        normalize_text(&mut out, b"-0.000", 40, 3).unwrap();
        assert_eq!(out, b"0.000");
    }
}
