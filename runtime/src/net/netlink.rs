//! rtnetlink messages: how they are laid out, sent and acknowledged.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// A reply we ask for (one link, one acknowledgement) is far smaller.
const REPLY: usize = 32 * 1024;
const SEQUENCE: u32 = 1;

/// A request being written.
pub struct Message(Vec<u8>);

/// Where a nested attribute began.
pub struct Nest(usize);

impl Message {
    pub fn new(kind: u16, flags: libc::c_int) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&((flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend_from_slice(&SEQUENCE.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        Self(bytes)
    }

    /// `struct ifinfomsg`; `up` also says that this flag is meant to change.
    pub fn link(&mut self, family: u8, index: u32, up: bool) {
        let flags = if up { libc::IFF_UP as u32 } else { 0 };
        self.0.extend_from_slice(&[family, 0, 0, 0]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
        self.0.extend_from_slice(&flags.to_ne_bytes());
    }

    /// `struct ifaddrmsg`.
    pub fn address(&mut self, family: u8, prefix_len: u8, index: u32) {
        self.0.extend_from_slice(&[family, prefix_len, 0, libc::RT_SCOPE_UNIVERSE]);
        self.0.extend_from_slice(&index.to_ne_bytes());
    }

    /// `struct ndmsg` of an entry that stays.
    pub fn neighbour(&mut self, family: u8, index: u32, flags: u8) {
        self.0.extend_from_slice(&[family, 0, 0, 0]);
        self.0.extend_from_slice(&index.to_ne_bytes());
        self.0.extend_from_slice(&libc::NUD_PERMANENT.to_ne_bytes());
        self.0.extend_from_slice(&[flags, 0]);
    }

    /// `struct rtmsg`.
    /// The header of a route to a network of `prefix_len` bits, the default route with none.
    pub fn route(&mut self, family: u8, prefix_len: u8, flags: u32) {
        let (table, protocol, scope, kind) =
            (libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST);
        self.0.extend_from_slice(&[family, prefix_len, 0, 0, table, protocol, scope, kind]);
        self.0.extend_from_slice(&flags.to_ne_bytes());
    }

    pub fn attribute(&mut self, kind: u16, data: &[u8]) {
        let nest = self.open(kind);
        self.0.extend_from_slice(data);
        self.close(nest);
    }

    pub fn text(&mut self, kind: u16, text: &str) {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes);
    }

    pub fn number(&mut self, kind: u16, number: u32) {
        self.attribute(kind, &number.to_ne_bytes());
    }

    pub fn ip(&mut self, kind: u16, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.attribute(kind, &ip.octets()),
            IpAddr::V6(ip) => self.attribute(kind, &ip.octets()),
        }
    }

    pub fn open(&mut self, kind: u16) -> Nest {
        let start = self.0.len();
        self.0.extend_from_slice(&0u16.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        Nest(start)
    }

    pub fn close(&mut self, Nest(start): Nest) {
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}

/// A connection to the network namespace in which it was opened, whoever uses it.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

impl Netlink {
    pub fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // NETLINK_ROUTE is protocol 0
        )?;
        Ok(Self(socket))
    }

    /// Sends a request and waits until the kernel has done it.
    pub fn apply(&self, mut message: Message) -> io::Result<()> {
        let flags = u16::from_ne_bytes([message.0[6], message.0[7]]) | libc::NLM_F_ACK as u16;
        message.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.exchange(message).map(drop)
    }

    /// Sends a request and gives the body of its single answer, empty for an acknowledgement.
    pub fn exchange(&self, message: Message) -> io::Result<Vec<u8>> {
        let bytes = message.finish();
        rustix::io::retry_on_intr(|| rustix::net::send(&self.0, &bytes, SendFlags::empty()))?;
        let mut buffer = vec![0u8; REPLY];
        let (length, _) = rustix::io::retry_on_intr(|| rustix::net::recv(&self.0, &mut *buffer, RecvFlags::empty()))?;
        parse(buffer.get(..length).unwrap_or_default())
    }
}

fn parse(reply: &[u8]) -> io::Result<Vec<u8>> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "netlink reply is too short");
    let kind = reply.get(4..6).and_then(|bytes| bytes.try_into().ok()).map(u16::from_ne_bytes).ok_or_else(malformed)?;
    let body = reply.get(HEADER..).ok_or_else(malformed)?;
    if libc::c_int::from(kind) != libc::NLMSG_ERROR {
        return Ok(body.to_vec());
    }
    let code = body.get(..4).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes).ok_or_else(malformed)?;
    if code == 0 { Ok(Vec::new()) } else { Err(io::Error::from_raw_os_error(-code)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nested_attribute_holds_its_length_and_is_padded() {
        let mut message = Message::new(1, 0);
        let nest = message.open(18);
        message.text(1, "veth");
        message.close(nest);
        let bytes = message.finish();
        assert_eq!(bytes.len(), HEADER + 4 + 12);
        assert_eq!(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, bytes.len());
        assert_eq!(&bytes[HEADER..HEADER + 8], &[16, 0, 18, 0, 9, 0, 1, 0]);
        assert_eq!(&bytes[HEADER + 8..], b"veth\0\0\0\0");
    }

    #[test]
    fn errors_of_the_kernel_are_errno() {
        let mut reply = vec![0u8; HEADER];
        reply[4] = libc::NLMSG_ERROR as u8;
        reply.extend_from_slice(&(-libc::EEXIST).to_ne_bytes());
        assert_eq!(parse(&reply).expect_err("error").raw_os_error(), Some(libc::EEXIST));
        assert_eq!(parse(&reply[..5]).expect_err("short").kind(), io::ErrorKind::InvalidData);
    }
}
