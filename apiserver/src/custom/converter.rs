//! Versions that a webhook converts: what it is asked, and what it may answer
//! (`apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go`).

use std::collections::BTreeMap;

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use api::meta::Meta;
use api::names;
use serde_json::{Map, Value, json};

use crate::outbound::Client;

/// The webhook of a definition.
#[derive(Debug)]
pub struct Converter {
    pub client: Client,
    /// The version of reviews that it reads; `None` when we know none of its versions.
    version: Option<Version>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V1Beta1,
}

impl Converter {
    /// `conversion` of a definition's spec; `None` when no webhook converts.
    pub fn read(conversion: &Value) -> Option<Self> {
        if conversion["strategy"] != "Webhook" {
            return None;
        }
        let webhook = &conversion["webhook"];
        let versions = webhook["conversionReviewVersions"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let version = versions.filter_map(Version::read).next();
        Some(Self { client: Client::read(&webhook["clientConfig"]), version })
    }

    /// The review that asks for objects in another version.
    ///
    /// # Errors
    /// The webhook reads no version of reviews that we know.
    pub fn review(&self, uid: &str, objects: &[Object], api_version: &str) -> Result<Value, String> {
        let version = self.version.ok_or("no supported conversion review versions")?;
        Ok(json!({"kind": "ConversionReview", "apiVersion": version.api_version(),
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objects}}))
    }

    /// What the webhook made of `sent`, in that order. `list` is the kind of the list that they stand in, where there are several.
    ///
    /// # Errors
    /// Why it is no answer to that.
    pub fn answer(
        &self,
        uid: &str,
        review: &Value,
        sent: &[Object],
        to: &GroupVersionKind,
    ) -> Result<Vec<Object>, String> {
        let about = about(sent, to);
        let failed = |why: String| format!("conversion webhook for {about} failed: {why}");
        let converted = self.converted(uid, review).map_err(failed)?;
        let (got, expected) = (converted.len(), sent.len());
        if got != expected {
            return Err(format!("conversion webhook for {about} returned {got} objects, expected {expected}"));
        }
        let (object, invalid, metadata) = match sent.len() {
            1 => ("object at index", String::new(), String::new()),
            _ => ("converted object at index", " converted".to_owned(), " in object".to_owned()),
        };
        let mut objects = Vec::with_capacity(expected);
        for (index, (new, old)) in converted.into_iter().zip(sent).enumerate() {
            let at = if expected == 1 { String::new() } else { format!(" at index {index}") };
            check_type(&new, to)
                .map_err(|why| format!("conversion webhook for {about} returned invalid {object} {index}: {why}"))?;
            check_same(old, &new)
                .map_err(|why| format!("conversion webhook for {about} returned invalid{invalid} object{at}: {why}"))?;
            let restored = restore_metadata(old, new).map_err(|why| {
                format!("conversion webhook for {about} returned invalid metadata{metadata}{at}: {why}")
            })?;
            objects.push(restored);
        }
        Ok(objects)
    }

    /// That the webhook could not be asked.
    pub fn failed(&self, sent: &[Object], to: &GroupVersionKind, why: &str) -> String {
        format!("conversion webhook for {} failed: {why}", about(sent, to))
    }

    fn converted(&self, uid: &str, review: &Value) -> Result<Vec<Value>, String> {
        // The old version's answers were never looked at that closely.
        let is_strict = self.version == Some(Version::V1);
        let own = GroupVersionKind::from_api_version(text(review, "apiVersion"), text(review, "kind"));
        if is_strict
            && (own.api_version().as_str(), own.kind.as_str()) != (Version::V1.api_version(), "ConversionReview")
        {
            return Err(format!(
                "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got {}",
                own.go_string()
            ));
        }
        let response = &review["response"];
        if !response.is_object() {
            return Err("no response provided".to_owned());
        }
        if is_strict && text(response, "uid") != uid {
            return Err(format!("expected response.uid={uid:?}, got {:?}", text(response, "uid")));
        }
        let result = &response["result"];
        match (text(result, "status"), text(result, "message")) {
            ("Success", _) => Ok(response["convertedObjects"].as_array().cloned().unwrap_or_default()),
            (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, message) => Err(message.to_owned()),
        }
    }
}

