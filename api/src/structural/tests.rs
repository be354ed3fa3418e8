use serde_json::{Value, json};

use super::metadata::{self, Malformed};
use super::prune::{prune, prune_nulls};
use super::{Structural, Validator, default, lists, types};
use crate::apply::Place;
use crate::gvk::GroupVersionKind;

fn object(properties: Value) -> Value {
    json!({"type": "object", "properties": properties})
}

#[test]
fn what_is_unknown_is_pruned() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut half_open = object(json!({"known": object(json!({"a": {"type": "string"}}))}));
    half_open["x-kubernetes-preserve-unknown-fields"] = true.into();
    let embedded = json!({"type": "object", "x-kubernetes-embedded-resource": true,
        "properties": {"spec": {"type": "object"}}});
    let map = json!({"type": "object", "additionalProperties": object(json!({"a": {"type": "string"}}))});
    let list = json!({"type": "array", "items": object(json!({"a": {"type": "string"}}))});
    let cases: [(&str, Value, Value, Value, &[&str]); 8] = [
        ("closed", object(json!({"a": {}})), json!({"a": 1, "b": 2}), json!({"a": 1}), &["spec.b"]),
        ("open", open, json!({"a": 1, "b": {"c": 2}}), json!({"a": 1, "b": {"c": 2}}), &[]),
        (
            "inside of open",
            half_open,
            json!({"x": 1, "known": {"a": "", "b": 1}}),
            json!({"x": 1, "known": {"a": ""}}),
            &["spec.known.b"],
        ),
        (
            "embedded",
            embedded,
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"y": 1}, "z": 1}),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {}}),
            &["spec.spec.y", "spec.z"],
        ),
        ("map", map, json!({"k": {"a": "", "b": 1}}), json!({"k": {"a": ""}}), &["spec.k.b"]),
        ("list", list, json!([{"a": ""}, {"b": 1}]), json!([{"a": ""}, {}]), &["spec[1].b"]),
        (
            "any",
            json!({"type": "object", "additionalProperties": true}),
            json!({"a": {"b": 1}}),
            json!({"a": {}}),
            &["spec.a.b"],
        ),
        ("scalar", json!({"type": "string"}), json!("x"), json!("x"), &[]),
    ];
    for (name, schema, spec, expected, removed) in cases {
        let schema = Structural::read(&object(json!({"spec": schema})));
        let mut value = json!({"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "x"}, "spec": spec});
        assert_eq!(prune(&mut value, &schema), removed, "{name}");
        assert_eq!(value["spec"], expected, "{name}");
        assert_eq!(value["metadata"]["name"], "x", "{name}");
    }
}

#[test]
fn defaults_fill_what_is_missing() {
    let five = json!({"type": "integer", "default": 5});
    let nullable = json!({"type": "integer", "default": 5, "nullable": true});
    let nested = json!({"type": "object", "default": {}, "properties": {"a": five}});
    let cases = [
        ("missing", object(json!({"a": five})), json!({}), json!({"a": 5})),
        ("there", object(json!({"a": five})), json!({"a": 1}), json!({"a": 1})),
        ("null", object(json!({"a": five})), json!({"a": null}), json!({"a": 5})),
        ("null that may be", object(json!({"a": nullable})), json!({"a": null}), json!({"a": null})),
        ("null without default", object(json!({"a": {"type": "integer"}})), json!({"a": null}), json!({})),
        ("inside of a default", object(json!({"b": nested})), json!({}), json!({"b": {"a": 5}})),
        ("not inside of what is not there", object(json!({"b": object(json!({"a": five}))})), json!({}), json!({})),
        (
            "values",
            json!({"type": "object", "additionalProperties": nested}),
            json!({"k": null}),
            json!({"k": {"a": 5}}),
        ),
    ];
    for (name, schema, mut value, expected) in cases {
        let schema = Structural::read(&schema);
        prune_nulls(&mut value, Some(&schema));
        default::fill(&mut value, &schema);
        assert_eq!(value, expected, "{name}");
    }
    let mut list = Structural::read(&json!({"type": "array", "items": {"type": "object", "default": {"a": 1, "x": 2},
        "properties": {"a": {}}}}));
    default::prune_defaults(&mut list);
    let mut value = json!([null, {}]);
    default::fill(&mut value, &list);
    assert_eq!(value, json!([{"a": 1}, {}]));
}

#[test]
fn values_are_checked_in_upstreams_words() {
    let text = json!({"type": "string"});
    let cases: Vec<(Value, Value, &[&str])> = vec![
        (
            json!({"type": "integer"}),
            json!("x"),
            &["spec: Invalid value: \"string\": spec in body must be of type integer: \"string\""],
        ),
        (json!({"type": "integer"}), json!(1.0), &[]),
        (
            json!({"type": "integer"}),
            json!(1.5),
            &["spec: Invalid value: \"number\": spec in body must be of type integer: \"number\""],
        ),
        (
            json!({"type": "string"}),
            json!(null),
            &["spec: Invalid value: \"null\": spec in body must be of type string: \"null\""],
        ),
        (json!({"type": "string", "nullable": true}), json!(null), &[]),
        (json!({"x-kubernetes-int-or-string": true}), json!("5%"), &[]),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            &["spec: Invalid value: \"boolean\": spec in body must be of type integer,string: \"boolean\""],
        ),
        (
            json!({"type": "string", "enum": ["a", "b"]}),
            json!("c"),
            &["spec: Unsupported value: \"c\": supported values: \"a\", \"b\""],
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            json!(3),
            &["spec: Unsupported value: 3: supported values: \"1\", \"2\""],
        ),
        (
            json!({"type": "string", "pattern": "^a+$"}),
            json!("b"),
            &["spec: Invalid value: \"b\": spec in body should match '^a+$'"],
        ),
        (json!({"type": "string", "maxLength": 2}), json!("abc"), &["spec: Too long: may not be more than 2 bytes"]),
        (
            json!({"type": "string", "minLength": 2}),
            json!("ä"),
            &["spec: Invalid value: \"ä\": spec in body should be at least 2 chars long"],
        ),
        (
            json!({"type": "integer", "minimum": 1}),
            json!(0),
            &["spec: Invalid value: 0: spec in body should be greater than or equal to 1"],
        ),
        (
            json!({"type": "number", "maximum": 0.5, "exclusiveMaximum": true}),
            json!(0.5),
            &["spec: Invalid value: 0.5: spec in body should be less than 0.5"],
        ),
        (
            json!({"type": "integer", "multipleOf": 3}),
            json!(4),
            &["spec: Invalid value: 4: spec in body should be a multiple of 3"],
        ),
        (
            json!({"type": "array", "items": text, "maxItems": 1}),
            json!(["a", "b"]),
            &["spec: Too many: 2: must have at most 1 item"],
        ),
        (
            json!({"type": "array", "items": text, "minItems": 1}),
            json!([]),
            &["spec: Invalid value: 0: spec in body should have at least 1 items"],
        ),
        (
            json!({"type": "array", "items": text, "uniqueItems": true}),
            json!(["a", "a"]),
            &["spec: Invalid value: \"\": spec in body shouldn't contain duplicates"],
        ),
        (
            json!({"type": "array", "items": text}),
            json!(["a", 1]),
            &["spec[1]: Invalid value: \"integer\": spec[1] in body must be of type string: \"integer\""],
        ),
        (
            json!({"type": "object", "maxProperties": 1}),
            json!({"a": 1, "b": 2}),
            &["spec: Too many: 2: must have at most 1 item"],
        ),
        (json!({"type": "object", "required": ["a"]}), json!({}), &["spec.a: Required value"]),
        (
            json!({"type": "object", "additionalProperties": text}),
            json!({"k": 1}),
            &["spec.k: Invalid value: \"integer\": spec.k in body must be of type string: \"integer\""],
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            &["spec: Invalid value: \"x\": spec in body must be of type date-time: \"x\""],
        ),
        (json!({"type": "integer", "format": "int32"}), json!(1), &[]),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found none valid",
                "spec.a: Required value",
            ],
        ),
        (
            json!({"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": 1, "b": 1}),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"type": "string", "anyOf": [{"pattern": "^a"}, {"pattern": "^b"}]}),
            json!("c"),
            &[
                "<nil>: Invalid value: \"\": \"spec\" must validate at least one schema (anyOf)",
                "spec: Invalid value: \"c\": spec in body should match '^a'",
            ],
        ),
        (
            json!({"type": "integer", "allOf": [{"minimum": 1}, {"maximum": 5}]}),
            json!(6),
            &[
                "spec: Invalid value: 6: spec in body should be less than or equal to 5",
                "<nil>: Invalid value: \"\": \"spec\" must validate all the schemas (allOf)",
            ],
        ),
        (
            json!({"type": "string", "not": {"enum": ["x"]}}),
            json!("x"),
            &["<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"],
        ),
    ];
    for (schema, value, expected) in cases {
        let validator = Validator::new(&object(json!({"spec": schema})));
        let errors = validator.validate(None, &json!({"spec": value}));
        let said: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(said, expected, "{schema} {value}");
    }
}

