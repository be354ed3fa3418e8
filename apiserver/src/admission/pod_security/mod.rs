//! PodSecurity: the Pod Security Standards, as a namespace's labels ask for them.
//!
//! `level` reads the labels, `checks` has the table of what each level forbids, `baseline` and `restricted` the checks. Pods
//! are refused or warned of; what makes pods by a template is only warned of, so that it is seen where it is written.

mod baseline;
mod checks;
mod level;
mod restricted;

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use api::field::FieldError;
use api::meta::Meta;
use api::status::{Qualified, Status};
use serde_json::Value;

use crate::audit::Record;

use super::{Admission, Attributes, Operation, Verdict};
use checks::{Findings, examine};
use level::{Level, Policy, Standard};

/// As many pods of a namespace are looked at when its level rises (upstream's `namespaceMaxPodsToCheck`).
const MAX_PODS: usize = 3000;

/// Subresources of pods that do not change what runs.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];

#[derive(Debug)]
pub struct PodSecurity;

impl Admission for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let write = matches!(cx.operation, Operation::Create | Operation::Update);
            let Some(object) = object.filter(|_| write) else { return Ok(()) };
            if cx.is("", "namespaces", "") {
                return namespace(cx, object).await;
            }
            let is_pod = cx.resource.group.is_empty() && cx.resource.plural == "pods";
            let pod = match is_pod {
                true if IGNORED.contains(&cx.subresource) => return Ok(()),
                true if cx.old.is_some_and(|old| !brings_images(object, old)) => return Ok(()),
                true => object,
                false if !cx.subresource.is_empty() => return Ok(()),
                false => match template(cx, object) {
                    Some(template) => template,
                    None => return Ok(()),
                },
            };
            let labels = cx.reader.get("", "namespaces", "", cx.namespace).await?;
            let (policy, errors) = Policy::of(&labels.unwrap_or_default()["metadata"]["labels"]);
            if let Some(record) = cx.warnings.record() {
                tell(record, pod, policy, &errors, is_pod);
            }
            judge(cx, object, pod, policy, is_pod)
        })
    }
}

/// The audit log: what is enforced, and what another level would say.
fn tell(record: &Record, pod: &Value, policy: Policy, errors: &[FieldError], enforced: bool) {
    const PREFIX: &str = "pod-security.kubernetes.io";
    if !errors.is_empty() {
        let why: Vec<String> = errors.iter().map(ToString::to_string).collect();
        record.annotate(format!("{PREFIX}/error"), format!("Failed to parse policy: {}", why.join(", ")));
    }
    if enforced {
        record.annotate(format!("{PREFIX}/enforce-policy"), policy.enforce.to_string());
    }
    let findings = examine(pod, policy.audit);
    if !findings.is_empty() {
        let text = format!("would violate PodSecurity \"{}\": {}", policy.audit, findings.details());
        record.annotate(format!("{PREFIX}/audit-violations"), text);
    }
}

fn judge(cx: &Attributes<'_>, object: &Object, pod: &Value, policy: Policy, enforced: bool) -> Result<(), Status> {
    if enforced {
        let findings = examine(pod, policy.enforce);
        if !findings.is_empty() {
            let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, findings.details());
            return Err(Status::forbidden(
                Qualified::new(&cx.resource.group, &cx.resource.plural),
                object.name(),
                &why,
            ));
        }
    }
    let findings = examine(pod, policy.warn);
    if !findings.is_empty() {
        cx.warnings.extend([format!("would violate PodSecurity \"{}\": {}", policy.warn, findings.details())]);
    }
    Ok(())
}

/// The template of pods in an object of the kinds that have one.
fn template<'a>(cx: &Attributes<'_>, object: &'a Object) -> Option<&'a Value> {
    let template = match (cx.resource.group.as_str(), cx.resource.plural.as_str()) {
        ("", "podtemplates") => object.get("template"),
        ("", "replicationcontrollers") | ("batch", "jobs") => object["spec"].get("template"),
        ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets") => object["spec"].get("template"),
        ("batch", "cronjobs") => object["spec"]["jobTemplate"]["spec"].get("template"),
        _ => None,
    };
    template.filter(|template| template.is_object())
}

