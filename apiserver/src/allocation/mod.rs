//! Cluster addresses and node ports of Services: claimed in the store before the Service is written, kept when it is committed,
//! given back when that fails (`pkg/registry/core/service/storage/alloc.go`).
//!
//! A claim is a key of its own, created only where there is none: that is what makes two servers on one store never give away
//! the same thing twice. Nothing about it is kept in memory.
//!
//! This file reserves and gives back for one write; `claim` takes what one object needs; `claims` are the keys; `service` knows
//! what a Service needs and has; `repair` makes claims and Services agree again after a crash between the two.

mod claim;
mod claims;
mod repair;
mod service;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

use api::Object;
use api::meta::Meta;
use api::status::Status;
use store::{Revision, Store};
use tokio::sync::{Notify, OnceCell};

use crate::config::Cidr;
use crate::core::{Core, qualified_kind, store_error};
use crate::registry::Descriptor;
use claim::{Claim, Refused};
use claims::Owner;
use service::{carry_over, items_of, stays_without_address};

pub(crate) use repair::run;

pub(crate) struct Allocator {
    cidr: Cidr,
    ports: RangeInclusive<u16>,
    returned: Arc<Returned>,
    /// Services from before there were claims have them now.
    repaired: OnceCell<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    Address(Ipv4Addr),
    Port(u16),
}

/// Claims that nobody needs any more, until the store has forgotten them.
#[derive(Default)]
struct Returned {
    waiting: Mutex<Vec<Return>>,
    wake: Notify,
    /// Held while the store is told: who comes later must see it done.
    draining: tokio::sync::Mutex<()>,
}

#[derive(Clone, Debug)]
struct Return {
    item: Item,
    uid: String,
    /// Of the claim, when it is known.
    revision: Option<Revision>,
}

impl Returned {
    fn push(&self, mut items: Vec<Return>) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).append(&mut items);
    }

    fn take(&self) -> Vec<Return> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one write took. Dropped, it is given back; [`Reservation::keep`] is called after the commit.
pub(crate) struct Reservation {
    returned: Option<Arc<Returned>>,
    added: Vec<Return>,
    /// What the old object has and the new one has not.
    freed: Vec<Return>,
}

impl Reservation {
    pub fn none() -> Self {
        Self { returned: None, added: Vec::new(), freed: Vec::new() }
    }

    /// Answers whether there is something to give back now.
    pub fn keep(mut self) -> bool {
        self.added.clear();
        let freed = std::mem::take(&mut self.freed);
        let any = !freed.is_empty();
        if let Some(returned) = &self.returned {
            returned.push(freed);
        }
        any
    }

    /// Nobody knows whether the object was written: the repair will.
    pub fn leave(mut self) {
        self.added.clear();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(returned) = &self.returned
            && !self.added.is_empty()
        {
            returned.push(std::mem::take(&mut self.added));
            returned.wake.notify_one();
        }
    }
}

impl Core {
    /// Allocates what `new` needs and does not have, and writes it there.
    pub async fn reserve(
        &self,
        row: &Descriptor,
        new: &mut Object,
        old: Option<&Object>,
        dry_run: bool,
    ) -> Result<Reservation, Status> {
        if !row.allocates {
            return Ok(Reservation::none());
        }
        row.strategy.prepare_for_allocation(new, old);
        let errors = row.strategy.before_allocation(new);
        if !errors.is_empty() {
            return Err(Status::invalid(qualified_kind(row), new.name(), &errors));
        }
        self.allocator.repaired.get_or_try_init(|| repair::claim_all(self, row)).await?;
        let start = self.random();
        let store = &*self.config.store;
        self.allocator.reserve(store, new, old, start, dry_run).await.map_err(|refused| match refused {
            Refused::Invalid(errors) => Status::invalid(qualified_kind(row), new.name(), &errors),
            // Another write to the same object is not done with it.
            Refused::Busy => Status::modified(crate::core::qualified(row), new.name()),
            Refused::Store(error) => store_error(error),
        })
    }

    /// After an object was removed.
    pub async fn release(&self, row: &Descriptor, old: &Object) {
        if row.allocates {
            let uid = old.uid().to_owned();
            let items = items_of(old).into_iter();
            let items = items.map(|item| Return { item, uid: uid.clone(), revision: None });
            self.allocator.returned.push(items.collect());
            self.give_back().await;
        }
    }

    /// What waits to be given back is given back.
    pub async fn give_back(&self) {
        self.allocator.give_back(&*self.config.store).await;
    }
}

