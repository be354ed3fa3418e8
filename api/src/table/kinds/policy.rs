//! Policies: quotas, budgets, autoscaling, access, admission, certificates, flow control and device claims.

use jiff::SignedDuration;
use serde_json::Value;

use super::{at, condition, count, joined, list, number, scalar, text, text_or};
use crate::Object;
use crate::meta::Meta;
use crate::table::Column;
use crate::time;

pub(super) static RESOURCE_QUOTA: &[Column] = &[
    Column::NAME,
    Column::text("Request", |quota, _| quotas(quota, false)),
    Column::text("Limit", |quota, _| quotas(quota, true)),
    Column::AGE,
];

fn quotas(quota: &Object, limits: bool) -> Value {
    let hard = at(quota, "/status/hard").as_object().into_iter().flatten();
    let shown = hard.filter(|(resource, _)| resource.starts_with("limits.") == limits).map(|(resource, hard)| {
        let used = at(quota, "/status/used").get(resource).map_or("0".to_owned(), scalar);
        format!("{resource}: {used}/{}", scalar(hard))
    });
    shown.collect::<Vec<_>>().join(", ").into()
}

pub(super) static DISRUPTION_BUDGET: &[Column] = &[
    Column::NAME,
    Column::text("Min Available", |budget, _| scalar_or(budget, "/spec/minAvailable", "N/A")),
    Column::text("Max Unavailable", |budget, _| scalar_or(budget, "/spec/maxUnavailable", "N/A")),
    Column::integer("Allowed Disruptions", |budget, _| number(budget, "/status/disruptionsAllowed").into()),
    Column::AGE,
];

fn scalar_or(object: &Value, pointer: &str, absent: &'static str) -> Value {
    match at(object, pointer) {
        Value::Null => absent.into(),
        found => scalar(found).into(),
    }
}

pub(super) static AUTOSCALER: &[Column] = &[
    Column::NAME,
    Column::text("Reference", |scaler, _| {
        let target = at(scaler, "/spec/scaleTargetRef");
        format!("{}/{}", text(target, "/kind"), text(target, "/name")).into()
    }),
    Column::text("Targets", |scaler, _| targets(scaler)),
    Column::text("MinPods", |scaler, _| scalar_or(scaler, "/spec/minReplicas", "<unset>")),
    Column::text("MaxPods", |scaler, _| number(scaler, "/spec/maxReplicas").into()),
    Column::text("Replicas", |scaler, _| number(scaler, "/status/currentReplicas").into()),
    Column::AGE,
];

fn targets(scaler: &Object) -> Value {
    let statuses = list(scaler, "/status/currentMetrics");
    let metrics = list(scaler, "/spec/metrics").iter().enumerate();
    let shown: Vec<String> = metrics.map(|(at, metric)| target(metric, statuses.get(at))).collect();
    match shown.len() {
        0 => "<none>".into(),
        count if count > 2 => format!("{} + {} more...", shown[..2].join(", "), count - 2).into(),
        _ => shown.join(", ").into(),
    }
}

