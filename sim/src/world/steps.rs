//! One step of the world, and what follows from it.

use std::sync::{Arc, PoisonError};

use super::{BUSY_TICK, Later, SERVER, World};
use crate::action::Action;
use crate::clock::{self, SECOND};
use crate::disk::REQUEST;
use crate::node::Site;
use crate::oracle::Running;
use crate::server::{self, Asked};
use crate::wire::{Arrived, Parcel};

impl World {
    /// Delivers a message that is due, or lets time pass until something is.
    pub fn step(&mut self, end: u64) {
        self.steps += 1;
        self.crash_armed();
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
                Later::Do(action) => self.perform(&action),
            }
        }
        if next == self.tick_at {
            self.tick();
        }
        self.run_dirty();
    }

    pub(super) fn flow(&mut self) {
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

    pub(super) fn run_dirty(&mut self) {
        let frozen = |name: &str| self.frozen.get(name).is_some_and(|until| *until > clock::now());
        for (_, machine) in self.machines.iter_mut().filter(|(name, machine)| machine.dirty && !frozen(name)) {
            machine.turn();
        }
        let commits = self.disk.0.take_commits();
        for commit in &commits {
            let by = if commit.client.is_empty() { SERVER } else { &commit.client };
            self.trace.line(|| {
                let what = if commit.after.is_some() { "put" } else { "delete" };
                format!("@{} {by} {what} {}", commit.revision, commit.key)
            });
            // All writes are the server's, whoever asked for them.
            for (_, (writes, _)) in self.armed.iter_mut().filter(|(name, _)| *name == by || *name == SERVER) {
                *writes = writes.saturating_sub(1);
            }
            self.oracle.committed(commit);
        }
        if self.hardware_changed() || !commits.is_empty() {
            let running = self.running();
            let capacity = |node: &str| self.sites.get(node).map_or(0, |site| site.facts.cpus as i64 * 1000);
            self.oracle.check_running(&running, capacity);
        }
    }

    fn hardware_changed(&self) -> bool {
        let changed = |site: &Site| site.hardware.lock().unwrap_or_else(PoisonError::into_inner).take_changed();
        // Each is to be asked.
        self.sites.values().filter(|site| changed(site)).count() > 0
    }

    /// What runs on all nodes.
    pub(super) fn running(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for (node, site) in &self.sites {
            let hardware = site.hardware.lock().unwrap_or_else(PoisonError::into_inner);
            running.extend(hardware.running().map(|container| Running {
                node: node.clone(),
                pod: container.pod.clone(),
                uid: container.uid.clone(),
                name: container.name.clone(),
                cpu: container.cpu,
            }));
        }
        running
    }

    /// Those who have made their last write go down.
    fn crash_armed(&mut self) {
        let due = self.armed.iter().filter(|(_, (writes, _))| *writes == 0);
        let due: Vec<(String, u64)> = due.map(|(name, (_, millis))| (name.clone(), *millis)).collect();
        for (name, millis) in due {
            self.armed.remove(&name);
            self.perform(&Action::Crash { name, millis });
        }
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
}
