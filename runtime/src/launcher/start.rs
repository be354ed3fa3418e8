//! A process between clone and execve, seen from the launcher.

use std::io;

use serde::{Deserialize, Serialize};

use super::clients::ReplyTo;
use super::poller::{Poller, Token};
use crate::container::{Identity, Report, StartError};
use crate::descriptor::Descriptor;
use crate::protocol::Failure;
use crate::wire::Channel;

/// Waits for a child to execute its command.
#[derive(Debug, Serialize, Deserialize)]
pub struct Start {
    channel: Channel<Descriptor>,
    pub token: Token,
    pub to: ReplyTo,
    ready: Option<Ready>,
    failure: Option<StartError>,
}

/// What a child told before it executed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ready {
    pub identity: Identity,
    pub environment: Vec<String>,
    /// The master side, when a terminal was asked for.
    pub terminal: Option<Descriptor>,
}

/// How a start ended.
pub enum Started {
    NotYet,
    Executed(Ready),
    Failed(StartError),
}

impl Start {
    pub fn new(poller: &mut Poller, channel: Channel<Descriptor>, to: ReplyTo) -> io::Result<Self> {
        let token = poller.add(channel.socket())?;
        Ok(Self { channel, token, to, ready: None, failure: None })
    }

    /// Reads what there is. The socket closes when the command is executed, or the child ends.
    pub fn read(&mut self) -> Started {
        loop {
            match self.channel.receive::<Report>() {
                Ok((Report::Ready { identity, environment }, mut fds)) => {
                    self.ready = Some(Ready { identity, environment, terminal: fds.pop().map(Descriptor::from) });
                }
                Ok((Report::Failed { code, message }, _)) => self.failure = Some(StartError { code, message }),
                Ok((Report::Namespaces, _)) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Started::NotYet,
                Err(_) => break,
            }
        }
        match (self.failure.take(), self.ready.take()) {
            (Some(error), _) => Started::Failed(error),
            (None, Some(ready)) => Started::Executed(ready),
            (None, None) => {
                Started::Failed(StartError::failed("the process was killed before it executed its command"))
            }
        }
    }

    pub fn close(&self, poller: &Poller) {
        poller.remove(self.channel.socket());
    }
}

impl From<StartError> for Failure {
    fn from(StartError { code, message }: StartError) -> Self {
        Self::Start { code, message }
    }
}