#[test]
fn old_mistakes_are_let_be() {
    let item = object(json!({"name": {}, "size": {"type": "integer", "maximum": 5}}));
    let list = |kind: &str| json!({"type": "array", "items": item, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["name"]});
    let cases = [
        ("another field", json!({"size": 9, "b": 1}), json!({"size": 9, "b": 2}), 0),
        ("the field", json!({"size": 9}), json!({"size": 8}), 1),
        ("new", json!({}), json!({"size": 8}), 1),
        (
            "an element by its key",
            json!({"m": [{"name": "a", "size": 9}]}),
            json!({"m": [{"name": "b"}, {"name": "a", "size": 9}]}),
            0,
        ),
        ("another element", json!({"m": [{"name": "a", "size": 9}]}), json!({"m": [{"name": "b", "size": 9}]}), 1),
        (
            "an element by its place",
            json!({"l": [{"name": "a", "size": 9}]}),
            json!({"l": [{"name": "a", "size": 9}, {}]}),
            1,
        ),
    ];
    let schema = object(json!({"size": {"type": "integer", "maximum": 5}, "m": list("map"), "l": list("atomic")}));
    let validator = Validator::new(&schema);
    for (name, old, new, errors) in cases {
        assert_eq!(validator.validate_update(None, &new, &old).len(), errors, "{name}");
    }
}

