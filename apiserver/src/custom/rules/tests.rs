use api::field::FieldError;
use serde_json::{Value, json};

use super::Rules;

fn schema(properties: Value, rules: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {
        "type": "object", "properties": properties, "x-kubernetes-validations": rules,
    }}})
}

fn said(errors: &[FieldError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

fn check(schema: &Value, spec: Value, old: Option<Value>) -> Vec<String> {
    let rules = Rules::read(schema).unwrap();
    let old = old.map(|old| json!({"spec": old}));
    said(&rules.check(&json!({"spec": spec}), old.as_ref()).errors)
}

#[test]
fn what_rules_say() {
    let integer = json!({"type": "integer"});
    let both = json!({"min": integer, "max": integer, "name": {"type": "string"}});
    let order = "self.min <= self.max";
    let table = [
        ("holds", json!({"rule": order}), json!({"min": 1, "max": 2}), vec![]),
        (
            "does not",
            json!({"rule": order}),
            json!({"min": 3, "max": 2}),
            vec!["spec: Invalid value: failed rule: self.min <= self.max"],
        ),
        (
            "message",
            json!({"rule": order, "message": " min is too large "}),
            json!({"min": 3, "max": 2}),
            vec!["spec: Invalid value: min is too large"],
        ),
        (
            "message that is computed",
            json!({"rule": order, "messageExpression": "'%d > %d'.format([self.min, self.max])"}),
            json!({"min": 3, "max": 2}),
            vec!["spec: Invalid value: 3 > 2"],
        ),
        (
            "message that cannot be computed",
            json!({"rule": order, "messageExpression": "self.name", "message": "plain"}),
            json!({"min": 3, "max": 2}),
            vec!["spec: Invalid value: plain"],
        ),
        (
            "reason and place",
            json!({"rule": order, "reason": "FieldValueForbidden", "fieldPath": ".min", "message": "no"}),
            json!({"min": 3, "max": 2}),
            vec!["spec.min: Forbidden: no"],
        ),
        (
            "duplicate",
            json!({"rule": order, "reason": "FieldValueDuplicate"}),
            json!({"min": 3, "max": 2}),
            vec!["spec: Duplicate value"],
        ),
        (
            "error",
            json!({"rule": order}),
            json!({"min": 3}),
            vec!["spec: Invalid value: \"object\": no such key: max evaluating rule: self.min <= self.max"],
        ),
    ];
    for (name, rule, spec, expected) in table {
        assert_eq!(check(&schema(both.clone(), json!([rule])), spec, None), expected, "{name}");
    }
}

#[test]
fn rules_about_changes() {
    let properties = json!({"size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self >= oldSelf"}]}});
    let grows = schema(properties, json!([]));
    assert_eq!(check(&grows, json!({"size": 1}), None), [] as [&str; 0]);
    assert_eq!(check(&grows, json!({"size": 2}), Some(json!({"size": 1}))), [] as [&str; 0]);
    let expected = ["spec.size: Invalid value: 1: failed rule: self >= oldSelf"];
    assert_eq!(check(&grows, json!({"size": 1}), Some(json!({"size": 2}))), expected);
    assert_eq!(check(&grows, json!({"size": 1}), Some(json!({}))), [] as [&str; 0]);

    let rule = json!({"rule": "oldSelf.hasValue() || self == 1", "optionalOldSelf": true});
    let first = schema(json!({"size": {"type": "integer", "x-kubernetes-validations": [rule]}}), json!([]));
    assert_eq!(check(&first, json!({"size": 2}), None).len(), 1);
    assert_eq!(check(&first, json!({"size": 2}), Some(json!({"size": 1}))), [] as [&str; 0]);

    let item = json!({"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
        "x-kubernetes-validations": [{"rule": "self.v >= oldSelf.v"}]});
    let keyed = schema(
        json!({"list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}}),
        json!([]),
    );
    let list = |a: i64, b: i64| json!({"list": [{"k": "a", "v": a}, {"k": "b", "v": b}]});
    let turned = json!({"list": [{"k": "b", "v": 1}, {"k": "a", "v": 1}]});
    let expected = ["spec.list[0]: Invalid value: failed rule: self.v >= oldSelf.v"];
    assert_eq!(check(&keyed, turned, Some(list(1, 2))), expected);
    assert_eq!(check(&keyed, list(2, 2), Some(list(1, 2))), [] as [&str; 0]);
}

#[test]
fn what_was_wrong_before_is_let_be() {
    let rules = json!([{"rule": "self.size < 5"}]);
    let schema = schema(json!({"size": {"type": "integer"}, "other": {"type": "integer"}}), rules);
    let rules = Rules::read(&schema).unwrap();
    let object = |size: i64, other: i64| json!({"spec": {"size": size, "other": other}});
    let verdict = rules.check(&object(9, 1), Some(&object(9, 1)));
    assert!(verdict.errors.is_empty());
    assert_eq!(said(&verdict.let_be), ["spec: Invalid value: failed rule: self.size < 5"]);
    assert_eq!(rules.check(&object(9, 2), Some(&object(9, 1))).errors.len(), 1);
}

#[test]
fn the_budget_is_one_for_all() {
    let one = "self.all(x, self.all(y, x + y >= 0))";
    let rules: Vec<Value> = (0..30).map(|_| json!({"rule": one})).collect();
    let list = json!({"type": "array", "items": {"type": "integer"}, "x-kubernetes-validations": rules});
    let schema = schema(json!({"list": list}), json!([]));
    let list = |length: usize| json!({"list": vec![1; length]});
    assert_eq!(check(&schema, list(10), None), [] as [&str; 0]);
    let expected = "spec.list: Invalid value: \"array\": validation failed due to running out of cost budget, no further \
                    validation rules will be run";
    assert_eq!(check(&schema, list(300), None), [expected]);
    let said = check(&schema, list(2000), None);
    assert!(
        said[0].contains("no further validation rules will be run due to call cost exceeds limit for rule"),
        "{said:?}"
    );
}
