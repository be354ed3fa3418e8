//! How long those wait who were refused: longer, the more are (`k8s.io/apiserver/pkg/util/flowcontrol/dropped_requests_tracker.go`).

use std::collections::VecDeque;

/// Seconds.
const LONGEST: u64 = 32;

/// Counts the refusals of one priority level. Times are whole seconds from any origin.
#[derive(Debug)]
pub struct Dropped {
    /// Seconds with refusals, the newest last, and how many there were.
    history: VecDeque<(u64, u64)>,
    retry_after: u64,
    raised: Option<u64>,
}

impl Default for Dropped {
    fn default() -> Self {
        Self { history: VecDeque::new(), retry_after: 1, raised: None }
    }
}

impl Dropped {
    /// Counts one; answers with the seconds after which to try again.
    pub fn record(&mut self, now: u64) -> u64 {
        match self.history.back_mut() {
            Some((second, count)) if *second == now => *count += 1,
            _ => {
                self.adjust(now);
                self.history.push_back((now, 1));
            }
        }
        self.retry_after
    }

    /// With the first refusal of a second.
    fn adjust(&mut self, now: u64) {
        self.history.retain(|(second, _)| now - second <= LONGEST);
        let recent = self.history.iter().filter(|(second, _)| now - second <= self.retry_after);
        let dropped: u64 = recent.map(|(_, count)| count).sum();
        let rested = self.raised.is_none_or(|raised| now - raised >= self.retry_after);
        if rested && dropped >= 3 * self.retry_after {
            self.retry_after = (2 * self.retry_after).min(LONGEST);
            self.raised = Some(now);
        } else if dropped < self.retry_after && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floods_wait_longer_and_longer_and_are_forgiven() {
        let mut dropped = Dropped::default();
        let mut flood = |second: u64, count: usize| (0..count).map(|_| dropped.record(second)).last();
        let table =
            [(10, 5, 1), (11, 5, 2), (12, 50, 2), (13, 50, 4), (14, 50, 4), (17, 50, 8), (40, 1, 7), (60, 1, 6)];
        for (second, count, expected) in table {
            assert_eq!(flood(second, count), Some(expected), "{second}");
        }
    }
}
