//! Owns:    the content of a namespace that is being deleted.
//! Watches: Namespaces, Pods; asks the server for everything else.
//! Writes:  deletes of all namespaced objects, Namespace status, /finalize.
//!
//! A cycle looks at all content, deletes what is left (pods first, and as long as there are any nothing else), and tells it in
//! conditions. Only a cycle that finds nothing lifts the finalizer `kubernetes`.

mod conditions;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::core::params::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use reconcile::informer::Change;
use reconcile::plan::StatusWrite;
use reconcile::{Action, Error, Key, Manager, Outcome, Plan, Queue, Reconciler};

use crate::discovery::{Resource, discover};
use conditions::{Content, Found};

const NAME: &str = "namespace-controller";
const ACCOUNT: &str = "namespace-controller";
const QUEUE: &str = "namespace";
const FINALIZER: &str = "kubernetes";

/// While others (the kubelet, finalizers) do their part. A pod that goes wakes us before.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

struct Namespaces {
    client: Client,
    executor: reconcile::execute::Executor,
}

pub fn start(manager: &Manager) {
    let queue = Arc::new(Queue::default());
    let namespaces = manager.informers().start::<Namespace>();
    let pods = manager.informers().start::<Pod>();
    let waits_for = vec![namespaces.progress(), pods.progress()];
    let adding = queue.clone();
    namespaces.on_change(move |change| {
        if let Change::Applied { new, .. } = change
            && new.metadata.deletion_timestamp.is_some()
        {
            adding.add(Key::of(&**new));
        }
    });
    let adding = queue.clone();
    pods.on_change(move |change| {
        if let Change::Deleted(pod) = change
            && let Some(key) = pod.metadata.namespace.as_deref().map(Key::cluster)
            && namespaces.get(&key).is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
        {
            adding.add(key);
        }
    });
    let reconciler = Namespaces { client: manager.client(ACCOUNT), executor: manager.executor(NAME, ACCOUNT) };
    manager.add_reconciler([NAME, QUEUE], queue, 10, Arc::new(reconciler), waits_for);
}

impl Reconciler for Namespaces {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move { self.cycle(key).await.unwrap_or_else(|error| Outcome { error: Some(error), ..Outcome::default() }) }
            .boxed()
    }
}

impl Namespaces {
    async fn cycle(&self, key: &Key) -> Result<Outcome, Error> {
        // Several may work on a namespace that goes away, so the cache is not enough.
        let Some(namespace) = Api::<Namespace>::all(self.client.clone()).get_opt(&key.name).await? else {
            return Ok(Outcome::default());
        };
        let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.clone()).unwrap_or_default();
        if namespace.metadata.deletion_timestamp.is_none() || !finalizers.iter().any(|name| name == FINALIZER) {
            return Ok(Outcome::default());
        }
        let found = self.delete_content(&key.name).await;
        let old = namespace.status.clone().unwrap_or_default();
        let status = StatusWrite::between(&old, &conditions::status(&old, &found, reconcile::now()));
        let told = status.is_some();
        let root = reconcile::execute::Root::of(&namespace);
        let performed = self.executor.perform(Some(&root), &Plan { status, ..Plan::default() }).await;
        let mut outcome = Outcome::from(performed);
        if outcome.error.is_none() {
            outcome.error = found.failure();
        }
        if outcome.error.is_none() {
            if !found.is_empty() {
                outcome.requeue_after = Some(if found.only_waits() { LOOK_AGAIN } else { Duration::ZERO });
            } else if told {
                // What was told is seen before the namespace is gone.
                outcome.requeue_after = Some(Duration::ZERO);
            } else {
                self.finalize(namespace, finalizers).await?;
            }
        }
        Ok(outcome)
    }

    async fn delete_content(&self, namespace: &str) -> Found {
        let mut found = Found::default();
        let resources = match discover(&self.client).await {
            Ok(resources) => resources,
            Err(error) => {
                found.discovery_failure = Some(error.to_string());
                return found;
            }
        };
        let deletable = resources.into_iter().filter(|each| each.namespaced && each.can(&["delete", "list"]));
        let (pods, others): (Vec<_>, Vec<_>) = deletable.partition(|each| each.dotted() == "pods.");
        for resource in pods {
            self.delete_resource(namespace, &resource, &mut found).await;
        }
        if found.is_empty() && found.failures.is_empty() {
            for resource in others {
                self.delete_resource(namespace, &resource, &mut found).await;
            }
        }
        found
    }

    /// Errors of one resource do not keep the others.
    async fn delete_resource(&self, namespace: &str, resource: &Resource, found: &mut Found) {
        match self.delete_all(namespace, resource).await {
            Ok(None) => {}
            Ok(Some(content)) => found.contents.push(content),
            Err(error) => found.failures.push(format!("delete {}: {error}", resource.dotted())),
        }
    }

    async fn delete_all(&self, namespace: &str, resource: &Resource) -> Result<Option<Content>, kube::Error> {
        let api = resource.metas(self.client.clone(), Some(namespace));
        let before = api.list(&ListParams::default()).await?;
        if before.items.is_empty() {
            return Ok(None);
        }
        // What is on its way out already needs no second push; and a push is news only where something stays.
        let fresh = before.items.iter().any(|item| item.metadata.deletion_timestamp.is_none());
        if fresh {
            self.delete_each(&api, resource, &before.items).await?;
        }
        let after = if fresh { api.list(&ListParams::default()).await? } else { before };
        let finalizers = after.items.iter().flat_map(|item| item.metadata.finalizers.clone().unwrap_or_default());
        Ok(Some(Content { resource: resource.dotted(), left: after.items.len(), finalizers: finalizers.collect() }))
    }

    async fn delete_each(
        &self,
        api: &Api<crate::discovery::Meta>,
        resource: &Resource,
        items: &[crate::discovery::Meta],
    ) -> Result<(), kube::Error> {
        let background = DeleteParams::background();
        if resource.can(&["deletecollection"]) {
            return api.delete_collection(&background, &ListParams::default()).await.map(drop);
        }
        for name in items.iter().filter_map(|item| item.metadata.name.as_deref()) {
            match api.delete(name, &background).await {
                Err(kube::Error::Api(status)) if status.is_not_found() => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    async fn finalize(&self, mut namespace: Namespace, mut finalizers: Vec<String>) -> Result<(), Error> {
        finalizers.retain(|name| name != FINALIZER);
        let action = Action::replace(&namespace);
        namespace.spec.get_or_insert_default().finalizers = Some(finalizers);
        let body = serde_json::to_vec(&namespace).map_err(kube::Error::SerdeError)?;
        let request = kube::core::Request::new(action.path())
            .replace_subresource("finalize", &action.key.name, &PostParams::default(), body)
            .map_err(kube::Error::BuildRequest)?;
        match self.client.request::<serde::de::IgnoredAny>(request).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(source) => Err(Error::Request { what: format!("finalize Namespace {}", action.key), source }),
            Ok(_) => Ok(()),
        }
    }
}
