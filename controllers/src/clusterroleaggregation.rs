//! Owns:    the rules of ClusterRoles that gather those of others.
//! Watches: ClusterRoles.
//! Writes:  ClusterRoles (patch of the rules).

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, Watch, mapped};
use serde_json::json;

use crate::common::selector;

pub struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    const NAME: &'static str = "clusterrole-aggregation-controller";
    const QUEUE: &'static str = "ClusterRoleAggregator";
    type Root = ClusterRole;
    /// All ClusterRoles, by name.
    type View = Vec<Arc<ClusterRole>>;

    fn watches() -> Vec<Watch> {
        vec![mapped::<ClusterRole>(gatherers_of)]
    }

    fn view(&self, root: &ClusterRole, caches: &Caches) -> Vec<Arc<ClusterRole>> {
        if selectors(root).is_empty() { Vec::new() } else { caches.get::<ClusterRole>().list() }
    }

    fn decide(&self, root: &ClusterRole, roles: &Vec<Arc<ClusterRole>>, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if root.aggregation_rule.is_none() {
            return plan;
        }
        let rules = gather(root, roles);
        if rules != *root.rules.as_deref().unwrap_or_default() {
            plan.push(Action::merge_patch(root, json!({ "rules": rules })).unchanged(root));
        }
        plan
    }
}

fn selectors(role: &ClusterRole) -> &[LabelSelector] {
    let selectors = role.aggregation_rule.as_ref().and_then(|rule| rule.cluster_role_selectors.as_deref());
    selectors.unwrap_or_default()
}

/// The roles that gather, or gathered, this one's rules.
fn gatherers_of(role: &ClusterRole, caches: &Caches) -> Vec<Key> {
    let labels = selector::labels(&role.metadata.labels);
    let gathers = |other: &&Arc<ClusterRole>| selectors(other).iter().any(|own| selector::matches(own, labels));
    caches.get::<ClusterRole>().list().iter().filter(gathers).map(|other| Key::of(&**other)).collect()
}

/// The rules of all selected roles but its own, each once, selector by selector and by name.
fn gather(root: &ClusterRole, roles: &[Arc<ClusterRole>]) -> Vec<PolicyRule> {
    let mut rules: Vec<PolicyRule> = Vec::new();
    for own in selectors(root) {
        let selected = roles.iter().filter(|role| selector::matches(own, selector::labels(&role.metadata.labels)));
        let others = selected.filter(|role| role.metadata.name != root.metadata.name);
        for rule in others.flat_map(|role| role.rules.iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, shared};
    use serde_json::Value;

    fn rule(verb: &str) -> Value {
        json!({"verbs": [verb], "apiGroups": [""], "resources": ["pods"]})
    }

    fn role(name: &str, label: &str, rules: Value) -> Value {
        json!({"metadata": {"name": name, "labels": {label: "true"}}, "rules": rules})
    }

    fn gatherer(label: &str, selectors: Value, rules: Value) -> Value {
        let mut role = role("admin", label, rules);
        role["aggregationRule"] = json!({"clusterRoleSelectors": selectors});
        role
    }

    #[test]
    fn rules_are_gathered_once_and_in_order() {
        let to = |label: &str| json!({"matchLabels": {label: "true"}});
        let others = [
            role("a", "x", json!([rule("get"), rule("list")])),
            role("b", "y", json!([rule("watch")])),
            role("c", "x", json!([rule("list"), rule("patch")])),
            role("d", "x", Value::Null),
        ];
        let patch = |verbs: &[&str]| {
            let rules: Vec<Value> = verbs.iter().map(|verb| rule(verb)).collect();
            vec![format!("patch ClusterRole admin {}", json!({ "rules": rules }))]
        };
        let table = [
            ("new", gatherer("z", json!([to("x")]), Value::Null), patch(&["get", "list", "patch"])),
            (
                "two selectors",
                gatherer("z", json!([to("y"), to("x")]), json!([])),
                patch(&["watch", "get", "list", "patch"]),
            ),
            ("right", gatherer("z", json!([to("y")]), json!([rule("watch")])), vec![]),
            ("edited", gatherer("z", json!([to("y")]), json!([rule("*")])), patch(&["watch"])),
            ("nothing selected", gatherer("z", json!([to("w")]), json!([rule("get")])), patch(&[])),
            ("selects itself", gatherer("y", json!([to("y")]), json!([rule("watch")])), vec![]),
            ("gathers nothing", role("admin", "z", json!([rule("get")])), vec![]),
        ];
        for (name, root, expected) in table {
            let mut roles: Vec<Value> = others.to_vec();
            roles.push(root.clone());
            let plan = ClusterRoleAggregation.decide(&object(root), &shared(roles), now());
            assert_eq!(actions(&plan), expected, "{name}");
        }
    }

    #[test]
    fn a_change_concerns_those_who_gather() {
        let caches = Caches::default();
        let x = json!([{"matchLabels": {"x": "true"}}]);
        let all: Vec<ClusterRole> = vec![object(gatherer("z", x, json!([]))), object(role("other", "z", json!([])))];
        caches.insert(all);
        let keys = |label: &str| gatherers_of(&object(role("a", label, json!([]))), &caches);
        assert_eq!(keys("x"), [Key::cluster("admin")]);
        assert_eq!(keys("y"), []);
    }
}
