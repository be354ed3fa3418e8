//! When this process first saw something: for time limits that the API has no time stamp for, and by the own clock, for the
//! clocks of nodes differ.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// What is seen may change, and then counts as new.
#[derive(Debug)]
pub struct FirstSeen<V> {
    seen: Mutex<HashMap<String, (V, Timestamp)>>,
}

impl<V> Default for FirstSeen<V> {
    fn default() -> Self {
        Self { seen: Mutex::default() }
    }
}

impl<V: PartialEq> FirstSeen<V> {
    /// Since when `value` has been seen at `id`.
    pub fn since(&self, id: &str, value: V, now: Timestamp) -> Timestamp {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(id) {
            Some((known, since)) if *known == value => *since,
            _ => {
                seen.insert(id.to_owned(), (value, now));
                now
            }
        }
    }

    pub fn forget(&self, id: &str) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::ago;

    #[test]
    fn a_change_counts_as_new() {
        let seen = FirstSeen::default();
        assert_eq!(seen.since("a", 1, ago(10)), ago(10));
        assert_eq!(seen.since("a", 1, ago(5)), ago(10));
        assert_eq!(seen.since("a", 2, ago(5)), ago(5));
        seen.forget("a");
        assert_eq!(seen.since("a", 2, ago(1)), ago(1));
    }
}
