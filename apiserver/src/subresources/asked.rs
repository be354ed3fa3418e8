//! What an access review asks about, read from its spec, with selectors (`kubernetes/pkg/registry/authorization/util`).

use api::field::{FieldError, Path};
use api::names;
use api::selector::{FieldSelector, FieldTerm, LabelSelector, Operator, Requirement};
use serde_json::Value;

use super::review::texts;
use crate::request::RequestInfo;

/// The request that is asked about, and what of it could not be read: it is left out of what is asked.
pub(super) fn attributes(spec: &Value) -> (RequestInfo, String) {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    if spec["nonResourceAttributes"].is_object() {
        let other = &spec["nonResourceAttributes"];
        let info = RequestInfo { path: text(other, "path"), verb: text(other, "verb"), ..RequestInfo::default() };
        return (info, String::new());
    }
    let resource = &spec["resourceAttributes"];
    let fields = fields(&resource["fieldSelector"]);
    let labels = labels(&resource["labelSelector"]);
    let doubts = [("fieldSelector", &fields), ("labelSelector", &labels)].into_iter().filter(|(_, read)| read.failed);
    let doubts = doubts.map(|(name, read)| {
        let partially = if read.text.is_empty() { "" } else { "partially " };
        format!("spec.resourceAttributes.{name} {partially}ignored due to parse error")
    });
    let doubts = doubts.collect::<Vec<_>>().join("; ");
    let info = RequestInfo {
        is_resource: true,
        verb: text(resource, "verb"),
        group: text(resource, "group"),
        version: text(resource, "version"),
        resource: text(resource, "resource"),
        subresource: text(resource, "subresource"),
        name: text(resource, "name"),
        namespace: text(resource, "namespace"),
        field_selector: fields.text,
        label_selector: labels.text,
        ..RequestInfo::default()
    };
    (info, doubts)
}

/// A selector as a query parameter says it.
#[derive(Default)]
struct Read {
    text: String,
    /// Something of it could not be read.
    failed: bool,
}

fn fields(selector: &Value) -> Read {
    let requirements = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if requirements.is_empty() {
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        return match FieldSelector::parse(raw) {
            Ok(selector) => Read { text: selector.to_string(), failed: false },
            Err(_) => Read { text: String::new(), failed: true },
        };
    }
    let term = |requirement: &Value| {
        let negated = match requirement["operator"].as_str()? {
            "In" => false,
            "NotIn" => true,
            _ => return None,
        };
        let [value] = <[String; 1]>::try_from(texts(&requirement["values"])).ok()?;
        Some(FieldTerm { field: requirement["key"].as_str()?.to_owned(), value, negated })
    };
    let terms: Vec<FieldTerm> = requirements.iter().filter_map(term).collect();
    let failed = terms.len() < requirements.len();
    Read { text: FieldSelector { terms }.to_string(), failed }
}

