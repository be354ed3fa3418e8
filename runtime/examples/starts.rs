//! Containers from their start to the news of their exit, one after the other: `starts [COUNT] [DIRECTORY] [each|one]`.
//!
//! With `each`, every container gets a sandbox of its own, plugged into a bridge; with `one`, all share one. What they run is
//! `true` of busybox-static. Prints one line of JSON, for `cargo xtask bench`. It waits for the launcher, so that its CPU time is
//! that of all together. Needs root; makes the bridge in the network namespace that it is called in.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use runtime::spec::{ContainerSpec, Resources, RuntimeEvent, SandboxNetwork, SandboxSpec, Security, User};
use runtime::{Config, Runtime};
use tokio::sync::mpsc;

const BRIDGE: &str = "spbench0";
const BUSYBOX: [&str; 2] = ["/bin/busybox", "/usr/bin/busybox"];
const WARM_UP: usize = 5;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "launcher") {
        return ExitCode::from(u8::try_from(runtime::launcher::main(arguments)).unwrap_or(1));
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "failed to {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let argument = |index: usize| std::env::args().nth(index);
    let count: usize = argument(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let temporary = tempfile::tempdir()?;
    let dir = argument(2).map_or(temporary.path().to_owned(), PathBuf::from);
    let shared = argument(3).is_some_and(|mode| mode == "one");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut latencies = tokio.block_on(async {
        let config = Config {
            state_dir: dir.join("state"),
            images_dir: dir.join("images"),
            socket: dir.join("launcher.sock"),
            cgroup_root: format!("spbench-{}", std::process::id()),
            launcher: Config::own_launcher(),
        };
        runtime::net::ensure_bridge(BRIDGE, [10, 124, 0, 1].into(), 16, 1500)?;
        let (runtime, events) = Runtime::connect(config).await?;
        let latencies = measure(&runtime, events, &dir, count, shared).await;
        runtime.shutdown().await?;
        runtime::net::remove_bridge(BRIDGE)?;
        latencies
    })?;
    // The launcher and what it left.
    while rustix::process::wait(rustix::process::WaitOptions::empty()).is_ok() {}
    latencies.sort_unstable();
    let percentile = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_micros();
    let (p50, p90, p99) = (percentile(0.50), percentile(0.90), percentile(0.99));
    writeln!(std::io::stdout(), r#"{{"count":{count},"p50_us":{p50},"p90_us":{p90},"p99_us":{p99}}}"#)?;
    Ok(())
}

async fn measure(
    runtime: &Runtime,
    mut events: mpsc::Receiver<RuntimeEvent>,
    dir: &Path,
    count: usize,
    shared: bool,
) -> Result<Vec<Duration>> {
    let rootfs = rootfs(dir)?;
    if shared {
        runtime.create_sandbox(sandbox("shared", 0)).await?;
    }
    let mut latencies = Vec::new();
    for number in 0..WARM_UP + count {
        let id = format!("c{number}");
        let home = if shared { "shared" } else { id.as_str() };
        let start = Instant::now();
        if !shared {
            runtime.create_sandbox(sandbox(&id, number)).await?;
        }
        runtime.start_container_from(container(&id, home, dir), vec![rootfs.clone()]).await?;
        loop {
            match events.recv().await.ok_or("hear from the launcher")? {
                RuntimeEvent::ContainerExited { id: ended, exit } if ended == id => {
                    if exit.code != 0 {
                        return Err(format!("run true: {exit:?}").into());
                    }
                    break;
                }
                _ => {}
            }
        }
        latencies.push(start.elapsed());
        if shared {
            runtime.remove_container(&id).await?;
        } else {
            runtime.remove_sandbox(&id).await?;
        }
    }
    Ok(latencies.split_off(WARM_UP))
}

fn rootfs(dir: &Path) -> Result<PathBuf> {
    let rootfs = dir.join("rootfs");
    std::fs::create_dir_all(rootfs.join("bin"))?;
    let busybox =
        BUSYBOX.into_iter().find(|path| Path::new(path).exists()).ok_or("find busybox: install busybox-static")?;
    std::fs::copy(busybox, rootfs.join("bin/true"))?;
    Ok(rootfs)
}

fn sandbox(id: &str, number: usize) -> SandboxSpec {
    let [.., high, low] = (number as u32 + 2).to_be_bytes();
    SandboxSpec {
        id: id.to_owned(),
        hostname: id.to_owned(),
        network: Some(SandboxNetwork {
            bridge: BRIDGE.to_owned(),
            address: [10, 124, high, low].into(),
            prefix_len: 16,
            gateway: [10, 124, 0, 1].into(),
            mtu: 1500,
        }),
        host_ipc: false,
        host_pid: false,
        shared_pid: false,
        cgroup: format!("burstable/pod-{id}"),
        resources: Resources::default(),
        sysctls: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

/// As hardened as a pod without a security context, with limits.
fn container(id: &str, sandbox: &str, dir: &Path) -> ContainerSpec {
    ContainerSpec {
        id: id.to_owned(),
        sandbox: sandbox.to_owned(),
        image: "sha256:none".to_owned(),
        args: vec!["/bin/true".to_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        user: User::default(),
        mounts: Vec::new(),
        resources: Resources { cpu_shares: Some(102), memory_limit_bytes: Some(64 << 20), ..Resources::default() },
        security: Security::default(),
        oom_score_adj: 0,
        terminal: false,
        stdin: false,
        stdin_once: false,
        log_path: dir.join("logs").join(id).join("0.log"),
        log_max_bytes: 10 << 20,
        log_max_files: 5,
        labels: BTreeMap::new(),
    }
}
