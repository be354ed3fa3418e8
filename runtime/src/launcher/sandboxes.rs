//! Sandboxes: held namespaces, a group, and sometimes a reaper.
//!
//! ```text
//! creating ──namespaces arrive──> ready ──remove──> removing ──processes gone──> (gone)
//!    └──child failed──> (gone)       └──reaper died, launcher was restarted──> not ready
//! ```

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::mount::{MountAttrFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use super::clients::ReplyTo;
use super::poller::Token;
use super::processes::spawn;
use super::requests::{check_id, not_found};
use super::state::{Launcher, Owner, Source};
use super::{now, report};
use crate::cgroup::{self, Devices, Kind};
use crate::container::{self, Report, StartError};
use crate::descriptor::Descriptor;
use crate::net;
use crate::protocol::Failure;
use crate::spec::{Resources, SandboxSpec, SandboxStatus};
use crate::sys::{self, Child};
use crate::wire::Channel;

#[derive(Debug, Serialize, Deserialize)]
pub struct Sandbox {
    pub status: SandboxStatus,
    /// With their kinds for setns.
    pub namespaces: Vec<(Descriptor, libc::c_int)>,
    shm: Option<Shm>,
    pub reaper: Option<Reaper>,
    creating: Option<Creating>,
    /// Who waits for its end.
    pub removing: Option<Vec<ReplyTo>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Creating {
    channel: Channel<Descriptor>,
    token: Token,
    to: ReplyTo,
}

/// The first process of a shared process namespace.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reaper {
    child: Child,
    pub namespace: Descriptor,
}

/// A tmpfs for /dev/shm, mounted in no namespace.
#[derive(Debug, Serialize, Deserialize)]
struct Shm {
    mount: Descriptor,
    /// Where it is mounted after all: before Linux 6.15 a detached mount cannot be cloned.
    path: Option<PathBuf>,
}

impl Sandbox {
    /// One whose namespaces are gone; it waits to be removed.
    pub fn lost(status: SandboxStatus) -> Self {
        Self { status, namespaces: Vec::new(), shm: None, reaper: None, creating: None, removing: None }
    }

    pub fn network_namespace(&self) -> Option<&OwnedFd> {
        self.namespaces.iter().find(|(_, kind)| *kind == libc::CLONE_NEWNET).map(|(fd, _)| &**fd)
    }

    /// A mount of the shared memory for one container.
    pub fn clone_shm(&self) -> io::Result<OwnedFd> {
        match &self.shm {
            Some(shm) => container::clone_fd(&shm.mount),
            None => container::clone_path("/dev/shm".as_ref()),
        }
    }
}

impl Shm {
    fn create(path: PathBuf) -> io::Result<Self> {
        let attributes = container::INERT | MountAttrFlags::empty();
        let mount = container::create_mount("tmpfs", &[("mode", "1777"), ("size", "65536k")], attributes)?;
        if container::clone_fd(&mount).is_ok() {
            return Ok(Self { mount: mount.into(), path: None });
        }
        std::fs::create_dir_all(&path)?;
        container::attach(&mount, OwnedFd::from(File::open(&path)?))?;
        Ok(Self { mount: mount.into(), path: Some(path) })
    }

    fn remove(self) -> io::Result<()> {
        let Some(path) = self.path else { return Ok(()) };
        drop(self.mount);
        rustix::mount::unmount(&path, UnmountFlags::DETACH)?;
        std::fs::remove_dir(path)
    }
}

fn other(what: &str, error: impl std::fmt::Display) -> Failure {
    Failure::Other(format!("{what}: {error}"))
}

impl Launcher {
    pub fn create_sandbox(&mut self, spec: SandboxSpec, to: ReplyTo) -> Result<(), Failure> {
        let id = spec.id.clone();
        check_id(&id)?;
        if !cgroup::is_valid_path(&spec.cgroup) {
            return Err(Failure::Other(format!("use {:?} as a cgroup: it is not a plain relative path", spec.cgroup)));
        }
        if self.sandboxes.contains_key(&id) {
            return Err(Failure::Exists { what: "sandbox".into(), id });
        }
        if self.ending.is_some() {
            return Err(Failure::Other("make a sandbox: the runtime is shutting down".into()));
        }
        let status = SandboxStatus { spec, created_at_ns: now(), ready: false };
        let begun = self.begin_sandbox(status, to);
        if begun.is_err() {
            self.forget_sandbox(&id);
        }
        begun
    }

    fn begin_sandbox(&mut self, status: SandboxStatus, to: ReplyTo) -> Result<(), Failure> {
        let id = status.spec.id.clone();
        let spec = status.spec.clone();
        self.sandboxes.insert(id.clone(), Sandbox::lost(status));
        self.chores
            .make_way(&self.cgroups, &spec.cgroup)
            .and_then(|()| self.cgroups.create(&spec.cgroup, &spec.resources, Kind::Parent))
            .map_err(|error| other("make the cgroup of the sandbox", error))?;
        let (child, channel) = spawn(0, None, |mut reporter| {
            if let Err(error) = container::sandbox::run(&spec, &mut reporter) {
                container::fail(&mut reporter, error);
            }
        })
        .map_err(|error| other("clone a child", error))?;
        self.children.insert(child.pid, Owner::Sandbox(id.clone()));
        let token = self.poller.add(channel.socket()).map_err(|error| other("watch a child", error))?;
        self.sources.insert(token, Source::Report(Owner::Sandbox(id.clone())));
        if let Some(sandbox) = self.sandboxes.get_mut(&id) {
            sandbox.creating = Some(Creating { channel, token, to });
        }
        Ok(())
    }

    pub fn read_sandbox_report(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return };
        let Some(creating) = &mut sandbox.creating else { return };
        let made = match creating.channel.receive::<Report>() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok((Report::Namespaces, fds)) => Ok(fds),
            Ok((Report::Failed { message, .. }, _)) => Err(message),
            Ok((Report::Ready { .. }, _)) | Err(_) => Err("the child that makes the namespaces was killed".to_owned()),
        };
        let (token, to) = (creating.token, creating.to);
        self.poller.remove(creating.channel.socket());
        sandbox.creating = None;
        self.sources.remove(&token);
        let made = made.map_err(Failure::Other).and_then(|fds| self.complete_sandbox(id, fds));
        match made {
            Ok(()) => {
                self.reply_done([to]);
                self.record_sandbox(id);
            }
            Err(failure) => {
                let waiting = self.sandboxes.get_mut(id).and_then(|sandbox| sandbox.removing.take());
                self.forget_sandbox(id);
                self.reply(to, Err(failure));
                self.reply_done(waiting.into_iter().flatten());
            }
        }
        self.settle_sandbox(id);
    }

    fn record_sandbox(&self, id: &str) {
        let Some(sandbox) = self.sandboxes.get(id) else { return };
        if let Err(error) = self.records.write_sandbox(&sandbox.status) {
            report(&format!("cannot write the record of sandbox {id}: {error}"));
        }
    }

    fn complete_sandbox(&mut self, id: &str, fds: Vec<OwnedFd>) -> Result<(), Failure> {
        let shm_path = self.options.state_dir.join("shm").join(id);
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return Err(not_found("sandbox", id)) };
        let spec = &sandbox.status.spec;
        let kinds = container::sandbox::namespaces(spec);
        sandbox.namespaces = fds.into_iter().zip(kinds).map(|(fd, (kind, _))| (fd.into(), kind)).collect();
        if !spec.host_ipc {
            sandbox.shm = Some(Shm::create(shm_path).map_err(|error| other("make the shared memory", error))?);
        }
        if spec.shared_pid && !spec.host_pid {
            let group = format!("{}/sandbox", spec.cgroup);
            self.start_reaper(id, &group).map_err(|error| other("start the reaper", error))?;
        }
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.status.ready = true;
        }
        Ok(())
    }

    fn start_reaper(&mut self, id: &str, group: &str) -> io::Result<()> {
        self.cgroups.create(group, &Resources::default(), Kind::Leaf(Devices::Default))?;
        let unified = self.cgroups.open_unified(group)?;
        let (child, channel) = spawn(libc::CLONE_NEWPID | libc::CLONE_NEWNS, unified.as_ref(), |mut reporter| {
            if let Err(error) = self.cgroups.join_v1(group) {
                container::fail(&mut reporter, StartError::failed(error.to_string()));
            }
            container::reaper::run()
        })?;
        drop(channel);
        self.children.insert(child.pid, Owner::Reaper(id.to_owned()));
        let namespace = match File::open(format!("/proc/{}/ns/pid", child.pid)) {
            Ok(namespace) => OwnedFd::from(namespace).into(),
            Err(error) => {
                let _ = sys::pidfd_send_signal(&child.pidfd, libc::SIGKILL);
                return Err(error);
            }
        };
        if let Some(sandbox) = self.sandboxes.get_mut(id) {
            sandbox.reaper = Some(Reaper { child, namespace });
        }
        Ok(())
    }

    /// The kernel kills all processes of its namespace with it.
    pub fn reaper_ended(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return };
        sandbox.reaper = None;
        sandbox.status.ready = false;
        self.settle_sandbox(id);
    }

    pub fn remove_sandbox(&mut self, id: &str, to: Option<ReplyTo>) -> Result<(), Failure> {
        let sandbox = self.sandboxes.get_mut(id).ok_or_else(|| not_found("sandbox", id))?;
        sandbox.removing.get_or_insert_default().extend(to);
        sandbox.status.ready = false;
        if let Err(error) = self.cgroups.kill(&sandbox.status.spec.cgroup)
            && error.kind() != io::ErrorKind::NotFound
        {
            report(&format!("cannot kill the group of sandbox {id}: {error}"));
        }
        // Also those that have not joined the group yet.
        if let Some(reaper) = &sandbox.reaper {
            let _ = sys::pidfd_send_signal(&reaper.child.pidfd, libc::SIGKILL);
        }
        for live in self.containers.values().filter(|it| it.status.sandbox == id).filter_map(|it| it.live.as_ref()) {
            let _ = sys::pidfd_send_signal(&live.pidfd, libc::SIGKILL);
        }
        self.settle_sandbox(id);
        Ok(())
    }

    /// Takes a sandbox away that is being removed, when none of its processes is left.
    pub fn settle_sandbox(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.get_mut(id) else { return };
        let running =
            self.containers.values().any(|container| container.status.sandbox == id && container.live.is_some());
        if sandbox.removing.is_none() || sandbox.creating.is_some() || sandbox.reaper.is_some() || running {
            return;
        }
        let waiting = sandbox.removing.take().unwrap_or_default();
        let members: Vec<String> =
            self.containers.values().filter(|it| it.status.sandbox == id).map(|it| it.status.id.clone()).collect();
        for member in members {
            self.finish_remove(&member);
        }
        self.forget_sandbox(id);
        self.reply_done(waiting);
    }

    /// Its namespaces end with their descriptors, and its link with them: the kernel takes its time for that, alone.
    fn forget_sandbox(&mut self, id: &str) {
        let Some(sandbox) = self.sandboxes.remove(id) else { return };
        if sandbox.status.spec.network.is_some() {
            self.chores.link_ends(net::host_link(id));
        }
        if let Some(Err(error)) = sandbox.shm.map(Shm::remove) {
            report(&format!("cannot remove the shared memory of sandbox {id}: {error}"));
        }
        self.chores.remove_group(sandbox.status.spec.cgroup);
        if let Err(error) = self.records.remove_sandbox(id) {
            report(&format!("cannot remove the record of sandbox {id}: {error}"));
        }
    }
}
