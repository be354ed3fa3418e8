//! A cluster as a test has it: started in a network namespace of its own, stopped and looked after however the test ends.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::footprint::NodePlace;
use crate::leaks::{self, Traces};
use crate::namespace::Namespace;
use crate::objects::text;
use crate::{Api, Kubectl, Outcome, Program, binary, host, images, kubectl};

/// How many clusters may run at the same time: each is worth about half a processor while it starts and stops.
const AT_ONCE: usize = 3;
/// Of the daemon's log, when a test fails.
const LOG_LINES: usize = 60;
const FIRST_PORT: u16 = 6443;

/// Of the tests' folders.
const PREFIX: &str = "setpoint-e2e-";

static SWEEP: Once = Once::new();
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// How many nodes the tests' clusters have: SETPOINT_E2E_NODES, or one.
pub fn nodes() -> u32 {
    std::env::var("SETPOINT_E2E_NODES").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// A place for a cluster; the kernel, the home and the data are its own.
pub struct Cluster {
    pub namespace: Namespace,
    links: Vec<String>,
    folder: TempDir,
    kubectls: Vec<Kubectl>,
    /// Of the API server.
    port: u16,
    api: Option<Api>,
    /// On this machine.
    pub nodes: u32,
    /// In the cluster's network namespace. Its data are not the cluster's.
    etcd: Option<etcd_server::Server>,
}

/// With this in the environment every cluster of a test has its state in an etcd of its own.
const ON_ETCD: &str = "SETPOINT_E2E_ETCD";

/// Starts a cluster with the busybox images, runs a test on it, stops it, and checks that nothing is left.
pub fn with_cluster(test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    with_place(|cluster| {
        let Some(archive) = images::busybox(cluster.folder.path())? else { return Ok(()) };
        cluster.up([])?;
        cluster.setpoint(["image", "load"]).args([archive]).ok()?;
        test(cluster)
    })
}

/// [`with_cluster`] for a test that starts the cluster itself, or not at all.
pub fn with_place(test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return crate::missing("these tests need root: they run containers");
    }
    let _turn = Turn::take();
    run(Cluster::new(Namespace::new()?, FIRST_PORT)?, test)
}

/// A place for a second cluster on the same machine: in the network namespace of the first, while that one runs.
pub fn with_neighbour(first: &Cluster, test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    run(Cluster::new(first.namespace.clone(), first.port + 1)?, test)
}

fn run(mut cluster: Cluster, test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let outcome = catch_unwind(AssertUnwindSafe(|| test(&mut cluster)));
    if !matches!(outcome, Ok(Ok(()))) {
        cluster.tell();
    }
    let cleanup = cluster.close();
    match outcome {
        Err(panic) => resume_unwind(panic),
        Ok(Err(error)) => Err(error),
        Ok(Ok(())) => cleanup,
    }
}

/// One of [`AT_ONCE`] permissions.
struct Turn;

impl Turn {
    fn take() -> Self {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        while *running >= AT_ONCE {
            running = ENDED.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ENDED.notify_one();
    }
}

impl Cluster {
    fn new(namespace: Namespace, port: u16) -> Result<Self> {
        binary::setpoint()?;
        let kubectls = kubectl::all()?;
        SWEEP.call_once(|| {
            // What cannot be removed disturbs nobody.
            let _ = leaks::sweep(PREFIX);
        });
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let links = namespace.links()?;
        fs::create_dir(folder.path().join("home"))?;
        let mut cluster = Self { namespace, links, folder, kubectls, port, api: None, nodes: nodes(), etcd: None };
        if std::env::var_os(ON_ETCD).is_some_and(|value| value != "0") && cluster.start_etcd()?.is_none() {
            bail!("{ON_ETCD} is set, and there is no etcd");
        }
        Ok(cluster)
    }

    /// Starts an etcd, if there is none yet, that `up` uses from now on. Its endpoint; `None` where it cannot be built.
    pub fn start_etcd(&mut self) -> Result<Option<String>> {
        // The namespace reaches nothing from where it could be built.
        if self.etcd.is_none() && etcd_server::binary()?.is_some() {
            let port = |first: u16| std::net::SocketAddr::from(([127, 0, 0, 1], first + (self.port - FIRST_PORT) * 10));
            let mut place = etcd_server::Place::at(port(2379), port(2380));
            let namespace = self.namespace.clone();
            place.command = Box::new(move |path| namespace.command(path));
            self.etcd = self.namespace.run(|| etcd_server::Server::start_at(place))??;
        }
        Ok(self.etcd.as_ref().map(etcd_server::Server::endpoint))
    }

    pub fn etcd(&mut self) -> Option<&mut etcd_server::Server> {
        self.etcd.as_mut()
    }

