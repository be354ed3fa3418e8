//! AdmissionReviews: what a webhook is asked, and what it answers
//! (`k8s.io/apiserver/pkg/admission/plugin/webhook/request`).

use std::collections::BTreeMap;

use api::patch::json::{Patch, UNCHECKED};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V1,
    V1Beta1,
}

/// What a webhook says.
#[derive(Debug, Default)]
pub struct Answer {
    pub allowed: bool,
    pub patch: Option<Patch>,
    /// What the patch was read from.
    pub operations: Value,
    /// A Status; null when there is none.
    pub result: Value,
    pub warnings: Vec<String>,
    pub annotations: BTreeMap<String, String>,
}

impl Version {
    pub fn read(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }

    /// `request` is an AdmissionRequest without what is given here.
    pub fn review(self, uid: &str, mut request: Value, object: &Value, old_object: &Value) -> Value {
        request["uid"] = uid.into();
        request["object"] = object.clone();
        request["oldObject"] = old_object.clone();
        json!({"kind": "AdmissionReview", "apiVersion": self.api_version(), "request": request})
    }

    /// # Errors
    /// Why it is no answer.
    pub fn answer(self, uid: &str, review: &Value, mutating: bool) -> Result<Answer, Refused> {
        let response = &review["response"];
        if !response.is_object() {
            return Err(Refused::Invalid("webhook response was absent".to_owned()));
        }
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let encoded = text(response, "patch");
        if self == Self::V1 {
            check(uid, review, response, &encoded, mutating).map_err(Refused::Invalid)?;
        }
        let (patch, operations) = match mutating && !encoded.is_empty() {
            true => patch(response, &encoded).map(|(patch, operations)| (Some(patch), operations))?,
            false => (None, Value::Null),
        };
        let warnings = response["warnings"].as_array().into_iter().flatten();
        let annotations = response["auditAnnotations"].as_object().into_iter().flatten();
        Ok(Answer {
            allowed: response["allowed"] == true,
            patch,
            operations,
            result: response["status"].clone(),
            warnings: warnings.filter_map(Value::as_str).map(str::to_owned).collect(),
            annotations: annotations.map(|(key, _)| (key.clone(), text(&response["auditAnnotations"], key))).collect(),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("received invalid webhook response: {0}")]
    Invalid(String),
    #[error("received undecodable patch in webhook response: {0}")]
    Patch(String),
    #[error("unsupported patch type {0:?}")]
    PatchType(String),
}

fn check(uid: &str, review: &Value, response: &Value, patch: &str, mutating: bool) -> Result<(), String> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let own = text(response, "uid");
    if own != uid {
        return Err(format!("expected response.uid={uid:?}, got {own:?}"));
    }
    let (version, kind) = (text(review, "apiVersion"), text(review, "kind"));
    let wanted = "admission.k8s.io/v1, Kind=AdmissionReview";
    let got = api::gvk::GroupVersionKind::from_api_version(&version, &kind).go_string();
    if got != wanted {
        return Err(format!("expected webhook response of {wanted}, got {got}"));
    }
    let has_type = response["patchType"].is_string();
    match (mutating, patch.is_empty(), has_type) {
        (true, false, false) => Err("webhook returned response.patch but not response.patchType".to_owned()),
        (true, true, true) => Err("webhook returned response.patchType but not response.patch".to_owned()),
        (true, false, true) if response["patchType"] == "" => {
            Err("webhook returned invalid response.patchType of \"\"".to_owned())
        }
        (false, false, _) => Err("validating webhook may not return response.patch".to_owned()),
        (false, true, true) => Err("validating webhook may not return response.patchType".to_owned()),
        _ => Ok(()),
    }
}

fn patch(response: &Value, encoded: &str) -> Result<(Patch, Value), Refused> {
    let undecodable = |error: &dyn std::fmt::Display| Refused::Patch(error.to_string());
    match response["patchType"].as_str() {
        None | Some("JSONPatch") => {}
        Some(other) => return Err(Refused::PatchType(other.to_owned())),
    }
    let bytes = STANDARD.decode(encoded).map_err(|error| undecodable(&error))?;
    let operations: Value = serde_json::from_slice(&bytes).map_err(|error| undecodable(&error))?;
    let patch = Patch::decode(operations.clone(), &UNCHECKED).map_err(|error| undecodable(&error))?;
    Ok((patch, operations))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        let v1 = |response: Value| json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
        let old = json!({"response": {"allowed": true}});
        let patch = STANDARD.encode(r#"[{"op": "add", "path": "/a", "value": 1}]"#);
        let invalid = |why: &str| format!("received invalid webhook response: {why}");
        let table = [
            ("allowed", Version::V1, v1(json!({"uid": "u", "allowed": true})), true, String::new()),
            ("nothing", Version::V1, v1(Value::Null), true, invalid("webhook response was absent")),
            (
                "of another question",
                Version::V1,
                v1(json!({"uid": "x"})),
                true,
                invalid("expected response.uid=\"u\", got \"x\""),
            ),
            (
                "of another version",
                Version::V1,
                json!({"response": {"uid": "u"}}),
                true,
                invalid("expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind="),
            ),
            ("an old one", Version::V1Beta1, old, true, String::new()),
            (
                "a patch without type",
                Version::V1,
                v1(json!({"uid": "u", "patch": patch})),
                true,
                invalid("webhook returned response.patch but not response.patchType"),
            ),
            (
                "a patch of who only validates",
                Version::V1,
                v1(json!({"uid": "u", "patch": patch, "patchType": "JSONPatch"})),
                false,
                invalid("validating webhook may not return response.patch"),
            ),
            (
                "a patch",
                Version::V1,
                v1(json!({"uid": "u", "patch": patch, "patchType": "JSONPatch"})),
                true,
                String::new(),
            ),
            (
                "another patch",
                Version::V1,
                v1(json!({"uid": "u", "patch": patch, "patchType": "Merge"})),
                true,
                "unsupported patch type \"Merge\"".to_owned(),
            ),
        ];
        for (name, version, review, mutating, expected) in table {
            let said = version.answer("u", &review, mutating).map(drop);
            assert_eq!(said.map_err(|refused| refused.to_string()).err().unwrap_or_default(), expected, "{name}");
        }
    }
}
