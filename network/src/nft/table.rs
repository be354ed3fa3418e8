//! The table: made once, then changed by exactly what changed.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::encode::*;
use super::expression::{self as ex, R0, R1, R2, R3};
use super::socket::Socket;
use crate::Result;
use crate::rules::{Backend, Changes, Frontend, Protocol, Rule};

const SERVICES: &str = "services";
const NODE_PORTS: &str = "nodeports";
const REFUSED: &str = "refused";
const BACKENDS: &str = "backends";
const HAIRPIN: &str = "hairpin";
const DISPATCH: &str = "dispatch";

/// Ids of nft's datatypes, six bits each in a concatenation; they only tell `nft list` how to print.
const TYPE_INTEGER: u32 = 4;
const TYPE_ADDRESS: u32 = 7;
const TYPE_PROTOCOL: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_VERDICT: u32 = 0xffff_ff00;
const FRONTEND_KEY: u32 = TYPE_ADDRESS << 12 | TYPE_PROTOCOL << 6 | TYPE_PORT;

const SET_MAP: u32 = 8;

/// Elements in one message: an attribute's length is 16 bits.
const ELEMENTS_PER_MESSAGE: usize = 400;

const GOTO: i32 = -4;
const JUMP: i32 = -3;

/// The node's pods, for the rules that concern them as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodNetwork {
    /// Addresses of all pods of the cluster: what leaves these is masqueraded.
    pub cluster: (Ipv4Addr, u8),
    /// The bridge that this node's pods are on.
    pub bridge: String,
    /// Other nodes that reach the world through this one, and the bridge that they are on.
    pub guests: Option<((Ipv4Addr, u8), String)>,
}

/// A table of this node's; the only one that writes to it.
#[derive(Debug)]
pub struct Table {
    name: String,
    socket: Socket,
    /// How many frontends have each backend: the hairpin set holds it once.
    uses: BTreeMap<Ipv4Addr, usize>,
}

