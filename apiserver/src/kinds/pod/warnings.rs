//! Warnings on creation of a pod.

use api::names;
use serde_json::Value;

use super::super::cursor::{Cursor, field, text};
use super::super::pod_template::warnings::of_spec;

pub fn warnings(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    let metadata = field(pod, "metadata");
    let messages = names::dns1123_label(text(metadata, "name"));
    if !messages.is_empty() {
        warnings.push(format!(
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is \
             recommended: [{}]",
            messages.join(" ")
        ));
    }
    warnings.extend(of_spec(&Cursor::root(pod, "spec"), field(metadata, "annotations"), "metadata.annotations"));
    warnings
}
