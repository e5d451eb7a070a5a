//! Eight bytes at a time: the primitives under both JSON paths.
//!
//! Everything is safe code on slices. A load at the end of a slice is padded with zeros, which are no digit and no string byte, so
//! every scan stops there.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The first eight bytes, least significant first; zeros behind the end.
#[inline(always)]
pub(crate) fn load8(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => load_rest(bytes),
    }
}

/// Fewer than eight bytes: two loads that may overlap, each put in its place.
#[inline(never)]
fn load_rest(bytes: &[u8]) -> u64 {
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let shift = (bytes.len() as u32).wrapping_sub(4).wrapping_mul(8);
        return u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)).wrapping_shl(shift);
    }
    bytes.iter().take(3).rev().fold(0, |word, &byte| (word << 8) | u64::from(byte))
}

/// Marks (high bit of each byte) the bytes that end a run of plain string text: `"`, `\`, and controls below 0x20. Exact up to and
/// with the first mark.
#[inline(always)]
fn ends(word: u64) -> u64 {
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    let quote = quote.wrapping_sub(ONES) & !quote;
    let slash = slash.wrapping_sub(ONES) & !slash;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | slash | control) & HIGH
}

/// True if one of sixteen bytes ends a run of plain text. A fold of comparisons over a fixed block, of which the compiler makes a
/// handful of vector instructions.
#[inline(always)]
fn has_end(block: &[u8; 16]) -> bool {
    block.iter().fold(false, |found, &byte| found | (byte == b'"') | (byte == b'\\') | (byte < 0x20))
}

/// Length of the plain text that `bytes` begins with, up to a quote, a backslash, a control or the end; and whether all of it is ASCII.
#[inline(always)]
pub(crate) fn plain_text(bytes: &[u8]) -> (usize, bool) {
    let mut rest = bytes;
    let mut length = 0_usize;
    let mut high = 0;
    while let Some((block, behind)) = rest.split_first_chunk::<16>() {
        if has_end(block) {
            break;
        }
        let both = u128::from_le_bytes(*block);
        high |= (both | (both >> 64)) as u64;
        length = length.wrapping_add(16);
        rest = behind;
    }
    loop {
        let word = load8(rest);
        let marks = ends(word);
        if marks != 0 {
            let count = (marks.trailing_zeros() / 8) as usize;
            // Bytes below the first mark.
            let below = (marks & marks.wrapping_neg()).wrapping_sub(1);
            return (length.wrapping_add(count), (high | (word & below)) & HIGH == 0);
        }
        high |= word;
        length = length.wrapping_add(8);
        // A word without a mark has no zero byte, so it was not padded.
        rest = rest.get(8..).unwrap_or_default();
    }
}

const POWERS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// Up to eight digits that `bytes` begins with: how many, and their value.
#[inline(always)]
fn digits8(bytes: &[u8]) -> (usize, u64) {
    let word = load8(bytes) ^ (ONES * b'0' as u64);
    let non_digits = (word.wrapping_add(ONES * 0x76) | word) & HIGH;
    let count = non_digits.trailing_zeros() / 8;
    if count == 0 {
        return (0, 0);
    }
    let word = word.wrapping_shl(64 - count * 8);
    let word = (word.wrapping_mul(2561) >> 8) & 0x00ff_00ff_00ff_00ff;
    let word = (word.wrapping_mul(6_553_601) >> 16) & 0x0000_ffff_0000_ffff;
    (count as usize, word.wrapping_mul(42_949_672_960_001) >> 32)
}

/// An unsigned number of 1 to 19 digits: its value and its length.
#[inline(always)]
pub(crate) fn unsigned(bytes: &[u8]) -> Option<(u64, usize)> {
    let (first, high) = digits8(bytes);
    if first < 8 {
        return (first > 0).then_some((high, first));
    }
    let (second, middle) = digits8(bytes.get(8..).unwrap_or_default());
    let value = high.wrapping_mul(*POWERS.get(second)?).wrapping_add(middle);
    if second < 8 {
        return Some((value, 8 + second));
    }
    let (third, low) = digits8(bytes.get(16..).unwrap_or_default());
    if third > 3 {
        return None;
    }
    Some((value.wrapping_mul(*POWERS.get(third)?).wrapping_add(low), 16 + third))
}

