//! The world: all machines, and the loop that decides what happens next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::ApiServer;
use tokio_util::sync::CancellationToken;

use crate::action::Action;
use crate::bugs::Bug;
use crate::clock::{self, MILLISECOND, SECOND};
use crate::disk::{Disk, Handle, REQUEST};
use crate::machine::Machine;
use crate::node::{self, Site};
use crate::oracle::{Oracle, Running};
use crate::rng::Rng;
use crate::scenario::Scenario;
use crate::server::{self, Asked};
use crate::storm::{NAMESPACES, NODES, Storm, Weather};
use crate::trace::Trace;
use crate::user;
use crate::wire::{Arrived, Parcel, Wire};

const SERVER: &str = "apiserver";
const CONTROLLERS: &str = "controllers";
const SCHEDULER: &str = "scheduler";
const USER: &str = "user";

/// CPUs of a node: tight, so that it matters what the scheduler remembers.
const CPUS: u64 = 3;
/// In calm: a storm may want more than fits, and a rollout that keeps all of its pods then waits for good.
const CPUS_IN_CALM: u64 = 16;

/// Timers are looked at this often while messages are under way.
const BUSY_TICK: u64 = 25 * MILLISECOND;

pub struct World {
    wire: Wire,
    disk: Handle,
    machines: BTreeMap<String, Machine>,
    sites: BTreeMap<String, Site>,
    server: Option<ApiServer>,
    /// The randomness of API servers, which goes on when one is started again: uids are made of it.
    random: Arc<Mutex<Rng>>,
    rng: Rng,
    /// What ends or begins by itself.
    later: BTreeMap<(u64, u64), Later>,
    serial: u64,
    tick_at: u64,
    bug: Option<Bug>,
    /// History was forgotten, at least once.
    compacted: bool,
    pub trace: Trace,
    pub oracle: Oracle,
    pub steps: u64,
    pub messages: u64,
}

