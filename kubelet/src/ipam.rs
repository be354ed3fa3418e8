//! Addresses of pods: the next free one of the node's range, so that an address rests as long as possible before it is
//! given out again. Pure; after a restart it learns from the sandboxes that exist.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::config::PodCidr;

#[derive(Debug)]
pub struct Ipam {
    cidr: PodCidr,
    used: BTreeSet<u32>,
    /// Offset in the range that is tried first.
    next: u32,
}

/// Network and gateway addresses.
const RESERVED: u32 = 2;

impl Ipam {
    pub fn new(cidr: PodCidr) -> Ipam {
        Ipam { cidr, used: BTreeSet::new(), next: RESERVED }
    }

    /// The broadcast address is left out.
    fn end(&self) -> u32 {
        (1 << (32 - self.cidr.prefix_len)) - 1
    }

    /// `None`: all addresses are taken.
    pub fn allocate(&mut self) -> Option<IpAddr> {
        let (from, end) = (self.next, self.end());
        let offset = (from..end).chain(RESERVED..from).find(|offset| !self.used.contains(offset))?;
        self.used.insert(offset);
        self.next = if offset + 1 < end { offset + 1 } else { RESERVED };
        Some(IpAddr::V4(Ipv4Addr::from_bits(self.cidr.network.to_bits() + offset)))
    }

    fn offset(&self, ip: IpAddr) -> Option<u32> {
        match ip {
            IpAddr::V4(v4) if self.cidr.contains(ip) => Some(v4.to_bits() - self.cidr.network.to_bits()),
            _ => None,
        }
    }

    /// An address that a sandbox has already.
    pub fn adopt(&mut self, ip: IpAddr) {
        if let Some(offset) = self.offset(ip) {
            self.used.insert(offset);
            self.next = self.next.max(offset + 1).min(self.end() - 1);
        }
    }

    pub fn release(&mut self, ip: IpAddr) {
        if let Some(offset) = self.offset(ip) {
            self.used.remove(&offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let mut ipam = Ipam::new(PodCidr::parse("10.0.0.0/29").expect("a range"));
        let ip = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        ipam.adopt(ip(3));
        assert_eq!(ipam.allocate(), Some(ip(4)));
        assert_eq!(ipam.allocate(), Some(ip(5)));
        ipam.release(ip(4));
        assert_eq!(ipam.allocate(), Some(ip(6)), "a released address rests");
        assert_eq!(ipam.allocate(), Some(ip(2)));
        assert_eq!(ipam.allocate(), Some(ip(4)));
        assert_eq!(ipam.allocate(), None, "network, gateway and broadcast are not given out");
        ipam.release(ip(3));
        assert_eq!(ipam.allocate(), Some(ip(3)));
    }
}
