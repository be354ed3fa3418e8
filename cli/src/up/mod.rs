//! A whole cluster on this machine: `up`, `down`, and the kubeconfig between them.

mod cluster;
mod fleet;
mod layout;
mod stop;
mod wait;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::control::audit::AuditFlags;
use crate::control::backend::EtcdFlags;
use crate::control::features::FeatureFlags;
use crate::output::{self, Progress};
use crate::session::{DEFAULT_DATA_DIR, Session};
use crate::{daemon, kubeconfig, lock, preflight, signals, yaml};
use cluster::{Cluster, Setting, Settings};
use layout::Facts;
pub use layout::Layout;
pub use stop::{DEFAULT_GRACE, Down};
use wait::Awaited;

const DEFAULT_PORT: u16 = 6443;

#[derive(Debug, clap::Args)]
pub struct Up {
    /// Manifests to apply and wait for: files, folders, or - for standard input
    #[arg(short = 'f', long = "filename")]
    files: Vec<PathBuf>,
    /// Where the cluster keeps everything
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
    /// Port of the API server [default: 6443, or the one of the last start]
    #[arg(long)]
    api_port: Option<u16>,
    /// Return when the cluster and what -f asked for are Ready, and leave it running
    #[arg(short, long)]
    detach: bool,
    /// Nodes on this machine, each further one in a network namespace [default: 1, or as many as at the last start]
    #[arg(long)]
    nodes: Option<u32>,
    /// Wrap pods' packets between nodes (VXLAN) also where nodes share a link
    #[arg(long)]
    vxlan: bool,
    /// Address of this machine at which other machines may reach the API and the node, so that they can join
    #[arg(long, value_name = "IP")]
    advertise_address: Option<std::net::Ipv4Addr>,
    /// Make directories below /tmp/hostpath_pv for claims of the provisioner kubernetes.io/host-path [default: no, or as at the last start]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    enable_hostpath_provisioner: Option<bool>,
    /// Who logs in by tokens of other issuers (an AuthenticationConfiguration, YAML); read again when it changes
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// Nobody logs in by tokens of other issuers any more
    #[arg(long, conflicts_with = "authentication_config")]
    no_authentication_config: bool,
    #[command(flatten)]
    etcd: EtcdFlags,
    #[command(flatten)]
    audit: AuditFlags,
    /// There is no audit log any more
    #[arg(long, conflicts_with = "audit_log_path")]
    no_audit_log: bool,
    #[command(flatten)]
    features: FeatureFlags,
    /// How often history is compacted [default: 5m]
    #[arg(long, hide = true, env = "SETPOINT_COMPACTION_INTERVAL", value_parser = interval)]
    compaction_interval: Option<Duration>,
    /// How long a node may be silent before its state counts as unknown [default: 50s]
    #[arg(long, hide = true, env = "SETPOINT_NODE_MONITOR_GRACE_PERIOD", value_parser = interval)]
    node_monitor_grace_period: Option<Duration>,
    /// Pipe on which a daemon tells its parent how it went
    #[arg(long, hide = true)]
    ready_fd: Option<i32>,
}

impl Up {
    fn settings(&self) -> Result<Settings> {
        Ok(Settings {
            api_port: self.api_port,
            compaction_interval: self.compaction_interval,
            node_grace_period: self.node_monitor_grace_period,
            nodes: self.nodes,
            always_tunnel: self.vxlan,
            advertise: self.advertise_address,
            host_paths: self.enable_hostpath_provisioner,
            etcd: self.etcd.clone().named()?,
            audit: Setting::new(self.audit.clone().named()?, self.no_audit_log),
            authentication: Setting::new(self.authentication_file()?, self.no_authentication_config),
            features: self.features.open()?,
        })
    }

    fn authentication_file(&self) -> Result<Option<PathBuf>> {
        let absolute = self.authentication_config.as_ref().map(std::path::absolute);
        absolute.transpose().context("find the authentication configuration")
    }

