//! A node for one test.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use runtime::spec::{
    ContainerSpec, ContainerState, ContainerStatus, Exit, ProcessId, Resources, RuntimeEvent, SandboxNetwork,
    SandboxSpec, Security, User,
};
use runtime::{Config, Error, Runtime};
use tokio::sync::{Mutex, mpsc};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const BRIDGE: &str = "spt0";
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
const APPLETS: [&str; 34] = [
    "sh", "sleep", "cat", "echo", "true", "false", "id", "ls", "mount", "unshare", "hostname", "env", "pwd", "touch",
    "mkdir", "kill", "dd", "stat", "tty", "stty", "ip", "ping", "nc", "head", "tail", "seq", "grep", "readlink",
    "chroot", "mknod", "sysctl", "ps", "wc", "test",
];

pub struct Node {
    pub dir: PathBuf,
    pub config: Config,
    pub runtime: Runtime,
    pub rootfs: PathBuf,
    events: Mutex<Events>,
    next_address: AtomicU32,
}

struct Events {
    receiver: mpsc::Receiver<RuntimeEvent>,
    exits: BTreeMap<String, Exit>,
}

/// Which cgroup hierarchies a node sees.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cgroups {
    AsTheyAre,
    V1,
    V2,
}

/// Runs `body` on a node of its own, and removes the node whatever happens.
pub fn on_node<F, Fut>(name: &str, body: F)
where
    F: FnOnce(Arc<Node>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    on_node_with(name, Cgroups::AsTheyAre, body);
}

/// Hides a part of the cgroup hierarchies from this thread and what it starts.
fn hide_cgroups(cgroups: Cgroups) {
    use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
    if cgroups == Cgroups::AsTheyAre {
        return;
    }
    // SAFETY: this thread alone leaves the others' working directory and mounts.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }.expect("mount namespace");
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private");
    if cgroups == Cgroups::V1 {
        // Where there is only v2, this leaves no cgroups at all, which must work, too.
        let found = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
        let mounted = found.into_iter().find(|path| Path::new(path).join("cgroup.controllers").exists());
        rustix::mount::unmount(mounted.expect("cgroup2"), UnmountFlags::DETACH).expect("unmount");
    } else {
        rustix::mount::unmount("/sys/fs/cgroup", UnmountFlags::DETACH).expect("unmount");
        rustix::mount::mount("none", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).expect("mount cgroup2");
    }
}

/// Like `on_node`, on a machine with these cgroup hierarchies.
pub fn on_node_with<F, Fut>(name: &str, cgroups: Cgroups, body: F)
where
    F: FnOnce(Arc<Node>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    if let Some(reason) = unusable() {
        skip(name, reason);
        return;
    }
    let name = name.to_owned();
    let test = std::thread::Builder::new().name(name.clone()).spawn(move || {
        // SAFETY: this thread shares nothing that the namespace is about.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }.expect("network namespace");
        hide_cgroups(cgroups);
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        tokio.block_on(async {
            let node = Arc::new(Node::start(&name).await);
            let outcome = tokio::spawn(tokio::time::timeout(3 * PATIENCE, body(Arc::clone(&node)))).await;
            let outcome =
                outcome.map_err(|panic| panic.to_string()).and_then(|done| done.map_err(|late| late.to_string()));
            let ended = tokio::time::timeout(PATIENCE, node.reconnect().await.0.shutdown()).await;
            if let Err(error) = outcome {
                let log = std::fs::read_to_string(node.dir.join("state/launcher.log")).unwrap_or_default();
                panic!("{error}\nlauncher: {log}");
            }
            ended.expect("shutdown in time").expect("shutdown");
            std::fs::remove_dir_all(&node.dir).expect("remove the node's directory");
        });
    });
    if let Err(panic) = test.expect("thread").join() {
        std::panic::resume_unwind(panic);
    }
}

fn unusable() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root");
    }
    if busybox().is_none() {
        return Some("needs busybox-static");
    }
    None
}

#[expect(clippy::print_stderr, reason = "says why a test did nothing")]
fn skip(name: &str, reason: &str) {
    eprintln!("{name} skipped: {reason}");
}

fn busybox() -> Option<&'static str> {
    BUSYBOX.into_iter().find(|path| Path::new(path).exists())
}

impl Node {
    async fn start(name: &str) -> Self {
        static NODES: AtomicU32 = AtomicU32::new(0);
        let unique = format!("{}-{}", std::process::id(), NODES.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("sp-{name}-{unique}"));
        std::fs::create_dir_all(&dir).expect("node directory");
        let config = Config {
            state_dir: dir.join("state"),
            images_dir: dir.join("images"),
            socket: dir.join("state/launcher.sock"),
            cgroup_root: format!("sptest-{unique}"),
            launcher: vec![env!("CARGO_BIN_EXE_runtime-launcher").into(), "launcher".into()],
        };
        let gateway: IpAddr = [10, 123, 0, 1].into();
        runtime::net::ensure_bridge(BRIDGE, gateway, 24, 1500).expect("bridge");
        let (runtime, receiver) = Runtime::connect(config.clone()).await.expect("connect");
        let rootfs = dir.join("rootfs");
        make_rootfs(&rootfs);
        let events = Mutex::new(Events { receiver, exits: BTreeMap::new() });
        Self { dir, config, runtime, rootfs, events, next_address: AtomicU32::new(2) }
    }

