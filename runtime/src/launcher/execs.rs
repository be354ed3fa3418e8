//! Further processes in running containers. Their streams go to the daemon that asked; the launcher only waits for their end.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use super::clients::{Outcome, ReplyTo};
use super::containers::Live;
use super::now;
use super::output::pipe;
use super::poller::Token;
use super::processes::{Ending, spawn};
use super::requests::{duplicate, not_found};
use super::start::{Ready, Start, Started};
use super::state::{Launcher, Owner, Source};
use crate::container::{self, Process, StartError, Stdio, Step, exec};
use crate::descriptor::Descriptor;
use crate::protocol::{Answer, Failure, Stream, ToDaemon};
use crate::spec::{ExecSpec, Exit};
use crate::sys::{self, Child};
use crate::wire::Channel;

#[derive(Debug, Serialize, Deserialize)]
pub struct Exec {
    /// Who is told how it ended.
    client: Token,
    spec: ExecSpec,
    pidfd: Descriptor,
    /// Until its command is executed.
    start: Option<Start>,
    /// What the daemon gets.
    streams: Vec<(Stream, Descriptor)>,
    started_at_ns: i64,
}

/// A child, its reports, and the daemon's ends of its streams.
type Cloned = (Child, Channel<Descriptor>, Vec<(Stream, Descriptor)>);

/// Streams for the child, and their other ends for the daemon.
fn streams(spec: &ExecSpec) -> std::io::Result<(Stdio, Vec<(Stream, Descriptor)>)> {
    if spec.terminal {
        return Ok((Stdio::Terminal, Vec::new()));
    }
    let mut ours = Vec::new();
    let stdin = if spec.stdin {
        let (reader, writer) = pipe()?;
        ours.push((Stream::Stdin, writer.into()));
        reader
    } else {
        std::fs::File::open("/dev/null")?.into()
    };
    let ((out_reader, stdout), (err_reader, stderr)) = (pipe()?, pipe()?);
    ours.extend([(Stream::Stdout, out_reader.into()), (Stream::Stderr, err_reader.into())]);
    Ok((Stdio::Pipes { stdin, stdout, stderr }, ours))
}

impl Launcher {
    pub fn exec(&mut self, spec: &ExecSpec, to: ReplyTo) -> Result<(), Failure> {
        let id = &spec.container;
        let container = self.containers.get(id).ok_or_else(|| not_found("container", id))?;
        let running = container.live.as_ref().and_then(|live| Some((live, live.ready.as_ref()?)));
        let (live, ready) = running.ok_or_else(|| Failure::NotRunning { id: id.clone() })?;
        let started_at_ns = now();
        let (child, channel, streams) = self.clone_exec(spec, live, ready)?;
        let number = self.next_exec;
        self.next_exec += 1;
        self.children.insert(child.pid, Owner::Exec(number));
        let start = Start::new(&mut self.poller, channel, to).step(|| "watch the process".into())?;
        self.sources.insert(start.token, Source::Report(Owner::Exec(number)));
        let (spec, pidfd, start) = (spec.clone(), child.pidfd, Some(start));
        self.execs.insert(number, Exec { client: to.client, spec, pidfd, start, streams, started_at_ns });
        Ok(())
    }

    fn clone_exec(&self, spec: &ExecSpec, live: &Live, ready: &Ready) -> Result<Cloned, StartError> {
        let (stdio, ours) = streams(spec).step(|| "make the streams".into())?;
        let unified = self.cgroups.open_unified(&live.cgroup).step(|| "open the cgroup".into())?;
        let mut environment = ready.environment.clone();
        if spec.terminal && !environment.iter().any(|entry| entry.starts_with("TERM=")) {
            environment.push("TERM=xterm".into());
        }
        let plan = exec::Plan {
            container: &live.pidfd,
            cgroups: &self.cgroups,
            cgroup: &live.cgroup,
            oom_score_adj: &live.spec.oom_score_adj.to_string(),
            stdio,
            process: Process {
                args: &spec.args,
                environment: &environment,
                cwd: &live.spec.cwd,
                identity: &ready.identity,
                capabilities: live.capabilities,
                no_new_privileges: live.spec.security.no_new_privileges,
                seccomp: live.filters.as_deref(),
                open_files: self.own.open_files,
            },
        };
        let (child, channel) = self
            .in_pid_namespace(Some(&*live.pidfd), || {
                spawn(0, unified.as_ref(), |mut reporter| {
                    let error = exec::run(&plan, &mut reporter);
                    container::fail(&mut reporter, error);
                })
            })
            .step(|| "clone the process".into())?;
        Ok((child, channel, ours))
    }

    pub fn read_exec_report(&mut self, number: u64) {
        let Some(exec) = self.execs.get_mut(&number) else { return };
        let Some(start) = &mut exec.start else { return };
        let outcome = start.read();
        let (to, token) = (start.to, start.token);
        let reply = match outcome {
            Started::NotYet => return,
            Started::Executed(ready) => exec.give_streams(number, ready),
            Started::Failed(error) => Err(error.into()),
        };
        if let Some(start) = exec.start.take() {
            start.close(&self.poller);
        }
        self.sources.remove(&token);
        if reply.is_err() {
            // Its end says nothing that the reply does not.
            self.execs.remove(&number);
        }
        self.reply(to, reply);
    }

    pub fn exec_ended(&mut self, number: u64, ending: Ending) {
        self.read_exec_report(number);
        let Some(exec) = self.execs.remove(&number) else { return };
        let exit = Exit {
            code: ending.code,
            signal: ending.signal,
            oom_killed: false,
            started_at_ns: exec.started_at_ns,
            finished_at_ns: now(),
            start_error: None,
        };
        self.send(exec.client, &ToDaemon::ExecExited { exec: number, exit }, Vec::new());
    }

    pub fn signal_exec(&mut self, number: u64, signal: i32) -> Result<(), Failure> {
        let exec = self.execs.get(&number).ok_or_else(|| not_found("exec", &number.to_string()))?;
        sys::pidfd_send_signal(&exec.pidfd, signal)
            .map_err(|error| Failure::Other(format!("send signal {signal} to exec {number}: {error}")))
    }
}

impl Exec {
    fn give_streams(&mut self, number: u64, ready: Ready) -> Outcome {
        let mut given = std::mem::take(&mut self.streams);
        if let Some(master) = ready.terminal {
            if self.spec.stdin {
                given.push((Stream::Stdin, duplicate(&master)?.into()));
            }
            given.push((Stream::Stdout, duplicate(&master)?.into()));
            given.push((Stream::Terminal, master));
        }
        let (streams, fds) = given.into_iter().map(|(stream, fd)| (stream, OwnedFd::from(fd))).unzip();
        Ok((Answer::Exec { exec: number, streams }, fds))
    }
}
