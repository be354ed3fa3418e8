//! The FlowSchemas and PriorityLevelConfigurations that every cluster has (`k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap`), and what
//! must change of a stored one (`k8s.io/kubernetes/pkg/registry/flowcontrol/ensurer`).

use api::Object;
use api::meta::Meta;
use serde_json::{Value, json};

pub(super) const GROUP: &str = "flowcontrol.apiserver.k8s.io";
pub(super) const API_VERSION: &str = "flowcontrol.apiserver.k8s.io/v1";
/// An object that says true is made what it was meant to be; mandatory ones always are.
const AUTO_UPDATE: &str = "apf.kubernetes.io/autoupdate-spec";

/// Name, shares, lendable percent, and queues with the size of a hand. None: what does not fit is refused.
type Level = (&'static str, u32, u32, Option<(u32, u32)>);

const LEVELS: [Level; 7] = [
    ("system", 30, 33, Some((64, 6))),
    ("node-high", 40, 25, Some((64, 6))),
    ("leader-election", 10, 0, Some((16, 4))),
    ("workload-high", 40, 50, Some((128, 6))),
    ("workload-low", 100, 90, Some((128, 6))),
    ("global-default", 20, 50, Some((128, 6))),
    ("catch-all", 5, 0, None),
];
const QUEUE_LENGTH: u32 = 50;

/// What a schema is about.
#[derive(Clone, Copy)]
enum About {
    Everything,
    Probes,
    /// What leaders are elected by.
    Elections,
    /// Nodes, their status and Leases.
    Health,
}

struct Schema {
    name: &'static str,
    level: &'static str,
    precedence: u32,
    distinguisher: &'static str,
    /// `g:` groups, `u:` users, `s:` namespaces of service accounts.
    subjects: &'static [&'static str],
    about: About,
}

const fn schema(
    name: &'static str,
    level: &'static str,
    precedence: u32,
    distinguisher: &'static str,
    subjects: &'static [&'static str],
    about: About,
) -> Schema {
    Schema { name, level, precedence, distinguisher, subjects, about }
}

const EVERYBODY: &[&str] = &["g:system:unauthenticated", "g:system:authenticated"];
const LEADERS: &[&str] = &["u:system:kube-controller-manager", "u:system:kube-scheduler", "s:kube-system"];
const MANAGER: &[&str] = &["u:system:kube-controller-manager"];
const SCHEDULER: &[&str] = &["u:system:kube-scheduler"];

const SCHEMAS: [Schema; 11] = [
    schema("system-nodes", "system", 500, "ByUser", &["g:system:nodes"], About::Everything),
    schema("system-node-high", "node-high", 400, "ByUser", &["g:system:nodes"], About::Health),
    schema("probes", "exempt", 2, "", EVERYBODY, About::Probes),
    schema("system-leader-election", "leader-election", 100, "ByUser", LEADERS, About::Elections),
    schema("kube-controller-manager", "workload-high", 800, "ByNamespace", MANAGER, About::Everything),
    schema("kube-scheduler", "workload-high", 800, "ByNamespace", SCHEDULER, About::Everything),
    schema("kube-system-service-accounts", "workload-high", 900, "ByNamespace", &["s:kube-system"], About::Everything),
    schema("service-accounts", "workload-low", 9000, "ByUser", &["g:system:serviceaccounts"], About::Everything),
    schema("global-default", "global-default", 9900, "ByUser", EVERYBODY, About::Everything),
    schema("exempt", "exempt", 1, "", &["g:system:masters"], About::Everything),
    schema("catch-all", "catch-all", 10_000, "ByUser", EVERYBODY, About::Everything),
];

