//! Durations for people: the AGE columns (`k8s.io/apimachinery/pkg/util/duration`).

use jiff::{SignedDuration, Timestamp};

use super::parse_time;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Two units at most, fewer the longer it lasts: `90s`, `3m12s`, `5h`, `6d23h`, `2y30d`.
pub fn human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / MINUTE, seconds / HOUR, seconds / DAY);
    let pair = |whole: i64, unit: &str, part: i64, part_unit: &str| {
        if part == 0 { format!("{whole}{unit}") } else { format!("{whole}{unit}{part}{part_unit}") }
    };
    match () {
        _ if seconds < -1 => "<invalid>".to_owned(),
        _ if seconds < 0 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 3 * 60 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if days < 8 => pair(days, "d", hours % 24, "h"),
        _ if days < 365 * 2 => format!("{days}d"),
        _ if days < 365 * 8 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

/// One unit: `12d`.
pub fn short_human_duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match () {
        _ if seconds < -1 => "<invalid>".to_owned(),
        _ if seconds < 0 => "0s".to_owned(),
        _ if seconds < MINUTE => format!("{seconds}s"),
        _ if seconds < HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 365 * DAY => format!("{}d", seconds / DAY),
        _ => format!("{}y", seconds / DAY / 365),
    }
}

/// The time since a timestamp of an object, which may be absent.
pub fn age(timestamp: Option<&str>, now: Timestamp) -> String {
    match timestamp.and_then(|text| parse_time(text).ok()) {
        Some(time) => human_duration(now.duration_since(time)),
        None => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn human() {
        let cases = [
            (-2, "<invalid>", "<invalid>"),
            (-1, "0s", "0s"),
            (0, "0s", "0s"),
            (119, "119s", "1m"),
            (2 * MINUTE, "2m", "2m"),
            (3 * MINUTE + 1, "3m1s", "3m"),
            (10 * MINUTE + 30, "10m", "10m"),
            (3 * HOUR - 1, "179m", "2h"),
            (3 * HOUR, "3h", "3h"),
            (3 * HOUR + 30 * MINUTE, "3h30m", "3h"),
            (8 * HOUR + MINUTE, "8h", "8h"),
            (47 * HOUR + 59 * MINUTE, "47h", "1d"),
            (2 * DAY, "2d", "2d"),
            (2 * DAY + HOUR, "2d1h", "2d"),
            (8 * DAY + HOUR, "8d", "8d"),
            (365 * DAY, "365d", "1y"),
            (2 * 365 * DAY, "2y", "2y"),
            (2 * 365 * DAY + DAY, "2y1d", "2y"),
            (8 * 365 * DAY + DAY, "8y", "8y"),
        ];
        for (seconds, long, short) in cases {
            let duration = SignedDuration::from_secs(seconds);
            let got = (human_duration(duration), short_human_duration(duration));
            assert_eq!(got, (long.to_owned(), short.to_owned()), "{seconds}");
        }
    }

    #[test]
    fn ages() {
        let now = parse_time("2024-01-01T01:00:00Z").unwrap();
        assert_eq!(age(Some("2024-01-01T00:00:00Z"), now), "60m");
        assert_eq!(age(None, now), "<unknown>");
    }
}
