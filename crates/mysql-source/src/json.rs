//! JSON: from the server's binary form to the text that the server prints.
//!
//! The form (the server's `json_binary.h`): a type byte and a value. Objects and arrays are a count, a size, entries for keys
//! (offset and length) and for values (type and offset, or the value itself if it is small), then what the entries point to;
//! offsets count from the count. Numbers in "large" ones have four bytes, else two.

use crate::cursor::Cursor;
use crate::decimal::DecimalLayout;
use crate::decode_error::{DecodeError, DecodeResult};
use crate::table_map::column_type as t;
use std::io::Write as _;

/// The server's own limit (`JSON_DOCUMENT_MAX_DEPTH`).
const MAX_DEPTH: usize = 100;

/// Appends the text of a document. An empty document is `null`, as the server has it.
pub(crate) fn print(binary: &[u8], out: &mut Vec<u8>) -> DecodeResult<()> {
    let Some((&kind, value)) = binary.split_first() else {
        out.extend_from_slice(b"null");
        return Ok(());
    };
    // Damaged offsets could make a small document print without end: no value may be visited twice.
    Printer { out, budget: binary.len() }.value(kind, value, 0)
}

struct Printer<'o> {
    out: &'o mut Vec<u8>,
    budget: usize,
}

impl Printer<'_> {
    fn value(&mut self, kind: u8, value: &[u8], depth: usize) -> DecodeResult<()> {
        self.budget = self.budget.checked_sub(1).ok_or_else(damaged)?;
        let mut c = Cursor::new(value);
        match kind {
            0 => self.container(value, true, false, depth),
            1 => self.container(value, true, true, depth),
            2 => self.container(value, false, false, depth),
            3 => self.container(value, false, true, depth),
            4 => {
                self.out.extend_from_slice(match c.u8()? {
                    0 => b"null",
                    1 => b"true",
                    2 => b"false",
                    _ => return Err(damaged()),
                });
                Ok(())
            }
            5 => self.text_of(i16::from_le_bytes(c.array()?)),
            6 => self.text_of(c.u16()?),
            7 => self.text_of(i32::from_le_bytes(c.array()?)),
            8 => self.text_of(c.u32()?),
            9 => self.text_of(i64::from_le_bytes(c.array()?)),
            10 => self.text_of(c.u64()?),
            11 => {
                double(f64::from_le_bytes(c.array()?), self.out);
                Ok(())
            }
            12 => {
                let length = variable_length(&mut c)?;
                self.quoted(c.take(length)?)
            }
            15 => {
                let of = c.u8()?;
                let length = variable_length(&mut c)?;
                self.opaque(of, c.take(length)?)
            }
            _ => Err(damaged()),
        }
    }

    fn text_of(&mut self, number: impl std::fmt::Display) -> DecodeResult<()> {
        write!(self.out, "{number}").map_err(|_| damaged())
    }

    fn container(&mut self, bytes: &[u8], object: bool, large: bool, depth: usize) -> DecodeResult<()> {
        if depth >= MAX_DEPTH {
            return Err(DecodeError::invalid("a JSON document is nested deeper than the server allows"));
        }
        let width = if large { 4 } else { 2 };
        let mut c = Cursor::new(bytes);
        let number = |c: &mut Cursor<'_>| -> DecodeResult<usize> { Ok(c.little_endian(width)? as usize) };
        let count = number(&mut c)?;
        let size = number(&mut c)?;
        let bytes = bytes.get(..size).ok_or_else(damaged)?;
        let mut keys = c;
        if object {
            c.take(count.checked_mul(width + 2).ok_or_else(damaged)?)?;
        }
        self.out.push(if object { b'{' } else { b'[' });
        for i in 0..count {
            if i > 0 {
                self.out.extend_from_slice(b", ");
            }
            if object {
                let (offset, length) = (number(&mut keys)?, usize::from(keys.u16()?));
                let key = offset.checked_add(length).and_then(|end| bytes.get(offset..end)).ok_or_else(damaged)?;
                self.quoted(key)?;
                self.out.extend_from_slice(b": ");
            }
            let kind = c.u8()?;
            let entry = c.take(width)?;
            let inlined = matches!(kind, 4..=6) || (large && matches!(kind, 7 | 8));
            if inlined {
                self.value(kind, entry, depth + 1)?;
            } else {
                let offset = Cursor::new(entry).little_endian(width)? as usize;
                self.value(kind, bytes.get(offset..).ok_or_else(damaged)?, depth + 1)?;
            }
        }
        self.out.push(if object { b'}' } else { b']' });
        Ok(())
    }

    fn quoted(&mut self, text: &[u8]) -> DecodeResult<()> {
        std::str::from_utf8(text).map_err(|_| DecodeError::invalid("a JSON text is not UTF-8"))?;
        self.out.push(b'"');
        let mut plain = text;
        while let Some(at) = plain.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\') {
            let (before, rest) = plain.split_at_checked(at).unwrap_or((plain, &[]));
            self.out.extend_from_slice(before);
            let Some((&special, rest)) = rest.split_first() else { break };
            match special {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', special]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                0x08 => self.out.extend_from_slice(b"\\b"),
                0x0c => self.out.extend_from_slice(b"\\f"),
                control => write!(self.out, "\\u{control:04x}").map_err(|_| damaged())?,
            }
            plain = rest;
        }
        self.out.extend_from_slice(plain);
        self.out.push(b'"');
        Ok(())
    }

    /// A value of an SQL type that JSON does not have.
    fn opaque(&mut self, of: u8, value: &[u8]) -> DecodeResult<()> {
        match of {
            t::NEWDECIMAL => {
                let (&[precision, scale], digits) = value.split_first_chunk::<2>().ok_or_else(damaged)?;
                let layout = DecimalLayout::new(precision, scale).ok_or_else(damaged)?;
                layout.text(digits.get(..layout.bytes()).ok_or_else(damaged)?, self.out).ok_or_else(damaged)
            }
            t::DATE | t::DATETIME | t::TIMESTAMP | t::TIME => {
                let packed = i64::from_le_bytes(Cursor::new(value).array()?);
                self.out.push(b'"');
                self.temporal(of, packed)?;
                self.out.push(b'"');
                Ok(())
            }
            // The server's own exception (`json_dom.cc`, `wrapper_to_string`).
            t::VAR_STRING => self.quoted(value),
            _ => {
                self.out.push(b'"');
                write!(self.out, "base64:type{of}:").map_err(|_| damaged())?;
                base64(value, self.out);
                self.out.push(b'"');
                Ok(())
            }
        }
    }

    /// Packed as a DATETIME or TIME, with the microseconds in the low 24 bits.
    fn temporal(&mut self, of: u8, packed: i64) -> DecodeResult<()> {
        let magnitude = packed.unsigned_abs();
        let (whole, micros) = (magnitude >> 24, magnitude & 0xff_ffff);
        let written = if of == t::TIME {
            let sign = if packed < 0 { "-" } else { "" };
            write!(self.out, "{sign}{:02}:{:02}:{:02}.{micros:06}", whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63)
        } else {
            let (date, clock) = (whole >> 17, whole & 0x1_ffff);
            let (year, month, day) = ((date >> 5) / 13, (date >> 5) % 13, date & 31);
            let date = write!(self.out, "{year:04}-{month:02}-{day:02}");
            match of {
                t::DATE => date,
                _ => date
                    .and_then(|()| write!(self.out, " {:02}:{:02}:{:02}.{micros:06}", clock >> 12, clock >> 6 & 63, clock & 63)),
            }
        };
        written.map_err(|_| damaged())
    }
}

