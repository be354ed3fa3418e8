//! LimitRanger: what the containers of a namespace ask for by default, and the bounds of what they may ask for.

use api::Object;
use api::meta::{self, Meta};
use api::quantity::Quantity;
use api::quota::{Basis, ResourceList, from_json, limits, requests};
use api::status::Status;
use serde_json::{Value, json};

use super::{Admission, Attributes, Operation, Verdict};

const ANNOTATION: &str = "kubernetes.io/limit-ranger";
/// Larger amounts are compared in whole units (upstream's MaxMilliValue).
const MAX_MILLI: i64 = i64::MAX / 1000;

#[derive(Debug)]
pub struct LimitRanger;

impl Admission for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        Box::pin(async move {
            if concerns(cx) && cx.resource.plural == "pods" {
                for range in ranges(cx).await? {
                    fill_in(object, &range);
                }
            }
            Ok(())
        })
    }

    fn validate<'a>(&'a self, cx: &'a Attributes<'a>, object: Option<&'a Object>) -> Verdict<'a> {
        Box::pin(async move {
            let Some(object) = object.filter(|_| concerns(cx)) else { return Ok(()) };
            for range in ranges(cx).await? {
                let errors = match cx.resource.plural.as_str() {
                    "pods" => check_pod(object, &range),
                    _ => check_claim(object, &range),
                };
                match errors.as_slice() {
                    [] => {}
                    [one] => return Err(cx.forbidden(object, one)),
                    several => return Err(cx.forbidden(object, &format!("[{}]", several.join(", ")))),
                }
            }
            Ok(())
        })
    }
}

/// What a pod's containers ask for changes by a resize alone.
fn concerns(cx: &Attributes<'_>) -> bool {
    let leaves = cx.old.is_some_and(|old| old.deletion_timestamp().is_some());
    let write = match cx.operation {
        Operation::Create => cx.is("", "pods", "") || cx.is("", "persistentvolumeclaims", ""),
        Operation::Update => cx.is("", "pods", "resize") || cx.is("", "persistentvolumeclaims", ""),
        Operation::Delete | Operation::Connect => false,
    };
    write && !leaves
}

async fn ranges(cx: &Attributes<'_>) -> Result<Vec<Object>, Status> {
    cx.reader.list("", "limitranges", cx.namespace).await
}

/// The items of a range for things of a type.
fn items<'a>(range: &'a Object, kind: &str) -> impl Iterator<Item = &'a Value> {
    range["spec"]["limits"].as_array().into_iter().flatten().filter(move |item| item["type"] == kind)
}

fn fill_in(pod: &mut Object, range: &Object) {
    let mut told = Vec::new();
    for item in items(range, "Container") {
        for (list, kind) in [("containers", "container"), ("initContainers", "init container")] {
            for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
                for (to, from, what) in [("requests", "defaultRequest", "request"), ("limits", "default", "limit")] {
                    let added = add_missing(&mut container["resources"], to, &item[from]);
                    if !added.is_empty() {
                        let name = container["name"].as_str().unwrap_or_default();
                        told.push(format!("{} {what} for {kind} {name}", added.join(", ")));
                    }
                }
            }
        }
    }
    if !told.is_empty() {
        let mut annotations = meta::metadata_mut(pod).remove("annotations").unwrap_or_else(|| json!({}));
        annotations[ANNOTATION] = format!("LimitRanger plugin set: {}", told.join("; ")).into();
        meta::set(pod, "annotations", annotations);
    }
}

/// Names of what was missing.
fn add_missing(resources: &mut Value, to: &str, defaults: &Value) -> Vec<String> {
    let mut added = Vec::new();
    for (name, amount) in defaults.as_object().into_iter().flatten() {
        if resources[to].get(name).is_none() {
            resources[to][name] = amount.clone();
            added.push(name.clone());
        }
    }
    added
}

fn check_pod(pod: &Object, range: &Object) -> Vec<String> {
    let mut errors = Vec::new();
    for item in items(range, "Container") {
        for list in ["containers", "initContainers"] {
            for container in pod["spec"][list].as_array().into_iter().flatten() {
                let resources = &container["resources"];
                check(item, &from_json(&resources["requests"]), &from_json(&resources["limits"]), &mut errors);
            }
        }
    }
    for item in items(range, "Pod") {
        check(item, &requests(pod, Basis::Specified), &limits(pod, Basis::Specified), &mut errors);
    }
    errors
}

/// Claims have no limits: also the most is of what they request.
fn check_claim(claim: &Object, range: &Object) -> Vec<String> {
    let requests = from_json(&claim["spec"]["resources"]["requests"]);
    let mut errors = Vec::new();
    for item in items(range, "PersistentVolumeClaim") {
        for (name, least) in from_json(&item["min"]) {
            errors.extend(minimum("PersistentVolumeClaim", &name, &least, requests.get(&name), None));
        }
        for (name, most) in from_json(&item["max"]) {
            let so = format!("maximum {name} usage per PersistentVolumeClaim is {most}");
            match requests.get(&name) {
                None => errors.push(format!("{so}.  No request is specified")),
                Some(request) if *request > most => errors.push(format!("{so}, but request is {request}")),
                Some(_) => {}
            }
        }
    }
    errors
}

