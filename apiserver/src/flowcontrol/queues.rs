//! The queues of one priority level: who is next, so that flows get the same however much they send
//! (`k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing`).
//!
//! Virtual time goes on at the rate at which each busy queue is served. A queue's `start` says when, in virtual time, its next request
//! would begin if all queues were served side by side; the request that would end first is next. A request that is not queued, because
//! nobody waits, is not in this account.
//!
//! Pure: time comes in, decisions go out. Whether seats are free is asked of the caller.

use std::collections::VecDeque;
use std::time::Duration;

use super::deal::deal;

/// How long a request takes, seconds, until it is known (upstream's guess).
const SERVICE: f64 = 0.003;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// None: nobody waits.
    pub queues: usize,
    pub hand: usize,
    pub length: usize,
}

#[derive(Debug)]
pub struct Queues<T> {
    shape: Shape,
    /// More than the shape says while a queue that should go is in use.
    queues: Vec<Queue<T>>,
    /// Seat-seconds that each busy queue has got.
    virtual_now: f64,
    synced: Duration,
    /// Where the search for the next begins: equal ones take turns.
    turn: usize,
    put: usize,
    waiting: usize,
    waiting_seats: u32,
}

#[derive(Debug)]
struct Queue<T> {
    waiting: VecDeque<Waiting<T>>,
    waiting_seats: u32,
    executing: usize,
    seats: u32,
    start: f64,
}

#[derive(Debug)]
struct Waiting<T> {
    number: usize,
    seats: u32,
    arrival: f64,
    item: T,
}

/// Where something waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    queue: usize,
    number: usize,
}

/// What begins now.
#[derive(Debug)]
pub struct Next<T> {
    pub item: T,
    pub seats: u32,
    /// To be told when it ends.
    pub queue: usize,
}

impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            shape: Shape::default(),
            queues: Vec::new(),
            virtual_now: 0.0,
            synced: Duration::ZERO,
            turn: 0,
            put: 0,
            waiting: 0,
            waiting_seats: 0,
        }
    }
}

