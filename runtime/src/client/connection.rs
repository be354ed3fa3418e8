//! The task that owns the socket to the launcher.
//!
//! ```text
//!            lost                 reached again
//! connected ──────> reconnecting ───────────────> connected, event Reconnected
//!     │ shutdown answered, or every handle dropped
//!     └──────> ended
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, oneshot};

use super::{Error, Result, greeting};
use crate::config::Config;
use crate::protocol::{Answer, Call, Failure, Request, ToDaemon};
use crate::spec::{Exit, RuntimeEvent};
use crate::wire::Channel;

/// Between attempts to reach a launcher that went away.
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_MAX: Duration = Duration::from_secs(5);

pub type Reply = Result<(Answer, Vec<OwnedFd>)>;

/// A call on its way to the launcher.
#[derive(Debug)]
pub struct Command {
    pub request: Request,
    pub reply: oneshot::Sender<Reply>,
    /// For exec: where its end is reported.
    pub exit: Option<oneshot::Sender<Exit>>,
}

pub type Socket = Channel<AsyncFd<OwnedFd>>;

struct Waiting {
    reply: oneshot::Sender<Reply>,
    exit: Option<oneshot::Sender<Exit>>,
    ends: bool,
}

struct Connection {
    channel: Socket,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    execs: BTreeMap<u64, oneshot::Sender<Exit>>,
    /// Events the daemon has not taken yet, at most as many as there are containers.
    events: VecDeque<RuntimeEvent>,
    ended: bool,
}

/// Runs until every handle is dropped or a shutdown was answered.
pub async fn run(
    config: Config,
    channel: Socket,
    mut commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<RuntimeEvent>,
) {
    let mut connection = Connection {
        channel,
        next: 1,
        waiting: BTreeMap::new(),
        execs: BTreeMap::new(),
        events: VecDeque::new(),
        ended: false,
    };
    loop {
        match connection.serve(&mut commands, &events).await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, "lost the launcher, reconnecting"),
        }
        connection.waiting.clear();
        connection.execs.clear();
        let Some(channel) = reconnect(&config, &commands).await else { return };
        connection.channel = channel;
        connection.events.push_back(RuntimeEvent::Reconnected);
    }
}

async fn reconnect(config: &Config, commands: &mpsc::Receiver<Command>) -> Option<Socket> {
    let mut pause = RECONNECT_FIRST;
    loop {
        if commands.is_closed() {
            return None;
        }
        match greeting::open(config).await {
            Ok(channel) => return Some(channel),
            Err(error) => tracing::warn!(%error, "the launcher cannot be reached yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_MAX);
    }
}

impl Connection {
    /// Ok: nothing is left to do. An error: the socket is lost.
    async fn serve(
        &mut self,
        commands: &mut mpsc::Receiver<Command>,
        events: &mpsc::Sender<RuntimeEvent>,
    ) -> io::Result<()> {
        while !self.ended {
            let interest =
                if self.channel.has_output() { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            tokio::select! {
                ready = self.channel.socket().ready(interest) => {
                    let mut ready = ready?;
                    let (readable, writable) = (ready.ready().is_readable(), ready.ready().is_writable());
                    ready.clear_ready();
                    drop(ready);
                    if writable {
                        self.channel.flush()?;
                    }
                    if readable {
                        self.receive_all()?;
                    }
                }
                command = commands.recv() => match command {
                    Some(command) => self.send(command)?,
                    None => return Ok(()),
                },
                permit = events.reserve(), if !self.events.is_empty() => {
                    if let (Ok(permit), Some(event)) = (permit, self.events.front()) {
                        permit.send(event.clone());
                    }
                    // A daemon that has dropped its receiver wants no events.
                    self.events.pop_front();
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, command: Command) -> io::Result<()> {
        let Command { request, reply, exit } = command;
        let number = self.next;
        self.next += 1;
        let ends = matches!(request, Request::Shutdown);
        self.channel.push(&Call { number, request }, Vec::new())?;
        self.waiting.insert(number, Waiting { reply, exit, ends });
        self.channel.flush()
    }

    fn receive_all(&mut self) -> io::Result<()> {
        loop {
            match self.channel.receive::<ToDaemon>() {
                Ok((message, fds)) => self.handle(message, fds),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The launcher goes away right after it has said so.
                Err(_) if self.ended => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn handle(&mut self, message: ToDaemon, fds: Vec<OwnedFd>) {
        match message {
            ToDaemon::Event(event) => self.events.push_back(event),
            ToDaemon::Ended => self.ended = true,
            ToDaemon::ExecExited { exec, exit } => {
                if let Some(sender) = self.execs.remove(&exec) {
                    // The caller may have stopped waiting.
                    let _ = sender.send(exit);
                }
            }
            ToDaemon::Reply { number, result } => {
                let Some(waiting) = self.waiting.remove(&number) else { return };
                if let (Ok(Answer::Exec { exec, .. }), Some(exit)) = (&result, waiting.exit) {
                    self.execs.insert(*exec, exit);
                }
                self.ended |= waiting.ends && result.is_ok();
                let reply = result.map(|answer| (answer, fds)).map_err(|failure: Failure| Error::Launcher(failure));
                let _ = waiting.reply.send(reply);
            }
        }
    }
}
