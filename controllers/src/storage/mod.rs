//! Volumes that are made for claims and go with them, as upstream's `persistentvolume` controller does it.
//!
//! What storage there is stands behind [`Provisioner`]: `provisioning` asks it for a volume where a claim finds none, `reclaiming`
//! gives it back when the claim is gone. Provisioners that are programs of their own see by the claim's annotation that it is their
//! turn, and make the PersistentVolume themselves. [`hostpath`] is the one that is built in.

pub mod hostpath;
mod provisioning;
mod reclaiming;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};
use reconcile::Manager;

const ACCOUNT: &str = "persistent-volume-binder";
/// Of a claim: who is to make its volume. Two names of the same thing.
const STORAGE_PROVISIONERS: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// Of a claim: on which node its first pod will be.
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Of a volume: who made it.
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Of a volume that is to be deleted with what is on it: until that is done.
const FINALIZER: &str = "kubernetes.io/pv-controller";
/// What is built in, here or upstream, and no program of its own.
const IN_TREE: &str = "kubernetes.io/";

/// Storage of one kind. Errors are sentences for events.
pub trait Provisioner: Send + Sync {
    /// As StorageClasses name it.
    fn name(&self) -> &'static str;

    /// Why it makes nothing at all, if so.
    fn disabled(&self) -> Option<String>;

    /// Makes a volume and tells where it is; what else belongs into a spec is the caller's. Asked again for the same claim, it
    /// answers with the same volume.
    fn provision<'a>(&'a self, claim: &'a PersistentVolumeClaim)
    -> BoxFuture<'a, Result<PersistentVolumeSpec, String>>;

    /// Who made a volume, in its annotations (`kubernetes.io/createdby`).
    fn created_by(&self) -> &'static str;

    /// Whether a volume that nobody says to have made could be its own.
    fn owns(&self, volume: &PersistentVolume) -> bool;

    /// Deletes a volume with what is on it. One that is gone is deleted.
    fn delete<'a>(&'a self, volume: &'a PersistentVolume) -> BoxFuture<'a, Result<(), String>>;
}

/// All that are built in.
#[derive(Clone, Default)]
pub struct Provisioners(pub Vec<Arc<dyn Provisioner>>);

impl Provisioners {
    fn named(&self, name: &str) -> Option<&Arc<dyn Provisioner>> {
        self.0.iter().find(|one| one.name() == name)
    }
}

impl fmt::Debug for Provisioners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|one| one.name())).finish()
    }
}

pub(crate) fn start(manager: &Manager, provisioners: &Provisioners) {
    provisioning::start(manager, provisioners.clone());
    reclaiming::start(manager, provisioners.clone());
}

fn unknown(name: &str) -> String {
    format!("no volume plugin matched name: {name}")
}