    /// A second daemon of the same node.
    pub async fn reconnect(&self) -> (Runtime, mpsc::Receiver<RuntimeEvent>) {
        Runtime::connect(self.config.clone()).await.expect("connect again")
    }

    pub fn sandbox_spec(&self, id: &str) -> SandboxSpec {
        let host = self.next_address.fetch_add(1, Ordering::Relaxed);
        SandboxSpec {
            id: id.to_owned(),
            hostname: format!("{id}-host"),
            network: Some(SandboxNetwork {
                bridge: BRIDGE.into(),
                address: [10, 123, 0, host as u8].into(),
                prefix_len: 24,
                gateway: [10, 123, 0, 1].into(),
                mtu: 1500,
            }),
            host_ipc: false,
            host_pid: false,
            shared_pid: false,
            cgroup: format!("burstable/pod-{id}"),
            resources: Resources::default(),
            sysctls: BTreeMap::new(),
            labels: [("pod".to_owned(), id.to_owned())].into(),
        }
    }

    pub async fn sandbox(&self, id: &str) {
        self.runtime.create_sandbox(self.sandbox_spec(id)).await.expect("create sandbox");
    }

    /// A container that runs a shell script in sandbox `s`.
    pub fn spec(&self, id: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            id: id.to_owned(),
            sandbox: "s".into(),
            image: "sha256:test".into(),
            args: ["sh", "-c", script].map(str::to_owned).to_vec(),
            env: vec!["PATH=/bin".into()],
            cwd: "/".into(),
            user: User::default(),
            mounts: Vec::new(),
            resources: Resources::default(),
            security: Security::default(),
            oom_score_adj: 0,
            terminal: false,
            stdin: false,
            stdin_once: false,
            log_path: self.log_path(id),
            log_max_bytes: 10 << 20,
            log_max_files: 5,
            labels: BTreeMap::new(),
        }
    }

    pub fn log_path(&self, id: &str) -> PathBuf {
        self.dir.join("logs").join(id).join("0.log")
    }

    pub async fn start_container(&self, spec: ContainerSpec) -> Result<ProcessId, Error> {
        self.runtime.start_container_from(spec, vec![self.rootfs.clone()]).await
    }

    /// Runs a container to its end: its exit and what it wrote to both streams.
    pub async fn run(&self, spec: ContainerSpec) -> (Exit, String) {
        let id = spec.id.clone();
        self.start_container(spec).await.unwrap_or_else(|error| panic!("start {id}: {error}"));
        let exit = self.exit(&id).await;
        (exit, self.output(&id))
    }

    /// Runs a script, which must succeed, in a new container: its output.
    pub async fn script(&self, id: &str, script: &str) -> String {
        let (exit, output) = self.run(self.spec(id, script)).await;
        assert_eq!(exit.code, 0, "{id}: {output}");
        output
    }

    /// Waits for the exit event of a container.
    pub async fn exit(&self, id: &str) -> Exit {
        let mut events = self.events.lock().await;
        let wait = async {
            loop {
                if let Some(exit) = events.exits.remove(id) {
                    return exit;
                }
                match events.receiver.recv().await.expect("events go on") {
                    RuntimeEvent::ContainerExited { id, exit } => drop(events.exits.insert(id, exit)),
                    RuntimeEvent::Reconnected => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{id} exits in time"))
    }

    /// The content of a container's log, without times and stream names.
    pub fn output(&self, id: &str) -> String {
        let log = std::fs::read_to_string(self.log_path(id)).expect("log");
        log.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n").collect()
    }

    pub async fn status(&self, id: &str) -> Option<ContainerStatus> {
        let listing = self.runtime.list().await.expect("list");
        listing.containers.into_iter().find(|container| container.id == id)
    }

    pub async fn state(&self, id: &str) -> ContainerState {
        self.status(id).await.unwrap_or_else(|| panic!("{id} is listed")).state
    }
}

/// Polls until `condition` gives something.
pub async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn make_rootfs(rootfs: &Path) {
    for dir in ["bin", "etc", "tmp", "data"] {
        std::fs::create_dir_all(rootfs.join(dir)).expect("rootfs");
    }
    std::fs::copy(busybox().expect("busybox"), rootfs.join("bin/busybox")).expect("copy busybox");
    for applet in APPLETS {
        symlink("busybox", rootfs.join("bin").join(applet)).expect("link");
    }
    std::fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:web:/var/www:/bin/sh\n")
        .expect("passwd");
    std::fs::write(rootfs.join("etc/group"), "root:x:0:\nweb:x:34:\ntape:x:26:web\n").expect("group");
    std::fs::write(rootfs.join("etc/notes"), "not executable").expect("notes");
}
