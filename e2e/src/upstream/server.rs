//! etcd and kube-apiserver as processes of ours: started, waited for, and ended by their process ids.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::network::{self, ADDRESS};
use super::parts::Part;
use super::pki::Pki;
use crate::Api;
use crate::namespace::Namespace;
use crate::wait::within;

/// It takes three seconds on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(120);
/// Of a program's log, when the start fails.
const LOG_LINES: usize = 20;
/// Garbage may be four times what lives before Go collects it; without this, as much as lives.
const HASTY_GOGC: &str = "400";
const STATE: &str = "upstream.json";
/// The first is kube-apiserver's own Service.
const SERVICES: &str = "10.96.0.0/16";
const FIRST_SERVICE: &str = "10.96.0.1";

#[derive(Clone, Debug)]
pub struct Options {
    /// Where the processes live; a new network namespace when it is `None`.
    pub namespace: Option<Namespace>,
    /// The data's folder is made in this one [default: the system's temporary directory].
    pub parent: Option<PathBuf>,
    /// Of kube-apiserver.
    pub port: u16,
    /// Of etcd's clients; its peers' is the next one.
    pub etcd_port: u16,
    /// Further arguments of kube-apiserver.
    pub arguments: Vec<String>,
    /// kube-controller-manager, too.
    pub controllers: bool,
    /// kube-scheduler, too.
    pub scheduler: bool,
    /// Its processes go with the thread that starts them, however that ends.
    pub bound: bool,
    /// For answers, not for measurements: nothing is written for good, and memory is spent to save CPU.
    pub hasty: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: None,
            parent: None,
            port: 6443,
            etcd_port: 2379,
            arguments: Vec::new(),
            controllers: false,
            scheduler: false,
            bound: false,
            hasty: false,
        }
    }
}

/// A control plane of upstream's programs. Dropped, its processes are killed and its data is removed.
pub struct Upstream {
    /// The administrator's, with certificates inline; its server is [`Self::address`].
    pub kubeconfig: PathBuf,
    /// Of kube-apiserver, inside the namespace: `https://127.0.0.1:PORT`.
    pub address: String,
    /// What talks to it must be in there: `Namespace::run`, `command` or `enter`.
    pub namespace: Namespace,
    /// From the start of etcd until kube-apiserver is ready.
    pub ready_after: Duration,
    children: Vec<(Part, Child)>,
    folder: TempDir,
    /// The namespace was there before and goes on: what was added to it is taken away.
    lent: bool,
    bound: bool,
    hasty: bool,
}

