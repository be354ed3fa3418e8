//! The further nodes of `up --nodes N`: each a network namespace, linked to a bridge of this one, with a `setpoint node` process
//! in it. The first node is this machine itself.
//!
//! A node's process is started again when it ends; its containers do not notice, they belong to its launcher.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use runtime::net::between;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::layout::{Facts, Layout};
use super::wait::Awaited;
use crate::addresses::Network;
use crate::control::Credentials;
use crate::lock;
use crate::node::POD_MTU;
use crate::node::record::{Folder, Keys, Record};
use crate::parts::Parts;

/// Before a node's process that ended is started again; doubled each time that it ends early.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A process that ran for so long has not failed at its start.
const STEADY: Duration = Duration::from_secs(30);
/// For a node's process to end by itself.
const END: Duration = Duration::from_secs(4);

/// One further node.
#[derive(Clone, Debug)]
struct Member {
    folder: Folder,
    record: Record,
}

impl Member {
    fn namespace(&self) -> PathBuf {
        self.record.place(&self.folder).namespace()
    }
}

fn members(layout: &Layout, facts: &Facts) -> Vec<Member> {
    let Some(link) = facts.link else { return Vec::new() };
    let member = |number: u32| {
        let name = format!("{}-{number}", facts.node_name);
        Member {
            folder: Folder(layout.data.join("nodes").join(&name)),
            record: Record {
                name,
                id: facts.id.clone(),
                unit: format!("{}-{number}", facts.id),
                address: link.nth(number),
                cluster_pods: facts.pod_network,
                services: facts.service_network,
                always_tunnel: facts.always_tunnel,
            },
        }
    };
    (2..=facts.nodes).map(member).collect()
}

/// The further nodes as they were last started.
pub fn begun(layout: &Layout, facts: &Facts) -> Result<Vec<Awaited>> {
    let awaited = |member: Member| {
        let (begun, log) = (member.folder.saved()?, member.folder.log());
        Ok(Awaited { name: member.record.name, log, begun: Some(begun) })
    };
    members(layout, facts).into_iter().map(awaited).collect()
}

/// The bridge between the nodes: before whoever listens on its address.
pub fn prepare(facts: &Facts) -> Result<()> {
    let Some(link) = facts.link else { return Ok(()) };
    runtime::net::ensure_bridge(&facts.link_bridge(), link.nth(1).into(), link.prefix, POD_MTU)
        .context("make the bridge between the nodes")
}

/// Starts the nodes' processes and keeps them running. The API is served.
pub async fn start(layout: &Layout, facts: &Facts, credentials: &Credentials, parts: &mut Parts) -> Result<()> {
    let Some(link) = facts.link else { return Ok(()) };
    for member in members(layout, facts) {
        // Of an `up` that was killed: it has the certificates of then.
        lock::end_holder(&member.folder.lock()).await?;
        let record = &member.record;
        let identity = credentials.node(&record.name, record.address.into(), Timestamp::now())?;
        let authority = credentials.authority.certificate().to_owned();
        let keys = Keys { authority, client: identity.clone(), serving: identity };
        member.folder.save(record, &format!("https://{}:{}", link.nth(1), facts.api_port), &keys)?;
        make_namespace(&member, facts, link)?;
        let first = spawn(&member, &["run", "--supervised"])?;
        let cancel = parts.cancel.clone();
        parts.spawn(supervise(member, first, cancel));
    }
    Ok(())
}

fn make_namespace(member: &Member, facts: &Facts, link: Network) -> Result<()> {
    let path = member.namespace();
    between::ensure_namespace(&path)?;
    let network = runtime::spec::SandboxNetwork {
        bridge: facts.link_bridge(),
        address: IpAddr::from(member.record.address),
        prefix_len: link.prefix,
        gateway: link.nth(1).into(),
        mtu: POD_MTU,
    };
    between::connect_namespace(&path, &member.record.unit, &network)?;
    Ok(())
}

/// `setpoint node ARGUMENTS` inside the node's network namespace, out of reach of the terminal's ^C.
fn spawn(member: &Member, arguments: &[&str]) -> Result<Child> {
    let namespace = between::open_namespace(&member.namespace()).context("open the node's network namespace")?;
    let path = member.folder.log();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("open {}", path.display()))?;
    let mut command = Command::new(std::env::current_exe().context("find this program's file")?);
    command.arg("node").args(arguments).args([OsString::from("--data-dir"), member.folder.0.clone().into()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // SAFETY: only system calls between fork and exec, on a descriptor that the closure keeps open.
    unsafe {
        command.pre_exec(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            rustix::process::setsid().map(drop).map_err(io::Error::from)
        });
    }
    command.spawn().context("start a node's process")
}

async fn supervise(member: Member, first: Child, cancel: CancellationToken) {
    let (name, mut child, mut pause) = (&member.record.name, Some(first), PAUSE);
    loop {
        let begun = tokio::time::Instant::now();
        match &mut child {
            Some(running) => tokio::select! {
                status = running.wait() => report(name, &status),
                () = cancel.cancelled() => return end(running).await,
            },
            None => tracing::error!(node = %name, "a node's process was not started, trying again"),
        }
        pause = if begun.elapsed() > STEADY { PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = cancel.cancelled() => return,
        }
        child = spawn(&member, &["run", "--supervised"]).ok();
    }
}

fn report(node: &str, status: &io::Result<ExitStatus>) {
    match status {
        Ok(status) => tracing::warn!(%node, %status, "a node's process ended, starting it again"),
        Err(error) => tracing::warn!(%node, %error, "a node's process was lost, starting it again"),
    }
}

async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
        // It may have ended by itself.
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(END, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}

/// Nothing of the further nodes is left but their data. Their processes may still run.
pub async fn tear_down(layout: &Layout, facts: &Facts, grace: Duration) -> Result<()> {
    let members: Vec<Member> = members(layout, facts).into_iter().filter(|member| member.folder.0.exists()).collect();
    futures::future::try_join_all(members.iter().map(|member| clean(member, grace))).await?;
    if facts.link.is_some() {
        runtime::net::remove_bridge(&facts.link_bridge()).context("remove the bridge between the nodes")?;
    }
    Ok(())
}

async fn clean(member: &Member, grace: Duration) -> Result<()> {
    let name = &member.record.name;
    // It may be gone, with what was in it; what is left on the disk and in cgroups is found from a new one as well.
    between::ensure_namespace(&member.namespace())?;
    let grace = grace.as_secs_f64().to_string();
    let status = spawn(member, &["clean", "--grace", &grace])?.wait().await.context("stop a node")?;
    if !status.success() {
        bail!("stopping node {name} failed with {status}: see {}", member.folder.log().display());
    }
    between::remove_namespace(&member.namespace())?;
    match std::fs::remove_dir_all(&member.record.place(&member.folder).run) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("remove a node's run directory"),
        _ => Ok(()),
    }
}
