use api::Object;
use api::meta::Meta;
use serde_json::{Value, json};

use super::CustomResourceDefinition;
use crate::strategy::Strategy;

fn definition() -> Object {
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    CustomResourceDefinition.defaults(&mut definition, None);
    CustomResourceDefinition.prepare_for_create(&mut definition);
    definition
}

/// `definition` with a value at a JSON pointer.
fn with(path: &str, value: Value) -> Object {
    let mut definition = definition();
    let (parent, name) = path.rsplit_once('/').unwrap();
    definition.pointer_mut(parent).unwrap()[name] = value;
    definition
}

fn said(definition: &Object) -> Vec<String> {
    CustomResourceDefinition.validate_create(definition).iter().map(ToString::to_string).collect()
}

const SCHEMA: &str = "/spec/versions/0/schema/openAPIV3Schema";

#[test]
fn what_is_wrong_is_told_in_upstreams_words() {
    assert_eq!(said(&definition()), Vec::<String>::new());
    let cases: [(&str, Value, &[&str]); 21] = [
        (
            "/spec/scope",
            json!("Galaxy"),
            &["spec.scope: Unsupported value: \"Galaxy\": supported values: \"Cluster\", \"Namespaced\""],
        ),
        (
            "/spec/names/listKind",
            json!("Widget"),
            &["spec.names.listKind: Invalid value: \"Widget\": kind and listKind may not be the same"],
        ),
        ("/spec/names/kind", json!(""), &["spec.names.kind: Required value"]),
        (
            "/spec/names/shortNames",
            json!(["A"]),
            &[
                "spec.names.shortNames[0]: Invalid value: \"A\": a DNS-1035 label must consist of lower case alphanumeric characters \
             or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
             regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        ("/spec/versions/0/schema", Value::Null, &["spec.versions[0].schema.openAPIV3Schema: Required value"]),
        (
            "/spec/versions/0/deprecationWarning",
            json!("x"),
            &["spec.versions[0].deprecationWarning: Invalid value: \"x\": can only be set for deprecated versions"],
        ),
        (
            "/spec/preserveUnknownFields",
            json!(true),
            &[
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to true \
             in spec.versions[*].schema instead",
            ],
        ),
        (
            "/spec/conversion",
            json!({"strategy": "Webhook"}),
            &[
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ],
        ),
        (
            "/spec/versions/0/subresources/scale",
            json!({"specReplicasPath": ".x", "statusReplicasPath": ""}),
            &[
                "spec.subresources.scale.specReplicasPath: Invalid value: \".x\": should be a json path under .spec",
                "spec.subresources.scale.statusReplicasPath: Required value",
            ],
        ),
        (
            "/spec/versions/0/additionalPrinterColumns",
            json!([{"name": "A", "type": "odd", "jsonPath": "x"}]),
            &[
                "spec.additionalPrinterColumns[0].type: Invalid value: \"odd\": must be one of boolean,date,integer,number,string",
                "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \"x\": must be a simple json path starting with .",
            ],
        ),
        (
            "/spec/versions/0/selectableFields",
            json!([{"jsonPath": ".spec.x"}]),
            &[
                "spec.selectableFields[0].jsonPath: Invalid value: \".spec.x\": is an invalid path: does not refer to a valid field",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "odd"}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].type: Unsupported value: \"odd\": supported values: \"array\", \
             \"boolean\", \"integer\", \"number\", \"object\", \"string\"",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "object", "$ref": "#/x"}}),
            &["spec.validation.openAPIV3Schema.properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "integer", "default": "x"}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: \"string\":  in body must be of type integer: \"string\"",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "object", "default": {"b": 1}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].default: Invalid value: {\"b\":1}: must not have unknown fields",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "array", "items": {"type": "object"},
            "x-kubernetes-list-type": "map"}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].x-kubernetes-list-map-keys: Required value: must not be empty if \
             x-kubernetes-list-type is map",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"], "items": {"type": "object", "properties": {"k": {"type": "string"}}}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].items.properties[k].default: Required value: this property is in \
             x-kubernetes-list-map-keys, so it must have a default or be a required property",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties",
            json!({"a": {"type": "array", "x-kubernetes-list-type": "set",
            "items": {"type": "object"}}}),
            &[
                "spec.validation.openAPIV3Schema.properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item \
             of a list with x-kubernetes-list-type=set",
            ],
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations",
            json!([{"rule": " "}]),
            &[
                "spec.validation.openAPIV3Schema.x-kubernetes-validations[0].rule: Required value: rule is not specified",
            ],
        ),
        (
            "/spec/group",
            json!("x.k8s.io"),
            &[
                "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation \
             \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
            ],
        ),
    ];
    for (path, value, expected) in cases {
        assert_eq!(said(&with(path, value.clone())), expected, "{path} {value}");
    }
    assert!(
        said(&with(&format!("{SCHEMA}/not"), json!({"required": ["a"]})))[0].contains("fields are allowed at the root")
    );
}

#[test]
fn who_keeps_unknown_fields_neither_converts_nor_fills_in() {
    let mut object = with(SCHEMA, json!({"type": "object", "properties": {"a": {"type": "string", "default": "b"}}}));
    object["spec"]["preserveUnknownFields"] = true.into();
    object["spec"]["conversion"]["strategy"] = "b".into();
    let said = said(&object);
    for expected in [
        "spec.preserveUnknownFields: Invalid value: true: must be false in order to use defaults in the schema",
        "spec.conversion.strategy: Invalid value: \"b\": must be None if spec.preserveUnknownFields is true",
    ] {
        assert!(said.iter().any(|one| one == expected), "{said:?}");
    }
}