#[test]
fn elements_are_there_once() {
    let items = object(json!({"a": {}, "b": {}}));
    let list = |kind: &str, keys: &[&str]| json!({"type": "array", "items": items, "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": keys});
    let cases: [(Value, Value, &[&str]); 5] = [
        (list("set", &[]), json!([1, 2, 1, 1]), &["spec[2]: Duplicate value: 1"]),
        (list("map", &["a"]), json!([{"a": 1}, {"a": 1, "b": 2}]), &["spec[1]: Duplicate value: {\"a\":1}"]),
        (list("map", &["a", "b"]), json!([{"a": 1}, {"a": 1, "b": 2}]), &[]),
        (
            list("map", &["a"]),
            json!([1]),
            &["spec[0]: Invalid value: 1: must be an object for an array of list-type map"],
        ),
        (list("atomic", &[]), json!([1, 1]), &[]),
    ];
    for (schema, value, expected) in cases {
        let schema = Structural::read(&object(json!({"spec": schema})));
        let said: Vec<String> =
            lists::validate(&json!({"spec": value}), &schema).iter().map(ToString::to_string).collect();
        assert_eq!(said, expected, "{value}");
    }
}

#[test]
fn metadata_is_that_of_all_objects() {
    let schema = Structural::read(&object(json!({
        "spec": object(json!({"template": {"type": "object", "x-kubernetes-embedded-resource": true}})),
    })));
    let read = |malformed, mut value: Value| {
        let mut unknown = metadata::coerce(&mut value, malformed)?;
        unknown.extend(metadata::coerce_embedded(&mut value, &schema, malformed)?);
        Ok::<_, String>((unknown, value))
    };
    let odd = json!({"metadata": {"name": "a", "odd": 1, "labels": {}, "creationTimestamp": null},
        "spec": {"template": {"metadata": {"x": 1}}}});
    let (unknown, value) = read(Malformed::Refuse, odd).unwrap();
    assert_eq!(unknown, ["metadata.odd", "spec.template.metadata.x"]);
    assert_eq!(value, json!({"metadata": {"name": "a"}, "spec": {"template": {"metadata": {}}}}));
    let wrong = json!({"metadata": {"name": "a", "labels": "x"}});
    assert_eq!(
        read(Malformed::Refuse, wrong.clone()).unwrap_err(),
        "json: cannot unmarshal string into Go struct field ObjectMeta.labels of type map[string]string"
    );
    assert_eq!(read(Malformed::Drop, wrong).unwrap().1, json!({"metadata": {"name": "a"}}));
    assert_eq!(
        read(Malformed::Refuse, json!({"spec": {"template": {"metadata": "x"}}})).unwrap_err(),
        "spec.template.metadata: Invalid value: \"x\": json: cannot unmarshal string into Go value of type v1.ObjectMeta"
    );
    let embedded = json!({"spec": {"template": {"kind": "a_b"}}});
    let said: Vec<String> = metadata::validate(&embedded, &schema).iter().map(ToString::to_string).collect();
    assert_eq!(said[0], "spec.template.apiVersion: Required value");
    assert!(
        said[1].starts_with("spec.template.kind: Invalid value: \"a_b\": may have mixed case, but should"),
        "{said:?}"
    );
}

#[test]
fn lists_merge_as_the_schema_says() {
    let item = object(json!({"name": {"type": "string"}}));
    let list = json!({"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]});
    let kind = GroupVersionKind::new("example.com", "v1", "Widget");
    let set = types::schema_set(&kind, &Structural::read(&object(json!({"spec": object(json!({"all": list}))}))));
    let place = Place::root(&set, set.of_kind(&kind).unwrap());
    let value =
        json!({"apiVersion": "example.com/v1", "metadata": {"labels": {"a": "b"}}, "spec": {"all": [{"name": "x"}]}});
    let fields = crate::apply::field_set(place, &value).unwrap();
    assert_eq!(
        fields.to_text(),
        r#"{"f:apiVersion":{},"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:all":{"k:{\"name\":\"x\"}":{".":{},"f:name":{}}}}}"#
    );
}
