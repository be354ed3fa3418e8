//! Where the storage of a PersistentVolume is: exactly one source, some of which differ from those of pods.

use api::names;
use serde_json::Value;

use super::super::csi::driver_name;
use super::super::cursor::{Cursor, Errors};
use super::super::equality::changed;
use super::super::pod_template::disks::{self, Holder};
use super::super::pod_template::paths;

/// Every source in upstream's order of checks.
pub const SOURCES: [&str; 22] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "flocker",
    "nfs",
    "rbd",
    "quobyte",
    "cephfs",
    "iscsi",
    "cinder",
    "fc",
    "flexVolume",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "scaleIO",
    "local",
    "storageos",
    "csi",
];

/// `name` is the volume's. `placed` is whether its spec says on which nodes it can be used.
pub fn source(spec: &Cursor, name: &str, placed: bool, errors: &mut Errors) {
    let mut found = false;
    for kind in SOURCES {
        let at = spec.child(kind);
        if !at.is_set() {
            continue;
        }
        if found && kind != "flexVolume" {
            let alias = if kind == "cephfs" { "cephFS" } else { kind };
            errors.forbidden(&spec.child(alias), "may not specify more than 1 volume type");
            continue;
        }
        found = true;
        match kind {
            "gcePersistentDisk" => {
                disks::source(kind, &spec.child("persistentDisk").showing(at.value), Holder::Volume(name), errors);
            }
            "local" => {
                local(&at, errors);
                if !placed {
                    errors.required_because(&spec.child("nodeAffinity"), "Local volume requires node affinity");
                }
            }
            "csi" => csi(&at, errors),
            _ => disks::source(kind, &at, Holder::Volume(name), errors),
        }
        match kind {
            "glusterfs" => endpoints_namespace(&at.child("endpointsNamespace"), errors),
            "azureFile" => {
                let namespace = at.child("secretNamespace");
                if namespace.is_set() && namespace.is_empty() {
                    errors.required(&namespace);
                }
            }
            _ => {}
        }
    }
    if !found {
        errors.required_because(spec, "must specify a volume type");
    }
}

fn endpoints_namespace(at: &Cursor, errors: &mut Errors) {
    if at.is_set() && at.is_empty() {
        errors.invalid(at, "if the endpointnamespace is set, it must be a valid namespace name");
    } else if at.is_set() {
        errors.messages(at, names::dns1123_label(at.str()));
    }
}

fn local(at: &Cursor, errors: &mut Errors) {
    let path = at.child("path");
    if path.str().is_empty() {
        return errors.required(&path);
    }
    paths::no_backsteps(&path, path.str(), errors);
}

fn csi(at: &Cursor, errors: &mut Errors) {
    const SECRETS: [&str; 4] =
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"];
    driver_name(&at.child("driver"), errors);
    if at.text("volumeHandle").is_empty() {
        errors.required(&at.child("volumeHandle"));
    }
    for name in SECRETS {
        let secret = at.child(name);
        if secret.is_set() {
            part(&secret.child("name"), names::dns1123_subdomain, errors);
            part(&secret.child("namespace"), names::dns1123_label, errors);
        }
    }
}

/// Required, and called as the rule wants it.
fn part(at: &Cursor, rule: fn(&str) -> Vec<String>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.required(at);
    } else {
        errors.messages(at, rule(at.str()));
    }
}

/// Whether two specs have the same source. A secret for expansion may be added to one.
pub fn same_source(new: &Value, old: &Value) -> bool {
    const ADDED: &str = "controllerExpandSecretRef";
    let mut new = new.clone();
    if old["csi"].is_object() && old["csi"][ADDED].is_null() && new["csi"].is_object() {
        new["csi"].as_object_mut().and_then(|csi| csi.remove(ADDED));
    }
    SOURCES.iter().all(|name| !changed(&new, old, name))
}
