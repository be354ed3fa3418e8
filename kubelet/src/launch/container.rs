//! One container's specification, from everything that has a say in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use runtime::images::ImageConfig;
use runtime::spec::ContainerSpec;

use super::env::{EnvInputs, environment};
use super::expand::expand;
use super::fields::FieldFacts;
use super::mounts::{HostFiles, MountedVolume, mounts};
use super::objects::Objects;
use super::{labels, resources, security};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that has a say in a container.
pub struct Launch<'a> {
    pub pod: &'a Pod,
    pub container: &'a Container,
    pub id: String,
    pub sandbox: String,
    pub attempt: u32,
    pub image_id: String,
    pub image_reference: String,
    pub image: &'a ImageConfig,
    pub stop_signal: i32,
    pub objects: &'a Objects,
    pub services: &'a BTreeMap<String, String>,
    pub facts: &'a FieldFacts,
    pub volumes: &'a BTreeMap<String, MountedVolume>,
    pub files: &'a HostFiles,
    pub hostname: &'a str,
    pub seccomp_dir: &'a Path,
    pub log_path: PathBuf,
    pub log_max_bytes: u64,
    pub log_max_files: u32,
    /// bytes
    pub node_memory: i64,
}

/// The pod's command replaces the image's entrypoint and with it the image's arguments; the pod's arguments replace those.
fn command(container: &Container, image: &ImageConfig, env: &BTreeMap<String, String>) -> Vec<String> {
    let expanded = |words: &Option<Vec<String>>| -> Vec<String> {
        words.iter().flatten().map(|word| expand(word, |name| env.get(name).cloned())).collect()
    };
    let (command, args) = (expanded(&container.command), expanded(&container.args));
    match (command.is_empty(), args.is_empty()) {
        (true, true) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
        (true, false) => [image.entrypoint.clone(), args].concat(),
        (false, _) => [command, args].concat(),
    }
}

impl Launch<'_> {
    /// The image's variables below the pod's.
    fn env(&self, own: &BTreeMap<String, String>) -> Vec<String> {
        let mut all: BTreeMap<&str, &str> = BTreeMap::new();
        all.insert("PATH", DEFAULT_PATH);
        all.insert("HOSTNAME", self.hostname);
        if self.container.tty == Some(true) {
            all.insert("TERM", "xterm");
        }
        all.extend(self.image.env.iter().filter_map(|variable| variable.split_once('=')));
        all.extend(own.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn labels(&self) -> labels::Labels {
        let container = self.container;
        let own = [
            (labels::CONTAINER_NAME, container.name.clone()),
            (labels::IMAGE_NAME, container.image.clone().unwrap_or_default()),
            (labels::IMAGE_REFERENCE, self.image_reference.clone()),
            (labels::STOP_SIGNAL, self.stop_signal.to_string()),
            (labels::TERMINATION_LOG, self.files.termination_log.display().to_string()),
            (labels::TERMINATION_POLICY, container.termination_message_policy.clone().unwrap_or_default()),
        ];
        let mut all = labels::of_pod(self.pod, self.attempt);
        all.extend(own.into_iter().map(|(key, value)| (key.to_owned(), value)));
        all
    }

    /// An error is a sentence for the container's status.
    pub fn spec(self) -> Result<ContainerSpec, String> {
        let default = PodSpec::default();
        let (pod, container) = (self.pod, self.container);
        let spec = pod.spec.as_ref().unwrap_or(&default);
        let inputs = EnvInputs { pod, container, objects: self.objects, services: self.services, facts: self.facts };
        let env = environment(&inputs)?;
        let args = command(container, self.image, &env);
        if args.is_empty() {
            return Err("no command specified".to_owned());
        }
        let own_dir = container.working_dir.as_deref().filter(|dir| !dir.is_empty());
        let image_dir = Some(self.image.working_dir.as_str()).filter(|dir| !dir.is_empty());
        Ok(ContainerSpec {
            args,
            env: self.env(&env),
            cwd: own_dir.or(image_dir).unwrap_or("/").to_owned(),
            user: security::user(spec, container, self.image)?,
            mounts: mounts(container, self.volumes, self.files, &env)?,
            resources: resources::of_container(container),
            security: security::security(spec, container, self.seccomp_dir)?,
            oom_score_adj: resources::oom_score_adj(spec, container, self.node_memory),
            terminal: container.tty == Some(true),
            stdin: container.stdin == Some(true),
            stdin_once: container.stdin_once == Some(true),
            labels: self.labels(),
            id: self.id,
            sandbox: self.sandbox,
            image: self.image_id,
            log_path: self.log_path,
            log_max_bytes: self.log_max_bytes,
            log_max_files: self.log_max_files,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn words(value: &Value) -> Vec<String> {
        serde_json::from_value(value.clone()).expect("words")
    }

    #[test]
    fn commands() {
        let image = ImageConfig { entrypoint: vec!["e".into()], cmd: vec!["c".into()], ..ImageConfig::default() };
        let table = [
            ("the image's", json!({}), json!(["e", "c"])),
            ("arguments", json!({"args": ["a"]}), json!(["e", "a"])),
            ("command", json!({"command": ["x"]}), json!(["x"])),
            ("both", json!({"command": ["x"], "args": ["$(A)", "$(B)"]}), json!(["x", "1", "$(B)"])),
        ];
        for (name, mut container, expected) in table {
            container["name"] = json!("c");
            let container: Container = serde_json::from_value(container).expect(name);
            let env = [("A".to_owned(), "1".to_owned())].into();
            assert_eq!(command(&container, &image, &env), words(&expected), "{name}");
        }
    }

    #[test]
    fn a_whole_container() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
            "spec": {"containers": [{"name": "c", "image": "img", "tty": true, "env": [{"name": "PATH", "value": "/mine"}]}]}
        }))
        .expect("a pod");
        let image = ImageConfig { cmd: vec!["run".into()], env: vec!["A=image".into()], ..ImageConfig::default() };
        let launch = Launch {
            pod: &pod,
            container: &pod.spec.as_ref().expect("a spec").containers[0],
            id: "id".into(),
            sandbox: "sb".into(),
            attempt: 3,
            image_id: "sha256:1".into(),
            image_reference: "img@sha256:2".into(),
            image: &image,
            stop_signal: 15,
            objects: &Objects::default(),
            services: &BTreeMap::new(),
            facts: &FieldFacts::default(),
            volumes: &BTreeMap::new(),
            files: &HostFiles { termination_log: "/t".into(), ..HostFiles::default() },
            hostname: "host",
            seccomp_dir: Path::new("/"),
            log_path: "/log".into(),
            log_max_bytes: 1,
            log_max_files: 1,
            node_memory: 1,
        };
        let spec = launch.spec().expect("a container");
        assert_eq!(spec.env, ["A=image", "HOSTNAME=host", "PATH=/mine", "TERM=xterm"]);
        assert_eq!((spec.args.as_slice(), spec.cwd.as_str()), (["run".to_owned()].as_slice(), "/"));
        assert_eq!(labels::attempt(&spec.labels), 3);
        assert_eq!(spec.mounts.len(), 1);
        assert_eq!(spec.mounts[0].target, "/dev/termination-log");
    }
}
