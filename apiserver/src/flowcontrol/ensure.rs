//! Makes the objects that every cluster has what they should be: when a server starts, and after they were touched.

use std::sync::atomic::Ordering;
use std::time::Duration;

use api::Object;
use api::meta::Meta;
use api::status::{Reason, Status};
use futures::StreamExt;

use super::FlowControl;
use super::bootstrap::{self, GROUP, is_stale, revised};
use crate::admission::Reader;
use crate::core::{Core, Existing};
use crate::options::DeleteOptions;
use crate::pipeline::{Change, Decoded, Target};
use crate::user::UserInfo;
use crate::warnings::Warnings;

const MANAGER: &str = "api-priority-and-fairness-config-producer-v1";
/// Upstream's.
const INTERVAL: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(1);
/// Writes under way at once: they share the store's syncs.
const WRITES: usize = 32;

/// Until it worked once.
pub async fn first(core: &Core) {
    while let Err(status) = ensure(core).await {
        tracing::warn!(%status, "objects of priority and fairness are not there yet");
        tokio::time::sleep(RETRY).await;
    }
}

pub async fn run(core: &Core, control: &FlowControl) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if control.touched.swap(false, Ordering::Relaxed)
            && let Err(status) = ensure(core).await
        {
            tracing::warn!(%status, "objects of priority and fairness are not as they should be");
            control.touched.store(true, Ordering::Relaxed);
        }
    }
}

async fn ensure(core: &Core) -> Result<(), Status> {
    let levels = ("prioritylevelconfigurations", bootstrap::levels());
    let schemas = ("flowschemas", bootstrap::schemas());
    // Levels before the schemas that lead to them.
    for (resource, wanted) in [&levels, &schemas] {
        let all = futures::stream::iter(wanted.clone()).map(|wanted| ensure_one(core, resource, wanted));
        let all = all.buffer_unordered(WRITES);
        all.fold(Ok(()), async |all, one| if one.is_err() { one } else { all }).await?;
    }
    core.fresh().await?;
    for (resource, wanted) in [&schemas, &levels] {
        for object in core.list(GROUP, resource, "").await? {
            if is_stale(&object, wanted) {
                remove(core, resource, &object).await?;
            }
        }
    }
    Ok(())
}

async fn ensure_one(core: &Core, resource: &str, wanted: Object) -> Result<(), Status> {
    let wanted = &wanted;
    with_target(core, resource, async |target| {
        let name = wanted.name();
        let done = match core.read(target.row, "", name).await? {
            None => target.create(Decoded::new(wanted.clone())).await,
            Some(existing) if revised(&existing.object, wanted).is_none() => return Ok(()),
            Some(_) => target.update(name, &Renew(wanted)).await,
        };
        match done {
            // Another server was faster, or somebody changes it: the next round looks again.
            Err(status) if matches!(status.reason, Reason::AlreadyExists | Reason::NotFound | Reason::Conflict) => {
                Ok(())
            }
            done => done.map(drop),
        }
    })
    .await
}

async fn remove(core: &Core, resource: &str, object: &Object) -> Result<(), Status> {
    with_target(core, resource, async |target| {
        let options = DeleteOptions { uid: Some(object.uid().to_owned()), ..DeleteOptions::default() };
        match target.delete(object.name(), &options).await {
            Err(status) if matches!(status.reason, Reason::NotFound | Reason::Conflict) => Ok(()),
            done => done.map(drop),
        }
    })
    .await
}

async fn with_target(
    core: &Core,
    resource: &str,
    action: impl AsyncFnOnce(Target<'_>) -> Result<(), Status>,
) -> Result<(), Status> {
    let row = core.registry.find(GROUP, resource).ok_or_else(|| Status::internal("flow control has no rows"))?;
    let (user, warnings) = (UserInfo::admin(), Warnings::default());
    let (subresource, namespace, manager, dry_run) = ("", "", MANAGER, false);
    let warnings = &warnings;
    action(Target { core, user: &user, row, subresource, namespace, manager, dry_run, warnings, query: None }).await
}

struct Renew<'w>(&'w Object);

impl Change for Renew<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        Ok(Decoded::new(revised(&old.object, self.0).unwrap_or_else(|| old.object.clone())))
    }
}