/// Seven bits a byte, low ones first, the top bit says that more follow.
fn variable_length(c: &mut Cursor<'_>) -> DecodeResult<usize> {
    let mut length = 0u64;
    for i in 0..5 {
        let byte = c.u8()?;
        length |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return usize::try_from(length).map_err(|_| damaged());
        }
    }
    Err(damaged())
}

/// The shortest digits that give the number back, as the server lays them out (`my_gcvt`): plain with up to 15 places on either side of
/// the point, or with more before it if there are some behind it too; else with an exponent. A whole number ends in `.0`.
fn double(number: f64, out: &mut Vec<u8>) {
    if number == 0.0 {
        out.extend_from_slice(if number.is_sign_negative() { b"-0.0" } else { b"0.0" });
        return;
    }
    // `d.ddde-7`: the shortest digits and the exponent of the first one.
    let text = format!("{number:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let point = exponent + 1;
    out.extend_from_slice(sign.as_bytes());
    let some_behind = usize::try_from(point).is_ok_and(|point| digits.len() > point);
    if !(-14..=15).contains(&point) && !some_behind {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        out.extend_from_slice(first.as_bytes());
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest.as_bytes());
        }
        out.extend_from_slice(format!("e{exponent}").as_bytes());
        return;
    }
    match usize::try_from(point) {
        Err(_) | Ok(0) => {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', point.unsigned_abs() as usize));
            out.extend_from_slice(digits.as_bytes());
        }
        Ok(point) => match digits.split_at_checked(point) {
            Some((whole, fraction)) if !fraction.is_empty() => {
                out.extend_from_slice(whole.as_bytes());
                out.push(b'.');
                out.extend_from_slice(fraction.as_bytes());
            }
            _ => {
                out.extend_from_slice(digits.as_bytes());
                out.extend(std::iter::repeat_n(b'0', point.saturating_sub(digits.len())));
                out.extend_from_slice(b".0");
            }
        },
    }
}

