//! The work that is never done: APIServices of what is served here, the state of the others, the trust of those.

use std::sync::Arc;
use std::time::Duration;

use api::status::Reason;
use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::available::{self, Verdict};
use super::index::ApiService;
use super::register::Registrar;
use super::trust;
use crate::core::Core;

/// How often other servers are asked when nothing changes.
const INTERVAL: Duration = Duration::from_secs(30);
/// After a failure, at first; then twice as long each time.
const RETRY: Duration = Duration::from_millis(200);

pub(crate) async fn run(core: &Core, cancel: CancellationToken) {
    let mut changed = core.aggregation.subscribe();
    let mut registrar = Registrar::default();
    let mut retry = RETRY;
    loop {
        changed.mark_unchanged();
        let well = round(core, &mut registrar).await;
        retry = if well { RETRY } else { (retry * 2).min(INTERVAL) };
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = changed.changed() => {}
            () = tokio::time::sleep(if well { INTERVAL } else { retry }) => {}
        }
    }
}

/// Whether all is well.
async fn round(core: &Core, registrar: &mut Registrar) -> bool {
    if core.aggregation.defined().is_none() {
        return true;
    }
    let mut well = registrar.sync(core).await;
    if let Some(front) = &core.config.front_proxy
        && let Err(status) = trust::publish(core, front).await
    {
        // At a first start its namespace may come a moment later.
        match status.reason {
            Reason::NotFound => tracing::debug!(%status, "what other servers trust is not published yet"),
            _ => tracing::warn!(%status, "what other servers trust is not published yet"),
        }
        well = false;
    }
    let states = join_all(core.aggregation.services().into_iter().map(|service| state(core, service))).await;
    well && states.into_iter().all(|good| good)
}

/// Finds out about one, and says so. Whether it is available is the answer.
async fn state(core: &Core, service: Arc<ApiService>) -> bool {
    let verdict = match &service.remote {
        None => Verdict::local(),
        Some(remote) => available::check(core, &service, remote).await,
    };
    if let Err(status) = available::tell(core, &service, &verdict).await {
        tracing::warn!(%status, name = service.name, "the state of an APIService is not written");
        return false;
    }
    verdict.is_good()
}
