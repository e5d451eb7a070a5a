//! Base64 (RFC 4648, section 4, padded) as Connect's JSON converter writes `bytes`.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut i = 0;
    while i < 64 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

#[inline(always)]
fn letter(six_bits: u32) -> u8 {
    ALPHABET[(six_bits & 63) as usize]
}

/// Appends the encoding of `bytes`.
pub(crate) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let (triples, rest) = bytes.as_chunks::<3>();
    out.reserve(bytes.len().div_ceil(3).saturating_mul(4));
    for &[a, b, c] in triples {
        let n = u32::from_be_bytes([0, a, b, c]);
        out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), letter(n >> 6), letter(n)]);
    }
    match *rest {
        [a] => {
            let n = u32::from_be_bytes([0, a, 0, 0]);
            out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), b'=', b'=']);
        }
        [a, b] => {
            let n = u32::from_be_bytes([0, a, b, 0]);
            out.extend_from_slice(&[letter(n >> 18), letter(n >> 12), letter(n >> 6), b'=']);
        }
        _ => {}
    }
}

/// The 24 bits of four letters, or more than 24 bits if one is no letter.
#[inline(always)]
fn quad(four: [u8; 4]) -> u32 {
    let [a, b, c, d] = four.map(|letter| u32::from(VALUES[letter as usize]));
    // A letter's value has six bits, an invalid one's eight.
    (((a | b | c | d) & 0x80) << 24) | (a << 18) | (b << 12) | (c << 6) | d
}

/// The letter of the alphabet that stands for `letter` of the URL-safe one (RFC 4648, section 5); `None` for one that it has not.
pub(crate) fn from_url_safe(letter: u8) -> Option<u8> {
    match letter {
        b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        b'+' | b'/' => None,
        other => Some(other),
    }
}

/// Appends the bytes of `text`. `None`, with `out` as it was, if it is not canonical base64: a letter outside the alphabet, padding
/// that is missing or in the middle, bits set behind the last byte.
pub(crate) fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let before = out.len();
    let done = decode_quads(text, out);
    if done.is_none() {
        out.truncate(before);
    }
    done
}

fn decode_quads(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (quads, rest) = text.as_chunks::<4>();
    let Some((&last, head)) = quads.split_last() else { return rest.is_empty().then_some(()) };
    if !rest.is_empty() {
        return None;
    }
    out.reserve(quads.len().saturating_mul(3));
    for &four in head {
        let n = quad(four);
        if n >> 24 != 0 {
            return None;
        }
        let [_, a, b, c] = n.to_be_bytes();
        out.extend_from_slice(&[a, b, c]);
    }
    let (bytes, count) = last_quad(last)?;
    out.extend_from_slice(bytes.get(..count)?);
    Some(())
}

/// The last four letters, padded or not: their bytes and how many.
#[inline]
fn last_quad(four: [u8; 4]) -> Option<([u8; 3], usize)> {
    let (n, count) = match four {
        [a, b, b'=', b'='] => (quad([a, b, b'A', b'A']), 1),
        [a, b, c, b'='] => (quad([a, b, c, b'A']), 2),
        four => (quad(four), 3),
    };
    let [high, a, b, c] = n.to_be_bytes();
    let clean = high == 0 && (count > 1 || b == 0) && (count > 2 || c == 0);
    clean.then_some(([a, b, c], count))
}

/// The signed big-endian number in `text`, if it is canonical base64 of 1 to 16 bytes. Allocates nothing.
#[inline]
pub(crate) fn decode_integer(text: &[u8]) -> Option<i128> {
    let (quads, rest) = text.as_chunks::<4>();
    let (&last, head) = quads.split_last()?;
    if !rest.is_empty() || head.len() > 5 {
        return None;
    }
    let (tail, count) = last_quad(last)?;
    if head.len() == 5 && count > 1 {
        return None;
    }
    let first = if head.is_empty() { tail[0] } else { (quad(*head.first()?) >> 16) as u8 };
    let negative = first & 0x80 != 0;
    if head.len() < 2 {
        let mut value = if negative { -1_i64 } else { 0 };
        for &four in head {
            let n = quad(four);
            if n >> 24 != 0 {
                return None;
            }
            value = (value << 24) | i64::from(n);
        }
        for &byte in tail.get(..count)? {
            value = (value << 8) | i64::from(byte);
        }
        return Some(i128::from(value));
    }
    let mut value = if negative { -1_i128 } else { 0 };
    for &four in head {
        let n = quad(four);
        if n >> 24 != 0 {
            return None;
        }
        value = (value << 24) | i128::from(n);
    }
    for &byte in tail.get(..count)? {
        value = (value << 8) | i128::from(byte);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn all_lengths_are_encoded_and_decoded_as_the_reference_does() {
        for length in 0..70_usize {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37 + length) as u8).collect();
            let mut text = Vec::new();
            encode(&bytes, &mut text);
            assert_eq!(std::str::from_utf8(&text).unwrap(), STANDARD.encode(&bytes));
            let mut back = vec![7];
            decode(&text, &mut back).unwrap();
            assert_eq!(back.get(1..).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused_and_leaves_nothing() {
        for text in ["A", "AA", "AAA", "AA=", "A===", "====", "AB==", "AAB=", "AA==AA==", "AA=A", "A-A=", "AAAA\n", "AA A"] {
            let mut out = vec![1];
            assert!(decode(text.as_bytes(), &mut out).is_none(), "{text}");
            assert_eq!(out, [1]);
            assert_eq!(decode_integer(text.as_bytes()), None, "{text}");
        }
        assert_eq!(decode_integer(b""), None);
    }

    #[test]
    fn integers_of_all_lengths_are_sign_extended() {
        for shift in 0..128 {
            for value in [i128::MIN >> shift, i128::MAX >> shift, 1 << shift.min(126), -1] {
                let mut text = Vec::new();
                encode(&value.to_be_bytes(), &mut text);
                assert_eq!(decode_integer(&text), Some(value));
                let bytes = value.to_be_bytes();
                let short = if let Ok(v) = i64::try_from(value) { v.to_be_bytes().to_vec() } else { bytes.to_vec() };
                text.clear();
                encode(&short, &mut text);
                assert_eq!(decode_integer(&text), Some(value));
            }
        }
        let mut text = Vec::new();
        encode(&[0; 17], &mut text);
        assert_eq!(decode_integer(&text), None);
    }
}
