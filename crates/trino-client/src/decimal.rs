use std::fmt;

/// A `decimal(p,s)`: an integer, and how many of its digits are behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    unscaled: i128,
    scale: u8,
}

impl Decimal {
    /// The number `unscaled / 10^scale`.
    pub fn new(unscaled: i128, scale: u8) -> Self {
        Self { unscaled, scale }
    }

    /// All its digits as an integer: 1.50 is 150.
    pub fn unscaled(self) -> i128 {
        self.unscaled
    }

    /// The digits behind the point, 0 to 38. All values of a column have the same.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Reads what the server writes for a value of this scale.
    pub(crate) fn parse_unscaled(text: &str, scale: u8) -> Option<i128> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() || fraction.len() != usize::from(scale) || whole.len() + fraction.len() > 39 {
            return None;
        }
        let mut unscaled = 0_i128;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return None;
            }
            unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        Some(if negative { -unscaled } else { unscaled })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.unscaled.unsigned_abs().to_string();
        let scale = usize::from(self.scale);
        let padded = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale);
        let point = if scale > 0 { "." } else { "" };
        f.pad_integral(self.unscaled >= 0, "", &format!("{whole}{point}{fraction}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_decimal_is_read_and_written_digit_by_digit() {
        for (text, unscaled, scale) in [
            ("0", 0, 0),
            ("0.00", 0, 2),
            ("-0.05", -5, 2),
            ("1.50", 150, 2),
            ("-99999999999999999999999999999999999999", -99_999_999_999_999_999_999_999_999_999_999_999_999, 0),
            ("0.00000000000000000000000000000000000001", 1, 38),
            ("0.99999999999999999999999999999999999999", 99_999_999_999_999_999_999_999_999_999_999_999_999, 38),
        ] {
            assert_eq!(Decimal::parse_unscaled(text, scale), Some(unscaled), "{text}");
            assert_eq!(Decimal::new(unscaled, scale).to_string(), text);
        }
        assert_eq!(
            format!("{:>8}|{:<7}|{:+}", Decimal::new(-150, 2), Decimal::new(150, 2), Decimal::new(1, 0)),
            "   -1.50|1.50   |+1"
        );
    }

    #[test]
    fn another_scale_or_anything_else_is_no_decimal() {
        for text in ["", "-", "1", "1.5", "1.500", "1,50", "+1.50", ".50", "1.5e", "1e10", "--1.50", "1.-5"] {
            assert_eq!(Decimal::parse_unscaled(text, 2), None, "{text}");
        }
        assert_eq!(Decimal::parse_unscaled(&"9".repeat(41), 0), None);
    }
}
