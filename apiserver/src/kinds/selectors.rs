//! Validation of labels and label selectors (`k8s.io/apimachinery/pkg/apis/meta/v1/validation`).

use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors, field, list, text};

/// A label key.
pub fn label_name(at: &Cursor, errors: &mut Errors) {
    errors.messages(at, names::qualified_name(at.str()));
}

/// A map of labels. Errors stand at the map, as upstream has it.
pub fn labels(at: &Cursor, errors: &mut Errors) {
    for (name, value) in at.value.as_object().into_iter().flatten() {
        for message in names::qualified_name(name) {
            errors.invalid_as(at, name.as_str(), message);
        }
        let value = value.as_str().unwrap_or_default();
        for message in names::label_value(value) {
            errors.invalid_as(at, value, message);
        }
    }
}

/// The metadata of what is made from a template: labels and annotations, and nothing else.
pub fn template_metadata(at: &Cursor, errors: &mut Errors) {
    let texts = |map: &Value| {
        let members = map.as_object().into_iter().flatten();
        members.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
    };
    let annotations = at.child("annotations");
    errors.with(|errors| errors.extend(names::validate_annotations(&texts(annotations.value), &annotations.path())));
    labels(&at.child("labels"), errors);
    for (name, shown) in FORBIDDEN_IN_TEMPLATES {
        let value = at.child(name).value;
        // An empty list that is still there is not none, and neither is a period of nothing.
        let is_zero = *value == 0 && name != "deletionGracePeriodSeconds" || *value == "";
        if !value.is_null() && !is_zero {
            errors.forbidden(&at.child(shown), "cannot be set");
        }
    }
}

/// Fields, and what messages call them, in Go's order.
const FORBIDDEN_IN_TEMPLATES: [(&str, &str); 13] = [
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];

/// A LabelSelector, where it is set.
pub fn label_selector(at: &Cursor, errors: &mut Errors) {
    labels(&at.child("matchLabels"), errors);
    for requirement in at.child("matchExpressions").items() {
        let (operator, values) = (requirement.child("operator"), requirement.child("values"));
        match operator.str() {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.required_because(&values, "must be specified when `operator` is 'In' or 'NotIn'");
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    errors.forbidden(&values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
                }
            }
            _ => errors.invalid_text(&operator, "not a valid selector operator"),
        }
        label_name(&requirement.child("key"), errors);
        for value in values.items() {
            errors.messages(&value, names::label_value(value.str()));
        }
    }
}

/// Neither labels nor expressions: it selects everything.
pub fn selects_everything(selector: &Value) -> bool {
    let empty = |name| super::cursor::size(field(selector, name)) == 0;
    empty("matchLabels") && empty("matchExpressions")
}

/// Whether a valid LabelSelector selects an object with these labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = field(selector, "matchLabels").as_object().into_iter().flatten();
    wanted.into_iter().all(|(name, value)| labels.get(name) == Some(value))
        && list(selector, "matchExpressions").iter().all(|requirement| {
            let label = labels.get(text(requirement, "key"));
            let listed = label.is_some_and(|label| list(requirement, "values").contains(label));
            match text(requirement, "operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => label.is_some(),
                _ => label.is_none(),
            }
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_have_labels_and_annotations() {
        let table = [
            (json!({"labels": {"a": "b"}, "annotations": {"c": "d"}, "name": ""}), ""),
            (json!({"ownerReferences": []}), "metadata.ownerReferences: Forbidden: cannot be set"),
            (
                json!({"finalizers": ["a"], "name": "b", "uid": "c"}),
                "metadata.name: Forbidden: cannot be set\nmetadata.uID: Forbidden: cannot be set\n\
                 metadata.finalizers: Forbidden: cannot be set",
            ),
        ];
        for (metadata, expected) in table {
            let object = json!({"metadata": metadata});
            let mut errors = Errors::default();
            template_metadata(&Cursor::root(&object, "metadata"), &mut errors);
            let shown: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(shown.join("\n"), expected);
        }
    }
}