    /// A folder for the test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// Writes a file into the test's folder.
    pub fn file(&self, name: &str, text: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// `setpoint up --detach` with more arguments, which must succeed.
    pub fn up<const N: usize>(&mut self, arguments: [&str; N]) -> Result<Outcome> {
        let outcome = self.try_up(arguments)?;
        if outcome.code != 0 {
            bail!("{outcome}");
        }
        self.connect()?;
        Ok(outcome)
    }

    /// `setpoint up --detach` of another build of the program, which must succeed.
    pub fn up_with(&mut self, program: &Path) -> Result<()> {
        self.up_arguments(self.program(program)).args(["--detach"]).ok()?;
        self.connect()
    }

    /// New connections to the API, whoever serves it.
    pub fn connect(&mut self) -> Result<()> {
        self.api = Some(Api::new(&self.kubeconfig(), &self.namespace)?);
        Ok(())
    }

    pub fn try_up<const N: usize>(&self, arguments: [&str; N]) -> Result<Outcome> {
        self.up_program().args(["--detach"]).args(arguments).run()
    }

    /// `setpoint up` on the data directory, in the foreground.
    pub fn up_program(&self) -> Program {
        self.up_arguments(self.home_setpoint([]))
    }

    fn up_arguments(&self, program: Program) -> Program {
        let (data, port) = (self.data_dir(), self.port.to_string());
        let up = program.args(["up", "--data-dir", &data.to_string_lossy(), "--api-port", &port]);
        let up = match &self.etcd {
            Some(etcd) => up.args(["--etcd-endpoints", &etcd.endpoint()]),
            None => up,
        };
        match self.nodes {
            1 => up,
            nodes => up.args(["--nodes", &nodes.to_string()]),
        }
    }

    /// The name of the node that is the machine itself.
    pub fn first_node(&self) -> Result<String> {
        let facts = leaks::facts(&self.data_dir()).context("there is no cluster")?;
        Ok(text(&facts, "node_name").to_owned())
    }

    /// The pod, bound to the machine itself: for tests that look at its processes and addresses from there.
    pub fn on_first_node(&self, mut pod: Value) -> Result<Value> {
        pod["spec"]["nodeSelector"]["kubernetes.io/hostname"] = self.first_node()?.into();
        Ok(pod)
    }

    pub fn down(&self) -> Result<Outcome> {
        let data = self.data_dir();
        self.home_setpoint(["down", "--data-dir", &data.to_string_lossy()]).run()
    }

    /// `down`, and nothing of the cluster is left in the kernel.
    pub fn down_leaves_nothing(&self) -> Result<()> {
        let outcome = self.down()?;
        if outcome.code != 0 {
            bail!("{outcome}");
        }
        self.nothing_is_left()
    }

    /// Nothing of the cluster is left in the kernel.
    pub fn nothing_is_left(&self) -> Result<()> {
        self.traces().check()
    }

    fn lock(&self) -> PathBuf {
        self.data_dir().join("lock")
    }

    /// The process of the control plane and the kubelet.
    pub fn daemon(&self) -> Result<Pid> {
        Pid::from_raw(host::holder(&self.lock())?).context("the lock names no process")
    }

    /// What a power cut does to the control plane and the kubelet, while the kernel goes on.
    pub fn kill_daemon(&self) -> Result<()> {
        kill_process(self.daemon()?, Signal::KILL)?;
        self.daemon_ends()
    }

    /// Until the last thread of the daemon has ended: then the kernel gives its lock back.
    pub fn daemon_ends(&self) -> Result<()> {
        host::holder_ends(&self.lock())
    }

    /// The nodes on this machine, the machine itself first.
    pub fn places(&self) -> Result<Vec<NodePlace>> {
        let facts = leaks::facts(&self.data_dir()).context("there is no cluster")?;
        let (name, id) = (text(&facts, "node_name"), text(&facts, "id"));
        let node = self.data_dir().join("node");
        let mut places = vec![NodePlace { name: name.to_owned(), node, namespace: self.namespace.clone() }];
        for number in 2..=self.nodes {
            let name = format!("{name}-{number}");
            let node = self.data_dir().join("nodes").join(&name).join("node");
            let namespace = Namespace::pinned(Path::new(&format!("/run/setpoint-{id}-{number}/netns")))?;
            places.push(NodePlace { name, node, namespace });
        }
        Ok(places)
    }

    /// Any program, inside the network namespace and with the test's home.
    pub fn program(&self, path: impl AsRef<Path>) -> Program {
        self.program_in(&self.namespace, path)
    }

    /// The binary under test on another machine: with the test's home, inside that machine's network namespace.
    pub fn elsewhere<const N: usize>(&self, machine: &Namespace, arguments: [&str; N]) -> Program {
        let path = binary::setpoint().unwrap_or(Path::new("setpoint"));
        self.program_in(machine, path).args(arguments)
    }

    fn program_in(&self, namespace: &Namespace, path: impl AsRef<Path>) -> Program {
        let mut command: Command = namespace.command(path.as_ref());
        command.env_clear().env("HOME", self.home()).env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(self.folder.path());
        Program::new(command)
    }

    /// A verb of the binary under test, with the cluster's kubeconfig.
    pub fn setpoint<const N: usize>(&self, arguments: [&str; N]) -> Program {
        self.home_setpoint(arguments).env("KUBECONFIG", self.kubeconfig())
    }

    /// The binary under test as somebody with only a home runs it.
    pub fn home_setpoint<const N: usize>(&self, arguments: [&str; N]) -> Program {
        // It was built before the cluster's place was made.
        let path = binary::setpoint().unwrap_or(Path::new("setpoint"));
        self.program(path).args(arguments)
    }

    /// The kubectl of the target version, or the one there is.
    pub fn kubectl<const N: usize>(&self, arguments: [&str; N]) -> Program {
        self.with_kubectl(&self.kubectls[0], arguments)
    }

    pub fn with_kubectl<const N: usize>(&self, kubectl: &Kubectl, arguments: [&str; N]) -> Program {
        let mut program = self.program(&kubectl.path).env("KUBECONFIG", self.kubeconfig());
        if kubectl.spdy {
            for variable in ["KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "KUBECTL_PORT_FORWARD_WEBSOCKETS"] {
                program = program.env(variable, "false");
            }
        }
        program.args(arguments)
    }

    /// All kubectls, for what must work with each.
    pub fn kubectls(&self) -> Vec<Kubectl> {
        self.kubectls.clone()
    }

    /// Requests without kubectl.
    pub fn api(&self) -> &Api {
        self.api.as_ref().expect("the cluster is up")
    }

    /// `kubectl apply` of a manifest.
    pub fn apply(&self, object: &Value) -> Result<String> {
        self.kubectl(["apply", "-f", "-"]).input(object.to_string()).ok()
    }

    /// What a shell in a running container says, without the last line's end.
    pub fn shell(&self, pod: &str, script: &str) -> Result<String> {
        let said = self.setpoint(["exec", pod, "--", "sh", "-c", script]).ok()?;
        Ok(said.trim_end_matches('\n').to_owned())
    }

    /// The body of the answer to GET, from inside the network namespace.
    pub fn http_get(&self, host: &str, port: u16) -> Result<String> {
        self.namespace.run(|| http_get(host, port))?
    }

    /// Where it may leave something.
    pub fn traces(&self) -> Traces<'_> {
        let facts = leaks::facts(&self.data_dir());
        let id = facts.and_then(|facts| Some(facts["id"].as_str()?.to_owned())).unwrap_or_default();
        let data_dir = self.folder.path();
        // A neighbour's processes are in the namespace, too.
        let alone = self.port == FIRST_PORT;
        let spared = self.etcd.as_ref().and_then(etcd_server::Server::pid);
        Traces { data_dir, id, namespace: &self.namespace, alone, links: &self.links, spared }
    }

