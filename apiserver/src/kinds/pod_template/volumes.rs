//! Validation of `spec.volumes`.

use std::collections::BTreeSet;

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::quantities::parse_at;
use super::env::{VOLUME_FIELDS, field_reference, resource_reference};
use super::mounts::Volumes;
use super::{paths, projected, volume_drivers};

/// Every source in upstream's order of checks, with the name that its "more than 1" error has where that differs.
const SOURCES: [(&str, &str); 30] = [
    ("emptyDir", ""),
    ("hostPath", ""),
    ("gitRepo", ""),
    ("gcePersistentDisk", ""),
    ("awsElasticBlockStore", ""),
    ("secret", ""),
    ("nfs", ""),
    ("iscsi", ""),
    ("glusterfs", ""),
    ("flocker", ""),
    ("persistentVolumeClaim", ""),
    ("rbd", ""),
    ("cinder", ""),
    ("cephfs", "cephFS"),
    ("quobyte", ""),
    ("downwardAPI", "downwarAPI"),
    ("fc", ""),
    ("flexVolume", ""),
    ("configMap", ""),
    ("azureFile", ""),
    ("vsphereVolume", ""),
    ("photonPersistentDisk", ""),
    ("portworxVolume", ""),
    ("azureDisk", ""),
    ("storageos", ""),
    ("projected", ""),
    ("scaleIO", ""),
    ("csi", ""),
    ("ephemeral", ""),
    ("image", ""),
];

/// Checks all volumes and gives those that are valid. `pod_name` is empty in a template.
pub fn volumes<'v>(at: &Cursor<'v, '_>, pod_name: &str, is_pod: bool, errors: &mut Errors) -> Volumes<'v> {
    let mut valid = Volumes::new();
    let claims: BTreeSet<String> = at
        .items()
        .filter(|volume| !pod_name.is_empty() && volume.has("ephemeral"))
        .map(|volume| format!("{pod_name}-{}", volume.text("name")))
        .collect();
    for volume in at.items() {
        let before = errors.len();
        let name = volume.child("name");
        source(&volume, pod_name, is_pod, errors);
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            errors.messages(&name, names::dns1123_label(name.str()));
        }
        if valid.contains_key(name.str()) {
            errors.duplicate(&name);
        }
        if errors.len() == before {
            valid.insert(name.str(), volume.value);
        }
        let claim = volume.child("persistentVolumeClaim");
        if claims.contains(claim.text("claimName")) {
            let detail = "must not reference a PVC that gets created for an ephemeral volume";
            errors.invalid(&claim.child("claimName"), detail);
        }
    }
    valid
}

fn source(volume: &Cursor, pod_name: &str, is_pod: bool, errors: &mut Errors) {
    let mut found = false;
    for (name, alias) in SOURCES {
        let source = volume.child(name);
        if !source.is_set() {
            continue;
        }
        if found {
            let at = volume.child(if alias.is_empty() { name } else { alias });
            errors.forbidden(&at, "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        match name {
            "emptyDir" => {
                let limit = source.child("sizeLimit");
                if parse_at(&limit).is_some_and(|limit| limit.is_negative()) {
                    errors.forbidden(&limit, "SizeLimit field must be a valid resource quantity");
                }
            }
            "secret" => files(&source, "secretName", errors),
            "configMap" => files(&source, "name", errors),
            "downwardAPI" => {
                paths::mode(&source.child("defaultMode"), errors);
                for file in source.child("items").items() {
                    downward_file(&source, &file, errors);
                }
            }
            "projected" => projected::projected(&source, errors),
            "image" => {
                if is_pod && source.text("reference").is_empty() {
                    errors.required(&source.child("reference"));
                }
                errors.one_of(&source.child("pullPolicy"), &["Always", "IfNotPresent", "Never"]);
            }
            _ => volume_drivers::source(name, volume, &source, pod_name, errors),
        }
    }
    if !found {
        errors.required_because(volume, "must specify a volume type");
    }
}

/// A volume of files from an object, whose name is in the field `name`.
fn files(at: &Cursor, name: &str, errors: &mut Errors) {
    if at.text(name).is_empty() {
        errors.required(&at.child(name));
    }
    paths::mode(&at.child("defaultMode"), errors);
    for item in at.child("items").items() {
        key_to_path(&item, errors);
    }
}

pub fn key_to_path(at: &Cursor, errors: &mut Errors) {
    let path = at.child("path");
    if at.text("key").is_empty() {
        errors.required(&at.child("key"));
    }
    if path.str().is_empty() {
        errors.required(&path);
    }
    paths::local(&path, path.str(), errors);
    paths::mode(&at.child("mode"), errors);
}

/// Upstream reports a file at its volume, without an index.
pub fn downward_file(volume: &Cursor, file: &Cursor, errors: &mut Errors) {
    let path = file.text("path");
    let at = volume.showing(file.value);
    if path.is_empty() {
        errors.required(&at.child("path"));
    }
    paths::local(&at.child("path"), path, errors);
    if at.has("fieldRef") {
        field_reference(&at.child("fieldRef"), &VOLUME_FIELDS, errors);
        if at.has("resourceFieldRef") {
            errors.invalid_as(&at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if at.has("resourceFieldRef") {
        resource_reference(&at.child("resourceFieldRef"), true, errors);
    } else {
        errors.required_because(&at, "one of fieldRef and resourceFieldRef is required");
    }
    paths::mode(&at.child("mode"), errors);
}
