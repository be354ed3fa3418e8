//! The driver of [`crate::routes`]: Nodes in, the kernel's routes out.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use reconcile::informer::Informers;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::routes::{self, Change, Hop, Overlay, Range, Routes};

/// After the kernel refused a route.
const RETRY: Duration = Duration::from_secs(1);

/// What the driver does in the kernel, and remembers there beyond its own end.
pub trait Kernel: Send + 'static {
    /// What an earlier run set.
    fn known(&self) -> Routes;
    /// Whether packets to an address need no gateway.
    fn on_link(&self, address: Ipv4Addr) -> bool;
    fn set(&mut self, range: Range, hop: Hop) -> std::io::Result<()>;
    fn remove(&mut self, range: Range, hop: Hop) -> std::io::Result<()>;
}

/// Keeps this node's routes as the Nodes say, until cancelled; they then stay.
pub async fn keep_routes(
    informers: &Informers,
    own: String,
    overlay: Overlay,
    mut kernel: impl Kernel,
    cancel: CancellationToken,
) {
    let nodes = informers.start::<Node>();
    let (touch, mut touched) = mpsc::channel::<()>(1);
    nodes.on_change(move |_| {
        // Full: somebody has asked for a look already.
        let _ = touch.try_send(());
    });
    nodes.synced().await;
    let mut have = kernel.known();
    loop {
        let list = nodes.list();
        let want = routes::wanted(list.iter().map(|node| &**node), &own, overlay, &|address| kernel.on_link(address));
        let failed = apply(&mut kernel, &mut have, &want);
        let again = async {
            match failed {
                true => tokio::time::sleep(RETRY).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = touched.recv() => {}
            () = again => {}
            () = cancel.cancelled() => return,
        }
    }
}

/// True when something is to be tried again.
fn apply(kernel: &mut impl Kernel, have: &mut Routes, want: &Routes) -> bool {
    let mut failed = false;
    for change in routes::changes(have, want) {
        let done = match change {
            Change::Set(range, hop) => kernel.set(range, hop),
            Change::Remove(range, hop) => kernel.remove(range, hop),
        };
        match (done, change) {
            (Ok(()), Change::Set(range, hop)) => {
                have.insert(range, hop);
            }
            (Ok(()), Change::Remove(range, _)) => {
                have.remove(&range);
            }
            (Err(error), _) => {
                tracing::warn!(?change, %error, "a route to another node's pods was not changed, trying again");
                failed = true;
            }
        }
    }
    failed
}