#[test]
fn a_definition_is_called_by_what_it_defines() {
    let wrong = |name: &str| CustomResourceDefinition.wrong_name(&definition(), name, vec!["no name".to_owned()]);
    assert_eq!(wrong("widgets.example.com"), ["no name"]);
    assert_eq!(wrong("x"), ["no name", "must be spec.names.plural+\".\"+spec.group"]);
}

#[test]
fn versions_have_rules_together() {
    let mut two = definition();
    let mut other = two["spec"]["versions"][0].clone();
    two["spec"]["versions"].as_array_mut().unwrap().push(other.clone());
    let errors = said(&two);
    assert!(errors[0].ends_with("must contain unique version names"), "{errors:?}");
    assert!(errors[1].ends_with("must have exactly one version marked as storage version"), "{errors:?}");
    other["name"] = "v2".into();
    other["storage"] = false.into();
    other["schema"]["openAPIV3Schema"]["properties"] = json!({"a": {}});
    two["spec"]["versions"][1] = other;
    assert_eq!(
        said(&two),
        [
            "spec.versions[1].schema.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields"
        ]
    );
}

#[test]
fn what_is_established_keeps_its_names() {
    let mut old = definition();
    old["status"]["conditions"] = json!([{"type": "Established", "status": "True"}]);
    let mut new = old.clone();
    new["spec"]["scope"] = "Cluster".into();
    new["spec"]["versions"][0]["name"] = "v2".into();
    CustomResourceDefinition.prepare_for_update(&mut new, &old);
    assert_eq!(new["status"]["storedVersions"], json!(["v1", "v2"]));
    let said: Vec<String> =
        CustomResourceDefinition.validate_update(&new, &old).iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "spec.scope: Invalid value: \"Cluster\": field is immutable");
    assert!(
        said[1].starts_with("status.storedVersions[0]: Invalid value: \"v1\": missing from spec.versions; v1 was"),
        "{said:?}"
    );
}

#[test]
fn what_is_not_understood_is_said() {
    let properties = json!({"a": {"type": "string", "format": "odd"}, "b": {"type": "integer", "format": "int32"}});
    let warnings = CustomResourceDefinition.warnings(&with(&format!("{SCHEMA}/properties"), properties));
    assert_eq!(warnings, ["unrecognized format \"odd\""]);
}

#[test]
fn the_first_deletion_marks() {
    let mut one = definition();
    assert!(CustomResourceDefinition.only_marked_at_first());
    one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    CustomResourceDefinition.mark_deleting(&mut one);
    CustomResourceDefinition.mark_deleting(&mut one);
    assert_eq!(one.finalizers().collect::<Vec<_>>(), ["customresourcecleanup.apiextensions.k8s.io"]);
    let condition = &one["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["reason"]), (&json!("Terminating"), &json!("InstanceDeletionPending")));
}

#[test]
fn rules_are_read_and_priced() {
    const AT: &str = "/spec/versions/0/schema/openAPIV3Schema/properties";
    let spec = |properties: Value, rules: Value| json!({"spec": {"type": "object", "properties": properties, "x-kubernetes-validations": rules}});
    let string = json!({"type": "string"});
    let list = json!({"type": "array", "items": string});
    let path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    let shown = |rule: &str| {
        format!(
            "Invalid value: {{\"Rule\":\"{rule}\",\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}}"
        )
    };
    let budget = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are \
                  declared)";
    let table = [
        (json!({"a": string}), json!([{"rule": "self.a == 'x'"}]), vec![]),
        (
            json!({"a": string}),
            json!([{"rule": "self.b > 'x'"}]),
            vec![format!(
                "{path}.rule: {}: compilation failed: ERROR: <input>:1:5: undefined field 'b'\n | self.b > 'x'\n | ....^",
                shown("self.b \\u003e 'x'")
            )],
        ),
        (
            json!({"a": string}),
            json!([{"rule": "self.a"}]),
            vec![format!("{path}.rule: {}: cel expression must evaluate to a bool", shown("self.a"))],
        ),
        (
            json!({"a": list, "b": list}),
            json!([{"rule": "self.a.all(x, self.b.all(y, x != y))"}]),
            vec![
                format!(
                    "{path}.rule: Forbidden: estimated rule cost exceeds budget by factor of more than 100x {budget}"
                ),
                format!(
                    "{path}.rule: Forbidden: contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
                ),
                format!(
                    "spec.validation.openAPIV3Schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire \
                     OpenAPIv3 schema exceeds budget by factor of more than 100x {budget}"
                ),
            ],
        ),
        (
            json!({"a": string}),
            json!([{"rule": "self.a == 'x'", "optionalOldSelf": true, "fieldPath": ".b"}]),
            vec![format!("{path}.fieldPath: Invalid value: \".b\": must be a valid path")],
        ),
        (
            json!({"a": string}),
            json!([{"rule": "self.a == 'x'", "optionalOldSelf": true}]),
            vec![format!("{path}.optionalOldSelf: Invalid value: true: may not be set if oldSelf is not used in rule")],
        ),
    ];
    for (properties, rules, expected) in table {
        assert_eq!(said(&with(AT, spec(properties, rules.clone()))), expected, "{rules}");
    }
    let mut items = list.clone();
    items["items"]["x-kubernetes-validations"] = json!([{"rule": "self == oldSelf"}]);
    items["maxItems"] = 5.into();
    let errors = said(&with(AT, spec(json!({"a": items}), json!([]))));
    let place = "spec.validation.openAPIV3Schema.properties[spec].properties[a]";
    assert_eq!(
        errors,
        [format!(
            "{place}.items.x-kubernetes-validations[0].rule: Invalid value: \"self == oldSelf\": oldSelf cannot be used on the \
             uncorrelatable portion of the schema within {place}"
        )]
    );
}