/// In lines of 76 characters, as the server writes it; the ends of lines are escaped, since they stand in a JSON string.
fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const GROUPS_OF_A_LINE: usize = 19;
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (nth, chunk) in bytes.chunks(3).enumerate() {
        if nth > 0 && nth.is_multiple_of(GROUPS_OF_A_LINE) {
            out.extend_from_slice(b"\\n");
        }
        let group = chunk.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let letter = ALPHABET.get((group >> (18 - 6 * i) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if i <= chunk.len() { letter } else { b'=' });
        }
    }
}

#[cold]
fn damaged() -> DecodeError {
    DecodeError::invalid("its bytes are not a JSON document")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn printed(binary: &[u8]) -> String {
        let mut out = Vec::new();
        print(binary, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn small_documents_print_as_the_server_prints_them() {
        assert_eq!(printed(&[]), "null");
        assert_eq!(printed(&[4, 1]), "true");
        assert_eq!(printed(&[5, 0xfe, 0xff]), "-2");
        assert_eq!(printed(&[12, 3, b'a', b'"', 1]), "\"a\\\"\\u0001\"");
        // {"a": 1}
        assert_eq!(printed(&[0, 1, 0, 12, 0, 11, 0, 1, 0, 5, 1, 0, b'a']), "{\"a\": 1}");
        // [null, "x"]
        assert_eq!(printed(&[2, 2, 0, 12, 0, 4, 0, 0, 12, 10, 0, 1, b'x']), "[null, \"x\"]");
        assert_eq!(printed(&[2, 0, 0, 4, 0]), "[]");
    }

    #[test]
    fn bytes_are_base64_in_lines_of_76_characters() {
        let opaque = |bytes: &[u8]| printed(&[&[15, t::VARCHAR, bytes.len() as u8], bytes].concat());
        assert_eq!(opaque(&[]), "\"base64:type15:\"");
        assert_eq!(opaque(&[0, 1, 2, 0xff]), "\"base64:type15:AAEC/w==\"");
        assert_eq!(printed(&[15, t::VAR_STRING, 2, b'"', b'a']), "\"\\\"a\"");
        let line = "QUFB".repeat(19);
        assert_eq!(opaque(&[b'A'; 57]), format!("\"base64:type15:{line}\""));
        assert_eq!(opaque(&[b'A'; 58]), format!("\"base64:type15:{line}\\nQQ==\""));
        assert_eq!(opaque(&[b'A'; 114]), format!("\"base64:type15:{line}\\n{line}\""));
    }

    #[test]
    fn doubles_have_the_servers_layout() {
        let text = |n| {
            let mut out = Vec::new();
            double(n, &mut out);
            String::from_utf8(out).unwrap()
        };
        for (n, expected) in [
            (2.0, "2.0"),
            (1.5, "1.5"),
            (-5e9, "-5000000000.0"),
            (1e100, "1e100"),
            (1.25e-20, "1.25e-20"),
            (0.001, "0.001"),
            (123456789012345.0, "123456789012345.0"),
            (1234567890123456.0, "1.234567890123456e15"),
            (-1116014480801889.4, "-1116014480801889.4"),
            (12345678901234568.0, "1.2345678901234568e16"),
            (1.234e-15, "0.000000000000001234"),
            (1.234e-16, "1.234e-16"),
            (0.1 + 0.2, "0.30000000000000004"),
        ] {
            assert_eq!(text(n), expected);
        }
    }

    #[test]
    fn large_documents_have_numbers_of_four_bytes() {
        // {"k": 2147483647, "a": [uint32 in place]}
        let array = [1u32.to_le_bytes(), 13u32.to_le_bytes()].concat();
        let array = [&array[..], &[8], &u32::MAX.to_le_bytes()].concat();
        let keys_at = 8 + 2 * 6 + 2 * 5;
        let mut object = [2u32.to_le_bytes(), (keys_at as u32 + 2 + array.len() as u32).to_le_bytes()].concat();
        for key in [keys_at as u32, keys_at as u32 + 1] {
            object.extend(key.to_le_bytes());
            object.extend([1, 0]);
        }
        object.push(7);
        object.extend(i32::MAX.to_le_bytes());
        object.push(3);
        object.extend((keys_at as u32 + 2).to_le_bytes());
        object.extend(b"ka");
        object.extend(array);
        assert_eq!(printed(&[&[1], &object[..]].concat()), "{\"k\": 2147483647, \"a\": [4294967295]}");
    }

    #[test]
    fn damage_is_an_error_and_ends_soon() {
        // An array of two that both point to the array itself.
        let own = [2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0];
        assert!(print(&own, &mut Vec::new()).is_err());
        assert!(print(&[0, 1, 0, 200, 0], &mut Vec::new()).is_err());
        assert!(print(&[12, 0x80, 0x80, 0x80, 0x80, 0x80], &mut Vec::new()).is_err());
        assert!(print(&[4, 7], &mut Vec::new()).is_err());
    }
}
