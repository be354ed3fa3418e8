//! Rules about each write.

use serde_json::Value;

use super::{Oracle, cpu, cpu_of, is_leaving, is_ready, is_terminal, name_of, selects, text};
use crate::clock;
use crate::disk::Commit;

impl Oracle {
    pub(super) fn check_commit(&mut self, commit: &Commit, before: Option<&Value>, after: Option<&Value>) {
        if let Some(after) = after {
            self.check_object(commit, before, after);
        }
        if commit.key.starts_with("/registry/core/pods/") {
            self.check_pod(commit, before, after);
            self.pod_changed(commit, before, after);
        }
        if let Some(before) = before
            && commit.key.starts_with("/registry/apps/replicasets/")
        {
            self.set_changed(commit, before, after);
        }
        if let Some(before) = before
            && commit.key.starts_with("/registry/core/configmaps/")
        {
            self.note_changed(commit, before, after);
        }
        if let (Some(before), Some(after)) = (before, after)
            && commit.key.starts_with("/registry/apps/deployments/")
        {
            self.deployment_changed(before, after);
        }
    }

    /// What holds for every kind.
    fn check_object(&mut self, commit: &Commit, before: Option<&Value>, after: &Value) {
        let metadata = &after["metadata"];
        if text(&metadata["resourceVersion"]) != commit.revision.to_string() {
            self.violated("an object carries its revision", &commit.key);
        }
        let Some(before) = before else { return };
        for fixed in ["uid", "creationTimestamp", "name", "namespace"] {
            if before["metadata"][fixed] != metadata[fixed] {
                self.violated("identity never changes", format!("{fixed} of {}", commit.key));
            }
        }
        if is_leaving(before) && !is_leaving(after) {
            self.violated("a deletion is never taken back", &commit.key);
        }
        let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap_or(0);
        if generation(after) < generation(before) {
            self.violated("generations only grow", &commit.key);
        }
        let observed = |object: &Value| object["status"]["observedGeneration"].as_i64().unwrap_or(0);
        if observed(after) > generation(after) && !commit.key.contains("/pods/") {
            self.violated("nobody observes what is not", &commit.key);
        }
        if observed(after) < observed(before) {
            let (from, to) = (observed(before), observed(after));
            self.violated("what is observed only grows", format!("{} from {from} to {to}", commit.key));
        }
    }

    /// What somebody owns, who is not about to leave, is not collected.
    fn note_changed(&mut self, commit: &Commit, before: &Value, after: Option<&Value>) {
        let goes = !is_leaving(before) && after.is_none_or(is_leaving);
        let namespace = self.object("core/namespaces", "", text(&before["metadata"]["namespace"]));
        if !goes || commit.client != "controllers" || namespace.is_none_or(is_leaving) {
            return;
        }
        let owners = before["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        let owners: Vec<&str> = owners.map(|owner| text(&owner["uid"])).collect();
        let stays = |object: &&Value| owners.contains(&text(&object["metadata"]["uid"])) && !is_leaving(object);
        let owned = self.objects.values().map(|object| &**object).any(|object| stays(&object));
        if owned || owners.is_empty() {
            self.violated("what is in use is not collected", &commit.key);
        }
    }

    fn check_pod(&mut self, commit: &Commit, before: Option<&Value>, after: Option<&Value>) {
        let Some(before) = before else {
            return after.into_iter().for_each(|pod| self.pod_created(commit, pod));
        };
        let leaves = after.is_none_or(is_leaving) && !is_leaving(before);
        if leaves && commit.via.contains("/eviction") {
            self.check_eviction(before);
        }
        let Some(after) = after else {
            // Without its kubelet's word, what it ran may still run.
            if !super::nodes::is_kubelets_word(commit, before, after) {
                self.nodes.excuse(text(&before["metadata"]["uid"]));
            }
            return;
        };
        let node = |pod: &Value| text(&pod["spec"]["nodeName"]).to_owned();
        if !node(before).is_empty() && node(before) != node(after) {
            self.violated("no pod is bound twice", format!("{} to {} and {}", commit.key, node(before), node(after)));
        }
        if is_terminal(before) && before["status"]["phase"] != after["status"]["phase"] {
            let (from, to) = (&before["status"]["phase"], &after["status"]["phase"]);
            self.violated("what ended stays ended", format!("{} from {from} to {to}", commit.key));
        }
        for status in after["status"]["containerStatuses"].as_array().into_iter().flatten() {
            let old = before["status"]["containerStatuses"].as_array().into_iter().flatten();
            let old = old.filter(|old| old["name"] == status["name"]).map(|old| old["restartCount"].as_i64()).next();
            if old.flatten() > status["restartCount"].as_i64() {
                self.violated("restart counts never fall", format!("{} by {}", commit.key, commit.client));
            }
        }
        if node(before).is_empty() && !node(after).is_empty() {
            self.check_binding(commit, after);
        }
    }

    /// The scheduler never promises more than a node has, except what it cannot know: a binding of its own whose answer was
    /// lost.
    fn check_binding(&mut self, commit: &Commit, pod: &Value) {
        let name = text(&pod["spec"]["nodeName"]);
        let Some(node) = self.object("core/nodes", "", name) else { return };
        let allocatable = cpu(&node["status"]["allocatable"]["cpu"]);
        let on_it = |pod: &&Value| text(&pod["spec"]["nodeName"]) == name && !is_terminal(pod);
        let used: i64 = self.all("core/pods").filter(on_it).map(cpu_of).sum();
        if used > allocatable && clock::now() > self.scheduler_doubts_until {
            self.violated(
                "no node is promised more than it has",
                format!("{} makes it {used}m of {allocatable}m on {name}", commit.key),
            );
        }
    }

    /// An eviction of a healthy pod is written into each budget that covers it, and was allowed by it.
    fn check_eviction(&mut self, pod: &Value) {
        if !is_ready(pod) || is_terminal(pod) {
            return;
        }
        let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
        let covers = |budget: &&Value| {
            text(&budget["metadata"]["namespace"]) == namespace
                && selects(&budget["spec"]["selector"]["matchLabels"], pod)
        };
        // One that nobody has counted yet allows nothing: it was made while the eviction was under way.
        let uncounted = |budget: &&Value| {
            budget["status"]["disruptedPods"][name].is_null() && !budget["status"]["observedGeneration"].is_null()
        };
        let broken = self.all("policy/poddisruptionbudgets").filter(covers).find(uncounted).map(name_of);
        if let Some(budget) = broken {
            self.violated("no eviction passes a budget by", format!("{budget} knows nothing of {namespace}/{name}"));
        }
    }
}
