//! Owns:    what ResourceQuotas say is used.
//! Watches: ResourceQuotas, Pods, Services; the metadata of other kinds that a quota counts.
//! Writes:  ResourceQuota status.
//!
//! Admission charges a quota for what is added; this counts anew what is left when something goes or becomes less, when the
//! limits change, and now and then. It does not when something is added: its caches may be behind admission.

mod monitors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::quota::{Measure, ResourceList, add, counted_kind, from_json, grown, is_in_scope, mask, to_json};
use api::{Object, quantity};
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota, Service};
use kube::core::params::ListParams;
use kube::{Api, Client};
use reconcile::execute::{Executor, Root};
use reconcile::informer::{Change, Kind, Store};
use reconcile::plan::StatusWrite;
use reconcile::{Error, Key, Manager, Outcome, Plan, Queue, Reconciler};
use serde_json::json;

use crate::discovery::{Resource, discover};
use monitors::Monitors;

const NAME: &str = "resource-quota-controller";
const ACCOUNT: &str = "resourcequota-controller";
const QUEUE: &str = "resourcequota_primary";

/// Upstream's `--resource-quota-sync-period`.
const COUNT_AGAIN: Duration = Duration::from_secs(5 * 60);
/// For kinds that the server may come to have.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

struct Quotas {
    client: Client,
    executor: Executor,
    quotas: Store<ResourceQuota>,
    pods: Store<Pod>,
    monitors: Arc<Monitors>,
}

pub fn start(manager: &Manager) {
    let queue = Arc::new(Queue::default());
    let quotas = manager.informers().start::<ResourceQuota>();
    let pods = manager.informers().start::<Pod>();
    let adding = queue.clone();
    quotas.on_change(move |change| {
        if let Change::Applied { old, new } = change
            && old.as_ref().is_none_or(|old| old.spec != new.spec || is_incomplete(new))
        {
            adding.add(Key::of(&**new));
        }
    });
    count_what_is_freed(&pods, Measure::Pods, &quotas, &queue);
    count_what_is_freed(&manager.informers().start::<Service>(), Measure::Services, &quotas, &queue);
    let client = manager.client(ACCOUNT);
    let monitors = Monitors::new(client.clone(), quotas.clone(), queue.clone(), manager.cancel().clone());
    let waits_for = vec![quotas.progress(), pods.progress()];
    let reconciler =
        Quotas { client, executor: manager.executor(NAME, ACCOUNT), quotas, pods, monitors: Arc::new(monitors) };
    manager.add_reconciler([NAME, QUEUE], queue, 5, Arc::new(reconciler), waits_for);
}

/// Somebody wrote a limit that is not in effect, or one without what is used of it.
fn is_incomplete(quota: &ResourceQuota) -> bool {
    let wanted = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = quota.status.as_ref();
    let (hard, used) = (status.and_then(|it| it.hard.as_ref()), status.and_then(|it| it.used.as_ref()));
    wanted != hard || hard.into_iter().flatten().any(|(name, _)| used.is_none_or(|used| !used.contains_key(name)))
}

fn count_what_is_freed<K: Kind + serde::Serialize>(
    store: &Store<K>,
    measure: Measure<'static>,
    quotas: &Store<ResourceQuota>,
    queue: &Arc<Queue<Key>>,
) {
    let (quotas, queue) = (quotas.clone(), queue.clone());
    store.on_change(move |change| {
        let (old, new) = match change {
            Change::Applied { old: None, .. } => return,
            Change::Applied { old: Some(old), new } => (old, Some(new)),
            Change::Deleted(old) => (old, None),
        };
        let quotas = quotas.in_namespace(old.meta().namespace.as_deref().unwrap_or(""));
        if quotas.is_empty() {
            return;
        }
        let (old, new) = (tree(&**old), new.map(|new| tree(&**new)));
        for quota in
            quotas.iter().filter(|quota| frees(&tree(&***quota), measure, &old, new.as_ref(), reconcile::now()))
        {
            queue.add(Key::of(&**quota));
        }
    });
}

/// Our own types become trees without fail.
fn tree<K: serde::Serialize>(object: &K) -> Object {
    serde_json::to_value(object).unwrap_or_default()
}

