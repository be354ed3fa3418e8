//! The access reviews: may somebody, or oneself, do something?
//! (`kubernetes/pkg/apis/authorization/validation`, `pkg/registry/authorization`)

use api::Object;
use api::field::{FieldError, Path};
use api::status::{Qualified, Status};
use serde_json::{Value, json};

use super::asked;
use super::review::named_user;
use crate::authorizer::Decision;
use crate::call::Call;

/// The status of the review.
pub(super) async fn access(call: &Call, review: &Object) -> Result<Value, Status> {
    let own = call.row.info.kind == "SelfSubjectAccessReview";
    let errors = validate(review, own, call.row.info.namespaced.then_some(&*call.info.namespace));
    if !errors.is_empty() {
        // Upstream has dropped the kind by then.
        return Err(Status::invalid(Qualified::new(&call.row.info.group, ""), "", &errors));
    }
    let spec = &review["spec"];
    let user = if own { call.user.clone() } else { named_user(spec) };
    let (asked, doubts) = asked::attributes(spec);
    let (decision, reason) = call.core.config.authorizer.explain(&user, &asked).await;
    let mut status = json!({"allowed": decision == Decision::Allow});
    if matches!(decision, Decision::Deny(_)) {
        status["denied"] = true.into();
    }
    if !reason.is_empty() {
        status["reason"] = reason.into();
    }
    if !doubts.is_empty() {
        status["evaluationError"] = doubts.into();
    }
    Ok(status)
}

fn given<'v>(spec: &'v Value, key: &str) -> Option<&'v Value> {
    spec.get(key).filter(|value| value.is_object())
}

/// `namespace` is that of a LocalSubjectAccessReview. `own` asks about oneself and names no user.
fn validate(review: &Object, own: bool, namespace: Option<&str>) -> Vec<FieldError> {
    let (spec, path) = (&review["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    let mut invalid = |path: &Path, value: Value, detail: &str| errors.push(FieldError::invalid(path, value, detail));
    let (resource, other) = (given(spec, "resourceAttributes"), given(spec, "nonResourceAttributes"));
    // Upstream shows the names of its own struct.
    let shown = other.map_or(Value::Null, |other| json!({"Path": other["path"], "Verb": other["verb"]}));
    match (resource, other) {
        (Some(_), Some(_)) => {
            let detail = "cannot be specified in combination with resourceAttributes";
            invalid(&path.child("nonResourceAttributes"), shown.clone(), detail);
        }
        (None, None) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            invalid(&path.child("resourceAttributes"), Value::Null, detail);
        }
        _ => {}
    }
    let user = named_user(spec);
    if !own && user.name.is_empty() && user.groups.is_empty() {
        invalid(&path.child("user"), "".into(), "at least one of user or group must be specified");
    }
    errors.extend(resource.into_iter().flat_map(asked::validate));
    let mut invalid = |path: &Path, value: Value, detail: &str| errors.push(FieldError::invalid(path, value, detail));
    let metadata = review["metadata"].as_object().into_iter().flatten();
    let allowed = |key: &str| key == "managedFields" || key == "namespace" && namespace.is_some();
    if metadata.filter(|(key, value)| !allowed(key) && !value.is_null()).count() > 0 {
        let detail = if namespace.is_some() { "must be empty except for namespace" } else { "must be empty" };
        invalid(&Path::new("metadata"), review["metadata"].clone(), detail);
    }
    if let Some(namespace) = namespace {
        let asked = resource.map(|resource| resource["namespace"].as_str().unwrap_or_default());
        if let Some(asked) = asked.filter(|asked| *asked != namespace) {
            let path = path.child("resourceAttributes").child("namespace");
            invalid(&path, asked.into(), "must match metadata.namespace");
        }
        if other.is_some() {
            invalid(&path.child("nonResourceAttributes"), shown, "disallowed on this kind of request");
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_review_asks_one_thing_about_somebody() {
        let pods = json!({"namespace": "n", "verb": "get", "resource": "pods"});
        let path = json!({"path": "/x", "verb": "get"});
        let asking = |spec: Value| json!({"metadata": {}, "spec": spec});
        let mut named = asking(json!({"resourceAttributes": pods}));
        named["metadata"] = json!({"name": "x", "creationTimestamp": null});
        let table = [
            ("own", asking(json!({"resourceAttributes": pods})), true, None, vec![]),
            ("nobody", asking(json!({"resourceAttributes": pods})), false, None, vec!["spec.user"]),
            ("a group", asking(json!({"groups": ["g"], "nonResourceAttributes": path})), false, None, vec![]),
            ("nothing", asking(json!({})), true, None, vec!["spec.resourceAttributes"]),
            (
                "both",
                asking(json!({"resourceAttributes": pods, "nonResourceAttributes": path})),
                true,
                None,
                vec!["spec.nonResourceAttributes"],
            ),
            ("a name", named.clone(), true, None, vec!["metadata"]),
            ("local", asking(json!({"user": "u", "resourceAttributes": pods})), false, Some("n"), vec![]),
            (
                "elsewhere",
                asking(json!({"user": "u", "resourceAttributes": pods})),
                false,
                Some("m"),
                vec!["spec.resourceAttributes.namespace"],
            ),
            (
                "local path",
                asking(json!({"user": "u", "nonResourceAttributes": path})),
                false,
                Some("n"),
                vec!["spec.nonResourceAttributes"],
            ),
        ];
        for (name, review, own, namespace, expected) in table {
            let errors: Vec<String> = validate(&review, own, namespace).iter().map(ToString::to_string).collect();
            let fields: Vec<&str> = errors.iter().filter_map(|text| text.split(':').next()).collect();
            assert_eq!(fields, expected, "{name}: {errors:?}");
        }
    }
}
