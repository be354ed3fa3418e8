//! Makes the bootstrap policy so, against the store.

use api::meta::Meta;
use api::status::{Reason, Status};
use futures::StreamExt;

use super::reconcile::{Reconciled, reconcile};
use super::{CONTROLLERS, GROUP, NODES, Wanted, objects, read};
use crate::core::{Core, Existing};
use crate::options::DeleteOptions;
use crate::pipeline::{Change, Decoded, Target};
use crate::user::UserInfo;
use crate::warnings::Warnings;

/// Writes under way at once: they share the store's syncs.
const WRITES: usize = 32;
/// How often one object is looked at anew because it came or went meanwhile.
const ATTEMPTS: usize = 3;

/// Creates and reconciles all objects of the policy; then the index decides. One that fails stops no other.
///
/// # Errors
/// The last failure; to be tried again.
pub(crate) async fn ensure(core: &Core) -> Result<(), Status> {
    let Some(index) = &core.config.rbac else { return Ok(()) };
    let mut wanted = objects().map_err(Status::internal)?;
    if core.config.nodes_are_whole {
        wanted.extend(read(NODES).map_err(Status::internal)?);
    }
    if core.config.own_controllers {
        wanted.extend(read(CONTROLLERS).map_err(Status::internal)?);
    }
    let all = futures::stream::iter(wanted).map(|wanted| ensure_one(core, wanted)).buffer_unordered(WRITES);
    let done = all.fold(Ok(()), async |all, one| if one.is_err() { one } else { all }).await;
    // The index has seen what was written.
    core.fresh().await?;
    index.set_ready();
    done
}

async fn ensure_one(core: &Core, wanted: Wanted) -> Result<(), Status> {
    let row = core.registry.find(GROUP, wanted.resource).ok_or_else(|| Status::internal("roles have no row"))?;
    let (namespace, name) = (wanted.object.namespace(), wanted.object.name());
    let (user, warnings) = (UserInfo::admin(), Warnings::default());
    let (subresource, manager, dry_run) = ("", "kube-apiserver", false);
    let warnings = &warnings;
    let target = Target { core, user: &user, row, subresource, namespace, manager, dry_run, warnings, query: None };
    for _ in 0..ATTEMPTS {
        let done = match core.read(row, namespace, name).await? {
            None => target.create(Decoded::new(wanted.object.clone())).await.map(drop),
            Some(existing) => match reconcile(&existing.object, &wanted.object) {
                Reconciled::Right => Ok(()),
                Reconciled::Changed(_) => target.update(name, &Renew(&wanted)).await.map(drop),
                Reconciled::Replace => {
                    let uid = Some(existing.object.uid().to_owned());
                    let options = DeleteOptions { uid, ..DeleteOptions::default() };
                    target.delete(name, &options).await?;
                    continue;
                }
            },
        };
        match done {
            Err(status) if matches!(status.reason, Reason::AlreadyExists | Reason::NotFound | Reason::Conflict) => {}
            done => {
                return done
                    .inspect_err(|status| tracing::warn!(%status, name, "a role or binding is not as it should be"));
            }
        }
    }
    Err(Status::internal(format!("{} {name:?} keeps coming and going", wanted.resource)))
}

struct Renew<'w>(&'w Wanted);

impl Change for Renew<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        Ok(Decoded::new(match reconcile(&old.object, &self.0.object) {
            Reconciled::Changed(new) => new,
            Reconciled::Right | Reconciled::Replace => old.object.clone(),
        }))
    }
}