impl Table {
    /// `name` is a letter, then letters, digits and `_`. Does nothing to the kernel yet.
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self { name: name.to_owned(), socket: Socket::open()?, uses: BTreeMap::new() })
    }

    /// Puts a table with these rules in the place of whatever is there, in one transaction.
    pub fn replace(&mut self, pods: &PodNetwork, all: &Changes) -> Result<()> {
        let mut batch = Batch::new();
        self.drop_table(&mut batch);
        batch.create("table", NEW_TABLE, Attributes::new().text(1, &self.name).u32(2, 0));
        self.frame(&mut batch, pods);
        let uses = self.encode(&mut batch, all, BTreeMap::new());
        self.socket.commit(batch)?;
        self.uses = uses;
        Ok(())
    }

    /// Applies a change. On an error the kernel has the state before it.
    pub fn apply(&mut self, changes: &Changes) -> Result<()> {
        let mut batch = Batch::new();
        let uses = self.encode(&mut batch, changes, self.uses.clone());
        self.socket.commit(batch)?;
        self.uses = uses;
        Ok(())
    }

    /// Removes the table, if it is there.
    pub fn remove(&mut self) -> Result<()> {
        let mut batch = Batch::new();
        self.drop_table(&mut batch);
        self.socket.commit(batch)?;
        self.uses.clear();
        Ok(())
    }

    /// Deleting a table that is missing fails, so it is made first; making one that is there does nothing.
    fn drop_table(&self, batch: &mut Batch) {
        batch.create("table", NEW_TABLE, Attributes::new().text(1, &self.name).u32(2, 0));
        batch.delete("table", DELETE_TABLE, Attributes::new().text(1, &self.name));
    }

    fn frame(&self, batch: &mut Batch, pods: &PodNetwork) {
        self.set(batch, SERVICES, SET_MAP, (FRONTEND_KEY, 12), Some((TYPE_VERDICT, 0)), 1);
        self.set(batch, NODE_PORTS, SET_MAP, (TYPE_PROTOCOL << 6 | TYPE_PORT, 8), Some((TYPE_VERDICT, 0)), 2);
        self.set(batch, REFUSED, 0, (FRONTEND_KEY, 12), None, 3);
        let backend = (TYPE_ADDRESS << 6 | TYPE_PORT, 8);
        self.set(batch, BACKENDS, SET_MAP, (FRONTEND_KEY << 6 | TYPE_INTEGER, 16), Some(backend), 5);
        self.set(batch, HAIRPIN, 0, (TYPE_ADDRESS << 6 | TYPE_ADDRESS, 8), None, 4);
        let frontend = || [ex::destination_address(R0), ex::meta(R1, ex::META_PROTOCOL), ex::destination_port(R2)];

        self.chain(batch, DISPATCH, None);
        self.rule(batch, DISPATCH, frontend().into_iter().chain([ex::verdict_of(R0, SERVICES)]));
        let node_port = [ex::meta(R0, ex::META_PROTOCOL), ex::destination_port(R1), ex::verdict_of(R0, NODE_PORTS)];
        self.rule(batch, DISPATCH, ex::destination_is_local().into_iter().chain(node_port));

        // Hooks: prerouting 0, input 1, forward 2, output 3, postrouting 4. Priorities: dstnat -100, filter 0, srcnat 100.
        for (name, hook) in [("prerouting", 0), ("output", 3)] {
            self.chain(batch, name, Some(("nat", hook, -100)));
            self.rule(batch, name, [jump(DISPATCH, JUMP)]);
        }
        for (name, hook) in [("forward", 2), ("local", 3)] {
            self.chain(batch, name, Some(("filter", hook, -1)));
            // The client's connect fails at once instead of timing out.
            let refused = || frontend().into_iter().chain([ex::member(R0, REFUSED)]);
            let tcp = [ex::meta(R0, ex::META_PROTOCOL), ex::equal(R0, &[Protocol::Tcp as u8]), ex::reset()];
            self.rule(batch, name, refused().chain(tcp));
            self.rule(batch, name, refused().chain([ex::unreachable()]));
        }
        self.chain(batch, "postrouting", Some(("nat", 4, 100)));
        self.rule(batch, "postrouting", ex::has_masquerade_mark().into_iter().chain([ex::masquerade()]));
        let hairpin = [ex::source_address(R0), ex::destination_address(R1), ex::member(R0, HAIRPIN), ex::masquerade()];
        self.rule(batch, "postrouting", hairpin);
        self.rule(batch, "postrouting", leaving(pods.cluster, pods.cluster, &pods.bridge));
        if let Some((guests, bridge)) = &pods.guests {
            self.rule(batch, "postrouting", leaving(*guests, pods.cluster, bridge));
        }
    }

    fn encode(
        &self,
        batch: &mut Batch,
        changes: &Changes,
        mut uses: BTreeMap<Ipv4Addr, usize>,
    ) -> BTreeMap<Ipv4Addr, usize> {
        let before = uses.clone();
        let mut elements = Elements::default();
        let mut gone = Vec::new();
        for (frontend, rule) in &changes.removed {
            elements.remove(*frontend, rule);
            elements.backends(*frontend, Some(rule), None);
            if !rule.backends.is_empty() {
                gone.push(*frontend);
            }
            count(&mut uses, rule, false);
        }
        for (frontend, old, new) in &changes.set {
            let had = old.as_ref().is_some_and(|old| !old.backends.is_empty());
            let has = !new.backends.is_empty();
            if let Some(old) = old {
                count(&mut uses, old, false);
                if had != has {
                    elements.remove(*frontend, old);
                }
            }
            count(&mut uses, new, true);
            elements.backends(*frontend, old.as_ref(), Some(new));
            if has {
                self.chain(batch, &chain_name(*frontend), None);
                if had {
                    self.flush(batch, *frontend);
                }
                self.pick(batch, *frontend, new);
            } else if had {
                gone.push(*frontend);
            }
            if old.is_none() || had != has {
                elements.add(*frontend, new);
            }
        }
        hairpins(&mut elements, &before, &uses);
        self.elements(batch, &elements.removed, DELETE_ELEMENTS);
        self.elements(batch, &elements.added, NEW_ELEMENTS);
        for frontend in gone {
            self.flush(batch, frontend);
            let name = chain_name(frontend);
            batch.delete("chain", DELETE_CHAIN, Attributes::new().text(1, &self.name).text(3, &name));
        }
        uses
    }

    /// The rule of a frontend's chain: mark if wanted, pick, translate.
    fn pick(&self, batch: &mut Batch, frontend: Frontend, rule: &Rule) {
        let chain = chain_name(frontend);
        if rule.masquerade {
            self.rule(batch, &chain, ex::set_masquerade_mark());
        }
        let count = rule.backends.len() as u32;
        let index = if rule.affinity {
            vec![ex::source_address(R3), ex::hash(R3, 4, R3, count)]
        } else {
            vec![ex::random(R3, count)]
        };
        let key = ex::load(R0, &frontend_key(frontend));
        let translate = [ex::value_of(R0, BACKENDS, R0), ex::translate_destination(R0, R1)];
        self.rule(batch, &chain, [key].into_iter().chain(index).chain(translate));
    }

    fn set(&self, batch: &mut Batch, name: &str, flags: u32, key: (u32, u32), data: Option<(u32, u32)>, id: u32) {
        let mut attributes =
            Attributes::new().text(1, &self.name).text(2, name).u32(3, flags).u32(4, key.0).u32(5, key.1).u32(10, id);
        if let Some((kind, length)) = data {
            attributes = attributes.u32(6, kind).u32(7, length);
        }
        batch.create("set", NEW_SET, attributes);
    }

    fn chain(&self, batch: &mut Batch, name: &str, hook: Option<(&str, u32, i32)>) {
        let mut attributes = Attributes::new().text(1, &self.name).text(3, name);
        if let Some((kind, number, priority)) = hook {
            let hook = Attributes::new().u32(1, number).u32(2, priority as u32);
            attributes = attributes.nested(4, hook).text(7, kind);
        }
        batch.create("chain", NEW_CHAIN, attributes);
    }

    fn rule(&self, batch: &mut Batch, chain: &str, expressions: impl IntoIterator<Item = Attributes>) {
        let attributes = Attributes::new().text(1, &self.name).text(2, chain).list(4, expressions);
        batch.create("rule", NEW_RULE, attributes);
    }

    fn flush(&self, batch: &mut Batch, frontend: Frontend) {
        let attributes = Attributes::new().text(1, &self.name).text(2, &chain_name(frontend));
        batch.delete("rules", DELETE_RULE, attributes);
    }

    fn elements(&self, batch: &mut Batch, by_set: &BTreeMap<&'static str, Vec<Attributes>>, command: u8) {
        for (set, members) in by_set {
            for members in members.chunks(ELEMENTS_PER_MESSAGE) {
                let attributes = Attributes::new().text(1, &self.name).text(2, set).list(3, members.iter().cloned());
                if command == NEW_ELEMENTS {
                    batch.create("elements", command, attributes);
                } else {
                    batch.delete("elements", command, attributes);
                }
            }
        }
    }
}

