//! The Table object of `meta.k8s.io`.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Columns;
use super::kinds;
use crate::Object;

/// The query parameter `includeObject`: what each row carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum IncludeObject {
    None,
    /// A PartialObjectMetadata.
    #[default]
    Metadata,
    Object,
}

impl FromStr for IncludeObject {
    /// The text that is none of the three.
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "None" => Ok(Self::None),
            "Metadata" | "" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(other.to_owned()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct TableOptions {
    /// `v1` or `v1beta1`.
    pub version: &'static str,
    pub include: IncludeObject,
    /// Off for the events of a watch after the first.
    pub headers: bool,
}

impl Default for TableOptions {
    fn default() -> Self {
        Self { version: "v1", include: IncludeObject::default(), headers: true }
    }
}

/// A Table of some objects. `metadata` is the list's (resourceVersion, continue, remainingItemCount); for a single object, its
/// resourceVersion.
pub fn build<'a>(
    columns: &Columns,
    objects: impl IntoIterator<Item = &'a Object>,
    metadata: Value,
    options: &TableOptions,
    now: Timestamp,
) -> Value {
    let rows: Vec<Value> = objects.into_iter().map(|object| row(columns, object, options, now)).collect();
    // Upstream makes these tables elsewhere than all others.
    let none = matches!(columns, Columns::BuiltIn(columns) if rows.is_empty() && kinds::is_default(columns));
    let definitions = if options.headers { Value::Array(columns.definitions()) } else { Value::Null };
    json!({
        "kind": "Table",
        "apiVersion": format!("meta.k8s.io/{}", options.version),
        "metadata": metadata,
        "columnDefinitions": definitions,
        "rows": if none { Value::Null } else { rows.into() },
    })
}

/// An annotation of DaemonSets that is a field in upstream's internal form, of which it shows the metadata.
pub const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// Annotations of a HorizontalPodAutoscaler in `v1` that are fields in upstream's internal form.
pub const AUTOSCALER_FIELDS: [&str; 6] = [
    "autoscaling.alpha.kubernetes.io/metrics",
    "autoscaling.alpha.kubernetes.io/behavior",
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
    "autoscaling.alpha.kubernetes.io/current-metrics",
    "autoscaling.alpha.kubernetes.io/conditions",
];

/// The metadata of an object where it is shown without the rest.
pub fn metadata_alone(object: &Object) -> Value {
    let mut metadata = object.get("metadata").cloned().unwrap_or_else(|| json!({}));
    let fields: &[&str] = match object["kind"].as_str() {
        Some("DaemonSet") => &[TEMPLATE_GENERATION],
        Some("HorizontalPodAutoscaler") => &AUTOSCALER_FIELDS,
        _ => &[],
    };
    if !fields.is_empty()
        && let Some(Value::Object(annotations)) = metadata.get_mut("annotations")
    {
        annotations.retain(|name, _| !fields.contains(&name.as_str()));
        if annotations.is_empty()
            && let Some(members) = metadata.as_object_mut()
        {
            members.remove("annotations");
        }
    }
    metadata
}

/// One object's row.
pub fn row(columns: &Columns, object: &Object, options: &TableOptions, now: Timestamp) -> Value {
    let mut row = Map::new();
    row.insert("cells".into(), columns.cells(object, now).into());
    if let Some(conditions) = kinds::row_conditions(object) {
        row.insert("conditions".into(), conditions);
    }
    let included = match options.include {
        IncludeObject::None => Value::Null,
        IncludeObject::Object => object.clone(),
        IncludeObject::Metadata => json!({
            "kind": "PartialObjectMetadata",
            "apiVersion": format!("meta.k8s.io/{}", options.version),
            "metadata": metadata_alone(object),
        }),
    };
    row.insert("object".into(), included);
    Value::Object(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvk::GroupVersionKind;

    #[test]
    fn a_table_is_upstreams() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "x", "namespace": "n", "creationTimestamp": "2024-01-01T00:00:00Z"}});
        let columns = Columns::BuiltIn(kinds::columns(&GroupVersionKind::new("", "v1", "ConfigMap")));
        let now = crate::time::parse_time("2024-01-01T00:01:00Z").unwrap();
        let table = build(&columns, [&object], json!({"resourceVersion": "7"}), &TableOptions::default(), now);
        let definition =
            |name, format| json!({"name": name, "type": "string", "format": format, "description": "", "priority": 0});
        let expected = json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "7"},
            "columnDefinitions": [definition("Name", "name"), definition("Data", ""), definition("Age", "")],
            "rows": [{"cells": ["x", 1, "60s"], "object": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
                "metadata": object["metadata"]}}],
        });
        assert_eq!(table, expected);
        let options = TableOptions { version: "v1beta1", include: IncludeObject::None, headers: false };
        let table = build(&columns, [&object], json!({}), &options, now);
        let expected = json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1beta1", "metadata": {}, "columnDefinitions": null,
            "rows": [{"cells": ["x", 1, "60s"], "object": null}]});
        assert_eq!(table, expected);
        let options = TableOptions { include: IncludeObject::Object, ..Default::default() };
        assert_eq!(row(&columns, &object, &options, now)["object"], object);
        for (group, kind, none) in [("", "ConfigMap", json!([])), ("storage.k8s.io", "CSIStorageCapacity", Value::Null)]
        {
            let columns = Columns::BuiltIn(kinds::columns(&GroupVersionKind::new(group, "v1", kind)));
            assert_eq!(build(&columns, [], json!({}), &TableOptions::default(), now)["rows"], none, "{kind}");
        }
    }
}
