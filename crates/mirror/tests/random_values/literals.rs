//! Random values, as SQL literals and as parameters; half of them are edges.

use super::charsets::Charset;
use super::columns::Kind;
use super::{json, shapes};
use mysql_async::Value;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A value that a column takes.
#[derive(Debug, Clone)]
pub struct Literal {
    pub sql: String,
    /// The same as a parameter of a prepared statement, where it can be one; it is written as that then.
    pub parameter: Option<Value>,
}

impl Literal {
    pub fn sql(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), parameter: None }
    }

    fn with(sql: impl Into<String>, parameter: Value) -> Self {
        Self { sql: sql.into(), parameter: Some(parameter) }
    }

    fn text(rng: &mut StdRng, text: &str) -> Self {
        let sql = if rng.random_bool(0.7) { quoted(text) } else { format!("_utf8mb4 X'{}'", hex(text.as_bytes())) };
        Self::with(sql, Value::from(text))
    }
}

/// A text in quotes, as every `sql_mode` but NO_BACKSLASH_ESCAPES reads it.
pub fn quoted(text: &str) -> String {
    let mut sql = String::from("'");
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str("\\\\"),
            '\0' => sql.push_str("\\0"),
            '\n' => sql.push_str("\\n"),
            '\r' => sql.push_str("\\r"),
            '\x1a' => sql.push_str("\\Z"),
            c => sql.push(c),
        }
    }
    sql.push('\'');
    sql
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02X}")).collect()
}

/// A value of a type. `plain` ones can stand in a key and as a default: constants, and no date that no calendar has.
pub fn literal(kind: &Kind, rng: &mut StdRng, is_mysql: bool, plain: bool) -> Literal {
    match kind {
        Kind::Integer { bits, unsigned, .. } => integer(rng, *bits, *unsigned),
        Kind::Decimal { precision, scale, unsigned, .. } => {
            let text = decimal(rng, *precision, *scale, *unsigned);
            Literal::with(text.clone(), Value::from(text))
        }
        Kind::Float { double, digits, unsigned } => float(rng, *double, *digits, *unsigned),
        Kind::Bit { length } => {
            let all = u64::MAX >> (64 - length);
            let bits = if rng.random_bool(0.5) { *[0, 1, all, 1 << (length - 1)].choose(rng).unwrap() } else { rng.random() };
            Literal::with(format!("b'{:b}'", bits & all), Value::UInt(bits & all))
        }
        Kind::Date => match zero_date(rng, plain) {
            Some(date) => Literal::sql(format!("'{date}'")),
            None => {
                let (y, m, d) = date(rng);
                Literal::with(format!("'{y:04}-{m:02}-{d:02}'"), Value::Date(y, m, d, 0, 0, 0, 0))
            }
        },
        Kind::Time { fraction } => time(rng, *fraction, is_mysql),
        Kind::DateTime { fraction } => match zero_date(rng, plain) {
            Some(date) => Literal::sql(format!("'{date} {}'", if rng.random() { "00:00:00" } else { "12:34:56" })),
            None => moment(date(rng), rng, *fraction),
        },
        Kind::Timestamp { fraction } => match rng.random_range(0..10) {
            0 if !plain => Literal::sql("'0000-00-00 00:00:00'"),
            0 | 1 => Literal::sql("'1970-01-01 00:00:01'"),
            2 => Literal::sql(format!("'2038-01-19 03:14:07{}'", nines(*fraction))),
            _ => {
                let (_, m, d) = date(rng);
                moment((rng.random_range(1971..=2037), m, d.min(28)), rng, *fraction)
            }
        },
        Kind::Year => {
            let year =
                if rng.random_bool(0.5) { *[0, 1901, 1970, 2155].choose(rng).unwrap() } else { rng.random_range(1901..=2155) };
            Literal::with(year.to_string(), Value::Int(year))
        }
        Kind::Text { charset, characters, .. } => {
            let text = text(rng, charset, *characters);
            Literal::text(rng, &text)
        }
        Kind::Bytes { length, .. } => {
            let bytes = bytes(rng, *length);
            Literal::with(format!("X'{}'", hex(&bytes)), Value::Bytes(bytes))
        }
        Kind::Enum { labels, .. } => {
            let index = rng.random_range(0..labels.len());
            // Beside a default, a number would be one of the labels.
            if !plain && rng.random_bool(0.2) {
                return Literal::with((index + 1).to_string(), Value::Int(index as i64 + 1));
            }
            Literal::with(quoted(&labels[index]), Value::from(labels[index].as_str()))
        }
        Kind::Set { labels, .. } => {
            let share = *[0.0, 0.1, 0.5, 1.0].choose(rng).unwrap();
            let members: Vec<usize> = (0..labels.len()).filter(|_| rng.random_bool(share)).collect();
            if !plain && rng.random_bool(0.2) {
                let mask = members.iter().fold(0_u64, |mask, i| mask | 1 << i);
                return Literal::with(mask.to_string(), Value::UInt(mask));
            }
            let text = members.iter().map(|i| labels[*i].as_str()).collect::<Vec<_>>().join(",");
            Literal::with(quoted(&text), Value::from(text))
        }
        Kind::Json => json::document(rng, is_mysql),
        Kind::Geometry { shape, srid } => shapes::shape(rng, shape, *srid, is_mysql),
        Kind::Vector { dimensions } => vector(rng, *dimensions),
        Kind::Uuid => {
            let mut bytes: [u8; 16] = address(rng);
            // The server refuses versions of 8 and above without a variant.
            if bytes[6] >= 0x80 && (1..=0x80).contains(&bytes[8]) {
                bytes[6] &= 0x7f;
            }
            let text = uuid::Uuid::from_bytes(bytes).to_string();
            Literal::with(quoted(&text), Value::from(text))
        }
        Kind::Inet { v6: true } => {
            let text = std::net::Ipv6Addr::from(address::<16>(rng)).to_string();
            Literal::with(quoted(&text), Value::from(text))
        }
        Kind::Inet { v6: false } => {
            let text = std::net::Ipv4Addr::from(address::<4>(rng)).to_string();
            Literal::with(quoted(&text), Value::from(text))
        }
    }
}