impl Allocator {
    pub fn new(cidr: Cidr, ports: RangeInclusive<u16>) -> Self {
        Self { cidr, ports, returned: Arc::default(), repaired: OnceCell::new() }
    }

    async fn reserve(
        &self,
        store: &dyn Store,
        new: &mut Object,
        old: Option<&Object>,
        start: u64,
        dry_run: bool,
    ) -> Result<Reservation, Refused> {
        self.give_back(store).await;
        if let Some(old) = old {
            carry_over(new, old);
        }
        let before: BTreeSet<Item> = old.map(items_of).unwrap_or_default();
        let owner = Owner::of(new);
        let returned = (!dry_run).then(|| self.returned.clone());
        // From here on, what was added is given back whatever happens.
        let mut reservation = Reservation { returned, added: Vec::new(), freed: Vec::new() };
        let errors = {
            let added = &mut reservation.added;
            let mut claim =
                Claim { allocator: self, store, owner: &owner, before: &before, dry_run, added, errors: Vec::new() };
            // One that has none, as a write to its status made it, is not given one later (upstream).
            if !old.is_some_and(stays_without_address) {
                claim.address(new, start).await?;
            }
            if claim.errors.is_empty() {
                claim.ports(new, start).await?;
            }
            claim.errors
        };
        if !errors.is_empty() {
            return Err(Refused::Invalid(errors));
        }
        if !dry_run {
            let now = items_of(new);
            let freed = before.difference(&now);
            let freed = freed.map(|item| Return { item: *item, uid: owner.uid.clone(), revision: None });
            reservation.freed = freed.collect();
        }
        Ok(reservation)
    }

