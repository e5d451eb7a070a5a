//! Dates, times and intervals, exact to the picosecond. Each is written as `CAST(... AS varchar)` writes it.

use std::fmt;
use std::sync::Arc;

const PICOS: u64 = 1_000_000_000_000;
const DAY_SECONDS: i64 = 86_400;

/// A `date` of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    days: i32,
}

/// A `time(p)`: a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Time {
    picos: u64,
    precision: u8,
}

/// A `time(p) with time zone`: a time of day, and how far its clock is from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeWithTimeZone {
    local: Time,
    offset_minutes: i16,
}

/// A `timestamp(p)`: a date and a time of day, in no zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timestamp {
    seconds: i64,
    picos: u64,
    precision: u8,
}

/// A `timestamp(p) with time zone`, as the server sends it: what the clocks of a zone show.
///
/// The hour that a zone has twice when its clocks go back is sent without saying which of the two it is. Where that matters, ask the
/// server for UTC: `at AT TIME ZONE 'UTC'`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TimestampWithTimeZone {
    local: Timestamp,
    zone: Arc<str>,
}

/// An `interval year to month`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntervalYearToMonth {
    months: i32,
}

/// An `interval day to second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IntervalDayToSecond {
    millis: i64,
}

impl Date {
    /// The date so many days after 1970-01-01.
    pub fn from_days(days: i32) -> Self {
        Self { days }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.days
    }

    /// Year, month (1 to 12) and day (1 to 31). Year 0 is the one before year 1.
    pub fn year_month_day(self) -> (i64, u8, u8) {
        civil(i64::from(self.days))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        i32::try_from(parse_date(text)?).ok().map(Self::from_days)
    }
}

impl Time {
    pub(crate) fn new(picos: u64, precision: u8) -> Self {
        Self { picos, precision }
    }

    /// Picoseconds since midnight.
    pub fn picos(self) -> u64 {
        self.picos
    }

    /// Digits of a second's fraction, 0 to 12.
    pub fn precision(self) -> u8 {
        self.precision
    }

    /// Reads picoseconds since midnight.
    pub(crate) fn parse_picos(text: &str, precision: u8) -> Option<u64> {
        let (seconds, picos) = parse_time(text, precision)?;
        Some(u64::from(seconds) * PICOS + picos)
    }
}

impl TimeWithTimeZone {
    pub(crate) fn new(local: Time, offset_minutes: i16) -> Self {
        Self { local, offset_minutes }
    }

    /// What the clock shows.
    pub fn local(self) -> Time {
        self.local
    }

    /// Minutes that the clock is ahead of UTC.
    pub fn offset_minutes(self) -> i16 {
        self.offset_minutes
    }

    /// Reads picoseconds since midnight and the offset.
    pub(crate) fn parse(text: &str, precision: u8) -> Option<(u64, i16)> {
        let offset_at = text.len().checked_sub(6)?;
        let (time, offset) = (text.get(..offset_at)?, text.get(offset_at..)?);
        Some((Time::parse_picos(time, precision)?, parse_offset(offset)?))
    }
}

impl Timestamp {
    pub(crate) fn new(seconds: i64, picos: u64, precision: u8) -> Self {
        Self { seconds, picos, precision }
    }

    /// Whole seconds since 1970-01-01 00:00:00 of its own calendar, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Picoseconds beyond [`seconds`](Self::seconds), less than a second.
    pub fn picos(self) -> u64 {
        self.picos
    }

    /// Digits of a second's fraction, 0 to 12.
    pub fn precision(self) -> u8 {
        self.precision
    }

    /// Microseconds since 1970-01-01 00:00:00; `None` if it has finer digits than that which are not zero, or is out of range.
    pub fn micros(self) -> Option<i64> {
        if !self.picos.is_multiple_of(1_000_000) {
            return None;
        }
        self.seconds.checked_mul(1_000_000)?.checked_add(i64::try_from(self.picos / 1_000_000).ok()?)
    }

    /// The date.
    pub fn date(self) -> Option<Date> {
        i32::try_from(self.seconds.div_euclid(DAY_SECONDS)).ok().map(Date::from_days)
    }

    /// The time of day.
    pub fn time(self) -> Time {
        Time { picos: self.seconds.rem_euclid(DAY_SECONDS).unsigned_abs() * PICOS + self.picos, precision: self.precision }
    }

