//! The course of a run: storm, then calm.

use super::{CONTROLLERS, CPUS_IN_CALM, Later, SCHEDULER, SERVER, World};
use crate::action::Action;
use crate::clock::{self, SECOND};
use crate::scenario::Scenario;
use crate::storm::{Storm, Weather};

/// What was sent in the storm has arrived when so many milliseconds of calm have passed. Requests of different connections
/// overtake each other: before that, the last cordon of the storm may arrive after the uncordon of the calm, and a kubelet's last
/// word after the first of its next process.
const ARRIVAL: u64 = 200;

/// Storm, then calm; what was done, for a replay.
pub fn storm(world: &mut World, seed: u64, steps: u64, weather: Weather) -> Scenario {
    let mut storm = Storm::new(seed, weather);
    let mut done = Scenario { seed, steps, actions: Vec::new() };
    world.settle(2 * SECOND, 30 * SECOND);
    let start = world.steps;
    let mut next = clock::now();
    while world.steps - start < steps && world.oracle.violation.is_none() {
        if clock::now() >= next {
            next = clock::now() + storm.pause();
            let action = storm.action();
            world.perform(&action);
            done.actions.push((world.steps - start, action));
        }
        world.step(u64::MAX);
    }
    if world.oracle.violation.is_none() {
        world.check_calm();
    }
    done
}

/// What was done in a storm, again.
pub fn replay(world: &mut World, scenario: &Scenario) {
    let mut actions = scenario.actions.iter().peekable();
    world.settle(2 * SECOND, 30 * SECOND);
    let start = world.steps;
    while world.steps - start < scenario.steps && world.oracle.violation.is_none() {
        while let Some((_, action)) = actions.next_if(|(step, _)| *step <= world.steps - start) {
            world.perform(action);
        }
        world.step(u64::MAX);
    }
    if world.oracle.violation.is_none() {
        world.check_calm();
    }
}

impl World {
    /// Everything that failed comes back, and users ask for nothing any more.
    fn calm_down(&mut self) {
        self.trace.line(|| "calm".to_owned());
        self.wire.heal();
        self.flow();
        self.later.clear();
        self.armed.clear();
        self.frozen.clear();
        let names: Vec<String> = self.machines.keys().cloned().collect();
        names.iter().for_each(|name| self.start(name));
        let sites: Vec<String> = self.sites.keys().cloned().collect();
        for node in sites {
            self.hardware(&node, |hardware| hardware.slow_until = 0);
            // A kubelet whose node was deleted registers at its next start.
            self.crash(&node);
            if let Some(site) = self.sites.get_mut(&node) {
                site.facts.cpus = CPUS_IN_CALM;
            }
            self.after(ARRIVAL, Later::Start(node.clone()));
            for action in [Action::Cordon { node: node.clone(), on: false }, Action::Taint { node, on: false }] {
                self.after(ARRIVAL, Later::Do(action));
            }
        }
    }

    /// In calm everything becomes as it is wanted, and then nobody writes any more: not even components that have just
    /// started and look at everything anew.
    fn check_calm(&mut self) {
        self.calm_down();
        let end = clock::now() + 1500 * SECOND;
        loop {
            let quiet = self.settle(20 * SECOND, end.saturating_sub(clock::now()));
            let unsettled = self.oracle.unsettled(&self.running());
            match unsettled {
                None if quiet => break,
                _ if self.oracle.violation.is_some() => return,
                what if clock::now() >= end => {
                    let what = what.unwrap_or_else(|| "something is written again and again".to_owned());
                    return self.oracle.violated("after calm all is as wanted", what);
                }
                _ => {}
            }
        }
        for name in [SERVER, CONTROLLERS, SCHEDULER] {
            self.crash(name);
            self.start(name);
        }
        let written = self.oracle.busy_at;
        self.settle(20 * SECOND, 20 * SECOND);
        if self.oracle.busy_at > written {
            self.oracle.violated("after calm every plan is empty", self.oracle.busy_with.clone());
        }
        if let Some(what) = self.oracle.unsettled(&self.running()) {
            self.oracle.violated("what calm has settled stays so", what);
        }
    }

    /// Until nothing was written for `quiet`; false when that does not come within `patience`. In nanoseconds.
    fn settle(&mut self, quiet: u64, patience: u64) -> bool {
        let end = clock::now() + patience;
        let begun = clock::now();
        while clock::now() < end {
            self.step(end);
            if clock::now() >= self.oracle.busy_at.max(begun) + quiet || self.oracle.violation.is_some() {
                return true;
            }
        }
        false
    }
}