/// Members to add to and to remove from each set.
#[derive(Default)]
struct Elements {
    added: BTreeMap<&'static str, Vec<Attributes>>,
    removed: BTreeMap<&'static str, Vec<Attributes>>,
}

impl Elements {
    fn add(&mut self, frontend: Frontend, rule: &Rule) {
        if let Some((set, member)) = element(frontend, rule) {
            self.added.entry(set).or_default().push(member);
        }
    }

    /// Only the indexes whose backend is another one.
    fn backends(&mut self, frontend: Frontend, old: Option<&Rule>, new: Option<&Rule>) {
        let list = |rule: Option<&Rule>| rule.map(|rule| rule.backends.clone()).unwrap_or_default();
        let (old, new) = (list(old), list(new));
        let member = |index: usize, backend: Backend| {
            let key = [frontend_key(frontend).as_slice(), &(index as u32).to_ne_bytes()].concat();
            let data = Attributes::new().bytes(1, &backend_data(backend));
            Attributes::new().nested(1, Attributes::new().bytes(1, &key)).nested(2, data)
        };
        for index in 0..old.len().max(new.len()) {
            let (before, after) = (old.get(index), new.get(index));
            if before != after {
                let removed = before.map(|backend| member(index, *backend));
                self.removed.entry(BACKENDS).or_default().extend(removed);
                self.added.entry(BACKENDS).or_default().extend(after.map(|backend| member(index, *backend)));
            }
        }
    }

    fn remove(&mut self, frontend: Frontend, rule: &Rule) {
        if let Some((set, member)) = element(frontend, rule) {
            self.removed.entry(set).or_default().push(member);
        }
    }
}

/// `address . protocol . port` as the maps have it; a node port has no address.
fn frontend_key(frontend: Frontend) -> [u8; 12] {
    let (address, protocol, port) = match frontend {
        Frontend::Address { address, protocol, port } => (address, protocol, port),
        Frontend::NodePort { protocol, port } => (Ipv4Addr::UNSPECIFIED, protocol, port),
    };
    let mut key = [0; 12];
    key[..4].copy_from_slice(&address.octets());
    key[4..].copy_from_slice(&protocol_port(protocol, port));
    key
}

