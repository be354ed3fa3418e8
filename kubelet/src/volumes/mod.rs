//! Volumes of pods: directories on the node that containers get mounted.
//!
//! `project` computes the files of configMap, secret, downwardAPI and projected volumes; `atomic` brings them to the disk all
//! at once; `host_path` and `tmpfs` are the other kinds. Everything is keyed by the pod's UID and may be done again: after a
//! restart of the kubelet, and whenever an object that a pod refers to has changed.

mod atomic;
mod host_path;
mod ownership;
pub mod project;
pub mod tmpfs;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use api::quantity::Quantity;
use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};

use crate::launch::mounts::MountedVolume;
use crate::launch::resources;
use crate::paths::Paths;
use project::{Inputs, fs_group};

/// Why a volume is not there; a sentence for an event.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {volume:?} : {reason}")]
pub struct VolumeError {
    pub volume: String,
    pub reason: String,
}

const EMPTY_DIR: &str = "empty-dir";
const FILES: &str = "files";

/// Makes or brings up to date all volumes of a pod; blocks on the disk. `stamp` names this version of the files.
///
/// # Errors
/// The first volume that failed. The others are up to date nevertheless: one that lacks its object keeps none from following theirs.
pub fn set_up(paths: &Paths, inputs: &Inputs<'_>, stamp: &str) -> Result<BTreeMap<String, MountedVolume>, VolumeError> {
    let Some(spec) = &inputs.pod.spec else { return Ok(BTreeMap::new()) };
    let one = |volume: &Volume| {
        let mounted = set_up_one(paths, inputs, volume, stamp).map(|mounted| (volume.name.clone(), mounted));
        mounted.map_err(|reason| VolumeError { volume: volume.name.clone(), reason })
    };
    let all: Vec<Result<_, _>> = spec.volumes.iter().flatten().map(one).collect();
    all.into_iter().collect()
}

fn set_up_one(paths: &Paths, inputs: &Inputs<'_>, volume: &Volume, stamp: &str) -> Result<MountedVolume, String> {
    let uid = inputs.pod.metadata.uid.as_deref().unwrap_or_default();
    let say = |error: io::Error| error.to_string();
    if let Some(files) = inputs.files(volume) {
        let dir = match secret(volume) {
            true => paths.memory_of(uid).join(&volume.name),
            false => paths.volume(uid, FILES, &volume.name),
        };
        atomic::write(&dir, &files?, fs_group(inputs.pod), stamp).map_err(say)?;
        return Ok(MountedVolume { path: dir, read_only: true });
    }
    if let Some(source) = &volume.empty_dir {
        let dir = paths.volume(uid, EMPTY_DIR, &volume.name);
        empty_dir(&dir, source, inputs.pod).map_err(say)?;
        return Ok(MountedVolume { path: dir, read_only: false });
    }
    if let Some(source) = &volume.host_path {
        let path = PathBuf::from(&source.path);
        host_path::check(&path, source.type_.as_deref().unwrap_or_default())?;
        return Ok(MountedVolume { path, read_only: false });
    }
    Err(format!("volumes of type {} are not supported by this node", kind(volume)))
}

/// Held in memory only.
fn secret(volume: &Volume) -> bool {
    volume.secret.is_some() || volume.projected.is_some()
}

fn kind(volume: &Volume) -> String {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let mut names = fields.as_object().into_iter().flat_map(|map| map.keys()).filter(|name| *name != "name");
    names.next().cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// Open to all users of the pod, and of its group when it has one.
fn empty_dir(dir: &Path, source: &EmptyDirVolumeSource, pod: &Pod) -> io::Result<()> {
    let fresh = !dir.exists();
    fs::create_dir_all(dir)?;
    match source.medium.as_deref() {
        Some("Memory") => tmpfs::mount(dir, memory_limit(source, pod), 0o777)?,
        Some("") | None => {}
        Some(other) => return Err(io::Error::other(format!("storage medium {other:?} is not supported by this node"))),
    }
    if fresh {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777))?;
        if let Some(group) = fs_group(pod) {
            ownership::apply(dir, group, false)?;
        }
    }
    Ok(())
}

