//! Instants as text: `io.debezium.time.ZonedTimestamp`, which is Java's `ISO_OFFSET_DATE_TIME` in UTC; and days and times of day in
//! that form.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of days since 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn two(out: &mut [u8], value: i64) {
    if let [tens, ones] = out {
        *tens = b'0' + (value / 10 % 10) as u8;
        *ones = b'0' + (value % 10) as u8;
    }
}

/// Appends microseconds since the Unix epoch as `2024-02-29T12:34:56.789Z`, with as many fraction digits as are not zero at the end.
/// Years beyond four digits carry their sign, as in Java.
pub(crate) fn write_instant(out: &mut Vec<u8>, micros: i64) {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let fraction = micros.rem_euclid(MICROS_PER_SECOND);
    let (year, month, day) = date_of(seconds.div_euclid(SECONDS_PER_DAY));
    let second_of_day = seconds.rem_euclid(SECONDS_PER_DAY);
    if (0..=9999).contains(&year) {
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        two(&mut text[0..2], year / 100);
        two(&mut text[2..4], year % 100);
        two(&mut text[5..7], month);
        two(&mut text[8..10], day);
        two(&mut text[11..13], second_of_day / 3600);
        two(&mut text[14..16], second_of_day / 60 % 60);
        two(&mut text[17..19], second_of_day % 60);
        two(&mut text[20..22], fraction / 10_000);
        two(&mut text[22..24], fraction / 100 % 100);
        two(&mut text[24..26], fraction % 100);
        let mut end = 19;
        if fraction != 0 {
            end = text[..26].iter().rposition(|&b| b != b'0').map_or(26, |last| last + 1);
        }
        text[end] = b'Z';
        out.extend_from_slice(&text[..=end]);
    } else {
        let sign = if year < 0 { '-' } else { '+' };
        let mut text = format!(
            "{sign}{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
            year.unsigned_abs(),
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60
        );
        if fraction != 0 {
            text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
        }
        text.push('Z');
        out.extend_from_slice(text.as_bytes());
    }
}

#[inline(always)]
fn digits(text: &[u8]) -> Option<i64> {
    let mut value = 0;
    for &byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// Days since 1970-01-01, if there is such a day.
#[inline(always)]
fn real_day(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    (1..=days_in_month).contains(&day).then(|| days_of(year, month, day))
}

/// The year that `text` begins with, signed if it has not four digits, and what follows it.
#[inline(always)]
fn year_of(text: &[u8]) -> Option<(i64, &[u8])> {
    match *text.first()? {
        sign @ (b'+' | b'-') => {
            let end = memchr::memchr(b'-', text.get(1..)?)?.checked_add(1)?;
            let (digits_only, rest) = text.split_at_checked(end)?;
            let year = digits_only.get(1..).filter(|d| (4..=6).contains(&d.len())).and_then(digits)?;
            Some((if sign == b'-' { -year } else { year }, rest))
        }
        _ => Some((digits(text.get(..4)?)?, text.get(4..)?)),
    }
}

/// The microseconds of a fraction of seconds, if there is one, and what follows it.
#[inline(always)]
fn fraction_of(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(rest) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let count = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (text, zone) = rest.split_at_checked(count)?;
    let (micros, beyond) = text.split_at_checked(count.min(6))?;
    if count == 0 || count > 9 || beyond.iter().any(|&b| b != b'0') {
        return None;
    }
    Some((digits(micros)?.checked_mul(10_i64.pow(6 - micros.len() as u32))?, zone))
}

/// Days since 1970-01-01 of `2024-02-29Z` (`io.debezium.time.IsoDate`); `None` if it is no real day, or has another offset.
pub(crate) fn parse_day(text: &[u8]) -> Option<i32> {
    let (year, rest) = year_of(text)?;
    let &[d1, mo1, mo2, d2, da1, da2, b'Z'] = rest else { return None };
    let days = real_day(year, digits(&[mo1, mo2])?, digits(&[da1, da2])?)?;
    i32::try_from(days).ok().filter(|_| [d1, d2] == *b"--")
}

/// Microseconds since midnight of `12:34:56.789Z` (`io.debezium.time.IsoTime`); `None` if it is no time of day, has more than
/// microseconds, or another offset.
pub(crate) fn parse_time(text: &[u8]) -> Option<i64> {
    let (&[h1, h2, b':', mi1, mi2, b':', s1, s2], rest) = text.split_first_chunk::<8>()? else { return None };
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[mi1, mi2])?, digits(&[s1, s2])?);
    let (fraction, zone) = fraction_of(rest)?;
    let valid = hour <= 23 && minute <= 59 && second <= 59 && zone == b"Z";
    valid.then_some((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + fraction)
}

