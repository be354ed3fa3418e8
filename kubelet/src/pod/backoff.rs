//! Waiting times between attempts (client-go's flowcontrol.Backoff as the kubelet uses it).

use std::time::Duration;

use jiff::Timestamp;

pub const INITIAL: Duration = Duration::from_secs(10);
pub const LONGEST: Duration = Duration::from_secs(300);
/// A container that ran this long after its last restart starts over at the initial delay.
pub const RESET_AFTER: Duration = Duration::from_secs(600);

/// `now + seconds`, without overflow for the absurd values that the API allows.
pub fn after(now: Timestamp, seconds: i64) -> Timestamp {
    now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now)
}

pub fn later(now: Timestamp, delay: Duration) -> Timestamp {
    after(now, 0).checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// Restart delays of one container: the first restart is immediate, then 10 s doubling to 300 s.
#[derive(Clone, Debug, Default)]
pub struct CrashBackoff {
    entry: Option<(Duration, Timestamp)>,
}

impl CrashBackoff {
    /// When a container that ended at `finished` may start again.
    pub fn restart_at(&mut self, finished: Timestamp) -> Timestamp {
        match self.entry {
            Some((_, updated)) if later(updated, RESET_AFTER) < finished => {
                self.entry = None;
                finished
            }
            Some((delay, _)) => later(finished, delay),
            None => finished,
        }
    }

    /// Called when it does start again.
    pub fn restarted(&mut self, now: Timestamp) {
        let delay = self.entry.map_or(INITIAL, |(delay, _)| (delay * 2).min(LONGEST));
        self.entry = Some((delay, now));
    }

    pub fn delay(&self) -> Duration {
        self.entry.map_or(INITIAL, |(delay, _)| delay)
    }
}

/// Delays of a step that is tried until it works; success resets it.
#[derive(Clone, Debug)]
pub struct RetryBackoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl RetryBackoff {
    pub fn new(first: Duration, longest: Duration) -> RetryBackoff {
        RetryBackoff { first, longest, next: first }
    }

    pub fn fail(&mut self) -> Duration {
        let delay = self.next;
        self.next = (self.next * 2).min(self.longest);
        delay
    }

    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of a container: (it ran for, seconds until its restart).
    #[test]
    fn crash_delays_double_and_reset() {
        let table: &[(&str, &[(i64, i64)])] = &[
            ("first restart is immediate", &[(1, 0)]),
            ("doubles", &[(1, 0), (1, 10), (1, 20), (1, 40), (1, 80), (1, 160), (1, 300), (1, 300)]),
            ("ten minutes of running reset it", &[(1, 0), (1, 10), (601, 0), (1, 10)]),
            ("just under ten minutes do not", &[(1, 0), (1, 10), (599, 20)]),
        ];
        for (name, runs) in table {
            let mut backoff = CrashBackoff::default();
            let mut now = Timestamp::UNIX_EPOCH;
            for (index, (ran, expected)) in runs.iter().enumerate() {
                now = after(now, *ran);
                let at = backoff.restart_at(now);
                assert_eq!(at, after(now, *expected), "{name}: run {index}");
                now = at;
                backoff.restarted(now);
            }
        }
    }

    #[test]
    fn absurd_grace_periods_do_not_overflow() {
        assert!(after(Timestamp::UNIX_EPOCH, i64::MAX) > Timestamp::UNIX_EPOCH);
    }
}