fn integer(rng: &mut StdRng, bits: u32, unsigned: bool) -> Literal {
    let (min, max) =
        if unsigned { (0_i128, (1_i128 << bits) - 1) } else { (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1) };
    let number = match rng.random_range(0..3) {
        0 => *[min, min + 1, 0, 1, max - 1, max, max / 2, max / 2 + 1].choose(rng).unwrap(),
        1 => (1_i128 << rng.random_range(0..bits)) - rng.random_range(0..=2),
        _ => min + (i128::from(rng.random::<u64>()) >> (64 - bits)),
    };
    let number = number.clamp(min, max);
    let parameter = i64::try_from(number).map_or_else(|_| Value::UInt(number as u64), Value::Int);
    Literal::with(number.to_string(), parameter)
}

fn decimal(rng: &mut StdRng, precision: usize, scale: usize, unsigned: bool) -> String {
    let mut digits: String = match rng.random_range(0..6) {
        0 => "0".repeat(precision),
        1 => "9".repeat(precision),
        2 => "0".repeat(precision - 1) + "1",
        3 => "1".to_owned() + &"0".repeat(precision - 1),
        // Only some of the digits.
        4 => {
            let zeros = rng.random_range(0..precision);
            "0".repeat(zeros) + &random_digits(rng, precision - zeros)
        }
        _ => random_digits(rng, precision),
    };
    let fraction = digits.split_off(precision - scale);
    let whole = digits.trim_start_matches('0');
    let sign = if !unsigned && rng.random() { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{}{point}{fraction}", if whole.is_empty() { "0" } else { whole })
}

fn random_digits(rng: &mut StdRng, count: usize) -> String {
    (0..count).map(|_| char::from(rng.random_range(b'0'..=b'9'))).collect()
}

fn float(rng: &mut StdRng, double: bool, digits: Option<(usize, usize)>, unsigned: bool) -> Literal {
    if let Some((m, d)) = digits {
        let text = decimal(rng, m, d, unsigned);
        return Literal::with(text.clone(), Value::from(text));
    }
    const COMMON: [f64; 8] = [0.0, -0.0, 1.0, 0.1, 1.0 / 3.0, -2.5, 16_777_217.0, 1e15];
    let number = if rng.random_bool(0.25) {
        *COMMON.choose(rng).unwrap()
    } else if double {
        let edges =
            [f64::MAX, -f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), f64::from_bits(0x000f_ffff_ffff_ffff), 1e16, 1e-5];
        if rng.random() { *edges.choose(rng).unwrap() } else { finite(rng, |rng| f64::from_bits(rng.random())) }
    } else {
        let edges = [f32::MAX, -f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), f32::from_bits(0x007f_ffff), 1.1, 8_388_609.0];
        f64::from(if rng.random() { *edges.choose(rng).unwrap() } else { finite32(rng) })
    };
    let number = if unsigned { number.abs() } else { number };
    Literal::with(format!("{number:e}"), Value::Double(number))
}

