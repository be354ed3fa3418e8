//! What a clock shows at a timestamp, and the parts of durations.

use jiff::civil::DateTime;

use super::{Row, member};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::Value;

/// The rows of one part of a clock's time.
macro_rules! part {
    ($name:literal, $id:literal, $read:expr) => {{
        fn run<'v>(args: &mut [Value<'v>]) -> Result<Value<'v>, Error> {
            clock(args, $read)
        }
        [
            member($name, concat!("timestamp_to_", $id), "timestamp", "int", Rule::Unit, run),
            member($name, concat!("timestamp_to_", $id, "_with_tz"), "timestamp, string", "int", Rule::Unit, run),
        ]
    }};
}

const YEAR: [Row; 2] = part!("getFullYear", "year", |time| i64::from(time.year()));
const MONTH: [Row; 2] = part!("getMonth", "month", |time| i64::from(time.month()) - 1);
const DAY_OF_YEAR: [Row; 2] = part!("getDayOfYear", "day_of_year", |time| i64::from(time.day_of_year()) - 1);
const DAY_OF_MONTH: [Row; 2] = part!("getDayOfMonth", "day_of_month", |time| i64::from(time.day()) - 1);
const DATE: [Row; 2] = part!("getDate", "day_of_month_1_based", |time| i64::from(time.day()));
const DAY_OF_WEEK: [Row; 2] =
    part!("getDayOfWeek", "day_of_week", |time| i64::from(time.weekday().to_sunday_zero_offset()));
const HOURS: [Row; 2] = part!("getHours", "hours", |time| i64::from(time.hour()));
const MINUTES: [Row; 2] = part!("getMinutes", "minutes", |time| i64::from(time.minute()));
const SECONDS: [Row; 2] = part!("getSeconds", "seconds", |time| i64::from(time.second()));
const MILLISECONDS: [Row; 2] = part!("getMilliseconds", "milliseconds", |time| i64::from(time.millisecond()));

const DURATIONS: [Row; 4] = [
    member("getHours", "duration_to_hours", "duration", "int", Rule::Unit, |args| whole(args, 3_600_000_000_000)),
    member("getMinutes", "duration_to_minutes", "duration", "int", Rule::Unit, |args| whole(args, 60_000_000_000)),
    member("getSeconds", "duration_to_seconds", "duration", "int", Rule::Unit, |args| whole(args, 1_000_000_000)),
    member("getMilliseconds", "duration_to_milliseconds", "duration", "int", Rule::Unit, |args| whole(args, 1_000_000)),
];

pub(super) const TABLES: [&[Row]; 11] = [
    &YEAR,
    &MONTH,
    &DAY_OF_YEAR,
    &DAY_OF_MONTH,
    &DATE,
    &DAY_OF_WEEK,
    &HOURS,
    &MINUTES,
    &SECONDS,
    &MILLISECONDS,
    &DURATIONS,
];

fn clock<'v>(args: &[Value<'v>], read: fn(DateTime) -> i64) -> Result<Value<'v>, Error> {
    match args {
        [Value::Timestamp(time)] => Ok(Value::Int(read(time.civil(None)?))),
        [Value::Timestamp(time), Value::String(zone)] => Ok(Value::Int(read(time.civil(Some(zone))?))),
        _ => Err(Error::NO_OVERLOAD),
    }
}

/// How many units a duration has.
fn whole<'v>(args: &[Value<'v>], unit: i64) -> Result<Value<'v>, Error> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => Err(Error::NO_OVERLOAD),
    }
}
