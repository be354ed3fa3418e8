//! Messages over a SEQPACKET socket, without blocking and without a runtime: both ends use it.
//!
//! A packet is bounded by the socket's buffer, so a message is cut into packets, each led by a byte that says whether more
//! follow. File descriptors travel with the first packet.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    self, AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::descriptor::Descriptor;

/// Well below the smallest default send buffer (208 KiB).
const PACKET: usize = 64 * 1024;
/// A message that is longer is an error of the peer.
const MESSAGE_MAX: usize = 64 * 1024 * 1024;
/// Of one message.
const FDS_MAX: usize = 8;
const MORE: u8 = 1;
const LAST: u8 = 0;

/// One connection, not blocking.
#[derive(Debug, Serialize, Deserialize)]
pub struct Channel<Fd> {
    socket: Fd,
    partial: Vec<u8>,
    fds: Vec<Descriptor>,
    outbox: VecDeque<(Vec<u8>, Vec<Descriptor>)>,
}

impl<Fd: AsFd> Channel<Fd> {
    /// `socket` must not block.
    pub fn new(socket: Fd) -> Self {
        Self { socket, partial: Vec::new(), fds: Vec::new(), outbox: VecDeque::new() }
    }

    pub fn socket(&self) -> &Fd {
        &self.socket
    }

    /// Queues a message; `flush` sends it.
    pub fn push(&mut self, message: &impl Serialize, fds: Vec<OwnedFd>) -> io::Result<()> {
        let bytes = serde_json::to_vec(message)?;
        let mut fds = Some(fds.into_iter().map(Descriptor::from).collect());
        let count = bytes.chunks(PACKET).count();
        for (index, chunk) in bytes.chunks(PACKET).enumerate() {
            let mut packet = Vec::with_capacity(chunk.len() + 1);
            packet.push(if index + 1 == count { LAST } else { MORE });
            packet.extend_from_slice(chunk);
            self.outbox.push_back((packet, fds.take().unwrap_or_default()));
        }
        Ok(())
    }

    pub fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends what the socket takes now.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((packet, fds)) = self.outbox.front() {
            match send(self.socket.as_fd(), packet, fds) {
                Ok(()) => drop(self.outbox.pop_front()),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next whole message; `WouldBlock` when there is none yet, `UnexpectedEof` when the peer is gone.
    pub fn receive<T: DeserializeOwned>(&mut self) -> io::Result<(T, Vec<OwnedFd>)> {
        loop {
            let more = self.receive_packet()?;
            if self.partial.len() > MESSAGE_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "message is too long"));
            }
            if !more {
                let bytes = std::mem::take(&mut self.partial);
                let fds = std::mem::take(&mut self.fds);
                return Ok((serde_json::from_slice(&bytes)?, fds.into_iter().map(OwnedFd::from).collect()));
            }
        }
    }

    /// Appends one packet to the message; true when more packets follow.
    fn receive_packet(&mut self) -> io::Result<bool> {
        let start = self.partial.len();
        let mut head = [0u8; 1];
        self.partial.resize(start + PACKET, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut self.partial[start..])];
        let received = net::recvmsg(
            self.socket.as_fd(),
            &mut parts,
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        );
        let length = match &received {
            Ok(message) => message.bytes,
            Err(_) => 0,
        };
        self.partial.truncate(start + length.saturating_sub(1));
        received?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds.map(Descriptor::from));
            }
        }
        match (length, head[0]) {
            (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            (_, flag) => Ok(flag == MORE),
        }
    }
}

fn send(socket: BorrowedFd<'_>, packet: &[u8], fds: &[Descriptor]) -> rustix::io::Result<()> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::TOOBIG);
    }
    net::sendmsg(socket, &[IoSlice::new(packet)], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

fn socket() -> rustix::io::Result<OwnedFd> {
    net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)
}

/// A unix socket's address holds 107 bytes of path: the directory is reached through a descriptor, which must stay open
/// while the address is in use.
fn address(path: &Path) -> rustix::io::Result<(SocketAddrUnix, OwnedFd)> {
    use std::os::fd::AsRawFd;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let mut short = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    short.extend_from_slice(name.as_bytes());
    Ok((SocketAddrUnix::new(short)?, dir))
}

pub fn connect(path: &Path) -> io::Result<OwnedFd> {
    let (address, _dir) = address(path)?;
    let socket = socket()?;
    net::connect(&socket, &address)?;
    Ok(socket)
}

/// Replaces a socket that nobody listens on.
pub fn listen(path: &Path) -> io::Result<OwnedFd> {
    /// Only the daemon and a command line tool connect.
    const BACKLOG: i32 = 16;
    let (address, _dir) = address(path)?;
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let socket = socket()?;
    net::bind(&socket, &address)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel<OwnedFd>, Channel<OwnedFd>) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).expect("socketpair");
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn messages_of_any_size_arrive_whole_and_in_order() {
        let (mut a, mut b) = pair();
        let messages: Vec<String> =
            [0, 1, PACKET - 3, PACKET - 2, PACKET - 1, PACKET * 40].iter().map(|size| "x".repeat(*size)).collect();
        for message in &messages {
            a.push(message, Vec::new()).expect("push");
        }
        let mut got: Vec<String> = Vec::new();
        while got.len() < messages.len() {
            a.flush().expect("flush");
            match b.receive::<String>() {
                Ok((message, _)) => got.push(message),
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!(got == messages);
    }

    #[test]
    fn descriptors_travel_and_the_end_is_seen() {
        let (mut a, mut b) = pair();
        let (reader, writer) = rustix::pipe::pipe().expect("pipe");
        a.push(&"fds", vec![writer]).expect("push");
        a.flush().expect("flush");
        drop(a);
        let (message, fds) = b.receive::<String>().expect("receive");
        assert_eq!((message.as_str(), fds.len()), ("fds", 1));
        rustix::io::write(&fds[0], b"hi").expect("write");
        let mut buffer = [0; 2];
        rustix::io::read(&reader, &mut buffer).expect("read");
        assert_eq!(&buffer, b"hi");
        assert_eq!(b.receive::<String>().expect_err("end").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_socket_path_may_be_longer_than_an_address() {
        let dir = tempfile::tempdir().expect("tempdir");
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).expect("mkdir");
        let path = deep.join("launcher.sock");
        let listener = listen(&path).expect("listen");
        connect(&path).expect("connect");
        drop(listener);
        assert_eq!(connect(&path).expect_err("refused").kind(), io::ErrorKind::ConnectionRefused);
        listen(&path).expect("listen again");
    }
}
