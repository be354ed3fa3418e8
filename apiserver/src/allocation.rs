//! Cluster addresses and node ports of Services: reserved while a write is in flight, kept when it is committed, given
//! back when it fails (`pkg/registry/core/service/storage/alloc.go`).

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Object;
use api::field::{FieldError, Path};
use api::meta::Meta;
use api::status::Status;
use serde_json::{Value, json};

use crate::config::Cidr;
use crate::core::{Core, qualified_kind};
use crate::registry::Descriptor;

pub(crate) struct Allocator {
    cidr: Cidr,
    ports: RangeInclusive<u16>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// What the stored Services hold was read.
    loaded: bool,
    items: BTreeSet<Item>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Address(Ipv4Addr),
    Port(u16),
}

/// What one write took. Dropped, it is given back; [`Reservation::keep`] is called after the commit.
pub(crate) struct Reservation {
    taken: Option<Arc<Mutex<Taken>>>,
    added: Vec<Item>,
    /// What the old object has and the new one has not.
    freed: Vec<Item>,
}

impl Reservation {
    pub fn none() -> Self {
        Self { taken: None, added: Vec::new(), freed: Vec::new() }
    }

    pub fn keep(mut self) {
        self.added.clear();
        let freed = std::mem::take(&mut self.freed);
        self.give_back(freed);
    }

    fn give_back(&self, items: Vec<Item>) {
        if let Some(taken) = &self.taken {
            let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
            for item in items {
                taken.items.remove(&item);
            }
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let added = std::mem::take(&mut self.added);
        self.give_back(added);
    }
}

impl Core {
    /// Allocates what `new` needs and does not have, and writes it there.
    pub async fn reserve(
        &self,
        row: &Descriptor,
        new: &mut Object,
        old: Option<&Object>,
    ) -> Result<Reservation, Status> {
        if !row.allocates {
            return Ok(Reservation::none());
        }
        self.load_allocations(row).await?;
        let start = self.random();
        self.allocator.reserve(new, old, start).map_err(|errors| {
            let name = new.name().to_owned();
            Status::invalid(qualified_kind(row), &name, &errors)
        })
    }

    /// After an object was removed.
    pub fn release(&self, row: &Descriptor, old: &Object) {
        if row.allocates {
            let mut taken = self.allocator.lock();
            for item in items_of(old) {
                taken.items.remove(&item);
            }
        }
    }

    async fn load_allocations(&self, row: &Descriptor) -> Result<(), Status> {
        if self.allocator.lock().loaded {
            return Ok(());
        }
        let complete = self.fresh().await?;
        let services = self.caches.get(&row.storage).map(|cache| cache.list("", complete).objects);
        let mut taken = self.allocator.lock();
        for service in services.into_iter().flatten() {
            let object: Object = serde_json::from_slice(&service.json).map_err(Status::internal)?;
            taken.items.extend(items_of(&object));
        }
        taken.loaded = true;
        Ok(())
    }
}

impl Allocator {
    pub fn new(cidr: Cidr, ports: RangeInclusive<u16>) -> Self {
        Self { cidr, ports, taken: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, new: &mut Object, old: Option<&Object>, start: u64) -> Result<Reservation, Vec<FieldError>> {
        if let Some(old) = old {
            carry_over(new, old);
        }
        let before: BTreeSet<Item> = old.map(items_of).unwrap_or_default();
        let mut taken = self.lock();
        let mut claim =
            Claim { allocator: self, taken: &mut taken.items, before: &before, added: Vec::new(), errors: Vec::new() };
        claim.address(new, start);
        claim.ports(new, start);
        let (added, errors) = (claim.added, claim.errors);
        drop(taken);
        let now = items_of(new);
        let freed = before.difference(&now).copied().collect();
        let reservation = Reservation { taken: Some(self.taken.clone()), added, freed };
        if errors.is_empty() { Ok(reservation) } else { Err(errors) }
    }

    fn addresses(&self) -> (u32, u32) {
        let size = 1_u64 << (32 - u32::from(self.cidr.prefix.min(32)));
        let base = u32::from(self.cidr.address);
        // Neither the network's nor the broadcast address.
        (base + 1, base + u32::try_from(size.saturating_sub(2)).unwrap_or(u32::MAX - base))
    }
}

/// One object's allocation in progress.
struct Claim<'a> {
    allocator: &'a Allocator,
    taken: &'a mut BTreeSet<Item>,
    /// The object's own from before: free to keep.
    before: &'a BTreeSet<Item>,
    added: Vec<Item>,
    errors: Vec<FieldError>,
}

impl Claim<'_> {
    /// Whether the item is the object's now.
    fn take(&mut self, item: Item) -> bool {
        if self.before.contains(&item) || self.added.contains(&item) {
            return true;
        }
        let free = self.taken.insert(item);
        if free {
            self.added.push(item);
        }
        free
    }

