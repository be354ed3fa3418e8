//! Rules about Deployments: a rollout never takes away more than `maxUnavailable` allows.
//!
//! Judged when the ReplicaSet controller deletes a pod that is ready. The controllers decide by what they have heard, so what
//! they cannot have heard excuses them: a pod lost to others moments before, a change of the size that is still being worked
//! in (that is not a rollout, and is spread over the sets by size), and faults between them and the server.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{NEWS_TAKE, Oracle, controller, is_leaving, is_ready, is_terminal, text};
use crate::clock;
use crate::disk::Commit;

#[derive(Default)]
pub struct Rollouts {
    /// When pods were lost to others than the controllers, by the uid of the ReplicaSet.
    losses: BTreeMap<String, Vec<u64>>,
    /// UIDs of Deployments whose size was changed and not worked in yet.
    resized: BTreeMap<String, bool>,
    /// Sizes that ReplicaSets have had lately, by uid: when each ended.
    sizes: BTreeMap<String, Vec<(u64, i64)>>,
    /// Until then, what the controllers know may be old.
    pub blind_until: u64,
}

impl Oracle {
    pub(super) fn deployment_changed(&mut self, before: &Value, after: &Value) {
        let uid = text(&after["metadata"]["uid"]).to_owned();
        let status = &after["status"];
        let same = |field: &str| status[field].as_i64() == after["spec"]["replicas"].as_i64();
        let complete = ["replicas", "updatedReplicas", "availableReplicas"].into_iter().all(same)
            && status["observedGeneration"] == after["metadata"]["generation"];
        let strategy_changed = before["spec"]["strategy"] != after["spec"]["strategy"];
        if before["spec"]["replicas"] != after["spec"]["replicas"] || strategy_changed {
            self.rollout.resized.insert(uid, true);
        } else if complete {
            self.rollout.resized.insert(uid, false);
        }
    }

    pub(super) fn set_changed(&mut self, commit: &Commit, before: &Value, after: Option<&Value>) {
        let size = before["spec"]["replicas"].as_i64().unwrap_or(1);
        if after.is_some_and(|after| after["spec"]["replicas"] != before["spec"]["replicas"]) {
            let uid = text(&before["metadata"]["uid"]).to_owned();
            self.rollout.sizes.entry(uid).or_default().push((commit.at, size));
        }
        let goes = !is_leaving(before) && after.is_none_or(is_leaving);
        let namespace = self.object("core/namespaces", "", text(&before["metadata"]["namespace"]));
        if !goes || size == 0 || commit.client != "controllers" || namespace.is_none_or(is_leaving) {
            return;
        }
        let owner = controller(before).map(|owner| text(&owner["uid"])).unwrap_or_default();
        let owner = self.all("apps/deployments").find(|deployment| text(&deployment["metadata"]["uid"]) == owner);
        if owner.is_some_and(|owner| !is_leaving(owner)) {
            self.violated("what is in use is not collected", &commit.key);
        }
    }

    /// A ReplicaSet creates no pod that its size, or one it has just had, has no room for.
    pub(super) fn pod_created(&mut self, commit: &Commit, pod: &Value) {
        let now = clock::now();
        if commit.client != "controllers" || now < self.rollout.blind_until {
            return;
        }
        let Some(owner) = controller(pod).map(|owner| text(&owner["uid"])) else { return };
        let Some(set) = self.all("apps/replicasets").find(|set| text(&set["metadata"]["uid"]) == owner) else { return };
        let lately = self.rollout.sizes.get(owner).into_iter().flatten().filter(|(until, _)| until + NEWS_TAKE >= now);
        let size = lately.map(|(_, size)| *size).chain(set["spec"]["replicas"].as_i64()).max().unwrap_or(1);
        let own = |pod: &&Value| controller(pod).is_some_and(|of| text(&of["uid"]) == owner);
        let active = self.all("core/pods").filter(own).filter(|pod| !is_terminal(pod) && !is_leaving(pod)).count();
        if active as i64 > size {
            let name = super::name_of(set);
            self.violated("no ReplicaSet makes more than it wants", format!("{name} makes {active} of {size}"));
        }
    }