/// Steps over a JSON integer of any size. `None` for anything else, `-0` and leading zeros too.
#[inline(always)]
pub(crate) fn skip_integer(bytes: &[u8]) -> Option<&[u8]> {
    let negative = bytes.first() == Some(&b'-');
    let digits = if negative { bytes.get(1..)? } else { bytes };
    let zero = digits.first() == Some(&b'0');
    let mut rest = digits;
    loop {
        let word = load8(rest) ^ (ONES * b'0' as u64);
        let non_digits = (word.wrapping_add(ONES * 0x76) | word) & HIGH;
        rest = rest.get((non_digits.trailing_zeros() / 8) as usize..)?;
        if non_digits != 0 {
            break;
        }
    }
    let length = digits.len() - rest.len();
    (length > 0 && !(zero && (length > 1 || negative))).then_some(rest)
}

/// A JSON integer that fits `i64`: its value, and what follows it. `None` for anything else: `-0`, leading zeros, overflow. The
/// caller's next comparison refuses a fraction or exponent.
#[inline(always)]
pub(crate) fn integer(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let negative = bytes.first() == Some(&b'-');
    let digits = if negative { bytes.get(1..)? } else { bytes };
    let (magnitude, length) = unsigned(digits)?;
    if digits.first() == Some(&b'0') && (length > 1 || negative) {
        return None;
    }
    let value = if negative { 0_i64.checked_sub_unsigned(magnitude)? } else { i64::try_from(magnitude).ok()? };
    Some((value, digits.get(length..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_load_is_padded_with_zeros() {
        let text = b"\x81\x82\x83\x84\x85\x86\x87\x88\x89";
        for length in 0..=9 {
            let mut padded = [0; 8];
            padded[..length.min(8)].copy_from_slice(&text[..length.min(8)]);
            assert_eq!(load8(&text[..length]), u64::from_le_bytes(padded), "{length}");
        }
    }

    #[test]
    fn plain_text_ends_at_the_first_special_byte_wherever_it_lies() {
        for length in 0..40 {
            for end in [&b"\""[..], b"\\", b"\n", b"\0", b"\x1f", b""] {
                for fill in [b'a', b' ', b'!', b'#', b'[', b']', 0x7f] {
                    let mut text = vec![fill; length];
                    text.extend_from_slice(end);
                    if !end.is_empty() {
                        text.extend_from_slice("tail \u{e9} \"".as_bytes());
                    }
                    assert_eq!(plain_text(&text), (length, true));
                }
            }
            let mut text = vec![b'a'; length];
            text.extend_from_slice("\u{e9}\u{ff}\"".as_bytes());
            assert_eq!(plain_text(&text), (length + 4, false));
        }
    }

    #[test]
    fn integers_of_all_lengths_are_read_exactly() {
        for value in
            [0, 1, 9, 10, 12_345_678, 123_456_789, 9_999_999_999_999_999, i64::MAX, i64::MIN, -1, -10_000_000_000_000_000]
        {
            for tail in ["", ",", "}", "123456789012345678901".get(..0).unwrap_or("")] {
                let text = format!("{value}{tail}");
                assert_eq!(integer(text.as_bytes()).map(|(v, rest)| (v, rest.len())), Some((value, tail.len())), "{text}");
            }
        }
        for bad in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "-01",
            "x",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "12345678901234567890123",
        ] {
            assert!(integer(bad.as_bytes()).is_none(), "{bad}");
        }
        for (text, left) in [
            ("0,", Some(1)),
            ("-12345678", Some(0)),
            ("123456789012345678901234}", Some(1)),
            ("00", None),
            ("-0", None),
            ("-", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(skip_integer(text.as_bytes()).map(<[u8]>::len), left, "{text}");
        }
    }
}