fn check(item: &Value, requests: &ResourceList, limits: &ResourceList, errors: &mut Vec<String>) {
    let kind = item["type"].as_str().unwrap_or_default();
    for (name, least) in from_json(&item["min"]) {
        errors.extend(minimum(kind, &name, &least, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in from_json(&item["max"]) {
        errors.extend(maximum(kind, &name, &most, requests.get(&name), limits.get(&name)));
    }
    for (name, most) in from_json(&item["maxLimitRequestRatio"]) {
        errors.extend(ratio(kind, &name, &most, requests.get(&name), limits.get(&name)));
    }
}

type Amount<'a> = Option<&'a Quantity>;

fn minimum(kind: &str, name: &str, least: &Quantity, request: Amount, limit: Amount) -> Option<String> {
    let so = format!("minimum {name} usage per {kind} is {least}");
    let Some(request) = request else { return Some(format!("{so}.  No request is specified")) };
    if request < least {
        return Some(format!("{so}, but request is {request}"));
    }
    limit.filter(|limit| *limit < least).map(|limit| format!("{so}, but limit is {limit}"))
}

fn maximum(kind: &str, name: &str, most: &Quantity, request: Amount, limit: Amount) -> Option<String> {
    let so = format!("maximum {name} usage per {kind} is {most}");
    let Some(limit) = limit else { return Some(format!("{so}.  No limit is specified")) };
    if limit > most {
        return Some(format!("{so}, but limit is {limit}"));
    }
    request.filter(|request| *request > most).map(|request| format!("{so}, but request is {request}"))
}

fn ratio(kind: &str, name: &str, most: &Quantity, request: Amount, limit: Amount) -> Option<String> {
    let so = format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{so}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{so}, but no limit is specified or limit is 0"));
    };
    let is_large = [request, limit, most].iter().any(|amount| amount.value() > MAX_MILLI);
    let number = |amount: &Quantity| if is_large { amount.value() } else { amount.milli_value() } as f64;
    let found = number(limit) / number(request);
    let allowed = if most.value() <= MAX_MILLI { most.milli_value() as f64 / 1000.0 } else { most.value() as f64 };
    (found > allowed).then(|| format!("{so}, but provided ratio is {found:.6}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(kind: &str, item: Value) -> Object {
        let mut item = item;
        item["type"] = kind.into();
        json!({"spec": {"limits": [item]}})
    }

    fn pod(requests: Value, limits: Value) -> Object {
        json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "c", "resources": {"requests": requests, "limits": limits}}]}})
    }

    #[test]
    fn what_a_container_leaves_out_is_filled_in() {
        let range =
            range("Container", json!({"default": {"cpu": "1", "memory": "2"}, "defaultRequest": {"cpu": "500m"}}));
        let mut filled = pod(json!({"memory": "1"}), json!({"cpu": "3"}));
        fill_in(&mut filled, &range);
        let resources = &filled["spec"]["containers"][0]["resources"];
        assert_eq!(
            *resources,
            json!({"requests": {"cpu": "500m", "memory": "1"}, "limits": {"cpu": "3", "memory": "2"}})
        );
        let told = "LimitRanger plugin set: cpu request for container c; memory limit for container c";
        assert_eq!(filled["metadata"]["annotations"][ANNOTATION], told);
        let before = filled.clone();
        fill_in(&mut filled, &range);
        assert_eq!(filled, before);
    }

    #[test]
    fn bounds_are_kept() {
        let (none, cpu) = (json!({}), |amount: &str| json!({"cpu": amount}));
        let table: [(&str, Value, Object, &[&str]); 10] = [
            ("Container", json!({"min": cpu("1")}), pod(cpu("1"), cpu("2")), &[]),
            (
                "Container",
                json!({"min": cpu("1")}),
                pod(none.clone(), none.clone()),
                &["minimum cpu usage per Container is 1.  No request is specified"],
            ),
            (
                "Container",
                json!({"min": cpu("1")}),
                pod(cpu("500m"), none.clone()),
                &["minimum cpu usage per Container is 1, but request is 500m"],
            ),
            (
                "Container",
                json!({"max": cpu("1")}),
                pod(cpu("1"), none.clone()),
                &["maximum cpu usage per Container is 1.  No limit is specified"],
            ),
            (
                "Pod",
                json!({"max": cpu("1")}),
                pod(cpu("1"), cpu("2")),
                &["maximum cpu usage per Pod is 1, but limit is 2"],
            ),
            (
                "Pod",
                json!({"min": cpu("1"), "max": cpu("1")}),
                pod(none.clone(), none.clone()),
                &[
                    "minimum cpu usage per Pod is 1.  No request is specified",
                    "maximum cpu usage per Pod is 1.  No limit is specified",
                ],
            ),
            ("Container", json!({"maxLimitRequestRatio": cpu("2")}), pod(cpu("1"), cpu("2")), &[]),
            (
                "Container",
                json!({"maxLimitRequestRatio": cpu("1500m")}),
                pod(cpu("1"), cpu("2")),
                &["cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000"],
            ),
            (
                "Container",
                json!({"maxLimitRequestRatio": cpu("2")}),
                pod(cpu("0"), cpu("2")),
                &["cpu max limit to request ratio per Container is 2, but no request is specified or request is 0"],
            ),
            ("PersistentVolumeClaim", json!({"max": cpu("1")}), pod(cpu("2"), none.clone()), &[]),
        ];
        for (kind, item, pod, expected) in table {
            assert_eq!(check_pod(&pod, &range(kind, item.clone())), expected, "{kind} {item}");
        }
        let claim = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
        let storage = |amount: &str| json!({"max": {"storage": amount}});
        assert_eq!(check_claim(&claim, &range("PersistentVolumeClaim", storage("2Gi"))), Vec::<String>::new());
        let large = ["maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi"];
        assert_eq!(check_claim(&claim, &range("PersistentVolumeClaim", storage("1Gi"))), large);
    }
}
