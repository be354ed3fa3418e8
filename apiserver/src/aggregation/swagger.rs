//! OpenAPI v2 of several servers in one document (`k8s.io/kube-openapi/pkg/aggregator`): of another server only the paths of the version that it
//! serves are taken, with the definitions that these need; what is called as something else is renamed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";
const KINDS: &str = "x-kubernetes-group-version-kind";

/// Of a whole document what is below `prefix`. Parameters are put where they are referred to.
pub(super) fn filter(mut document: Value, prefix: &str) -> Value {
    let parameters = document["parameters"].take();
    replace_references(&mut document["paths"], &mut |reference, _| {
        parameters.get(reference.strip_prefix(PARAMETERS)?).cloned()
    });
    keep_paths(&mut document, |path| path.starts_with(prefix));
    let members =
        |key: &str| document.get(key).filter(|value| value.is_object()).cloned().unwrap_or_else(|| Map::new().into());
    let mut kept = Map::new();
    kept.extend(["paths", "definitions"].map(|key| (key.to_owned(), members(key))));
    kept.into()
}

/// Adds what another server has. Paths that are there already stay as they are.
pub(super) fn merge(into: &mut Value, other: &Value) {
    let mut other = other.clone();
    let own_paths = object(into, "paths");
    if object(&mut other, "paths").keys().any(|path| own_paths.contains_key(path)) {
        keep_paths(&mut other, |path| !own_paths.contains_key(path));
    }
    if object(&mut other, "paths").is_empty() {
        return;
    }
    let renamed = renames(object(into, "definitions"), object(&mut other, "definitions"));
    if !renamed.is_empty() {
        let rename = |name: &str| renamed.get(name).map_or_else(|| name.to_owned(), Clone::clone);
        replace_references(&mut other, &mut |reference, mut owner| {
            let name = renamed.get(reference.strip_prefix(DEFINITIONS)?)?;
            owner["$ref"] = format!("{DEFINITIONS}{name}").into();
            Some(owner)
        });
        let definitions = std::mem::take(object(&mut other, "definitions"));
        *object(&mut other, "definitions") =
            definitions.into_iter().map(|(name, schema)| (rename(&name), schema)).collect();
    }
    let own = object(into, "definitions");
    for (name, schema) in std::mem::take(object(&mut other, "definitions")) {
        match own.get_mut(&name) {
            Some(existing) => add_kinds(existing, &schema),
            None => drop(own.insert(name, schema)),
        }
    }
    let paths = std::mem::take(object(&mut other, "paths"));
    object(into, "paths").extend(paths);
}

fn object<'v>(document: &'v mut Value, key: &str) -> &'v mut Map<String, Value> {
    if !document[key].is_object() {
        document[key] = Map::new().into();
    }
    document[key].as_object_mut().unwrap_or_else(|| unreachable!("it has just been made one"))
}

/// Drops other paths, and definitions that only those have used.
fn keep_paths(document: &mut Value, keep: impl Fn(&str) -> bool) {
    let before = used(document);
    object(document, "paths").retain(|path, _| keep(path));
    let after = used(document);
    object(document, "definitions").retain(|name, _| after.contains(name) || !before.contains(name));
}

/// The names of definitions that paths refer to, directly or through others.
fn used(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![&document["paths"]];
    while let Some(value) = left.pop() {
        match value {
            Value::Object(members) => {
                if let Some(name) = reference(value).and_then(|reference| reference.strip_prefix(DEFINITIONS))
                    && found.insert(name.to_owned())
                {
                    left.push(&document["definitions"][name]);
                }
                left.extend(members.values());
            }
            Value::Array(items) => left.extend(items),
            _ => {}
        }
    }
    found
}

fn reference(value: &Value) -> Option<&str> {
    value.get("$ref").and_then(Value::as_str)
}

/// `replace` is given each reference and the object that it stands in, and may answer with another one.
fn replace_references(value: &mut Value, replace: &mut dyn FnMut(&str, Value) -> Option<Value>) {
    if let Some(text) = reference(value).map(str::to_owned)
        && let Some(new) = replace(&text, value.clone())
    {
        *value = new;
        return;
    }
    match value {
        Value::Object(members) => members.values_mut().for_each(|value| replace_references(value, replace)),
        Value::Array(items) => items.iter_mut().for_each(|value| replace_references(value, replace)),
        _ => {}
    }
}

