//! Resource quotas: what objects use of a namespace's limits. Admission charges by it, the controller counts by it.
//!
//! `list` computes with amounts by resource name, `pods` says what a pod asks for, `measure` what an object of each kind counts
//! for, this file what a quota says of it. The rules are those of `k8s.io/kubernetes/pkg/quota/v1`.

mod list;
mod measure;
mod pods;

use jiff::Timestamp;
use serde_json::Value;

pub use list::{ResourceList, add, from_json, grown, mask, raise, show, show_names, to_json};
pub use measure::{Measure, counted_kind};
pub use pods::{Basis, limits, requests};

use crate::Object;

/// What a request does to the object.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    pub new: &'a Object,
    /// The stored object of an update.
    pub old: Option<&'a Object>,
    pub subresource: &'a str,
}

/// The selectors of a quota: its `scopes` are those that only ask for existence.
fn scopes(quota: &Object) -> impl Iterator<Item = (&str, &Value)> {
    const NOTHING: &Value = &Value::Null;
    let spec = &quota["spec"];
    let plain = spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(|name| (name, NOTHING));
    let selecting = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    plain.chain(selecting.map(|each| (each["scopeName"].as_str().unwrap_or_default(), each)))
}

/// Whether the object is in all scopes of the quota.
pub fn is_in_scope(quota: &Object, measure: Measure, object: &Object) -> bool {
    scopes(quota).all(|(name, selector)| measure.is_in_scope(name, selector, object))
}

/// What `status.used` of the quota becomes by a write, or `None` if the write is no matter of this quota.
///
/// # Errors
/// Why the quota refuses the write.
pub fn charge(
    quota: &Object,
    measure: Measure,
    write: Write<'_>,
    now: Timestamp,
) -> Result<Option<ResourceList>, String> {
    let name = quota["metadata"]["name"].as_str().unwrap_or_default();
    let (hard, used) = (from_json(&quota["status"]["hard"]), from_json(&quota["status"]["used"]));
    let measured: Vec<&str> = hard.keys().map(String::as_str).filter(|name| measure.covers(name)).collect();
    if measured.is_empty() || !is_in_scope(quota, measure, write.new) {
        return Ok(None);
    }
    if let Some(missing) = measure.missing(&measured, write.new) {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    if measured.iter().any(|name| !used.contains_key(*name)) {
        return Err(format!("status unknown for quota: {name}, resources: {}", show_names(measured)));
    }
    let mut asked = measure.usage(write.new, now);
    if let Some(old) = write.old
        && is_in_scope(quota, measure, old)
    {
        asked = grown(&asked, &measure.usage(old, now));
    }
    asked.retain(|name, amount| !amount.is_zero() && hard.contains_key(name));
    if asked.is_empty() {
        return Ok(None);
    }
    let mut after = used.clone();
    add(&mut after, &asked);
    let exceeded = |name: &str| asked.contains_key(name) && hard.get(name).is_some_and(|limit| after[name] > *limit);
    if write.subresource != "status" && asked.keys().any(|name| exceeded(name)) {
        let shown = |list: &ResourceList| show(&mask(list, exceeded));
        let (asked, used, hard) = (shown(&asked), shown(&used), shown(&hard));
        return Err(format!("exceeded quota: {name}, requested: {asked}, used: {used}, limited: {hard}"));
    }
    Ok(Some(after))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn quota(spec: Value, hard: Value, used: Value) -> Object {
        json!({"metadata": {"name": "q"}, "spec": spec, "status": {"hard": hard, "used": used}})
    }

    fn pod(requests: Value) -> Object {
        json!({"spec": {"containers": [{"name": "c", "resources": {"requests": requests}}]}})
    }

    #[test]
    fn quotas_are_charged_or_refuse() {
        let pods = Measure::of("", "pods");
        let maps = Measure::of("", "configmaps");
        let small = pod(json!({"cpu": "300m", "memory": "1Gi"}));
        let one = json!({"pods": "1"});
        let table = [
            (
                "fits",
                quota(
                    json!({}),
                    json!({"pods": "2", "requests.cpu": "1"}),
                    json!({"pods": "1", "requests.cpu": "500m"}),
                ),
                pods,
                &small,
                Ok(Some("pods=2,requests.cpu=800m")),
            ),
            ("of other things", quota(json!({}), json!({"services": "1"}), json!({})), pods, &small, Ok(None)),
            (
                "too much",
                quota(json!({}), json!({"cpu": "500m", "pods": "9"}), json!({"cpu": "400m", "pods": "1"})),
                pods,
                &small,
                Err("exceeded quota: q, requested: cpu=300m, used: cpu=400m, limited: cpu=500m"),
            ),
            (
                "not counted yet",
                quota(json!({}), one.clone(), json!({})),
                pods,
                &small,
                Err("status unknown for quota: q, resources: pods"),
            ),
            (
                "a pod must say",
                quota(json!({}), json!({"limits.cpu": "1", "memory": "1"}), json!({"limits.cpu": "0", "memory": "0"})),
                pods,
                &pod(json!({})),
                Err("failed quota: q: must specify limits.cpu for: c; memory for: c"),
            ),
            (
                "another scope",
                quota(json!({"scopes": ["Terminating"]}), one.clone(), json!({"pods": "1"})),
                pods,
                &small,
                Ok(None),
            ),
            (
                "by the old name",
                quota(json!({}), json!({"configmaps": "1"}), json!({"configmaps": "1"})),
                maps,
                &small,
                Err("exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: configmaps=1"),
            ),
            (
                "by count",
                quota(json!({}), json!({"count/configmaps": "5"}), json!({"count/configmaps": "1"})),
                maps,
                &small,
                Ok(Some("count/configmaps=2")),
            ),
        ];
        for (name, quota, measure, object, expected) in table {
            let write = Write { new: object, old: None, subresource: "" };
            let found = charge(&quota, measure, write, now()).map(|used| used.map(|used| show(&used)));
            assert_eq!(found, expected.map(|used| used.map(str::to_owned)).map_err(str::to_owned), "{name}");
        }
    }

    #[test]
    fn an_update_is_charged_for_what_it_adds() {
        let services = Measure::of("", "services");
        let quota = quota(
            json!({}),
            json!({"services": "1", "services.nodeports": "2"}),
            json!({"services": "1", "services.nodeports": "0"}),
        );
        let service = |kind: &str| json!({"spec": {"type": kind, "ports": [{"port": 1}, {"port": 2}]}});
        let (plain, open) = (service("ClusterIP"), service("NodePort"));
        let change = |new, old| charge(&quota, services, Write { new, old: Some(old), subresource: "" }, now());
        assert_eq!(change(&open, &plain).unwrap().map(|used| show(&used)).unwrap(), "services=1,services.nodeports=2");
        assert_eq!(change(&plain, &open).unwrap(), None);
        assert_eq!(change(&open, &open).unwrap(), None);
    }
}