    fn address(&mut self, service: &mut Object, start: u64) {
        let spec = &mut service["spec"];
        if spec["type"] == "ExternalName" || spec["clusterIP"] == "None" {
            return;
        }
        let path = Path::new("spec").child("clusterIPs");
        let asked = spec["clusterIP"].as_str().or(spec["clusterIPs"][0].as_str()).unwrap_or_default().to_owned();
        let (first, last) = self.allocator.addresses();
        let address = if asked.is_empty() {
            let span = u64::from(last - first) + 1;
            let nth = |offset: u64| Ipv4Addr::from(first + u32::try_from((start + offset) % span).unwrap_or_default());
            let start_free = (0..span).map(nth).find(|address| !self.taken.contains(&Item::Address(*address)));
            let Some(address) = start_free else {
                let detail = "failed to allocate a serviceIP: range is full";
                self.errors.push(FieldError { value: Value::Null, ..internal(&path, detail) });
                return;
            };
            address
        } else {
            let value = json!([asked]);
            let Ok(address) = asked.parse::<Ipv4Addr>() else {
                // Validation says what is wrong with it.
                return;
            };
            if !(first..=last).contains(&u32::from(address)) {
                let Cidr { address: base, prefix } = self.allocator.cidr;
                let detail = format!(
                    "failed to allocate IP {address}: the provided IP ({address}) is not in the valid range. The range of \
                     valid IPs is {base}/{prefix}"
                );
                self.errors.push(FieldError::invalid(&path, value, detail));
                return;
            }
            address
        };
        if !self.take(Item::Address(address)) {
            let detail = format!("failed to allocate IP {address}: provided IP is already allocated");
            self.errors.push(FieldError::invalid(&path, json!([asked]), detail));
            return;
        }
        let spec = &mut service["spec"];
        spec["clusterIP"] = address.to_string().into();
        spec["clusterIPs"] = json!([address.to_string()]);
        if spec["ipFamilies"].is_null() {
            spec["ipFamilies"] = json!(["IPv4"]);
        }
        if spec["ipFamilyPolicy"].is_null() {
            spec["ipFamilyPolicy"] = "SingleStack".into();
        }
    }

    fn ports(&mut self, service: &mut Object, start: u64) {
        if needs_node_ports(service) {
            let count = service["spec"]["ports"].as_array().map_or(0, Vec::len);
            for index in 0..count {
                let port = &service["spec"]["ports"][index];
                let path = Path::new("spec").child("ports").index(index).child("nodePort");
                let asked = port["nodePort"].as_u64().unwrap_or_default();
                if let Some(port) = self.port(&path, asked, start + index as u64) {
                    service["spec"]["ports"][index]["nodePort"] = port.into();
                }
            }
        }
        if needs_health_port(service) {
            let path = Path::new("spec").child("healthCheckNodePort");
            let asked = service["spec"]["healthCheckNodePort"].as_u64().unwrap_or_default();
            if let Some(port) = self.port(&path, asked, start) {
                service["spec"]["healthCheckNodePort"] = port.into();
            }
        }
    }

    fn port(&mut self, path: &Path, asked: u64, start: u64) -> Option<u16> {
        let range = self.allocator.ports.clone();
        if asked == 0 {
            let span = u64::from(*range.end() - *range.start()) + 1;
            let nth = |offset: u64| *range.start() + u16::try_from((start + offset) % span).unwrap_or_default();
            let free = (0..span).map(nth).find(|port| !self.taken.contains(&Item::Port(*port)));
            if free.is_none() {
                self.errors.push(internal(path, "failed to allocate a nodePort: range is full"));
            }
            return free.filter(|port| self.take(Item::Port(*port)));
        }
        match u16::try_from(asked).ok().filter(|port| range.contains(port)) {
            None => {
                let (low, high) = (range.start(), range.end());
                let detail =
                    format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
                self.errors.push(FieldError::invalid(path, asked, detail));
                None
            }
            Some(port) if self.take(Item::Port(port)) => Some(port),
            Some(port) => {
                self.errors.push(FieldError::invalid(path, port, "provided port is already allocated"));
                None
            }
        }
    }
}

fn internal(path: &Path, detail: &str) -> FieldError {
    FieldError {
        kind: api::field::ErrorKind::Internal,
        path: path.clone(),
        value: Value::Null,
        detail: detail.to_owned(),
    }
}

fn needs_node_ports(service: &Object) -> bool {
    match service["spec"]["type"].as_str() {
        Some("NodePort") => true,
        Some("LoadBalancer") => service["spec"]["allocateLoadBalancerNodePorts"] != false,
        _ => false,
    }
}

fn needs_health_port(service: &Object) -> bool {
    let spec = &service["spec"];
    spec["type"] == "LoadBalancer" && spec["externalTrafficPolicy"] == "Local"
}

