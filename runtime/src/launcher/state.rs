//! Everything the launcher knows, and its loop.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chores::Chores;
use super::clients::ReplyTo;
use super::containers::Container;
use super::execs::Exec;
use super::options::Options;
use super::poller::{Poller, Token};
use super::records::Records;
use super::sandboxes::Sandbox;
use super::shutdown::Ending;
use crate::cgroup::Cgroups;
use crate::container::capabilities;
use crate::descriptor::Descriptor;
use crate::seccomp;
use crate::spec::{ContainerState, Exit};
use crate::sys;
use crate::wire::Channel;

/// While shutting down: the kernel does not say when a link is gone.
const END_POLL: Duration = Duration::from_millis(10);

/// What a registered descriptor is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    Listener,
    Signals,
    Client,
    /// A child that has not executed yet reports.
    Report(Owner),
    /// An output of a container, by its place.
    Output(String, usize),
}

/// Whose a child process is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Owner {
    /// Makes a sandbox' namespaces.
    Sandbox(String),
    /// The first process of a sandbox' process namespace.
    Reaper(String),
    Container(String),
    Exec(u64),
    /// Deletes what is in the trash.
    Deleter,
    /// Its end says nothing.
    Nobody,
}

/// All of it goes to the program that takes over: see [`super::handover`].
#[derive(Debug, Serialize, Deserialize)]
pub struct Launcher {
    pub options: Options,
    pub cgroups: Cgroups,
    pub listener: Descriptor,
    pub signals: Descriptor,
    /// Of the state directory.
    pub lock: Descriptor<File>,
    pub poller: Poller,
    pub sources: BTreeMap<Token, Source>,
    pub clients: BTreeMap<Token, Channel<Descriptor>>,
    pub sandboxes: BTreeMap<String, Sandbox>,
    pub containers: BTreeMap<String, Container>,
    pub execs: BTreeMap<u64, Exec>,
    pub next_exec: u64,
    /// Who waits until these containers are started.
    pub settling: Vec<(ReplyTo, Vec<String>)>,
    pub children: BTreeMap<i32, Owner>,
    #[serde(skip)]
    pub filters: seccomp::Cache,
    pub records: Records,
    pub chores: Chores,
    pub ending: Option<Ending>,
    pub own: Own,
}

/// What the launcher has and children get a part of.
#[derive(Debug, Serialize, Deserialize)]
pub struct Own {
    pub capabilities: u64,
    pub process_namespace: Descriptor,
    /// Soft limit of open files for containers.
    pub open_files: Option<u64>,
}

impl Launcher {
    pub fn new(
        options: Options,
        cgroups: Cgroups,
        listener: OwnedFd,
        lock: File,
        open_files: Option<u64>,
    ) -> io::Result<Self> {
        let own = Own {
            capabilities: capabilities::permitted()?,
            process_namespace: OwnedFd::from(File::open("/proc/self/ns/pid")?).into(),
            open_files,
        };
        let records = Records::open(&options.state_dir)?;
        Ok(Self {
            options,
            cgroups,
            listener: listener.into(),
            signals: sys::signal_descriptor(&[libc::SIGCHLD])?.into(),
            lock: lock.into(),
            poller: Poller::new()?,
            sources: BTreeMap::new(),
            clients: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            next_exec: 1,
            settling: Vec::new(),
            children: BTreeMap::new(),
            filters: seccomp::Cache::default(),
            records,
            chores: Chores::default(),
            ending: None,
            own,
        })
    }

    /// Takes over what an earlier launcher left: its containers are dead, how they ended is not known; its namespaces went with it.
    pub fn recover(&mut self) -> io::Result<()> {
        let (sandboxes, containers) = self.records.load()?;
        for mut status in sandboxes {
            status.ready = false;
            self.chores.remove_group(status.spec.cgroup.clone());
            self.sandboxes.insert(status.spec.id.clone(), Sandbox::lost(status));
        }
        for mut status in containers {
            let started_at_ns = match status.state {
                ContainerState::Exited(_) => None,
                ContainerState::Created => Some(0),
                ContainerState::Running { started_at_ns, .. } => Some(started_at_ns),
            };
            if let Some(started_at_ns) = started_at_ns {
                status.state = ContainerState::Exited(lost(started_at_ns));
                self.records.write_container(&status)?;
            }
            self.containers.insert(status.id.clone(), Container::ended(status));
        }
        self.chores.trash = true;
        Ok(())
    }

    pub fn listen(&mut self) -> io::Result<()> {
        let listener = self.poller.add(&self.listener)?;
        self.sources.insert(listener, Source::Listener);
        let signals = self.poller.add(&self.signals)?;
        self.sources.insert(signals, Source::Signals);
        Ok(())
    }

    /// Until the end is asked for and everything is gone.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            let mut again = self.do_chores();
            if self.ending.is_some() {
                if self.finish() {
                    return Ok(());
                }
                again = Some(END_POLL);
            }
            for token in self.poller.wait(again)? {
                // Handling one event may have ended the source of the next.
                match self.sources.get(&token).cloned() {
                    Some(Source::Listener) => self.accept()?,
                    Some(Source::Signals) => self.reap()?,
                    Some(Source::Client) => self.serve_client(token),
                    Some(Source::Report(owner)) => self.read_report(owner),
                    Some(Source::Output(container, place)) => self.pump(&container, place),
                    None => {}
                }
            }
        }
    }
}

fn lost(started_at_ns: i64) -> Exit {
    Exit {
        code: 255,
        signal: None,
        oom_killed: false,
        started_at_ns,
        finished_at_ns: super::now(),
        start_error: Some("the launcher of the node ended before the container did".into()),
    }
}
