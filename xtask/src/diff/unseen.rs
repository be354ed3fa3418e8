//! Writes of upstream's that change nothing anybody can see. Its store keeps what no reader is shown (see accepted.md): bytes that
//! are empty, a null. The write that brings it, or the next one, makes a revision there, sometimes a generation, and here nothing.
//!
//! Only such a write of such an object is excused. What follows is compared as ever, with upstream's revision of it as another name
//! of ours.

use std::collections::BTreeMap;

use serde_json::Value;

use super::causes::resource;
use super::compare::{Class, Difference};
use super::pairs::Pairs;
use super::peer::Answer;
use super::step::Wire;

/// Objects in which upstream's store may have what nobody is shown, and through which subresource it came.
#[derive(Debug, Default)]
pub struct Unseen(BTreeMap<String, String>);

/// What upstream alone has counted, as the report has it.
pub struct Excused {
    pub difference: Difference,
    /// Upstream's of the object before and after a write of nothing.
    pub revisions: Option<(u64, u64)>,
}

impl Unseen {
    /// Looks at a write that both have answered, before the answers are compared.
    pub fn note(&mut self, wire: &Wire, ours: &Answer, theirs: &mut Answer, pairs: &mut Pairs) -> Option<Excused> {
        let succeeded = |answer: &Answer| matches!(answer.code, 200 | 201);
        if !matches!(wire.method.as_str(), "POST" | "PUT" | "PATCH") {
            return None;
        }
        let (object, subresource) = written(wire, &ours.body);
        let brings = brings(wire);
        // What was written may be something else than what can be shown in the form that was asked for.
        if brings && ours.code == 406 && theirs.code == 406 {
            self.0.insert(object, subresource);
            return None;
        }
        if !succeeded(ours) || !succeeded(theirs) {
            return None;
        }
        if !brings && !self.0.contains_key(&object) {
            return None;
        }
        if wire.target.contains("dryRun=") {
            forget_generation(ours, theirs, pairs);
            return None;
        }
        let counted = count_of_nothing(ours, theirs, pairs);
        let excused = write_of_nothing(ours, theirs, pairs).or(counted);
        if brings {
            self.0.insert(object, subresource);
        } else if excused.is_some() || self.0.get(&object) == Some(&subresource) {
            self.0.remove(&object);
        }
        excused
    }
}

/// Upstream has made a revision of what is the same here, whose revisions so far are known.
fn write_of_nothing(ours: &Answer, theirs: &Answer, pairs: &mut Pairs) -> Option<Excused> {
    let (own, after) = (revision(ours)?, revision(theirs)?);
    let before = pairs.revisions.last(own).filter(|before| *before < after)?;
    pairs.revisions.write_unseen(own, after);
    let difference = difference("resourceVersion", format!("ours stays {own}, upstream's becomes {after}"));
    Some(Excused { difference, revisions: Some((before, after)) })
}

/// Upstream has counted a generation more than here, with another write or alone.
fn count_of_nothing(ours: &Answer, theirs: &Answer, pairs: &mut Pairs) -> Option<Excused> {
    let (uid, own, other) = (uid(ours)?, generation(ours)?, generation(theirs)?);
    let ahead = pairs.ahead.get(uid).copied().unwrap_or_default();
    if own + ahead + 1 != other {
        return None;
    }
    pairs.ahead.insert(uid.to_owned(), ahead + 1);
    let difference = difference("generation", format!("ours {own}, upstream {other}"));
    Some(Excused { difference, revisions: None })
}

fn difference(field: &str, detail: String) -> Difference {
    let what = "none, after what only a store keeps".to_owned();
    Difference { class: Class::Revision, place: format!("metadata.{field}"), what, detail }
}

/// What would have been counted is kept nowhere.
fn forget_generation(ours: &Answer, theirs: &mut Answer, pairs: &Pairs) {
    let ahead = uid(ours).and_then(|uid| pairs.ahead.get(uid)).copied().unwrap_or_default();
    if let (Some(own), Some(other)) = (generation(ours), generation(theirs))
        && own + ahead + 1 == other
    {
        theirs.body["metadata"]["generation"] = (other - 1).into();
    }
}