/// `current/target` of one metric.
fn target(metric: &Value, status: Option<&Value>) -> String {
    let (source, of_resource) = match text(metric, "/type") {
        "External" => ("external", false),
        "Pods" => ("pods", false),
        "Object" => ("object", false),
        "Resource" => ("resource", true),
        "ContainerResource" => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let metric = &metric[source];
    let found = status.map(|status| &status[source]).filter(|found| found.is_object());
    // `unset`: what is shown of a source that does not have the value; Go's for none, where nothing else is said.
    let current = |key: &str, unset: &str| match found.map(|found| &found["current"][key]) {
        None => "<unknown>".to_owned(),
        Some(Value::Null) => unset.to_owned(),
        Some(value) if key == "averageUtilization" => format!("{}%", scalar(value)),
        Some(value) => scalar(value),
    };
    let name = if of_resource { format!("{}: ", text(metric, "/name")) } else { String::new() };
    let target = &metric["target"];
    match (&target["averageValue"], of_resource) {
        (Value::Null, true) => {
            let wanted = match &target["averageUtilization"] {
                Value::Null => "<auto>".to_owned(),
                percent => format!("{}%", scalar(percent)),
            };
            format!("{name}{}/{wanted}", current("averageUtilization", "<unknown>"))
        }
        (Value::Null, false) => format!("{}/{}", current("value", "<nil>"), scalar(&target["value"])),
        (average, _) => {
            let (mark, unset) =
                if source == "external" || source == "object" { (" (avg)", "<unknown>") } else { ("", "<nil>") };
            format!("{name}{}/{}{mark}", current("averageValue", unset), scalar(average))
        }
    }
}

pub(super) static ROLE_BINDING: &[Column] = &[
    Column::NAME,
    Column::text("Role", |binding, _| {
        format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")).into()
    }),
    Column::AGE,
    Column::text("Users", |binding, _| subjects(binding, "User")).wide(),
    Column::text("Groups", |binding, _| subjects(binding, "Group")).wide(),
    Column::text("ServiceAccounts", |binding, _| subjects(binding, "ServiceAccount")).wide(),
];

fn subjects(binding: &Object, kind: &str) -> Value {
    let subjects = list(binding, "/subjects").iter().filter(|subject| subject["kind"] == kind);
    let shown = subjects.map(|subject| match kind {
        "ServiceAccount" => format!("{}/{}", text(subject, "/namespace"), text(subject, "/name")),
        _ => text(subject, "/name").to_owned(),
    });
    shown.collect::<Vec<_>>().join(", ").into()
}

pub(super) static WEBHOOKS: &[Column] =
    &[Column::NAME, Column::integer("Webhooks", |object, _| count(object, "/webhooks").into()), Column::AGE];

const PARAM_KIND: Column = Column::text("ParamKind", |policy, _| match at(policy, "/spec/paramKind") {
    Value::Null => "<unset>".into(),
    kind => format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")).into(),
});

pub(super) static VALIDATING_POLICY: &[Column] = &[
    Column::NAME,
    Column::integer("Validations", |policy, _| count(policy, "/spec/validations").into()),
    PARAM_KIND,
    Column::AGE,
];

pub(super) static MUTATING_POLICY: &[Column] = &[
    Column::NAME,
    Column::integer("Mutations", |policy, _| count(policy, "/spec/mutations").into()),
    PARAM_KIND,
    Column::AGE,
];

/// As Go prints the message: upstream does not show it as a selector.
fn selector_text(selector: &Value) -> String {
    let labels = selector["matchLabels"].as_object().into_iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {},", text(value, ""))).collect();
    let one = |requirement: &Value| {
        let values: Vec<_> = list(requirement, "/values").iter().map(|value| text(value, "")).collect();
        let (key, operator) = (text(requirement, "/key"), text(requirement, "/operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let requirements: String = list(selector, "/matchExpressions").iter().map(one).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}

pub(super) static POLICY_BINDING: &[Column] = &[
    Column::NAME,
    Column::text("PolicyName", |binding, _| text(binding, "/spec/policyName").into()),
    Column::text("ParamRef", |binding, _| {
        let parameter = at(binding, "/spec/paramRef");
        match (text(parameter, "/namespace"), text(parameter, "/name")) {
            (_, "") if at(parameter, "/selector").is_object() => selector_text(at(parameter, "/selector")).into(),
            (_, "") => "<unset>".into(),
            ("", name) => format!("*/{name}").into(),
            (namespace, name) => format!("{namespace}/{name}").into(),
        }
    }),
    Column::AGE,
];

pub(super) static SIGNING_REQUEST: &[Column] = &[
    Column::NAME,
    Column::AGE,
    Column::text("SignerName", |request, _| text_or(request, "/spec/signerName", "<none>")),
    Column::text("Requestor", |request, _| text(request, "/spec/username").into()),
    Column::text("RequestedDuration", |request, _| match at(request, "/spec/expirationSeconds").as_i64() {
        None => "<none>".into(),
        Some(seconds) => time::human_duration(SignedDuration::from_secs(seconds)).into(),
    }),
    Column::text("Condition", |request, _| {
        let decided = match () {
            _ if condition(request, "Denied").is_some() => "Denied",
            _ if condition(request, "Approved").is_some() => "Approved",
            _ => "Pending",
        };
        let failed = if condition(request, "Failed").is_some() { ",Failed" } else { "" };
        let issued = if text(request, "/status/certificate").is_empty() { "" } else { ",Issued" };
        format!("{decided}{failed}{issued}").into()
    }),
];

pub(super) static TRUST_BUNDLE: &[Column] =
    &[Column::NAME, Column::text("SignerName", |bundle, _| text_or(bundle, "/spec/signerName", "<none>"))];

pub(super) static PRIORITY_CLASS: &[Column] = &[
    Column::NAME,
    Column::integer("Value", |class, _| number(class, "/value").into()),
    Column::boolean("Global-Default", |class, _| (class["globalDefault"] == true).into()),
    Column::AGE,
    // Upstream gives it no priority, though only wide output fills it.
    Column::text("PreemptionPolicy", |class, _| text(class, "/preemptionPolicy").into()),
];

pub(super) static FLOW_SCHEMA: &[Column] = &[
    Column::NAME,
    Column::text("PriorityLevel", |schema, _| text(schema, "/spec/priorityLevelConfiguration/name").into()),
    Column::text("MatchingPrecedence", |schema, _| number(schema, "/spec/matchingPrecedence").into()),
    Column::text("DistinguisherMethod", |schema, _| text_or(schema, "/spec/distinguisherMethod/type", "<none>")),
    Column::AGE,
    Column::text("MissingPL", |schema, _| condition(schema, "Dangling").map_or("?".into(), |c| c["status"].clone())),
];

pub(super) static PRIORITY_LEVEL: &[Column] = &[
    Column::NAME,
    Column::text("Type", |level, _| text(level, "/spec/type").into()),
    Column::text("NominalConcurrencyShares", |level, _| limited(level, "/spec/limited/nominalConcurrencyShares")),
    Column::text("Queues", |level, _| limited(level, "/spec/limited/limitResponse/queuing/queues")),
    Column::text("HandSize", |level, _| limited(level, "/spec/limited/limitResponse/queuing/handSize")),
    Column::text("QueueLengthLimit", |level, _| limited(level, "/spec/limited/limitResponse/queuing/queueLengthLimit")),
    Column::AGE,
];

fn limited(level: &Object, pointer: &str) -> Value {
    at(level, pointer).as_i64().map_or("<none>".into(), Value::from)
}

pub(super) static RESOURCE_CLAIM: &[Column] = &[
    Column::NAME,
    Column::text("State", |claim, _| {
        let deleted = claim.deletion_timestamp().is_some();
        let allocated = at(claim, "/status/allocation").is_object();
        let states = [
            (deleted, "deleted"),
            (!deleted && !allocated, "pending"),
            (allocated, "allocated"),
            (allocated && count(claim, "/status/reservedFor") > 0, "reserved"),
        ];
        joined(states.into_iter().filter(|(holds, _)| *holds).map(|(_, state)| state), ",").into()
    }),
    Column::AGE,
];

pub(super) static RESOURCE_SLICE: &[Column] = &[
    Column::NAME,
    Column::text("Node", |slice, _| text(slice, "/spec/nodeName").into()),
    Column::text("Driver", |slice, _| text(slice, "/spec/driver").into()),
    Column::text("Pool", |slice, _| text(slice, "/spec/pool/name").into()),
    Column::AGE,
];
