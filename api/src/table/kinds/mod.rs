//! The columns of the built-in kinds: one row per kind in [`columns`], one file per family.
//!
//! What the files share is here: reading by JSON pointer, where an absent field is the empty string or zero, as it is for Go.

mod cluster;
mod network;
mod node;
mod pod;
mod policy;
mod storage;
mod workload;

use jiff::Timestamp;
use serde_json::Value;

use super::column::Column;
use crate::Object;
use crate::gvk::GroupVersionKind;
use crate::selector::LabelSelector;
use crate::time;

static DEFAULT: &[Column] = &[Column::NAME, Column::CREATED_AT];
static NAME_AND_AGE: &[Column] = &[Column::NAME, Column::AGE];

/// The columns of a kind, in any version of its group.
pub fn columns(kind: &GroupVersionKind) -> &'static [Column] {
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "ComponentStatus") => cluster::COMPONENT_STATUS,
        ("", "ConfigMap") => cluster::CONFIG_MAP,
        ("", "Endpoints") => network::ENDPOINTS,
        ("", "Event") | ("events.k8s.io", "Event") => cluster::EVENT,
        ("", "Namespace") => cluster::NAMESPACE,
        ("", "Node") => node::NODE,
        ("", "PersistentVolume") => storage::PERSISTENT_VOLUME,
        ("", "PersistentVolumeClaim") => storage::PERSISTENT_VOLUME_CLAIM,
        ("", "Pod") => pod::POD,
        ("", "PodTemplate") => workload::POD_TEMPLATE,
        ("", "ReplicationController") => workload::REPLICATION_CONTROLLER,
        ("", "ResourceQuota") => policy::RESOURCE_QUOTA,
        ("", "Secret") => cluster::SECRET,
        ("", "Service") => network::SERVICE,
        ("", "ServiceAccount") => NAME_AND_AGE,
        ("", "Status") => cluster::STATUS,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicy") => policy::MUTATING_POLICY,
        ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding") => policy::POLICY_BINDING,
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration") => policy::WEBHOOKS,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => policy::VALIDATING_POLICY,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding") => policy::POLICY_BINDING,
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration") => policy::WEBHOOKS,
        ("apiregistration.k8s.io", "APIService") => cluster::API_SERVICE,
        ("apps", "ControllerRevision") => workload::CONTROLLER_REVISION,
        ("apps", "DaemonSet") => workload::DAEMON_SET,
        ("apps", "Deployment") => workload::DEPLOYMENT,
        ("apps", "ReplicaSet") => workload::REPLICA_SET,
        ("apps", "StatefulSet") => workload::STATEFUL_SET,
        ("autoscaling", "HorizontalPodAutoscaler") => policy::AUTOSCALER,
        ("autoscaling", "Scale") => workload::SCALE,
        ("batch", "CronJob") => workload::CRON_JOB,
        ("batch", "Job") => workload::JOB,
        ("certificates.k8s.io", "CertificateSigningRequest") => policy::SIGNING_REQUEST,
        ("certificates.k8s.io", "ClusterTrustBundle") => policy::TRUST_BUNDLE,
        ("coordination.k8s.io", "Lease") => cluster::LEASE,
        ("coordination.k8s.io", "LeaseCandidate") => cluster::LEASE_CANDIDATE,
        ("discovery.k8s.io", "EndpointSlice") => network::ENDPOINT_SLICE,
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => policy::FLOW_SCHEMA,
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => policy::PRIORITY_LEVEL,
        ("networking.k8s.io", "Ingress") => network::INGRESS,
        ("networking.k8s.io", "IngressClass") => network::INGRESS_CLASS,
        ("networking.k8s.io", "IPAddress") => network::IP_ADDRESS,
        ("networking.k8s.io", "NetworkPolicy") => network::NETWORK_POLICY,
        ("networking.k8s.io", "ServiceCIDR") => network::SERVICE_CIDR,
        ("node.k8s.io", "RuntimeClass") => node::RUNTIME_CLASS,
        ("policy", "PodDisruptionBudget") => policy::DISRUPTION_BUDGET,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding" | "RoleBinding") => policy::ROLE_BINDING,
        ("resource.k8s.io", "DeviceClass" | "ResourceClaimTemplate") => NAME_AND_AGE,
        ("resource.k8s.io", "ResourceClaim") => policy::RESOURCE_CLAIM,
        ("resource.k8s.io", "ResourceSlice") => policy::RESOURCE_SLICE,
        ("scheduling.k8s.io", "PriorityClass") => policy::PRIORITY_CLASS,
        ("storage.k8s.io", "CSIDriver") => storage::CSI_DRIVER,
        ("storage.k8s.io", "CSINode") => storage::CSI_NODE,
        ("storage.k8s.io", "StorageClass") => storage::STORAGE_CLASS,
        ("storage.k8s.io", "VolumeAttachment") => storage::VOLUME_ATTACHMENT,
        ("storage.k8s.io", "VolumeAttributesClass") => storage::VOLUME_ATTRIBUTES_CLASS,
        _ => DEFAULT,
    }
}