fn finite(rng: &mut StdRng, draw: impl Fn(&mut StdRng) -> f64) -> f64 {
    loop {
        let number = draw(rng);
        if number.is_finite() {
            return number;
        }
    }
}

fn finite32(rng: &mut StdRng) -> f32 {
    finite(rng, |rng| f64::from(f32::from_bits(rng.random()))) as f32
}

/// A date that no calendar has; the mirror maps it.
fn zero_date(rng: &mut StdRng, plain: bool) -> Option<&'static str> {
    (!plain && rng.random_bool(0.1)).then(|| *["0000-00-00", "2024-00-00", "2024-05-00", "2024-00-17"].choose(rng).unwrap())
}

fn date(rng: &mut StdRng) -> (u16, u8, u8) {
    const EDGES: [(u16, u8, u8); 14] = [
        (0, 1, 1),
        (1, 1, 1),
        (999, 12, 31),
        (1000, 1, 1),
        (1582, 10, 4),
        (1582, 10, 10),
        (1582, 10, 15),
        (1600, 2, 29),
        (1900, 2, 28),
        (1969, 12, 31),
        (1970, 1, 1),
        (2000, 2, 29),
        (2038, 1, 19),
        (9999, 12, 31),
    ];
    if rng.random_bool(0.5) {
        return *EDGES.choose(rng).unwrap();
    }
    let year = if rng.random() { rng.random_range(1..=9999) } else { rng.random_range(1950..=2050) };
    (year, rng.random_range(1..=12), rng.random_range(1..=28))
}

/// Digits of a fraction of a second, with the point, and its microseconds.
fn fraction(rng: &mut StdRng, digits: usize) -> (String, u32) {
    if digits == 0 {
        return (String::new(), 0);
    }
    let most = 10_u32.pow(digits as u32) - 1;
    let number = if rng.random_bool(0.5) { *[0, 1, most].choose(rng).unwrap() } else { rng.random_range(0..=most) };
    (format!(".{number:0digits$}"), number * 10_u32.pow(6 - digits as u32))
}

fn nines(digits: usize) -> String {
    if digits == 0 { String::new() } else { format!(".{}", "9".repeat(digits)) }
}

fn moment((y, m, d): (u16, u8, u8), rng: &mut StdRng, digits: usize) -> Literal {
    let clock = [(0, 0, 0), (23, 59, 59), (rng.random_range(0..24), rng.random_range(0..60), rng.random_range(0..60))];
    let &(h, min, s) = clock.choose(rng).unwrap();
    let (text, us) = fraction(rng, digits);
    Literal::with(format!("'{y:04}-{m:02}-{d:02} {h:02}:{min:02}:{s:02}{text}'"), Value::Date(y, m, d, h, min, s, us))
}

fn time(rng: &mut StdRng, digits: usize, is_mysql: bool) -> Literal {
    let sign = if rng.random() { "-" } else { "" };
    // MySQL's range ends at a whole second.
    if rng.random_bool(0.15) {
        return Literal::sql(format!("'{sign}838:59:59{}'", if is_mysql { String::new() } else { nines(digits) }));
    }
    let hours = match rng.random_range(0..3) {
        0 => *[0, 1, 23, 24, 99, 100, 837].choose(rng).unwrap(),
        1 => rng.random_range(0..24),
        _ => rng.random_range(0..838),
    };
    let (minutes, seconds) = (rng.random_range(0..60), rng.random_range(0..60));
    let (text, us) = fraction(rng, digits);
    let (days, hour) = ((hours / 24) as u32, (hours % 24) as u8);
    let parameter = Value::Time(sign == "-", days, hour, minutes, seconds, us);
    Literal::with(format!("'{sign}{hours:02}:{minutes:02}:{seconds:02}{text}'"), parameter)
}

