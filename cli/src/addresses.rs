//! Networks as clusters are given them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    pub address: Ipv4Addr,
    pub prefix: u8,
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// `10.244.1.0/24`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32)?;
        Some(Self { address: address.parse().ok()?, prefix })
    }

    /// The first part of it, of a size.
    pub fn first(self, prefix: u8) -> Self {
        Self { address: self.address, prefix: prefix.max(self.prefix) }
    }

    /// The address at an offset.
    pub fn nth(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) + offset)
    }

    pub fn overlaps(self, other: Self) -> bool {
        let prefix = u32::from(self.prefix.min(other.prefix));
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }
}

/// The networks in `/proc/net/route`, without the default route.
pub fn parse_routes(text: &str) -> Vec<Network> {
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let hex = |text: Option<&str>| u32::from_str_radix(text?, 16).ok().map(u32::swap_bytes);
        let destination = hex(fields.nth(1))?;
        let mask = hex(fields.nth(5))?;
        (mask != 0).then(|| Network { address: destination.into(), prefix: mask.leading_ones() as u8 })
    };
    text.lines().skip(1).filter_map(parse).collect()
}
