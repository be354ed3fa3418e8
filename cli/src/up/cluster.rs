//! The composition root: a control plane and a node in this process, the launcher beside it.
//!
//! Order of a start: lock, facts, credentials; bridge; store and API server, with their listeners; launcher and kubelet;
//! controllers, scheduler and service rules, which are clients of the API in-process. A stop is the reverse.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use apiserver::front::kubelet::KubeletClient;
use apiserver::front::pki::{self, ClientCertificate};
use apiserver::front::serve::{Front, serve};
use apiserver::front::tokens::ServiceAccountTokens;
use apiserver::{ApiServer, UserInfo};
use http::HeaderValue;
use http::header::USER_AGENT;
use jiff::Timestamp;
use reconcile::informer::Informers;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use super::layout::{Facts, Layout, Network, parse_routes};
use super::lock::{self, Lock};
use super::{DEFAULT_PORT, preflight};
use crate::kubeconfig;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// The image that the binary carries: itself.
const DEMO_IMAGE: &str = "setpoint/demo:v1";
const POD_MTU: u32 = 1500;
const KUBELET_PORT: u16 = 10250;
/// The API that is spoken.
const KUBERNETES_VERSION: &str = "v1.35.0";
/// Parts that do not end by themselves by then are dropped.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What a start may be told, beside where its data are.
#[derive(Debug, Default)]
pub struct Settings {
    /// `None`: the one of the last start, or the default.
    pub api_port: Option<u16>,
    /// `None`: the API server's default.
    pub compaction_interval: Option<Duration>,
}

/// A running control plane and node. Dropping it without `stop` is a crash, which it survives.
pub struct Cluster {
    cancel: CancellationToken,
    tasks: JoinSet<()>,
    _lock: Lock,
}

impl Cluster {
    /// Returns when the API answers and the kubeconfig is written; the node becomes Ready a moment later. `progress` hears of
    /// each step.
    pub async fn start(layout: &Layout, settings: &Settings, progress: &(dyn Fn(&str) + Sync)) -> Result<Self> {
        preflight::raise_file_limit();
        layout.prepare()?;
        let lock = match lock::acquire(&layout.lock())? {
            Ok(lock) => lock,
            Err(holder) => anyhow::bail!("process {} has {}", holder.pid, layout.data.display()),
        };
        let (facts, is_new) = facts(layout, settings.api_port)?;
        match Self::assemble(layout, &facts, settings, progress).await {
            Ok((cancel, tasks)) => Ok(Self { cancel, tasks, _lock: lock }),
            Err(error) => {
                // A first start that fails leaves nothing; a later one leaves its containers alone.
                if is_new && let Err(left) = super::stop::tear_down(layout, Duration::ZERO).await {
                    tracing::warn!(error = %left, "cleaning up after the failed start failed");
                }
                Err(error)
            }
        }
    }

    async fn assemble(
        layout: &Layout,
        facts: &Facts,
        settings: &Settings,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<(CancellationToken, JoinSet<()>)> {
        preflight::port_is_free(facts.api_port)?;
        let credentials = Credentials::open(layout, facts, Timestamp::now())?;
        progress("starting the API server");
        let gateway = IpAddr::from(facts.node_address());
        runtime::net::ensure_bridge(&facts.bridge(), gateway, facts.pod_network.prefix, POD_MTU)
            .context("make the pod bridge")?;
        let services = facts.service_network;
        runtime::net::route_to_bridge(&facts.bridge(), services.address.into(), services.prefix)
            .context("route service addresses")?;
        let (cancel, mut tasks) = (CancellationToken::new(), JoinSet::new());
        // A start that fails half way ends what it began.
        let guard = cancel.clone().drop_guard();
        let server = start_api(layout, facts, settings, &credentials, &cancel, &mut tasks).await?;
        write_kubeconfig(layout, facts, &credentials)?;
        progress("starting the node");
        start_node(layout, facts, &credentials, &server, &cancel, &mut tasks).await?;
        start_control(facts, &credentials, &server, &cancel, &mut tasks);
        guard.disarm();
        Ok((cancel, tasks))
    }

    /// Ends the control plane and the kubelet; containers go on.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
            tracing::warn!("a part of the cluster did not end in time");
        }
    }
}

