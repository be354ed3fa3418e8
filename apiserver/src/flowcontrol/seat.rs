//! What a request holds while it is served.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Headers;
use super::level::Flow;
use crate::body::{self, Body};

/// What is sent may hold its seats for so long (upstream ends a request after it): a client that does not read keeps nobody out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Seats of a level, given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    pub flow: Arc<Flow>,
    seats: u32,
    /// The queue that it came from, and when.
    queued: Option<(usize, Instant)>,
}

impl Seat {
    pub(super) fn new(flow: Arc<Flow>, seats: u32, queue: Option<usize>) -> Self {
        Self { flow, seats, queued: queue.map(|queue| (queue, Instant::now())) }
    }

    pub fn headers(&self) -> Headers {
        self.flow.headers.clone()
    }

    /// The seats are somebody else's business.
    pub(super) fn forget(mut self) {
        self.seats = 0;
    }

    /// For what goes on after the request was answered.
    pub fn lend(self) -> Lent {
        let flow = self.flow.clone();
        let held = Arc::new(Held(Mutex::new(Some(self))));
        flow.level.lend_until(Instant::now() + PATIENCE, &held);
        Lent(held)
    }

    /// The body, which holds the seats until it was sent or dropped.
    pub fn hold(self, body: Body) -> Body {
        body::keep(body, self.lend())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.seats > 0 {
            self.flow.level.leave(self.seats, self.queued.map(|(queue, since)| (queue, since.elapsed())));
        }
    }
}

/// A seat that is taken back when it is overdue.
#[derive(Debug)]
pub struct Held(Mutex<Option<Seat>>);

impl Held {
    pub(super) fn release(&self) {
        let seat = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(seat);
    }
}

/// Gives it back when it is dropped, if that was not done before.
#[derive(Debug)]
pub struct Lent(Arc<Held>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.release();
    }
}
