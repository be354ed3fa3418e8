//! The scheduler without IO: what it is told, what it then decides, and what is to be done about it.
//!
//! A pod that is decided is *assumed* on its node: it counts there before the API server has heard of it, so that the next decision
//! does not wait for the binding. The informer confirms the assumption; a failed binding takes it back.
//!
//! Invariant: a pod counts on at most one node, and one that counts is not in the queue, except while its binding is on its way.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crate::framework::{Change, Profile};
use crate::metrics::Tried;
use crate::pod::{PodInfo, PodKey, PostedRefusal, Uid};
use crate::queue::{Lengths, Queue};
use crate::schedule::{Decision, schedule};
use crate::snapshot::{NodeInfo, Snapshot};

pub struct Core {
    profile: Profile,
    snapshot: Snapshot,
    queue: Queue,
    placed: HashMap<Uid, Placed>,
    /// Which pod a name means at the moment.
    names: HashMap<PodKey, Uid>,
}

/// Where a pod counts.
struct Placed {
    node: String,
    pod: Arc<PodInfo>,
    /// Until the informer says the same.
    assumed: bool,
}

/// What the driver is to do. Effects on one pod are to be carried out in order.
#[derive(Clone, Debug)]
pub enum Effect {
    Bind {
        pod: Arc<PodInfo>,
        node: String,
        /// What it took, if that is known.
        tried: Option<Tried>,
    },
    /// Tell why the pod waits: an event, and the condition if it does not say so already.
    Refuse { pod: Arc<PodInfo>, refusal: PostedRefusal, posted: bool },
}

impl Core {
    pub fn new(profile: Profile) -> Core {
        Core {
            profile,
            snapshot: Snapshot::default(),
            queue: Queue::default(),
            placed: HashMap::new(),
            names: HashMap::new(),
        }
    }

    pub fn pod_applied(&mut self, pod: Arc<PodInfo>, now: Instant) {
        let before = self.names.insert(pod.key.clone(), pod.uid.clone());
        if let Some(before) = before.filter(|before| *before != pod.uid) {
            self.forget(&before, now);
        }
        match &pod.node {
            _ if pod.terminal => {
                self.queue.remove(&pod.uid);
                self.unplace(&pod.uid, now);
            }
            Some(node) => {
                self.queue.remove(&pod.uid);
                self.place(node.clone(), pod.clone(), now);
            }
            // Older news than our own binding.
            None if self.placed.contains_key(&pod.uid) => {}
            None if pod.deleting => self.queue.remove(&pod.uid),
            None if pod.scheduler_name == self.profile.scheduler_name => self.queue.put(pod, now),
            None => {}
        }
    }

    pub fn pod_deleted(&mut self, key: &PodKey, uid: &str, now: Instant) {
        if self.names.get(key).is_some_and(|known| known == uid) {
            self.names.remove(key);
        }
        self.forget(uid, now);
    }

    pub fn node_applied(&mut self, node: NodeInfo, now: Instant) {
        let new = node.clone();
        match self.snapshot.set_node(node) {
            None => self.queue.changed(&self.profile, &Change::NodeAdded(&new), now),
            // Most updates are heartbeats.
            Some(old) if old == new => {}
            Some(old) => self.queue.changed(&self.profile, &Change::NodeUpdated { old: &old, new: &new }, now),
        }
    }

    pub fn node_deleted(&mut self, name: &str) {
        self.snapshot.remove_node(name);
    }

    /// The API server has taken the binding.
    pub fn bound(&mut self, uid: &str) {
        self.queue.remove(uid);
    }

    /// It has not: the pod is tried again, and what it was going to take is free.
    pub fn bind_failed(&mut self, uid: &str, now: Instant) {
        if self.placed.get(uid).is_some_and(|placed| placed.assumed) {
            self.queue.failed(uid, now);
            self.unplace(uid, now);
        }
    }

    /// Decides about the next pod that waits, if any. `tie` as in [`schedule`].
    pub fn step(&mut self, now: Instant, tie: u64) -> Option<Effect> {
        let pod = self.queue.pop(now)?;
        Some(match schedule(&pod, &self.snapshot, &self.profile, tie) {
            Decision::Bind(node) => {
                self.snapshot.add_pod(&node, pod.clone());
                let placed = Placed { node: node.clone(), pod: pod.clone(), assumed: true };
                self.placed.insert(pod.uid.clone(), placed);
                let tried = self.queue.tried(&pod.uid);
                Effect::Bind { pod, node, tried }
            }
            Decision::Unschedulable(diagnosis) => {
                let refusal = PostedRefusal { reason: "Unschedulable".to_owned(), message: diagnosis.message() };
                self.queue.refused(&pod.uid, diagnosis.plugins, now);
                let posted = pod.refusal.as_ref() == Some(&refusal);
                Effect::Refuse { pod, refusal, posted }
            }
        })
    }

    /// When [`step`](Self::step) is worth a call although nothing was told.
    pub fn wake_at(&self) -> Option<Instant> {
        self.queue.wake_at()
    }

    /// No pod can be decided about without news or time.
    pub fn is_idle(&self) -> bool {
        !self.queue.has_ready()
    }

    pub fn lengths(&self) -> Lengths {
        self.queue.lengths()
    }

    fn forget(&mut self, uid: &str, now: Instant) {
        self.queue.remove(uid);
        self.unplace(uid, now);
    }

