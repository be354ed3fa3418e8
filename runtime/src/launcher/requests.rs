//! What a daemon may ask, one arm each.

use std::os::fd::OwnedFd;

use super::clients::{Outcome, ReplyTo};
use super::containers::Container;
use super::handover;
use super::state::Launcher;
use crate::protocol::{self, Answer, Failure, Request};
use crate::spec::Listing;

impl Launcher {
    pub fn handle(&mut self, request: Request, mut fds: Vec<OwnedFd>, to: ReplyTo) {
        let outcome = match request {
            Request::Hello => Ok((Answer::Hello { version: protocol::VERSION, state: handover::VERSION }, Vec::new())),
            Request::Replace { arguments } => self.replace(&arguments, fds.pop(), to),
            Request::List => Ok((Answer::Listing(self.list()), Vec::new())),
            Request::Usage { id } => self.usage(&id),
            Request::NetworkNamespace { sandbox } => self.network_namespace(&sandbox),
            Request::SignalContainer { id, signal } => done(self.signal_container(&id, signal)),
            Request::KillContainer { id } => done(self.kill_container(&id)),
            Request::SignalExec { exec, signal } => done(self.signal_exec(exec, signal)),
            Request::Attach { id } => self.attach(&id),
            // These answer later, unless they fail at once.
            Request::CreateSandbox(spec) => return self.or_refuse(to, |launcher| launcher.create_sandbox(*spec, to)),
            Request::RemoveSandbox { id } => {
                return self.or_refuse(to, |launcher| launcher.remove_sandbox(&id, Some(to)));
            }
            Request::StartContainer { spec, layers } => {
                return self.or_refuse(to, |launcher| launcher.start_container(*spec, layers, to));
            }
            Request::RemoveContainer { id } => {
                return self.or_refuse(to, |launcher| launcher.remove_container(&id, to));
            }
            Request::Exec(spec) => return self.or_refuse(to, |launcher| launcher.exec(&spec, to)),
            Request::Settle => return self.settle(to),
            Request::Shutdown => return self.begin_end(to),
        };
        self.reply(to, outcome);
    }

    fn or_refuse(&mut self, to: ReplyTo, begin: impl FnOnce(&mut Self) -> Result<(), Failure>) {
        if let Err(failure) = begin(self) {
            self.reply(to, Err(failure));
        }
    }

    fn settle(&mut self, to: ReplyTo) {
        let starting = |it: &&Container| it.live.as_ref().is_some_and(|live| live.start.is_some());
        let ids = self.containers.values().filter(starting).map(|it| it.status.id.clone()).collect();
        self.settling.push((to, ids));
        self.reply_settled();
    }

    /// Answers those that wait for no start any more.
    pub fn reply_settled(&mut self) {
        let starting = |id: &String| {
            self.containers.get(id).and_then(|it| it.live.as_ref()).is_some_and(|live| live.start.is_some())
        };
        let settled = |(_, ids): &mut (ReplyTo, Vec<String>)| !ids.iter().any(starting);
        let done: Vec<(ReplyTo, Vec<String>)> = self.settling.extract_if(.., settled).collect();
        self.reply_done(done.into_iter().map(|(to, _)| to));
    }

    fn list(&self) -> Listing {
        Listing {
            sandboxes: self.sandboxes.values().map(|sandbox| sandbox.status.clone()).collect(),
            containers: self.containers.values().map(|container| container.status.clone()).collect(),
        }
    }

    fn usage(&self, id: &str) -> Outcome {
        let group = match (self.containers.get(id), self.sandboxes.get(id)) {
            (Some(container), _) => match &container.live {
                Some(live) => &live.cgroup,
                None => return Err(Failure::NotRunning { id: id.to_owned() }),
            },
            (None, Some(sandbox)) => &sandbox.status.spec.cgroup,
            (None, None) => return Err(not_found("container", id)),
        };
        let usage =
            self.cgroups.usage(group).map_err(|error| Failure::Other(format!("read the usage of {id:?}: {error}")))?;
        Ok((Answer::Usage(usage), Vec::new()))
    }

    fn network_namespace(&self, id: &str) -> Outcome {
        let sandbox = self.sandboxes.get(id).ok_or_else(|| not_found("sandbox", id))?;
        match sandbox.network_namespace() {
            Some(namespace) => Ok((Answer::Namespace, vec![duplicate(namespace)?])),
            None => {
                Err(Failure::Other(format!("open the network namespace of sandbox {id:?}: it has none of its own")))
            }
        }
    }
}

fn done(result: Result<(), Failure>) -> Outcome {
    result.map(|()| (Answer::Done, Vec::new()))
}

pub fn not_found(what: &str, id: &str) -> Failure {
    Failure::NotFound { what: what.to_owned(), id: id.to_owned() }
}

pub fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, Failure> {
    fd.try_clone().map_err(|error| Failure::Other(format!("duplicate a descriptor: {error}")))
}

/// Ids become file and group names.
pub fn check_id(id: &str) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > 63 || !id.bytes().all(plain) {
        return Err(Failure::Other(format!("use {id:?} as an id: it must be 1 to 63 of a-z, 0-9 and -")));
    }
    Ok(())
}
