//! Directories of the machine that the controllers run on, below `/tmp/hostpath_pv`: for development on one node, as upstream's
//! `kubernetes.io/host-path`, and off unless asked for. A volume that somebody made by hand is deleted, too, if its policy says so
//! and it lies below `/tmp`.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{HostPathVolumeSource, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};

use super::Provisioner;

const NAME: &str = "kubernetes.io/host-path";

pub struct HostPath {
    /// Where volumes lie, and below which alone anything is deleted.
    volumes: PathBuf,
    deletes_below: PathBuf,
    enabled: bool,
}

impl HostPath {
    pub fn new(enabled: bool) -> Self {
        Self { volumes: "/tmp/hostpath_pv".into(), deletes_below: "/tmp".into(), enabled }
    }
}

impl Provisioner for HostPath {
    fn name(&self) -> &'static str {
        NAME
    }

    fn disabled(&self) -> Option<String> {
        (!self.enabled).then(|| format!("provisioning in volume plugin {NAME:?} is disabled"))
    }

    fn provision<'a>(
        &'a self,
        claim: &'a PersistentVolumeClaim,
    ) -> BoxFuture<'a, Result<PersistentVolumeSpec, String>> {
        let path = self.volumes.join(claim.metadata.uid.as_deref().unwrap_or_default());
        let block = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) == Some("Block");
        async move {
            if block {
                return Err(format!("{NAME} does not support block volume provisioning"));
            }
            let text = path.to_string_lossy().into_owned();
            blocking(move || DirBuilder::new().recursive(true).mode(0o750).create(&path)).await?;
            let host_path = Some(HostPathVolumeSource { path: text, ..HostPathVolumeSource::default() });
            Ok(PersistentVolumeSpec { host_path, ..PersistentVolumeSpec::default() })
        }
        .boxed()
    }

    fn created_by(&self) -> &'static str {
        "hostpath-dynamic-provisioner"
    }

    fn owns(&self, volume: &PersistentVolume) -> bool {
        path(volume).is_some()
    }

    fn delete<'a>(&'a self, volume: &'a PersistentVolume) -> BoxFuture<'a, Result<(), String>> {
        let path = path(volume).map(PathBuf::from);
        async move {
            let Some(path) = path else { return Err("spec.PersistentVolumeSource.HostPath is nil".to_owned()) };
            if !is_below(&path, &self.deletes_below) {
                let below = self.deletes_below.display();
                return Err(format!(
                    "host_path deleter only supports {below}/.+ but received provided {}",
                    path.display()
                ));
            }
            blocking(move || match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
                Err(error) if error.kind() == ErrorKind::NotADirectory => std::fs::remove_file(&path),
                done => done,
            })
            .await
        }
        .boxed()
    }
}

fn path(volume: &PersistentVolume) -> Option<&str> {
    Some(&volume.spec.as_ref()?.host_path.as_ref()?.path)
}

/// Also by its letters: `..` leads out of anywhere.
fn is_below(path: &Path, folder: &Path) -> bool {
    let plain = path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    plain && path.starts_with(folder) && path != folder
}

async fn blocking(work: impl FnOnce() -> std::io::Result<()> + Send + 'static) -> Result<(), String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::object;
    use serde_json::json;

    #[tokio::test]
    async fn a_directory_is_made_for_a_claim_and_goes_with_it() {
        // One of this process and this test alone.
        let place = std::env::temp_dir().join(format!("setpoint-hostpath-{}", std::process::id()));
        let storage = HostPath { volumes: place.join("volumes"), deletes_below: place.clone(), enabled: true };
        let claim: PersistentVolumeClaim = object(json!({"metadata": {"name": "c", "namespace": "n", "uid": "u1"}}));
        let spec = storage.provision(&claim).await.unwrap();
        assert_eq!(storage.provision(&claim).await.unwrap(), spec, "again, the same");
        let path = spec.host_path.as_ref().unwrap().path.clone();
        assert_eq!(path, place.join("volumes/u1").to_string_lossy());
        std::fs::write(format!("{path}/file"), "text").unwrap();
        let volume = PersistentVolume { spec: Some(spec), ..PersistentVolume::default() };
        storage.delete(&volume).await.unwrap();
        assert!(!Path::new(&path).exists());
        storage.delete(&volume).await.unwrap();
        let block: PersistentVolumeClaim = object(json!({"metadata": {"uid": "u2"}, "spec": {"volumeMode": "Block"}}));
        assert!(storage.provision(&block).await.unwrap_err().contains("block volume"));
        std::fs::remove_dir_all(&place).unwrap();
    }

    #[test]
    fn nothing_outside_is_deleted() {
        let table = [
            ("/tmp/a", true),
            ("/tmp/a/b", true),
            ("/tmp", false),
            ("/tmp/", false),
            ("/tmp/../etc", false),
            ("/tmpfile", false),
            ("/etc", false),
            ("tmp/a", false),
        ];
        for (path, expected) in table {
            assert_eq!(is_below(Path::new(path), Path::new("/tmp")), expected, "{path}");
        }
    }
}