fn labels(selector: &Value) -> Read {
    let requirements = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
    if requirements.is_empty() {
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        return match LabelSelector::parse(raw) {
            Ok(selector) => Read { text: selector.to_string(), failed: false },
            Err(_) => Read { text: String::new(), failed: true },
        };
    }
    let requirement = |requirement: &Value| {
        let operator = match requirement["operator"].as_str()? {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        Requirement::new(requirement["key"].as_str()?, operator, texts(&requirement["values"])).ok()
    };
    let read: Vec<Requirement> = requirements.iter().filter_map(requirement).collect();
    let failed = read.len() < requirements.len();
    Read { text: LabelSelector::from_requirements(read).to_string(), failed }
}

/// `k8s.io/kubernetes/pkg/apis/authorization/validation`: operators that are not known are for newer servers, and no error.
pub(super) fn validate(attributes: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec.resourceAttributes");
    for (name, of_labels) in [("fieldSelector", false), ("labelSelector", true)] {
        let (selector, path) = (&attributes[name], path.child(name));
        if !selector.is_object() {
            continue;
        }
        let raw = selector["rawSelector"].as_str().unwrap_or_default();
        let requirements = selector["requirements"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !raw.is_empty() && !requirements.is_empty() {
            let detail = "may not specified at the same time as requirements";
            errors.push(FieldError::invalid(&path.child("rawSelector"), raw, detail));
        }
        if raw.is_empty() && requirements.is_empty() {
            let detail = format!("when {path} is specified, requirements or rawSelector is required");
            errors.push(FieldError::required(&path.child("requirements"), detail));
        }
        for (index, requirement) in requirements.iter().enumerate() {
            validate_one(requirement, &path.child("requirements").index(index), of_labels, &mut errors);
        }
    }
    errors
}

fn validate_one(requirement: &Value, path: &Path, of_labels: bool, errors: &mut Vec<FieldError>) {
    let key = requirement["key"].as_str().unwrap_or_default();
    let values = texts(&requirement["values"]);
    if !of_labels && key.is_empty() {
        errors.push(FieldError::required(&path.child("key"), "must be specified"));
    }
    match requirement["operator"].as_str().unwrap_or_default() {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path.child("values"), detail));
        }
        _ => {}
    }
    if !of_labels {
        return;
    }
    for message in names::qualified_name(key) {
        errors.push(FieldError::invalid(&path.child("key"), key, message));
    }
    for (index, value) in values.iter().enumerate() {
        for message in names::label_value(value) {
            errors.push(FieldError::invalid(&path.child("values").index(index), value.as_str(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_are_read_or_left_out() {
        let left_out = "spec.resourceAttributes.fieldSelector ignored due to parse error";
        let partially = "spec.resourceAttributes.fieldSelector partially ignored due to parse error";
        let one = |operator: &str, values: Value| json!({"key": "a", "operator": operator, "values": values});
        let table = [
            (json!({"rawSelector": "a=b,c!=d"}), "a=b,c!=d", ""),
            (json!({"rawSelector": "a"}), "", left_out),
            (json!({"requirements": [one("In", json!(["x,y"]))]}), "a=x\\,y", ""),
            (json!({"requirements": [one("NotIn", json!(["x"]))]}), "a!=x", ""),
            (json!({"requirements": [one("In", json!(["x", "y"])), one("NotIn", json!(["z"]))]}), "a!=z", partially),
            (json!({"requirements": [one("Exists", json!([]))]}), "", left_out),
        ];
        for (selector, text, doubts) in table {
            let (info, found) = attributes(&json!({"resourceAttributes": {"fieldSelector": selector}}));
            assert_eq!((&*info.field_selector, &*found), (text, doubts), "{selector}");
        }
        let labels = json!({"requirements": [one("In", json!(["x"])), one("Near", json!([]))]});
        let (info, found) = attributes(&json!({"resourceAttributes": {"labelSelector": labels}}));
        let doubts = "spec.resourceAttributes.labelSelector partially ignored due to parse error";
        assert_eq!((&*info.label_selector, &*found), ("a in (x)", doubts));
    }

    #[test]
    fn a_selector_says_one_thing() {
        let table = [
            (json!({}), ""),
            (
                json!({"fieldSelector": {}}),
                "spec.resourceAttributes.fieldSelector.requirements: Required value: when \
                 spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
            ),
            (
                json!({"labelSelector": {"rawSelector": "a", "requirements": [{"key": "a", "operator": "Exists"}]}}),
                "spec.resourceAttributes.labelSelector.rawSelector: Invalid value: \"a\": may not specified at the same time \
                 as requirements",
            ),
            (
                json!({"fieldSelector": {"requirements": [{"operator": "In"}]}}),
                "spec.resourceAttributes.fieldSelector.requirements[0].key: Required value: must be specified\n\
                 spec.resourceAttributes.fieldSelector.requirements[0].values: Required value: must be specified when \
                 `operator` is 'In' or 'NotIn'",
            ),
        ];
        for (attributes, expected) in table {
            let errors: Vec<String> = validate(&attributes).iter().map(ToString::to_string).collect();
            assert_eq!(errors.join("\n"), expected, "{attributes}");
        }
    }
}
