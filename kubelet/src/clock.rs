//! The time of the driver: wall time at its start plus what a steady clock has counted since, so that it never runs
//! backwards under the machines.

use std::time::{Duration, Instant};

use jiff::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Clock {
    wall: Timestamp,
    steady: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { wall: Timestamp::now(), steady: Instant::now() }
    }

    pub fn now(&self) -> Timestamp {
        self.wall.checked_add(self.steady.elapsed()).unwrap_or(Timestamp::MAX)
    }

    /// How long until `at`; zero when it has passed.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.now())).unwrap_or(Duration::ZERO)
    }
}
