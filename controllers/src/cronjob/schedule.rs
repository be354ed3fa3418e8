//! Cron schedules (`github.com/robfig/cron/v3`, its standard parser): when one is due next.
//!
//! A time of day that the clock skips is skipped, and one that it shows twice is due twice.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

#[derive(Clone, Debug)]
pub(super) struct Schedule {
    zone: TimeZone,
    when: When,
}

#[derive(Clone, Debug)]
enum When {
    /// One bit for each value that matches.
    Fields {
        minute: u64,
        hour: u64,
        day: u64,
        month: u64,
        weekday: u64,
        any_day: bool,
    },
    Every(SignedDuration),
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What is not due within so many years never is.
const HORIZON: i16 = 5;

impl Schedule {
    /// `None` for what is no schedule; the API server has told its author why. A zone within the text goes before `zone`.
    pub fn parse(text: &str, zone: TimeZone) -> Option<Self> {
        let mut text = text.trim();
        let mut zone = zone;
        for prefix in ["TZ=", "CRON_TZ="] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let (name, fields) = rest.split_once(' ')?;
                zone = TimeZone::get(name).ok()?;
                text = fields.trim();
            }
        }
        if let Some(pause) = text.strip_prefix("@every ") {
            let seconds = go_seconds(pause)?.max(1);
            return Some(Self { zone, when: When::Every(SignedDuration::from_secs(seconds)) });
        }
        let text = DESCRIPTORS.iter().find(|(name, _)| *name == text).map_or(text, |(_, fields)| fields);
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else { return None };
        let (day, any_day) = field(day, 1, 31, &[])?;
        let (weekday, any_weekday) = field(weekday, 0, 6, &DAYS)?;
        let when = When::Fields {
            minute: field(minute, 0, 59, &[])?.0,
            hour: field(hour, 0, 23, &[])?.0,
            month: field(month, 1, 12, &MONTHS)?.0,
            day,
            weekday,
            any_day: any_day || any_weekday,
        };
        Some(Self { zone, when })
    }

    /// The first time after this one.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let pause = match &self.when {
            When::Fields { .. } => return self.next_match(after),
            When::Every(pause) => *pause,
        };
        Timestamp::from_second(after.as_second()).ok()?.checked_add(pause).ok()
    }

    fn next_match(&self, after: Timestamp) -> Option<Timestamp> {
        let minute = after.as_second().div_euclid(60) + 1;
        let mut at = Timestamp::from_second(minute * 60).ok()?.to_zoned(self.zone.clone());
        let last = at.year() + HORIZON;
        while at.year() <= last {
            let civil = at.datetime();
            at = if !self.day_matches(civil) {
                at.tomorrow().ok()?.start_of_day().ok()?
            } else if !self.hour_matches(civil) {
                at.checked_add((60 - i64::from(civil.minute())).minutes()).ok()?
            } else if !self.minute_matches(civil) {
                at.checked_add(1.minute()).ok()?
            } else {
                return Some(at.timestamp());
            };
        }
        None
    }

    /// Where both days are bounded, one of them suffices.
    fn day_matches(&self, at: DateTime) -> bool {
        let When::Fields { day, month, weekday, any_day, .. } = &self.when else { return false };
        let by_day = has(*day, at.day());
        let by_weekday = has(*weekday, at.weekday().to_sunday_zero_offset());
        has(*month, at.month()) && if *any_day { by_day && by_weekday } else { by_day || by_weekday }
    }

    fn hour_matches(&self, at: DateTime) -> bool {
        matches!(&self.when, When::Fields { hour, .. } if has(*hour, at.hour()))
    }

    fn minute_matches(&self, at: DateTime) -> bool {
        matches!(&self.when, When::Fields { minute, .. } if has(*minute, at.minute()))
    }
}

fn has(bits: u64, value: i8) -> bool {
    bits & (1 << value) != 0
}

/// The bits, and whether it is a star.
fn field(text: &str, min: u32, max: u32, names: &[&str]) -> Option<(u64, bool)> {
    let mut all = (0, false);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (bits, star) = range(part, min, max, names)?;
        all = (all.0 | bits, all.1 || star);
    }
    Some(all)
}