/// What else an update may change of a pod concerns no check.
fn brings_images(new: &Object, old: &Object) -> bool {
    let images = |pod: &Object, list: &str| -> Vec<(Value, Value)> {
        let containers = pod["spec"][list].as_array().into_iter().flatten();
        containers.map(|container| (container["name"].clone(), container["image"].clone())).collect()
    };
    let changed = |list: &str| {
        images(new, list).into_iter().map(|(_, image)| image).ne(images(old, list).into_iter().map(|(_, image)| image))
    };
    let known = images(old, "ephemeralContainers");
    changed("containers")
        || changed("initContainers")
        || images(new, "ephemeralContainers").iter().any(|container| !known.contains(container))
}

/// Labels must say something; pods that a stricter level would refuse are told of.
async fn namespace(cx: &Attributes<'_>, new: &Object) -> Result<(), Status> {
    let (policy, errors) = Policy::of(&new["metadata"]["labels"]);
    let before = cx.old.map(|old| Policy::of(&old["metadata"]["labels"]));
    let known = before.as_ref().is_some_and(|(_, known)| *known == errors);
    if !errors.is_empty() && !known {
        return Err(Status::invalid(Qualified::new(&cx.resource.group, &cx.resource.kind), new.name(), &errors));
    }
    let Some((before, _)) = before else { return Ok(()) };
    let rises = policy.enforce.level != Level::Privileged
        && (policy.enforce.version != before.enforce.version || policy.enforce.level > before.enforce.level);
    if rises {
        let pods = cx.reader.list("", "pods", new.name()).await?;
        cx.warnings.extend(of_existing(new.name(), pods, policy.enforce));
    }
    Ok(())
}

fn of_existing(namespace: &str, pods: Vec<Object>, standard: Standard) -> Vec<String> {
    let mut warnings = Vec::new();
    let total = pods.len();
    let pods = unlike_first(pods);
    if total > MAX_PODS {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {MAX_PODS} of {total} existing pods"
        ));
    }
    let mut violators: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods.iter().take(MAX_PODS) {
        let findings: Findings = examine(pod, standard);
        if !findings.is_empty() {
            violators.entry(findings.reasons()).or_default().insert(pod.name().to_owned());
        }
    }
    if !violators.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let told = violators.iter().map(|(reasons, pods)| {
        let others = match pods.len() - 1 {
            0 => String::new(),
            1 => " (and 1 other pod)".to_owned(),
            others => format!(" (and {others} other pods)"),
        };
        format!("{}{others}: {reasons}", pods.first().map_or("", String::as_str))
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    warnings.extend(told);
    warnings
}

/// One pod of each controller comes before its others.
fn unlike_first(pods: Vec<Object>) -> Vec<Object> {
    let mut seen = BTreeSet::new();
    let controller = |pod: &Object| {
        let mut owners = pod["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.find(|owner| owner["controller"] == true).and_then(|owner| owner["uid"].as_str().map(str::to_owned))
    };
    let (mut first, others): (Vec<_>, Vec<_>) =
        pods.into_iter().partition(|pod| controller(pod).is_none_or(|uid| seen.insert(uid)));
    first.extend(others);
    first
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_that_a_new_level_refuses_are_told_once() {
        let pod = |name: &str, owner: &str| {
            json!({"metadata": {"name": name, "ownerReferences": [{"controller": true, "uid": owner}]},
                "spec": {"hostPID": true, "containers": [{"name": "c", "securityContext": {"privileged": owner == "a"}}]}})
        };
        let pods = vec![pod("p3", "a"), pod("p2", "a"), pod("p1", "a"), pod("q", "b")];
        let (policy, _) = Policy::of(&json!({"pod-security.kubernetes.io/enforce": "baseline"}));
        let expected = [
            "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:latest\"",
            "p1 (and 2 other pods): host namespaces, privileged",
            "q: host namespaces",
        ];
        assert_eq!(of_existing("n", pods, policy.enforce), expected);
    }

    #[test]
    fn only_images_matter_in_an_update() {
        let pod = |image: &str, debug: &[&str]| {
            let debug: Vec<Value> = debug.iter().map(|name| json!({"name": name, "image": "d"})).collect();
            json!({"spec": {"containers": [{"name": "c", "image": image}], "ephemeralContainers": debug, "tolerations": [image]}})
        };
        assert!(!brings_images(&pod("a", &[]), &pod("a", &[])));
        assert!(brings_images(&pod("b", &[]), &pod("a", &[])));
        assert!(brings_images(&pod("a", &["x"]), &pod("a", &[])));
        assert!(!brings_images(&pod("a", &["x"]), &pod("a", &["x"])));
    }
}
