//! The taints that follow from a node's conditions.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::common::nodes;

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Condition, its status, and the taint that keeps new pods away.
const NO_SCHEDULE: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];

/// The node's taints as they shall be: those of others first, as they are.
pub(super) fn wanted(node: &Node, all_down: bool, now: Timestamp) -> Vec<Taint> {
    let status = |type_: &str| nodes::condition(node, type_).map(|condition| condition.status.as_str());
    let mut keys: Vec<(&str, &str)> = Vec::new();
    for (type_, wanted, key) in NO_SCHEDULE {
        if status(type_) == Some(wanted) {
            keys.push((key, "NoSchedule"));
        }
    }
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        keys.push((UNSCHEDULABLE, "NoSchedule"));
    }
    match status("Ready") {
        Some("False") if !all_down => keys.push((NOT_READY, "NoExecute")),
        Some("Unknown") if !all_down => keys.push((UNREACHABLE, "NoExecute")),
        _ => {}
    }
    let current = nodes::taints(node);
    let mut taints: Vec<Taint> =
        current.iter().filter(|taint| !is_ours(node, taint) || is_one_of(taint, &keys)).cloned().collect();
    for (key, effect) in keys {
        if !current.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                value: None,
                time_added: Some(Time(now)),
            });
        }
    }
    taints
}

/// A node that has not told whether it is ready keeps what it was registered with.
fn is_ours(node: &Node, taint: &Taint) -> bool {
    let ready_taint = taint.key == NOT_READY || taint.key == UNREACHABLE;
    let ready_known = nodes::condition(node, "Ready").is_some();
    match taint.effect.as_str() {
        "NoSchedule" if ready_taint => ready_known,
        "NoSchedule" => taint.key == UNSCHEDULABLE || NO_SCHEDULE.iter().any(|(_, _, key)| *key == taint.key),
        "NoExecute" => ready_taint && ready_known,
        _ => false,
    }
}

fn is_one_of(taint: &Taint, keys: &[(&str, &str)]) -> bool {
    keys.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, object};
    use serde_json::json;

    #[test]
    fn taints_follow_from_conditions() {
        type Taints<'a> = &'a [&'a str];
        let table: &[(&str, &str, bool, Taints, Taints)] = &[
            ("ready", "Ready=True", false, &[], &[]),
            ("not ready", "Ready=False", false, &[], &["not-ready:NoSchedule", "not-ready:NoExecute"]),
            ("unknown", "Ready=Unknown", false, &[], &["unreachable:NoSchedule", "unreachable:NoExecute"]),
            ("all are down", "Ready=Unknown", true, &["unreachable:NoExecute"], &["unreachable:NoSchedule"]),
            ("ready again", "Ready=True", false, &["unreachable:NoSchedule", "unreachable:NoExecute"], &[]),
            (
                "from one to the other",
                "Ready=False",
                false,
                &["unreachable:NoExecute"],
                &["not-ready:NoSchedule", "not-ready:NoExecute"],
            ),
            ("pressure", "Ready=True DiskPressure=True", false, &[], &["disk-pressure:NoSchedule"]),
            ("cordoned", "Ready=True cordoned", false, &[], &["unschedulable:NoSchedule"]),
            ("uncordoned", "Ready=True", false, &["unschedulable:NoSchedule"], &[]),
            (
                "another's taints stay",
                "Ready=True",
                false,
                &["mine:NoExecute", "mine:NoSchedule"],
                &["mine:NoExecute", "mine:NoSchedule"],
            ),
            ("has not told yet", "", false, &["not-ready:NoSchedule"], &["not-ready:NoSchedule"]),
        ];
        for (name, state, all_down, before, after) in table {
            let mut node = json!({"metadata": {"name": "n1"}, "spec": {}, "status": {"conditions": []}});
            for word in state.split_whitespace() {
                match word.split_once('=') {
                    Some((type_, status)) => {
                        let condition = json!({"type": type_, "status": status});
                        node["status"]["conditions"].as_array_mut().expect("a list").push(condition);
                    }
                    None => node["spec"]["unschedulable"] = json!(true),
                }
            }
            let taint = |text: &&str| {
                let (key, effect) = text.split_once(':').expect("key:effect");
                json!({"key": format!("node.kubernetes.io/{key}"), "effect": effect})
            };
            node["spec"]["taints"] = before.iter().map(taint).collect();
            let taints = wanted(&object(node), *all_down, now());
            let text =
                |taint: &Taint| format!("{}:{}", taint.key.trim_start_matches("node.kubernetes.io/"), taint.effect);
            assert_eq!(taints.iter().map(text).collect::<Vec<_>>(), *after, "{name}");
        }
    }
}
