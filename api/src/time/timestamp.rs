//! RFC 3339 as Go's `time.Parse` and `time.Format` treat it, mistakes in Go's words.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROSECONDS: &str = "2006-01-02T15:04:05.000000Z07:00";

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")]
    Element { text: String, layout: &'static str, rest: String, element: &'static str },
    #[error("parsing time {text:?}: {what} out of range")]
    Range { text: String, what: &'static str },
    #[error("parsing time {text:?}: extra text: {rest:?}")]
    Extra { text: String, rest: String },
}

/// `2006-01-02T15:04:05Z`; what is finer is cut off.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `2006-01-02T15:04:05.000000Z`.
pub fn format_micro_time(time: Timestamp) -> String {
    let micros = time.as_microsecond().rem_euclid(1_000_000);
    let second = Timestamp::from_second(time.as_microsecond().div_euclid(1_000_000)).unwrap_or(time);
    format!("{}.{micros:06}Z", second.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// A `metav1.Time`. A fraction is accepted, as upstream does.
pub fn parse_time(text: &str) -> Result<Timestamp, TimeError> {
    Reader { text, rest: text, layout: SECONDS }.read()
}

/// A `metav1.MicroTime`: exactly six digits of fraction.
pub fn parse_micro_time(text: &str) -> Result<Timestamp, TimeError> {
    Reader { text, rest: text, layout: MICROSECONDS }.read()
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Reader<'_> {
    fn read(mut self) -> Result<Timestamp, TimeError> {
        let year = self.number(4, "2006")?;
        self.literal("-")?;
        let month = self.number(2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.range("month"));
        }
        self.literal("-")?;
        let day = self.number(2, "02")?;
        self.literal("T")?;
        let hour = self.bounded("15", 24, "hour")?;
        self.literal(":")?;
        let minute = self.bounded("04", 60, "minute")?;
        self.literal(":")?;
        let second = self.bounded("05", 60, "second")?;
        let nanosecond = self.fraction()?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(TimeError::Extra { text: self.text.to_owned(), rest: self.rest.to_owned() });
        }
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(|part| part as i8);
        let civil = DateTime::new(year as i16, month, day, hour, minute, second, nanosecond);
        let civil = civil.map_err(|_| self.range("day"))?;
        let zoned = civil.to_zoned(TimeZone::fixed(offset)).map_err(|_| self.range("year"))?;
        Ok(zoned.timestamp())
    }

    fn range(&self, what: &'static str) -> TimeError {
        TimeError::Range { text: self.text.to_owned(), what }
    }

    fn wrong(&self, element: &'static str) -> TimeError {
        let (text, rest) = (self.text.to_owned(), self.rest.to_owned());
        TimeError::Element { text, layout: self.layout, rest, element }
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), TimeError> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.wrong(literal))?;
        Ok(())
    }

    fn number(&mut self, digits: usize, element: &'static str) -> Result<i32, TimeError> {
        let head = self.rest.get(..digits).filter(|head| head.bytes().all(|byte| byte.is_ascii_digit()));
        let number = head.and_then(|head| head.parse().ok()).ok_or_else(|| self.wrong(element))?;
        self.rest = &self.rest[digits..];
        Ok(number)
    }

    fn bounded(&mut self, element: &'static str, limit: i32, what: &'static str) -> Result<i32, TimeError> {
        let number = self.number(2, element)?;
        if number < limit { Ok(number) } else { Err(self.range(what)) }
    }

    /// Nanoseconds; digits beyond the ninth are dropped.
    fn fraction(&mut self) -> Result<i32, TimeError> {
        let digits = self.rest.strip_prefix(['.', ',']).unwrap_or_default();
        let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let wanted = if self.layout == MICROSECONDS {
            if length < 6 {
                return Err(self.wrong(".000000"));
            }
            6
        } else {
            length
        };
        if wanted == 0 {
            return Ok(0);
        }
        let kept = &digits[..wanted.min(9)];
        let nanosecond = kept.parse::<i32>().unwrap_or_default() * 10_i32.pow(9 - kept.len() as u32);
        self.rest = &digits[wanted..];
        Ok(nanosecond)
    }

    fn offset(&mut self) -> Result<Offset, TimeError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(Offset::UTC);
        }
        let whole = self.wrong("Z07:00");
        let negative = match self.rest.as_bytes().first() {
            Some(b'+') => false,
            Some(b'-') => true,
            _ => return Err(whole),
        };
        self.rest = &self.rest[1..];
        let parts = self.number(2, "Z07:00").and_then(|hours| {
            self.literal(":")?;
            Ok((hours, self.number(2, "Z07:00")?))
        });
        let (hours, minutes) = parts.map_err(|_| whole)?;
        if hours > 24 {
            return Err(self.range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.range("time zone offset minute"));
        }
        let seconds = (hours * 60 + minutes) * 60;
        Offset::from_seconds(if negative { -seconds } else { seconds }).map_err(|_| self.range("time zone offset hour"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepted() {
        let cases = [
            ("2024-02-29T12:34:56Z", 1_709_210_096_000_000_000),
            ("2024-02-29T12:34:56.25Z", 1_709_210_096_250_000_000),
            ("2024-02-29T14:34:56+02:00", 1_709_210_096_000_000_000),
            ("1970-01-01T00:00:00.123456789123Z", 123_456_789),
            ("1969-12-31T23:59:59Z", -1_000_000_000),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(parse_time(text).unwrap().as_nanosecond(), nanoseconds, "{text}");
        }
        let micro = parse_micro_time("2024-02-29T12:34:56.000001Z").unwrap();
        assert_eq!(micro.as_nanosecond(), 1_709_210_096_000_001_000);
    }

    #[test]
    fn written_in_utc() {
        let time = parse_time("2024-02-29T14:34:56.987654321+02:00").unwrap();
        assert_eq!(format_time(time), "2024-02-29T12:34:56Z");
        assert_eq!(format_micro_time(time), "2024-02-29T12:34:56.987654Z");
        assert_eq!(format_micro_time(Timestamp::UNIX_EPOCH), "1970-01-01T00:00:00.000000Z");
        let before = Timestamp::from_microsecond(-1).unwrap();
        assert_eq!(format_micro_time(before), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn refused_in_gos_words() {
        let layout = SECONDS;
        let cases = [
            ("", format!(r#"parsing time "" as "{layout}": cannot parse "" as "2006""#)),
            ("soon", format!(r#"parsing time "soon" as "{layout}": cannot parse "soon" as "2006""#)),
            ("2024-13-01T00:00:00Z", r#"parsing time "2024-13-01T00:00:00Z": month out of range"#.to_owned()),
            ("2024-02-30T00:00:00Z", r#"parsing time "2024-02-30T00:00:00Z": day out of range"#.to_owned()),
            ("2024-02-01T24:00:00Z", r#"parsing time "2024-02-01T24:00:00Z": hour out of range"#.to_owned()),
            ("2024-02-01", format!(r#"parsing time "2024-02-01" as "{layout}": cannot parse "" as "T""#)),
            (
                "2024-02-01T00:00:00",
                format!(r#"parsing time "2024-02-01T00:00:00" as "{layout}": cannot parse "" as "Z07:00""#),
            ),
            ("2024-02-01T00:00:00Zx", r#"parsing time "2024-02-01T00:00:00Zx": extra text: "x""#.to_owned()),
        ];
        for (text, message) in cases {
            assert_eq!(parse_time(text).unwrap_err().to_string(), message);
        }
        let message = parse_micro_time("2024-02-01T00:00:00Z").unwrap_err().to_string();
        assert!(message.ends_with(r#"cannot parse "Z" as ".000000""#), "{message}");
    }
}
