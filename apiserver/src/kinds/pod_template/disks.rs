//! Volume sources that pods and PersistentVolumes both have, with what upstream checks differently in the two.

use api::names;

use super::super::cursor::{Cursor, Errors};
use super::initiators;
use super::paths;

/// Of the name of an initiator that is made of a volume's.
const MAX_INITIATOR: usize = 64;
pub const LONG_FOR_AN_INITIATOR: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                                         iscsi.initiatorName is specified.";

/// Whose source it is. Secrets of a pod's are in its namespace, those of a PersistentVolume's are anywhere.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'n> {
    Pod,
    /// By its name.
    Volume(&'n str),
}

/// The fields that a source cannot do without.
fn required_fields(name: &str) -> &'static [&'static str] {
    match name {
        "gitRepo" => &["repository"],
        "gcePersistentDisk" => &["pdName"],
        "awsElasticBlockStore" | "cinder" | "portworxVolume" => &["volumeID"],
        "nfs" => &["server", "path"],
        "glusterfs" => &["endpoints", "path"],
        "persistentVolumeClaim" => &["claimName"],
        "rbd" => &["monitors", "image"],
        "cephfs" => &["monitors"],
        "quobyte" => &["volume"],
        "flexVolume" => &["driver"],
        "azureFile" => &["secretName", "shareName"],
        "vsphereVolume" => &["volumePath"],
        "photonPersistentDisk" => &["pdID"],
        "azureDisk" => &["diskName", "diskURI"],
        "storageos" => &["volumeName"],
        "scaleIO" => &["gateway", "system", "volumeName"],
        _ => &[],
    }
}

/// Errors for those of them that are missing.
pub fn required(name: &str, at: &Cursor, errors: &mut Errors) {
    for field in required_fields(name) {
        let field = at.child(field);
        if field.is_empty() {
            errors.required(&field);
        }
    }
}

pub fn source(name: &str, at: &Cursor, holder: Holder, errors: &mut Errors) {
    if name == "quobyte" {
        registries(at, errors);
    }
    required(name, at, errors);
    match name {
        "hostPath" => host_path(at, errors),
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
        "iscsi" => iscsi(at, holder, errors),
        "cinder" => secret(&at.child("secretRef"), holder, errors),
        "storageos" => {
            for name in ["volumeName", "volumeNamespace"] {
                let part = at.child(name);
                if !part.str().is_empty() {
                    errors.messages(&part, names::dns1123_label(part.str()));
                }
            }
            secret(&at.child("secretRef"), holder, errors);
        }
        "flexVolume" => flex_options(&at.child("options"), errors),
        "azureDisk" => azure_disk(at, errors),
        _ => {}
    }
}

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

fn host_path(at: &Cursor, errors: &mut Errors) {
    let path = at.child("path");
    if path.str().is_empty() {
        return errors.required(&path);
    }
    paths::no_backsteps(&path, path.str(), errors);
    errors.one_of_if_set(&at.child("type"), &HOST_PATH_TYPES);
}

/// A reference to a Secret, where it is set: the parts that its holder must name.
fn secret(at: &Cursor, holder: Holder, errors: &mut Errors) {
    let parts: &[&str] = match holder {
        Holder::Pod => &["name"],
        Holder::Volume(_) => &["name", "namespace"],
    };
    for part in parts.iter().filter(|part| at.is_set() && at.text(part).is_empty()) {
        errors.required(&at.child(part));
    }
}

pub fn long_for_an_initiator(volume_name: &str, iscsi: &Cursor) -> bool {
    iscsi.has("initiatorName") && volume_name.len() + 1 + iscsi.text("targetPortal").len() > MAX_INITIATOR
}

fn iscsi(at: &Cursor, holder: Holder, errors: &mut Errors) {
    let (portal, name) = (at.child("targetPortal"), at.child("iqn"));
    if portal.str().is_empty() {
        errors.required(&portal);
    }
    if let Holder::Volume(volume) = holder
        && long_for_an_initiator(volume, at)
    {
        errors.invalid_as(&at.child("targetportal"), portal.str(), LONG_FOR_AN_INITIATOR);
    }
    let no_kind = match holder {
        Holder::Pod => "must be valid format starting with iqn, eui, or naa",
        Holder::Volume(_) => "must be valid format",
    };
    if name.str().is_empty() {
        errors.required(&name);
    } else {
        initiators::check(&name, no_kind, errors);
    }
    let lun = at.child("lun");
    if lun.int().is_some_and(|lun| !(0..=255).contains(&lun)) {
        errors.invalid(&lun, names::inclusive_range(0, 255));
    }
    let secret = at.child("secretRef");
    let authenticates = at.flag("chapAuthDiscovery") == Some(true) || at.flag("chapAuthSession") == Some(true);
    if authenticates && !secret.is_set() {
        errors.required(&secret);
    }
    if matches!(holder, Holder::Volume(_)) && secret.is_set() && secret.text("name").is_empty() {
        errors.required(&secret.child("name"));
    }
    let initiator = at.child("initiatorName");
    if initiator.is_set() {
        initiators::check(&at.child("initiatorname").showing(initiator.value), no_kind, errors);
    }
}

fn flex_options(options: &Cursor, errors: &mut Errors) {
    for (name, at) in options.entries() {
        let namespace = format!(".{}", name.split('/').next().unwrap_or_default().to_lowercase());
        if namespace.ends_with(".kubernetes.io") || namespace.ends_with(".k8s.io") {
            errors.invalid_as(&at, name, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(at: &Cursor, errors: &mut Errors) {
    const MANAGED: &str =
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
    const BLOB: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    errors.one_of_if_set(&at.child("cachingMode"), &["None", "ReadOnly", "ReadWrite"]);
    let (kind, uri) = (at.child("kind"), at.child("diskURI"));
    errors.one_of_if_set(&kind, &["Dedicated", "Managed", "Shared"]);
    if kind.is_set() {
        let (start, form) = if kind.str() == "Managed" { ("/subscriptions/", MANAGED) } else { ("https://", BLOB) };
        if !uri.str().starts_with(start) {
            errors.not_supported(&uri, &[form]);
        }
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