/// The set that a frontend is in, and as what. A node port without a backend is in none: nobody listens there.
fn element(frontend: Frontend, rule: &Rule) -> Option<(&'static str, Attributes)> {
    let key = |bytes: &[u8]| Attributes::new().nested(1, Attributes::new().bytes(1, bytes));
    let to_chain = || Attributes::new().nested(2, verdict(&chain_name(frontend), GOTO));
    match frontend {
        Frontend::Address { .. } => Some(match rule.backends.is_empty() {
            true => (REFUSED, key(&frontend_key(frontend))),
            false => (SERVICES, key(&frontend_key(frontend)).nested(2, to_chain())),
        }),
        Frontend::NodePort { protocol, port } => {
            let present = !rule.backends.is_empty();
            present.then(|| (NODE_PORTS, key(&protocol_port(protocol, port)).nested(2, to_chain())))
        }
    }
}

/// Each part of a concatenation fills whole words of 4 bytes.
fn protocol_port(protocol: Protocol, port: u16) -> [u8; 8] {
    let [high, low] = port.to_be_bytes();
    [protocol as u8, 0, 0, 0, high, low, 0, 0]
}

fn backend_data(backend: Backend) -> [u8; 8] {
    let ([a, b, c, d], [high, low]) = (backend.address.octets(), backend.port.to_be_bytes());
    [a, b, c, d, high, low, 0, 0]
}

fn count(uses: &mut BTreeMap<Ipv4Addr, usize>, rule: &Rule, more: bool) {
    for backend in &rule.backends {
        let entry = uses.entry(backend.address).or_default();
        *entry = if more { *entry + 1 } else { entry.saturating_sub(1) };
        if *entry == 0 {
            uses.remove(&backend.address);
        }
    }
}

fn hairpins(elements: &mut Elements, before: &BTreeMap<Ipv4Addr, usize>, after: &BTreeMap<Ipv4Addr, usize>) {
    let member = |address: &Ipv4Addr| {
        let bytes = [address.octets(), address.octets()].concat();
        Attributes::new().nested(1, Attributes::new().bytes(1, &bytes))
    };
    let added = after.keys().filter(|address| !before.contains_key(address));
    elements.added.entry(HAIRPIN).or_default().extend(added.map(member));
    let removed = before.keys().filter(|address| !after.contains_key(address));
    elements.removed.entry(HAIRPIN).or_default().extend(removed.map(member));
}

/// `ip saddr FROM ip daddr != CLUSTER oifname != BRIDGE masquerade`.
fn leaving(from: (Ipv4Addr, u8), cluster: (Ipv4Addr, u8), bridge: &str) -> Vec<Attributes> {
    let (source_mask, source) = masked(from);
    let (cluster_mask, cluster) = masked(cluster);
    let mut name = [0u8; 16];
    let length = bridge.len().min(15);
    name[..length].copy_from_slice(&bridge.as_bytes()[..length]);
    vec![
        ex::source_address(R0),
        ex::mask(R0, source_mask, 0, true),
        ex::equal(R0, &source),
        ex::destination_address(R0),
        ex::mask(R0, cluster_mask, 0, true),
        ex::not_equal(R0, &cluster),
        ex::meta(R0, ex::META_OUT_NAME),
        ex::not_equal(R0, &name),
        ex::masquerade(),
    ]
}

/// A network's mask, and its address as it is in packets.
fn masked((address, prefix): (Ipv4Addr, u8)) -> (u32, [u8; 4]) {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    (mask, (u32::from(address) & mask).to_be_bytes())
}

fn verdict(chain: &str, code: i32) -> Attributes {
    Attributes::new().u32(1, code as u32).text(2, chain)
}

fn jump(chain: &str, code: i32) -> Attributes {
    let data = Attributes::new().nested(2, verdict(chain, code));
    Attributes::new().text(1, "immediate").nested(2, Attributes::new().u32(1, 0).nested(2, data))
}

fn chain_name(frontend: Frontend) -> String {
    match frontend {
        Frontend::Address { address, protocol, port } => format!("to_{address}_{}_{port}", protocol.name()),
        Frontend::NodePort { protocol, port } => format!("to_node_{}_{port}", protocol.name()),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
