//! Mounts of a container: its volumes, and the files that every container gets.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, VolumeMount};
use runtime::spec::{Mount, Propagation};

use super::expand::expand;

/// A volume as it is on the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedVolume {
    pub path: PathBuf,
    /// Whatever the mount says (projections are).
    pub read_only: bool,
}

/// Files of the pod and of this container that are mounted beside the volumes.
#[derive(Clone, Debug, Default)]
pub struct HostFiles {
    pub hosts: PathBuf,
    pub hostname: PathBuf,
    pub resolv_conf: PathBuf,
    pub termination_log: PathBuf,
}

pub const DEFAULT_TERMINATION_LOG: &str = "/dev/termination-log";

fn sub_path(mount: &VolumeMount, env: &BTreeMap<String, String>) -> Result<Option<PathBuf>, String> {
    let path = match (mount.sub_path_expr.as_deref().unwrap_or_default(), mount.sub_path.as_deref().unwrap_or_default())
    {
        ("", "") => return Ok(None),
        ("", plain) => plain.to_owned(),
        (expression, _) => {
            let mut missing = None;
            let path = expand(expression, |name| {
                let value = env.get(name).cloned();
                missing = missing.take().or_else(|| value.is_none().then(|| name.to_owned()));
                value
            });
            match missing {
                Some(name) => return Err(format!("missing value for {name:?}")),
                None => path,
            }
        }
    };
    let path = Path::new(&path);
    if path.is_absolute() {
        return Err(format!("error SubPath `{}` must not be an absolute path", path.display()));
    }
    if path.components().any(|part| part == Component::ParentDir) {
        return Err(format!("unable to provision SubPath `{}`: must not contain '..'", path.display()));
    }
    Ok((path != Path::new("")).then(|| path.to_owned()))
}

fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// In the order of the spec, with the files that the spec does not mount itself at the end.
pub fn mounts(
    container: &Container,
    volumes: &BTreeMap<String, MountedVolume>,
    files: &HostFiles,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Mount>, String> {
    let mut out = Vec::new();
    for mount in container.volume_mounts.iter().flatten() {
        let name = &mount.name;
        let missing = || format!("cannot find volume {name:?} to mount into container {:?}", container.name);
        let volume = volumes.get(name).ok_or_else(missing)?;
        let read_only = mount.read_only == Some(true) || volume.read_only;
        let recursive = matches!(mount.recursive_read_only.as_deref(), Some("Enabled" | "IfPossible"));
        out.push(Mount {
            source: volume.path.clone(),
            sub_path: sub_path(mount, env)?,
            target: absolute(&mount.mount_path),
            read_only,
            recursive_read_only: read_only && recursive,
            propagation: propagation(mount),
            tmpfs_size_bytes: None,
        });
    }
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Err("block volumes (volumeDevices) are not supported by this node".to_owned());
    }
    let termination = container.termination_message_path.as_deref().unwrap_or(DEFAULT_TERMINATION_LOG);
    let own = [
        (&files.hosts, "/etc/hosts"),
        (&files.hostname, "/etc/hostname"),
        (&files.resolv_conf, "/etc/resolv.conf"),
        (&files.termination_log, termination),
    ];
    for (source, target) in own {
        let taken = out.iter().any(|mount| mount.target == absolute(target));
        if !source.as_os_str().is_empty() && !target.is_empty() && !taken {
            out.push(Mount { source: source.clone(), target: absolute(target), ..Mount::default() });
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(mount: Value) -> Result<Vec<(String, Option<PathBuf>, bool)>, String> {
        let mut mount = mount;
        mount["name"] = json!("v");
        let container = json!({"name": "c", "volumeMounts": [mount]});
        let container: Container = serde_json::from_value(container).expect("a container");
        let volumes = [("v".to_owned(), MountedVolume { path: "/vol".into(), read_only: false })].into();
        let env = [("A".to_owned(), "x".to_owned()), ("ROOT".to_owned(), "/etc".to_owned())].into();
        let files = HostFiles { hosts: "/pod/hosts".into(), ..HostFiles::default() };
        let mounts = mounts(&container, &volumes, &files, &env)?;
        Ok(mounts.into_iter().map(|mount| (mount.target, mount.sub_path, mount.read_only)).collect())
    }

    #[test]
    fn volume_mounts() {
        let hosts = || ("/etc/hosts".to_owned(), None, false);
        let one =
            |target: &str, sub: Option<&str>| Ok(vec![(target.to_owned(), sub.map(PathBuf::from), false), hosts()]);
        let table = [
            ("plain", json!({"mountPath": "/data"}), one("/data", None)),
            ("relative", json!({"mountPath": "data"}), one("/data", None)),
            ("sub path", json!({"mountPath": "/d", "subPath": "a/b"}), one("/d", Some("a/b"))),
            ("expression", json!({"mountPath": "/d", "subPathExpr": "$(A)/b"}), one("/d", Some("x/b"))),
            (
                "unknown name",
                json!({"mountPath": "/d", "subPathExpr": "$(B)"}),
                Err("missing value for \"B\"".to_owned()),
            ),
            (
                "absolute by expansion",
                json!({"mountPath": "/d", "subPathExpr": "$(ROOT)"}),
                Err("error SubPath `/etc` must not be an absolute path".to_owned()),
            ),
            (
                "backsteps",
                json!({"mountPath": "/d", "subPath": "a/../../b"}),
                Err("unable to provision SubPath `a/../../b`: must not contain '..'".to_owned()),
            ),
            ("its own hosts file", json!({"mountPath": "/etc/hosts"}), Ok(vec![hosts()])),
        ];
        for (name, mount, expected) in table {
            assert_eq!(check(mount), expected, "{name}");
        }
    }
}
