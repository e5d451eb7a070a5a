//! Dates and times: from the binary log's packed forms and the client protocol's parts to days and microseconds.
//!
//! `None` is a date that no calendar has: zero (`0000-00-00`), partial (`2020-00-15`), or admitted by
//! `ALLOW_INVALID_DATES` (`2020-02-31`).

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_DAY: i64 = 86_400 * US_PER_SECOND;

/// Days since 1970-01-01 of a day of the proleptic Gregorian calendar.
#[inline]
pub(crate) fn days(year: u32, month: u32, day: u32) -> Option<i32> {
    if month == 0 || day == 0 || month > 12 || day > days_in_month(year, month) || year > 9999 {
        return None;
    }
    // Years begin in March, so that the leap day is the last; 400 years are 146,097 days.
    let year = year as i32 - i32::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i32 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

#[inline]
fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Microseconds since 1970-01-01 00:00 of a wall clock reading.
#[inline]
pub(crate) fn timestamp(year: u32, month: u32, day: u32, hour: u32, minute: u32, second: u32, micros: u32) -> Option<i64> {
    if hour > 23 || minute > 59 || second > 59 || micros > 999_999 {
        return None;
    }
    let day = i64::from(days(year, month, day)?);
    Some(day * US_PER_DAY + clock(hour, minute, second, micros))
}

/// Microseconds of an unsigned clock reading. Hours up to 2^21 cannot overflow.
#[inline]
pub(crate) fn clock(hours: u32, minutes: u32, seconds: u32, micros: u32) -> i64 {
    (i64::from(hours) * 3600 + i64::from(minutes) * 60 + i64::from(seconds)) * US_PER_SECOND + i64::from(micros)
}

/// The fraction of a second, of `digits` digits, in the bytes that hold it.
#[inline]
pub(crate) fn fraction_bytes(digits: u16) -> usize {
    usize::from(digits.div_ceil(2))
}

/// Microseconds of a fraction as it lies in its bytes.
#[inline]
pub(crate) fn fraction_micros(digits: u16, raw: u64) -> u32 {
    let scale = match fraction_bytes(digits) {
        0 => 0,
        1 => 10_000,
        2 => 100,
        _ => 1,
    };
    u32::try_from(raw.saturating_mul(scale)).unwrap_or(u32::MAX)
}

/// DATE: three bytes, day in 5 bits, month in 4, year above.
#[inline]
pub(crate) fn packed_date(raw: u32) -> Option<i32> {
    days(raw >> 9, raw >> 5 & 15, raw & 31)
}

/// DATETIME since 5.6: five bytes big-endian with the sign bit set: year * 13 + month in 17 bits, day 5, hour 5, minute 6,
/// second 6.
#[inline]
pub(crate) fn packed_datetime(raw: u64, micros: u32) -> Option<i64> {
    let value = raw.checked_sub(0x80_0000_0000)?;
    let date = (value >> 17) as u32;
    let year_month = date >> 5;
    let clock = (value & 0x1_ffff) as u32;
    timestamp(year_month / 13, year_month % 13, date & 31, clock >> 12, clock >> 6 & 63, clock & 63, micros)
}

/// TIME since 5.6: three bytes and those of its fraction, together one big-endian number with an offset that makes negative
/// ones order before positive ones: hours in 10 bits, minutes 6, seconds 6. `None` is out of range.
#[inline]
pub(crate) fn packed_time(digits: u16, raw: u64) -> Option<i64> {
    let fraction_bits = 8 * fraction_bytes(digits) as u32;
    let offset = 0x80_0000i64 << fraction_bits;
    let value = i64::try_from(raw).ok()?.checked_sub(offset)?;
    let magnitude = value.unsigned_abs();
    let whole = (magnitude >> fraction_bits) as u32;
    let fraction = magnitude & ((1u64 << fraction_bits) - 1);
    let (hours, minutes, seconds) = (whole >> 12 & 0x3ff, whole >> 6 & 63, whole & 63);
    let micros = fraction_micros(digits, fraction);
    if whole >> 22 != 0 || minutes > 59 || seconds > 59 || micros > 999_999 {
        return None;
    }
    let us = clock(hours, minutes, seconds, micros);
    Some(if value < 0 { -us } else { us })
}

/// DATETIME before 5.6 (MariaDB without `mysql56_temporal_format`): the decimal digits YYYYMMDDhhmmss as a number.
pub(crate) fn decimal_datetime(raw: u64) -> Option<i64> {
    let (date, clock) = (u32::try_from(raw / 1_000_000).ok()?, (raw % 1_000_000) as u32);
    timestamp(date / 10_000, date / 100 % 100, date % 100, clock / 10_000, clock / 100 % 100, clock % 100, 0)
}

/// TIME before 5.6: the decimal digits hhmmss as a signed number of 24 bits.
pub(crate) fn decimal_time(raw: u32) -> i64 {
    let value = ((raw << 8) as i32) >> 8;
    let magnitude = value.unsigned_abs();
    let us = clock(magnitude / 10_000, magnitude / 100 % 100, magnitude % 100, 0);
    if value < 0 { -us } else { us }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn days_count_from_1970_through_leap_years() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(1969, 12, 31), Some(-1));
        assert_eq!(days(2000, 2, 29), Some(11_016));
        assert_eq!(days(2024, 2, 29), Some(19_782));
        assert_eq!(days(1000, 1, 1), Some(-354_285));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
        let mut previous = days(1, 1, 1).unwrap() - 1;
        for year in 1..=2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    let this = days(year, month, day).unwrap();
                    assert_eq!(this, previous + 1, "{year}-{month}-{day}");
                    previous = this;
                }
            }
        }
    }

    #[test]
    fn zero_partial_and_impossible_dates_are_none() {
        for (y, m, d) in [(0, 0, 0), (2020, 0, 15), (2020, 1, 0), (2020, 2, 30), (2021, 2, 29), (1900, 2, 29), (2020, 13, 1)] {
            assert_eq!(days(y, m, d), None, "{y}-{m}-{d}");
        }
        assert_eq!(packed_datetime(0x80_0000_0000, 0), None);
        assert_eq!(packed_datetime(0, 0), None);
    }

    #[test]
    fn times_keep_their_sign_and_fraction() {
        let packed = |negative: bool, h: u64, m: u64, s: u64, fraction: u64, digits: u16| {
            let bits = 8 * fraction_bytes(digits) as u32;
            let magnitude = (h << 12 | m << 6 | s) << bits | fraction;
            let offset = 0x80_0000u64 << bits;
            packed_time(digits, if negative { offset - magnitude } else { offset + magnitude })
        };
        assert_eq!(packed(false, 838, 59, 59, 0, 0), Some(3_020_399_000_000));
        assert_eq!(packed(true, 838, 59, 59, 0, 3), Some(-3_020_399_000_000));
        assert_eq!(packed(true, 0, 0, 0, 1, 6), Some(-1));
        assert_eq!(packed(true, 0, 0, 0, 50, 2), Some(-500_000));
        assert_eq!(packed(false, 12, 34, 56, 7890, 4), Some(45_296_789_000));
        assert_eq!(packed(false, 0, 61, 0, 0, 0), None);
    }

    #[test]
    fn times_of_old_columns_are_decimal_digits() {
        assert_eq!(decimal_datetime(20_240_229_123_456), timestamp(2024, 2, 29, 12, 34, 56, 0));
        assert_eq!(decimal_datetime(0), None);
        assert_eq!(decimal_time(123_456), 45_296_000_000);
        assert_eq!(decimal_time((-123_456i32 & 0xff_ffff) as u32), -45_296_000_000);
    }
}
