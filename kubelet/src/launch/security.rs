//! Who a container's process is and what it may do: the security contexts of pod and container as one.

use std::path::Path;

use k8s_openapi::api::core::v1::{Container, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext};
use runtime::images::ImageConfig;
use runtime::spec::{Seccomp, Security, User};

fn of_pod(spec: &PodSpec) -> PodSecurityContext {
    spec.security_context.clone().unwrap_or_default()
}

fn of_container(container: &Container) -> SecurityContext {
    container.security_context.clone().unwrap_or_default()
}

fn id(value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("user or group id {value} is out of range"))
}

/// The process' user; refuses root where `runAsNonRoot` asks for it.
pub fn user(spec: &PodSpec, container: &Container, image: &ImageConfig) -> Result<User, String> {
    let (pod, own) = (of_pod(spec), of_container(container));
    let uid = own.run_as_user.or(pod.run_as_user);
    let gid = own.run_as_group.or(pod.run_as_group);
    if own.run_as_non_root.or(pod.run_as_non_root) == Some(true) {
        check_non_root(uid, &image.user)?;
    }
    let groups = pod.supplemental_groups.into_iter().flatten().chain(pod.fs_group);
    Ok(User {
        user: uid.map_or_else(|| image.user.clone(), |uid| uid.to_string()),
        gid: gid.map(id).transpose()?,
        supplemental_groups: groups.map(id).collect::<Result<_, _>>()?,
    })
}

fn check_non_root(uid: Option<i64>, image_user: &str) -> Result<(), String> {
    let name = image_user.split(':').next().unwrap_or_default();
    match (uid, name, name.parse::<u32>()) {
        (Some(0), _, _) => Err("container's runAsUser breaks non-root policy".to_owned()),
        (Some(_), _, _) => Ok(()),
        (None, "" | "0", _) => Err("container has runAsNonRoot and image will run as root".to_owned()),
        (None, _, Ok(_)) => Ok(()),
        (None, name, Err(_)) => Err(format!(
            "container has runAsNonRoot and image has non-numeric user ({name}), cannot verify user is non-root"
        )),
    }
}

/// Seccomp is on by default (what upstream calls `seccompDefault`); a privileged container goes without.
fn seccomp(profile: Option<&SeccompProfile>, privileged: bool, dir: &Path) -> Result<Seccomp, String> {
    match profile.map(|profile| profile.type_.as_str()) {
        _ if privileged => Ok(Seccomp::Unconfined),
        None | Some("RuntimeDefault") => Ok(Seccomp::RuntimeDefault),
        Some("Unconfined") => Ok(Seccomp::Unconfined),
        Some("Localhost") => {
            let name = profile.and_then(|profile| profile.localhost_profile.as_deref()).unwrap_or_default();
            let below = Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)));
            match !name.is_empty() && below {
                true => Ok(Seccomp::Localhost(dir.join(name))),
                false => Err(format!("seccomp profile {name:?} is not a path below the node's profile directory")),
            }
        }
        Some(other) => Err(format!("unknown seccomp profile type {other:?}")),
    }
}

/// `seccomp_dir`: where profiles of type Localhost are.
pub fn security(spec: &PodSpec, container: &Container, seccomp_dir: &Path) -> Result<Security, String> {
    let (pod, own) = (of_pod(spec), of_container(container));
    let privileged = own.privileged == Some(true);
    let capabilities = own.capabilities.unwrap_or_default();
    let names = |list: Option<Vec<String>>| -> Vec<String> {
        let plain = |name: String| name.to_uppercase().trim_start_matches("CAP_").to_owned();
        list.into_iter().flatten().map(plain).collect()
    };
    Ok(Security {
        privileged,
        read_only_rootfs: own.read_only_root_filesystem == Some(true),
        no_new_privileges: own.allow_privilege_escalation == Some(false),
        add_capabilities: names(capabilities.add),
        drop_capabilities: names(capabilities.drop),
        seccomp: seccomp(own.seccomp_profile.as_ref().or(pod.seccomp_profile.as_ref()), privileged, seccomp_dir)?,
        unmasked_proc: own.proc_mount.as_deref() == Some("Unmasked"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parts(pod: Value, own: Value) -> (PodSpec, Container) {
        let spec = json!({"securityContext": pod, "containers": []});
        let container = json!({"name": "c", "securityContext": own});
        (serde_json::from_value(spec).expect("a spec"), serde_json::from_value(container).expect("a container"))
    }

    #[test]
    fn users() {
        let table = [
            ("the image's", json!({}), json!({}), "app:web", Ok(("app:web", None))),
            ("the pod's", json!({"runAsUser": 5}), json!({}), "app", Ok(("5", None))),
            (
                "the container's wins",
                json!({"runAsUser": 5}),
                json!({"runAsUser": 6, "runAsGroup": 7}),
                "",
                Ok(("6", Some(7))),
            ),
            ("non-root ok", json!({"runAsNonRoot": true}), json!({}), "1000", Ok(("1000", None))),
            (
                "root image",
                json!({"runAsNonRoot": true}),
                json!({}),
                "",
                Err("container has runAsNonRoot and image will run as root"),
            ),
            (
                "root asked for",
                json!({"runAsNonRoot": true}),
                json!({"runAsUser": 0}),
                "5",
                Err("container's runAsUser breaks non-root policy"),
            ),
            (
                "a name says nothing",
                json!({"runAsNonRoot": true}),
                json!({}),
                "app",
                Err("container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root"),
            ),
            (
                "the container allows root",
                json!({"runAsNonRoot": true}),
                json!({"runAsNonRoot": false}),
                "",
                Ok(("", None)),
            ),
        ];
        for (name, pod, own, image_user, expected) in table {
            let (spec, container) = parts(pod, own);
            let image = ImageConfig { user: image_user.to_owned(), ..ImageConfig::default() };
            let actual = user(&spec, &container, &image);
            let actual = actual.as_ref().map(|user| (user.user.as_str(), user.gid)).map_err(String::as_str);
            assert_eq!(actual, expected, "{name}");
        }
    }

    #[test]
    fn security_settings() {
        let dir = Path::new("/profiles");
        let (spec, container) = parts(
            json!({"seccompProfile": {"type": "Unconfined"}}),
            json!({"capabilities": {"add": ["CAP_NET_ADMIN", "sys_time"], "drop": ["ALL"]}, "allowPrivilegeEscalation": false}),
        );
        let settings = security(&spec, &container, dir).expect("settings");
        assert_eq!(settings.add_capabilities, ["NET_ADMIN", "SYS_TIME"]);
        assert!(settings.no_new_privileges && matches!(settings.seccomp, Seccomp::Unconfined));
        let (spec, container) =
            parts(json!({}), json!({"seccompProfile": {"type": "Localhost", "localhostProfile": "../x"}}));
        assert!(security(&spec, &container, dir).is_err(), "a profile outside the directory");
        let (spec, container) = parts(json!({}), json!({}));
        let settings = security(&spec, &container, dir).expect("settings");
        assert!(matches!(settings.seccomp, Seccomp::RuntimeDefault) && !settings.no_new_privileges);
    }
}
