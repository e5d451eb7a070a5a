//! Character sets: from the column's own bytes, as they lie in the binary log, to UTF-8.
//!
//! The server converts a snapshot's text itself (to the connection's utf8mb4); this does what the server does, so that both
//! ways give the same text. One-byte sets are tables read off the server; the others are the WHATWG encodings, which agree
//! with the server's on every character that both know, with the exceptions below (compared over all two-byte codes of MySQL 9.7).

use crate::charset_tables::{self as tables, UpperHalf};
use crate::decode_error::{DecodeError, DecodeResult};
use encoding_rs::Encoding;

/// A character set of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Charset {
    /// utf8mb4, utf8mb3, and ascii, which is a part of them.
    Utf8,
    /// ASCII below, a table above.
    OneByte(&'static UpperHalf),
    /// Two-byte and longer encodings of East Asia.
    Multibyte(&'static Encoding, Exceptions),
    /// UTF-16, also UCS-2 (which has no surrogates).
    Utf16 {
        /// Low byte first.
        little_endian: bool,
    },
    /// UTF-32, high byte first.
    Utf32,
}

/// Where the server reads a multibyte encoding in another way than WHATWG.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Exceptions {
    /// Characters: WHATWG's, the server's.
    characters: &'static [(char, char)],
    /// Ranges of two-byte codes that vendors filled in different ways: no text can be sure there, so they are refused.
    vendors: &'static [(u16, u16)],
}

const NONE: Exceptions = Exceptions { characters: &[], vendors: &[] };

/// The server reads these of sjis and ujis as the standard says, WHATWG as Microsoft does (the server's cp932 and eucjpms).
const JIS: &[(char, char)] = &[('＼', '\\'), ('～', '〜'), ('∥', '‖'), ('－', '−'), ('￠', '¢'), ('￡', '£'), ('￢', '¬')];

/// Row 9 of the second plane of symbols and above: user-defined at the server.
const EUC_VENDORS: &[(u16, u16)] = &[(0xf5a1, 0xfefe)];

const BIG5: &[(char, char)] = &[
    ('‧', '•'),
    ('﹑', '､'),
    ('╴', '\u{fffd}'),
    ('¯', '‾'),
    ('￣', '\u{fffd}'),
    ('ˍ', '\u{fffd}'),
    ('～', '∼'),
    ('⊕', '♁'),
    ('⊙', '☉'),
    ('／', '\u{fffd}'),
    ('＼', '\u{fffd}'),
    ('∕', '／'),
    ('﹨', '＼'),
    ('￥', '¥'),
    ('￠', '¢'),
    ('￡', '£'),
];
/// The two doubles of characters among the digits, and the additions of ETEN.
const BIG5_VENDORS: &[(u16, u16)] = &[(0xa2cc, 0xa2cc), (0xa2ce, 0xa2ce), (0xc6a1, 0xc8fe)];

/// The server's gb2312 is older than its gbk.
const GB2312: &[(char, char)] = &[('·', '・'), ('—', '―')];

