//! Owns:    the finalizer `customresourcecleanup.apiextensions.k8s.io` and the condition Terminating.
//! Watches: CustomResourceDefinitions.
//! Writes:  deletes of custom resources, CustomResourceDefinition status and finalizers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client};
use reconcile::informer::Change;
use reconcile::plan::StatusWrite;
use reconcile::{Action, Error, Key, Manager, Outcome, Plan, Queue, Reconciler};
use serde_json::json;

use super::{is_true, set};
use crate::discovery::{Meta, Resource};

const NAME: &str = "crd-finalizer-controller";
const ACCOUNT: &str = "system:apiserver";
const QUEUE: &str = "crd_finalizer";
const FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// While finalizers of the objects do their part; the objects are of a kind that no informer of ours watches.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

struct Cleanup {
    client: Client,
    executor: reconcile::execute::Executor,
}

pub fn start(manager: &Manager) {
    let queue = Arc::new(Queue::default());
    let definitions = manager.informers().start::<CustomResourceDefinition>();
    let waits_for = vec![definitions.progress()];
    let adding = queue.clone();
    definitions.on_change(move |change| {
        if let Change::Applied { new, .. } = change
            && new.metadata.deletion_timestamp.is_some()
        {
            adding.add(Key::of(&**new));
        }
    });
    let reconciler = Cleanup { client: manager.client(ACCOUNT), executor: manager.executor(NAME, ACCOUNT) };
    manager.add_reconciler([NAME, QUEUE], queue, 5, Arc::new(reconciler), waits_for);
}

impl Reconciler for Cleanup {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move { self.cycle(key).await.unwrap_or_else(|error| Outcome { error: Some(error), ..Outcome::default() }) }
            .boxed()
    }
}

impl Cleanup {
    async fn cycle(&self, key: &Key) -> Result<Outcome, Error> {
        let definitions = Api::<CustomResourceDefinition>::all(self.client.clone());
        let Some(definition) = definitions.get_opt(&key.name).await? else { return Ok(Outcome::default()) };
        let finalizers = definition.metadata.finalizers.clone().unwrap_or_default();
        if definition.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|name| name == FINALIZER) {
            return Ok(Outcome::default());
        }
        let old = definition.status.clone().unwrap_or_default();
        let established = is_true(old.conditions.as_deref().unwrap_or_default(), "Established");
        let (status, reason, message, left) = match self.delete_objects(&definition, established).await {
            _ if !established => ("False", "NeverEstablished", "resource was never established".to_owned(), 0),
            Ok(0) => ("False", "InstanceDeletionCompleted", "removed all instances".to_owned(), 0),
            Ok(left) => {
                ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress".to_owned(), left)
            }
            Err(error) => ("True", "InstanceDeletionFailed", format!("could not issue all deletes: {error}"), 1),
        };
        let mut new = old.clone();
        let conditions = new.conditions.get_or_insert_default();
        set(conditions, "Terminating", status, reason, &message, reconcile::now());
        let root = reconcile::execute::Root::of(&definition);
        let mut plan = Plan { status: StatusWrite::between(&old, &new), ..Plan::default() };
        if left == 0 {
            let rest: Vec<&String> = finalizers.iter().filter(|name| *name != FINALIZER).collect();
            let patch = json!({"metadata": {"finalizers": rest}});
            plan.push(Action::merge_patch(&definition, patch).same_uid(&definition));
        }
        let mut outcome = Outcome::from(self.executor.perform(Some(&root), &plan).await);
        if left > 0 && outcome.error.is_none() {
            outcome.requeue_after = Some(LOOK_AGAIN);
        }
        Ok(outcome)
    }

    /// Deletes all objects of the kind; answers how many are still there.
    async fn delete_objects(
        &self,
        definition: &CustomResourceDefinition,
        established: bool,
    ) -> Result<usize, kube::Error> {
        let Some(resource) = resource(definition).filter(|_| established) else { return Ok(0) };
        let all = resource.metas(self.client.clone(), None);
        let before = match all.list(&ListParams::default()).await {
            // No version is served, and nothing can be deleted by request.
            Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(0),
            listed => listed?,
        };
        if before.items.is_empty() {
            return Ok(0);
        }
        let fresh = before.items.iter().filter(|item| item.metadata.deletion_timestamp.is_none());
        let namespaces: BTreeSet<Option<&str>> = fresh.map(|item| item.metadata.namespace.as_deref()).collect();
        for namespace in namespaces {
            let api: Api<Meta> = resource.metas(self.client.clone(), namespace);
            api.delete_collection(&DeleteParams::background(), &ListParams::default()).await.map(drop)?;
        }
        all.list(&ListParams::default()).await.map(|after| after.items.len())
    }
}

/// The kind in a version that is served.
fn resource(definition: &CustomResourceDefinition) -> Option<Resource> {
    let names = definition.status.as_ref()?.accepted_names.as_ref()?;
    let version = definition.spec.versions.iter().find(|version| version.served)?;
    let kind = GroupVersionKind::gvk(&definition.spec.group, &version.name, &names.kind);
    let api = ApiResource::from_gvk_with_plural(&kind, &names.plural);
    Some(Resource { api, namespaced: definition.spec.scope == "Namespaced", verbs: Vec::new() })
}
