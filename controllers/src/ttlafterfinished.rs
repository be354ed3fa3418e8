//! Owns:    the end of Jobs that are finished and say how long they are kept.
//! Watches: Jobs.
//! Writes:  Jobs (delete).

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use reconcile::informer::Caches;
use reconcile::plan::Propagation;
use reconcile::{Action, Controller, Plan, Watch};

pub struct TtlAfterFinished;

impl Controller for TtlAfterFinished {
    const NAME: &'static str = "ttl-after-finished-controller";
    const QUEUE: &'static str = "ttl_jobs_to_delete";
    type Root = Job;
    type View = ();

    fn watches() -> Vec<Watch> {
        Vec::new()
    }

    fn view(&self, _root: &Job, _caches: &Caches) {}

    fn decide(&self, root: &Job, (): &(), now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        let kept = root.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
        let (None, Some(kept), Some(finished)) = (&root.metadata.deletion_timestamp, kept, finished(root)) else {
            return plan;
        };
        let left = finished.as_second() + i64::from(kept) - now.as_second();
        match u64::try_from(left) {
            Ok(left) if left > 0 => plan.requeue_after(Duration::from_secs(left)),
            // Only this very state of it: the time may have been made longer meanwhile.
            _ => plan.push(Action::delete(root).unchanged(root).propagation(Propagation::Foreground)),
        }
        plan
    }
}

/// When it was told that the Job has ended, well or not.
fn finished(job: &Job) -> Option<Timestamp> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    let ended =
        conditions.find(|each| matches!(each.type_.as_str(), "Complete" | "Failed") && each.status == "True")?;
    ended.last_transition_time.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use serde_json::{Value, json};

    #[test]
    fn finished_jobs_go_when_their_time_is_over() {
        let delete = Some("delete Job shop/j Foreground");
        let ended = |kind: &str| json!([{"type": kind, "status": "True", "lastTransitionTime": time_ago(100)}]);
        let table = [
            ("runs", json!(10), json!([]), None, None),
            ("does not say", Value::Null, ended("Complete"), None, None),
            ("complete", json!(100), ended("Complete"), delete, None),
            ("failed", json!(0), ended("Failed"), delete, None),
            ("about to end", json!(0), ended("FailureTarget"), None, None),
            ("kept for a while", json!(130), ended("Failed"), None, Some(30)),
        ];
        for (name, kept, conditions, expected, again) in table {
            let job = json!({"metadata": {"name": "j", "namespace": "shop", "uid": "j", "resourceVersion": "7"},
                "spec": {"ttlSecondsAfterFinished": kept, "template": {}}, "status": {"conditions": conditions}});
            let plan = TtlAfterFinished.decide(&object(job), &(), now());
            assert_eq!(actions(&plan).first().map(String::as_str), expected, "{name}");
            assert_eq!(plan.requeue_after, again.map(Duration::from_secs), "{name}");
            assert!(plan.actions.iter().all(|action| action.preconditions.resource_version.as_deref() == Some("7")));
        }
    }
}
