//! Connections of daemons.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::SocketFlags;
use serde::{Deserialize, Serialize};

use super::poller::Token;
use super::state::{Launcher, Source};
use crate::protocol::{Answer, Call, Failure, ToDaemon};
use crate::spec::RuntimeEvent;
use crate::wire::Channel;

/// Who asked, to be answered now or later.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReplyTo {
    pub client: Token,
    pub number: u64,
}

/// What a request comes to.
pub type Outcome = Result<(Answer, Vec<OwnedFd>), Failure>;

impl Launcher {
    pub fn accept(&mut self) -> io::Result<()> {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match rustix::net::accept_with(&*self.listener, flags) {
                Ok(socket) => socket,
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            // The socket file is closed to others already; this also holds when it is passed on.
            let peer = rustix::net::sockopt::socket_peercred(&socket)?;
            if peer.uid != rustix::process::geteuid() {
                continue;
            }
            let token = self.poller.add(&socket)?;
            self.sources.insert(token, Source::Client);
            self.clients.insert(token, Channel::new(socket.into()));
        }
    }

    /// Reads and does all requests that have arrived whole.
    pub fn serve_client(&mut self, token: Token) {
        loop {
            let Some(client) = self.clients.get_mut(&token) else { return };
            match client.receive::<Call>() {
                Ok((call, fds)) => {
                    let to = ReplyTo { client: token, number: call.number };
                    self.handle(call.request, fds, to);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // A daemon that was killed left what we had sent it.
                    let gone = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
                    if !gone.contains(&error.kind()) {
                        super::report(&format!("a client is dropped, what it sends is not understood: {error}"));
                    }
                    return self.drop_client(token);
                }
            }
        }
        self.flush_client(token);
    }

    fn drop_client(&mut self, token: Token) {
        self.sources.remove(&token);
        if let Some(client) = self.clients.remove(&token) {
            self.poller.remove(client.socket());
        }
    }

    /// Sends what can be sent, and asks to be told when there is room for the rest.
    fn flush_client(&mut self, token: Token) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let flushed = client.flush();
        let watched = self.poller.watch_output(client.socket(), token, client.has_output());
        if flushed.and(watched).is_err() {
            self.drop_client(token);
        }
    }

    pub fn send(&mut self, token: Token, message: &ToDaemon, fds: Vec<OwnedFd>) {
        // A daemon that went away is told nothing; the next one asks.
        let Some(client) = self.clients.get_mut(&token) else { return };
        match client.push(message, fds) {
            Ok(()) => self.flush_client(token),
            Err(error) => {
                super::report(&format!("cannot write a message: {error}"));
                self.drop_client(token);
            }
        }
    }

    pub fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        let (result, fds) = match outcome {
            Ok((answer, fds)) => (Ok(answer), fds),
            Err(failure) => (Err(failure), Vec::new()),
        };
        self.send(to.client, &ToDaemon::Reply { number: to.number, result }, fds);
    }

    pub fn reply_done(&mut self, to: impl IntoIterator<Item = ReplyTo>) {
        for to in to {
            self.reply(to, Ok((Answer::Done, Vec::new())));
        }
    }

    pub fn broadcast(&mut self, event: &RuntimeEvent) {
        for token in self.clients.keys().copied().collect::<Vec<_>>() {
            self.send(token, &ToDaemon::Event(event.clone()), Vec::new());
        }
    }
}
