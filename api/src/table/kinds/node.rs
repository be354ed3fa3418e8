//! Nodes and runtime classes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{condition, joined, list, text, text_or};
use crate::Object;
use crate::meta::Meta;
use crate::table::Column;

pub(super) static NODE: &[Column] = &[
    Column::NAME,
    Column::text("Status", |node, _| status(node)),
    Column::text("Roles", |node, _| roles(node)),
    Column::AGE,
    Column::text("Version", |node, _| text(node, "/status/nodeInfo/kubeletVersion").into()),
    Column::text("Internal-IP", |node, _| address(node, "InternalIP")).wide(),
    Column::text("External-IP", |node, _| address(node, "ExternalIP")).wide(),
    Column::text("OS-Image", |node, _| text_or(node, "/status/nodeInfo/osImage", "<unknown>")).wide(),
    Column::text("Kernel-Version", |node, _| text_or(node, "/status/nodeInfo/kernelVersion", "<unknown>")).wide(),
    Column::text("Container-Runtime", |node, _| text_or(node, "/status/nodeInfo/containerRuntimeVersion", "<unknown>"))
        .wide(),
];

pub(super) static RUNTIME_CLASS: &[Column] =
    &[Column::NAME, Column::text("Handler", |class, _| text(class, "/handler").into()), Column::AGE];

fn status(node: &Object) -> Value {
    let ready = match condition(node, "Ready") {
        Some(condition) if condition["status"] == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let disabled = if node["spec"]["unschedulable"] == true { ",SchedulingDisabled" } else { "" };
    format!("{ready}{disabled}").into()
}

/// The labels `node-role.kubernetes.io/<role>` and `kubernetes.io/role=<role>`.
fn roles(node: &Object) -> Value {
    let labels = node.labels().into_iter().flatten();
    let role = |(key, value): (&'_ String, &'_ Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let roles: BTreeSet<String> = labels.filter_map(role).filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".into() } else { joined(roles.iter().map(String::as_str), ",").into() }
}

fn address(node: &Object, kind: &str) -> Value {
    let found = list(node, "/status/addresses").iter().find(|address| address["type"] == kind);
    found.map_or("<none>".into(), |address| address["address"].clone())
}