impl Charset {
    /// The character set of this name (`information_schema.columns.character_set_name`); `None` if it is not supported.
    /// `binary` is not a character set of text.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" | "ascii" => Self::Utf8,
            "latin1" => Self::OneByte(&tables::LATIN1),
            "armscii8" => Self::OneByte(&tables::ARMSCII8),
            "cp1250" => Self::OneByte(&tables::CP1250),
            "cp1251" => Self::OneByte(&tables::CP1251),
            "cp1256" => Self::OneByte(&tables::CP1256),
            "cp1257" => Self::OneByte(&tables::CP1257),
            "cp850" => Self::OneByte(&tables::CP850),
            "cp852" => Self::OneByte(&tables::CP852),
            "cp866" => Self::OneByte(&tables::CP866),
            "dec8" => Self::OneByte(&tables::DEC8),
            "geostd8" => Self::OneByte(&tables::GEOSTD8),
            "greek" => Self::OneByte(&tables::GREEK),
            "hebrew" => Self::OneByte(&tables::HEBREW),
            "hp8" => Self::OneByte(&tables::HP8),
            "keybcs2" => Self::OneByte(&tables::KEYBCS2),
            "koi8r" => Self::OneByte(&tables::KOI8R),
            "koi8u" => Self::OneByte(&tables::KOI8U),
            "latin2" => Self::OneByte(&tables::LATIN2),
            "latin5" => Self::OneByte(&tables::LATIN5),
            "latin7" => Self::OneByte(&tables::LATIN7),
            "macce" => Self::OneByte(&tables::MACCE),
            "macroman" => Self::OneByte(&tables::MACROMAN),
            "tis620" => Self::OneByte(&tables::TIS620),
            "big5" => Self::Multibyte(encoding_rs::BIG5, Exceptions { characters: BIG5, vendors: BIG5_VENDORS }),
            "gbk" => Self::Multibyte(encoding_rs::GBK, NONE),
            "gb2312" => Self::Multibyte(encoding_rs::GBK, Exceptions { characters: GB2312, ..NONE }),
            "gb18030" => Self::Multibyte(encoding_rs::GB18030, NONE),
            "sjis" => Self::Multibyte(encoding_rs::SHIFT_JIS, Exceptions { characters: JIS, ..NONE }),
            "cp932" => Self::Multibyte(encoding_rs::SHIFT_JIS, NONE),
            "ujis" => Self::Multibyte(encoding_rs::EUC_JP, Exceptions { characters: JIS, vendors: EUC_VENDORS }),
            "eucjpms" => Self::Multibyte(encoding_rs::EUC_JP, Exceptions { vendors: EUC_VENDORS, ..NONE }),
            "euckr" => Self::Multibyte(encoding_rs::EUC_KR, NONE),
            "ucs2" | "utf16" => Self::Utf16 { little_endian: false },
            "utf16le" => Self::Utf16 { little_endian: true },
            "utf32" => Self::Utf32,
            _ => return None,
        })
    }

    /// Appends the text of `bytes`. Fails, and appends nothing, if they are not text of this character set.
    pub(crate) fn decode_into(self, bytes: &[u8], out: &mut String) -> DecodeResult<()> {
        let start = out.len();
        let result = self.try_decode(bytes, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn try_decode(self, bytes: &[u8], out: &mut String) -> DecodeResult<()> {
        match self {
            Self::Utf8 => out.push_str(std::str::from_utf8(bytes).map_err(|e| not_text("UTF-8", e.valid_up_to()))?),
            Self::OneByte(upper) => {
                let mut rest = bytes;
                while let Some(&byte) = rest.first() {
                    let ascii = rest.iter().position(|b| !b.is_ascii()).unwrap_or(rest.len());
                    if ascii > 0 {
                        let (plain, after) = rest.split_at_checked(ascii).unwrap_or((rest, &[]));
                        out.push_str(std::str::from_utf8(plain).map_err(|_| not_text("ASCII", 0))?);
                        rest = after;
                        continue;
                    }
                    let code = upper.get(usize::from(byte & 0x7f)).copied().unwrap_or(0x3f);
                    out.push(char::from_u32(u32::from(code)).unwrap_or('?'));
                    rest = rest.get(1..).unwrap_or(&[]);
                }
            }
            Self::Multibyte(encoding, exceptions) => {
                if bytes.is_ascii() {
                    out.push_str(std::str::from_utf8(bytes).map_err(|_| not_text("ASCII", 0))?);
                    return Ok(());
                }
                if let Some(at) = vendor_code(bytes, exceptions.vendors) {
                    return Err(not_text(&format!("{} (without vendors' own characters)", encoding.name()), at));
                }
                let (text, broken) = encoding.decode_without_bom_handling(bytes);
                if broken {
                    return Err(not_text(encoding.name(), 0));
                }
                if exceptions.characters.is_empty() {
                    out.push_str(&text);
                } else {
                    let patched = |c| exceptions.characters.iter().find(|&&(from, _)| from == c).map_or(c, |&(_, to)| to);
                    out.extend(text.chars().map(patched));
                }
            }
            Self::Utf16 { little_endian } => {
                let (units, rest) = bytes.as_chunks::<2>();
                if !rest.is_empty() {
                    return Err(not_text("UTF-16", bytes.len()));
                }
                let units = units.iter().map(|&u| if little_endian { u16::from_le_bytes(u) } else { u16::from_be_bytes(u) });
                for c in char::decode_utf16(units) {
                    out.push(c.map_err(|_| not_text("UTF-16", 0))?);
                }
            }
            Self::Utf32 => {
                let (units, rest) = bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(not_text("UTF-32", bytes.len()));
                }
                for &unit in units {
                    out.push(char::from_u32(u32::from_be_bytes(unit)).ok_or_else(|| not_text("UTF-32", 0))?);
                }
            }
        }
        Ok(())
    }
}

/// Where the first two-byte code in one of the ranges is. Only for encodings whose lead bytes are all above 0x7f.
fn vendor_code(bytes: &[u8], ranges: &[(u16, u16)]) -> Option<usize> {
    let mut at = 0usize;
    while !ranges.is_empty()
        && let Some(&lead) = bytes.get(at)
    {
        let step = match lead {
            0..0x80 => 1,
            0x8f => 3,
            _ => 2,
        };
        let code = u16::from_be_bytes([lead, bytes.get(at.saturating_add(1)).copied().unwrap_or(0)]);
        if step == 2 && ranges.iter().any(|(from, to)| (from..=to).contains(&&code)) {
            return Some(at);
        }
        at = at.saturating_add(step);
    }
    None
}

#[cold]
fn not_text(charset: &str, at: usize) -> DecodeError {
    DecodeError::invalid(format!("the value is not {charset} text from its byte {at} on"))
}

