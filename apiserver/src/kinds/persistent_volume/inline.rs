//! The spec of a PersistentVolume inside a VolumeAttachment: a volume of a CSI driver that pods name themselves.

use serde_json::Value;

use super::super::cursor::{Cursor, Errors};
use super::super::persistent_volume_claim::spec::access_modes;
use super::{is_root, sources};

const IN_CONTEXT: &str = "in the context of inline volumes";

pub fn defaults(spec: &mut Value) {
    super::of_sources(spec);
}

pub fn check(spec: &Cursor, errors: &mut Errors) {
    let unwanted = |name: &str, errors: &mut Errors| {
        errors.forbidden(&spec.child(name), format!("may not be specified {IN_CONTEXT}"));
    };
    if spec.has("claimRef") {
        unwanted("claimRef", errors);
    }
    if !spec.child("capacity").is_empty() {
        unwanted("capacity", errors);
    }
    if !spec.has("csi") {
        errors.required_because(&spec.child("csi"), format!("has to be specified {IN_CONTEXT}"));
    }
    let modes = spec.child("accessModes");
    if modes.is_empty() {
        errors.required(&modes);
    }
    access_modes(&modes, errors);
    let policy = spec.child("persistentVolumeReclaimPolicy");
    if !matches!(policy.str(), "" | "Retain") {
        errors.forbidden(&policy, format!("may only be Retain {IN_CONTEXT}"));
    }
    if spec.has("nodeAffinity") {
        unwanted("nodeAffinity", errors);
    }
    sources::source(spec, "", false, errors);
    if policy.str() == "Recycle" && is_root(spec.child("hostPath").text("path")) {
        errors.forbidden(&policy, "may not be 'recycle' for a hostPath mount of '/'");
    }
    if !spec.text("storageClassName").is_empty() {
        unwanted("storageClassName", errors);
    }
    let mode = spec.child("volumeMode");
    if mode.is_set() && mode.str() != "Filesystem" {
        errors.forbidden(&mode, format!("may not specify volumeMode other than Filesystem {IN_CONTEXT}"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_inline_volume_is_a_drivers() {
        let csi = json!({"driver": "d.example.com", "volumeHandle": "v"});
        let table = [
            (json!({"accessModes": ["ReadWriteOnce"], "csi": csi}), vec![]),
            (
                json!({}),
                vec![
                    "spec.csi: Required value: has to be specified in the context of inline volumes",
                    "spec.accessModes: Required value",
                    "spec: Required value: must specify a volume type",
                ],
            ),
            (
                json!({"fc": {}, "nodeAffinity": {}, "capacity": {"cpu": "1"}, "csi": csi, "accessModes": ["Some"],
                       "volumeMode": "Block", "persistentVolumeReclaimPolicy": "Delete"}),
                vec![
                    "spec.capacity: Forbidden: may not be specified in the context of inline volumes",
                    "spec.accessModes: Unsupported value: \"Some\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \
                     \"ReadWriteOnce\", \"ReadWriteOncePod\"",
                    "spec.persistentVolumeReclaimPolicy: Forbidden: may only be Retain in the context of inline volumes",
                    "spec.nodeAffinity: Forbidden: may not be specified in the context of inline volumes",
                    "spec.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both",
                    "spec.csi: Forbidden: may not specify more than 1 volume type",
                    "spec.volumeMode: Forbidden: may not specify volumeMode other than Filesystem in the context of inline \
                     volumes",
                ],
            ),
        ];
        for (spec, expected) in table {
            let object = json!({"spec": spec});
            let mut errors = Errors::default();
            check(&Cursor::root(&object, "spec"), &mut errors);
            let shown: Vec<String> = errors.into_vec().iter().map(ToString::to_string).collect();
            assert_eq!(shown, expected);
        }
    }
}