    /// What a daemon is started with: everything that this process does not do itself.
    fn daemon_arguments(&self, layout: &Layout) -> Result<Vec<OsString>> {
        let mut arguments: Vec<OsString> = vec!["up".into(), "--data-dir".into(), layout.data.clone().into()];
        let mut add = |flag: &str, value: Option<String>| {
            arguments.extend(value.map(|value| [flag.into(), value.into()]).into_iter().flatten());
        };
        add("--api-port", self.api_port.map(|port| port.to_string()));
        add("--compaction-interval", self.compaction_interval.map(|interval| format!("{}ns", interval.as_nanos())));
        let grace = self.node_monitor_grace_period;
        add("--node-monitor-grace-period", grace.map(|grace| format!("{}ns", grace.as_nanos())));
        add("--nodes", self.nodes.map(|nodes| nodes.to_string()));
        add("--advertise-address", self.advertise_address.map(|address| address.to_string()));
        if let Some(path) = self.authentication_file()? {
            arguments.extend(["--authentication-config".into(), path.into()]);
        }
        if let Some(enabled) = self.enable_hostpath_provisioner {
            arguments.push(format!("--enable-hostpath-provisioner={enabled}").into());
        }
        let switches = [
            ("--vxlan", self.vxlan),
            ("--no-authentication-config", self.no_authentication_config),
            ("--no-audit-log", self.no_audit_log),
        ];
        arguments.extend(switches.into_iter().filter(|(_, on)| *on).map(|(switch, _)| switch.into()));
        arguments.extend(self.etcd.clone().named()?.iter().flat_map(EtcdFlags::arguments));
        arguments.extend(self.audit.clone().named()?.iter().flat_map(AuditFlags::arguments));
        arguments.extend(self.features.arguments());
        Ok(arguments)
    }

    /// `kubeconfig` is the file that gets the context; `None`: the user's.
    pub async fn run(self, kubeconfig: Option<PathBuf>) -> Result<ExitCode> {
        match self.ready_fd {
            Some(fd) => self.run_daemon(daemon::Parent::from_fd(fd)?).await,
            None => self.run_for_person(kubeconfig).await,
        }
    }

    async fn run_daemon(self, parent: daemon::Parent) -> Result<ExitCode> {
        let layout = Layout::new(&self.data_dir)?;
        let cluster = match Cluster::start(&layout, &self.settings()?, &|_| {}).await {
            Ok(cluster) => cluster,
            Err(error) => {
                parent.failed(&error);
                return Err(error);
            }
        };
        parent.ready();
        // Containers go on when the daemon ends: only `down` stops them.
        signals::ending().await?;
        cluster.stop().await;
        Ok(ExitCode::SUCCESS)
    }

    async fn run_for_person(self, kubeconfig: Option<PathBuf>) -> Result<ExitCode> {
        preflight::check()?;
        let layout = Layout::new(&self.data_dir)?;
        if let Some(holder) = lock::settled_holder(&layout.lock())? {
            bail!(
                "a cluster is already running on {} (process {}): use it with --kubeconfig {}, or stop it with `setpoint down`",
                layout.data.display(),
                holder.pid,
                layout.kubeconfig().display()
            );
        }
        let progress = Progress::start();
        let cluster = if self.detach {
            layout.prepare()?;
            progress.step("starting the cluster");
            daemon::spawn(self.daemon_arguments(&layout)?, &layout.log())?;
            None
        } else {
            Some(Cluster::start(&layout, &self.settings()?, &|step| progress.step(step)).await?)
        };
        let outcome = self.greet(&layout, kubeconfig, &progress).await;
        progress.finish();
        let Some(cluster) = cluster else { return outcome.map(|()| ExitCode::SUCCESS) };
        if let Err(error) = &outcome {
            output::note(format_args!("{}", crate::words(error)));
        }
        let interrupted = signals::ending().await?;
        cluster.stop().await;
        if interrupted {
            output::note(format_args!("stopping the cluster; its data stays in {}", layout.data.display()));
            stop::tear_down(&layout, stop::DEFAULT_GRACE).await?;
        }
        outcome.map(|()| ExitCode::SUCCESS)
    }

