//! How claims and volumes name each other.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use kube::core::ObjectMeta;
use reconcile::Key;

/// Names a class in place of the field.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn class(meta: &ObjectMeta, field: Option<&str>) -> String {
    let annotated = meta.annotations.as_ref().and_then(|annotations: &BTreeMap<_, _>| annotations.get(CLASS));
    annotated.map(String::as_str).or(field).unwrap_or_default().to_owned()
}

/// Empty for none.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> String {
    class(&claim.metadata, claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()))
}

pub fn class_of_volume(volume: &PersistentVolume) -> String {
    class(&volume.metadata, volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()))
}

/// The claim that a volume is for.
pub fn claim_ref(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

pub fn claim_key(reference: &ObjectReference) -> Key {
    Key::new(reference.namespace.as_deref(), reference.name.as_deref().unwrap_or_default())
}

/// Whether the volume is for this claim, whichever one had the name when that was said.
pub fn is_for(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let uid = reference.uid.as_deref().unwrap_or_default();
    claim_key(reference) == Key::of(claim) && (uid.is_empty() || Some(uid) == claim.metadata.uid.as_deref())
}

/// Empty when the claim has no volume.
pub fn volume_name(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}