/// The facts of an earlier start, or new ones; true when they are new.
fn facts(layout: &Layout, api_port: Option<u16>) -> Result<(Facts, bool)> {
    let path = layout.facts();
    let known = Facts::load(&path)?;
    let facts = match known.clone() {
        Some(mut facts) => {
            facts.api_port = api_port.unwrap_or(facts.api_port);
            facts
        }
        None => {
            let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
            let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let id = format!("{:06x}", random() & 0xff_ffff);
            Facts::choose(id, node_name(&hostname), api_port.unwrap_or(DEFAULT_PORT), &parse_routes(&routes))?
        }
    };
    if known.as_ref() != Some(&facts) {
        facts.save(&path)?;
    }
    Ok((facts, known.is_none()))
}

/// A host name as a Node may be called (DNS-1123 subdomain).
fn node_name(hostname: &str) -> String {
    let lower = hostname.trim().to_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = lower.chars().map(allowed).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    if name.is_empty() { "setpoint".to_owned() } else { name }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // Cannot fail for so few bytes once the system is up; then a constant is as good as a crash.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u64::from_ne_bytes(bytes)
}

async fn start_api(
    layout: &Layout,
    facts: &Facts,
    settings: &Settings,
    credentials: &Credentials,
    cancel: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<Arc<ApiServer>> {
    let store = store::Embedded::open(&layout.store(), store::Options::default())?;
    let tokens = Arc::new(ServiceAccountTokens::new(&credentials.token_key, ISSUER).context("use the token key")?);
    let authority = credentials.authority.certificate();
    let mut config = apiserver::Config::new(Arc::new(store), Arc::new(Timestamp::now), Arc::new(random));
    config.enforce_rbac();
    config.token_issuer = tokens.clone();
    config.node_proxy = Arc::new(KubeletClient::new(pki::client_config(&credentials.kubelet_client, authority)?));
    let Network { address, prefix } = facts.service_network;
    config.service_cidr = apiserver::config::Cidr { address, prefix };
    config.compaction_interval = settings.compaction_interval.unwrap_or(config.compaction_interval);
    config.advertise = SocketAddr::from((facts.node_address(), facts.api_port));
    let server = Arc::new(ApiServer::new(config));

    let protocols = ["h2", "http/1.1"];
    let tls = pki::server_config(&credentials.api_server, authority, ClientCertificate::Optional, &protocols)?;
    let front = Arc::new(Front { server: server.clone(), tokens, tls: Arc::new(tls) });
    // Loopback for people on this machine, the bridge for pods: nothing is open to other machines.
    for address in [IpAddr::from([127, 0, 0, 1]), facts.node_address().into()] {
        let listener = TcpListener::bind((address, facts.api_port))
            .await
            .with_context(|| format!("listen on {address}:{}", facts.api_port))?;
        tasks.spawn(serve(front.clone(), listener, cancel.clone()));
    }
    let (background, token) = (server.clone(), cancel.clone());
    tasks.spawn(async move { background.run_background(token).await });
    Ok(server)
}

fn write_kubeconfig(layout: &Layout, facts: &Facts, credentials: &Credentials) -> Result<()> {
    let server = format!("https://127.0.0.1:{}", facts.api_port);
    let admin = &credentials.admin;
    let config = kubeconfig::render(&server, credentials.authority.certificate(), &admin.certificate, &admin.key);
    kubeconfig::write(&layout.kubeconfig(), &config)
}

/// Where the runtime of the cluster's node keeps its things.
pub fn runtime_config(layout: &Layout, facts: &Facts) -> runtime::Config {
    runtime::Config {
        state_dir: layout.node().join("runtime"),
        images_dir: layout.images(),
        socket: facts.run_directory().join("launcher.sock"),
        cgroup_root: facts.cgroup(),
        launcher: runtime::Config::own_launcher(),
    }
}

/// A client of the API in this process, as a user. `component` is the name that it has in managedFields.
fn client(server: &Arc<ApiServer>, user: UserInfo, component: &'static str) -> kube::Client {
    let server = server.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (server, user) = (server.clone(), user.clone());
        async move {
            let mut request = request.map(apiserver::body::wrap);
            request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(component));
            Ok::<_, std::convert::Infallible>(server.handle(user, request).await)
        }
    });
    kube::Client::new(service, "default")
}

