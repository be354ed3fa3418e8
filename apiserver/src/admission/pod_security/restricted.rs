//! What the restricted level asks for beyond the baseline: current practice of hardening.

use std::collections::BTreeSet;

use serde_json::Value;

use super::baseline::{any_proc_mount, is_seccomp_profile};
use super::checks::{Pod, Violation, bad_values, name, named, plural, quoted, security, setters, texts, violation};

const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

pub fn privilege_escalation(pod: &Pod<'_>) -> Option<Violation> {
    let containers = pod.those(|container| security(container)["allowPrivilegeEscalation"] != false);
    if containers.is_empty() || pod.is_windows() {
        return None;
    }
    let who = named("container", &containers);
    violation(
        "allowPrivilegeEscalation != false",
        format!("{who} must set securityContext.allowPrivilegeEscalation=false"),
    )
}

pub fn capabilities(pod: &Pod<'_>) -> Option<Violation> {
    let list = |container: &Value, key: &str| {
        let names = security(container)["capabilities"][key].as_array().map_or(&[][..], Vec::as_slice);
        texts(names).into_iter().map(str::to_owned).collect::<BTreeSet<String>>()
    };
    let added = |container: &Value| {
        let mut added = list(container, "add");
        added.remove("NET_BIND_SERVICE");
        added
    };
    let keeping = pod.those(|container| !list(container, "drop").contains("ALL"));
    let adding = pod.those(|container| !added(container).is_empty());
    let mut details = Vec::new();
    if !keeping.is_empty() {
        let who = named("container", &keeping);
        details.push(format!("{who} must set securityContext.capabilities.drop=[\"ALL\"]"));
    }
    if !adding.is_empty() {
        let (who, what) = (named("container", &adding), pod.containers().flat_map(added).collect::<BTreeSet<String>>());
        details.push(format!("{who} must not include {} in securityContext.capabilities.add", quoted(what)));
    }
    if details.is_empty() || pod.is_windows() {
        return None;
    }
    violation("unrestricted capabilities", details.join("; "))
}

pub fn proc_mount(pod: &Pod<'_>) -> Option<Violation> {
    any_proc_mount(pod)
}

pub fn volumes(pod: &Pod<'_>) -> Option<Violation> {
    let volumes = pod.spec["volumes"].as_array().into_iter().flatten();
    let bad = volumes.filter(|volume| VOLUMES.iter().all(|kind| !volume[*kind].is_object()));
    let (mut names, mut kinds) = (Vec::new(), BTreeSet::new());
    for volume in bad {
        names.push(name(volume));
        let mut sources =
            volume.as_object().into_iter().flatten().filter(|(key, value)| *key != "name" && value.is_object());
        kinds.insert(sources.next().map_or("unknown", |(key, _)| key));
    }
    if names.is_empty() {
        return None;
    }
    let verb = if names.len() == 1 { "uses" } else { "use" };
    let what = plural("restricted volume type", kinds.len());
    violation("restricted volume types", format!("{} {verb} {what} {}", named("volume", &names), quoted(kinds)))
}

pub fn non_root(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    let says = |owner: &Value| security(owner)["runAsNonRoot"].as_bool();
    let refusing = pod.those(|container| says(container) == Some(false));
    if let Some(who) = setters(says(pod.spec) == Some(false), &refusing) {
        return violation("runAsNonRoot != true", format!("{who} must not set securityContext.runAsNonRoot=false"));
    }
    let silent = pod.those(|container| says(container).is_none());
    if silent.is_empty() || says(pod.spec) == Some(true) {
        return None;
    }
    let who = named("container", &silent);
    violation("runAsNonRoot != true", format!("pod or {who} must set securityContext.runAsNonRoot=true"))
}

pub fn user(pod: &Pod<'_>) -> Option<Violation> {
    if pod.has_own_users() {
        return None;
    }
    let is_root = |owner: &Value| security(owner)["runAsUser"] == 0;
    let who = setters(is_root(pod.spec), &pod.those(is_root))?;
    violation("runAsUser=0", format!("{who} must not set runAsUser=0"))
}

pub fn seccomp(pod: &Pod<'_>) -> Option<Violation> {
    if pod.is_windows() {
        return None;
    }
    let (of_pod, containers, values) = bad_values(pod, ["seccompProfile", "type"], is_seccomp_profile);
    if let Some(who) = setters(of_pod, &containers) {
        let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", quoted(values));
        return violation("seccompProfile", detail);
    }
    let says = |owner: &Value| security(owner)["seccompProfile"].is_object();
    let silent = pod.those(|container| !says(container));
    if silent.is_empty() || says(pod.spec) {
        return None;
    }
    let who = named("container", &silent);
    let detail =
        format!("pod or {who} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"");
    violation("seccompProfile", detail)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::checks::examine;
    use super::super::level::{Level, Standard};

    fn hardened() -> Value {
        json!({"metadata": {}, "spec": {"securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "v", "secret": {}}],
            "containers": [{"name": "a", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}})
    }

    fn details(pod: &Value, version: Option<u32>) -> String {
        examine(pod, Standard { level: Level::Restricted, version }).details()
    }

    #[test]
    fn a_pod_must_give_up_what_it_does_not_need() {
        assert_eq!(details(&hardened(), None), "");
        let plain = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(
            details(&plain, None),
            "allowPrivilegeEscalation != false (container \"a\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]), \
             runAsNonRoot != true (pod or container \"a\" must set securityContext.runAsNonRoot=true), \
             seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        let edits: [(&str, Value, &str); 8] = [
            ("/spec/securityContext/runAsUser", json!(0), "runAsUser=0 (pod must not set runAsUser=0)"),
            (
                "/spec/securityContext/runAsNonRoot",
                json!(false),
                "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)",
            ),
            (
                "/spec/volumes/0",
                json!({"name": "v", "hostPath": {"path": "/"}}),
                "restricted volume types (volume \"v\" uses restricted volume type \"hostPath\")",
            ),
            (
                "/spec/containers/0/securityContext/capabilities/add",
                json!(["NET_BIND_SERVICE", "CHOWN"]),
                "unrestricted capabilities (container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
            ),
            (
                "/spec/containers/0/securityContext/procMount",
                json!("Unmasked"),
                "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
            ),
            (
                "/spec/securityContext/seccompProfile/type",
                json!("Unconfined"),
                "seccompProfile (pod must not set securityContext.seccompProfile.type to \"Unconfined\")",
            ),
            ("/spec/os", json!({"name": "windows"}), ""),
            ("/spec/hostUsers", json!(false), ""),
        ];
        for (path, value, expected) in edits {
            let mut pod = hardened();
            let (parent, key) = path.rsplit_once('/').unwrap();
            match pod.pointer_mut(path) {
                Some(found) => *found = value,
                None => pod.pointer_mut(parent).unwrap()[key] = value,
            }
            assert_eq!(details(&pod, None), expected, "{path}");
        }
    }

    #[test]
    fn users_of_their_own_and_old_versions_relax() {
        let mut pod = hardened();
        pod["spec"]["securityContext"]["runAsUser"] = json!(0);
        assert_eq!(details(&pod, Some(22)), "", "not checked yet");
        pod["spec"]["hostUsers"] = json!(false);
        assert_eq!(details(&pod, None), "");
        assert_eq!(details(&pod, Some(34)), "runAsUser=0 (pod must not set runAsUser=0)");
    }
}