impl<T> Queues<T> {
    pub fn configure(&mut self, shape: Shape) {
        self.shape = shape;
        while self.queues.len() < shape.queues {
            self.queues.push(Queue { waiting: VecDeque::new(), waiting_seats: 0, executing: 0, seats: 0, start: 0.0 });
        }
        self.shrink();
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub fn len(&self) -> usize {
        self.waiting
    }

    pub fn seats(&self) -> u32 {
        self.waiting_seats
    }

    /// Queues beyond the shape go when they are the last ones and nobody is in them: numbers stay.
    fn shrink(&mut self) {
        while self.queues.len() > self.shape.queues
            && self.queues.last().is_some_and(|queue| queue.waiting.is_empty() && queue.executing == 0)
        {
            self.queues.pop();
        }
    }

    /// Virtual time up to now, before something changes. Of `limit` seats of the level `in_use` are taken, also by requests that did
    /// not come from here: what these hold is no service of the queues.
    pub fn sync(&mut self, now: Duration, limit: u32, in_use: u32) {
        let passed = now.saturating_sub(self.synced);
        self.synced = now.max(self.synced);
        let busy = self.queues.iter().filter(|queue| !queue.waiting.is_empty() || queue.executing > 0);
        let (mut count, mut wanted, mut own) = (0_u32, 0_u32, 0_u32);
        for queue in busy {
            count += 1;
            own += queue.seats;
            wanted += queue.seats + queue.waiting_seats;
        }
        if count > 0 {
            let served = wanted.min(limit.saturating_sub(in_use.saturating_sub(own)));
            self.virtual_now += f64::from(served) / f64::from(count) * passed.as_secs_f64();
        }
    }

    /// Puts it into the queue of its flow's hand in which the least waits. `full`: no seat is free.
    ///
    /// # Errors
    /// Gives it back when that queue is full, or there is none.
    pub fn put(&mut self, flow: u64, seats: u32, full: bool, item: T) -> Result<Place, T> {
        let hand = deal(flow, self.shape.queues, self.shape.hand);
        let Some(size) = Some(hand.len()).filter(|size| *size > 0) else { return Err(item) };
        let from = self.put % size;
        let best = (0..size).map(|index| hand[(from + index) % size]);
        let Some(index) = best.min_by_key(|index| self.queues[*index].waiting_seats) else { return Err(item) };
        let queue = &mut self.queues[index];
        if full && queue.waiting.len() >= self.shape.length {
            return Err(item);
        }
        if queue.waiting.is_empty() && queue.executing == 0 {
            queue.start = self.virtual_now;
        }
        let number = self.put;
        self.put = self.put.wrapping_add(1);
        queue.waiting.push_back(Waiting { number, seats, arrival: self.virtual_now, item });
        queue.waiting_seats += seats;
        queue.bound();
        self.waiting += 1;
        self.waiting_seats += seats;
        Ok(Place { queue: index, number })
    }

    /// Who is next, if `take` gives it its seats. A wide request that does not fit lets nobody pass.
    pub fn next(&mut self, take: impl FnOnce(u32) -> bool) -> Option<Next<T>> {
        let count = self.queues.len();
        let mut best: Option<(f64, usize)> = None;
        for step in 1..=count {
            let index = (self.turn + step) % count;
            let queue = &self.queues[index];
            let Some(first) = queue.waiting.front() else { continue };
            let end = queue.start + f64::from(first.seats) * SERVICE;
            if best.is_none_or(|(earliest, _)| end < earliest) {
                best = Some((end, index));
            }
        }
        let (_, index) = best?;
        let queue = &mut self.queues[index];
        if !take(queue.waiting.front()?.seats) {
            return None;
        }
        let Waiting { seats, item, .. } = queue.take(0)?;
        queue.executing += 1;
        queue.seats += seats;
        queue.start += f64::from(seats) * SERVICE;
        queue.bound();
        self.turn = index;
        self.waiting -= 1;
        self.waiting_seats -= seats;
        Some(Next { item, seats, queue: index })
    }

    /// Who gave up waiting; `None` when it does not wait any more.
    pub fn remove(&mut self, place: Place) -> Option<T> {
        let queue = self.queues.get_mut(place.queue)?;
        let index = queue.waiting.iter().position(|waiting| waiting.number == place.number)?;
        let Waiting { seats, item, .. } = queue.take(index)?;
        queue.bound();
        self.waiting -= 1;
        self.waiting_seats -= seats;
        self.shrink();
        Some(item)
    }

    /// Something of this queue ended after this time.
    pub fn finish(&mut self, index: usize, seats: u32, took: Duration) {
        let Some(queue) = self.queues.get_mut(index) else { return };
        queue.executing -= 1;
        queue.seats -= seats;
        // The guess becomes what it was.
        queue.start += f64::from(seats) * (took.as_secs_f64() - SERVICE);
        queue.bound();
        self.shrink();
    }
}

impl<T> Queue<T> {
    fn take(&mut self, index: usize) -> Option<Waiting<T>> {
        let taken = self.waiting.remove(index)?;
        self.waiting_seats -= taken.seats;
        Some(taken)
    }

