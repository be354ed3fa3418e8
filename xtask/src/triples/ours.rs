//! Our answers.

use api::apply::{ManagedFields, OneVersion, Set, Tracker, requested};
use api::patch::strategic;
use api::schema::{SchemaSet, TypeId, check};
use serde_json::Value;

use super::oracle::{Question, forget_times};

pub fn answer(question: &Question) -> Result<Value, String> {
    let set = SchemaSet::builtin();
    let ty = question.kind.schema().ok_or("no schema")?;
    match question.verb {
        "strategic" => patched(set, ty, &question.live, question.sent.clone()),
        "threeway" => {
            let patch = strategic::three_way(set, ty, &question.original, &question.sent, &question.live);
            patched(set, ty, &question.live, patch.map_err(|error| error.to_string())?)
        }
        verb => tracked(question, set, ty, verb),
    }
}

fn patched(set: &SchemaSet, ty: TypeId, live: &Value, patch: Value) -> Result<Value, String> {
    let made = strategic::apply(set, ty, live, patch).map_err(|error| error.to_string())?;
    conformed(set, ty, made)
}

/// As Go reads it and writes it again.
fn conformed(set: &SchemaSet, ty: TypeId, mut object: Value) -> Result<Value, String> {
    if let Some(error) = check::conform(set, ty, &mut object).errors.first() {
        return Err(error.to_string());
    }
    check::complete(set, ty, &mut object);
    Ok(object)
}

fn tracked(question: &Question, set: &SchemaSet, ty: TypeId, verb: &str) -> Result<Value, String> {
    let api_version = question.kind.api_version;
    let versions = OneVersion { set, ty, api_version };
    let reset = Set::default();
    let tracker = Tracker {
        versions: &versions,
        api_version,
        kind: question.kind.kind,
        subresource: "",
        manager: question.manager,
        reset: &reset,
        now: "2030-01-01T00:00:00Z",
    };
    let (live, list) = untangled(&question.live);
    let live = (!live.is_null()).then(|| conformed(set, ty, live)).transpose()?;
    let managed = match &list {
        Value::Null => ManagedFields::default(),
        list => ManagedFields::decode(list).map_err(|error| error.to_string())?,
    };
    let (object, managed) = if verb == "apply" {
        let applied = tracker.apply(live.as_ref(), managed, &question.sent, question.force);
        let applied = applied.map_err(|error| error.to_string())?;
        (conformed(set, ty, applied.object)?, applied.managed)
    } else {
        let (sent, list) = untangled(&question.sent);
        let new = conformed(set, ty, sent)?;
        let managed = requested(managed, (!list.is_null()).then_some(&list), "");
        let managed = tracker.update(live.as_ref(), &new, managed).map_err(|error| error.to_string())?;
        (new, managed)
    };
    let mut object = object;
    if !managed.is_empty() {
        object["metadata"]["managedFields"] = managed.to_value();
    }
    forget_times(&mut object);
    Ok(object)
}

/// An object, and its managers.
fn untangled(object: &Value) -> (Value, Value) {
    let mut object = object.clone();
    let list = object.get_mut("metadata").and_then(Value::as_object_mut).and_then(|meta| meta.remove("managedFields"));
    (object, list.unwrap_or_default())
}