/// Builds what is missing, starts it, and waits until it is ready.
///
/// # Errors
/// Without Go, without root, or when a program does not come up: its last log lines are in the message.
pub fn start(options: &Options) -> Result<Upstream> {
    ensure!(rustix::process::geteuid().is_root(), "upstream's control plane needs root: it gets a network of its own");
    // What takes minutes comes first.
    for part in wanted(options) {
        part.path()?;
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix("setpoint-upstream-");
    let folder = match &options.parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let folder = folder.context("make a temporary directory")?;
    let pki = Pki::new(folder.path())?;
    let address = format!("https://127.0.0.1:{}", options.port);
    let kubeconfig = pki.client("admin", Some("system:masters"), &address)?;
    let (namespace, lent) = match &options.namespace {
        Some(namespace) => (namespace.clone(), true),
        None => (Namespace::new()?, false),
    };
    network::prepare(&namespace)?;
    let ready_after = Duration::ZERO;
    let (bound, hasty) = (options.bound, options.hasty);
    let children = Vec::new();
    let mut upstream = Upstream { kubeconfig, address, namespace, ready_after, children, folder, lent, bound, hasty };
    if let Err(error) = upstream.start(options, &pki) {
        let logs = upstream.log_ends();
        return Err(error.context(logs));
    }
    Ok(upstream)
}

fn wanted(options: &Options) -> Vec<Part> {
    let mut parts = vec![Part::Etcd, Part::KubeApiserver];
    parts.extend(options.controllers.then_some(Part::KubeControllerManager));
    parts.extend(options.scheduler.then_some(Part::KubeScheduler));
    parts
}

impl Upstream {
    /// Of its processes, etcd's first.
    pub fn pids(&self) -> Vec<i32> {
        self.children.iter().map(|(_, child)| child.id().cast_signed()).collect()
    }

    /// Certificates, data and logs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn start(&mut self, options: &Options, pki: &Pki) -> Result<()> {
        pki.token_key()?;
        let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        pki.serving("kube-apiserver", &names, &["127.0.0.1", ADDRESS, FIRST_SERVICE])?;
        let api = Api::new(&self.kubeconfig, &self.namespace)?;
        let begin = Instant::now();
        let mut arguments = etcd_arguments(self.folder.path(), options.etcd_port);
        arguments.extend(options.hasty.then(|| "--unsafe-no-fsync".to_owned()));
        self.run(Part::Etcd, &arguments)?;
        let etcd = format!("127.0.0.1:{}", options.etcd_port);
        self.wait("etcd listens", |upstream| {
            let connected = upstream.namespace.run(|| TcpStream::connect(&etcd).is_ok())?;
            Ok(connected.then_some(()))
        })?;
        self.run(Part::KubeApiserver, &server_arguments(pki, options))?;
        self.wait("kube-apiserver is ready", |_| Ok((api.request("GET", "/readyz", None)?.0 == 200).then_some(())))?;
        self.ready_after = begin.elapsed();
        for part in wanted(options).into_iter().skip(2) {
            let user = format!("system:{}", part.name());
            let kubeconfig = pki.client(&user, None, &self.address)?;
            self.run(part, &client_arguments(part, pki, &kubeconfig))?;
        }
        if options.controllers {
            // The first that shows that controllers work, and what clients wait for.
            let account = "/api/v1/namespaces/default/serviceaccounts/default";
            self.wait("kube-controller-manager works", |_| Ok(api.find(account)?.map(drop)))?;
        }
        Ok(())
    }

    fn run(&mut self, part: Part, arguments: &[String]) -> Result<()> {
        let log = File::create(self.folder.path().join(format!("{}.log", part.name())))?;
        let mut command = self.namespace.command(part.path()?);
        command.args(arguments).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if self.bound {
            crate::command::bind(&mut command);
        }
        if self.hasty {
            command.env("GOGC", HASTY_GOGC);
        }
        let child = command.spawn().with_context(|| format!("start {}", part.name()))?;
        self.children.push((part, child));
        Ok(())
    }

    fn wait(&mut self, what: &str, mut holds: impl FnMut(&Self) -> Result<Option<()>>) -> Result<()> {
        let mut ended = None;
        within(START_LIMIT, what, || {
            for (part, child) in &mut self.children {
                if let Some(status) = child.try_wait()? {
                    ended = Some(format!("{} ended with {status}", part.name()));
                    return Ok(Some(()));
                }
            }
            holds(self)
        })?;
        ended.map_or(Ok(()), |ended| Err(anyhow::anyhow!("{ended}")))
    }

    fn log_ends(&self) -> String {
        let mut text = String::new();
        for (part, _) in &self.children {
            let log = fs::read_to_string(self.folder.path().join(format!("{}.log", part.name()))).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            text += &format!("--- the log of {}\n{end}\n", part.name());
        }
        text
    }

    /// Lets it run on without this program, until [`stop`] with the folder.
    pub fn keep(mut self) -> Result<Kept> {
        let pids = self.pids();
        let state = json!({"pids": pids, "kubeconfig": self.kubeconfig, "address": self.address});
        fs::write(self.folder.path().join(STATE), state.to_string())?;
        self.children.clear();
        let kubeconfig = self.kubeconfig.clone();
        self.folder.disable_cleanup(true);
        Ok(Kept { kubeconfig, folder: self.folder.path().to_owned(), pids })
    }
}

