//! Defaults of a Volume.

use serde_json::{Value, json};

use super::super::edit::{default_text, default_to, get_mut, list_mut};
use super::super::quantities;
use super::defaults::field_selector;

/// 0644.
const DEFAULT_MODE: i64 = 0o644;

pub fn volume(volume: &mut Value) {
    let Some(members) = volume.as_object_mut() else { return };
    // A volume without any source is an emptyDir.
    if members.iter().all(|(name, value)| name == "name" || value.is_null()) {
        members.insert("emptyDir".to_owned(), json!({}));
    }
    let sources: Vec<String> = members.keys().filter(|name| *name != "name").cloned().collect();
    for name in sources {
        if let Some(source) = get_mut(volume, &name) {
            self::source(&name, source);
        }
    }
}

/// Of the source that is called `name`.
pub fn source(name: &str, source: &mut Value) {
    match name {
        "hostPath" => default_to(source, "type", ""),
        "secret" | "configMap" => default_to(source, "defaultMode", DEFAULT_MODE),
        "downwardAPI" => {
            default_to(source, "defaultMode", DEFAULT_MODE);
            downward_files(source);
        }
        "projected" => projected(source),
        "emptyDir" => quantities::canonicalize_one(source, "sizeLimit"),
        "image" => {
            let reference = source.get("reference").and_then(Value::as_str).unwrap_or_default();
            let policy = super::image::pull_policy(reference);
            default_text(source, "pullPolicy", policy);
        }
        "ephemeral" => {
            let spec = get_mut(source, "volumeClaimTemplate").and_then(|template| get_mut(template, "spec"));
            if let Some(spec) = spec {
                default_to(spec, "volumeMode", "Filesystem");
                if let Some(resources) = get_mut(spec, "resources") {
                    quantities::canonicalize_requirements(resources);
                }
            }
        }
        "iscsi" => default_text(source, "iscsiInterface", "default"),
        "rbd" => {
            default_text(source, "pool", "rbd");
            default_text(source, "user", "admin");
            default_text(source, "keyring", "/etc/ceph/keyring");
        }
        "azureDisk" => {
            default_to(source, "cachingMode", "ReadWrite");
            default_to(source, "fsType", "ext4");
            default_to(source, "readOnly", false);
            default_to(source, "kind", "Shared");
        }
        "scaleIO" => {
            default_text(source, "storageMode", "ThinProvisioned");
            default_text(source, "fsType", "xfs");
        }
        _ => {}
    }
}

fn projected(source: &mut Value) {
    default_to(source, "defaultMode", DEFAULT_MODE);
    for projection in list_mut(source, "sources") {
        if let Some(files) = get_mut(projection, "downwardAPI") {
            downward_files(files);
        }
        if let Some(token) = get_mut(projection, "serviceAccountToken") {
            default_to(token, "expirationSeconds", 3600);
        }
    }
}

fn downward_files(source: &mut Value) {
    for file in list_mut(source, "items") {
        if let Some(reference) = get_mut(file, "fieldRef") {
            field_selector(reference);
        }
        if let Some(reference) = get_mut(file, "resourceFieldRef") {
            divisor(reference);
        }
    }
}

/// The divisor of a ResourceFieldSelector is a plain quantity: an absent one is stored as "0".
pub fn divisor(reference: &mut Value) {
    default_to(reference, "divisor", "0");
    quantities::canonicalize_one(reference, "divisor");
}