    /// Merges the kubeconfig, applies what was asked for, waits, and says how to go on.
    async fn greet(&self, layout: &Layout, kubeconfig: Option<PathBuf>, progress: &Progress) -> Result<()> {
        let text = std::fs::read_to_string(layout.kubeconfig()).context("read the cluster's kubeconfig")?;
        let own = yaml::documents(&text)?.into_iter().next().context("the cluster's kubeconfig is empty")?;
        let merged = match kubeconfig {
            Some(path) => kubeconfig::merge_into(&path, &own).map(|()| Some(path))?,
            None => kubeconfig::users_file().and_then(|path| match kubeconfig::merge_into(&path, &own) {
                Ok(()) => Some(path),
                Err(error) => {
                    progress.done(&format!("Warning: the context was not added to your kubeconfig: {error:#}"));
                    None
                }
            }),
        };
        let connection = crate::session::Connection { kubeconfig: Some(layout.kubeconfig()), ..Default::default() };
        let session = Session::open(&connection).await?;
        wait_for_nodes(layout, &session, progress).await?;
        let mut applied = Vec::new();
        if !self.files.is_empty() {
            applied = crate::verbs::apply_files(&session, &self.files, &|line| progress.done(line)).await?;
            wait::ready(&session, &applied, progress).await?;
        }
        let addresses = wait::addresses(&session, &applied).await?;
        progress.finish();
        let server = own.pointer("/clusters/0/cluster/server").and_then(|server| server.as_str()).unwrap_or_default();
        output::line(format_args!("API server:  {server}"));
        let file = merged.as_ref().unwrap_or(&layout.kubeconfig()).display().to_string();
        output::line(format_args!("Kubeconfig:  {file} (context {})", kubeconfig::CONTEXT));
        for (name, address) in &addresses {
            output::line(format_args!("{:<12} {address}", format!("{name}:")));
        }
        let next = match addresses.first() {
            Some((_, address)) if address.starts_with("http") => format!("curl {address}"),
            _ => "setpoint get pods -A".to_owned(),
        };
        output::line(format_args!("Next:        {next}"));
        Ok(())
    }
}

/// The nodes of this machine.
async fn wait_for_nodes(layout: &Layout, session: &Session, progress: &Progress) -> Result<()> {
    let facts = Facts::load(&layout.facts())?.context("the cluster was removed while it started")?;
    let further = fleet::begun(layout, &facts)?;
    let first = Awaited { name: facts.node_name, log: layout.log(), begun: None };
    let nodes: Vec<Awaited> = std::iter::once(first).chain(further).collect();
    progress.step(if nodes.len() == 1 { "waiting for the node" } else { "waiting for the nodes" });
    wait::nodes_ready(session, &nodes, progress).await?;
    progress.done(&match nodes.len() {
        1 => "the node is Ready".to_owned(),
        count => format!("{count} nodes are Ready"),
    });
    Ok(())
}

/// A Go duration that lets something happen in between.
pub fn interval(text: &str) -> Result<Duration> {
    let duration = api::time::parse_duration(text).ok().and_then(|duration| Duration::try_from(duration).ok());
    duration.filter(|duration| !duration.is_zero()).with_context(|| format!("{text:?} is not a duration such as 90s"))
}

#[derive(Debug, clap::Args)]
pub struct PrintKubeconfig {
    /// Where the cluster keeps everything
    #[arg(long, default_value = DEFAULT_DATA_DIR)]
    data_dir: PathBuf,
}

impl PrintKubeconfig {
    pub fn run(self) -> Result<()> {
        let path = Layout::new(&self.data_dir)?.kubeconfig();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("there is no cluster in {} (no {})", self.data_dir.display(), path.display()))?;
        output::line(format_args!("{}", text.trim_end()));
        Ok(())
    }
}
