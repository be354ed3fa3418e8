//! StorageObjectInUseProtection: new volumes, claims and attribute classes get a finalizer, so that they stay while something
//! uses them. Whoever sees that nothing does takes it away.

use api::Object;
use api::meta;
use serde_json::Value;

use super::{Admission, Attributes, Operation, Verdict};

#[derive(Debug)]
pub struct StorageObjectInUseProtection;

impl Admission for StorageObjectInUseProtection {
    fn name(&self) -> &'static str {
        "StorageObjectInUseProtection"
    }

    fn mutate<'a>(&'a self, cx: &'a Attributes<'a>, object: &'a mut Object) -> Verdict<'a> {
        if cx.operation == Operation::Create
            && let Some(finalizer) = finalizer(cx)
        {
            protect(object, finalizer);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

fn finalizer(cx: &Attributes<'_>) -> Option<&'static str> {
    match (cx.resource.group.as_str(), cx.resource.plural.as_str(), cx.subresource) {
        ("", "persistentvolumes", "") => Some("kubernetes.io/pv-protection"),
        ("", "persistentvolumeclaims", "") => Some("kubernetes.io/pvc-protection"),
        ("storage.k8s.io", "volumeattributesclasses", "") => Some("kubernetes.io/vac-protection"),
        _ => None,
    }
}

fn protect(object: &mut Object, finalizer: &str) {
    let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    if !finalizers.iter().any(|present| present == finalizer) {
        finalizers.push(finalizer.into());
        meta::set(object, "finalizers", Value::from(finalizers));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_finalizer_is_added_once() {
        let table = [
            (json!({"metadata": {}}), json!(["a/b"])),
            (json!({"metadata": {"finalizers": ["c/d"]}}), json!(["c/d", "a/b"])),
            (json!({"metadata": {"finalizers": ["a/b", "c/d"]}}), json!(["a/b", "c/d"])),
        ];
        for (mut object, finalizers) in table {
            protect(&mut object, "a/b");
            assert_eq!(object["metadata"]["finalizers"], finalizers);
        }
    }
}
