//! Links, addresses and routes, one request each.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::netlink::{Message, Netlink};

const VETH_INFO_PEER: u16 = 1;
const IFLA_BRPORT_MODE: u16 = 4;
const IFLA_VXLAN_ID: u16 = 1;
const IFLA_VXLAN_LOCAL: u16 = 4;
const IFLA_VXLAN_LEARNING: u16 = 7;
const IFLA_VXLAN_PORT: u16 = 15;
/// The network's number and port that the field uses for pods (flannel's).
const VXLAN_ID: u32 = 1;
const VXLAN_PORT: u16 = 8472;
const NEW: libc::c_int = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

/// The index of the loopback link in every network namespace.
pub const LOOPBACK: u32 = 1;

/// A pair of links: `name` here, plugged into the bridge and up, and `eth0` in `namespace`, down.
pub struct Veth<'a> {
    pub name: &'a str,
    pub bridge: u32,
    pub namespace: BorrowedFd<'a>,
    pub mtu: u32,
}

/// A link whose packets travel inside UDP from `local`.
pub struct Vxlan<'a> {
    pub name: &'a str,
    pub local: IpAddr,
    pub mac: [u8; 6],
    pub mtu: u32,
}

impl Netlink {
    pub fn link_index(&self, name: &str) -> io::Result<Option<u32>> {
        let mut message = Message::new(libc::RTM_GETLINK, 0);
        message.link(0, 0, false);
        message.text(libc::IFLA_IFNAME, name);
        match self.exchange(message) {
            Ok(body) => Ok(body.get(4..8).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A bridge that is up. `mac` is fixed, or it would change with the links plugged in.
    pub fn add_bridge(&self, name: &str, mac: [u8; 6], mtu: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, NEW);
        message.link(0, 0, true);
        message.text(libc::IFLA_IFNAME, name);
        message.attribute(libc::IFLA_ADDRESS, &mac);
        message.number(libc::IFLA_MTU, mtu);
        let info = message.open(libc::IFLA_LINKINFO);
        message.text(libc::IFLA_INFO_KIND, "bridge");
        message.close(info);
        self.apply(message)
    }

    pub fn add_veth(&self, veth: &Veth<'_>) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, NEW);
        message.link(0, 0, true);
        message.text(libc::IFLA_IFNAME, veth.name);
        message.number(libc::IFLA_MTU, veth.mtu);
        message.number(libc::IFLA_MASTER, veth.bridge);
        let info = message.open(libc::IFLA_LINKINFO);
        message.text(libc::IFLA_INFO_KIND, "veth");
        let data = message.open(libc::IFLA_INFO_DATA);
        let peer = message.open(VETH_INFO_PEER);
        // Not up: at this moment the peer has no peer (ENOTCONN).
        message.link(0, 0, false);
        message.text(libc::IFLA_IFNAME, "eth0");
        message.number(libc::IFLA_MTU, veth.mtu);
        message.number(libc::IFLA_NET_NS_FD, veth.namespace.as_raw_fd() as u32);
        message.close(peer);
        message.close(data);
        message.close(info);
        self.apply(message)
    }

    /// Lets a bridge port send back what it received: a sandbox may reach itself through a service address.
    pub fn set_hairpin(&self, port: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_SETLINK, 0);
        message.link(libc::AF_BRIDGE as u8, port, false);
        let info = message.open(libc::IFLA_PROTINFO | libc::NLA_F_NESTED as u16);
        message.attribute(IFLA_BRPORT_MODE, &[1]);
        message.close(info);
        self.apply(message)
    }

    pub fn set_up(&self, index: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        message.link(0, index, true);
        self.apply(message)
    }

    pub fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, 0);
        message.link(0, index, false);
        message.number(libc::IFLA_MTU, mtu);
        self.apply(message)
    }

    pub fn delete_link(&self, index: u32) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_DELLINK, 0);
        message.link(0, index, false);
        self.apply(message)
    }

    /// No error when the link has the address already.
    pub fn add_address(&self, index: u32, address: IpAddr, prefix_len: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.address(family(address), prefix_len, index);
        message.ip(libc::IFA_LOCAL, address);
        message.ip(libc::IFA_ADDRESS, address);
        if let (IpAddr::V4(ip), true) = (address, prefix_len < 31) {
            let hosts = u32::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
            message.attribute(libc::IFA_BROADCAST, &(u32::from(ip) | hosts).to_be_bytes());
        }
        if address.is_ipv6() {
            // Usable at once: addresses are unique by the caller's allocation.
            message.number(libc::IFA_FLAGS, libc::IFA_F_NODAD);
        }
        self.apply(message)
    }

    /// The gateway need not be in the link's own network: a sandbox may have its address as a network of one.
    pub fn add_default_route(&self, index: u32, gateway: IpAddr) -> io::Result<()> {
        const ONLINK: u32 = 4;
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.route(family(gateway), 0, ONLINK);
        message.ip(libc::RTA_GATEWAY, gateway);
        message.number(libc::RTA_OIF, index);
        self.apply(message)
    }

    /// A network that is reached through the link without a gateway.
    pub fn add_route(&self, index: u32, network: IpAddr, prefix_len: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.route(family(network), prefix_len, 0);
        message.ip(libc::RTA_DST, network);
        message.number(libc::RTA_OIF, index);
        self.apply(message)
    }

    /// A network that is reached by way of a gateway: a neighbour, or whatever the link `through` delivers to.
    pub fn add_route_by(
        &self,
        network: IpAddr,
        prefix_len: u8,
        gateway: IpAddr,
        through: Option<u32>,
    ) -> io::Result<()> {
        const ONLINK: u32 = 4;
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.route(family(network), prefix_len, if through.is_some() { ONLINK } else { 0 });
        message.ip(libc::RTA_DST, network);
        message.ip(libc::RTA_GATEWAY, gateway);
        if let Some(index) = through {
            message.number(libc::RTA_OIF, index);
        }
        self.apply(message)
    }

    pub fn delete_route(&self, network: IpAddr, prefix_len: u8) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_DELROUTE, 0);
        message.route(family(network), prefix_len, 0);
        message.ip(libc::RTA_DST, network);
        self.apply(message)
    }

    /// Whether packets to an address go by way of a gateway.
    pub fn gateway_to(&self, address: IpAddr) -> io::Result<bool> {
        /// `struct rtmsg`.
        const HEADER: usize = 12;
        let mut message = Message::new(libc::RTM_GETROUTE, 0);
        message.route(family(address), if address.is_ipv4() { 32 } else { 128 }, 0);
        message.ip(libc::RTA_DST, address);
        let body = self.exchange(message)?;
        Ok(attributes(body.get(HEADER..).unwrap_or_default()).any(|kind| kind == libc::RTA_GATEWAY))
    }

    pub fn add_vxlan(&self, vxlan: &Vxlan<'_>) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWLINK, NEW);
        message.link(0, 0, true);
        message.text(libc::IFLA_IFNAME, vxlan.name);
        message.attribute(libc::IFLA_ADDRESS, &vxlan.mac);
        message.number(libc::IFLA_MTU, vxlan.mtu);
        let info = message.open(libc::IFLA_LINKINFO);
        message.text(libc::IFLA_INFO_KIND, "vxlan");
        let data = message.open(libc::IFLA_INFO_DATA);
        message.number(IFLA_VXLAN_ID, VXLAN_ID);
        message.ip(IFLA_VXLAN_LOCAL, vxlan.local);
        message.attribute(IFLA_VXLAN_LEARNING, &[0]);
        message.attribute(IFLA_VXLAN_PORT, &VXLAN_PORT.to_be_bytes());
        message.close(data);
        message.close(info);
        self.apply(message)
    }

    /// Frames to `mac` on a VXLAN link travel to `address`.
    pub fn set_forwarding(&self, index: u32, mac: [u8; 6], address: IpAddr) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.neighbour(libc::AF_BRIDGE as u8, index, libc::NTF_SELF);
        message.ip(libc::NDA_DST, address);
        message.attribute(libc::NDA_LLADDR, &mac);
        self.apply(message)
    }

    /// `address` is at `mac`, for good.
    pub fn set_neighbour(&self, index: u32, address: IpAddr, mac: [u8; 6]) -> io::Result<()> {
        let mut message = Message::new(libc::RTM_NEWNEIGH, libc::NLM_F_CREATE | libc::NLM_F_REPLACE);
        message.neighbour(family(address), index, 0);
        message.ip(libc::NDA_DST, address);
        message.attribute(libc::NDA_LLADDR, &mac);
        self.apply(message)
    }
}

/// The kinds of a message's attributes.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        // Shorter than its own header: not a message of the kernel.
        bytes = bytes.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
        Some(kind)
    })
}

fn family(ip: IpAddr) -> u8 {
    (if ip.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}
