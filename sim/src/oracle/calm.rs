//! Rules about a cluster at rest: what is wanted is so.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Oracle, Running, controller, is_leaving, is_ready, is_terminal, name_of, selects, text};

impl Oracle {
    /// The first thing that is not as it should be once nobody wants to change anything.
    pub fn unsettled(&self, running: &[Running]) -> Option<String> {
        self.owners()
            .or_else(|| self.homeless())
            .or_else(|| self.leaving())
            .or_else(|| self.nodes_at_rest())
            .or_else(|| self.deployments())
            .or_else(|| self.replica_sets())
            .or_else(|| self.pods(running))
            .or_else(|| self.services())
            .or_else(|| self.budgets())
    }

    /// Owner gone means dependants go, or lose their references if others own them as well.
    fn owners(&self) -> Option<String> {
        let uids = self.uids();
        let orphaned = self.objects.iter().find(|(_, object)| {
            let owners = object["metadata"]["ownerReferences"].as_array().filter(|owners| !owners.is_empty());
            owners.is_some_and(|owners| owners.iter().any(|owner| !uids.contains(text(&owner["uid"]))))
        });
        orphaned.map(|(key, _)| format!("{key} has outlived its owners"))
    }

    /// What is in a namespace goes with it.
    fn homeless(&self) -> Option<String> {
        let homeless = self.objects.iter().find(|(_, object)| {
            let namespace = text(&object["metadata"]["namespace"]);
            !namespace.is_empty() && self.object("core/namespaces", "", namespace).is_none()
        });
        homeless.map(|(key, _)| format!("{key} has outlived its namespace"))
    }

    fn leaving(&self) -> Option<String> {
        let leaving = self.objects.iter().find(|(_, object)| is_leaving(object));
        leaving.map(|(key, object)| format!("{key} is still being deleted: {}", object["metadata"]["finalizers"]))
    }

    fn nodes_at_rest(&self) -> Option<String> {
        self.all("core/nodes").find_map(|node| {
            let taints = &node["spec"]["taints"];
            let bad = !is_ready(node) || taints.as_array().is_some_and(|taints| !taints.is_empty());
            bad.then(|| {
                format!("node {} is not well: {} {}", name_of(node), node["spec"], node["status"]["conditions"])
            })
        })
    }

    fn deployments(&self) -> Option<String> {
        self.all("apps/deployments").find_map(|deployment| {
            let (spec, status) = (&deployment["spec"], &deployment["status"]);
            let wanted = spec["replicas"].as_i64().unwrap_or(1);
            let counts = ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"];
            let wrong = counts.iter().find(|count| status[**count].as_i64().unwrap_or(0) != wanted);
            let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
            (wrong.is_some() || !observed).then(|| format!("{} wants {wanted} and is {status}", name_of(deployment)))
        })
    }

    fn replica_sets(&self) -> Option<String> {
        self.all("apps/replicasets").find_map(|set| {
            let uid = text(&set["metadata"]["uid"]);
            let own = |pod: &&Value| controller(pod).is_some_and(|owner| text(&owner["uid"]) == uid);
            let pods = self.all("core/pods").filter(own).filter(|pod| !is_terminal(pod)).count() as i64;
            let (wanted, told) = (set["spec"]["replicas"].as_i64(), set["status"]["replicas"].as_i64());
            let fits = wanted.unwrap_or(1) == pods && told.unwrap_or(0) == pods;
            (!fits).then(|| format!("{} wants {wanted:?}, has {pods} and tells {told:?}", name_of(set)))
        })
    }

    /// Every pod runs as it says, and nothing else runs.
    fn pods(&self, running: &[Running]) -> Option<String> {
        for pod in self.all("core/pods") {
            let uid = text(&pod["metadata"]["uid"]);
            let runs = running.iter().filter(|one| one.uid == uid).count();
            let ends = text(&pod["spec"]["restartPolicy"]) != "Always";
            let phase = text(&pod["status"]["phase"]);
            let well =
                if is_terminal(pod) { runs == 0 } else { runs == 1 && phase == "Running" && is_ready(pod) && !ends };
            if !well {
                let status = &pod["status"];
                return Some(format!(
                    "{} on {} has {runs} running and is {status}",
                    name_of(pod),
                    pod["spec"]["nodeName"]
                ));
            }
        }
        let uids: BTreeSet<&str> = self.all("core/pods").map(|pod| text(&pod["metadata"]["uid"])).collect();
        let stray = running.iter().find(|one| !uids.contains(one.uid.as_str()));
        stray.map(|one| format!("{} ({}) runs on {} and is not in the API", one.pod, one.uid, one.node))
    }

    /// EndpointSlices name the pods that are ready, and no others.
    fn services(&self) -> Option<String> {
        self.all("core/services").find_map(|service| {
            let namespace = text(&service["metadata"]["namespace"]);
            let name = text(&service["metadata"]["name"]);
            let selector = &service["spec"]["selector"];
            if selector.is_null() {
                return None;
            }
            let here = |object: &&Value| text(&object["metadata"]["namespace"]) == namespace;
            let pods = self.all("core/pods").filter(here);
            let ready = pods.filter(|pod| selects(selector, pod) && is_ready(pod) && !is_terminal(pod));
            let wanted: BTreeSet<&str> = ready.map(|pod| text(&pod["status"]["podIP"])).collect();
            let slices = self.all("discovery.k8s.io/endpointslices").filter(here);
            let slices =
                slices.filter(|slice| text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]) == name);
            let endpoints = slices.flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
            let told = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != false);
            let told: BTreeSet<&str> = told.map(|endpoint| text(&endpoint["addresses"][0])).collect();
            (told != wanted).then(|| format!("service {namespace}/{name} should have {wanted:?} and has {told:?}"))
        })
    }

    fn budgets(&self) -> Option<String> {
        self.all("policy/poddisruptionbudgets").find_map(|budget| {
            let namespace = text(&budget["metadata"]["namespace"]);
            let own = |pod: &&Value| {
                text(&pod["metadata"]["namespace"]) == namespace
                    && selects(&budget["spec"]["selector"]["matchLabels"], pod)
                    && !is_terminal(pod)
            };
            let healthy = self.all("core/pods").filter(own).filter(|pod| is_ready(pod)).count() as i64;
            let told = budget["status"]["currentHealthy"].as_i64().unwrap_or(0);
            (told != healthy).then(|| format!("budget {} counts {told} healthy of {healthy}", name_of(budget)))
        })
    }
}
