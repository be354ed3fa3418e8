//! Selectors of labels and fields: texts, and the form that is in objects.

use api::field::Path;
use api::selector::{FieldSelector, LabelSelector, validate_label_selector};
use serde_json::json;

use super::{Target, split};
use crate::server;

pub const TARGET: Target = Target {
    name: "selectors",
    run,
    header: 1,
    tree: None,
    words: &[
        "!",
        " in ",
        " notin ",
        "(",
        ")",
        ",",
        "=",
        "==",
        "!=",
        ">",
        "<",
        "a",
        "b",
        "example.com/a",
        "app",
        "1",
        "\\",
        "\\,",
        "\\=",
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "status.phase",
        "spec.color",
        "{\"matchLabels\":{\"a\":\"b\"}}",
        "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\"]}]}",
        "NotIn",
        "Exists",
        "DoesNotExist",
    ],
};

const PATHS: [&str; 3] =
    ["/api/v1/pods", "/apis/example.com/v1/namespaces/default/widgets", "/api/v1/namespaces/default/services"];

fn run(data: &[u8]) {
    let Some(([form], text)) = split(data) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match form % 4 {
        0 => labels(text),
        1 => fields(text),
        2 => object(text),
        _ => {}
    }
    let path = PATHS[usize::from(form / 4) % 3];
    let parameter = if form % 2 == 0 { "labelSelector" } else { "fieldSelector" };
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    if encoded.len() < 30_000 {
        server::with(|server| {
            server.get(&format!("{path}?{parameter}={encoded}")).is_good();
            true
        });
    }
}

fn labels(text: &str) {
    let Ok(selector) = LabelSelector::parse(text) else { return };
    let again = LabelSelector::parse(&selector.to_string());
    assert_eq!(again.as_ref(), Ok(&selector), "{text:?}");
    let objects = [json!({}), json!({"metadata": {"labels": {"a": "b", "app": "1", "example.com/a": ""}}})];
    for object in objects {
        let matches = selector.matches_object(&object);
        assert_eq!(again.as_ref().map(|again| again.matches_object(&object)), Ok(matches));
        assert!(matches || !selector.is_everything());
    }
}

fn fields(text: &str) {
    let Ok(selector) = FieldSelector::parse(text) else { return };
    let again = FieldSelector::parse(&selector.to_string()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let value = |field: &str| Some(if field == "metadata.name" { "a" } else { "" });
    assert_eq!(again.matches(value), selector.matches(value), "{text:?}");
    assert_eq!(again.terms.len(), selector.terms.len(), "{text:?}");
}

/// A selector that is valid is one that can be used.
fn object(text: &str) {
    let Ok(value) = serde_json::from_str(text) else { return };
    if validate_label_selector(&value, &Path::new("selector")).is_empty()
        && let Ok(selector) = LabelSelector::from_object(Some(&value))
    {
        selector.matches_object(&json!({"metadata": {"labels": {"a": "b"}}}));
    }
}