/// Whether the request has what upstream's store keeps of that kind and shows to nobody.
fn brings(wire: &Wire) -> bool {
    let applies = wire.headers.iter().any(|(name, value)| name == "content-type" && value.contains("apply-patch"));
    let empty = |member: &str| {
        let written = [format!("{member:?}:\"\""), format!("{member}: \"\""), format!("{member}: ''")];
        written.iter().any(|text| wire.body.contains(text))
    };
    match resource(&wire.target).as_str() {
        "validatingwebhookconfigurations" | "mutatingwebhookconfigurations" => empty("caBundle"),
        "certificatesigningrequests" => empty("certificate"),
        // A policy for inner traffic.
        "services" => wire.body.contains("ExternalName"),
        // Bytes that are null.
        "secrets" => has_null(&wire.body, "/data"),
        "configmaps" => has_null(&wire.body, "/binaryData"),
        // Who manages the count of a custom resource is written once more, in two entries.
        "widgets" if wire.target.split('?').next().is_some_and(|path| path.ends_with("/scale")) => true,
        "widgets" | "gadgets" if applies => has_null(&wire.body, "/metadata/labels"),
        _ => false,
    }
}

/// Of the object that is sent.
fn name_in(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    body["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// For the whole map there, or one of its values.
#[allow(clippy::disallowed_methods, reason = "only what is null is looked for")]
fn has_null(body: &str, place: &str) -> bool {
    let body: Value = serde_saphyr::from_str(body).unwrap_or_default();
    match body.pointer(place) {
        Some(Value::Object(members)) => members.values().any(Value::is_null),
        value => value.is_some_and(Value::is_null),
    }
}

/// The path of the object, and the subresource.
fn written(wire: &Wire, answer: &Value) -> (String, String) {
    let path = wire.target.split('?').next().unwrap_or_default();
    if wire.method == "POST" {
        let name = metadata(answer)["name"].as_str().map_or_else(|| name_in(&wire.body), str::to_owned);
        return (format!("{path}/{name}"), String::new());
    }
    match path.rsplit_once('/') {
        Some((object, last @ ("status" | "approval" | "scale"))) => (object.to_owned(), last.to_owned()),
        _ => (path.to_owned(), String::new()),
    }
}

/// Of the object, which may be shown as a row of a table.
fn metadata(answer: &Value) -> &Value {
    let object = if answer["kind"] == "Table" { &answer["rows"][0]["object"] } else { answer };
    &object["metadata"]
}

fn revision(answer: &Answer) -> Option<u64> {
    metadata(&answer.body)["resourceVersion"].as_str()?.parse().ok()
}

fn uid(answer: &Answer) -> Option<&str> {
    metadata(&answer.body)["uid"].as_str()
}

fn generation(answer: &Answer) -> Option<u64> {
    metadata(&answer.body)["generation"].as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HOOKS: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

    fn wire(method: &str, target: &str, body: &str) -> Wire {
        Wire { method: method.into(), target: target.into(), headers: Vec::new(), body: body.into() }
    }

    fn answer(revision: u64, generation: u64) -> Answer {
        let metadata =
            json!({"name": "a", "uid": "u", "resourceVersion": revision.to_string(), "generation": generation});
        Answer { code: 200, headers: Vec::new(), body: json!({"metadata": metadata}) }
    }

    #[test]
    fn one_write_of_nothing_is_excused_where_something_was_brought() {
        let object = format!("{HOOKS}/a");
        let empty = r#"{"webhooks":[{"clientConfig":{"caBundle":""}}]}"#;
        let (mut unseen, mut pairs) = (Unseen::default(), Pairs::default());
        // method, target, body, our revision, upstream's, upstream's generation, whether it is excused
        let steps = [
            ("POST", HOOKS, empty, 5, 50, 1, false),
            ("PUT", &object, "{}", 5, 51, 2, true),
            ("PUT", &object, "{}", 5, 52, 3, false),
            ("PATCH", &object, "webhooks:\n- clientConfig:\n    caBundle: \"\"\n", 5, 53, 3, true),
            ("PATCH", &object, "{}", 6, 60, 4, true),
            ("PATCH", &object, "{}", 6, 61, 5, false),
            ("GET", &object, empty, 6, 62, 5, false),
        ];
        for (method, target, body, own, other, generation, expected) in steps {
            let mut theirs = answer(other, generation);
            let excused = unseen.note(&wire(method, target, body), &answer(own, 1), &mut theirs, &mut pairs);
            assert_eq!(excused.is_some(), expected, "{method} {body} {other}");
            pairs.revisions.agree(own, other);
        }
        assert_eq!(pairs.ahead.get("u"), Some(&3));
    }

    #[test]
    fn labels_that_are_null_and_those_that_are_none() {
        let table = [
            (r#"{"metadata":{"labels":null}}"#, true),
            (r#"{"metadata":{"labels":{"a":"b","c":null}}}"#, true),
            (r#"{"metadata":{"labels":{"a":"b"}}}"#, false),
            (r#"{"metadata":{}}"#, false),
            ("metadata:\n  labels: null\n", true),
            ("labels: null", false),
        ];
        for (body, expected) in table {
            assert_eq!(has_null(body, "/metadata/labels"), expected, "{body}");
        }
    }
}
