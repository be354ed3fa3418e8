//! Validation of volumes that a driver provides: claims, network file systems, disks of clouds.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::super::quantities::parse_at;
use super::super::selectors::{label_selector, labels};
use super::paths;
use super::resources::amount_of;

/// The fields that a source cannot do without.
fn required_fields(name: &str) -> &'static [&'static str] {
    match name {
        "gitRepo" => &["repository"],
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "nfs" => &["server", "path"],
        "iscsi" => &["targetPortal", "iqn"],
        "glusterfs" => &["endpoints", "path"],
        "persistentVolumeClaim" => &["claimName"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "quobyte" => &["volume"],
        "flexVolume" | "csi" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "azureDisk" => &["diskName", "diskURI"],
        "storageos" => &["volumeName"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        "ephemeral" => &["volumeClaimTemplate"],
        _ => &[],
    }
}

pub fn source(name: &str, volume: &Cursor, at: &Cursor, pod_name: &str, errors: &mut Errors) {
    if name == "quobyte" {
        registries(at, errors);
    }
    for field in required_fields(name) {
        let field = at.child(field);
        if field.is_empty() && !field.value.is_object() {
            errors.required(&field);
        }
    }
    match name {
        "gitRepo" => paths::descending(&at.child("directory"), at.text("directory"), errors),
        "nfs" => {
            let path = at.child("path");
            if !path.str().starts_with('/') {
                errors.invalid_text(&path, "must be an absolute path");
            }
        }
        "gcePersistentDisk" | "awsElasticBlockStore" => {
            let partition = at.child("partition");
            if partition.int().is_some_and(|number| !(0..=255).contains(&number)) {
                errors.invalid(&partition, names::inclusive_range(1, 255));
            }
        }
        "fc" => fibre_channel(at, errors),
        "flocker" => flocker(at, errors),
        "csi" => csi(at, errors),
        "ephemeral" => {
            let template = at.child("volumeClaimTemplate");
            if template.is_set() {
                claim_template(&template, errors);
            }
            if !pod_name.is_empty() && !volume.text("name").is_empty() {
                let claim = format!("{pod_name}-{}", volume.text("name"));
                for message in names::dns1123_subdomain(&claim) {
                    let detail = format!("PVC name {claim:?}: {message}");
                    errors.invalid(&volume.child("name"), detail);
                }
            }
        }
        _ => {}
    }
}

fn registries(quobyte: &Cursor, errors: &mut Errors) {
    const PAIRS: &str = "must be a host:port pair or multiple pairs separated by commas";
    const MAX_TENANT: usize = 64;
    let (at, tenant) = (quobyte.child("registry"), quobyte.child("tenant"));
    if at.is_empty() {
        return errors.required_because(&at, PAIRS);
    }
    if tenant.len() > MAX_TENANT {
        return errors.required_because(&tenant, "must be a UUID and may not exceed a length of 64 characters");
    }
    let is_pair = |text: &str| match text.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => host.starts_with('[') && host.ends_with(']'),
        Some((host, port)) => !format!("{host}{port}").contains(['[', ']']),
        None => false,
    };
    for _ in at.str().split(',').filter(|pair| !is_pair(pair)) {
        errors.invalid(&at, PAIRS);
    }
}

fn flocker(at: &Cursor, errors: &mut Errors) {
    let (name, id) = (at.child("datasetName"), at.child("datasetUUID"));
    match (name.str().is_empty(), id.str().is_empty()) {
        (true, true) => errors.required_because(at, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            errors.invalid_as(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.str().contains('/') {
        errors.invalid(&name, "must not contain '/'");
    }
}

fn fibre_channel(at: &Cursor, errors: &mut Errors) {
    let (targets, ids, lun) = (at.child("targetWWNs"), at.child("wwids"), at.child("lun"));
    if targets.is_empty() && ids.is_empty() {
        errors.required_because(&targets, "must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !ids.is_empty() {
        errors.invalid(&targets, "targetWWNs and wwids can not be specified simultaneously");
    }
    if !targets.is_empty() {
        match lun.int() {
            None => errors.required_because(&lun, "lun is required if targetWWNs is specified"),
            Some(0..=255) => {}
            Some(_) => errors.invalid(&lun, names::inclusive_range(0, 255)),
        }
    }
}

fn csi(at: &Cursor, errors: &mut Errors) {
    const MAX_DRIVER: usize = 63;
    let driver = at.child("driver");
    if !driver.str().is_empty() {
        if driver.len() > MAX_DRIVER {
            errors.too_long(&driver, MAX_DRIVER);
        }
        errors.messages(&driver, names::dns1123_subdomain(&driver.str().to_lowercase()));
    }
    let secret = at.child("nodePublishSecretRef");
    if secret.is_set() {
        let name = secret.child("name");
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            for message in names::dns1123_subdomain(name.str()) {
                errors.invalid_as(&at.child("name"), name.str(), message);
            }
        }
    }
}

/// A PersistentVolumeClaimTemplate: labels, annotations and the spec of a claim.
fn claim_template(at: &Cursor, errors: &mut Errors) {
    let metadata = at.child("metadata");
    labels(&metadata.child("labels"), errors);
    for (name, _) in metadata.value.as_object().into_iter().flatten() {
        if name != "labels" && name != "annotations" && metadata.has(name) {
            errors.forbidden(&metadata.child(name), "cannot be set");
        }
    }
    claim_spec(&at.child("spec"), errors);
}

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// A PersistentVolumeClaimSpec.
pub fn claim_spec(at: &Cursor, errors: &mut Errors) {
    let modes = at.child("accessModes");
    if modes.is_empty() {
        errors.required_because(&modes, "at least 1 access mode is required");
    }
    label_selector(&at.child("selector"), errors);
    for mode in modes.items().filter(|mode| !ACCESS_MODES.contains(&mode.str())) {
        errors.push(api::field::FieldError::not_supported(&modes.path(), mode.str(), &ACCESS_MODES));
    }
    let is_single = |mode: &Cursor| mode.str() == "ReadWriteOncePod";
    let is_other = |mode: &Cursor| ACCESS_MODES.contains(&mode.str()) && !is_single(mode);
    if modes.items().any(|mode| is_single(&mode)) && modes.items().any(|mode| is_other(&mode)) {
        errors.forbidden(&modes, "may not use ReadWriteOncePod with other access modes");
    }
    let resources = at.child("resources");
    let storage = resources.child("requests");
    let (storage, place) = (storage.key("storage"), resources.key("storage"));
    match parse_at(&storage) {
        None => errors.required(&place),
        Some(amount) if amount.is_negative() || amount.is_zero() => {
            errors.invalid_as(&place, amount.to_string(), "must be greater than zero");
        }
        Some(_) => amount_of(&place.showing(storage.value), "storage", errors),
    }
    let class = at.child("storageClassName");
    if !class.str().is_empty() {
        errors.messages(&class, names::dns1123_subdomain(class.str()));
    }
    errors.one_of_if_set(&at.child("volumeMode"), &["Block", "Filesystem"]);
}