    /// What helps to understand a failure.
    fn tell(&self) {
        let log = fs::read_to_string(self.data_dir().join("setpoint.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("--- the daemon's log\n{}", lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"));
        if self.api.is_some() {
            let limit = Duration::from_secs(5);
            for arguments in [["get", "all", "-A"], ["get", "events", "-A"]] {
                if let Ok(outcome) = self.kubectl(arguments).limit(limit).run() {
                    eprintln!("--- {outcome}");
                }
            }
        }
    }

    fn close(self) -> Result<()> {
        let stopped = match leaks::facts(&self.data_dir()) {
            Some(_) => self.down().and_then(|outcome| if outcome.code == 0 { Ok(()) } else { bail!("{outcome}") }),
            None => Ok(()),
        };
        let clean = self.traces().check();
        // Through a mount that is still there, removing the folder would remove what is mounted.
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        if mounts.contains(&*self.folder.path().to_string_lossy()) {
            eprintln!("{} is kept: something is mounted there", self.folder.keep().display());
        }
        stopped.and(clean)
    }
}

fn http_get(host: &str, port: u16) -> Result<String> {
    use std::io::{Read, Write};
    let address = (host, port);
    let address = std::net::ToSocketAddrs::to_socket_addrs(&address)?.next().context("no address")?;
    let limit = Duration::from_secs(2);
    let mut stream = std::net::TcpStream::connect_timeout(&address, limit)?;
    stream.set_read_timeout(Some(limit))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is not HTTP")?;
    if !head.starts_with("HTTP/1.1 200") && !head.starts_with("HTTP/1.0 200") {
        bail!("{head}");
    }
    Ok(body.to_owned())
}
