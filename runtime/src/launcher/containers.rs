//! Containers.
//!
//! ```text
//! Created ──executed──> Running ──ended──> Exited ──remove──> (gone)
//!    └──────could not be started────────────^
//! ```

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::clients::{Outcome, ReplyTo};
use super::log::LogFile;
use super::output::{Output, Turn, set_nonblocking};
use super::processes::Ending;
use super::requests::{duplicate, not_found};
use super::start::{Ready, Start, Started};
use super::state::{Launcher, Owner};
use super::{now, report};
use crate::container::StartError;
use crate::descriptor::Descriptor;
use crate::protocol::{Answer, Failure, Stream};
use crate::seccomp::Filter;
use crate::spec::{ContainerSpec, ContainerState, ContainerStatus, Exit, ProcessId, RuntimeEvent};
use crate::sys;

#[derive(Debug, Serialize, Deserialize)]
pub struct Container {
    pub status: ContainerStatus,
    /// While its process exists.
    pub live: Option<Live>,
    /// Who waits for it to be removed.
    removing: Option<Vec<ReplyTo>>,
}

/// What a container has while its process exists.
#[derive(Debug, Serialize, Deserialize)]
pub struct Live {
    pub spec: ContainerSpec,
    pub cgroup: String,
    pub pidfd: Descriptor,
    pub process: ProcessId,
    /// Until its command is executed.
    pub start: Option<Start>,
    /// From then on.
    pub ready: Option<Ready>,
    pub outputs: Vec<Output>,
    pub log: LogFile,
    /// An error of the log was reported.
    pub log_failed: bool,
    pub stdin: Option<Descriptor>,
    pub capabilities: u64,
    pub filters: Option<Rc<Filter>>,
    /// Its processes end with the first one.
    pub own_pid_namespace: bool,
    pub started_at_ns: i64,
}

impl Container {
    /// One whose process is gone.
    pub fn ended(status: ContainerStatus) -> Self {
        Self { status, live: None, removing: None }
    }
}

impl Launcher {
    pub fn read_container_report(&mut self, id: &str) {
        let Some(live) = self.containers.get_mut(id).and_then(|container| container.live.as_mut()) else { return };
        let Some(start) = &mut live.start else { return };
        let outcome = start.read();
        let (to, token) = (start.to, start.token);
        if matches!(outcome, Started::NotYet) {
            return;
        }
        start.close(&self.poller);
        live.start = None;
        self.sources.remove(&token);
        match outcome {
            Started::NotYet => {}
            Started::Executed(ready) => self.container_executed(id, ready, to),
            Started::Failed(error) => self.fail_start(id, error, to),
        }
        self.reply_settled();
    }

