//! Which of a CronJob's times is to be acted on now.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

use super::schedule::Schedule;

/// More missed times than this are worth a warning.
const MANY: i64 = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The last time that has come, of those that were not acted on.
    pub at: Option<Timestamp>,
    pub missed_many: bool,
    /// The next time after it, or after now.
    pub next: Option<Timestamp>,
}

/// The schedule never comes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Never;

/// Times before the starting deadline are given up.
pub(super) fn due(cron: &CronJob, schedule: &Schedule, now: Timestamp) -> Result<Due, Never> {
    let spec = cron.spec.as_ref();
    let acted = cron.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let created = cron.metadata.creation_timestamp.as_ref();
    let mut earliest = acted.or(created).map_or(now, |time| time.0);
    if let Some(deadline) = spec.and_then(|spec| spec.starting_deadline_seconds) {
        let limit = now.checked_sub(SignedDuration::from_secs(deadline)).unwrap_or(Timestamp::MIN);
        earliest = earliest.max(limit);
    }
    let first = schedule.next(earliest).ok_or(Never)?;
    if now < first {
        return Ok(Due { at: None, missed_many: false, next: Some(first) });
    }
    let second = schedule.next(first).ok_or(Never)?;
    if now < second {
        return Ok(Due { at: Some(first), missed_many: false, next: Some(second) });
    }
    // As if all were as far apart as the first two: not each of very many is visited.
    let apart = (second.as_second() - first.as_second()).max(1);
    let missed = (now.as_second() - first.as_second()) / apart + 1;
    let from = first.checked_add(SignedDuration::from_secs((missed - 2) * apart)).map_err(|_| Never)?;
    let mut at = None;
    let mut next = schedule.next(from);
    while let Some(time) = next.filter(|time| *time <= now) {
        at = Some(time);
        next = schedule.next(time);
    }
    Ok(Due { at, missed_many: missed > MANY, next: next.or_else(|| schedule.next(now)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::object;
    use jiff::tz::TimeZone;
    use serde_json::{Value, json};

    #[test]
    fn the_last_time_that_has_come_is_due() {
        let time = |text: &str| -> Timestamp { format!("2024-01-05T{text}:00Z").parse().expect("a time") };
        let table = [
            ("not yet", "0 * * * *", "10:10", None, "10:50", (None, "11:00", false)),
            ("just now", "0 * * * *", "10:10", None, "11:00", (Some("11:00"), "12:00", false)),
            ("several", "0 * * * *", "10:10", None, "13:30", (Some("13:00"), "14:00", false)),
            ("very many", "* * * * *", "10:10", None, "13:30", (Some("13:30"), "13:31", true)),
            ("irregular", "30 6-16/4 * * 1-5", "06:40", None, "15:00", (Some("14:30"), "", false)),
            ("too late", "0 * * * *", "10:10", Some(60), "11:30", (None, "12:00", false)),
        ];
        for (name, schedule, acted, deadline, now, (at, next, missed_many)) in table {
            let deadline = deadline.map_or(Value::Null, |seconds| json!(seconds));
            let cron = object(json!({"metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"},
                "spec": {"schedule": schedule, "startingDeadlineSeconds": deadline, "jobTemplate": {}},
                "status": {"lastScheduleTime": time(acted).to_string()}}));
            let schedule = Schedule::parse(schedule, TimeZone::UTC).expect("a schedule");
            let due = due(&cron, &schedule, time(now)).expect("it comes");
            assert_eq!((due.at, due.missed_many), (at.map(time), missed_many), "{name}");
            assert!(next.is_empty() || due.next == Some(time(next)), "{name}: {:?}", due.next);
        }
        let never = Schedule::parse("0 0 31 2 *", TimeZone::UTC).expect("a schedule");
        assert_eq!(due(&CronJob::default(), &never, time("10:00")), Err(Never));
    }
}