/// A text of at most so many characters of a character set.
fn text(rng: &mut StdRng, charset: &Charset, most: usize) -> String {
    const WORDS: [&str; 14] =
        ["NULL", "null", "\\N", "true", "0", "-0", "{}", "'", "\"", "\\", "''", "%s", "\u{7f}", "__debezium_unavailable_value"];
    const CONTROLS: &str = "\0\x01\x08\t\n\x0b\x0c\r\x1a\x1b\x1f";
    const ASCII: &str = " aZ09'\"\\/<>&{}[],:;%_~^`|";
    let drawn =
        |rng: &mut StdRng, from: &[char], count: usize| -> String { (0..count).map(|_| *from.choose(rng).unwrap()).collect() };
    let own: Vec<char> = if charset.characters.is_empty() { ASCII } else { charset.characters }.chars().collect();
    let all: Vec<char> = ASCII.chars().chain(charset.characters.chars()).collect();
    let text = match rng.random_range(0..14) {
        0 | 1 => String::new(),
        2 => " ".repeat(rng.random_range(1..=3)),
        3 => "trail  ".to_owned(),
        4 => "  lead".to_owned(),
        5 | 6 => (*WORDS.choose(rng).unwrap()).to_owned(),
        7 => CONTROLS.to_owned(),
        // The longest: seldom, where that is much.
        8 if most <= 1000 || rng.random_bool(0.1) => drawn(rng, &own, most),
        8 => drawn(rng, &own, 1000),
        9 => drawn(rng, &own, 1),
        _ => {
            let count = rng.random_range(0..=most.min(40));
            drawn(rng, &all, count)
        }
    };
    text.chars().take(most).collect()
}

fn bytes(rng: &mut StdRng, most: usize) -> Vec<u8> {
    let some = rng.random_range(0..=most.min(40));
    let mut bytes = match rng.random_range(0..8) {
        0 => Vec::new(),
        1 => vec![0],
        2 => b"a \0 ".to_vec(),
        3 => b"\0\0a  ".to_vec(),
        4 if most <= 1000 || rng.random_bool(0.1) => vec![0xff; most],
        _ => (0..some).map(|_| rng.random()).collect(),
    };
    bytes.truncate(most);
    bytes
}

fn vector(rng: &mut StdRng, dimensions: usize) -> Literal {
    let count = if rng.random() { dimensions } else { rng.random_range(1..=dimensions) };
    const EDGES: [f32; 8] = [0.0, -0.0, 1.0, f32::MAX, -f32::MAX, f32::MIN_POSITIVE, 1.1, -1e10];
    let floats: Vec<f32> =
        (0..count).map(|_| if rng.random_bool(0.3) { *EDGES.choose(rng).unwrap() } else { finite32(rng) }).collect();
    // As text the server takes no subnormal numbers.
    if floats.iter().all(|v| *v == 0.0 || v.is_normal()) && rng.random() {
        let texts: Vec<String> = floats.iter().map(|v| format!("{:e}", f64::from(*v))).collect();
        return Literal::sql(format!("TO_VECTOR('[{}]')", texts.join(",")));
    }
    Literal::sql(format!("X'{}'", hex(&floats.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())))
}

/// Bytes in which zeros and ones are more frequent than they should be; some look like an address of another kind.
fn address<const N: usize>(rng: &mut StdRng) -> [u8; N] {
    let mut bytes: [u8; N] = std::array::from_fn(|_| rng.random());
    match rng.random_range(0..8) {
        0 => bytes = [0; N],
        1 => bytes = [0xff; N],
        // Whole groups of zeros.
        2..=4 => bytes.as_chunks_mut::<2>().0.iter_mut().filter(|_| rng.random_bool(0.6)).for_each(|pair| *pair = [0; 2]),
        // As an address of the other version within one of the sixth, and nearly so.
        5 => bytes[..N - N / 4].fill(0),
        6 => {
            bytes[..N - N / 4].fill(0);
            bytes[N - N / 4 - N / 8..N - N / 4].fill(0xff);
        }
        _ => bytes[N / 2..].fill(*[0, b' '].choose(rng).unwrap()),
    }
    bytes
}
