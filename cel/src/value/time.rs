//! Points in time and lengths of time, in Go's notation.

use std::fmt::Write;

use jiff::civil::{DateTime, date};
use jiff::{SignedDuration, Timestamp};

use crate::error::Error;

const SECOND: i64 = 1_000_000_000;
/// The years 1 to 9999.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// A point in time between the years 1 and 9999; it remembers the offset with which it was written.
#[derive(Clone, Copy, Debug)]
pub struct Time {
    /// Nanoseconds since 1970.
    pub instant: i128,
    /// In seconds.
    offset: i64,
}

impl Time {
    pub const OVERFLOW: Error = Error::Failed(std::borrow::Cow::Borrowed("timestamp overflow"));

    /// # Errors
    /// It is out of range.
    pub fn from_seconds(seconds: i64) -> Result<Self, Error> {
        Self { instant: i128::from(seconds) * i128::from(SECOND), offset: 0 }.checked()
    }

    fn checked(self) -> Result<Self, Error> {
        match self.seconds() {
            FIRST..=LAST => Ok(self),
            _ => Err(Self::OVERFLOW),
        }
    }

    /// RFC 3339, strictly. An error when it is out of range, `None` when it is none.
    pub fn read(text: &str) -> Option<Result<Self, Error>> {
        let time = Self::parse(text)?;
        Some(time.checked())
    }

    /// RFC 3339, strictly.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |from: usize, to: usize| -> Option<i64> {
            let part = text.get(from..to)?;
            if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None }
        };
        let sign = |at: usize, wanted: &str| text.get(at..=at) == Some(wanted);
        if !(sign(4, "-") && sign(7, "-") && sign(10, "T") && sign(13, ":") && sign(16, ":")) {
            return None;
        }
        let mut rest = text.get(19..)?;
        let mut nanos = 0;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
            if length == 0 {
                return None;
            }
            let shown: String = fraction[..length].chars().chain(std::iter::repeat('0')).take(9).collect();
            nanos = shown.parse().ok()?;
            rest = &fraction[length..];
        }
        let offset = match rest.as_bytes() {
            [b'Z'] => 0,
            [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] if [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()) => {
                let two = |a: &u8, b: &u8| i32::from(a - b'0') * 10 + i32::from(b - b'0');
                let (hours, minutes) = (two(h1, h2), two(m1, m2));
                if hours > 24 || minutes > 60 {
                    return None;
                }
                let seconds = hours * 3600 + minutes * 60;
                i64::from(if *sign == b'-' { -seconds } else { seconds })
            }
            _ => return None,
        };
        let small = |number: i64| i8::try_from(number).ok();
        let civil = DateTime::new(
            i16::try_from(digits(0, 4)?).ok()?,
            small(digits(5, 7)?)?,
            small(digits(8, 10)?)?,
            small(digits(11, 13)?)?,
            small(digits(14, 16)?)?,
            small(digits(17, 19)?)?,
            nanos,
        );
        let since = civil.ok()?.duration_since(epoch()).as_nanos();
        Some(Self { instant: since - i128::from(offset) * i128::from(SECOND), offset })
    }

    /// `2006-01-02`.
    pub fn parse_date(text: &str) -> Option<Self> {
        if text.len() == 10 { Self::parse(&format!("{text}T00:00:00Z")) } else { None }
    }

    /// # Errors
    /// It is out of range.
    pub fn after(self, nanos: i64) -> Result<Self, Error> {
        Self { instant: self.instant + i128::from(nanos), ..self }.checked()
    }

    /// In nanoseconds.
    pub fn since(self, earlier: Self) -> Result<i64, Error> {
        i64::try_from(self.instant - earlier.instant).map_err(|_| Error::OVERFLOW)
    }

    pub fn seconds(self) -> i64 {
        i64::try_from(self.instant.div_euclid(i128::from(SECOND))).unwrap_or(i64::MAX)
    }

    /// What a clock shows so many seconds from UTC.
    fn at(self, offset: i64) -> Result<DateTime, Error> {
        let nanos = i32::try_from(self.instant.rem_euclid(i128::from(SECOND))).unwrap_or_default();
        let seconds = self.seconds().checked_add(offset).ok_or(Self::OVERFLOW)?;
        epoch().checked_add(SignedDuration::new(seconds, nanos)).map_err(|_| Self::OVERFLOW)
    }

    /// What a clock in a time zone shows: a name, or `+01:30`.
    pub fn civil(self, zone: Option<&str>) -> Result<DateTime, Error> {
        let Some(zone) = zone else { return self.at(0) };
        let Some((hours, minutes)) = zone.split_once(':') else {
            if matches!(zone, "" | "UTC") {
                return self.at(0);
            }
            let rules = jiff::tz::TimeZone::get(zone).map_err(|_| Error::new(format!("unknown time zone {zone}")))?;
            let instant = Timestamp::from_second(self.seconds()).unwrap_or(Timestamp::MAX);
            return self.at(i64::from(rules.to_offset(instant).seconds()));
        };
        let number = |text: &str| {
            let wrong = || Error::new(format!("strconv.Atoi: parsing {text:?}: invalid syntax"));
            text.parse::<i64>().map_err(|_| wrong())
        };
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let minutes = hours.saturating_mul(60).saturating_add(if zone.starts_with('-') { -minutes } else { minutes });
        self.at(minutes.saturating_mul(60))
    }
}

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let civil = self.at(self.offset).map_err(|_| std::fmt::Error)?;
        let (date, time) = (civil.date(), civil.time());
        write!(f, "{:04}-{:02}-{:02}", date.year(), date.month(), date.day())?;
        write!(f, "T{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())?;
        if time.subsec_nanosecond() != 0 {
            let fraction = format!("{:09}", time.subsec_nanosecond());
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        match self.offset {
            0 => f.write_char('Z'),
            seconds => {
                let sign = if seconds < 0 { '-' } else { '+' };
                let minutes = seconds.abs() / 60;
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// As Go's `time.ParseDuration`: `1h30m`, `-1.5s`. In nanoseconds.
pub fn parse_duration(text: &str) -> Option<i64> {
    i64::try_from(api::time::parse_duration(text).ok()?.as_nanos()).ok()
}
