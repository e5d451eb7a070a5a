//! Strings as Jackson writes them: `"` and `\` and controls escaped, everything else as it is.

use crate::scan::plain_text;

/// Appends `text` as a JSON string.
#[inline]
pub(crate) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let (length, _) = plain_text(bytes);
    if length == bytes.len() {
        out.extend_from_slice(bytes);
    } else {
        write_escaped(out, bytes);
    }
    out.push(b'"');
}

#[cold]
fn write_escaped(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        let (length, _) = plain_text(bytes);
        let (plain, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        out.extend_from_slice(plain);
        let Some((&special, rest)) = rest.split_first() else { return };
        match special {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            control => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[(control >> 4) as usize & 15], HEX[(control & 15) as usize]]);
            }
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_character_reads_back_as_itself() {
        let mut text: String = (0..0x250).filter_map(char::from_u32).collect();
        text.push_str("\u{2028}\u{1f600}\u{10ffff}/");
        let mut out = Vec::new();
        write_string(&mut out, &text);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn controls_are_escaped_as_jackson_does() {
        let mut out = Vec::new();
        write_string(&mut out, "a\u{1}\u{1f}\u{7f}\"\\/\n\r\t\u{8}\u{c}");
        assert_eq!(String::from_utf8(out).unwrap(), "\"a\\u0001\\u001F\u{7f}\\\"\\\\/\\n\\r\\t\\b\\f\"");
    }
}