/// A control plane that runs on by itself.
#[derive(Clone, Debug)]
pub struct Kept {
    pub kubeconfig: PathBuf,
    pub folder: PathBuf,
    /// The network namespace is that of each.
    pub pids: Vec<i32>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let running = !self.children.is_empty();
        // Clients of the server first.
        for (_, child) in self.children.iter_mut().rev() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
        if running && self.lent {
            let _ = network::remove(&self.namespace);
        }
    }
}

/// Ends what [`Upstream::keep`] left running, and removes its folder.
pub fn stop(folder: &Path) -> Result<()> {
    let state = folder.join(STATE);
    let text = fs::read_to_string(&state).with_context(|| format!("read {}", state.display()))?;
    let state: Value = serde_json::from_str(&text)?;
    let pids: Vec<i32> = serde_json::from_value(state["pids"].clone()).context("read process ids")?;
    // A number may be another process's by now; ours are in the folder.
    let ours = |pid: &i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|path| path == folder);
    for pid in pids.iter().rev().filter(|pid| ours(pid)).filter_map(|pid| Pid::from_raw(*pid)) {
        kill_process(pid, Signal::KILL)?;
    }
    crate::eventually("its processes have ended", || Ok((!pids.iter().any(ours)).then_some(())))?;
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> Vec<String> {
    flags.into_iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Without TLS: only kube-apiserver talks to it, in a namespace of their own.
fn etcd_arguments(folder: &Path, port: u16) -> Vec<String> {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{}", port + 1);
    flags([
        ("data-dir", folder.join("etcd").display().to_string()),
        ("listen-client-urls", clients.clone()),
        ("advertise-client-urls", clients),
        ("listen-peer-urls", peers.clone()),
        ("initial-advertise-peer-urls", peers.clone()),
        ("initial-cluster", format!("default={peers}")),
        ("log-level", "warn".to_owned()),
    ])
}

fn server_arguments(pki: &Pki, options: &Options) -> Vec<String> {
    let path = |file: &str| pki.path(file).display().to_string();
    let mut arguments = flags([
        ("etcd-servers", format!("http://127.0.0.1:{}", options.etcd_port)),
        ("bind-address", "0.0.0.0".to_owned()),
        ("secure-port", options.port.to_string()),
        ("advertise-address", ADDRESS.to_owned()),
        ("tls-cert-file", path("kube-apiserver.crt")),
        ("tls-private-key-file", path("kube-apiserver.key")),
        ("client-ca-file", path("ca.crt")),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("service-account-issuer", "https://kubernetes.default.svc.cluster.local".to_owned()),
        ("service-account-key-file", path("service-account.pub")),
        ("service-account-signing-key-file", path("service-account.key")),
        ("service-cluster-ip-range", SERVICES.to_owned()),
        ("allow-privileged", "true".to_owned()),
    ]);
    arguments.extend(options.arguments.iter().cloned());
    arguments
}

fn client_arguments(part: Part, pki: &Pki, kubeconfig: &Path) -> Vec<String> {
    let kubeconfig = kubeconfig.display().to_string();
    let mut arguments = flags([
        ("kubeconfig", kubeconfig.clone()),
        ("authentication-kubeconfig", kubeconfig.clone()),
        ("authorization-kubeconfig", kubeconfig),
        ("leader-elect", "false".to_owned()),
    ]);
    if part == Part::KubeControllerManager {
        let path = |file: &str| pki.path(file).display().to_string();
        arguments.extend(flags([
            ("root-ca-file", path("ca.crt")),
            ("cluster-signing-cert-file", path("ca.crt")),
            ("cluster-signing-key-file", path("ca.key")),
            ("service-account-private-key-file", path("service-account.key")),
            ("use-service-account-credentials", "true".to_owned()),
            // Its nodes are objects without anybody behind them, and shall not be taken for lost.
            ("controllers", "*,-node-lifecycle-controller".to_owned()),
        ]));
    }
    arguments
}
