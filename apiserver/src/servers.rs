//! Which servers share the store: the endpoints of the Service `default/kubernetes` (upstream's lease reconciler).
//!
//! Each server writes its address to a key of its own every few seconds. One whose key has not changed for a while, by the clock
//! of who looks, is gone. A server alone on its store has nobody to tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use store::{Durability, Expect, Revision, Store, Value, Write};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::bootstrap;
use crate::cache::prefix_range;
use crate::core::Core;

const PREFIX: &str = "/setpoint/servers/";
const INTERVAL: Duration = Duration::from_secs(5);
/// Upstream's: three heartbeats.
const GONE_AFTER: Duration = Duration::from_secs(15);

/// Until cancelled; then this server is taken out.
pub(crate) async fn run(core: &Core, cancel: CancellationToken) {
    if !core.config.store.is_shared() {
        return;
    }
    let own = key(core.config.advertise);
    let mut observed = Observed::default();
    let mut published = BTreeSet::new();
    loop {
        match look(&*core.config.store, &own, &mut observed).await {
            Ok(servers) if servers != published => match bootstrap::publish(core, &servers).await {
                Ok(()) => published = servers,
                Err(status) => tracing::warn!(%status, "the endpoints of this cluster's servers are not written"),
            },
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "no word of this server to the others"),
        }
        tokio::select! {
            () = cancel.cancelled() => break,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
    let left = core.config.store.write(own, Write::Delete, Expect::Any, Durability::Synced);
    published.remove(&core.config.advertise);
    if left.await.is_ok() && !published.is_empty() {
        let _ = bootstrap::publish(core, &published).await;
    }
}

fn key(address: SocketAddr) -> Bytes {
    format!("{PREFIX}{address}").into()
}

/// Says that this server is there, and who else is.
async fn look(store: &dyn Store, own: &Bytes, observed: &mut Observed) -> store::Result<BTreeSet<SocketAddr>> {
    let heartbeat = Value { bytes: Bytes::new(), stamp: Some(0) };
    store.write(own.clone(), Write::Put(heartbeat), Expect::Any, Durability::Relaxed).await?;
    let page = store.range(prefix_range(PREFIX), None, 0).await?;
    let found = page.items.iter().filter_map(|item| {
        let address = std::str::from_utf8(&item.key).ok()?.strip_prefix(PREFIX)?.parse().ok()?;
        Some((address, item.modified))
    });
    let (alive, gone) = observed.look(found.collect(), Instant::now());
    for (address, revision) in gone {
        // Changed in the meantime: it is there after all.
        let _ = store.write(key(address), Write::Delete, Expect::At(revision), Durability::Synced).await;
    }
    Ok(alive)
}

/// When each server's key was first seen as it is.
#[derive(Default)]
struct Observed(BTreeMap<SocketAddr, (Revision, Instant)>);

impl Observed {
    /// Who is alive, and whose key can go.
    fn look(
        &mut self,
        found: BTreeMap<SocketAddr, Revision>,
        now: Instant,
    ) -> (BTreeSet<SocketAddr>, Vec<(SocketAddr, Revision)>) {
        let mut gone = Vec::new();
        let mut observed = BTreeMap::new();
        for (address, revision) in found {
            match self.0.get(&address) {
                Some((seen, since)) if *seen == revision && now - *since >= GONE_AFTER => {
                    gone.push((address, revision))
                }
                Some((seen, since)) if *seen == revision => drop(observed.insert(address, (revision, *since))),
                _ => drop(observed.insert(address, (revision, now))),
            }
        }
        self.0 = observed;
        (self.0.keys().copied().collect(), gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_gone_when_its_key_does_not_change() {
        let [a, b]: [SocketAddr; 2] = ["10.0.0.1:6443", "10.0.0.2:6443"].map(|address| address.parse().unwrap());
        let start = Instant::now();
        let mut observed = Observed::default();
        // After how many seconds; revisions of the keys; who is alive; whose key goes.
        type Case<'a> = (u64, &'a [(SocketAddr, u64)], &'a [SocketAddr], &'a [SocketAddr]);
        let table: [Case; 5] = [
            (0, &[(a, 1), (b, 2)], &[a, b], &[]),
            (10, &[(a, 3), (b, 2)], &[a, b], &[]),
            (15, &[(a, 4), (b, 2)], &[a], &[b]),
            (20, &[(a, 5)], &[a], &[]),
            (25, &[(a, 6), (b, 7)], &[a, b], &[]),
        ];
        for (seconds, found, alive, gone) in table {
            let found = found.iter().map(|(address, revision)| (*address, Revision(*revision))).collect();
            let looked = observed.look(found, start + Duration::from_secs(seconds));
            assert_eq!(looked.0, alive.iter().copied().collect(), "{seconds}");
            assert_eq!(looked.1.iter().map(|(address, _)| *address).collect::<Vec<_>>(), gone, "{seconds}");
        }
    }

    #[tokio::test]
    async fn servers_see_each_other() {
        let store = store::Memory::new();
        let addresses: [SocketAddr; 2] = ["10.0.0.1:6443", "10.0.0.2:6443"].map(|address| address.parse().unwrap());
        for count in 1..=2 {
            let alive = look(&store, &key(addresses[count - 1]), &mut Observed::default()).await.unwrap();
            assert_eq!(alive.len(), count);
        }
    }
}
