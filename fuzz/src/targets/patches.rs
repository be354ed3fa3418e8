//! Patches of every kind on live objects of some kinds: what is refused changes nothing, and what is applied twice changes nothing
//! the second time.

use serde_json::Value;

use super::{Target, split};
use crate::kinds;
use crate::server::{self, Server};

pub const TARGET: Target = Target {
    name: "patches",
    run,
    header: 3,
    tree: Some(|header, _| kinds::of(object(header[0])).gvk.clone()),
    words: &[
        "\"$patch\":\"delete\"",
        "\"$patch\":\"replace\"",
        "\"$patch\":\"merge\"",
        "\"$retainKeys\":[\"a\"]",
        "\"$setElementOrder/containers\":[{\"name\":\"a\"}]",
        "\"$deleteFromPrimitiveList/finalizers\":[\"a/b\"]",
        "{\"op\":\"add\",\"path\":\"/a\",\"value\":1}",
        "{\"op\":\"remove\",\"path\":\"/spec\"}",
        "{\"op\":\"test\",\"path\":\"\"}",
        "{\"op\":\"copy\",\"from\":\"/spec\",\"path\":\"/spec/a\"}",
        "{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/b\"}",
        "{\"op\":\"replace\"",
        "/metadata",
        "/spec",
        "/0",
        "/-",
        "~0",
        "~1",
        "null",
        "{}",
        "[]",
        "\"metadata\":{",
        "\"spec\":{",
    ],
};

/// Content type, and what the query says besides.
const FORMS: [(&str, &str); 6] = [
    ("application/json-patch+json", ""),
    ("application/merge-patch+json", ""),
    ("application/strategic-merge-patch+json", ""),
    ("application/apply-patch+yaml", "fieldManager=fuzz&force=true"),
    ("application/apply-patch+yaml", "fieldManager=other"),
    ("application/apply-patch+yaml", "fieldManager=fuzz&dryRun=All"),
];
/// Those after which the same again changes nothing.
const REPEATABLE: [usize; 3] = [1, 3, 4];

fn object(byte: u8) -> &'static Value {
    &kinds::live()[usize::from(byte) % kinds::live().len()]
}

fn run(data: &[u8]) {
    let Some(([live, form, place], patch)) = split(data) else { return };
    let (object, form) = (object(live), usize::from(form) % FORMS.len());
    let path = format!("{}/live", kinds::of(object).path);
    let (content_type, query) = FORMS[form];
    let subresource = if place % 5 == 1 { "/status" } else { "" };
    let target = format!("{path}{subresource}?{query}");
    server::with(|server| {
        let before = server.get(&path).bytes;
        let headers = [("content-type", content_type)];
        let answer = server.send("PATCH", &target, &headers, patch.to_vec());
        let after = server.get(&path);
        if !answer.is_good() || query.contains("dryRun") {
            assert_eq!(after.bytes, before, "a refused patch, or a dry run, has changed something");
            return true;
        }
        if REPEATABLE.contains(&form) {
            let again = server.send("PATCH", &target, &headers, patch.to_vec());
            if again.is_good() {
                let again = server.get(&path);
                let [again, after] = [&again, &after].map(|answer| without_count(&answer.bytes));
                assert_eq!(again, after, "the second time it has changed something");
            }
        }
        after.bytes == before || restored(server, &path, object)
    });
}

/// Some kinds count a generation for an empty list that is not stored, each time (as upstream).
fn without_count(bytes: &[u8]) -> Value {
    let mut object: Value = serde_json::from_slice(bytes).unwrap_or_default();
    if let Some(metadata) = object["metadata"].as_object_mut().filter(|metadata| metadata.contains_key("generation")) {
        metadata.retain(|name, _| !matches!(name.as_str(), "generation" | "resourceVersion"));
    }
    object
}

/// Whether the object could be made anew: finalizers may keep it.
fn restored(server: &Server, path: &str, object: &Value) -> bool {
    let options = r#"{"gracePeriodSeconds": 0}"#;
    server.send("DELETE", path, &[("content-type", "application/json")], options);
    let collection = path.trim_end_matches("/live");
    server.send("POST", collection, &[("content-type", "application/json")], object.to_string()).code == 201
}