enum Later {
    Start(String),
    Flow,
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>, trace: Trace) -> World {
        let sites = (0..NODES).map(|number| Site { bug, ..Site::new(seed, number, CPUS) });
        let sites: BTreeMap<String, Site> = sites.map(|site| (site.name.clone(), site)).collect();
        let names = [SERVER, CONTROLLERS, SCHEDULER, USER].map(str::to_owned).into_iter().chain(sites.keys().cloned());
        let mut world = World {
            wire: Wire::new(seed),
            disk: Handle(Arc::new(Disk::new(seed))),
            machines: names.map(|name| (name, Machine::default())).collect(),
            sites,
            server: None,
            random: Arc::new(Mutex::new(Rng::new(seed, "uids"))),
            rng: Rng::new(seed, "world"),
            later: BTreeMap::new(),
            serial: 0,
            tick_at: 0,
            bug,
            compacted: false,
            trace,
            oracle: Oracle::default(),
            steps: 0,
            messages: 0,
        };
        let names: Vec<String> = world.machines.keys().cloned().collect();
        names.iter().for_each(|name| world.start(name));
        for name in NAMESPACES {
            world.perform(&Action::CreateNamespace { name: name.to_owned() });
        }
        world
    }

    fn start(&mut self, name: &str) {
        if self.machines.get(name).is_none_or(Machine::is_up) {
            return;
        }
        self.trace.line(|| format!("start {name}"));
        let (wire, site) = (self.wire.clone(), self.sites.get(name).cloned());
        if name == SERVER {
            let interval = Duration::from_secs(self.rng.between(20, 120));
            self.server = Some(server::make(&self.disk, &self.random, interval));
        }
        let server = self.server.clone().filter(|_| name == SERVER);
        let Some(machine) = self.machines.get_mut(name) else { return };
        let never = CancellationToken::new();
        let own = name.to_owned();
        match (server, site) {
            (Some(server), _) => machine.start(|| async move { server.run_background(never).await }),
            (_, Some(site)) => machine.start(|| node::run(site, wire.client(&own))),
            _ if name == CONTROLLERS => {
                let config = controllers::Config { root_ca: "the CA".to_owned(), ..controllers::Config::default() };
                machine.start(|| controllers::run(wire.client(&own), config, never));
            }
            _ if name == SCHEDULER => {
                machine.start(|| scheduler::run(wire.client(&own), scheduler::Config::default(), never));
            }
            _ => machine.start(std::future::pending),
        }
    }

    fn crash(&mut self, name: &str) {
        if let Some(machine) = self.machines.get_mut(name) {
            machine.crash();
        }
        match name {
            SERVER => {
                self.server = None;
                self.wire.server_crashed();
            }
            _ => self.wire.client_crashed(name),
        }
    }

    fn after(&mut self, millis: u64, what: Later) {
        self.serial += 1;
        self.later.insert((clock::now() + millis * MILLISECOND, self.serial), what);
    }

    /// Lets an action happen.
    pub fn perform(&mut self, action: &Action) {
        self.trace.line(|| action.to_string());
        if action.is_fault() {
            let until = clock::now() + blindness(action);
            self.oracle.rollout.blind_until = self.oracle.rollout.blind_until.max(until);
        }
        let until = |millis: &u64| clock::now() + millis * MILLISECOND;
        match action {
            Action::Crash { name, millis } => {
                self.crash(name);
                self.after(*millis, Later::Start(name.clone()));
            }
            Action::PowerLoss { node, millis } => {
                self.crash(node);
                self.hardware(node, |hardware| hardware.lose_everything());
                self.after(*millis, Later::Start(node.clone()));
            }
            Action::Partition { name, millis } => self.wire.partition(name, until(millis)),
            Action::Slow { name, by, millis } => self.wire.slow(name, by * MILLISECOND, until(millis)),
            Action::Cut { name, index } => {
                let watches = self.wire.watches(name);
                if let Some(watch) = watches.get(*index as usize % watches.len().max(1)) {
                    self.wire.cut(*watch);
                }
            }
            Action::Lossy { percent, millis } => self.wire.lossy(*percent, until(millis)),
            Action::Lag { millis } => {
                self.disk.0.let_flow(false);
                self.after(*millis, Later::Flow);
            }
            Action::Compact => self.compact(),
            Action::Jump { name, millis } => {
                if let Some(machine) = self.machines.get_mut(name) {
                    machine.skew += millis * MILLISECOND as i64;
                }
            }
            Action::Exit { node, index, code } => {
                let (index, code) = (*index as usize, *code as i32);
                self.hardware(node, |hardware| drop(hardware.exit(index, code)));
            }
            Action::Sluggish { node, millis } => {
                let until = until(millis);
                self.hardware(node, |hardware| hardware.slow_until = until);
            }
            wish => {
                let (wire, wish) = (self.wire.clone(), wish.clone());
                if let Some(machine) = self.machines.get_mut(USER) {
                    machine.spawn(async move { user::act(wire.client(USER), wish).await });
                }
            }
        }
        self.run_dirty();
    }

    fn hardware(&self, node: &str, change: impl FnOnce(&mut node::hardware::Hardware)) {
        if let Some(site) = self.sites.get(node) {
            change(&mut site.hardware.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// All history goes that the store may forget.
    fn compact(&mut self) {
        let disk = self.disk.clone();
        self.compacted = true;
        if let Some(machine) = self.machines.get_mut(SERVER) {
            machine.spawn(async move {
                use store::Store;
                if let Ok(newest) = disk.revision().await
                    && let Err(error) = disk.compact(newest).await
                {
                    tracing::debug!(%error, "not compacted");
                }
            });
        }
    }

    /// Delivers a message that is due, or lets time pass until something is.
    pub fn step(&mut self, end: u64) {
        self.steps += 1;
        if self.disk.0.step()
            && let Some(server) = self.machines.get_mut(SERVER)
        {
            server.dirty = server.is_up();
        }
        match self.wire.pop() {
            Some(arrived) => {
                self.messages += 1;
                self.arrive(arrived);
                self.run_dirty();
            }
            None => self.pass_time(end),
        }
    }

    /// Until the next thing is due, or `end`.
    fn pass_time(&mut self, end: u64) {
        if self.tick_at <= clock::now() {
            let quiet = self.wire.next_due().is_none_or(|due| due > clock::now() + BUSY_TICK);
            let tick = if quiet { self.rng.between(BUSY_TICK, SECOND / 2) } else { BUSY_TICK };
            self.tick_at = clock::now() + tick;
        }
        let due = self.wire.next_due().into_iter().chain(self.later.first_key_value().map(|((at, _), _)| *at));
        let next = due.chain([self.tick_at, end]).min().unwrap_or(end);
        clock::advance_to(next);
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= clock::now()) {
            match entry.remove() {
                Later::Start(name) => self.start(&name),
                Later::Flow => self.flow(),
            }
        }
        if next == self.tick_at {
            self.tick();
        }
        self.run_dirty();
    }

    fn flow(&mut self) {
        self.disk.0.let_flow(true);
        if let Some(server) = self.machines.get_mut(SERVER) {
            server.dirty = true;
        }
    }

    /// Timers of all machines are looked at, and containers end.
    fn tick(&mut self) {
        for machine in self.machines.values_mut() {
            machine.dirty = machine.is_up();
        }
        for site in self.sites.values() {
            site.hardware.lock().unwrap_or_else(PoisonError::into_inner).tick();
        }
    }

    fn run_dirty(&mut self) {
        for machine in self.machines.values_mut().filter(|machine| machine.dirty) {
            machine.turn();
        }
        for commit in self.disk.0.take_commits() {
            self.trace.line(|| {
                let what = if commit.after.is_some() { "put" } else { "delete" };
                let by = if commit.client.is_empty() { SERVER } else { &commit.client };
                format!("@{} {by} {what} {}", commit.revision, commit.key)
            });
            self.oracle.committed(&commit);
        }
        let running = self.running();
        self.oracle
            .check_running(&running, |node| self.sites.get(node).map_or(0, |site| site.facts.cpus as i64 * 1000));
    }

    /// What runs on all nodes.
    fn running(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for (node, site) in &self.sites {
            let hardware = site.hardware.lock().unwrap_or_else(PoisonError::into_inner);
            running.extend(hardware.containers.values().filter(|container| container.runs()).map(|container| {
                Running {
                    node: node.clone(),
                    pod: container.pod.clone(),
                    uid: container.uid.clone(),
                    name: container.name.clone(),
                    cpu: container.cpu,
                    started: container.started,
                }
            }));
        }
        running
    }

    fn arrive(&mut self, arrived: Arrived) {
        self.oracle.told(&arrived);
        let Arrived { connection, client, method, uri, parcel, .. } = arrived;
        match parcel {
            Parcel::Request => {
                self.trace.line(|| format!("{client} {method} {uri}"));
                self.oracle.request_arrived(connection);
                self.serve(connection, client, format!("{method} {uri}"));
            }
            parcel => {
                self.trace.line(|| match &parcel {
                    Parcel::Answer(status, _) => format!("{client} {} {method} {uri}", status.as_u16()),
                    Parcel::Frame(bytes) => format!("{client} frame {} {uri}", bytes.len()),
                    Parcel::End => format!("{client} end {uri}"),
                    _ => format!("{client} lost {uri}"),
                });
                self.wire.deliver(connection, parcel);
                if let Some(machine) = self.machines.get_mut(&*client) {
                    machine.dirty = machine.is_up();
                }
            }
        }
    }

    fn serve(&mut self, connection: u64, client: Arc<str>, what: String) {
        let request = self.wire.take_request(connection);
        let (Some(server), Some(request)) = (self.server.clone(), request) else {
            return self.wire.cut(connection);
        };
        let asked = Asked { request, bug: self.bug, compacted: self.compacted };
        let work = server::serve(server, self.wire.clone(), connection, client.clone(), asked);
        if let Some(machine) = self.machines.get_mut(SERVER)
            && let Some(task) = machine.spawn(REQUEST.scope((client, what), work))
        {
            self.wire.serve(connection, task);
        }
    }

    /// Everything that failed comes back, and users ask for nothing any more.
    fn calm_down(&mut self) {
        self.trace.line(|| "calm".to_owned());
        self.wire.heal();
        self.flow();
        self.later.clear();
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
            self.start(&node);
            for action in [Action::Cordon { node: node.clone(), on: false }, Action::Taint { node, on: false }] {
                self.perform(&action);
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
        for name in [CONTROLLERS, SCHEDULER] {
            self.crash(name);
            self.start(name);
        }
        let written = self.oracle.busy_at;
        self.settle(20 * SECOND, 20 * SECOND);
        if self.oracle.busy_at > written {
            self.oracle.violated("after calm every plan is empty", format!("{:?}", self.trace.last_commit()));
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

/// For how long a fault may keep news from the controllers.
fn blindness(action: &Action) -> u64 {
    let last = match action {
        Action::Crash { name, millis } if name == CONTROLLERS || name == SERVER => *millis,
        Action::Slow { name, by, millis } if name == CONTROLLERS => millis + by,
        Action::Partition { name, millis } if name == CONTROLLERS => *millis,
        Action::Lossy { millis, .. } | Action::Lag { millis } => *millis,
        Action::Cut { name, .. } | Action::Jump { name, .. } if name == CONTROLLERS => 0,
        _ => return 0,
    };
    last * MILLISECOND + 20 * SECOND
}

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