fn range(text: &str, min: u32, max: u32, names: &[&str]) -> Option<(u64, bool)> {
    let value = |text: &str| {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        named.map_or_else(|| text.parse().ok(), |position| Some(min + position as u32))
    };
    let (ends, step) = text.split_once('/').map_or((text, None), |(ends, step)| (ends, Some(step)));
    let any = ends == "*" || ends == "?";
    let (first, last) = match ends.split_once('-') {
        _ if any => (min, max),
        Some((first, last)) => (value(first)?, value(last)?),
        // `5/10` goes on to the end.
        None if step.is_some() => (value(ends)?, max),
        None => (value(ends)?, value(ends)?),
    };
    let step: usize = step.map_or(Some(1), |step| step.parse().ok().filter(|step| *step > 0))?;
    if first < min || last > max || first > last {
        return None;
    }
    let bits = (first..=last).step_by(step).fold(0, |bits, value| bits | 1 << value);
    Some((bits, any && step == 1))
}

/// A Go duration in whole seconds.
fn go_seconds(text: &str) -> Option<i64> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let units = UNITS.iter().filter(|(unit, _)| rest[end..].starts_with(unit));
        let (unit, size) = units.max_by_key(|(unit, _)| unit.len())?;
        seconds += number * size;
        rest = &rest[end + unit.len()..];
    }
    Some(seconds as i64)
}

/// As Go writes it: UTC is a Z.
pub(super) fn rfc3339(at: Timestamp, zone: TimeZone) -> String {
    let at: Zoned = at.to_zoned(zone);
    let format = if at.offset().seconds() == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    at.strftime(format).to_string()
}

/// The wait until a moment; nothing if it has passed.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn the_next_time_is_found() {
        let table = [
            ("* * * * *", "2024-01-01T10:00:30Z", Some("2024-01-01T10:01:00Z")),
            ("* * * * *", "2024-01-01T10:01:00Z", Some("2024-01-01T10:02:00Z")),
            ("*/15 9-17 * * mon-fri", "2024-01-05T17:45:00Z", Some("2024-01-08T09:00:00Z")),
            ("5/20 * * * ?", "2024-01-01T10:26:00Z", Some("2024-01-01T10:45:00Z")),
            ("0 0 13 * fri", "2024-01-01T00:00:00Z", Some("2024-01-05T00:00:00Z")),
            ("0 0 13 * *", "2024-01-01T00:00:00Z", Some("2024-01-13T00:00:00Z")),
            ("0 0 29 2 *", "2024-03-01T00:00:00Z", Some("2028-02-29T00:00:00Z")),
            ("0 0 31 2 *", "2024-03-01T00:00:00Z", None),
            ("@hourly", "2024-01-01T10:00:00Z", Some("2024-01-01T11:00:00Z")),
            ("@every 1h30m", "2024-01-01T10:00:07Z", Some("2024-01-01T11:30:07Z")),
            ("TZ=America/New_York 0 9 * * *", "2024-07-01T00:00:00Z", Some("2024-07-01T13:00:00Z")),
            // The clock goes from 2 to 3, and from 2 back to 1.
            ("TZ=America/New_York 30 2 * * *", "2024-03-10T00:00:00Z", Some("2024-03-11T06:30:00Z")),
            ("TZ=America/New_York 30 1 * * *", "2024-11-03T05:30:00Z", Some("2024-11-03T06:30:00Z")),
        ];
        for (schedule, after, expected) in table {
            let parsed = Schedule::parse(schedule, TimeZone::UTC).expect(schedule);
            assert_eq!(parsed.next(time(after)), expected.map(time), "{schedule} after {after}");
        }
    }

    #[test]
    fn nonsense_is_no_schedule() {
        for text in [
            "",
            "* * * *",
            "60 * * * *",
            "5-1 * * * *",
            "*/0 * * * *",
            "@sometimes",
            "@every day",
            "TZ=Nowhere/X * * * * *",
        ] {
            assert!(Schedule::parse(text, TimeZone::UTC).is_none(), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_go_does() {
        let at = time("2024-07-01T13:00:00Z");
        assert_eq!(rfc3339(at, TimeZone::UTC), "2024-07-01T13:00:00Z");
        let zone = TimeZone::get("America/New_York").expect("a zone");
        assert_eq!(rfc3339(at, zone), "2024-07-01T09:00:00-04:00");
    }
}
