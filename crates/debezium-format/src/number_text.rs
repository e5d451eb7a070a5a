//! Numbers as Java prints them, because Connect's JSON converter is Jackson and Jackson prints through Java.

/// Appends an integer.
#[inline]
pub(crate) fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A number as text, and the same number in coarser units: three digits of a unit's text are the thousandth's.
pub(crate) struct UnitText {
    value: i64,
    text: [u8; 20],
    length: usize,
}

impl UnitText {
    pub fn new(value: i64) -> Self {
        let mut buffer = itoa::Buffer::new();
        let formatted = buffer.format(value).as_bytes();
        let mut text = [0; 20];
        for (place, digit) in text.iter_mut().zip(formatted) {
            *place = *digit;
        }
        Self { value, text, length: formatted.len() }
    }

    /// Appends the number in units `10^digits` times as big, rounded down.
    pub fn write(&self, out: &mut Vec<u8>, digits: u32) {
        let unit = 10_i64.saturating_pow(digits);
        if self.value >= unit || digits == 0 {
            let length = self.length.saturating_sub(digits as usize);
            out.extend_from_slice(self.text.get(..length).unwrap_or(&self.text));
        } else {
            write_integer(out, self.value.div_euclid(unit));
        }
    }
}

/// Appends a `double` as `Double.toString` of JDK 19 and later lays it out: the shortest digits that read back as the same
/// value, plain from 10^-3 to 10^7, otherwise `d.dddE[-]n`. What is not a number is the quoted text that Jackson writes.
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    if !value.is_finite() {
        return write_not_finite(out, value.is_nan(), value < 0.0);
    }
    let mut buffer = ryu::Buffer::new();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let mut shortest = Digits::of(buffer.format_finite(magnitude));
    if shortest.count == 1 && magnitude < 1e-300 {
        shortest = shortest.two_digits(format!("{magnitude:.1e}"), |text| text.parse() == Ok(magnitude));
    }
    shortest.write_scientific(out);
}

/// Appends a `float` as `Float.toString` lays it out; see [`write_double`].
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    let magnitude = value.abs();
    if !value.is_finite() {
        return write_not_finite(out, value.is_nan(), value < 0.0);
    }
    let mut buffer = ryu::Buffer::new();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        out.extend_from_slice(buffer.format_finite(value).as_bytes());
        return;
    }
    if value < 0.0 {
        out.push(b'-');
    }
    let mut shortest = Digits::of(buffer.format_finite(magnitude));
    if shortest.count == 1 && magnitude < 1e-40 {
        shortest = shortest.two_digits(format!("{magnitude:.1e}"), |text| text.parse() == Ok(magnitude));
    }
    shortest.write_scientific(out);
}

fn write_not_finite(out: &mut Vec<u8>, nan: bool, negative: bool) {
    out.extend_from_slice(match (nan, negative) {
        (true, _) => b"\"NaN\"",
        (_, true) => b"\"-Infinity\"",
        (_, false) => b"\"Infinity\"",
    });
}

/// Significant digits, and the power of ten of the first.
struct Digits {
    digits: [u8; 20],
    count: usize,
    exponent: i32,
}

impl Digits {
    /// Takes apart `123.4`, `0.00012`, `1.2e-7`.
    fn of(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let mut this = Self { digits: [0; 20], count: 0, exponent: exponent.parse().unwrap_or(0) };
        let mut point_seen = false;
        let mut trailing_zeros = 0;
        for byte in mantissa.bytes() {
            if byte == b'.' {
                point_seen = true;
            } else if byte == b'0' && this.count == 0 {
                this.exponent -= i32::from(point_seen);
            } else {
                if !point_seen && this.count > 0 {
                    this.exponent += 1;
                }
                if this.count == 0 && point_seen {
                    this.exponent -= 1;
                }
                trailing_zeros = if byte == b'0' { trailing_zeros + 1 } else { 0 };
                if let Some(digit) = this.digits.get_mut(this.count) {
                    *digit = byte;
                    this.count += 1;
                }
            }
        }
        this.count -= trailing_zeros;
        this
    }

    /// Java never takes fewer than two digits, and of all pairs that read back the one nearest to the value (`4.9E-324`).
    fn two_digits(self, candidate: String, reads_back: impl Fn(&str) -> bool) -> Self {
        if reads_back(&candidate) { Self::of(&candidate) } else { self }
    }

    fn write_scientific(&self, out: &mut Vec<u8>) {
        let digits = self.digits.get(..self.count).unwrap_or_default();
        let (first, rest) = digits.split_at(digits.len().min(1));
        out.extend_from_slice(first);
        out.push(b'.');
        out.extend_from_slice(if rest.is_empty() { b"0" } else { rest });
        out.push(b'E');
        write_integer(out, i64::from(self.exponent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn double(value: f64) -> String {
        let mut out = Vec::new();
        write_double(&mut out, value);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn float(value: f32) -> String {
        let mut out = Vec::new();
        write_float(&mut out, value);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn coarser_units_are_rounded_down() {
        for (value, texts) in [
            (0, ["0", "0", "0"]),
            (-1, ["-1", "-1", "-1"]),
            (999, ["999", "0", "0"]),
            (1000, ["1000", "1", "0"]),
            (1_999_999, ["1999999", "1999", "1"]),
            (-1_000_001, ["-1000001", "-1001", "-2"]),
            (i64::MAX, ["9223372036854775807", "9223372036854775", "9223372036854"]),
        ] {
            for (digits, text) in [0, 3, 6].into_iter().zip(texts) {
                let mut out = Vec::new();
                UnitText::new(value).write(&mut out, digits);
                assert_eq!(out, text.as_bytes());
            }
        }
    }

    #[test]
    fn doubles_are_laid_out_as_java_does() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-2.5, "-2.5"),
            (0.001, "0.001"),
            (0.00099, "9.9E-4"),
            (1e-5, "1.0E-5"),
            (9_999_999.999_99, "9999999.99999"),
            (1e7, "1.0E7"),
            (123_456_789.0, "1.23456789E8"),
            (1e10, "1.0E10"),
            (1e16, "1.0E16"),
            (123_456_789_012_345_680.0, "1.2345678901234568E17"),
            (1e23, "1.0E23"),
            (2e23, "2.0E23"),
            (-f64::MAX, "-1.7976931348623157E308"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (f64::from_bits(1), "4.9E-324"),
            (f64::from_bits(2), "9.9E-324"),
            (f64::NAN, "\"NaN\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(double(value), text);
        }
    }

    #[test]
    fn floats_are_laid_out_as_java_does() {
        for (value, text) in [
            (3.15f32, "3.15"),
            (1.0, "1.0"),
            (1.0e10, "1.0E10"),
            (f32::MAX, "3.4028235E38"),
            (3.402_82e38, "3.40282E38"),
            (f32::from_bits(1), "1.4E-45"),
            (16_777_216.0, "1.6777216E7"),
            (0.000_1, "1.0E-4"),
        ] {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn every_double_reads_back_as_itself() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(double(value).parse::<f64>().map(f64::to_bits), Ok(bits), "{}", double(value));
            }
            let value = f32::from_bits((bits >> 32) as u32);
            if value.is_finite() {
                assert_eq!(float(value).parse::<f32>().map(f32::to_bits), Ok(value.to_bits()));
            }
        }
    }
}