/// Whether the object counts for less of the quota than it did.
fn frees(quota: &Object, measure: Measure<'_>, old: &Object, new: Option<&Object>, now: Timestamp) -> bool {
    let hard = &quota["spec"]["hard"];
    let counted = |object: &Object| match is_in_scope(quota, measure, object) {
        true => mask(&measure.usage(object, now), |name| hard.get(name).is_some()),
        false => ResourceList::new(),
    };
    let new = new.map(counted).unwrap_or_default();
    grown(&counted(old), &new).values().any(|freed| !freed.is_zero())
}

/// Group and plural of the kinds whose objects count for the limits.
fn kinds(hard: &ResourceList) -> BTreeSet<(String, String)> {
    let known = [("", "pods"), ("", "services"), ("", "persistentvolumeclaims"), ("resource.k8s.io", "resourceclaims")];
    let known = known.into_iter().filter(|(group, resource)| {
        let measure = Measure::of(group, resource);
        hard.keys().any(|name| measure.covers(name))
    });
    let counted = hard.keys().filter_map(|name| counted_kind(name));
    known.chain(counted).map(|(group, resource)| (group.to_owned(), resource.to_owned())).collect()
}

/// What the objects of one kind use of the quota, zeros included.
fn count(quota: &Object, measure: Measure<'_>, objects: &[Object], now: Timestamp) -> ResourceList {
    let hard = from_json(&quota["spec"]["hard"]);
    let measured = hard.keys().filter(|name| measure.covers(name));
    let mut used: ResourceList = measured.map(|name| (name.clone(), quantity::Quantity::zero())).collect();
    for object in objects.iter().filter(|object| is_in_scope(quota, measure, object)) {
        add(&mut used, &mask(&measure.usage(object, now), |name| hard.contains_key(name)));
    }
    used
}

/// The new status. What was not counted this time stays; equal amounts keep their spelling.
fn status(quota: &Object, counted: &ResourceList) -> Object {
    let (hard, old) = (&quota["spec"]["hard"], from_json(&quota["status"]["used"]));
    let mut used = old.clone();
    used.extend(
        counted.iter().filter(|(name, amount)| old.get(*name) != Some(amount)).map(|(n, a)| (n.clone(), a.clone())),
    );
    let hard = if hard.is_object() { hard.clone() } else { json!({}) };
    let used = to_json(&mask(&used, |name| hard.get(name).is_some()));
    json!({"hard": hard, "used": used})
}

impl Reconciler for Quotas {
    fn reconcile<'a>(&'a self, key: &'a Key) -> BoxFuture<'a, Outcome> {
        async move {
            let Some(quota) = self.quotas.get(key) else { return Outcome::default() };
            self.sync(&quota).await.unwrap_or_else(|error| Outcome { error: Some(error), ..Outcome::default() })
        }
        .boxed()
    }
}

impl Quotas {
    async fn sync(&self, root: &ResourceQuota) -> Result<Outcome, Error> {
        let quota = tree(root);
        let namespace = root.metadata.namespace.as_deref().unwrap_or("");
        let mut counted = ResourceList::new();
        let mut again = COUNT_AGAIN;
        let mut served = None;
        for (group, plural) in kinds(&from_json(&quota["spec"]["hard"])) {
            let measure = Measure::of(&group, &plural);
            let objects: Vec<Object> = match measure {
                Measure::Pods => self.pods.in_namespace(namespace).iter().map(|pod| tree(&**pod)).collect(),
                _ => match self.resource(&mut served, &group, &plural).await? {
                    Some(resource) => self.list(namespace, &resource, measure).await?,
                    None => {
                        again = LOOK_AGAIN;
                        continue;
                    }
                },
            };
            add(&mut counted, &count(&quota, measure, &objects, reconcile::now()));
        }
        let status = StatusWrite::between(&quota["status"], &status(&quota, &counted));
        let performed = self.executor.perform(Some(&Root::of(root)), &Plan { status, ..Plan::default() }).await;
        Ok(Outcome { requeue_after: Some(again), ..Outcome::from(performed) })
    }