/// New names of definitions that are called as others which say something else.
fn renames(own: &Map<String, Value>, other: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut renamed = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for (name, schema) in other {
        let same = |existing: &Value| without_kinds(existing) == without_kinds(schema);
        if own.get(name).is_none_or(same) {
            continue;
        }
        let candidates = (2..).map(|number| format!("{name}_v{number}"));
        let new = candidates.into_iter().find(|candidate| match own.get(candidate) {
            Some(existing) => same(existing),
            None => !taken.contains(candidate) && !other.contains_key(candidate),
        });
        if let Some(new) = new {
            taken.insert(new.clone());
            renamed.insert(name.clone(), new);
        }
    }
    renamed
}

fn without_kinds(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Some(members) = schema.as_object_mut() {
        members.remove(KINDS);
    }
    schema
}

/// A definition that both have is of the kinds of both.
fn add_kinds(schema: &mut Value, other: &Value) {
    let kinds = |schema: &Value| schema[KINDS].as_array().cloned().unwrap_or_default();
    let (mut all, more) = (kinds(schema), kinds(other));
    let before = all.len();
    for kind in more {
        if !all.contains(&kind) {
            all.push(kind);
        }
    }
    if all.len() > before {
        let text = |kind: &Value, key: &str| kind[key].as_str().unwrap_or_default().to_owned();
        all.sort_by_key(|kind| format!("{}/{}.{}", text(kind, "group"), text(kind, "version"), text(kind, "kind")));
        schema[KINDS] = all.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn get(name: &str) -> Value {
        json!({"get": {"responses": {"200": {"schema": {"$ref": format!("{DEFINITIONS}{name}")}}}}})
    }

    #[test]
    fn only_the_paths_of_a_version_are_taken() {
        let document = json!({
            "swagger": "2.0",
            "parameters": {"p": {"name": "pretty", "in": "query"}},
            "paths": {
                "/apis/g/v1/things": {"get": get("Thing")["get"], "parameters": [{"$ref": "#/parameters/p"}]},
                "/apis/g/v10/things": get("Other"),
                "/version": get("Version"),
            },
            "definitions": {"Thing": {"properties": {"spec": {"$ref": "#/definitions/Spec"}}}, "Spec": {"type": "object"},
                "Other": {}, "Version": {}, "Unused": {}},
        });
        let expected = json!({
            "paths": {"/apis/g/v1/things": {"get": get("Thing")["get"], "parameters": [{"name": "pretty", "in": "query"}]}},
            "definitions": {"Thing": {"properties": {"spec": {"$ref": "#/definitions/Spec"}}}, "Spec": {"type": "object"},
                "Unused": {}},
        });
        assert_eq!(filter(document, "/apis/g/v1/"), expected);
        assert_eq!(filter(json!({}), "/apis/g/v1/"), json!({"paths": {}, "definitions": {}}));
    }

    #[test]
    fn what_is_called_as_something_else_is_renamed() {
        let kinds = |group: &str| json!([{"group": group, "version": "v1", "kind": "Options"}]);
        let mut own = json!({
            "paths": {"/a": get("Same"), "/both": get("Same")},
            "definitions": {"Same": {"type": "object", KINDS: kinds("b")}, "Else": {"type": "string"},
                "Again": {"type": "string"}, "Again_v2": {"type": "number"}},
        });
        let other = json!({
            "paths": {"/b": get("Same"), "/c": get("Else"), "/d": get("Again"), "/both": get("Else")},
            "definitions": {"Same": {"type": "object", KINDS: kinds("a")},
                "Else": {"type": "object", "properties": {"x": {"$ref": "#/definitions/Else"}}}, "Again": {"type": "number"}},
        });
        merge(&mut own, &other);
        let both: Vec<Value> = [kinds("a"), kinds("b")].iter().map(|kinds| kinds[0].clone()).collect();
        let expected = json!({
            "paths": {"/a": get("Same"), "/both": get("Same"), "/b": get("Same"), "/c": get("Else_v2"), "/d": get("Again_v2")},
            "definitions": {"Same": {"type": "object", KINDS: both}, "Else": {"type": "string"},
                "Else_v2": {"type": "object", "properties": {"x": {"$ref": "#/definitions/Else_v2"}}},
                "Again": {"type": "string"}, "Again_v2": {"type": "number"}},
        });
        assert_eq!(own, expected);
        // A second time nothing is new.
        merge(&mut own, &other);
        assert_eq!(own, expected);
    }
}
