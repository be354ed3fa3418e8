//! Where the node keeps what belongs to pods.
//!
//! ```text
//! <data>/pods/<uid>/hosts, hostname, resolv.conf
//! <data>/pods/<uid>/volumes/<kind>/<name>
//! <data>/pods/<uid>/containers/<name>/<attempt>      termination message
//! <data>/memory/<uid>/<name>                         secrets and tokens, one tmpfs for the node
//! <logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log
//! ```

use std::path::PathBuf;

use k8s_openapi::api::core::v1::Pod;

#[derive(Clone, Debug)]
pub struct Paths {
    data: PathBuf,
    logs: PathBuf,
}

impl Paths {
    pub fn new(data: PathBuf, logs: PathBuf) -> Paths {
        Paths { data, logs }
    }

    pub fn pods(&self) -> PathBuf {
        self.data.join("pods")
    }

    pub fn pod(&self, uid: &str) -> PathBuf {
        self.pods().join(uid)
    }

    pub fn volume(&self, uid: &str, kind: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(kind).join(name)
    }

    pub fn memory(&self) -> PathBuf {
        self.data.join("memory")
    }

    pub fn memory_of(&self, uid: &str) -> PathBuf {
        self.memory().join(uid)
    }

    pub fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("hosts")
    }

    pub fn hostname(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("hostname")
    }

    pub fn resolv_conf(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("resolv.conf")
    }

    pub fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container).join(attempt.to_string())
    }

    pub fn seccomp(&self) -> PathBuf {
        self.data.join("seccomp")
    }

    pub fn logs(&self) -> &PathBuf {
        &self.logs
    }

    /// Directory name of a pod's logs.
    pub fn pod_log_name(pod: &Pod) -> String {
        let metadata = &pod.metadata;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        format!("{}_{}_{}", text(&metadata.namespace), text(&metadata.name), text(&metadata.uid))
    }

    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs.join(Self::pod_log_name(pod))
    }

    pub fn log(&self, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
        self.pod_logs(pod).join(container).join(format!("{attempt}.log"))
    }
}