    fn place(&mut self, node: String, pod: Arc<PodInfo>, now: Instant) {
        let before = self.placed.get(&pod.uid);
        if before.is_some_and(|before| before.node != node) {
            self.unplace(&pod.uid, now);
        }
        self.snapshot.add_pod(&node, pod.clone());
        let before = self.placed.insert(pod.uid.clone(), Placed { node, pod: pod.clone(), assumed: false });
        let less = |before: &PodInfo| {
            let wants = |name: &String| pod.requests.get(name).copied().unwrap_or(0);
            before.requests.iter().any(|(name, amount)| wants(name) < *amount)
        };
        if before.is_some_and(|before| less(&before.pod)) {
            self.queue.changed(&self.profile, &Change::PodShrunk(&pod), now);
        }
    }

    fn unplace(&mut self, uid: &str, now: Instant) {
        let Some(placed) = self.placed.remove(uid) else { return };
        self.snapshot.remove_pod(&placed.node, uid);
        self.queue.changed(&self.profile, &Change::PodRemoved(&placed.pod), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::default_profile;
    use crate::testing::{NodeMaker, PodMaker, node, pod};

    /// A core and a clock that stands still; time matters to the queue's own tests.
    struct World {
        core: Core,
        now: Instant,
    }

    impl World {
        fn new(nodes: &[NodeMaker]) -> World {
            let now = Instant::now();
            let mut core = Core::new(default_profile("default-scheduler"));
            for node in nodes {
                core.node_applied(node.info(), now);
            }
            World { core, now }
        }

        fn tell(&mut self, pod: PodMaker) {
            self.apply(pod);
        }

        fn apply(&mut self, pod: PodMaker) -> &mut Self {
            self.core.pod_applied(pod.arc(), self.now);
            self
        }

        fn delete(&mut self, name: &str) {
            let key = pod(name).info().key;
            self.core.pod_deleted(&key, name, self.now);
        }

        /// All that is decided without further news.
        fn run(&mut self) -> Vec<String> {
            let mut effects = Vec::new();
            while let Some(effect) = self.core.step(self.now, 7) {
                effects.push(match effect {
                    Effect::Bind { pod, node, .. } => format!("{} -> {node}", pod.key.name),
                    Effect::Refuse { pod, posted, .. } => format!("{} refused, posted: {posted}", pod.key.name),
                });
            }
            effects
        }
    }

    fn one_cpu(name: &str) -> PodMaker {
        pod(name).request("cpu", "1")
    }

    #[test]
    fn an_assumed_pod_takes_its_place_until_the_binding_fails() {
        let mut world = World::new(&[node("n").allocatable("cpu", "1")]);
        assert_eq!(world.apply(one_cpu("a")).apply(one_cpu("b")).run(), ["a -> n", "b refused, posted: false"]);
        world.core.bind_failed("a", world.now);
        assert_eq!(world.run(), ["b -> n"], "a waits out its error");
        world.core.bound("b");
        world.apply(one_cpu("b").on("n"));
        world.now += std::time::Duration::from_secs(2);
        assert_eq!(world.run(), ["a refused, posted: false"]);
    }

    #[test]
    fn old_news_do_not_undo_an_assumption() {
        let mut world = World::new(&[node("n").allocatable("cpu", "1")]);
        world.apply(one_cpu("a")).run();
        world.core.bound("a");
        assert!(world.apply(one_cpu("a").set(&["status", "phase"], "Pending".into())).run().is_empty());
        world.apply(one_cpu("a").on("n"));
        world.core.bind_failed("a", world.now);
        assert_eq!(world.apply(one_cpu("b")).run(), ["b refused, posted: false"], "a late failure does not either");
    }

    #[test]
    fn a_pod_that_ends_makes_room() {
        type Way = fn(&mut World);
        let ways: [(&str, Way); 4] = [
            ("deleted", |world| world.delete("a")),
            ("finished", |world| world.tell(one_cpu("a").on("n").set(&["status", "phase"], "Succeeded".into()))),
            ("replaced by one of its name", |world| {
                world.tell(pod("a").set(&["metadata", "uid"], "other".into()).on("elsewhere"));
            }),
            ("resized", |world| world.tell(pod("a").request("cpu", "0").on("n"))),
        ];
        for (name, way) in ways {
            let mut world = World::new(&[node("n").allocatable("cpu", "1")]);
            world.apply(one_cpu("a").on("n")).apply(one_cpu("b"));
            assert_eq!(world.run(), ["b refused, posted: false"], "{name}");
            way(&mut world);
            assert_eq!(world.run(), ["b -> n"], "{name}");
        }
    }

    #[test]
    fn a_heartbeat_wakes_nobody_and_a_new_node_does() {
        let mut world = World::new(&[]);
        assert_eq!(world.apply(pod("a")).run(), ["a refused, posted: false"]);
        world.core.node_applied(node("n").cordoned().info(), world.now);
        assert_eq!(world.run(), ["a refused, posted: false"]);
        world.core.node_applied(node("n").cordoned().info(), world.now);
        assert!(world.run().is_empty(), "a heartbeat");
        world.core.node_applied(node("n").info(), world.now);
        assert_eq!(world.run(), ["a -> n"]);
    }

    #[test]
    fn only_our_own_living_pods_are_scheduled() {
        let mut world = World::new(&[node("n")]);
        world.apply(pod("other").set(&["spec", "schedulerName"], "other".into()));
        world.apply(pod("dying").set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z".into()));
        world.apply(pod("failed").set(&["status", "phase"], "Failed".into()));
        assert!(world.run().is_empty());
    }

    #[test]
    fn a_condition_that_says_so_already_is_not_written_again() {
        let mut world = World::new(&[node("n").cordoned()]);
        let message = "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
        let condition = serde_json::json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
        world.apply(pod("told").set(&["status", "conditions"], condition));
        assert_eq!(world.run(), ["told refused, posted: true"]);
    }
}