    pub(super) fn pod_changed(&mut self, commit: &Commit, before: Option<&Value>, after: Option<&Value>) {
        self.note_end(commit, before, after);
        let Some(before) = before.filter(|pod| is_ready(pod) && !is_leaving(pod) && !is_terminal(pod)) else { return };
        let gone = after.is_none_or(|after| is_leaving(after) || !is_ready(after));
        let moved = after.is_some_and(|after| controller(before) != controller(after));
        if !gone && !moved {
            return;
        }
        let Some(owner) = controller(before).map(|owner| text(&owner["uid"]).to_owned()) else { return };
        let by_set = commit.client == "controllers" && after.is_none_or(is_leaving) && self.is_undisturbed(before);
        if by_set {
            self.check_available(commit, &owner);
        } else {
            self.rollout.losses.entry(owner).or_default().push(commit.at);
        }
    }

    /// No other controller has a reason to delete this pod.
    fn is_undisturbed(&self, pod: &Value) -> bool {
        let namespace = self.object("core/namespaces", "", text(&pod["metadata"]["namespace"]));
        let node = self.object("core/nodes", "", text(&pod["spec"]["nodeName"]));
        let tainted = |node: &Value| {
            let taints = node["spec"]["taints"].as_array();
            taints.into_iter().flatten().any(|taint| taint["effect"] == "NoExecute")
        };
        let doomed = pod["status"]["conditions"].as_array().into_iter().flatten();
        let doomed = doomed.into_iter().any(|condition| condition["type"] == "DisruptionTarget");
        namespace.is_some_and(|namespace| !is_leaving(namespace)) && node.is_some_and(|node| !tainted(node)) && !doomed
    }

    fn check_available(&mut self, commit: &Commit, set: &str) {
        let now = clock::now();
        let by_uid = |resource: &str, uid: &str| {
            let found = self.all(resource).find(|object| text(&object["metadata"]["uid"]) == uid);
            found.filter(|object| !is_leaving(object)).cloned()
        };
        let Some(set) = by_uid("apps/replicasets", set) else { return };
        let owner = controller(&set).map(|owner| text(&owner["uid"]).to_owned()).unwrap_or_default();
        let Some(deployment) = by_uid("apps/deployments", &owner) else { return };
        let uid = text(&deployment["metadata"]["uid"]);
        // What a Deployment has been since it was made is a change of size, until it is complete once.
        let resized = self.rollout.resized.get(uid).copied().unwrap_or(true);
        let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
        if resized || rolling.is_null() || now < self.rollout.blind_until {
            return;
        }
        let replicas = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let (surge, unavailable) = (&rolling["maxSurge"], &rolling["maxUnavailable"]);
        let (surge, mut unavailable) = (surge.as_i64().unwrap_or(0), unavailable.as_i64().unwrap_or(0));
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        let sets = self.all("apps/replicasets").filter(|set| controller(set).is_some_and(|of| text(&of["uid"]) == uid));
        let sets: Vec<&str> = sets.map(|set| text(&set["metadata"]["uid"])).collect();
        let ours = |pod: &&Value| controller(pod).is_some_and(|of| sets.contains(&text(&of["uid"])));
        let available =
            self.all("core/pods").filter(ours).filter(|pod| is_ready(pod) && !is_leaving(pod) && !is_terminal(pod));
        let available = available.count() as i64;
        let losses = sets.iter().filter_map(|set| self.rollout.losses.get(*set)).flatten();
        let recent = losses.filter(|at| **at + NEWS_TAKE >= now).count() as i64;
        if available + recent < replicas - unavailable {
            let name = super::name_of(&deployment);
            self.violated(
                "no rollout takes more than it may",
                format!("{name} has {available} of {replicas} available, {unavailable} may be missing: {}", commit.key),
            );
        }
    }
}