    /// Reads seconds and picoseconds.
    pub(crate) fn parse(text: &str, precision: u8) -> Option<(i64, u64)> {
        let (date, time) = text.split_once(' ')?;
        let (seconds, picos) = parse_time(time, precision)?;
        Some((parse_date(date)?.checked_mul(DAY_SECONDS)?.checked_add(i64::from(seconds))?, picos))
    }
}

impl TimestampWithTimeZone {
    pub(crate) fn new(local: Timestamp, zone: Arc<str>) -> Self {
        Self { local, zone }
    }

    /// What the clocks of the zone show.
    pub fn local(&self) -> Timestamp {
        self.local
    }

    /// The zone as the server names it: `UTC`, `+02:00`, `Europe/Vienna`.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The same moment in UTC, for zones of a fixed distance from it. `None` for others: this crate has no table of zones.
    pub fn utc(&self) -> Option<Timestamp> {
        let minutes = match &*self.zone {
            "UTC" | "Z" | "GMT" | "UT" => 0,
            offset => parse_offset(offset)?,
        };
        let seconds = self.local.seconds.checked_sub(i64::from(minutes) * 60)?;
        Some(Timestamp { seconds, ..self.local })
    }

    /// Splits off the zone.
    pub(crate) fn parse(text: &str, precision: u8) -> Option<((i64, u64), &str)> {
        let (local, zone) = text.rsplit_once(' ')?;
        Some((Timestamp::parse(local, precision)?, zone))
    }
}

impl IntervalYearToMonth {
    /// So many months.
    pub fn from_months(months: i32) -> Self {
        Self { months }
    }

    /// Months; 12 for each year.
    pub fn months(self) -> i32 {
        self.months
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = sign(text);
        let (years, months) = text.split_once('-')?;
        let months = digits(years)?.checked_mul(12)?.checked_add(digits(months).filter(|m| *m < 12)?)?;
        i32::try_from(if negative { -months } else { months }).ok().map(Self::from_months)
    }
}

impl IntervalDayToSecond {
    /// So many milliseconds.
    pub fn from_millis(millis: i64) -> Self {
        Self { millis }
    }

    /// Milliseconds.
    pub fn millis(self) -> i64 {
        self.millis
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (negative, text) = sign(text);
        let (days, time) = text.split_once(' ')?;
        let (seconds, picos) = parse_time(time, 3)?;
        let rest = i64::from(seconds) * 1000 + i64::try_from(picos / 1_000_000_000).ok()?;
        // The smallest value has no positive counterpart.
        let (days, rest) = if negative { (-digits(days)?, -rest) } else { (digits(days)?, rest) };
        days.checked_mul(DAY_SECONDS * 1000)?.checked_add(rest).map(Self::from_millis)
    }
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// An integer without a sign.
fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

/// `2026-01-02`, with a sign before years of more than four digits or before the year 0, as days since 1970-01-01.
fn parse_date(text: &str) -> Option<i64> {
    let (negative, rest) = sign(text.strip_prefix('+').unwrap_or(text));
    let mut parts = rest.splitn(3, '-');
    let year = digits(parts.next()?).filter(|y| *y < 1_000_000_000)?;
    let month = digits(parts.next()?).filter(|m| (1..=12).contains(m))?;
    let day = digits(parts.next()?).filter(|d| (1..=31).contains(d))?;
    let year = if negative { -year } else { year };
    let days = days_from_civil(year, month, day);
    // The 31st of April is no date.
    (civil(days) == (year, u8::try_from(month).ok()?, u8::try_from(day).ok()?)).then_some(days)
}

/// `10:11:12.5` with as many digits behind the point as the precision says, as seconds and picoseconds.
fn parse_time(text: &str, precision: u8) -> Option<(u32, u64)> {
    let (time, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = time.splitn(3, ':');
    let mut part = |limit: i64| digits(parts.next()?).filter(|n| *n < limit);
    let seconds = part(24)? * 3600 + part(60)? * 60 + part(60)?;
    if fraction.len() != usize::from(precision) {
        return None;
    }
    let picos = match fraction {
        "" => 0,
        fraction => digits(fraction)?.unsigned_abs() * 10_u64.pow(12_u32.checked_sub(u32::from(precision))?),
    };
    Some((u32::try_from(seconds).ok()?, picos))
}

/// `+02:00` as minutes.
fn parse_offset(text: &str) -> Option<i16> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'+' => (false, text.get(1..)?),
        b'-' => (true, text.get(1..)?),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let minutes = digits(hours).filter(|h| *h < 24)? * 60 + digits(minutes).filter(|m| *m < 60)?;
    i16::try_from(if negative { -minutes } else { minutes }).ok()
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar. Years are counted from March, so that the leap day is a year's
/// last, in cycles of 400 years of 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, year_of_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    cycle * 146_097 + year_of_cycle * 365 + year_of_cycle / 4 - year_of_cycle / 100 + day_of_year - 719_468
}

/// The date so many days after 1970-01-01: [`days_from_civil`] the other way.
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let (cycle, day_of_cycle) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1460 + day_of_cycle / 36_524 - day_of_cycle / 146_096) / 365;
    let day_of_year = day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = (from_march + 2) % 12 + 1;
    let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
    (year, month as u8, (day_of_year - (153 * from_march + 2) / 5 + 1) as u8)
}

