//! Paths of fields: sets of them as managers have them, and JSONPath of columns and of clients.

use api::apply::{ManagedFields, PathElement, Set};
use api::jsonpath::{self, JsonPath};
use api::table::{Columns, CustomColumn};
use serde_json::{Value, json};

use super::{Target, split};
use crate::server;

pub const TARGET: Target = Target {
    name: "field_paths",
    run,
    header: 1,
    tree: None,
    words: &[
        "{\"f:spec\":{}}",
        "\"f:",
        "\"k:{\\\"name\\\":\\\"a\\\"}\"",
        "\"v:1\"",
        "\"v:\\\"a\\\"\"",
        "\"i:0\"",
        "\".\":{}",
        "{}",
        ":",
        ",",
        "{.spec.size}",
        "{",
        "}",
        ".",
        "..",
        "*",
        "[",
        "]",
        "[*]",
        "[-1:]",
        "[0:2:1]",
        "?(@.",
        ")",
        "==",
        "!=",
        ">=",
        "<",
        "@",
        "$",
        "'",
        "\"",
        "{range .a[*]}",
        "{end}",
        ".spec.parts[?(@.weight>1)].name",
        "\\.",
        "\"manager\":\"m\"",
        "f:metadata",
    ],
};

fn run(data: &[u8]) {
    let Some(([form], text)) = split(data) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match form % 5 {
        0 => sets(text),
        1 => elements(text),
        2 => json_path(text, form / 5),
        3 => column(text),
        _ => managers(text),
    }
}

fn sets(text: &str) {
    let Ok(set) = serde_json::from_str::<Set>(text) else { return };
    let written = set.to_text();
    assert_eq!(serde_json::from_str::<Set>(&written).ok().as_ref(), Some(&set), "{written}");
    // The algebra of sets.
    let other: Set = serde_json::from_str(r#"{"f:spec":{".":{},"f:a":{}},"f:status":{}}"#).expect("a set");
    assert_eq!(set.union(&set), set);
    assert_eq!(set.intersection(&set), set);
    assert!(set.difference(&set).is_empty());
    let (union, both) = (set.union(&other), set.intersection(&other));
    assert_eq!(union, other.union(&set));
    assert_eq!(both, other.intersection(&set));
    assert!(set.is_within(&union) && other.is_within(&union) && both.is_within(&set) && both.is_within(&other));
    assert_eq!(set.difference(&other).union(&both), set);
    let paths = set.paths();
    assert_eq!(paths.len(), set.len());
    assert!(paths.iter().all(|path| set.has(path)));
    let mut again = Set::default();
    paths.iter().for_each(|path| again.insert(path));
    assert_eq!(again, set);
}

fn elements(text: &str) {
    if let Ok(Some(element)) = PathElement::parse(text) {
        let written = element.wire().to_string();
        assert_eq!(PathElement::parse(&written).ok().flatten().as_ref(), Some(&element), "{written}");
    }
}

fn sample() -> Value {
    json!({"spec": {"size": 3, "parts": [{"name": "a", "weight": 1}, {"name": "b", "weight": 2.5}], "x.y": "z"},
        "a": [{"a": "x"}, 0, null, [1, 2]], "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})
}

/// One use of the path, as `how` says: together they may take as long as six requests.
fn json_path(text: &str, how: u8) {
    let path = if how.is_multiple_of(2) {
        JsonPath::parse(text)
    } else {
        jsonpath::relaxed(text).and_then(|text| JsonPath::parse(&text))
    };
    let Ok(path) = path else { return };
    match how / 2 % 3 {
        0 => drop(path.find(&sample())),
        1 => drop(path.render_json(&sample())),
        _ => drop(path.allow_missing_keys(true).render(&sample())),
    }
}

fn column(text: &str) {
    for kind in ["string", "integer", "date"] {
        let column = json!({"name": "c", "type": kind, "jsonPath": text});
        if let Ok(columns) = CustomColumn::from_crd(&[column]) {
            let now = "2026-01-01T00:00:00Z".parse().expect("a time");
            Columns::Custom(columns).cells(&sample(), now);
        }
    }
}

/// Any list of managers may come in an update; what is refused is refused in words.
fn managers(text: &str) {
    let Ok(list) = serde_json::from_str::<Value>(text) else { return };
    if let Ok(managed) = ManagedFields::decode(&list) {
        let written = managed.to_value();
        let again = ManagedFields::decode(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert!(again.same_but_times(&managed), "{written}");
    }
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "managed", "managedFields": list},
        "data": {"a": "b"}});
    server::with(|server| {
        let path = "/api/v1/namespaces/default/configmaps";
        let content = ("content-type", "application/json");
        server.send("POST", &format!("{path}?dryRun=All"), &[content], object.to_string()).is_good();
        let apply = ("content-type", "application/apply-patch+yaml");
        let path = format!("{path}/managed?dryRun=All&fieldManager=m");
        server.send("PATCH", &path, &[apply], object.to_string()).is_good();
        true
    });
}