    fn container_executed(&mut self, id: &str, ready: Ready, to: ReplyTo) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(live) = &mut container.live else { return };
        let process = live.process;
        container.status.state = ContainerState::Running { process, started_at_ns: live.started_at_ns };
        let terminal = ready.terminal.as_ref().map(|master| master.try_clone());
        live.ready = Some(ready);
        match terminal {
            Some(Ok(master)) => {
                if let Err(error) = set_nonblocking(&master) {
                    report(&format!("cannot use the terminal of container {id}: {error}"));
                }
                self.watch_output(id, Output::new(Stream::Terminal, master));
            }
            Some(Err(error)) => report(&format!("cannot use the terminal of container {id}: {error}")),
            None => {}
        }
        self.reply(to, Ok((Answer::Started(process), Vec::new())));
        self.record(id);
    }

    fn record(&self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        if let Err(error) = self.records.write_container(&container.status) {
            report(&format!("cannot write the record of container {id}: {error}"));
        }
    }

    /// The container stays listed, exited, until it is removed.
    pub fn fail_start(&mut self, id: &str, error: StartError, to: ReplyTo) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let live = container.live.take();
        let finished_at_ns = now();
        container.status.state = ContainerState::Exited(Exit {
            code: error.code,
            signal: None,
            oom_killed: false,
            started_at_ns: live.as_ref().map_or(finished_at_ns, |live| live.started_at_ns),
            finished_at_ns,
            start_error: Some(error.message.clone()),
        });
        if let Some(live) = live {
            self.children.insert(live.process.pid, Owner::Nobody);
            self.close_outputs(&live.outputs);
        }
        self.reply(to, Err(error.into()));
        self.container_is_over(id);
    }

    /// Its process is gone: keeps the record, and goes on with what waited for this.
    fn container_is_over(&mut self, id: &str) {
        let Some(container) = self.containers.get(id) else { return };
        let sandbox = container.status.sandbox.clone();
        let removing = container.removing.is_some();
        self.record(id);
        if let Some(sandbox) = self.sandboxes.get(&sandbox) {
            self.chores.remove_group(format!("{}/{id}", sandbox.status.spec.cgroup));
        }
        if removing {
            self.finish_remove(id);
        }
        self.settle_sandbox(&sandbox);
    }

    pub fn container_ended(&mut self, id: &str, ending: Ending) {
        // It may have failed to start.
        self.read_container_report(id);
        let Some(container) = self.containers.get_mut(id) else { return };
        let Some(mut live) = container.live.take() else { return };
        if !live.own_pid_namespace
            && let Err(error) = self.cgroups.kill(&live.cgroup)
        {
            report(&format!("cannot kill what is left of container {id}: {error}"));
        }
        let finished_at_ns = now();
        for output in &mut live.outputs {
            let pumped = output.pump(&mut live.log, finished_at_ns, true).map(drop);
            let finished = output.finish(&mut live.log, finished_at_ns);
            if let (Err(error), false) = (pumped.and(finished), live.log_failed) {
                live.log_failed = true;
                report(&format!("cannot write the log of container {id}: {error}"));
            }
        }
        let killed = 128 + libc::SIGKILL;
        let exit = Exit {
            code: ending.code,
            signal: ending.signal,
            oom_killed: ending.code == killed && self.cgroups.oom_kills(&live.cgroup) > 0,
            started_at_ns: live.started_at_ns,
            finished_at_ns,
            start_error: None,
        };
        container.status.state = ContainerState::Exited(exit.clone());
        self.close_outputs(&live.outputs);
        self.broadcast(&RuntimeEvent::ContainerExited { id: id.to_owned(), exit });
        self.container_is_over(id);
    }

    fn close_outputs(&mut self, outputs: &[Output]) {
        for output in outputs {
            if let Some(token) = output.token {
                self.poller.remove(&output.fd);
                self.sources.remove(&token);
            }
        }
    }

    pub fn pump(&mut self, id: &str, place: usize) {
        let Some(live) = self.containers.get_mut(id).and_then(|container| container.live.as_mut()) else { return };
        let Some(output) = live.outputs.get_mut(place) else { return };
        let result = output.pump(&mut live.log, now(), false);
        if let (Err(error), false) = (&result, live.log_failed) {
            live.log_failed = true;
            report(&format!("cannot write the log of container {id}: {error}"));
        }
        if let (Ok(Turn::End), Some(token)) = (result, output.token) {
            output.token = None;
            self.poller.remove(&output.fd);
            self.sources.remove(&token);
        }
    }

    fn running(&mut self, id: &str) -> Result<&mut Live, Failure> {
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        container.live.as_mut().ok_or_else(|| Failure::NotRunning { id: id.to_owned() })
    }

    pub fn signal_container(&mut self, id: &str, signal: i32) -> Result<(), Failure> {
        let live = self.running(id)?;
        sys::pidfd_send_signal(&live.pidfd, signal)
            .map_err(|error| Failure::Other(format!("send signal {signal} to container {id:?}: {error}")))
    }

    pub fn kill_container(&mut self, id: &str) -> Result<(), Failure> {
        let live = self.running(id)?;
        // The first process alone, too: it may not have joined its v1 groups yet.
        let _ = sys::pidfd_send_signal(&live.pidfd, libc::SIGKILL);
        let cgroup = live.cgroup.clone();
        self.cgroups.kill(&cgroup).map_err(|error| Failure::Other(format!("kill container {id:?}: {error}")))
    }

    pub fn remove_container(&mut self, id: &str, to: ReplyTo) -> Result<(), Failure> {
        let container = self.containers.get_mut(id).ok_or_else(|| not_found("container", id))?;
        container.removing.get_or_insert_default().push(to);
        if container.live.is_none() {
            self.finish_remove(id);
        } else if let Err(error) = self.kill_container(id) {
            report(&error.to_string());
        }
        Ok(())
    }

    pub fn finish_remove(&mut self, id: &str) {
        let Some(container) = self.containers.remove(id) else { return };
        if let Err(error) = self.records.remove_container(id) {
            report(&format!("cannot remove the record of container {id}: {error}"));
        }
        self.chores.trash = true;
        self.reply_done(container.removing.into_iter().flatten());
    }

    pub fn attach(&mut self, id: &str) -> Outcome {
        let live = self.running(id)?;
        let mut streams = Vec::new();
        let mut fds = Vec::new();
        let mut give = |stream, fd| {
            streams.push(stream);
            fds.push(fd);
        };
        if let Some(stdin) = &live.stdin {
            give(Stream::Stdin, duplicate(stdin)?);
            if live.spec.stdin_once {
                live.stdin = None;
            }
        }
        for output in &mut live.outputs {
            let copy = output.tee().map_err(|error| Failure::Other(format!("attach to container {id:?}: {error}")))?;
            if output.stream == Stream::Terminal {
                if live.spec.stdin {
                    give(Stream::Stdin, duplicate(&output.fd)?);
                }
                give(Stream::Terminal, duplicate(&output.fd)?);
            }
            give(if output.stream == Stream::Stderr { Stream::Stderr } else { Stream::Stdout }, copy);
        }
        Ok((Answer::Attached { streams }, fds))
    }
}