/// Those of a kind that has none of its own.
pub(super) fn is_default(columns: &[Column]) -> bool {
    matches!(columns, [_, Column { name, .. }] if *name == Column::CREATED_AT.name)
}

/// `conditions` of a row: only finished pods have any.
pub(super) fn row_conditions(object: &Object) -> Option<Value> {
    (object["kind"] == "Pod" && object["apiVersion"] == "v1").then(|| pod::row_conditions(object)).flatten()
}

fn at<'a>(object: &'a Value, pointer: &str) -> &'a Value {
    object.pointer(pointer).unwrap_or(&Value::Null)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    at(object, pointer).as_str().unwrap_or_default()
}

/// The text, or what stands for its absence.
fn text_or(object: &Value, pointer: &str, absent: &'static str) -> Value {
    match text(object, pointer) {
        "" => absent.into(),
        text => text.into(),
    }
}

fn number(object: &Value, pointer: &str) -> i64 {
    at(object, pointer).as_i64().unwrap_or_default()
}

/// A number or a text, as IntOrString and quantities have.
fn scalar(value: &Value) -> String {
    crate::jsonpath::to_text(value)
}

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    at(object, pointer).as_array().map(Vec::as_slice).unwrap_or_default()
}

fn count(object: &Value, pointer: &str) -> i64 {
    match at(object, pointer) {
        Value::Array(items) => items.len() as i64,
        Value::Object(members) => members.len() as i64,
        _ => 0,
    }
}

fn joined<'a>(texts: impl IntoIterator<Item = &'a str>, separator: &str) -> String {
    texts.into_iter().collect::<Vec<_>>().join(separator)
}

/// One member of each element.
fn each<'a>(items: &'a [Value], key: &'a str) -> impl Iterator<Item = &'a str> {
    items.iter().map(move |item| item[key].as_str().unwrap_or_default())
}

/// The time since a timestamp, or what stands for its absence.
fn since(object: &Value, pointer: &str, absent: &'static str, now: Timestamp) -> Value {
    match text(object, pointer) {
        "" => absent.into(),
        text => time::age(Some(text), now).into(),
    }
}

/// At most `max` of the texts, and how many more there are.
fn at_most(texts: &[String], max: usize, empty: &str) -> Value {
    match texts.len() {
        // Upstream looks at what came out: one empty text is none.
        0 | 1 if texts.iter().all(String::is_empty) => empty.into(),
        count if count > max => format!("{} + {} more...", texts[..max].join(","), count - max).into(),
        _ => texts.join(",").into(),
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| condition["type"] == kind)
}

fn has_condition(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

/// A plain label map, `<none>` when empty.
fn labels(object: &Value, pointer: &str) -> Value {
    super::print::format_labels(at(object, pointer)).into()
}

/// A `metav1.LabelSelector` in query syntax.
fn label_selector(object: &Value, pointer: &str) -> Value {
    match LabelSelector::from_object(object.pointer(pointer)) {
        Err(_) => "<error>".into(),
        Ok(selector) => match selector.to_string() {
            empty if empty.is_empty() => "<none>".into(),
            text => text.into(),
        },
    }
}

#[cfg(test)]
mod tests;
