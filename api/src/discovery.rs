//! Discovery: which groups, versions and resources a server has.
//!
//! The plain documents (`/api`, `/apis`, `/apis/<group>`, `/api/v1`, `/apis/<group>/<version>`) and the aggregated ones, which
//! replace them all in two requests (`/api` and `/apis` with `as=APIGroupDiscoveryList`). All are made from the same rows. Kinds
//! of the same group and version as the document leave these out, as upstream does.

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use crate::gvk::{GroupVersionKind, api_version};
use crate::resource::{ResourceInfo, SubresourceInfo};

/// The built-in groups in the order in which clients shall try them: of two groups with a resource of one name, the first wins.
/// Others follow by name.
const GROUP_ORDER: [&str; 23] = [
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// Versions of `apidiscovery.k8s.io`; v2beta1 went with Kubernetes v1.35.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AggregatedVersion {
    V2,
}

impl AggregatedVersion {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V2 => "v2",
        }
    }

    /// The media type that clients ask for and the answer carries.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        }
    }
}

/// Newest first: stable before beta before alpha, higher numbers before lower; names that are no versions last, by name.
pub fn compare_versions(a: &str, b: &str) -> Ordering {
    match (parse_version(a), parse_version(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// (stability, major, minor) of `v1`, `v1beta2`, `v1alpha1`.
fn parse_version(version: &str) -> Option<(u8, u32, u32)> {
    let number = |text: &str| (!text.starts_with('0')).then(|| text.parse::<u32>().ok()).flatten();
    let rest = version.strip_prefix('v')?;
    let Some(at) = rest.find(|c: char| !c.is_ascii_digit()) else { return Some((2, number(rest)?, 0)) };
    let (major, rest) = rest.split_at(at);
    let (stability, minor) = match (rest.strip_prefix("beta"), rest.strip_prefix("alpha")) {
        (Some(minor), _) => (1, minor),
        (_, Some(minor)) => (0, minor),
        _ => return None,
    };
    Some((stability, number(major)?, number(minor)?))
}

/// `/api`. `server_address` is `host:port`.
pub fn api_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`.
pub fn api_group_list(resources: &[ResourceInfo]) -> Value {
    let groups: Vec<Value> = groups(resources)
        .into_iter()
        .filter(|group| !group.is_empty())
        .map(|group| {
            let mut document = group_document(resources, group);
            document.insert("name".into(), group.into());
            Value::Object(document)
        })
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub fn api_group(resources: &[ResourceInfo], group: &str) -> Option<Value> {
    if !resources.iter().any(|resource| resource.group == group) {
        return None;
    }
    let mut document = group_document(resources, group);
    document.insert("kind".into(), "APIGroup".into());
    document.insert("apiVersion".into(), "v1".into());
    document.insert("name".into(), group.into());
    Some(Value::Object(document))
}

fn group_document(resources: &[ResourceInfo], group: &str) -> Map<String, Value> {
    let version = |version: &str| json!({"groupVersion": api_version(group, version), "version": version});
    let versions: Vec<Value> = versions(resources, group).into_iter().map(version).collect();
    let mut document = Map::new();
    document.insert("preferredVersion".into(), versions.first().cloned().unwrap_or_default());
    document.insert("versions".into(), versions.into());
    document
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub fn api_resource_list(resources: &[ResourceInfo], group: &str, version: &str) -> Option<Value> {
    let served = in_version(resources, group, version);
    if served.is_empty() {
        return None;
    }
    let mut list = Vec::new();
    for resource in served {
        if !resource.verbs.is_empty() {
            list.push(plain_resource(resource));
        }
        list.extend(sorted(resource).into_iter().map(|subresource| plain_subresource(resource, subresource)));
    }
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": api_version(group, version),
        "resources": list,
    });
    // The core group's list says its kind alone, a leftover of the time before groups.
    if !group.is_empty() {
        document["apiVersion"] = "v1".into();
    }
    Some(document)
}

fn plain_resource(resource: &ResourceInfo) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    insert_names(&mut entry, resource);
    if let Some(hash) = &resource.storage_version_hash {
        entry["storageVersionHash"] = hash.as_str().into();
    }
    entry
}

fn insert_names(entry: &mut Value, resource: &ResourceInfo) {
    for (key, names) in [("shortNames", &resource.short_names), ("categories", &resource.categories)] {
        if !names.is_empty() {
            entry[key] = names.as_slice().into();
        }
    }
}

fn plain_subresource(resource: &ResourceInfo, subresource: &SubresourceInfo) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.plural, subresource.name),
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": subresource.kind.kind,
        "verbs": subresource.verbs,
    });
    if !is_in(&subresource.kind, resource) {
        entry["group"] = subresource.kind.group.as_str().into();
        entry["version"] = subresource.kind.version.as_str().into();
    }
    entry
}

fn is_in(kind: &GroupVersionKind, resource: &ResourceInfo) -> bool {
    kind.group == resource.group && kind.version == resource.version
}

/// `/api` (the core group alone) and `/apis` (all others) in one document.
pub fn aggregated(resources: &[ResourceInfo], core: bool, version: AggregatedVersion) -> Value {
    let groups = groups(resources).into_iter().filter(|group| group.is_empty() == core);
    let items = groups.map(|group| {
        let versions = versions(resources, group).into_iter().map(|version| {
            let resources: Vec<Value> =
                in_version(resources, group, version).into_iter().map(aggregated_resource).collect();
            json!({"version": version, "resources": resources, "freshness": "Current"})
        });
        let metadata = if core { json!({}) } else { json!({"name": group}) };
        json!({"metadata": metadata, "versions": versions.collect::<Vec<_>>()})
    });
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{}", version.as_str()),
        "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

fn aggregated_resource(resource: &ResourceInfo) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
        "responseKind": response_kind(&resource.gvk(), resource),
    });
    insert_names(&mut entry, resource);
    let subresource = |subresource: &SubresourceInfo| {
        json!({
            "subresource": subresource.name,
            "responseKind": response_kind(&subresource.kind, resource),
            "verbs": subresource.verbs,
        })
    };
    let subresources: Vec<Value> = sorted(resource).into_iter().map(subresource).collect();
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

fn response_kind(kind: &GroupVersionKind, resource: &ResourceInfo) -> Value {
    let (group, version) = if is_in(kind, resource) && !is_custom(resource) {
        ("", "")
    } else {
        (kind.group.as_str(), kind.version.as_str())
    };
    json!({"group": group, "version": version, "kind": kind.kind})
}

/// Group names in order, the core group first.
pub fn groups(resources: &[ResourceInfo]) -> Vec<&str> {
    let mut groups: Vec<&str> = resources.iter().map(|resource| resource.group.as_str()).collect();
    let rank = |group: &&str| GROUP_ORDER.iter().position(|known| known == group).unwrap_or(GROUP_ORDER.len());
    groups.sort_by(|a, b| rank(a).cmp(&rank(b)).then(a.cmp(b)));
    groups.dedup();
    groups
}

/// The versions of a group, the preferred one first.
pub fn versions<'a>(resources: &'a [ResourceInfo], group: &str) -> Vec<&'a str> {
    let of_group = resources.iter().filter(|resource| resource.group == group);
    let mut versions: Vec<&str> = of_group.map(|resource| resource.version.as_str()).collect();
    versions.sort_by(|a, b| compare_versions(a, b));
    versions.dedup();
    versions
}

fn in_version<'a>(resources: &'a [ResourceInfo], group: &str, version: &str) -> Vec<&'a ResourceInfo> {
    let is_in = |resource: &&ResourceInfo| resource.group == group && resource.version == version;
    let mut found: Vec<&ResourceInfo> = resources.iter().filter(is_in).collect();
    found.sort_by(|a, b| a.plural.cmp(&b.plural));
    found
}

/// Others tell of a definition's kinds than of the built-in ones, in words and orders of their own.
fn is_custom(resource: &ResourceInfo) -> bool {
    !GROUP_ORDER.contains(&resource.group.as_str())
}

fn sorted(resource: &ResourceInfo) -> Vec<&SubresourceInfo> {
    let mut subresources: Vec<&SubresourceInfo> = resource.subresources.iter().collect();
    subresources.sort_by(|a, b| a.name.cmp(&b.name));
    if is_custom(resource) {
        // The status, then the scale.
        subresources.reverse();
    }
    subresources
}

#[cfg(test)]
#[path = "discovery_tests.rs"]
mod tests;
