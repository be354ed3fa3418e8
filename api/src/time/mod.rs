//! Times and durations as the API writes them. No clock: `now` is an argument.
//!
//! `metav1.Time` has seconds, `metav1.MicroTime` has microseconds, both in UTC and RFC 3339; `metav1.Duration` is Go's
//! duration syntax.

mod duration;
mod human;
mod timestamp;

pub use duration::{DurationError, format_duration, parse_duration};
pub use human::{age, human_duration, short_human_duration};
pub use timestamp::{TimeError, format_micro_time, format_time, parse_micro_time, parse_time};
