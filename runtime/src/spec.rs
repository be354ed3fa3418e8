//! What a caller asks of the runtime and what it answers: plain data, the protocol between daemon and launcher.
//!
//! The runtime knows sandboxes and containers, not Pods.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Chosen by the caller, unique on the node, `[a-z0-9-]`, at most 63 bytes.
pub type SandboxId = String;
/// Chosen by the caller, unique on the node (a restarted container is a new one), `[a-z0-9-]`, at most 63 bytes.
pub type ContainerId = String;

/// Namespaces that a group of containers shares, its cgroup and its address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxSpec {
    pub id: SandboxId,
    pub hostname: String,
    /// `None`: the host's network namespace.
    pub network: Option<SandboxNetwork>,
    pub host_ipc: bool,
    pub host_pid: bool,
    /// One PID namespace for all containers, whose first process is a reaper of ours.
    pub shared_pid: bool,
    /// Path below the runtime's cgroup root, such as `burstable/pod1234`. Made with its limits, removed with the sandbox.
    pub cgroup: String,
    pub resources: Resources,
    /// Namespaced sysctls, dotted names.
    pub sysctls: BTreeMap<String, String>,
    /// Opaque to the runtime, given back by `list` (the kubelet keeps the pod's uid, name and namespace here).
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxNetwork {
    pub bridge: String,
    pub address: IpAddr,
    pub prefix_len: u8,
    pub gateway: IpAddr,
    pub mtu: u32,
}

/// Limits of a cgroup; `None` leaves the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Relative weight, v1 units (2..262144); v2's weight is derived.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU in each period of 100 ms.
    pub cpu_quota_us: Option<i64>,
    pub memory_limit_bytes: Option<u64>,
    pub pids_limit: Option<u64>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub id: ContainerId,
    pub sandbox: SandboxId,
    /// An image id (`sha256:…` of its config) that the image store holds.
    pub image: String,
    /// The whole command line; the caller has merged image and pod already. Never empty.
    pub args: Vec<String>,
    /// `NAME=value`, in order, later ones win.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: User,
    pub mounts: Vec<Mount>,
    pub resources: Resources,
    pub security: Security,
    /// -1000..1000; clamped to what this process may set.
    pub oom_score_adj: i32,
    pub terminal: bool,
    /// Standard input stays open for attach; without it, it is /dev/null.
    pub stdin: bool,
    /// stdin ends for good when the first attached client goes away.
    pub stdin_once: bool,
    /// CRI log format is written here.
    pub log_path: PathBuf,
    pub log_max_bytes: u64,
    pub log_max_files: u32,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct User {
    /// From the image or the pod: `uid`, `uid:gid`, `name`, `name:group`; looked up in the rootfs.
    pub user: String,
    /// Overrides the group found by `user`.
    pub gid: Option<u32>,
    pub supplemental_groups: Vec<u32>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Mount {
    /// Host path, or empty for a tmpfs.
    pub source: PathBuf,
    /// Below `source`, resolved without ever leaving it (links included); a directory is made if it is missing.
    #[serde(default)]
    pub sub_path: Option<PathBuf>,
    /// Absolute path in the container; made if missing; resolved inside the rootfs.
    pub target: String,
    pub read_only: bool,
    pub recursive_read_only: bool,
    pub propagation: Propagation,
    /// Only for a tmpfs.
    pub tmpfs_size_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Private,
    HostToContainer,
    Bidirectional,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Security {
    pub privileged: bool,
    pub read_only_rootfs: bool,
    pub no_new_privileges: bool,
    /// Names without `CAP_`; `ALL` is allowed.
    pub add_capabilities: Vec<String>,
    pub drop_capabilities: Vec<String>,
    pub seccomp: Seccomp,
    /// procMount: Unmasked.
    pub unmasked_proc: bool,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub enum Seccomp {
    #[default]
    RuntimeDefault,
    Unconfined,
    /// A profile file on the host.
    Localhost(PathBuf),
}

/// Identity of a process that survives pid reuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    pub pid: i32,
    /// Field 22 of /proc/PID/stat, clock ticks since boot.
    pub start_time: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Known, process not started yet, or failed to start (then `Exited` with `start_error`).
    Created,
    Running {
        process: ProcessId,
        started_at_ns: i64,
    },
    Exited(Exit),
}

/// Times are nanoseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// 128 + signal when a signal ended it.
    pub code: i32,
    pub signal: Option<i32>,
    pub oom_killed: bool,
    pub started_at_ns: i64,
    pub finished_at_ns: i64,
    /// The process was never started (command not found, bad user, mount failed): what went wrong. Code is then 127, 126 or 128.
    pub start_error: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SandboxStatus {
    pub spec: SandboxSpec,
    pub created_at_ns: i64,
    /// False after its namespaces were lost (reboot, launcher died).
    pub ready: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerStatus {
    pub id: ContainerId,
    pub sandbox: SandboxId,
    pub image: String,
    pub labels: BTreeMap<String, String>,
    pub log_path: PathBuf,
    pub state: ContainerState,
}

/// Everything on the node: what a restarted daemon learns first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Listing {
    pub sandboxes: Vec<SandboxStatus>,
    pub containers: Vec<ContainerStatus>,
}

/// Pushed by the launcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuntimeEvent {
    ContainerExited {
        id: ContainerId,
        exit: Exit,
    },
    /// The connection to the launcher was lost and is back: call `list`, events may have been missed.
    Reconnected,
}

/// What a container or sandbox uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since the cgroup was made, in nanoseconds.
    pub cpu_ns: u64,
    pub memory_bytes: u64,
    /// Memory without the page cache that can be dropped at once.
    pub working_set_bytes: u64,
}

/// A process beside the container's own, in its namespaces and cgroup, with its security settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExecSpec {
    pub container: ContainerId,
    pub args: Vec<String>,
    pub terminal: bool,
    pub stdin: bool,
}