/// The character set of a collation id, as a table map names it; `None` if the id is not known (MariaDB has many).
pub(crate) fn name_of_collation_id(id: u16) -> Option<&'static str> {
    Some(match id {
        1 | 84 => "big5",
        2 | 9 | 21 | 27 | 77 => "latin2",
        3 | 69 => "dec8",
        4 | 80 => "cp850",
        5 | 8 | 15 | 31 | 47..=49 | 94 => "latin1",
        6 | 72 => "hp8",
        7 | 74 => "koi8r",
        10 | 82 => "swe7",
        11 | 65 => "ascii",
        12 | 91 => "ujis",
        13 | 88 => "sjis",
        14 | 23 | 50..=52 => "cp1251",
        16 | 71 => "hebrew",
        18 | 89 => "tis620",
        19 | 85 => "euckr",
        20 | 41 | 42 | 79 => "latin7",
        22 | 75 => "koi8u",
        24 | 86 => "gb2312",
        25 | 70 => "greek",
        26 | 34 | 44 | 66 | 99 => "cp1250",
        28 | 87 => "gbk",
        29 | 58 | 59 => "cp1257",
        30 | 78 => "latin5",
        32 | 64 => "armscii8",
        33 | 76 | 83 | 192..=215 | 223 => "utf8mb3",
        35 | 90 | 128..=151 | 159 => "ucs2",
        36 | 68 => "cp866",
        37 | 73 => "keybcs2",
        38 | 43 => "macce",
        39 | 53 => "macroman",
        40 | 81 => "cp852",
        45 | 46 | 224..=247 | 255..=323 => "utf8mb4",
        54 | 55 | 101..=124 => "utf16",
        56 | 62 => "utf16le",
        57 | 67 => "cp1256",
        60 | 61 | 160..=183 => "utf32",
        63 => "binary",
        92 | 93 => "geostd8",
        95 | 96 => "cp932",
        97 | 98 => "eucjpms",
        248..=250 => "gb18030",
        // MariaDB: the Croatian, Myanmar and Thai ones, and those without padding.
        576..=578 => "utf8mb3",
        608..=610 => "utf8mb4",
        640..=642 => "ucs2",
        672..=674 => "utf16",
        736..=738 => "utf32",
        1025..=1271 => return name_of_collation_id(id - 1024),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn decode(charset: &str, bytes: &[u8]) -> DecodeResult<String> {
        let mut out = String::from("before ");
        let result = Charset::by_name(charset).unwrap().decode_into(bytes, &mut out);
        assert!(result.is_ok() || out == "before ", "an error left {out:?}");
        result.map(|()| out.split_off(7))
    }

    #[test]
    fn text_of_many_character_sets_becomes_the_same_utf8() {
        for (charset, bytes, text) in [
            ("latin1", &b"caf\xe9 \x80"[..], "café €"),
            ("latin1", b"\x81\x8d\x8f\x90\x9d", "\u{81}\u{8d}\u{8f}\u{90}\u{9d}"),
            ("cp1251", b"\xcf\xf0\xe8", "При"),
            ("koi8r", b"\xf0\xd2\xc9", "При"),
            ("latin2", b"\xe8\xb9", "čš"),
            ("gbk", b"\xd6\xd0\xce\xc4", "中文"),
            ("big5", b"\xa4\xa4\xa4\xe5", "中文"),
            ("sjis", b"\x93\xfa\x96\x7b", "日本"),
            ("ujis", b"\xc6\xfc\xcb\xdc", "日本"),
            ("ujis", b"\xa1\xc0\xa1\xc1", "\\〜"),
            ("sjis", b"\x81\x5f\x81\x60", "\\〜"),
            ("cp932", b"\x81\x5f\x81\x60", "＼～"),
            ("big5", b"\xa2\x41", "／"),
            ("euckr", b"\xb0\xa1", "가"),
            ("gb18030", b"\x94\x39\xfc\x36", "😀"),
            ("ucs2", b"\x65\xe5\x67\x2c", "日本"),
            ("utf16", b"\xd8\x3d\xde\x00", "😀"),
            ("utf16le", b"\x3d\xd8\x00\xde", "😀"),
            ("utf32", b"\x00\x01\xf6\x00", "😀"),
            ("utf8mb3", "中é".as_bytes(), "中é"),
            ("ascii", b"plain", "plain"),
        ] {
            assert_eq!(decode(charset, bytes).unwrap(), text, "{charset}");
        }
    }

    #[test]
    fn a_byte_without_a_character_is_a_question_mark_as_the_server_shows_it() {
        assert_eq!(decode("cp1251", b"a\x98b").unwrap(), "a?b");
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_whole() {
        for (charset, bytes) in [
            ("utf8mb4", &b"ok \xff"[..]),
            ("utf16", b"\xd8\x3d"),
            ("utf16", b"\x00a\x00"),
            ("utf32", b"\x00\x11\x00\x00"),
            ("gbk", b"\xd6"),
            ("big5", b"\xa4"),
            ("big5", b"a\xc6\xa1"),
            ("ujis", b"\xc6\xfc\xf9\xa1"),
        ] {
            assert!(decode(charset, bytes).is_err(), "{charset}");
        }
    }

    #[test]
    fn every_supported_set_has_a_name_for_its_collations() {
        for id in 1..=1300 {
            if let Some(name) = name_of_collation_id(id) {
                assert!(name == "binary" || name == "swe7" || Charset::by_name(name).is_some(), "{name}");
            }
        }
    }
}
