//! Pods that wait for a node.
//!
//! ```text
//!            add ──▶ active ──pop──▶ in flight ──remove──▶ (assigned)
//!                    ▲    ▲              │
//!   gates gone ──────┤    └── backoff ◀──┤ failed: an error, try again later
//!   gated            └── changed ◀── unschedulable ◀── refused
//! ```
//!
//! Active pods are taken by priority, then by age. A refused pod waits for a change that could help one of the plugins that
//! refused it, and at the longest five minutes. The time between tries of one pod grows from one second to ten; that of a refused
//! pod is cut short when there is nothing else to do.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::framework::{Change, Profile};
use crate::metrics::Tried;
use crate::pod::{PodInfo, Uid};

/// Upstream's defaults: podInitialBackoffSeconds, podMaxBackoffSeconds.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);
/// A net below [`crate::framework::Plugin::helped_by`]: upstream's podMaxInUnschedulablePodsDuration.
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);

#[derive(Default)]
pub struct Queue {
    entries: HashMap<Uid, Entry>,
    active: BTreeSet<(Reverse<i32>, Instant, u64, Uid)>,
    /// By the end of the wait. Refused pods and those that met an error apart: only the former may be taken early.
    backoff: BTreeSet<(Instant, Uid)>,
    errors: BTreeSet<(Instant, Uid)>,
    /// By the time of the refusal.
    unschedulable: BTreeSet<(Instant, Uid)>,
    gated: usize,
    sequence: u64,
}

struct Entry {
    pod: Arc<PodInfo>,
    place: Place,
    /// Since when it waits, and its number among all that came.
    since: Instant,
    sequence: u64,
    /// When it was active for the first time, and how often it was popped.
    first: Option<Instant>,
    attempts: u32,
    refusals: u32,
    errors: u32,
    /// Which plugins refused it last.
    plugins: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Gated,
    Active,
    Backoff(Instant),
    Error(Instant),
    Unschedulable,
    InFlight,
}

/// How many pods are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

impl Queue {
    /// Takes in a new pod, or the new state of one: if what it wishes has changed, it is tried again.
    pub fn put(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let uid = pod.uid.clone();
        let Some(entry) = self.entries.get_mut(&uid) else {
            self.sequence += 1;
            let (since, sequence) = (now, self.sequence);
            let (first, plugins) = (None, Vec::new());
            let entry = Entry {
                pod,
                place: Place::Gated,
                since,
                sequence,
                first,
                attempts: 0,
                refusals: 0,
                errors: 0,
                plugins,
            };
            self.entries.insert(uid.clone(), entry);
            self.activate(&uid, now);
            return;
        };
        let same = entry.pod.same_wishes(&pod);
        let place = entry.place;
        if same {
            entry.pod = pod;
            return;
        }
        self.leave(&uid);
        if let Some(entry) = self.entries.get_mut(&uid) {
            entry.pod = pod;
        }
        match place {
            // Its fate is being decided; a failure brings it back.
            Place::InFlight => self.place(&uid, place),
            Place::Backoff(_) | Place::Error(_) => self.place(&uid, place),
            Place::Gated | Place::Active | Place::Unschedulable => self.retry(&uid, now),
        }
    }

    /// It is assigned, or gone.
    pub fn remove(&mut self, uid: &str) {
        self.leave(uid);
        self.entries.remove(uid);
    }

    /// The pod to decide about next. It is in flight until it is removed, refused or has failed.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<PodInfo>> {
        self.expire(now);
        let next = self.active.first().map(|(_, _, _, uid)| uid);
        // Waiting out a backoff helps nobody while there is nothing else to do.
        let uid = next.or_else(|| self.backoff.first().map(|(_, uid)| uid))?.clone();
        self.leave(&uid);
        self.place(&uid, Place::InFlight);
        let entry = self.entries.get_mut(&uid)?;
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// What it took so far to decide about a pod that was popped.
    pub fn tried(&self, uid: &str) -> Option<Tried> {
        let entry = self.entries.get(uid)?;
        Some(Tried { first: entry.first?, attempts: entry.attempts })
    }

    /// No node fits. Without plugins nothing but a new node helps, or whatever else happens.
    pub fn refused(&mut self, uid: &str, plugins: Vec<&'static str>, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.plugins = plugins;
        entry.refusals += 1;
        entry.errors = 0;
        entry.since = now;
        self.place(uid, Place::Unschedulable);
    }

    /// Something went wrong that has nothing to do with nodes.
    pub fn failed(&mut self, uid: &str, now: Instant) {
        self.leave(uid);
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.errors += 1;
        entry.since = now;
        let until = now + backoff(entry.errors);
        self.place(uid, Place::Error(until));
    }

