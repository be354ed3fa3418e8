//! Objects from a seed.

use serde_json::{Value, json};

use crate::diff::kinds::Kind;
use crate::diff::mutate;
use crate::diff::random::Random;

/// How often, in percent, a value is one that its kind does not allow.
const WILD: usize = 5;

/// An object with more in it than its kind needs.
pub fn object(kind: &Kind, random: &mut Random) -> Value {
    let mut object = kind.object("x");
    object["metadata"] = json!({"name": "x"});
    for _ in 0..=random.below(5) {
        mutate::add(random, &mut object, kind, WILD);
    }
    object
}

/// What somebody makes of an object, managers and all.
pub fn changed(live: &Value, kind: &Kind, random: &mut Random) -> Value {
    let mut object = live.clone();
    mutate::add(random, &mut object, kind, WILD);
    if random.percent(50) {
        thin(&mut object["spec"], random, 5);
    }
    if random.percent(30) {
        labels(&mut object, random);
    }
    if random.percent(3) {
        object["metadata"]["managedFields"] = json!([]);
    }
    object
}

/// Something to apply: part of an object, and more.
pub fn configuration(live: &Value, kind: &Kind, random: &mut Random) -> Value {
    let mut object = live.clone();
    for _ in 0..random.below(3) {
        mutate::add(random, &mut object, kind, WILD);
    }
    let percent = *random.pick(&[10, 30, 60]);
    thin(&mut object, random, percent);
    object["apiVersion"] = kind.api_version.into();
    object["kind"] = kind.kind.into();
    object["metadata"] = json!({"name": "x"});
    if random.percent(40) {
        labels(&mut object, random);
    }
    object
}

/// Whether something empty was sent is for the server to know, which puts it aside before managers are asked (`apiserver::empties`).
pub fn forget_empties(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, member| {
                if name.starts_with("f:") || name == "fieldsV1" {
                    return true;
                }
                forget_empties(member);
                let empty = member.as_object().is_some_and(|inner| inner.is_empty())
                    || member.as_array().is_some_and(|inner| inner.is_empty());
                // This one says that there are none.
                !empty || name == "managedFields"
            });
        }
        Value::Array(elements) => elements.iter_mut().for_each(forget_empties),
        _ => {}
    }
}

fn labels(object: &mut Value, random: &mut Random) {
    object["metadata"]["labels"][*random.pick(&["a", "b", "c"])] = (*random.pick(&["1", "2"])).into();
    if random.percent(30) {
        object["metadata"]["finalizers"] =
            random.pick(&[json!(["a/b"]), json!(["a/b", "c/d"]), json!(["c/d", "e/f"])]).clone();
    }
}

/// Takes things away; of elements, rarely what tells them apart.
fn thin(value: &mut Value, random: &mut Random, percent: usize) {
    match value {
        Value::Object(members) => {
            let usual =
                |name: &str| matches!(name, "name" | "key" | "type" | "port" | "containerPort" | "protocol" | "ip");
            members.retain(|name, _| !random.percent(if usual(name) { percent / 10 } else { percent }));
            members.values_mut().for_each(|member| thin(member, random, percent));
        }
        Value::Array(elements) => {
            elements.retain(|_| !random.percent(percent));
            elements.iter_mut().for_each(|element| thin(element, random, percent));
            if elements.len() > 1 && random.percent(30) {
                elements.rotate_left(1);
            }
        }
        _ => {}
    }
}

/// A strategic merge patch with directives here and there.
pub fn patch(mut modified: Value, random: &mut Random) -> Value {
    if random.percent(70) {
        for _ in 0..=random.below(2) {
            direct(&mut modified, random);
        }
    }
    modified
}

fn direct(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let at = random.below(members.len());
            let Some((name, member)) = members.iter_mut().nth(at) else { return };
            if (member.is_object() || member.is_array()) && random.percent(75) {
                return direct(member, random);
            }
            let name = name.clone();
            match random.below(6) {
                0 => *member = Value::Null,
                1 => drop(members.insert("$patch".into(), (*random.pick(&["replace", "delete", "merge", "x"])).into())),
                2 => drop(members.insert("$retainKeys".into(), json!([name, "type"]))),
                3 if member.is_array() => {
                    let order = member.clone();
                    members.insert(format!("$setElementOrder/{name}"), order);
                }
                4 => {
                    let gone = member.as_array().and_then(|list| list.first()).cloned().unwrap_or_else(|| json!("a/b"));
                    members.insert(format!("$deleteFromPrimitiveList/{name}"), json!([gone]));
                }
                _ => drop(members.remove(&name)),
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let at = random.below(elements.len());
            match random.below(4) {
                0 => elements.push(json!({"$patch": "replace"})),
                1 if elements[at].is_object() => elements[at]["$patch"] = "delete".into(),
                2 => elements.push(elements[at].clone()),
                _ => direct(&mut elements[at], random),
            }
        }
        _ => {}
    }
}