/// All levels, in an order in which they can be made.
pub fn levels() -> Vec<Object> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = LEVELS.iter().map(|(name, shares, lendable, queues)| {
        let response = match queues {
            None => json!({"type": "Reject"}),
            Some((queues, hand)) => json!({"type": "Queue",
                "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH}}),
        };
        let limited =
            json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        object("PriorityLevelConfiguration", name, json!({"type": "Limited", "limited": limited}))
    });
    limited.chain([object("PriorityLevelConfiguration", "exempt", exempt)]).collect()
}

pub fn schemas() -> Vec<Object> {
    SCHEMAS.iter().map(Schema::object).collect()
}

/// What no cluster can do without. They are made what they should be whatever their annotation says.
pub const MANDATORY: [&str; 2] = ["exempt", "catch-all"];

fn object(kind: &str, name: &str, spec: Value) -> Object {
    let metadata = json!({"name": name, "annotations": {AUTO_UPDATE: "true"}});
    json!({"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec})
}

impl Schema {
    fn object(&self) -> Object {
        let subjects: Vec<Value> = self.subjects.iter().map(|text| subject(text)).collect();
        let resources = |verbs: &[&str], group: &str, resources: &[&str], cluster: bool| {
            let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
            if cluster {
                rule["clusterScope"] = true.into();
            }
            rule
        };
        let mut rule = json!({"subjects": subjects});
        match self.about {
            About::Everything => {
                rule["resourceRules"] = json!([resources(&["*"], "*", &["*"], true)]);
                rule["nonResourceRules"] = json!([{"verbs": ["*"], "nonResourceURLs": ["*"]}]);
            }
            About::Probes => {
                let urls = ["/healthz", "/readyz", "/livez"];
                rule["nonResourceRules"] = json!([{"verbs": ["get"], "nonResourceURLs": urls}]);
            }
            About::Elections => {
                let verbs = ["get", "create", "update"];
                rule["resourceRules"] = json!([resources(&verbs, "coordination.k8s.io", &["leases"], false)]);
            }
            About::Health => {
                rule["resourceRules"] = json!([
                    resources(&["*"], "", &["nodes", "nodes/status"], true),
                    resources(&["*"], "coordination.k8s.io", &["leases"], false),
                ]);
            }
        }
        let mut spec = json!({"priorityLevelConfiguration": {"name": self.level}, "matchingPrecedence": self.precedence,
            "rules": [rule]});
        if !self.distinguisher.is_empty() {
            spec["distinguisherMethod"] = json!({"type": self.distinguisher});
        }
        object("FlowSchema", self.name, spec)
    }
}

fn subject(text: &str) -> Value {
    match text.split_once(':') {
        Some(("g", name)) => json!({"kind": "Group", "group": {"name": name}}),
        Some(("s", namespace)) => {
            json!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": namespace}})
        }
        _ => json!({"kind": "User", "user": {"name": text.trim_start_matches("u:")}}),
    }
}

/// What a stored object should be instead; `None`: as it is.
pub fn revised(current: &Object, wanted: &Object) -> Option<Object> {
    let annotation = auto_update(current);
    // Without a word on it, one whose spec nobody has changed.
    let own = MANDATORY.contains(&wanted.name());
    let update = own || annotation.unwrap_or_else(|| current["metadata"]["generation"] == 1);
    let mut new = current.clone();
    if update {
        new["spec"] = wanted["spec"].clone();
    }
    if annotation != Some(update) {
        new["metadata"]["annotations"][AUTO_UPDATE] = update.to_string().into();
    }
    (new != *current).then_some(new)
}

/// It was made by an earlier version, which had it; nobody has taken it over.
pub fn is_stale(current: &Object, wanted: &[Object]) -> bool {
    auto_update(current) == Some(true) && wanted.iter().all(|wanted| wanted.name() != current.name())
}

/// What the annotation says, as Go reads a boolean.
fn auto_update(object: &Object) -> Option<bool> {
    match object["metadata"]["annotations"][AUTO_UPDATE].as_str()? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::flow_control::{FlowSchema, PriorityLevel};
    use crate::strategy::Strategy;

    #[test]
    fn what_every_cluster_has_is_valid_and_complete() {
        let (levels, schemas) = (levels(), schemas());
        assert_eq!((levels.len(), schemas.len()), (8, 11));
        let check = |object: &Object, strategy: &dyn Strategy| {
            let mut defaulted = object.clone();
            strategy.defaults(&mut defaulted, None);
            assert_eq!(defaulted, *object, "defaults change nothing");
            assert_eq!(strategy.validate(object), [], "{object}");
        };
        levels.iter().for_each(|level| check(level, &PriorityLevel));
        schemas.iter().for_each(|schema| check(schema, &FlowSchema));
        for schema in &schemas {
            let level = &schema["spec"]["priorityLevelConfiguration"]["name"];
            assert!(levels.iter().any(|own| own["metadata"]["name"] == *level), "{level}");
        }
    }

    #[test]
    fn annotations_say_what_is_kept() {
        let levels = levels();
        let find = |name: &str| levels.iter().find(|level| level.name() == name).cloned().unwrap();
        let changed = |name: &str, annotation: Option<&str>, generation: u32| {
            let mut current = find(name);
            current["spec"]["limited"]["nominalConcurrencyShares"] = 7.into();
            current["metadata"]["generation"] = generation.into();
            current["metadata"]["annotations"] = annotation.map_or(json!({}), |text| json!({AUTO_UPDATE: text}));
            current
        };
        // The shares afterwards and the annotation; none: nothing changes.
        let table = [
            ("system", Some("true"), 2, Some((30, "true"))),
            ("system", Some("false"), 2, None),
            ("system", None, 1, Some((30, "true"))),
            ("system", None, 2, Some((7, "false"))),
            ("system", Some("x"), 2, Some((7, "false"))),
            ("catch-all", Some("false"), 2, Some((5, "true"))),
        ];
        for (name, annotation, generation, expected) in table {
            let revised = revised(&changed(name, annotation, generation), &find(name));
            let got = revised.as_ref().map(|new| {
                let shares = new["spec"]["limited"]["nominalConcurrencyShares"].as_i64().unwrap();
                (shares, new["metadata"]["annotations"][AUTO_UPDATE].as_str().unwrap())
            });
            assert_eq!(got, expected, "{name} {annotation:?} {generation}");
        }
        let mut old = find("system");
        assert!(!is_stale(&old, &levels));
        old["metadata"]["name"] = "old".into();
        assert!(is_stale(&old, &levels));
        old["metadata"]["annotations"] = json!({});
        assert!(!is_stale(&old, &levels));
    }
}
