//! Cluster addresses and node ports of Services: reserved while a write is in flight, kept when it is committed, given
//! back when it fails (`pkg/registry/core/service/storage/alloc.go`).
//!
//! This file keeps what is taken; `claim` takes for one object; `service` knows what a Service needs and has.

mod claim;
mod service;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::Object;
use api::field::FieldError;
use api::meta::Meta;
use api::status::Status;

use crate::config::Cidr;
use crate::core::{Core, qualified_kind};
use crate::registry::Descriptor;
use claim::Claim;
use service::{carry_over, items_of};

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
        for other in ["10.0.0.2", "10.9.0.1"] {
            let mut spec = old["spec"].clone();
            spec["clusterIP"] = other.into();
            assert!(reserve(&allocator, spec, Some(&old)).is_ok(), "validation says that it may not change");
        }
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