impl Version {
    fn read(version: &str) -> Option<Self> {
        match version {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1Beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }
}

/// What messages call what was to be converted: a list is made in the version that is wanted.
pub(super) fn about(sent: &[Object], to: &GroupVersionKind) -> String {
    match sent {
        [only] => GroupVersionKind::from_api_version(text(only, "apiVersion"), text(only, "kind")).to_string(),
        _ => format!("{}, Kind={}List", to.api_version(), to.kind),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn check_type(new: &Value, to: &GroupVersionKind) -> Result<(), String> {
    let (api_version, kind) = (text(new, "apiVersion"), text(new, "kind"));
    let wanted = to.api_version();
    if api_version != wanted {
        return Err(format!("invalid groupVersion (expected {wanted}, received {api_version})"));
    }
    if kind != to.kind {
        return Err(format!("invalid kind (expected {}, received {kind})", to.kind));
    }
    Ok(())
}

/// A conversion does not make another object.
fn check_same(old: &Object, new: &Object) -> Result<(), String> {
    let same = [
        ("name", old.name(), new.name()),
        ("namespace", old.namespace(), new.namespace()),
        ("UID", old.uid(), new.uid()),
    ];
    match same.into_iter().find(|(_, old, new)| old != new) {
        Some((what, old, new)) => Err(format!("must have the same {what}: {old} != {new}")),
        None => Ok(()),
    }
}

/// Of the metadata, nothing but labels and annotations is the webhook's.
fn restore_metadata(old: &Object, mut new: Object) -> Result<Object, String> {
    let answered = match new.get("metadata") {
        None => return Err("missing metadata in converted object".to_owned()),
        Some(Value::Object(metadata)) => metadata.clone(),
        Some(other) => return Err(format!("invalid metadata of type {} in converted object", go_type(other))),
    };
    let mut metadata = old["metadata"].as_object().cloned().unwrap_or_default();
    for member in ["labels", "annotations"] {
        match answered.get(member) {
            None | Some(Value::Null) => {
                metadata.remove(member);
            }
            Some(Value::Object(texts)) => {
                if metadata.get(member).and_then(Value::as_object) != Some(texts) {
                    check_texts(member, texts)?;
                }
                metadata.insert(member.to_owned(), Value::Object(texts.clone()));
            }
            Some(other) => {
                return Err(format!("invalid metadata.{member} of type {} in converted object", go_type(other)));
            }
        }
    }
    new["metadata"] = Value::Object(metadata);
    Ok(new)
}

fn check_texts(member: &str, texts: &Map<String, Value>) -> Result<(), String> {
    let mut map = BTreeMap::new();
    for (key, value) in texts {
        let Some(text) = value.as_str() else {
            let kind = go_type(value);
            return Err(format!("metadata.{member}[{key}] must be a string, but is {kind} in converted object"));
        };
        map.insert(key.clone(), text.to_owned());
    }
    let path = Path::new("metadata");
    let errors = match member {
        "labels" => names::validate_labels(&map, &path.child("labels")),
        // Upstream's path has this name.
        _ => names::validate_annotations(&map, &path.child("annotation")),
    };
    match errors.as_slice() {
        [] => Ok(()),
        [only] => Err(only.to_string()),
        several => {
            let texts: Vec<String> = several.iter().map(FieldError::to_string).collect();
            Err(format!("[{}]", texts.join(", ")))
        }
    }
}

/// What Go calls the type of a JSON value.
fn go_type(value: &Value) -> &'static str {
    api::schema::check::go_type_of(value, "<nil>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converter(version: &str) -> Converter {
        let webhook = json!({"clientConfig": {"url": "https://x/"}, "conversionReviewVersions": [version]});
        Converter::read(&json!({"strategy": "Webhook", "webhook": webhook})).unwrap()
    }

    fn object(version: &str, change: Value) -> Value {
        let mut object = json!({"apiVersion": format!("g/{version}"), "kind": "K",
            "metadata": {"name": "a", "uid": "u", "generation": 3, "labels": {"a": "1"}}});
        object["metadata"].as_object_mut().unwrap().extend(change.as_object().cloned().unwrap());
        object
    }

    fn answer(change: Value) -> Value {
        let mut answer = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview", "response": {
            "uid": "1", "result": {"status": "Success"}, "convertedObjects": [object("v2", json!({}))]}});
        for (pointer, value) in change.as_object().unwrap() {
            *answer.pointer_mut(pointer).unwrap() = value.clone();
        }
        answer
    }

    const TO: (&str, &str, &str) = ("g", "v2", "K");

    fn convert(change: Value) -> Result<Vec<Object>, String> {
        let to = GroupVersionKind::new(TO.0, TO.1, TO.2);
        converter("v1").answer("1", &answer(change), &[object("v1", json!({}))], &to)
    }

    #[test]
    fn answers_are_checked() {
        let failed = |why: &str| format!("conversion webhook for g/v1, Kind=K failed: {why}");
        let invalid = |why: &str| format!("conversion webhook for g/v1, Kind=K returned invalid {why}");
        let table = [
            (
                json!({"/kind": "X"}),
                failed(
                    "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got apiextensions.k8s.io/v1, Kind=X",
                ),
            ),
            (json!({"/response": null}), failed("no response provided")),
            (json!({"/response/uid": "2"}), failed("expected response.uid=\"1\", got \"2\"")),
            (json!({"/response/result": {}}), failed("response.result.status was '', not 'Success'")),
            (json!({"/response/result": {"status": "Failure", "message": "no"}}), failed("no")),
            (
                json!({"/response/convertedObjects": []}),
                "conversion webhook for g/v1, Kind=K returned 0 objects, expected 1".to_owned(),
            ),
            (
                json!({"/response/convertedObjects/0/apiVersion": "g/v1"}),
                invalid("object at index 0: invalid groupVersion (expected g/v2, received g/v1)"),
            ),
            (
                json!({"/response/convertedObjects/0/kind": "X"}),
                invalid("object at index 0: invalid kind (expected K, received X)"),
            ),
            (
                json!({"/response/convertedObjects/0/metadata/name": "b"}),
                invalid("object: must have the same name: a != b"),
            ),
            (
                json!({"/response/convertedObjects/0/metadata/labels": {"a": 1}}),
                invalid("metadata: metadata.labels[a] must be a string, but is int64 in converted object"),
            ),
        ];
        for (change, expected) in table {
            assert_eq!(convert(change.clone()), Err(expected), "{change}");
        }
    }

    #[test]
    fn labels_and_annotations_alone_are_taken_of_metadata() {
        let change = json!({"generation": 9, "finalizers": ["x/y"], "labels": null, "annotations": {"b": "2"}});
        let converted = convert(json!({"/response/convertedObjects/0": object("v2", change)})).unwrap();
        assert_eq!(
            converted[0]["metadata"],
            json!({"name": "a", "uid": "u", "generation": 3, "annotations": {"b": "2"}})
        );
    }

    #[test]
    fn lists_are_spoken_of_as_lists() {
        let to = GroupVersionKind::new(TO.0, TO.1, TO.2);
        let sent = [object("v1", json!({})), object("v1", json!({"name": "b"}))];
        let converted = json!([object("v2", json!({})), object("v2", json!({}))]);
        let answered = converter("v1beta1").answer(
            "1",
            &json!({"response": {"result": {"status": "Success"}, "convertedObjects": converted}}),
            &sent,
            &to,
        );
        let expected = "conversion webhook for g/v2, Kind=KList returned invalid converted object at index 1: must have the \
                        same name: b != a";
        assert_eq!(answered, Err(expected.to_owned()));
        assert_eq!(
            converter("v7").review("1", &sent, "g/v2"),
            Err("no supported conversion review versions".to_owned())
        );
    }
}