/// A memory-backed volume is no larger than its limit, nor than what its pod may use.
fn memory_limit(source: &EmptyDirVolumeSource, pod: &Pod) -> Option<u64> {
    let own = source.size_limit.as_ref().and_then(|limit| Quantity::parse(&limit.0).ok()).map(|limit| limit.value());
    let own = own.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0);
    let of_pod = pod.spec.as_ref().and_then(|spec| resources::of_pod(spec).memory_limit_bytes);
    own.into_iter().chain(of_pod).min()
}

/// Unmounts and deletes everything of a pod but its logs.
pub fn tear_down(paths: &Paths, uid: &str) -> io::Result<()> {
    for dir in [paths.pod(uid), paths.memory_of(uid)] {
        tmpfs::unmount_below(&dir)?;
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::launch::fields::FieldFacts;
    use crate::launch::objects::Objects;

    #[test]
    fn volumes_of_a_pod_come_and_go() {
        let root = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(root.path().to_owned(), root.path().join("logs"));
        let pod = |uid: &str| -> Pod {
            serde_json::from_value(json!({
                "metadata": {"name": "p", "namespace": "ns", "uid": uid, "labels": {"a": "1"}},
                "spec": {"containers": [], "volumes": [
                    {"name": "scratch", "emptyDir": {}},
                    {"name": "host", "hostPath": {"path": root.path().join("h"), "type": "DirectoryOrCreate"}},
                    {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
                ]}
            }))
            .expect("a pod")
        };
        let (one, two) = (pod("u1"), pod("u2"));
        let (objects, facts, tokens) = (Objects::default(), FieldFacts::default(), BTreeMap::new());
        let inputs = |pod| Inputs { pod, objects: &objects, facts: &facts, tokens: &tokens };
        let volumes = set_up(&paths, &inputs(&one), "1").expect("volumes");
        let scratch = &volumes["scratch"].path;
        assert_eq!(fs::metadata(scratch).expect("stat").permissions().mode() & 0o777, 0o777);
        fs::write(scratch.join("kept"), "x").expect("write");
        set_up(&paths, &inputs(&one), "2").expect("again");
        assert!(scratch.join("kept").exists(), "what a pod wrote stays");
        assert_eq!(fs::read_to_string(volumes["info"].path.join("labels")).expect("read"), "a=\"1\"");
        assert!(volumes["info"].read_only && root.path().join("h").is_dir());

        set_up(&paths, &inputs(&two), "1").expect("volumes of a second pod of the same name");
        tear_down(&paths, "u1").expect("tear down");
        assert!(!paths.pod("u1").exists() && paths.pod("u2").exists() && root.path().join("h").is_dir());
    }

    #[test]
    fn a_volume_that_fails_does_not_hold_up_others() {
        let root = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(root.path().to_owned(), root.path().join("logs"));
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u", "labels": {"a": "1"}}, "spec": {
            "containers": [], "volumes": [
                {"name": "absent", "configMap": {"name": "absent"}},
                {"name": "info", "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}
            ]}}))
        .expect("a pod");
        let (objects, facts, tokens) = (Objects::default(), FieldFacts::default(), BTreeMap::new());
        let inputs = Inputs { pod: &pod, objects: &objects, facts: &facts, tokens: &tokens };
        assert_eq!(set_up(&paths, &inputs, "1").expect_err("no object").volume, "absent");
        let labels = paths.volume("u", FILES, "info").join("labels");
        assert_eq!(fs::read_to_string(labels).expect("the other volume"), "a=\"1\"");
    }

    #[test]
    fn unsupported_volumes_say_so() {
        let root = tempfile::tempdir().expect("a directory");
        let paths = Paths::new(root.path().to_owned(), root.path().join("logs"));
        let spec = json!({"containers": [], "volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]});
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}, "spec": spec})).expect("a pod");
        let (objects, facts, tokens) = (Objects::default(), FieldFacts::default(), BTreeMap::new());
        let inputs = Inputs { pod: &pod, objects: &objects, facts: &facts, tokens: &tokens };
        let error = set_up(&paths, &inputs, "1").expect_err("no NFS");
        assert_eq!(
            error.to_string(),
            "MountVolume.SetUp failed for volume \"v\" : volumes of type nfs are not supported by this node"
        );
    }
}