/// The server casts a timestamp of a year beyond 9999 with a sign, and a date without.
fn write_date(f: &mut fmt::Formatter<'_>, days: i64, plus: &str) -> fmt::Result {
    let (year, month, day) = civil(days);
    let sign = match year {
        10_000.. => plus,
        0.. => "",
        _ => "-",
    };
    write!(f, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
}

fn write_time(f: &mut fmt::Formatter<'_>, seconds: u64, picos: u64, precision: u8) -> fmt::Result {
    write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
    match usize::from(precision.min(12)) {
        0 => Ok(()),
        digits => f.write_str(format!(".{picos:012}").get(..=digits).unwrap_or_default()),
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_date(f, i64::from(self.days), "")
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_time(f, self.picos / PICOS, self.picos % PICOS, self.precision)
    }
}

impl fmt::Display for TimeWithTimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.unsigned_abs();
        write!(f, "{}{sign}{:02}:{:02}", self.local, minutes / 60, minutes % 60)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_date(f, self.seconds.div_euclid(DAY_SECONDS), "+")?;
        f.write_str(" ")?;
        write_time(f, self.seconds.rem_euclid(DAY_SECONDS).unsigned_abs(), self.picos, self.precision)
    }
}

impl fmt::Display for TimestampWithTimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.local, self.zone)
    }
}

impl fmt::Display for IntervalYearToMonth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.months < 0 { "-" } else { "" };
        let months = self.months.unsigned_abs();
        write!(f, "{sign}{}-{}", months / 12, months % 12)
    }
}

