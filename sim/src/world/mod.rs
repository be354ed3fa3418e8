//! The world: all machines, and what is done to them. [`steps`] is the loop that decides what happens next, [`course`] a whole run.

mod course;
mod steps;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apiserver::ApiServer;
use tokio_util::sync::CancellationToken;

use crate::action::Action;
use crate::bugs::Bug;
use crate::clock::{self, MILLISECOND, SECOND};
use crate::disk::{Disk, Handle};
use crate::machine::Machine;
use crate::node::{self, Site};
use crate::oracle::Oracle;
use crate::rng::Rng;
use crate::server;
use crate::storm::{NAMESPACES, NODES};
use crate::trace::Trace;
use crate::user;
use crate::wire::Wire;

pub use course::{replay, storm};

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
    /// Who crashes after how many more writes, and for how many milliseconds.
    armed: BTreeMap<String, (u64, u64)>,
    /// Who gets no turn until when.
    frozen: BTreeMap<String, u64>,
    pub trace: Trace,
    pub oracle: Oracle,
    pub steps: u64,
    pub messages: u64,
}

enum Later {
    Start(String),
    Flow,
    Do(Action),
}

impl World {
    pub fn new(seed: u64, bug: Option<Bug>, trace: Trace) -> World {
        let sites = (0..NODES).map(|number| Site { bug, ..Site::new(seed, number, CPUS) });
        let sites: BTreeMap<String, Site> = sites.map(|site| (site.name.clone(), site)).collect();
        let names = [SERVER, CONTROLLERS, SCHEDULER, USER].map(str::to_owned).into_iter().chain(sites.keys().cloned());
        let mut world = World {
            wire: Wire::new(seed),
            disk: Handle(Arc::new(Disk::new(seed, bug))),
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
            armed: BTreeMap::new(),
            frozen: BTreeMap::new(),
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
        self.frozen.remove(name);
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
            Action::CrashAfter { name, writes, millis } => {
                self.armed.insert(name.clone(), (*writes, *millis));
            }
            Action::PowerLoss { node, millis } => {
                self.crash(node);
                self.hardware(node, |hardware| hardware.lose_everything());
                self.after(*millis, Later::Start(node.clone()));
            }
            Action::Partition { name, millis } => self.wire.partition(name, until(millis)),
            Action::Freeze { name, millis } => drop(self.frozen.insert(name.clone(), until(millis))),
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
}

/// For how long a fault may keep news from the controllers.
fn blindness(action: &Action) -> u64 {
    let last = match action {
        Action::Crash { name, millis } if name == CONTROLLERS || name == SERVER => *millis,
        Action::Slow { name, by, millis } if name == CONTROLLERS => millis + by,
        Action::Freeze { name, millis } if name == CONTROLLERS || name == SERVER => *millis,
        Action::Partition { name, millis } if name == CONTROLLERS => *millis,
        Action::Lossy { millis, .. } | Action::Lag { millis } => *millis,
        Action::Cut { name, .. } | Action::Jump { name, .. } if name == CONTROLLERS => 0,
        _ => return 0,
    };
    last * MILLISECOND + 20 * SECOND
}
