//! The first words with the launcher: which version of the protocol it speaks, and whether it is this very program. One of another
//! build becomes ours, with its containers; see `launcher::handover`.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

use super::connection::Socket;
use super::{Error, Result, spawn};
use crate::config::Config;
use crate::protocol::{self, Answer, Call, Request, ToDaemon};
use crate::wire::Channel;

/// Connects, starting the launcher if needed.
///
/// # Errors
/// [`Error::Version`] when it speaks another protocol and cannot be replaced.
pub async fn open(config: &Config) -> Result<Socket> {
    let copy = config.clone();
    let socket = tokio::task::spawn_blocking(move || spawn::reach(&copy))
        .await
        .map_err(|error| Error::Spawn(error.to_string()))??;
    // SAFETY: an `OwnedFd` is open and the same for as long as it lives, and it lives in the `AsyncFd`.
    let mut channel = Channel::new(unsafe { AsyncFd::register(socket) }.map_err(|_| Error::Disconnected)?);
    let (version, state) = hello(&mut channel).await?;
    let (version, kept) = match replace(&mut channel, config, state).await {
        Ok(false) => (version, None),
        Ok(true) => {
            tracing::info!("the launcher has become one of this build");
            (hello(&mut channel).await?.0, None)
        }
        Err(Error::Disconnected) => return Err(Error::Disconnected),
        Err(error) => (version, Some(error.to_string())),
    };
    if version != protocol::VERSION {
        let reason = kept.unwrap_or_else(|| "it is this very program".into());
        return Err(Error::Version { launcher: version, own: protocol::VERSION, reason });
    }
    if let Some(reason) = kept {
        tracing::warn!(reason, "the launcher of another build stays");
    }
    Ok(channel)
}

async fn hello(channel: &mut Socket) -> Result<(u32, u32)> {
    match ask(channel, Request::Hello, Vec::new()).await? {
        Answer::Hello { version, state } => Ok((version, state)),
        other => Err(Error::Protocol(format!("{other:?}"))),
    }
}

/// True when the launcher was of another build until now.
async fn replace(channel: &mut Socket, config: &Config, state: u32) -> Result<bool> {
    if state == 0 {
        return Err(Error::Protocol("without a way to be replaced".into()));
    }
    let program = spawn::executable(config)?;
    let arguments = config.launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    match ask(channel, Request::Replace { arguments }, vec![program]).await? {
        Answer::Replaced { replaced } => Ok(replaced),
        other => Err(Error::Protocol(format!("{other:?}"))),
    }
}

/// One request and its reply, before anything else is asked. What happens meanwhile is in the listing that comes later.
async fn ask(channel: &mut Socket, request: Request, fds: Vec<OwnedFd>) -> Result<Answer> {
    let lost = |_| Error::Disconnected;
    channel.push(&Call { number: 0, request }, fds).map_err(lost)?;
    channel.flush().map_err(lost)?;
    loop {
        let mut ready = channel.socket().readable().await.map_err(lost)?;
        ready.clear_ready();
        drop(ready);
        loop {
            match channel.receive::<ToDaemon>() {
                Ok((ToDaemon::Reply { result, .. }, _)) => return Ok(result?),
                Ok((ToDaemon::Event(_) | ToDaemon::ExecExited { .. }, _)) => {}
                Ok((ToDaemon::Ended, _)) => return Err(Error::Disconnected),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    return Err(Error::Protocol(format!("what is not understood: {error}")));
                }
                Err(_) => return Err(Error::Disconnected),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    /// A launcher that knows nothing but how to say hello.
    fn stranger(socket: &std::path::Path, version: u32, state: u32) -> std::thread::JoinHandle<()> {
        let listener = wire::listen(socket).expect("listen");
        let wait = move |fd: &OwnedFd| {
            let mut input = [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut input, None).expect("poll");
        };
        std::thread::spawn(move || {
            wait(&listener);
            let client = rustix::net::accept_with(&listener, rustix::net::SocketFlags::NONBLOCK).expect("accept");
            let mut channel = Channel::new(client);
            loop {
                wait(channel.socket());
                let Ok((call, _)) = channel.receive::<Call>() else { return };
                let result = match call.request {
                    Request::Hello => Ok(Answer::Hello { version, state }),
                    _ => Err(protocol::Failure::Other("replace the launcher: it does not like it".into())),
                };
                channel.push(&ToDaemon::Reply { number: call.number, result }, Vec::new()).expect("push");
                channel.flush().expect("flush");
            }
        })
    }

    #[tokio::test]
    async fn another_version_that_stays_is_a_clear_error() {
        let cases = [
            (99, 0, Some("without a way to be replaced")),
            (99, 1, Some("it does not like it")),
            // It is of another build, and of use.
            (protocol::VERSION, 0, None),
            (protocol::VERSION, 1, None),
        ];
        for (version, state, expected) in cases {
            let dir = tempfile::tempdir().expect("tempdir");
            let config = Config {
                state_dir: dir.path().into(),
                images_dir: dir.path().into(),
                socket: dir.path().join("socket"),
                cgroup_root: "unused".into(),
                launcher: Config::own_launcher(),
            };
            let thread = stranger(&config.socket, version, state);
            let opened = open(&config).await;
            match (opened, expected) {
                (Err(Error::Version { launcher, own, reason }), Some(expected)) => {
                    assert_eq!((launcher, own), (version, protocol::VERSION));
                    assert!(reason.contains(expected), "{reason}");
                }
                (Ok(_), None) => {}
                (other, _) => panic!("{other:?}"),
            }
            thread.join().expect("the launcher ends with its client");
        }
    }
}
