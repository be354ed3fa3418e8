//! Owns:    the finalizers of pods whose Job does not count them any more.
//! Watches: Pods, Jobs.
//! Writes:  Pods (finalizer).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use reconcile::informer::Caches;
use reconcile::{Controller, Key, Plan, Watch, mapped, owner_key};

use super::ending::is_finished;
use super::pods::{is_tracked, untrack};

pub struct JobOrphans;

impl Controller for JobOrphans {
    const NAME: &'static str = "job-orphans-controller";
    const ACCOUNT: &'static str = "job-controller";
    const QUEUE: &'static str = "job_orphan_pod";
    type Root = Pod;
    /// The Job of the name that the pod's owner has.
    type View = Option<Arc<Job>>;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Job>(|job, caches| {
            let pods = caches.get::<Pod>().controlled_by(job.metadata.uid.as_deref().unwrap_or(""));
            pods.iter().filter(|pod| is_tracked(pod)).map(|pod| Key::of(&**pod)).collect()
        })]
    }

    fn view(&self, root: &Pod, caches: &Caches) -> Option<Arc<Job>> {
        let key = owner_key::<Job>(&root.metadata).filter(|_| is_tracked(root))?;
        caches.get::<Job>().get(&key)
    }

    fn decide(&self, root: &Pod, job: &Option<Arc<Job>>, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if !is_tracked(root) {
            return plan;
        }
        let owner = root.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let same = |job: &&Arc<Job>| job.metadata.uid.as_ref() == owner.map(|owner| &owner.uid);
        let untrack = untrack(root).unchanged(root);
        match (owner_key::<Job>(&root.metadata), job) {
            (Some(_), Some(job)) if same(&job) && !is_finished(job) => {}
            (Some(key), None) => plan.push(untrack.confirm_absent::<Job>(key)),
            _ => plan.push(untrack),
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, object};
    use crate::job::pods::FINALIZER;
    use serde_json::{Value, json};

    #[test]
    fn pods_without_a_job_are_let_go() {
        let job = |uid: &str, conditions: Value| {
            let job = json!({"metadata": {"name": "j", "namespace": "shop", "uid": uid}, "status": {"conditions": conditions}});
            Some(Arc::new(object::<Job>(job)))
        };
        let runs = || job("j1", json!([]));
        let ended = json!([{"type": "Complete", "status": "True"}]);
        let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j1", "controller": true}]);
        let table = [
            ("its Job runs", true, owner.clone(), runs(), None),
            ("it has no finalizer", false, Value::Null, None, None),
            ("it has no owner", true, Value::Null, None, Some(false)),
            ("its Job has ended", true, owner.clone(), job("j1", ended), Some(false)),
            ("its Job is another now", true, owner.clone(), job("j2", json!([])), Some(false)),
            ("its Job is gone", true, owner, None, Some(true)),
        ];
        for (name, tracked, owners, job, expected) in table {
            let finalizers = if tracked { json!([FINALIZER]) } else { Value::Null };
            let pod = object(json!({"metadata": {"name": "p", "namespace": "shop", "uid": "p", "resourceVersion": "3",
                "finalizers": finalizers, "ownerReferences": owners}}));
            let plan = JobOrphans.decide(&pod, &job, now());
            assert_eq!(plan.actions.first().map(|action| action.confirm.is_some()), expected, "{name}");
        }
    }
}