    /// Wakes the refused pods that this change could help.
    pub fn changed(&mut self, profile: &Profile, change: &Change<'_>, now: Instant) {
        let helped = |entry: &Entry| {
            entry.plugins.is_empty()
                || entry.plugins.iter().filter_map(|name| profile.plugin(name)).any(|p| p.helped_by(&entry.pod, change))
        };
        let waiting = self.unschedulable.iter().filter_map(|(_, uid)| Some((uid, self.entries.get(uid)?)));
        let woken: Vec<Uid> = waiting.filter(|(_, entry)| helped(entry)).map(|(uid, _)| uid.clone()).collect();
        for uid in woken {
            self.leave(&uid);
            self.retry(&uid, now);
        }
    }

    /// A pod could be popped without waiting.
    pub fn has_ready(&self) -> bool {
        !self.active.is_empty() || !self.backoff.is_empty()
    }

    /// When to ask again although nothing has happened.
    pub fn wake_at(&self) -> Option<Instant> {
        let error = self.errors.first().map(|(until, _)| *until);
        let waiting = self.unschedulable.first().map(|(since, _)| *since + LONGEST_WAIT);
        error.into_iter().chain(waiting).min()
    }

    pub fn lengths(&self) -> Lengths {
        Lengths {
            active: self.active.len(),
            backoff: self.backoff.len() + self.errors.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated,
        }
    }

    fn expire(&mut self, now: Instant) {
        let expired = |set: &BTreeSet<(Instant, Uid)>, limit: Duration| -> Vec<Uid> {
            set.iter().take_while(|(at, _)| *at + limit <= now).map(|(_, uid)| uid.clone()).collect()
        };
        let mut due = expired(&self.backoff, Duration::ZERO);
        due.extend(expired(&self.errors, Duration::ZERO));
        due.extend(expired(&self.unschedulable, LONGEST_WAIT));
        for uid in due {
            self.leave(&uid);
            self.activate(&uid, now);
        }
    }

    /// To the active pods, after the rest of its backoff.
    fn retry(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get(uid) else { return };
        let until = entry.since + backoff(entry.refusals);
        if entry.pod.gates.is_empty() && now < until {
            self.place(uid, Place::Backoff(until));
        } else {
            self.activate(uid, now);
        }
    }

    fn activate(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        let gated = !entry.pod.gates.is_empty();
        if !gated {
            entry.first.get_or_insert(now);
        }
        self.place(uid, if gated { Place::Gated } else { Place::Active });
    }

    fn place(&mut self, uid: &str, place: Place) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.place = place;
        let uid = uid.to_owned();
        match place {
            Place::InFlight => {}
            Place::Gated => self.gated += 1,
            Place::Active => {
                self.active.insert((Reverse(entry.pod.priority), entry.since, entry.sequence, uid));
            }
            Place::Backoff(until) => {
                self.backoff.insert((until, uid));
            }
            Place::Error(until) => {
                self.errors.insert((until, uid));
            }
            Place::Unschedulable => {
                self.unschedulable.insert((entry.since, uid));
            }
        }
    }

    /// Out of the set that its place says.
    fn leave(&mut self, uid: &str) {
        let Some(entry) = self.entries.get(uid) else { return };
        let uid = uid.to_owned();
        match entry.place {
            Place::InFlight => {}
            Place::Gated => self.gated -= 1,
            Place::Active => {
                self.active.remove(&(Reverse(entry.pod.priority), entry.since, entry.sequence, uid));
            }
            Place::Backoff(until) => {
                self.backoff.remove(&(until, uid));
            }
            Place::Error(until) => {
                self.errors.remove(&(until, uid));
            }
            Place::Unschedulable => {
                self.unschedulable.remove(&(entry.since, uid));
            }
        }
    }
}

