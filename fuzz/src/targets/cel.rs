//! Expressions: parsed, checked, their cost estimated and kept; in a rule of a definition and in an admission policy, too.

use std::collections::BTreeMap;

use cel::cost::estimate;
use cel::{Env, Program, Type, Value};
use serde_json::json;

use super::{Target, split};
use crate::server;

pub const TARGET: Target = Target {
    name: "cel",
    run,
    header: 1,
    tree: None,
    words: &[
        "self",
        "oldSelf",
        "object",
        "oldObject",
        "params",
        "request",
        "variables",
        "authorizer",
        ".a",
        ".b",
        "[0]",
        "[?1]",
        ".?c",
        "x",
        "2u",
        "-3",
        "1.5",
        "0x1f",
        "'s'",
        "\"t\"",
        "b'u'",
        "r'v'",
        "'''",
        "true",
        "null",
        "int(",
        "type(",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        " ? ",
        " == ",
        " != ",
        " < ",
        " && ",
        " || ",
        " + ",
        " - ",
        " * ",
        " / ",
        " % ",
        " in ",
        "!",
        "-",
        "has(",
        "size(",
        "dyn(",
        "string(",
        ".all(x, ",
        ".map(x, ",
        ".exists(x, ",
        ".exists_one(x, ",
        ".filter(x, ",
        ".sortBy(x, ",
        ".join(",
        ".replace(",
        ".split(",
        ".format([",
        ".orValue(",
        ".optMap(x, ",
        "optional.of(",
        "lists.range(",
        "quantity(",
        "url(",
        "ip(",
        "cidr(",
        "semver(",
        "duration(",
        "timestamp(",
        ".matches(",
        ".find(",
        ".findAll(",
        ".sum()",
        ".indexOf(",
        ".transformList(",
        ".isSorted()",
        ".flatten()",
        ".distinct()",
        ".slice(",
        ".charAt(",
        ".lowerAscii()",
        ".substring(",
        "math.greatest(",
        "sets.contains(",
        "cel.bind(x, ",
        "format.named(",
        "jsonpatch.escapeKey(",
        "Object{",
        "JSONPatch{op: 'add'}",
        "\\u0041",
    ],
};

/// What a program of this target may cost, well below what rules may.
const LIMIT: u64 = 100_000;

fn run(data: &[u8]) {
    let Some(([form], text)) = split(data) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match form % 4 {
        0 => evaluated(Env::kubernetes().variable("self", Type::Dyn), text),
        1 => evaluated(Env::common().variable("self", Type::map(Type::String, Type::Dyn)), text),
        2 => in_a_definition(text),
        _ => in_a_policy(text),
    }
}

fn evaluated(env: Env, text: &str) {
    let checked = match env.compile(text) {
        Ok(checked) => checked,
        Err(issues) => return assert!(!issues.to_string().is_empty()),
    };
    let range = estimate(&checked, &());
    assert!(range.min <= range.max || range.max == 0, "{range:?}");
    let Ok(program) = Program::new(checked, LIMIT) else { return };
    let object = json!({"a": "q", "b": ["p", "q"], "c": null, "d": {"e": 1.5}, "f": [[1], [2, 3]]});
    let variables = BTreeMap::from([("self", Value::from_json(&object))]);
    let (first, second) = (program.eval(&variables), program.eval(&variables));
    assert_eq!(first.cost, second.cost);
    assert_eq!(first.result.is_ok(), second.result.is_ok());
}

fn in_a_definition(text: &str) {
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "fuzzes.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "fuzzes", "kind": "Fuzz"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                "type": "object", "x-kubernetes-validations": [{"rule": text, "messageExpression": text}], "properties": {
                    "a": {"type": "string", "maxLength": 10}, "b": {"type": "array", "maxItems": 5, "items": {"type": "string"}},
                    "c": {"type": "integer"}, "d": {"type": "object", "additionalProperties": {"type": "number"}},
                    "when": {"type": "string", "format": "date-time"}, "any": {"x-kubernetes-int-or-string": true}}}}}}}]},
    });
    sent("/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", &definition);
}

fn in_a_policy(text: &str) {
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "fuzz"},
        "spec": {"matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["deployments"]}]},
            "matchConditions": [{"name": "m", "expression": text}],
            "variables": [{"name": "v", "expression": text}],
            "auditAnnotations": [{"key": "k", "valueExpression": text}],
            "validations": [{"expression": text, "messageExpression": text}]},
    });
    sent("/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies?dryRun=All", &policy);
}

fn sent(path: &str, object: &serde_json::Value) {
    server::with(|server| {
        server.send("POST", path, &[("content-type", "application/json")], object.to_string()).is_good();
        true
    });
}
