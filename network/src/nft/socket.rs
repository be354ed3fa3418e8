//! Sends a batch and reads the kernel's answer, which is there when `send` returns.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::encode::Batch;
use crate::{Error, Result};

/// A full rule set of 10,000 services is about 4 MB.
const SEND_BUFFER_BYTES: libc::c_int = 32 << 20;
const NETLINK_CAP_ACK: libc::c_int = 10;
const ERROR_MESSAGE: u16 = 2;

/// Bound to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    pub fn open() -> Result<Self> {
        // SAFETY: plain system calls; the descriptor is owned from here on.
        let socket = unsafe {
            let fd = libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::NETLINK_NETFILTER);
            if fd < 0 {
                return Err(Error::Socket(io::Error::last_os_error()));
            }
            OwnedFd::from_raw_fd(fd)
        };
        let set = |level, name, value: libc::c_int| {
            let size = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: the pointer is to an int that outlives the call.
            unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) };
        };
        // Both only help with large batches: where they are refused, small ones still work.
        set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
        set(libc::SOL_NETLINK, NETLINK_CAP_ACK, 1);
        Ok(Self(socket))
    }

    pub fn commit(&self, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        let (bytes, commands) = batch.finish();
        // SAFETY: the buffer is valid for its length.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
        if sent < 0 {
            return Err(Error::Send(io::Error::last_os_error()));
        }
        self.answer(&commands)
    }

    /// The first error among the answers, or the acknowledgement.
    fn answer(&self, commands: &[&'static str]) -> Result<()> {
        let mut buffer = [0u8; 16 << 10];
        let mut acknowledged = false;
        let mut failure = None;
        loop {
            // SAFETY: the buffer is valid for its length.
            let read =
                unsafe { libc::recv(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
            if read < 0 {
                let error = io::Error::last_os_error();
                match error.kind() {
                    io::ErrorKind::Interrupted => continue,
                    io::ErrorKind::WouldBlock => break,
                    _ => return Err(Error::Send(error)),
                }
            }
            for (sequence, code) in errors(&buffer[..read as usize]) {
                if code == 0 {
                    acknowledged = true;
                } else if failure.is_none() {
                    let what = commands.get(sequence as usize).copied().unwrap_or("batch");
                    failure = Some(Error::Refused { what, source: io::Error::from_raw_os_error(-code) });
                }
            }
        }
        match failure {
            Some(error) => Err(error),
            None if acknowledged => Ok(()),
            None => Err(Error::Send(io::Error::other("the kernel did not acknowledge"))),
        }
    }
}

/// Sequence number and negative errno of each error message.
fn errors(mut bytes: &[u8]) -> Vec<(u32, i32)> {
    let mut found = Vec::new();
    let number = |bytes: &[u8], at: usize| bytes.get(at..at + 4).map(|four| [four[0], four[1], four[2], four[3]]);
    while let Some(length) = number(bytes, 0).map(u32::from_ne_bytes) {
        let length = length as usize;
        if length < 16 || length > bytes.len() {
            break;
        }
        let message = &bytes[..length];
        if u16::from_ne_bytes([message[4], message[5]]) == ERROR_MESSAGE
            && let (Some(sequence), Some(code)) = (number(message, 8), number(message, 16))
        {
            found.push((u32::from_ne_bytes(sequence), i32::from_ne_bytes(code)));
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    found
}
