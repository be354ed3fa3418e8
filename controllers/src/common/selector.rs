//! Matching of typed label selectors.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

pub type Labels = BTreeMap<String, String>;

static NONE: Labels = Labels::new();

/// An absent map of labels is an empty one.
pub fn labels(labels: &Option<Labels>) -> &Labels {
    labels.as_ref().unwrap_or(&NONE)
}

pub fn is_everything(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// All conditions hold. The empty selector matches everything: who must not select everything asks [`is_everything`] first.
pub fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let expressions = selector.match_expressions.iter().flatten();
    selector.match_labels.as_ref().is_none_or(|wanted| is_subset(wanted, labels))
        && expressions.into_iter().all(|expression| holds(expression, labels))
}

pub fn is_subset(wanted: &Labels, labels: &Labels) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// The server has validated the operator; one from the future matches nothing.
fn holds(expression: &LabelSelectorRequirement, labels: &Labels) -> bool {
    let value = labels.get(&expression.key);
    let listed = |value: &String| expression.values.as_ref().is_some_and(|values| values.contains(value));
    match expression.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_match_as_documented() {
        let table = [
            ("everything", json!({}), true),
            ("labels", json!({"matchLabels": {"app": "web"}}), true),
            ("another value", json!({"matchLabels": {"app": "db"}}), false),
            ("in", json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "web"]}]}), true),
            ("not in", json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}), false),
            (
                "not in, absent",
                json!({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["web"]}]}),
                true,
            ),
            ("exists", json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}), true),
            ("absent", json!({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}), false),
            (
                "both",
                json!({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}),
                false,
            ),
        ];
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        for (name, selector, expected) in table {
            let selector = serde_json::from_value(selector).expect("a selector");
            assert_eq!(matches(&selector, &labels), expected, "{name}");
        }
    }
}
