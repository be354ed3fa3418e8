//! Validation of a container's `volumeMounts` and `volumeDevices`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, flag, list, text};
use super::paths;

/// The valid volumes of a spec by name.
pub type Volumes<'v> = BTreeMap<&'v str, &'v Value>;

pub fn volume_mounts(container: &Cursor, volumes: &Volumes, errors: &mut Errors) {
    let mounts = container.child("volumeMounts");
    let devices = list(container.value, "volumeDevices");
    let privileged = flag(field(container.value, "securityContext"), "privileged") == Some(true);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path) = (mount.child("name"), mount.child("mountPath"));
        if name.str().is_empty() {
            errors.required(&name);
        }
        if !volumes.contains_key(name.str()) {
            errors.not_found(&name);
        }
        if path.str().is_empty() {
            errors.required(&path);
        }
        if !used.insert(path.str()) {
            errors.invalid_text(&path, "must be unique");
        }
        if devices.iter().any(|device| text(device, "name") == name.str()) {
            errors.invalid_text(&name, "must not already exist in volumeDevices");
        }
        if devices.iter().any(|device| text(device, "devicePath") == path.str()) {
            errors.invalid_text(&path, "must not already exist as a path in volumeDevices");
        }
        sub_path(&mounts, &mount, errors);
        propagation(&mounts, &mount, privileged, errors);
        recursive_read_only(&mounts, &mount, errors);
    }
}

/// Upstream reports these at `volumeMounts.subPath`, without the index.
fn sub_path(mounts: &Cursor, mount: &Cursor, errors: &mut Errors) {
    let (plain, expression) = (mount.text("subPath"), mount.text("subPathExpr"));
    if !plain.is_empty() {
        paths::descending(&mounts.child("subPath"), plain, errors);
    }
    if !expression.is_empty() {
        if !plain.is_empty() {
            errors.invalid(&mount.child("subPathExpr"), "subPathExpr and subPath are mutually exclusive");
        }
        paths::descending(&mounts.child("subPathExpr"), expression, errors);
    }
}

fn propagation(mounts: &Cursor, mount: &Cursor, privileged: bool, errors: &mut Errors) {
    let mode = mount.child("mountPropagation");
    if !mode.is_set() {
        return;
    }
    let at = mounts.child("mountPropagation");
    let supported = ["Bidirectional", "HostToContainer", "None"];
    if !supported.contains(&mode.str()) {
        errors.push(api::field::FieldError::not_supported(&at.path(), mode.str(), &supported));
    }
    if mode.str() == "Bidirectional" && !privileged {
        errors.forbidden(&at, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mounts: &Cursor, mount: &Cursor, errors: &mut Errors) {
    if !mount.has("recursiveReadOnly") {
        return;
    }
    let at = mounts.child("recursiveReadOnly");
    match mount.text("recursiveReadOnly") {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if mount.flag("readOnly") != Some(true) {
                errors.forbidden(&at, "may only be specified when readOnly is true");
            }
            if !matches!(mount.text("mountPropagation"), "" | "None") {
                errors.forbidden(&at, "may only be specified when mountPropagation is None or not specified");
            }
        }
        other => {
            let supported = ["Disabled", "Enabled", "IfPossible"];
            errors.push(api::field::FieldError::not_supported(&at.path(), other, &supported));
        }
    }
}

pub fn volume_devices(container: &Cursor, volumes: &Volumes, errors: &mut Errors) {
    let mounts = list(container.value, "volumeMounts");
    let (mut names, mut used): (BTreeSet<&str>, BTreeSet<&str>) = Default::default();
    for device in container.child("volumeDevices").items() {
        let (name, path) = (device.child("name"), device.child("devicePath"));
        if name.str().is_empty() {
            errors.required(&name);
        }
        if names.contains(name.str()) {
            errors.invalid_text(&name, "must be unique");
        }
        match volumes.get(name.str()) {
            None => errors.not_found(&name),
            Some(volume) if volume.get("persistentVolumeClaim").is_none() && volume.get("ephemeral").is_none() => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                errors.invalid_text(&name, detail);
            }
            Some(_) => {}
        }
        if path.str().is_empty() {
            errors.required(&path);
        }
        if used.contains(path.str()) {
            errors.invalid_text(&path, "must be unique");
        }
        if paths::has_backsteps(path.str()) {
            errors.invalid_text(&path, "can not contain backsteps ('..')");
        } else {
            used.insert(path.str());
        }
        if mounts.iter().any(|mount| text(mount, "name") == name.str()) {
            errors.invalid_text(&name, "must not already exist in volumeMounts");
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == path.str()) {
            errors.invalid_text(&path, "must not already exist as a path in volumeMounts");
        }
        if !name.str().is_empty() {
            names.insert(name.str());
        }
    }
}