fn backoff(tries: u32) -> Duration {
    match tries {
        0 => Duration::ZERO,
        tries => LONGEST_BACKOFF.min(FIRST_BACKOFF * 2u32.saturating_pow(tries - 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::default_profile;
    use crate::testing::{PodMaker, node, pod};

    struct World {
        queue: Queue,
        start: Instant,
    }

    impl World {
        fn new() -> World {
            World { queue: Queue::default(), start: Instant::now() }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn put(&mut self, seconds: u64, pod: PodMaker) {
            let now = self.at(seconds);
            self.queue.put(pod.arc(), now);
        }

        fn pop(&mut self, seconds: u64) -> String {
            let now = self.at(seconds);
            self.queue.pop(now).map(|pod| pod.key.name.clone()).unwrap_or_default()
        }

        fn refused(&mut self, seconds: u64, uid: &str, plugin: &'static str) {
            let now = self.at(seconds);
            self.queue.refused(uid, vec![plugin], now);
        }

        fn changed(&mut self, seconds: u64, change: Change<'_>) -> Lengths {
            let now = self.at(seconds);
            self.queue.changed(&default_profile("default-scheduler"), &change, now);
            self.queue.lengths()
        }
    }

    #[test]
    fn priority_goes_first_then_age() {
        let mut world = World::new();
        world.put(0, pod("old"));
        world.put(1, pod("new"));
        world.put(2, pod("high").priority(10));
        world.put(2, pod("low").priority(-1));
        let order = [world.pop(3), world.pop(3), world.pop(3), world.pop(3), world.pop(3)];
        assert_eq!(order, ["high", "old", "new", "low", ""]);
    }

    #[test]
    fn a_refused_pod_wakes_for_what_helps() {
        let big = node("big").allocatable("cpu", "8").info();
        let small = node("small").allocatable("cpu", "1").info();
        let other = pod("other").on("small").info();
        let cases: [(&str, &'static str, Change<'_>, bool); 7] = [
            ("a node that has it", "NodeResourcesFit", Change::NodeAdded(&big), true),
            ("a node that has it not", "NodeResourcesFit", Change::NodeAdded(&small), false),
            ("a node that grew", "NodeResourcesFit", Change::NodeUpdated { old: &small, new: &big }, true),
            ("a node that stayed", "NodeResourcesFit", Change::NodeUpdated { old: &big, new: &big }, false),
            ("a pod that went", "NodeResourcesFit", Change::PodRemoved(&other), true),
            ("a pod without ports that went", "NodePorts", Change::PodRemoved(&other), false),
            ("a pod that went, for a taint", "TaintToleration", Change::PodRemoved(&other), false),
        ];
        for (name, plugin, change, wakes) in cases {
            let mut world = World::new();
            world.put(0, pod("p").request("cpu", "2"));
            assert_eq!(world.pop(0), "p");
            world.refused(0, "p", plugin);
            assert_eq!(world.pop(1), "", "it waits");
            let lengths = world.changed(60, change);
            assert_eq!((lengths.active, lengths.unschedulable), if wakes { (1, 0) } else { (0, 1) }, "{name}");
        }
    }

    #[test]
    fn waits_grow_from_one_second_to_ten() {
        let node = node("n").info();
        let mut world = World::new();
        world.put(0, pod("p"));
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(world.pop(1000), "p");
            world.refused(1000, "p", "NodeName");
            let uid = "p".to_owned();
            world.queue.entries.get_mut(&uid).unwrap().plugins.clear();
            assert_eq!(world.changed(1000, Change::NodeAdded(&node)).backoff, 1);
            let (until, _) = world.queue.backoff.first().unwrap();
            assert_eq!((*until - world.start).as_secs(), 1000 + wait);
        }
        // With others to do it waits its time out, alone it does not.
        world.put(1001, pod("q"));
        assert_eq!([world.pop(1001), world.pop(1001), world.pop(1001)], ["q", "p", ""]);
    }

    #[test]
    fn an_error_is_waited_out() {
        let mut world = World::new();
        world.put(0, pod("p"));
        assert_eq!(world.pop(0), "p");
        let now = world.at(0);
        world.queue.failed("p", now);
        assert_eq!(world.queue.wake_at(), Some(world.at(1)));
        assert_eq!([world.pop(0), world.pop(1)], ["", "p"]);
    }

    #[test]
    fn nothing_waits_longer_than_five_minutes() {
        let mut world = World::new();
        world.put(0, pod("p"));
        assert_eq!(world.pop(0), "p");
        world.refused(0, "p", "NodeName");
        assert_eq!(world.queue.wake_at(), Some(world.at(300)));
        assert_eq!([world.pop(299), world.pop(300)], ["", "p"]);
    }

    #[test]
    fn gates_hold_a_pod_back() {
        let gated = |gates| pod("p").set(&["spec", "schedulingGates"], gates);
        let mut world = World::new();
        world.put(0, gated(serde_json::json!([{"name": "a"}, {"name": "b"}])));
        assert_eq!(world.pop(0), "");
        world.put(1, gated(serde_json::json!([{"name": "b"}])));
        assert_eq!(world.pop(1), "");
        assert_eq!(world.queue.lengths().gated, 1);
        world.put(2, gated(serde_json::json!([])));
        assert_eq!(world.pop(2), "p");
    }

    #[test]
    fn new_wishes_are_a_new_chance_a_new_status_is_not() {
        let mut world = World::new();
        world.put(0, pod("p"));
        assert_eq!(world.pop(0), "p");
        world.refused(0, "p", "TaintToleration");
        world.put(10, pod("p").set(&["status", "phase"], "Pending".into()));
        assert_eq!(world.pop(10), "");
        world.put(10, pod("p").tolerate("", "Exists", "", ""));
        assert_eq!(world.pop(10), "p");
        world.put(11, pod("p"));
        assert_eq!(world.pop(11), "", "in flight");
        let gone = "p";
        world.queue.remove(gone);
        world.refused(12, gone, "TaintToleration");
        assert_eq!(world.queue.lengths(), Lengths::default());
    }
}
