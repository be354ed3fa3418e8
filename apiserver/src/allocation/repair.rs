//! Claims and Services made to agree: after a crash between the two, and for Services from before there were claims.

use std::collections::BTreeMap;
use std::time::Duration;

use api::Object;
use api::status::Status;
use store::{Revision, Store};
use tokio_util::sync::CancellationToken;

use super::claims::{self, Owner, Taken};
use super::service::items_of;
use super::{Item, Return};
use crate::core::{Core, store_error};
use crate::registry::Descriptor;

/// A claim without its Service that is seen twice so far apart is not of a write that goes on: no request takes as long.
const INTERVAL: Duration = Duration::from_secs(90);

/// Gives back what writes returned, and repairs from time to time, until cancelled.
pub(crate) async fn run(core: &Core, cancel: CancellationToken) {
    let Some(row) = core.registry.find("", "services") else { return };
    let mut suspects = Suspects::default();
    let mut next = tokio::time::Instant::now() + INTERVAL;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = core.allocator.returned.wake.notified() => core.give_back().await,
            () = tokio::time::sleep_until(next) => {
                next = tokio::time::Instant::now() + INTERVAL;
                core.give_back().await;
                if let Err(status) = suspects.repair(core, row).await {
                    tracing::warn!(%status, "claims of Services are not repaired");
                }
            }
        }
    }
}

/// Every Service that is stored has claims afterwards.
pub(super) async fn claim_all(core: &Core, row: &Descriptor) -> Result<(), Status> {
    Suspects::default().repair(core, row).await
}

/// What the stored Services have.
async fn held(core: &Core, row: &Descriptor) -> Result<BTreeMap<Item, Owner>, Status> {
    let complete = core.fresh().await?;
    let services = core.caches.get(&row.storage).map(|cache| cache.list("", complete).objects);
    let mut held = BTreeMap::new();
    for service in services.into_iter().flatten() {
        let object: Object = serde_json::from_slice(&service.json).map_err(Status::internal)?;
        held.extend(items_of(&object).into_iter().map(|item| (item, Owner::of(&object))));
    }
    Ok(held)
}

/// The claims without a Service that the last sweep saw.
#[derive(Default)]
struct Suspects(BTreeMap<Item, Revision>);

impl Suspects {
    async fn repair(&mut self, core: &Core, row: &Descriptor) -> Result<(), Status> {
        let held = held(core, row).await?;
        self.sweep(&*core.config.store, &held).await.map_err(store_error)
    }

    /// `held` is from before the call: a claim that is younger is in use, or a suspect at most.
    async fn sweep(&mut self, store: &dyn Store, held: &BTreeMap<Item, Owner>) -> store::Result<()> {
        let (_, claims) = claims::all(store).await?;
        for (item, owner) in held {
            if !claims.contains_key(item) && claims::take(store, *item, owner, false).await?.0 == Taken::Ours {
                tracing::info!(?item, ?owner, "claimed for a Service that has it");
            }
        }
        let mut suspects = BTreeMap::new();
        for (item, (owner, revision)) in claims {
            let uid = owner.map(|owner| owner.uid).unwrap_or_default();
            if held.get(&item).is_some_and(|owner| owner.uid == uid) {
                continue;
            }
            if self.0.get(&item) == Some(&revision) {
                tracing::info!(?item, "free again: its Service is not there");
                claims::forget(store, &Return { item, uid, revision: Some(revision) }).await?;
            } else {
                suspects.insert(item, revision);
            }
        }
        self.0 = suspects;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: &str) -> Owner {
        Owner { uid: uid.to_owned(), namespace: "n".to_owned(), name: "s".to_owned() }
    }

    #[tokio::test]
    async fn claims_follow_services_but_not_at_once() {
        let store = store::Memory::new();
        let [a, b, c] = [Item::Port(1), Item::Port(2), Item::Port(3)];
        claims::take(&store, b, &owner("u"), false).await.unwrap();
        claims::take(&store, c, &owner("gone"), false).await.unwrap();
        let mut suspects = Suspects::default();
        let held = BTreeMap::from([(a, owner("u")), (b, owner("u"))]);
        // Sweeps, and what is claimed after each.
        for (sweep, expected) in [(1, vec![a, b, c]), (2, vec![a, b])] {
            suspects.sweep(&store, &held).await.unwrap();
            let claimed: Vec<Item> = claims::all(&store).await.unwrap().1.into_keys().collect();
            assert_eq!(claimed, expected, "{sweep}");
        }
        // Given back and taken anew in between: another claim.
        suspects.sweep(&store, &BTreeMap::from([(a, owner("u"))])).await.unwrap();
        claims::forget(&store, &Return { item: b, uid: "u".into(), revision: None }).await.unwrap();
        claims::take(&store, b, &owner("v"), false).await.unwrap();
        suspects.sweep(&store, &BTreeMap::from([(a, owner("u"))])).await.unwrap();
        assert_eq!(claims::all(&store).await.unwrap().1.len(), 2);
    }
}
