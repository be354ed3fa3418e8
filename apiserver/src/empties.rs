//! Empty maps and lists that are not the same as none. What is decoded and what is stored has no empty ones where Go leaves them out, but
//! some rules of upstream's look at Go's values before that: whether there is one, whether it is equal to another one down to that, or
//! what to show of it.

use api::Object;
use serde_json::{Map, Value};

/// What is empty there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Map,
    List,
    Bytes,
}

use Form::{Bytes, List, Map as Members};

type Places = &'static [(Form, &'static str)];

const OF_WORKLOADS: Places = &[
    (Members, "/spec/template/metadata/labels"),
    (List, "/spec/template/spec/resources/claims"),
    (List, "/spec/template/spec/ephemeralContainers/*/ports"),
    (List, "/spec/template/spec/ephemeralContainers/*/resources/claims"),
    (Members, "/spec/template/spec/ephemeralContainers/*/resources/limits"),
    (Members, "/spec/template/spec/ephemeralContainers/*/resources/requests"),
    (List, "/spec/template/spec/ephemeralContainers/*/resizePolicy"),
    (List, "/spec/template/spec/ephemeralContainers/*/restartPolicyRules"),
];
const OF_JOBS: Places = &[
    (Members, "/spec/template/metadata/labels"),
    (List, "/spec/template/spec/resources/claims"),
    (List, "/spec/template/spec/ephemeralContainers/*/ports"),
    (List, "/spec/template/spec/ephemeralContainers/*/resources/claims"),
    (Members, "/spec/template/spec/ephemeralContainers/*/resources/limits"),
    (Members, "/spec/template/spec/ephemeralContainers/*/resources/requests"),
    (List, "/spec/template/spec/ephemeralContainers/*/resizePolicy"),
    (List, "/spec/template/spec/ephemeralContainers/*/restartPolicyRules"),
    (List, "/spec/podFailurePolicy/rules/*/onExitCodes/values"),
];
const OF_CRON_JOBS: Places = &[
    (List, "/spec/jobTemplate/spec/template/spec/resources/claims"),
    (List, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/ports"),
    (List, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/resources/claims"),
    (Members, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/resources/limits"),
    (Members, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/resources/requests"),
    (List, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/resizePolicy"),
    (List, "/spec/jobTemplate/spec/template/spec/ephemeralContainers/*/restartPolicyRules"),
    (List, "/spec/jobTemplate/spec/podFailurePolicy/rules/*/onExitCodes/values"),
];
const OF_PODS: Places = &[
    (Members, "/spec/overhead"),
    (List, "/spec/resources/claims"),
    (List, "/spec/ephemeralContainers/*/ports"),
    (List, "/spec/ephemeralContainers/*/resources/claims"),
    (Members, "/spec/ephemeralContainers/*/resources/limits"),
    (Members, "/spec/ephemeralContainers/*/resources/requests"),
    (List, "/spec/ephemeralContainers/*/resizePolicy"),
    (List, "/spec/ephemeralContainers/*/restartPolicyRules"),
];
const OF_POD_TEMPLATES: Places = &[
    (List, "/template/spec/resources/claims"),
    (List, "/template/spec/ephemeralContainers/*/ports"),
    (List, "/template/spec/ephemeralContainers/*/resources/claims"),
    (Members, "/template/spec/ephemeralContainers/*/resources/limits"),
    (Members, "/template/spec/ephemeralContainers/*/resources/requests"),
    (List, "/template/spec/ephemeralContainers/*/resizePolicy"),
    (List, "/template/spec/ephemeralContainers/*/restartPolicyRules"),
];
const OF_WEBHOOKS: Places =
    &[(Bytes, "/webhooks/*/clientConfig/caBundle"), (List, "/webhooks/*/matchConditions"), (List, "/webhooks/*/rules")];
/// All of what their generation counts.
const OF_NETWORK_POLICIES: Places = &[
    (Members, "/spec/podSelector/matchLabels"),
    (List, "/spec/podSelector/matchExpressions"),
    (List, "/spec/ingress"),
    (List, "/spec/ingress/*/from"),
    (List, "/spec/ingress/*/from/*/ipBlock/except"),
    (Members, "/spec/ingress/*/from/*/podSelector/matchLabels"),
    (Members, "/spec/ingress/*/from/*/namespaceSelector/matchLabels"),
    (List, "/spec/ingress/*/ports"),
    (List, "/spec/egress"),
    (List, "/spec/egress/*/to"),
    (List, "/spec/egress/*/to/*/ipBlock/except"),
    (Members, "/spec/egress/*/to/*/podSelector/matchLabels"),
    (Members, "/spec/egress/*/to/*/namespaceSelector/matchLabels"),
    (List, "/spec/egress/*/ports"),
];

/// What a schema must not say, not even that there is none: everywhere, or at its root where there is a status.
const OF_DEFINITIONS: Places = &[
    (Members, "/spec/versions/*/schema/openAPIV3Schema/**/dependencies"),
    (Members, "/spec/versions/*/schema/openAPIV3Schema/definitions"),
    (Members, "/spec/versions/*/schema/openAPIV3Schema/patternProperties"),
    (List, "/spec/versions/*/schema/openAPIV3Schema/allOf"),
    (List, "/spec/versions/*/schema/openAPIV3Schema/anyOf"),
    (List, "/spec/versions/*/schema/openAPIV3Schema/enum"),
    (List, "/spec/versions/*/schema/openAPIV3Schema/oneOf"),
    (List, "/spec/versions/*/schema/openAPIV3Schema/x-kubernetes-list-map-keys"),
];

/// Lists that have one owner. Inside of them an empty list or map counts when owners are told.
const ATOMIC: [&str; 5] = [
    "/spec/egress/*",
    "/spec/ingress/*",
    "/spec/jobTemplate/spec/podFailurePolicy/rules/*",
    "/spec/podFailurePolicy/rules/*",
    "/spec/versions/*",
];

/// What a template of a claim must not say, not even that there is none.
const OF_TEMPLATES_OF_CLAIMS: Places = &[
    (List, "/spec/metadata/ownerReferences"),
    (List, "/spec/metadata/finalizers"),
    (List, "/spec/metadata/managedFields"),
];

/// By kind: pointers to what such a rule looks at. A star is each element of a list, two are the value there and all that is in it.
const PLACES: [(&str, Places); 23] = [
    // Its `data` is never nil there: it has a default.
    ("ConfigMap", &[(Members, "/binaryData")]),
    ("CronJob", OF_CRON_JOBS),
    ("CustomResourceDefinition", OF_DEFINITIONS),
    ("DaemonSet", OF_WORKLOADS),
    ("Deployment", OF_WORKLOADS),
    (
        "HorizontalPodAutoscaler",
        &[(List, "/spec/behavior/scaleDown/policies"), (List, "/spec/behavior/scaleUp/policies")],
    ),
    ("Ingress", &[(List, "/spec/rules")]),
    ("Job", OF_JOBS),
    ("MutatingWebhookConfiguration", OF_WEBHOOKS),
    ("NetworkPolicy", OF_NETWORK_POLICIES),
    ("PersistentVolume", &[(Members, "/spec/capacity")]),
    ("Pod", OF_PODS),
    ("PodTemplate", OF_POD_TEMPLATES),
    ("ReplicaSet", OF_WORKLOADS),
    ("ReplicationController", OF_WORKLOADS),
    ("ResourceClaimTemplate", OF_TEMPLATES_OF_CLAIMS),
    ("ResourceSlice", &[(List, "/spec/nodeSelector/nodeSelectorTerms")]),
    ("Secret", &[(Members, "/data")]),
    ("ServiceCIDR", &[(List, "/spec/cidrs")]),
    ("StatefulSet", OF_WORKLOADS),
    ("StorageClass", &[(Members, "/parameters")]),
    ("ValidatingWebhookConfiguration", OF_WEBHOOKS),
    ("VolumeAttributesClass", &[(Members, "/parameters")]),
];

/// The empty ones of an object.
#[must_use]
pub(crate) struct Empties(Vec<(String, Form)>);

impl Empties {
    /// Whether there may be any.
    pub fn possible(object: &Object) -> bool {
        let kind = object["kind"].as_str().unwrap_or_default();
        PLACES.iter().any(|(of, _)| *of == kind)
    }

    /// Takes them out.
    pub fn take(object: &mut Object) -> Self {
        Self::take_where(object, |_| true)
    }

    /// Takes out those that do not count when owners of fields are told.
    pub fn take_unowned(object: &mut Object) -> Self {
        Self::take_where(object, |place| !ATOMIC.iter().any(|list| place.starts_with(list)))
    }

    fn take_where(object: &mut Object, wanted: impl Fn(&str) -> bool) -> Self {
        let kind = object["kind"].as_str().unwrap_or_default();
        let Some((_, places)) = PLACES.iter().find(|(of, _)| *of == kind) else { return Self(Vec::new()) };
        let mut empty = Vec::new();
        for (form, place) in places.iter().filter(|(_, place)| wanted(place)) {
            for place in each(object, place) {
                let Some((parent, name)) = place.rsplit_once('/') else { continue };
                if let Some(Value::Object(members)) = object.pointer_mut(parent)
                    && members.get(name).is_some_and(|value| *value == form.empty())
                {
                    members.remove(name);
                    empty.push((place, *form));
                }
            }
        }
        Self(empty)
    }

    pub fn put_back(self, object: &mut Object) {
        for (place, form) in self.0 {
            let Some((parent, name)) = place.rsplit_once('/') else { continue };
            if let Some(Value::Object(members)) = object.pointer_mut(parent) {
                members.entry(name).or_insert_with(|| form.empty());
            }
        }
    }
}

impl Form {
    fn empty(self) -> Value {
        match self {
            Members => Value::Object(Map::new()),
            List => Value::Array(Vec::new()),
            Bytes => Value::String(String::new()),
        }
    }
}

/// A pointer for each element that the star stands for.
fn each(object: &Object, place: &str) -> Vec<String> {
    let Some((list, rest)) = place.split_once("/*") else { return vec![place.to_owned()] };
    if let Some(name) = rest.strip_prefix('*') {
        let mut found = Vec::new();
        if let Some(value) = object.pointer(list) {
            below(value, list, &mut |at| found.push(format!("{at}{name}")));
        }
        return found;
    }
    let count = object.pointer(list).and_then(Value::as_array).map_or(0, Vec::len);
    (0..count).flat_map(|index| each(object, &format!("{list}/{index}{rest}"))).collect()
}

/// Calls `with` with the pointer of each object in the value.
fn below(value: &Value, at: &str, with: &mut impl FnMut(&str)) {
    match value {
        Value::Object(members) => {
            with(at);
            for (name, member) in members {
                below(member, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), with);
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                below(element, &format!("{at}/{index}"), with);
            }
        }
        _ => {}
    }
}

/// What `work` does to an object that has none of them; they are there again after it.
pub(crate) fn without<R>(object: &mut Object, work: impl FnOnce(&mut Object) -> R) -> R {
    let empties = Empties::take(object);
    let done = work(object);
    empties.put_back(object);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn empty_maps_are_away_meanwhile() {
        let table = [
            (
                json!({"kind": "Secret", "data": {}, "stringData": {"a": ""}}),
                json!({"kind": "Secret", "stringData": {"a": ""}}),
            ),
            (json!({"kind": "Pod", "spec": {"overhead": {}, "x": {}}}), json!({"kind": "Pod", "spec": {"x": {}}})),
            (json!({"kind": "Pod"}), json!({"kind": "Pod"})),
            (json!({"kind": "Secret", "data": []}), json!({"kind": "Secret", "data": []})),
            (
                json!({"kind": "MutatingWebhookConfiguration", "webhooks": [{}, {"clientConfig": {"caBundle": ""}, "rules": []}]}),
                json!({"kind": "MutatingWebhookConfiguration", "webhooks": [{}, {"clientConfig": {}}]}),
            ),
            (json!({"kind": "Ingress", "spec": {"rules": []}}), json!({"kind": "Ingress", "spec": {}})),
            (
                json!({"kind": "Pod", "spec": {"ephemeralContainers": [{"resources": {"claims": [], "limits": {}}}]}}),
                json!({"kind": "Pod", "spec": {"ephemeralContainers": [{"resources": {}}]}}),
            ),
            (
                json!({"kind": "CustomResourceDefinition", "spec": {"versions": [{"schema": {"openAPIV3Schema": {
                    "dependencies": {}, "definitions": {"a.com/b~": {"items": [{"dependencies": {}}]}}}}}]}}),
                json!({"kind": "CustomResourceDefinition", "spec": {"versions": [{"schema": {"openAPIV3Schema": {
                    "definitions": {"a.com/b~": {"items": [{}]}}}}}]}}),
            ),
            (json!({"kind": "Role", "data": {}}), json!({"kind": "Role", "data": {}})),
        ];
        for (object, without_them) in table {
            let mut worked_on = object.clone();
            without(&mut worked_on, |inside| assert_eq!(*inside, without_them));
            assert_eq!(worked_on, object);
        }
    }
}
