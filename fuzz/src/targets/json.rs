//! Bodies of JSON: the decoder, the schema's checks, and creates of every kind that nothing comes of.

use api::schema::{SchemaSet, check, decode};
use serde_json::Value;

use super::{Target, split};
use crate::kinds;
use crate::server;

pub const TARGET: Target = Target {
    name: "json",
    run,
    header: 2,
    tree: Some(|header, body| kinds::chosen(header[0], body).gvk.clone()),
    words: &[],
};

pub const VALIDATION: [&str; 3] = ["Strict", "Warn", "Ignore"];

/// Its answer tells the rules, and not the namespace that was asked about.
const NO_OBJECT: &str = "SelfSubjectRulesReview";

fn run(data: &[u8]) {
    let Some(([kind, validation], body)) = split(data) else { return };
    let kind = kinds::chosen(kind, body);
    conforms(kind, body);
    server::with(|server| {
        let path = format!("{}?dryRun=All&fieldValidation={}", kind.path, VALIDATION[usize::from(validation) % 3]);
        server.reseed();
        let made = server.send("POST", &path, &[("content-type", "application/json")], body.to_vec());
        if made.is_good() && kind.gvk.kind != NO_OBJECT {
            // What the server answers is a good object, too, and says the same again: defaults are defaulted once.
            let mut first = made.json();
            if let Some(metadata) = first["metadata"].as_object_mut() {
                metadata.remove("resourceVersion");
            }
            if kind.gvk.kind == "Service" {
                without_allocated(&mut first["spec"]);
            }
            // With the same uid, which a Job is labelled with.
            server.reseed();
            let again = server.send("POST", &path, &[("content-type", "application/json")], first.to_string());
            assert!(again.is_good(), "an answer is refused: {}\n{first}", String::from_utf8_lossy(&again.bytes));
        }
        true
    });
}

/// The addresses and ports that a dry run shows are for nobody.
fn without_allocated(spec: &mut Value) {
    for port in spec["ports"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        port.remove("nodePort");
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|name, _| !matches!(name.as_str(), "clusterIP" | "clusterIPs" | "healthCheckNodePort"));
    }
}

/// What conforms once has nothing unknown any more, and stays as it is.
fn conforms(kind: &kinds::Kind, body: &[u8]) {
    let set = SchemaSet::builtin();
    let ty = set.of_kind(&kind.gvk);
    let Ok(decoded) = decode::json(body, ty.map(|ty| (set, ty))) else { return };
    let (Some(ty), mut object) = (ty, decoded.value) else { return };
    if !check::conform(set, ty, &mut object).errors.is_empty() {
        return;
    }
    let once = object.clone();
    let again = check::conform(set, ty, &mut object);
    assert!(again.errors.is_empty() && again.unknown.is_empty(), "{again:?}\n{once}");
    assert_eq!(object, once, "conformed twice");
    check::complete(set, ty, &mut object);
    let complete = object.clone();
    check::complete(set, ty, &mut object);
    assert_eq!(object, complete, "completed twice");
}