async fn start_node(
    layout: &Layout,
    facts: &Facts,
    credentials: &Credentials,
    server: &Arc<ApiServer>,
    cancel: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<()> {
    let (runtime, events) =
        runtime::Runtime::connect(runtime_config(layout, facts)).await.context("start the launcher")?;
    let images = runtime.images().clone();
    tokio::task::spawn_blocking(move || provide_demo_image(&images)).await??;
    let address = IpAddr::from(facts.node_address());
    let network = facts.pod_network;
    let pods = kubelet::config::PodCidr { network: network.address, prefix_len: network.prefix };
    let mut config = kubelet::Config::new(&facts.node_name, address, pods, layout.node());
    config.bridge = facts.bridge();
    config.mtu = POD_MTU;
    config.kubelet_version = KUBERNETES_VERSION.to_owned();
    config.server = Some(kubelet_server(facts, credentials)?);
    let name = format!("system:node:{}", facts.node_name);
    let user = UserInfo::new(&name, &["system:nodes", "system:authenticated"]);
    let kubelet = kubelet::Kubelet::new(config, client(server, user, "kubelet"), Arc::new(runtime), events);
    let cancel = cancel.clone();
    tasks.spawn(async move {
        if let Err(error) = kubelet.run(cancel).await {
            tracing::error!(%error, "the kubelet ended");
        }
    });
    Ok(())
}

fn provide_demo_image(images: &runtime::images::ImageStore) -> Result<()> {
    let executable = std::env::current_exe().context("find this program's file")?;
    let config = runtime::images::ImageConfig {
        entrypoint: vec!["/setpoint".to_owned(), "demo".to_owned()],
        ..runtime::images::ImageConfig::default()
    };
    images.provide(DEMO_IMAGE, &executable, "setpoint", config).context("make the demo image")?;
    Ok(())
}

/// On the usual port when it is free, else on any: the Node object says which.
fn kubelet_server(facts: &Facts, credentials: &Credentials) -> Result<kubelet::config::Server> {
    let address = facts.node_address();
    let listener = std::net::TcpListener::bind((address, KUBELET_PORT))
        .or_else(|_| std::net::TcpListener::bind((address, 0)))
        .with_context(|| format!("listen on {address} for the kubelet"))?;
    listener.set_nonblocking(true)?;
    let authority = credentials.authority.certificate();
    let tls = pki::server_config(&credentials.kubelet, authority, ClientCertificate::Required, &["http/1.1"])?;
    let authorize = kubelet::config::default_authorize();
    Ok(kubelet::config::Server { listener: Arc::new(listener), tls: Arc::new(tls), authorize })
}

fn start_control(
    facts: &Facts,
    credentials: &Credentials,
    server: &Arc<ApiServer>,
    cancel: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let component = |name: &'static str| {
        let user = UserInfo::new(&format!("system:{name}"), &["system:authenticated"]);
        client(server, user, name)
    };
    let manager = reconcile::Manager::new(component("kube-controller-manager"), cancel.clone());
    let root_ca = credentials.authority.certificate().to_owned();
    controllers::start(&manager, controllers::Config { root_ca, ..controllers::Config::default() });
    tasks.spawn(async move { manager.run().await });

    let scheduler = scheduler::Config { seed: random(), ..scheduler::Config::default() };
    tasks.spawn(scheduler::run(component("kube-scheduler"), scheduler, cancel.clone()));

    let config = network::Config {
        node: network::Node { name: facts.node_name.clone() },
        pods: network::nft::PodNetwork {
            cluster: (facts.pod_network.address, facts.pod_network.prefix),
            bridge: facts.bridge(),
        },
        table: facts.table(),
    };
    let node = format!("system:node:{}", facts.node_name);
    let user = UserInfo::new(&node, &["system:nodes", "system:authenticated"]);
    let informers = Informers::new(client(server, user, "kube-proxy"), cancel.clone());
    let cancel = cancel.clone();
    tasks.spawn(async move {
        if let Err(error) = network::run(&informers, config, cancel).await {
            tracing::error!(%error, "services do not work: failed to write their rules");
        }
    });
}