impl fmt::Display for IntervalDayToSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.millis < 0 { "-" } else { "" };
        let millis = self.millis.unsigned_abs();
        write!(f, "{sign}{} ", millis / 86_400_000)?;
        write_time(f, millis / 1000 % 86_400, millis % 1000 * 1_000_000_000, 3)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn every_day_of_a_cycle_has_one_date_and_back() {
        let mut last = civil(-150_000);
        for days in -149_999..150_000 {
            let (year, month, day) = civil(days);
            assert_eq!(days_from_civil(year, month.into(), day.into()), days);
            let next_day = (year, month) == (last.0, last.1) && day == last.2 + 1;
            let next_month =
                day == 1 && last.2 >= 28 && (month == last.1 + 1 || (month == 1 && last.1 == 12 && year == last.0 + 1));
            assert!(next_day || next_month, "{last:?} {year}-{month}-{day}");
            last = (year, month, day);
        }
        assert_eq!(Date::parse("1970-01-01").unwrap().days(), 0);
        assert_eq!(Date::parse("2000-02-29").unwrap().days(), 11_016);
    }

    #[test]
    fn dates_are_read_and_written() {
        for text in ["0001-01-01", "0000-12-31", "-0044-03-15", "9999-12-31", "10000-01-01", "5881580-07-11", "-5877641-06-23"] {
            assert_eq!(Date::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            (Date::parse("+5881580-07-11").unwrap().days(), Date::parse("-5877641-06-23").unwrap().days()),
            (i32::MAX, i32::MIN)
        );
        for text in [
            "",
            "2026-02-29",
            "2026-04-31",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01",
            "+5881580-07-12",
            "2026-1-x",
            "99999999999-01-01",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_exactly_their_digits() {
        let time = |text: &str, precision| Some(Time::new(Time::parse_picos(text, precision)?, precision));
        for (text, precision) in [("00:00:00", 0), ("23:59:59.9", 1), ("01:02:03.000000000001", 12), ("12:34:56.123456", 6)] {
            assert_eq!(time(text, precision).unwrap().to_string(), text);
        }
        assert_eq!(time("00:00:01.5", 1).unwrap().picos(), 1_500_000_000_000);
        for (text, precision) in [
            ("24:00:00", 0),
            ("00:60:00", 0),
            ("00:00:00.1", 0),
            ("00:00:00", 1),
            ("00:00", 0),
            ("0:0:-1", 0),
            ("00:00:00.+1", 2),
        ] {
            assert_eq!(time(text, precision), None, "{text}");
        }
        let (picos, offset) = TimeWithTimeZone::parse("10:11:12.123-08:30", 3).unwrap();
        let time = TimeWithTimeZone::new(Time::new(picos, 3), offset);
        assert_eq!((time.offset_minutes(), time.to_string().as_str()), (-510, "10:11:12.123-08:30"));
        assert_eq!(TimeWithTimeZone::parse("10:11:12", 0), None);
        assert_eq!(TimeWithTimeZone::parse("é+8:30", 0), None);
    }

    #[test]
    fn timestamps_go_back_beyond_1970() {
        let timestamp = |text: &str, precision| {
            let (seconds, picos) = Timestamp::parse(text, precision)?;
            Some(Timestamp::new(seconds, picos, precision))
        };
        for (text, precision) in [
            ("1969-12-31 23:59:59.999999999999", 12),
            ("-0001-01-01 00:00:00", 0),
            ("+123456-12-31 01:02:03.5", 1),
            ("2026-02-03 04:05:06.789", 3),
        ] {
            assert_eq!(timestamp(text, precision).unwrap().to_string(), text);
        }
        let before = timestamp("1969-12-31 23:59:59.5", 1).unwrap();
        assert_eq!((before.seconds(), before.picos(), before.micros()), (-1, 500_000_000_000, Some(-500_000)));
        assert_eq!(
            (before.date().unwrap().to_string(), before.time().to_string()),
            ("1969-12-31".to_owned(), "23:59:59.5".to_owned())
        );
        assert_eq!(timestamp("1970-01-01 00:00:00.0000001", 7).unwrap().micros(), None);
        assert_eq!(timestamp("1970-01-01T00:00:00", 0), None);
    }

    #[test]
    fn a_zone_of_a_fixed_distance_gives_the_moment() {
        let at = |text: &str| {
            let ((seconds, picos), zone) = TimestampWithTimeZone::parse(text, 0).unwrap();
            TimestampWithTimeZone::new(Timestamp::new(seconds, picos, 0), zone.into())
        };
        assert_eq!(at("2026-01-01 00:30:00 +02:00").utc().unwrap().to_string(), "2025-12-31 22:30:00");
        assert_eq!(at("2026-01-01 00:30:00 UTC").utc().unwrap().to_string(), "2026-01-01 00:30:00");
        let vienna = at("2026-01-01 00:30:00 Europe/Vienna");
        assert_eq!(
            (vienna.utc(), vienna.zone(), vienna.to_string().as_str()),
            (None, "Europe/Vienna", "2026-01-01 00:30:00 Europe/Vienna")
        );
    }

    #[test]
    fn intervals_have_one_sign() {
        for text in ["0-0", "2-3", "-2-3", "-0-1", "178956970-7", "-178956970-8"] {
            assert_eq!(IntervalYearToMonth::parse(text).unwrap().to_string(), text);
        }
        for text in
            ["0 00:00:00.000", "2 03:04:05.006", "-0 00:00:00.001", "-106751991167 07:12:55.808", "106751991167 07:12:55.807"]
        {
            assert_eq!(IntervalDayToSecond::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(IntervalDayToSecond::parse("-106751991167 07:12:55.808").unwrap().millis(), i64::MIN);
        for text in ["", "1", "1-12", "1--1", "178956970-8"] {
            assert_eq!(IntervalYearToMonth::parse(text), None, "{text}");
        }
        for text in ["", "1", "1 00:00:00", "106751991167 07:12:55.808", "--1 00:00:00.000"] {
            assert_eq!(IntervalDayToSecond::parse(text), None, "{text}");
        }
    }
}
