//! Namespaces, configuration, events, leases and other small kinds.

use jiff::Timestamp;
use serde_json::Value;

use super::{at, condition, count, number, since, text};
use crate::Object;
use crate::meta::Meta;
use crate::table::Column;

pub(super) static NAMESPACE: &[Column] =
    &[Column::NAME, Column::text("Status", |namespace, _| text(namespace, "/status/phase").into()), Column::AGE];

pub(super) static CONFIG_MAP: &[Column] = &[
    Column::NAME,
    Column::text("Data", |map, _| (count(map, "/data") + count(map, "/binaryData")).into()),
    Column::AGE,
];

pub(super) static SECRET: &[Column] = &[
    Column::NAME,
    Column::text("Type", |secret, _| text(secret, "/type").into()),
    Column::text("Data", |secret, _| count(secret, "/data").into()),
    Column::AGE,
];

pub(super) static LEASE: &[Column] =
    &[Column::NAME, Column::text("Holder", |lease, _| text(lease, "/spec/holderIdentity").into()), Column::AGE];

pub(super) static LEASE_CANDIDATE: &[Column] = &[
    Column::NAME,
    Column::text("LeaseName", |candidate, _| text(candidate, "/spec/leaseName").into()),
    Column::text("BinaryVersion", |candidate, _| text(candidate, "/spec/binaryVersion").into()),
    Column::text("EmulationVersion", |candidate, _| text(candidate, "/spec/emulationVersion").into()),
    Column::AGE,
];

pub(super) static COMPONENT_STATUS: &[Column] = &[
    Column::NAME,
    Column::text("Status", |component, _| match healthy(component)["status"].as_str() {
        None => "Unknown".into(),
        Some("True") => "Healthy".into(),
        Some(_) => "Unhealthy".into(),
    }),
    Column::text("Message", |component, _| text(healthy(component), "/message").into()),
    Column::text("Error", |component, _| text(healthy(component), "/error").into()),
];

fn healthy(component: &Object) -> &Value {
    let conditions = super::list(component, "/conditions");
    conditions.iter().find(|condition| condition["type"] == "Healthy").unwrap_or(&Value::Null)
}

pub(super) static STATUS: &[Column] = &[
    Column::text("Status", |status, _| text(status, "/status").into()),
    Column::text("Reason", |status, _| text(status, "/reason").into()),
    Column::text("Message", |status, _| text(status, "/message").into()),
];

pub(super) static API_SERVICE: &[Column] = &[
    Column::NAME,
    Column::text("Service", |service, _| match at(service, "/spec/service") {
        Value::Null => "Local".into(),
        reference => format!("{}/{}", text(reference, "/namespace"), text(reference, "/name")).into(),
    }),
    Column::text("Available", |service, _| match condition(service, "Available") {
        None => "Unknown".into(),
        Some(found) => match (text(found, "/status"), text(found, "/reason")) {
            ("True", _) => "True".into(),
            (status, "") => status.into(),
            (status, reason) => format!("{status} ({reason})").into(),
        },
    }),
    Column::AGE,
];

/// Events of both groups: one storage with two shapes, so every field is looked for under both names.
pub(super) static EVENT: &[Column] = &[
    Column::text("Last Seen", last_seen),
    Column::text("Type", |event, _| text(event, "/type").into()),
    Column::text("Reason", |event, _| text(event, "/reason").into()),
    Column::text("Object", |event, _| {
        let object = either(event, "/involvedObject", "/regarding");
        let kind = text(object, "/kind").to_lowercase();
        match text(object, "/name") {
            "" => kind.into(),
            name => format!("{kind}/{name}").into(),
        }
    }),
    Column::text("Subobject", |event, _| text(either(event, "/involvedObject", "/regarding"), "/fieldPath").into())
        .wide(),
    Column::text("Source", |event, _| source(event).into()).wide(),
    Column::text("Message", |event, _| either(event, "/message", "/note").as_str().unwrap_or_default().trim().into()),
    Column::text("First Seen", first_seen).wide(),
    Column::text("Count", |event, _| {
        let counted = either(event, "/count", "/deprecatedCount").as_i64().unwrap_or_default();
        match at(event, "/series") {
            Value::Null => counted.max(1).into(),
            series => number(series, "/count").into(),
        }
    })
    .wide(),
    Column { priority: 1, ..Column::NAME },
];

fn either<'a>(event: &'a Object, core: &str, events: &str) -> &'a Value {
    match at(event, core) {
        Value::Null => at(event, events),
        found => found,
    }
}

fn first_seen(event: &Object, now: Timestamp) -> Value {
    match either(event, "/firstTimestamp", "/deprecatedFirstTimestamp") {
        Value::Null => since(event, "/eventTime", "<unknown>", now),
        found => since(found, "", "<unknown>", now),
    }
}

fn last_seen(event: &Object, now: Timestamp) -> Value {
    if at(event, "/series").is_object() {
        return since(event, "/series/lastObservedTime", "<unknown>", now);
    }
    match either(event, "/lastTimestamp", "/deprecatedLastTimestamp") {
        Value::Null => first_seen(event, now),
        found => since(found, "", "<unknown>", now),
    }
}

fn source(event: &Object) -> String {
    let source = either(event, "/source", "/deprecatedSource");
    let or = |text: &str, otherwise: &Value| match text {
        "" => otherwise.as_str().unwrap_or_default().to_owned(),
        text => text.to_owned(),
    };
    let controller = either(event, "/reportingComponent", "/reportingController");
    let component = or(text(source, "/component"), controller);
    match or(text(source, "/host"), at(event, "/reportingInstance")) {
        instance if instance.is_empty() => component,
        instance => format!("{component}, {instance}"),
    }
}

/// The annotation that marks the class used where none is named.
pub(super) fn is_default_class(class: &Object) -> bool {
    let marks = |key| class.annotation(key) == Some("true");
    marks("storageclass.kubernetes.io/is-default-class") || marks("storageclass.beta.kubernetes.io/is-default-class")
}