    async fn give_back(&self, store: &dyn Store) {
        let _one = self.returned.draining.lock().await;
        for item in self.returned.take() {
            if let Err(error) = claims::forget(store, &item).await {
                tracing::warn!(%error, ?item, "not given back yet");
                self.returned.push(vec![item]);
            }
        }
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
    use api::field::FieldError;
    use serde_json::{Value, json};

    fn allocator() -> Allocator {
        Allocator::new(Cidr { address: Ipv4Addr::new(10, 0, 0, 0), prefix: 30 }, 30000..=30002)
    }

    /// Two servers' allocators over one store.
    struct World {
        store: store::Memory,
        servers: [Allocator; 2],
        services: u32,
    }

    impl World {
        fn new() -> Self {
            Self { store: store::Memory::new(), servers: [allocator(), allocator()], services: 0 }
        }

        /// A new Service at server `at`, or another state of `old`.
        async fn reserve(
            &mut self,
            at: usize,
            spec: Value,
            old: Option<&Object>,
        ) -> Result<(Object, Reservation), String> {
            // As the commits before have done.
            for server in &self.servers {
                server.give_back(&self.store).await;
            }
            self.services += 1;
            let uid = format!("u{}", self.services);
            let uid = old.map_or(&*uid, |old| old.uid());
            let mut new = json!({"metadata": {"name": "s", "uid": uid}, "spec": spec});
            match self.servers[at].reserve(&self.store, &mut new, old, 0, false).await {
                Ok(reservation) => Ok((new, reservation)),
                Err(Refused::Invalid(errors)) => {
                    Err(errors.iter().map(FieldError::to_string).collect::<Vec<_>>().join("; "))
                }
                Err(other) => Err(format!("{other:?}")),
            }
        }

        async fn claimed(&self) -> usize {
            for server in &self.servers {
                server.give_back(&self.store).await;
            }
            claims::all(&self.store).await.unwrap().1.len()
        }
    }

    #[tokio::test]
    async fn addresses_are_kept_on_commit_and_given_back_otherwise() {
        let mut world = World::new();
        let (first, reservation) = world.reserve(1, json!({}), None).await.unwrap();
        assert_eq!(first["spec"]["clusterIP"], "10.0.0.1");
        reservation.keep();
        let (second, reservation) = world.reserve(0, json!({}), None).await.unwrap();
        assert_eq!(second["spec"]["clusterIPs"], json!(["10.0.0.2"]));
        let full = world.reserve(1, json!({}), None).await.map(drop).unwrap_err();
        assert!(full.ends_with("range is full"), "{full}");
        drop(reservation);
        let (_, reservation) = world.reserve(0, json!({"clusterIP": "10.0.0.2"}), None).await.unwrap();
        reservation.keep();
        let table = [
            ("10.0.0.1", "failed to allocate IP 10.0.0.1: provided IP is already allocated"),
            ("10.0.0.3", "the provided network does not match the current range"),
            ("10.9.0.1", "the provided network does not match the current range"),
        ];
        for (address, message) in table {
            let error = world.reserve(1, json!({"clusterIP": address}), None).await.map(drop).unwrap_err();
            assert!(error.ends_with(message), "{error}");
        }
        for headless in [json!({"clusterIP": "None"}), json!({"type": "ExternalName"})] {
            assert!(world.reserve(0, headless, None).await.is_ok());
        }
    }

    #[tokio::test]
    async fn an_address_is_of_a_service_with_a_name() {
        let table = [
            ("", "spec.parentRef.name: Required value"),
            (".", "spec.parentRef.name: Invalid value: \".\": may not be '.'"),
        ];
        let store = store::Memory::new();
        for (name, why) in table {
            let mut new = json!({"metadata": {"name": name, "uid": "u"}, "spec": {}});
            let refused = allocator().reserve(&store, &mut new, None, 0, false).await.map(drop).unwrap_err();
            let Refused::Invalid(errors) = refused else { panic!("{refused:?}") };
            let expected = format!(
                "spec.clusterIPs: Invalid value: [\"\"]: failed to allocate IP: IPAddress.networking.k8s.io \"10.0.0.1\" \
                 is invalid: {why}"
            );
            assert_eq!(errors.iter().map(FieldError::to_string).collect::<Vec<_>>(), [expected]);
            assert!(allocator().reserve(&store, &mut new, None, 0, true).await.is_ok(), "a dry run asks nobody");
        }
    }

    #[tokio::test]
    async fn a_dry_run_shows_what_nobody_has() {
        let mut world = World::new();
        let (_, reservation) = world.reserve(1, json!({"clusterIP": "10.0.0.2"}), None).await.unwrap();
        reservation.keep();
        let ports = json!([{"port": 1}, {"port": 2, "nodePort": 30001}, {"port": 3}]);
        // What is asked for, and what is answered: the range's own address, and whatever is asked for that is in it.
        let table = [(json!({}), "10.0.0.0"), (json!({"clusterIP": "10.0.0.2"}), "10.0.0.2")];
        for (mut spec, address) in table {
            spec["type"] = "NodePort".into();
            spec["ports"] = ports.clone();
            let mut service = json!({"metadata": {"name": "dry", "uid": "dry"}, "spec": spec});
            let reservation = allocator().reserve(&world.store, &mut service, None, 0, true).await.unwrap();
            assert_eq!(service["spec"]["clusterIP"], address);
            let nodes: Vec<_> = [0, 1, 2].map(|index| service["spec"]["ports"][index]["nodePort"].clone()).into();
            assert_eq!(nodes, [32769, 30001, 32770]);
            drop(reservation);
        }
        assert_eq!(world.claimed().await, 1);
    }

    #[tokio::test]
    async fn a_service_that_changes_its_type_keeps_or_frees_what_it_has() {
        let mut world = World::new();
        let ports = json!([{"port": 80, "protocol": "TCP"}, {"port": 80, "protocol": "UDP"}]);
        let (old, reservation) = world.reserve(1, json!({"type": "NodePort", "ports": ports}), None).await.unwrap();
        reservation.keep();
        assert_eq!(old["spec"]["ports"][1]["nodePort"], 30001);
        let (same, reservation) =
            world.reserve(0, json!({"type": "NodePort", "ports": ports}), Some(&old)).await.unwrap();
        assert_eq!(same, old);
        reservation.keep();
        for other in ["10.0.0.2", "10.9.0.1"] {
            let mut spec = old["spec"].clone();
            spec["clusterIP"] = other.into();
            assert!(world.reserve(1, spec, Some(&old)).await.is_ok(), "validation says that it may not change");
        }
        let mut spec = old["spec"].clone();
        spec["type"] = "ClusterIP".into();
        let (plain, reservation) = world.reserve(0, spec, Some(&old)).await.unwrap();
        assert_eq!(plain["spec"]["ports"], ports);
        assert_eq!(plain["spec"]["clusterIP"], old["spec"]["clusterIP"]);
        reservation.keep();
        let asked = json!({"type": "NodePort", "ports": [{"port": 1, "nodePort": 30001}, {"port": 2, "nodePort": 9}]});
        let error = world.reserve(1, asked, None).await.map(drop).unwrap_err();
        assert_eq!(
            error,
            "spec.ports[1].nodePort: Invalid value: 9: provided port is not in the valid range. The range of valid ports is \
             30000-30002"
        );
        let (gone, reservation) = world.reserve(0, json!({"type": "ExternalName"}), Some(&plain)).await.unwrap();
        assert_eq!(gone["spec"], json!({"type": "ExternalName"}));
        reservation.keep();
        assert_eq!(world.claimed().await, 0);
    }
}