/// Microseconds since the Unix epoch of an ISO date and time with an offset; `None` if it is not one, is no real date, or has more
/// than microseconds.
pub(crate) fn parse_instant(text: &[u8]) -> Option<i64> {
    let (year, rest) = year_of(text)?;
    let (&[d1, mo1, mo2, d2, da1, da2, t, h1, h2, c1, mi1, mi2, c2, s1, s2], rest) = rest.split_first_chunk::<15>()?;
    if [d1, d2, t, c1, c2] != *b"--T::" {
        return None;
    }
    let days = real_day(year, digits(&[mo1, mo2])?, digits(&[da1, da2])?)?;
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[mi1, mi2])?, digits(&[s1, s2])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, zone) = fraction_of(rest)?;
    let offset = match *zone {
        [b'Z'] => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[h1, h2])?, digits(&[m1, m2])?);
            if hours > 18 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset;
    i64::try_from(i128::from(seconds) * i128::from(MICROS_PER_SECOND) + i128::from(fraction)).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn text(micros: i64) -> String {
        let mut out = Vec::new();
        write_instant(&mut out, micros);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants_are_written_as_the_recorded_events_have_them() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_452_939_072_123_456, "2016-01-16T10:11:12.123456Z"),
            (1_709_210_096_789_000, "2024-02-29T12:34:56.789Z"),
            (1_709_210_096_700_000, "2024-02-29T12:34:56.7Z"),
            (1_714_557_600_000_001, "2024-05-01T10:00:00.000001Z"),
            (2_147_483_647_999_999, "2038-01-19T03:14:07.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (253_402_300_800_000_000, "+10000-01-01T00:00:00Z"),
        ] {
            assert_eq!(text(micros), expected);
            assert_eq!(parse_instant(expected.as_bytes()), Some(micros));
        }
    }

    #[test]
    fn every_instant_reads_back() {
        let mut bits = 1_u64;
        for _ in 0..50_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let micros = (bits as i64) >> 3;
            assert_eq!(parse_instant(text(micros).as_bytes()), Some(micros), "{}", text(micros));
        }
        for micros in [i64::MIN, i64::MAX] {
            assert_eq!(parse_instant(text(micros).as_bytes()), Some(micros), "{}", text(micros));
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for bad in [
            "",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567Z",
            "2024-01-01T00:00:00+1:00",
            "2024-01-01T00:00:00ZZ",
            "0000-00-00T00:00:00Z",
            "-2024",
        ] {
            assert_eq!(parse_instant(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(parse_instant(b"1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(parse_instant(b"1970-01-01T00:00:00.000000000Z"), Some(0));
    }

    #[test]
    fn days_and_times_of_day_are_read_in_utc_and_exactly() {
        for (text, days) in [
            ("1970-01-01Z", Some(0)),
            ("2024-02-29Z", Some(19_782)),
            ("9999-12-31Z", Some(2_932_896)),
            ("-0001-12-31Z", Some(-719_529)),
            ("2023-02-29Z", None),
            ("2024-02-29", None),
            ("2024-02-29+02:00", None),
            ("2024-02-29T00:00:00Z", None),
            ("2024/02/29Z", None),
            ("", None),
        ] {
            assert_eq!(parse_day(text.as_bytes()), days, "{text}");
        }
        for (text, micros) in [
            ("00:00:00Z", Some(0)),
            ("12:34:56.789012Z", Some(45_296_789_012)),
            ("23:59:59.999999000Z", Some(86_399_999_999)),
            ("23:59:59.9999999Z", None),
            ("24:00:00Z", None),
            ("12:60:00Z", None),
            ("12:34:56", None),
            ("12:34:56+01:00", None),
            ("12:34Z", None),
            ("-01:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()), micros, "{text}");
        }
    }
}