    /// Discovery is asked once for all kinds of a quota.
    async fn resource(
        &self,
        served: &mut Option<BTreeMap<(String, String), Resource>>,
        group: &str,
        plural: &str,
    ) -> Result<Option<Resource>, Error> {
        if served.is_none() {
            let all = discover(&self.client)
                .await?
                .into_iter()
                .filter(|each| each.namespaced && each.can(&["create", "list"]));
            *served = Some(all.map(|each| ((each.api.group.clone(), each.api.plural.clone()), each)).collect());
        }
        Ok(served.as_ref().and_then(|served| served.get(&(group.to_owned(), plural.to_owned())).cloned()))
    }

    async fn list(&self, namespace: &str, resource: &Resource, measure: Measure<'_>) -> Result<Vec<Object>, Error> {
        if measure != Measure::Services {
            self.monitors.watch(resource);
        }
        if let Measure::Count { .. } = measure {
            let found = resource.metas(self.client.clone(), Some(namespace)).list(&ListParams::default()).await?;
            return Ok(found.items.iter().map(|meta| tree(&meta.metadata)).collect());
        }
        let objects = Api::<kube::core::DynamicObject>::namespaced_with(self.client.clone(), namespace, &resource.api);
        Ok(objects.list(&ListParams::default()).await?.items.iter().map(tree).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, service_pod};
    use api::quota::show;

    fn quota(hard: Object, used: Object) -> Object {
        json!({"metadata": {"name": "q", "namespace": "shop"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}})
    }

    #[test]
    fn what_is_used_is_counted() {
        let pods = [service_pod("1", "ready"), service_pod("2", "failed"), service_pod("3", "")];
        let hard = json!({"pods": "9", "count/pods": "9", "cpu": "1", "services": "5"});
        let all = quota(hard, json!({"pods": "7", "services": "3", "memory": "1"}));
        let counted = count(&all, Measure::Pods, &pods, now());
        assert_eq!(show(&counted), "count/pods=3,cpu=0,pods=2");
        let status = status(&all, &counted);
        assert_eq!(status["used"], json!({"count/pods": "3", "cpu": "0", "pods": "2", "services": "3"}));
        assert_eq!(status["hard"], all["spec"]["hard"]);
    }

    #[test]
    fn equal_amounts_keep_their_spelling() {
        let mut named = quota(json!({"cpu": "4"}), json!({"cpu": "1"}));
        named["status"]["used"]["cpu"] = "1".into();
        let counted = ResourceList::from([("cpu".to_owned(), "1000m".parse().unwrap())]);
        assert_eq!(status(&named, &counted)["used"], json!({"cpu": "1"}));
    }

    #[test]
    fn a_quota_names_the_kinds_it_counts() {
        let hard = |names: &[&str]| {
            from_json(
                &names.iter().map(|name| ((*name).to_owned(), "1".into())).collect::<serde_json::Map<_, _>>().into(),
            )
        };
        let shown = |names: &[&str]| {
            kinds(&hard(names)).into_iter().map(|(group, plural)| format!("{plural}.{group}")).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(&["cpu", "count/deployments.apps", "secrets", "gold.storageclass.storage.k8s.io/requests.storage"]),
            ["persistentvolumeclaims.", "pods.", "secrets.", "deployments.apps"]
        );
    }

    #[test]
    fn what_ends_or_leaves_the_scope_frees() {
        let (running, failed) = (service_pod("1", "ready"), service_pod("1", "failed"));
        let mut short = running.clone();
        short["spec"]["activeDeadlineSeconds"] = 5.into();
        let plain = quota(json!({"pods": "9"}), json!({}));
        let mut scoped = plain.clone();
        scoped["spec"]["scopes"] = json!(["NotTerminating"]);
        let other = quota(json!({"services": "9"}), json!({}));
        let table = [
            ("deleted", &plain, &running, None, true),
            ("failed", &plain, &running, Some(&failed), true),
            ("failed and deleted", &plain, &failed, None, false),
            ("no change", &plain, &running, Some(&running), false),
            ("out of scope", &scoped, &running, Some(&short), true),
            ("into scope", &scoped, &short, Some(&running), false),
            ("another quota", &other, &running, None, false),
        ];
        for (name, quota, old, new, expected) in table {
            assert_eq!(frees(quota, Measure::Pods, old, new, now()), expected, "{name}");
        }
    }
}
