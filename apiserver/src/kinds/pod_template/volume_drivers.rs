//! Validation of volumes that a driver provides: claims, network file systems, disks of clouds.

use api::names;

use super::super::csi::driver_name;
use super::super::cursor::{Cursor, Errors};
use super::super::persistent_volume_claim::spec::claim_spec;
use super::super::selectors::template_metadata;
use super::disks::{self, Holder};
use super::paths;

pub fn source(name: &str, volume: &Cursor, at: &Cursor, pod_name: &str, errors: &mut Errors) {
    match name {
        "gitRepo" => {
            disks::required("gitRepo", at, errors);
            paths::descending(&at.child("directory"), at.text("directory"), errors);
        }
        "persistentVolumeClaim" => disks::required("persistentVolumeClaim", at, errors),
        "csi" => csi(at, errors),
        "ephemeral" => ephemeral(volume, at, pod_name, errors),
        _ => disks::source(name, at, Holder::Pod, errors),
    }
    if name == "iscsi" && disks::long_for_an_initiator(volume.text("name"), at) {
        errors.invalid_text(&volume.child("name"), disks::LONG_FOR_AN_INITIATOR);
    }
}

fn ephemeral(volume: &Cursor, at: &Cursor, pod_name: &str, errors: &mut Errors) {
    let template = at.child("volumeClaimTemplate");
    if template.is_set() {
        claim_template(&template, errors);
    } else {
        errors.required(&template);
    }
    if !pod_name.is_empty() && !volume.text("name").is_empty() {
        let claim = format!("{pod_name}-{}", volume.text("name"));
        for message in names::dns1123_subdomain(&claim) {
            let detail = format!("PVC name {claim:?}: {message}");
            errors.invalid(&volume.child("name"), detail);
        }
    }
}

fn csi(at: &Cursor, errors: &mut Errors) {
    driver_name(&at.child("driver"), errors);
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
    template_metadata(&at.child("metadata"), errors);
    claim_spec(&at.child("spec"), false, errors);
}
