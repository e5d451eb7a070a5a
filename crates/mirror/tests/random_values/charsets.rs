//! Character sets, and characters that each of them has.

/// A character set of the servers.
#[derive(Debug)]
pub struct Charset {
    pub name: &'static str,
    /// Some of its characters that ASCII does not have; ASCII is a part of all.
    pub characters: &'static str,
    /// Bytes of its longest character.
    pub width: usize,
}

const fn of(name: &'static str, width: usize, characters: &'static str) -> Charset {
    Charset { name, characters, width }
}

/// All that both the servers and the mirror know; a server may lack some.
pub static CHARSETS: [Charset; 38] = [
    of("utf8mb4", 4, "éß中🦀😀𝄞\u{10ffff}\u{301}\u{200d}\u{feff}\u{2028}\u{80}ÿ\u{ffff}"),
    of("utf8mb3", 3, "éß中\u{301}\u{200d}\u{feff}\u{2028}\u{80}ÿ\u{ffff}"),
    of("latin1", 1, "éßÄÿ€\u{a0}\u{ad}Œ\u{81}"),
    of("ascii", 1, ""),
    of("latin2", 1, "čšěŁ"),
    of("latin5", 1, "ğşİé"),
    of("latin7", 1, "ąčęė"),
    of("cp1250", 1, "čšŁ€"),
    of("cp1251", 1, "Приветё№"),
    of("cp1256", 1, "ابتچ€"),
    of("cp1257", 1, "ąčęė"),
    of("cp850", 1, "éßÄ░█"),
    of("cp852", 1, "čšŁ█"),
    of("cp866", 1, "Привет█"),
    of("koi8r", 1, "Приветё█"),
    of("koi8u", 1, "Привіїєґ"),
    of("greek", 1, "Ωαβγ"),
    of("hebrew", 1, "שלום"),
    of("macroman", 1, "éßÄ†"),
    of("macce", 1, "čšŁ"),
    of("dec8", 1, "éßÄ"),
    of("hp8", 1, "éßÄ"),
    of("keybcs2", 1, "čšě"),
    of("tis620", 1, "กขฃ"),
    of("armscii8", 1, "ԱԲԳ"),
    of("geostd8", 1, "აბგ"),
    of("gbk", 2, "中文汉字，"),
    of("gb2312", 2, "中文汉字，"),
    of("gb18030", 4, "中文😀𠀀é"),
    of("big5", 2, "中文漢字，"),
    of("sjis", 2, "日本語カﾅ〜"),
    of("cp932", 2, "日本語カﾅ～①"),
    of("ujis", 3, "日本語カﾅ〜"),
    of("eucjpms", 3, "日本語カﾅ～①"),
    of("euckr", 2, "가나다한글"),
    of("ucs2", 2, "éß中\u{301}\u{80}\u{ffff}"),
    of("utf16", 4, "éß中🦀𝄞\u{10ffff}"),
    of("utf32", 4, "éß中🦀𝄞\u{10ffff}"),
];
