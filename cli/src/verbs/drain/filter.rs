//! Which pods `drain` removes from a node, and what keeps it from removing any. Pure; upstream's filters in their order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What the person allows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Allowed {
    pub force: bool,
    pub ignore_daemonsets: bool,
    pub delete_emptydir_data: bool,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Remove,
    RemoveWarning(&'static str),
    Keep,
    KeepWarning(&'static str),
    Refuse(String),
}

/// What is to be done on a node.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    pub pods: Vec<Value>,
    /// One line; empty when there is nothing to tell.
    pub warnings: String,
    /// Not empty: nothing is to be done.
    pub errors: Vec<String>,
}

/// `daemon_sets` are those that exist, as `namespace/name`.
pub fn choose(pods: &[Value], daemon_sets: &BTreeSet<String>, allowed: Allowed) -> Removal {
    let mut removal = Removal::default();
    let mut warnings: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in pods {
        let name = format!("{}/{}", text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        match verdict(pod, daemon_sets, allowed) {
            Verdict::Remove => removal.pods.push(pod.clone()),
            Verdict::RemoveWarning(warning) => {
                removal.pods.push(pod.clone());
                warnings.entry(warning).or_default().push(name);
            }
            Verdict::Keep => {}
            Verdict::KeepWarning(warning) => warnings.entry(warning).or_default().push(name),
            Verdict::Refuse(error) => errors.entry(error).or_default().push(name),
        }
    }
    let lines = warnings.iter().map(|(warning, pods)| format!("{warning}: {}", pods.join(", ")));
    removal.warnings = lines.collect::<Vec<_>>().join("; ");
    removal.errors = errors.iter().map(|(error, pods)| format!("cannot delete {error}: {}", pods.join(", "))).collect();
    removal
}

fn verdict(pod: &Value, daemon_sets: &BTreeSet<String>, allowed: Allowed) -> Verdict {
    let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
    let owner = controller(pod);
    let mut warning = None;
    if let Some(owner) = owner.filter(|owner| owner["kind"] == "DaemonSet" && owner["apiVersion"] == "apps/v1")
        && !finished
    {
        let name = owner["name"].as_str().unwrap_or_default();
        let lives = daemon_sets.contains(&format!("{}/{name}", text(pod, "/metadata/namespace")));
        match (lives, allowed) {
            (false, Allowed { force: true, .. }) => warning = Some("deleting Pods of a DaemonSet that is gone"),
            (false, _) => return Verdict::Refuse(format!("daemonsets.apps {name:?} not found")),
            (true, Allowed { ignore_daemonsets: true, .. }) => {
                return Verdict::KeepWarning("ignoring DaemonSet-managed Pods");
            }
            (true, _) => {
                return Verdict::Refuse("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)".to_owned());
            }
        }
    }
    // The API server cannot delete what a kubelet takes from a file.
    if pod.pointer("/metadata/annotations/kubernetes.io~1config.mirror").is_some() {
        return Verdict::Keep;
    }
    let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
    if volumes.into_iter().flatten().any(|volume| volume["emptyDir"].is_object()) && !finished {
        if !allowed.delete_emptydir_data {
            return Verdict::Refuse("Pods with local storage (use --delete-emptydir-data to override)".to_owned());
        }
        warning = Some("deleting Pods with local storage");
    }
    if owner.is_none() && !finished {
        if !allowed.force {
            let error = "cannot delete Pods that declare no controller (use --force to override)";
            return Verdict::Refuse(error.to_owned());
        }
        warning = Some("deleting Pods that declare no controller");
    } else {
        // Upstream's last filter has the last word, and it has none to say here.
        warning = warning.filter(|text| text.contains("DaemonSet"));
    }
    warning.map_or(Verdict::Remove, Verdict::RemoveWarning)
}

fn controller(pod: &Value) -> Option<&Value> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(edit: Value) -> Value {
        let owner = json!([{"kind": "ReplicaSet", "apiVersion": "apps/v1", "name": "web", "controller": true}]);
        let mut pod = json!({"metadata": {"name": "p", "namespace": "shop", "ownerReferences": owner},
            "status": {"phase": "Running"}});
        json_patch::merge(&mut pod, &edit);
        pod
    }

    #[test]
    fn what_would_be_lost_is_not_removed_unasked() {
        let none = Allowed::default();
        let force = Allowed { force: true, ..none };
        let ignore = Allowed { ignore_daemonsets: true, ..none };
        let empty = Allowed { delete_emptydir_data: true, ..none };
        let bare = json!({"metadata": {"ownerReferences": null}});
        let daemon = |name: &str| {
            let owner = json!([{"kind": "DaemonSet", "apiVersion": "apps/v1", "name": name, "controller": true}]);
            json!({"metadata": {"ownerReferences": owner}})
        };
        let scratch = json!({"spec": {"volumes": [{"emptyDir": {}}]}});
        let mirror = json!({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}});
        let mut finished = bare.clone();
        finished["status"] = json!({"phase": "Succeeded"});
        let refuse = |text: &str| Verdict::Refuse(text.to_owned());
        let unmanaged = "cannot delete Pods that declare no controller (use --force to override)";
        let table = [
            ("replicated", json!({}), none, Verdict::Remove),
            ("bare", bare.clone(), none, refuse(unmanaged)),
            ("bare, forced", bare, force, Verdict::RemoveWarning("deleting Pods that declare no controller")),
            ("finished", finished, none, Verdict::Remove),
            ("daemon", daemon("d"), none, refuse("DaemonSet-managed Pods (use --ignore-daemonsets to ignore)")),
            ("daemon, ignored", daemon("d"), ignore, Verdict::KeepWarning("ignoring DaemonSet-managed Pods")),
            ("orphan", daemon("gone"), ignore, refuse("daemonsets.apps \"gone\" not found")),
            (
                "scratch",
                scratch.clone(),
                none,
                refuse("Pods with local storage (use --delete-emptydir-data to override)"),
            ),
            ("scratch, allowed", scratch, empty, Verdict::Remove),
            ("mirror", mirror, none, Verdict::Keep),
        ];
        let sets = BTreeSet::from(["shop/d".to_owned()]);
        for (name, edit, allowed, expected) in table {
            assert_eq!(verdict(&pod(edit), &sets, allowed), expected, "{name}");
        }
    }

    #[test]
    fn pods_are_told_together() {
        let bare = pod(json!({"metadata": {"name": "b", "ownerReferences": null}}));
        let pods = [pod(json!({})), bare];
        let removal = choose(&pods, &BTreeSet::new(), Allowed { force: true, ..Allowed::default() });
        assert_eq!(removal.pods.len(), 2);
        assert_eq!(removal.warnings, "deleting Pods that declare no controller: shop/b");
        let errors = choose(&pods, &BTreeSet::new(), Allowed::default()).errors;
        assert_eq!(
            errors,
            ["cannot delete cannot delete Pods that declare no controller (use --force to override): shop/b"]
        );
    }
}