/// What a client that updates a Service may leave out stays; what its new type does not have goes.
fn carry_over(new: &mut Object, old: &Object) {
    let external = |service: &Object| service["spec"]["type"] == "ExternalName";
    if external(new) {
        if !external(old) {
            remove(new, &["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
        }
    } else if new["spec"]["clusterIP"].as_str().unwrap_or_default().is_empty() && !external(old) {
        for key in ["clusterIP", "clusterIPs"] {
            if let Some(value) = old["spec"].get(key) {
                new["spec"][key] = value.clone();
            }
        }
    }
    if needs_node_ports(new) {
        let old_ports = old["spec"]["ports"].as_array().cloned().unwrap_or_default();
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let same = |old: &&Value| old["port"] == port["port"] && old["protocol"] == port["protocol"];
            if port["nodePort"].as_u64().unwrap_or_default() == 0
                && let Some(kept) = old_ports.iter().find(same).and_then(|old| old.get("nodePort"))
            {
                port["nodePort"] = kept.clone();
            }
        }
    } else if needs_node_ports(old) {
        // Only what was allocated before goes: ports that a client names anew are for validation to refuse.
        let allocated: BTreeSet<Item> = items_of(old);
        for port in new["spec"]["ports"].as_array_mut().into_iter().flatten() {
            let number = port["nodePort"].as_u64().and_then(|port| u16::try_from(port).ok());
            if number.is_some_and(|number| allocated.contains(&Item::Port(number))) {
                port.as_object_mut().and_then(|port| port.remove("nodePort"));
            }
        }
    }
    if needs_health_port(old) && !needs_health_port(new) {
        remove(new, &["healthCheckNodePort"]);
    }
}

fn remove(service: &mut Object, keys: &[&str]) {
    if let Some(spec) = service["spec"].as_object_mut() {
        keys.iter().for_each(|key| {
            spec.remove(*key);
        });
    }
}

fn items_of(service: &Object) -> BTreeSet<Item> {
    let spec = &service["spec"];
    let mut items = BTreeSet::new();
    if spec["type"] != "ExternalName" {
        items.extend(spec["clusterIP"].as_str().and_then(|text| text.parse().ok()).map(Item::Address));
    }
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    for port in ports.chain([&spec["healthCheckNodePort"]]) {
        items.extend(port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0).map(Item::Port));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocator() -> Allocator {
        Allocator::new(Cidr { address: Ipv4Addr::new(10, 0, 0, 0), prefix: 30 }, 30000..=30002)
    }

    fn service(spec: Value) -> Object {
        json!({"metadata": {"name": "s"}, "spec": spec})
    }

    fn reserve(allocator: &Allocator, spec: Value, old: Option<&Object>) -> Result<(Object, Reservation), String> {
        let mut new = service(spec);
        match allocator.reserve(&mut new, old, 0) {
            Ok(reservation) => Ok((new, reservation)),
            Err(errors) => Err(errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn addresses_are_kept_on_commit_and_given_back_otherwise() {
        let allocator = allocator();
        let (first, reservation) = reserve(&allocator, json!({}), None).unwrap();
        assert_eq!(first["spec"]["clusterIP"], "10.0.0.1");
        reservation.keep();
        let (second, reservation) = reserve(&allocator, json!({}), None).unwrap();
        assert_eq!(second["spec"]["clusterIPs"], json!(["10.0.0.2"]));
        let full = reserve(&allocator, json!({}), None).map(drop).unwrap_err();
        assert!(full.ends_with("range is full"), "{full}");
        drop(reservation);
        let (_, reservation) = reserve(&allocator, json!({"clusterIP": "10.0.0.2"}), None).unwrap();
        reservation.keep();
        let table = [
            ("10.0.0.1", "failed to allocate IP 10.0.0.1: provided IP is already allocated"),
            ("10.9.0.1", "The range of valid IPs is 10.0.0.0/30"),
        ];
        for (address, message) in table {
            let error = reserve(&allocator, json!({"clusterIP": address}), None).map(drop).unwrap_err();
            assert!(error.ends_with(message), "{error}");
        }
        for headless in [json!({"clusterIP": "None"}), json!({"type": "ExternalName"})] {
            assert!(reserve(&allocator, headless, None).is_ok());
        }
    }

    #[test]
    fn a_service_that_changes_its_type_keeps_or_frees_what_it_has() {
        let allocator = allocator();
        let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]);
        let (old, reservation) = reserve(&allocator, json!({"type": "NodePort", "ports": ports}), None).unwrap();
        reservation.keep();
        assert_eq!(old["spec"]["ports"][1]["nodePort"], 30001);
        let (same, reservation) = reserve(&allocator, json!({"type": "NodePort", "ports": ports}), Some(&old)).unwrap();
        assert_eq!(same, old);
        reservation.keep();
        let mut spec = old["spec"].clone();
        spec["type"] = "ClusterIP".into();
        let (plain, reservation) = reserve(&allocator, spec, Some(&old)).unwrap();
        assert_eq!(plain["spec"]["ports"], ports);
        assert_eq!(plain["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        reservation.keep();
        let asked = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}, {"port": 2, "nodePort": 9}]});
        let error = reserve(&allocator, asked, None).map(drop).unwrap_err();
        assert_eq!(
            error,
            "spec.ports[1].nodePort: Invalid value: 9: provided port is not in the valid range. The range of valid ports is \
             30000-30002"
        );
        let (gone, reservation) = reserve(&allocator, json!({"type": "ExternalName"}), Some(&plain)).unwrap();
        assert_eq!(gone["spec"], json!({"type": "ExternalName"}));
        reservation.keep();
        assert!(allocator.lock().items.is_empty());
    }
}
