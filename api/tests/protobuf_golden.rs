//! The transcoder against upstream's golden files (`k8s.io/api/testdata/HEAD`: every kind as JSON and as protobuf), where the Go
//! module is on this machine. protobuf_messages.rs has small ones that always run.

use std::path::PathBuf;
use std::process::Command;

use api::gvk::GroupVersionKind;
use api::protobuf;
use api::schema::{SchemaSet, check};
use serde_json::Value;

/// Kinds of API versions that no server of this version serves; their types are not in the facts.
const REMOVED: [&str; 19] = [
    "admission.k8s.io.v1beta1",
    "apidiscovery.k8s.io",
    "apps.v1beta",
    "authentication.k8s.io.v1beta1",
    "authorization.k8s.io.v1beta1",
    "autoscaling.v2beta",
    "batch.v1beta1",
    "discovery.k8s.io.v1beta1",
    "events.k8s.io.v1beta1",
    "extensions.v1beta1",
    "flowcontrol.apiserver.k8s.io.v1beta",
    "imagepolicy.k8s.io",
    "node.k8s.io.v1alpha1",
    "node.k8s.io.v1beta1",
    "policy.v1beta1",
    "rbac.authorization.k8s.io.v1alpha1",
    "rbac.authorization.k8s.io.v1beta1",
    "scheduling.k8s.io.v1beta1",
    "storage.k8s.io.v1alpha1",
];

fn testdata() -> Option<PathBuf> {
    let output = Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let cache = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    Some(cache.join("k8s.io/api@v0.35.4/testdata/HEAD")).filter(|dir| dir.is_dir())
}

#[test]
fn upstreams_golden_files() {
    let Some(dir) = testdata() else {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!(
                "skipped: the Go module k8s.io/api v0.35.4 is not on this machine (go mod download k8s.io/api@v0.35.4)"
            );
        }
        return;
    };
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pb"));
    paths.sort();
    let mut failures = Vec::new();
    let mut checked = 0;
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).expect("readable");
        let json = std::fs::read(path.with_extension("json")).expect("readable");
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        match check_golden(&bytes, &json) {
            Ok(()) => checked += 1,
            Err(_) if REMOVED.iter().any(|removed| name.starts_with(removed)) => {}
            Err(problem) => failures.push(format!("{name}: {problem}")),
        }
    }
    assert!(failures.is_empty(), "{checked} good, {} bad\n{}", failures.len(), failures.join("\n"));
    assert!(checked >= 128, "only {checked} files were checked");
}

/// Decoding gives the JSON, encoding the JSON gives the bytes, and the JSON is in the form that the checks want.
fn check_golden(bytes: &[u8], json: &Value) -> Result<(), String> {
    let set = SchemaSet::builtin();
    let text = |name: &str| json[name].as_str().unwrap_or_default();
    // A WatchEvent is the one that names no kind.
    let kind = if text("kind").is_empty() { "WatchEvent" } else { text("kind") };
    let ty = set.resolve(&GroupVersionKind::from_api_version(text("apiVersion"), kind)).ok_or("no type")?;
    let envelope = protobuf::unwrap(bytes).map_err(|error| error.to_string())?;
    if (envelope.api_version.as_str(), envelope.kind.as_str()) != (text("apiVersion"), text("kind")) {
        return Err(format!("the envelope is {envelope:?}"));
    }
    let mut decoded = protobuf::decode(set, ty, envelope.raw).map_err(|error| error.to_string())?;
    for name in ["apiVersion", "kind"] {
        decoded[name] = json[name].clone();
    }
    if let Some(difference) = difference("", &decoded, json) {
        return Err(format!("decoded differs at {difference}"));
    }
    let message = protobuf::encode(set, ty, json).map_err(|error| error.to_string())?;
    let encoded = protobuf::wrap(text("apiVersion"), text("kind"), &message);
    if encoded != bytes {
        let at = encoded.iter().zip(bytes).position(|(a, b)| a != b).unwrap_or(encoded.len().min(bytes.len()));
        return Err(format!("encoded differs at byte {at} of {}", bytes.len()));
    }
    let mut conformed = json.clone();
    let found = check::conform(set, ty, &mut conformed);
    check::complete(set, ty, &mut conformed);
    if found != check::Conformance::default() {
        return Err(format!("{found:?}"));
    }
    difference("", &conformed, json).map_or(Ok(()), |difference| Err(format!("conformed differs at {difference}")))
}

/// The first place where two trees differ.
fn difference(path: &str, left: &Value, right: &Value) -> Option<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys().filter(|name| !left.contains_key(*name)));
            names.into_iter().find_map(|name| {
                let null = Value::Null;
                let (left, right) = (left.get(name).unwrap_or(&null), right.get(name).unwrap_or(&null));
                difference(&format!("{path}.{name}"), left, right)
            })
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .enumerate()
            .find_map(|(at, (left, right))| difference(&format!("{path}[{at}]"), left, right)),
        _ => (left != right).then(|| format!("{path}: {left} != {right}")),
    }
}
