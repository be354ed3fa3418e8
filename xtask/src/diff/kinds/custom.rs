//! Kinds that definitions bring, and the definitions, which are there before the first scenario.

use serde_json::{Value, json};

use super::{Kind, kind};

/// A group of nobody else's.
pub const GROUP: &str = "diff.example.com";

pub const KINDS: &[Kind] = &[
    kind(
        "diff.example.com/v1",
        "Widget",
        "widgets",
        r#"{"spec":{"size":2,"mode":"Slow","parts":[{"name":"p","count":1}]}}"#,
    )
    .custom()
    .status()
    .scale()
    .weight(10)
    .selectable(&["spec.mode"]),
    kind("diff.example.com/v1", "Gadget", "gadgets", r#"{"color":"red"}"#).custom().cluster().weight(3),
    kind("diff.example.com/v1beta1", "Gadget", "gadgets", r#"{"color":"blue"}"#).custom().cluster().weight(2),
    // One is there; what is written is never kept: servers act on definitions when they get to it.
    kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", DEFINITION)
        .cluster()
        .named("NAMEs.kinds.example.com")
        .dry()
        .weight(5),
];

const DEFINITION: &str = r#"{"spec":{"group":"kinds.example.com","scope":"Namespaced",
    "names":{"plural":"NAMEs","kind":"KNAME"},
    "versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{
        "spec":{"type":"object","properties":{"size":{"type":"integer","minimum":0},"tags":{"type":"array",
            "items":{"type":"string"},"x-kubernetes-list-type":"set"}}}}}}}]}}"#;

/// The definitions as they are sent.
pub fn definitions() -> [Value; 3] {
    let mut kept = KINDS[3].object("a");
    kept["metadata"]["labels"].take();
    [widgets(), gadgets(), kept]
}

fn definition(scope: &str, plural: &str, kind: &str, versions: &Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {"group": GROUP, "scope": scope, "names": {"plural": plural, "kind": kind}, "versions": versions},
    })
}

fn widgets() -> Value {
    let part = json!({"type": "object", "required": ["name"], "properties": {
        "name": {"type": "string", "maxLength": 5},
        "count": {"type": "integer", "format": "int32", "default": 1},
    }});
    let spec = json!({"type": "object", "required": ["mode"], "properties": {
        "size": {"type": "integer", "minimum": 0, "maximum": 10, "default": 3},
        "replicas": {"type": "integer", "format": "int32"},
        "mode": {"type": "string", "enum": ["Fast", "Slow"]},
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "at": {"type": "string", "format": "date-time"},
        "ratio": {"type": "number", "multipleOf": 0.5},
        "port": {"x-kubernetes-int-or-string": true},
        "note": {"type": "string", "nullable": true},
        "parts": {"type": "array", "maxItems": 3, "items": part,
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "plain": {"type": "array", "items": {"type": "integer"}},
        "limits": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
        "fixed": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "object": {"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true},
        "either": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    }});
    let status = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string", "default": "New"},
    }});
    let version = json!({
        "name": "v1", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": {"type": "object", "required": ["spec"], "properties": {"spec": spec, "status": status}}},
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}},
        "selectableFields": [{"jsonPath": ".spec.mode"}],
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "At", "type": "date", "jsonPath": ".spec.at"},
            {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name", "priority": 1},
        ],
    });
    definition("Namespaced", "widgets", "Widget", &json!([version]))
}

/// Two versions of one form, without subresources.
fn gadgets() -> Value {
    let schema = json!({"openAPIV3Schema": {"type": "object", "properties": {
        "color": {"type": "string", "default": "green"}, "weight": {"type": "integer"},
        "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
    }}});
    let versions = json!([
        {"name": "v1", "served": true, "storage": true, "schema": schema},
        {"name": "v1beta1", "served": true, "storage": false, "deprecated": true, "schema": schema},
    ]);
    definition("Cluster", "gadgets", "Gadget", &versions)
}