    /// Time that nobody asked for is not saved up.
    fn bound(&mut self) {
        if let Some(first) = self.waiting.front() {
            self.start = self.start.max(first.arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SHAPE: Shape = Shape { queues: 16, hand: 1, length: 10 };

    fn queues() -> Queues<(u64, usize)> {
        let mut queues = Queues::default();
        queues.configure(SHAPE);
        queues
    }

    #[test]
    fn a_full_queue_refuses_and_no_queue_too() {
        let mut queues = queues();
        for index in 0..10 {
            assert!(queues.put(3, 1, true, (3, index)).is_ok());
        }
        assert_eq!(queues.put(3, 1, true, (3, 10)), Err((3, 10)));
        assert!(queues.put(3, 1, false, (3, 10)).is_ok(), "it is not to wait");
        assert!(queues.put(4, 1, true, (4, 0)).is_ok());
        assert_eq!((queues.len(), queues.seats()), (12, 12));
        assert_eq!(Queues::default().put(0, 1, false, ()), Err(()));
    }

    #[test]
    fn a_flow_of_many_does_not_keep_one_of_few_waiting() {
        let mut queues = queues();
        for index in 0..10 {
            queues.put(1, 1, true, (1, index)).unwrap();
        }
        queues.put(2, 1, true, (2, 0)).unwrap();
        let order: Vec<u64> = (0..4).map(|_| queues.next(|_| true).unwrap().item.0).collect();
        assert!(order[..2].contains(&2), "{order:?}");
    }

    #[test]
    fn who_waited_for_others_than_queued_ones_gains_nothing() {
        let mut queues = queues();
        for index in 0..10 {
            queues.put(1, 1, true, (1, index)).unwrap();
        }
        // Nobody of a queue was served for a minute.
        queues.sync(Duration::from_secs(60), 5, 5);
        queues.put(2, 1, true, (2, 0)).unwrap();
        let order: Vec<u64> = (0..4).map(|_| queues.next(|_| true).unwrap().item.0).collect();
        assert!(order[..2].contains(&2), "{order:?}");
    }

    #[test]
    fn wide_requests_count_as_such() {
        let mut queues = queues();
        for index in 0..10 {
            queues.put(1, 5, true, (1, index)).unwrap();
            queues.put(2, 1, true, (2, index)).unwrap();
        }
        let first: Vec<u64> = (0..12).map(|_| queues.next(|_| true).unwrap().item.0).collect();
        assert_eq!(first.iter().filter(|flow| **flow == 2).count(), 10, "{first:?}");
        let place = queues.put(2, 1, true, (2, 11)).unwrap();
        assert!(queues.next(|_| false).is_none(), "no seat is free");
        assert_eq!(queues.remove(place), Some((2, 11)));
        assert_eq!(queues.remove(place), None);
    }

    #[test]
    fn queues_that_should_go_are_emptied_first() {
        let mut queues = queues();
        queues.put(15, 1, true, (15, 0)).unwrap();
        queues.configure(Shape { queues: 2, ..SHAPE });
        assert_eq!(queues.queues.len(), 16);
        let next = queues.next(|_| true).unwrap();
        queues.finish(next.queue, 1, Duration::from_millis(1));
        assert_eq!((next.item, queues.queues.len()), ((15, 0), 2));
    }

    /// One millisecond each: flows put what they want, what is done ends, seats are taken.
    fn served(wants: &[usize], seats: u32, limit: u32, millis: u64) -> BTreeMap<u64, u32> {
        let mut queues = queues();
        let mut running: Vec<(u64, usize, u64)> = Vec::new();
        let mut got = BTreeMap::new();
        for now in 0..millis {
            queues.sync(Duration::from_millis(now), limit, running.len() as u32 * seats);
            for (flow, count) in wants.iter().enumerate() {
                for index in 0..*count {
                    let full = running.len() as u32 * seats >= limit;
                    let _ = queues.put(flow as u64, seats, full, (flow as u64, index));
                }
            }
            let (done, rest) = running.into_iter().partition(|(_, _, ends)| *ends <= now);
            running = rest;
            let done: Vec<_> = done;
            done.iter().for_each(|(_, queue, _)| queues.finish(*queue, seats, Duration::from_millis(5)));
            while let Some(next) = queues.next(|seats| (running.len() as u32 + 1) * seats <= limit) {
                *got.entry(next.item.0).or_default() += next.seats;
                running.push((next.item.0, next.queue, now + 5));
            }
            assert!(running.len() as u32 * seats <= limit);
            assert!(
                queues.len() == 0 || (running.len() as u32 + 1) * seats > limit,
                "somebody waits beside a free seat"
            );
        }
        got
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn flows_that_want_much_get_the_same(wants in prop::collection::vec(2usize..12, 2..6), seats in 1u32..3) {
            let got = served(&wants, seats, 4, 500);
            let (least, most) = (got.values().min().unwrap(), got.values().max().unwrap());
            prop_assert_eq!(got.len(), wants.len());
            prop_assert!(most - least <= most / 10 + 4, "{got:?} of {wants:?}");
        }

        #[test]
        fn what_is_put_is_served_removed_or_waits(steps in prop::collection::vec((0u8..4, 0u64..20, 1u32..4), 1..200)) {
            let mut queues = queues();
            let (mut places, mut running, mut gone) = (Vec::new(), Vec::new(), Vec::new());
            for (number, (step, flow, seats)) in steps.into_iter().enumerate() {
                queues.sync(Duration::from_millis(number as u64), 4, 4);
                match step {
                    0 | 1 => places.extend(queues.put(flow, seats, true, (flow, number)).ok().map(|place| (number, place))),
                    2 => {
                        if let Some(next) = queues.next(|_| true) {
                            gone.push(next.item.1);
                            running.push(next);
                        }
                    }
                    _ if number % 2 == 0 => {
                        running.pop().into_iter().for_each(|next| queues.finish(next.queue, next.seats, Duration::ZERO));
                    }
                    _ => {
                        let removed = places.get(number % places.len().max(1)).and_then(|(_, place)| queues.remove(*place));
                        gone.extend(removed.map(|(_, number)| number));
                    }
                }
            }
            while let Some(next) = queues.next(|_| true) {
                gone.push(next.item.1);
            }
            gone.sort_unstable();
            prop_assert_eq!(gone, places.iter().map(|(number, _)| *number).collect::<Vec<_>>());
            prop_assert_eq!((queues.len(), queues.seats()), (0, 0));
        }
    }
}
