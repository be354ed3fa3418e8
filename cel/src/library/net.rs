//! Addresses and networks (`library/ip.go`, `library/cidr.go`).

use std::fmt;
use std::net::IpAddr;

use super::{Row, member, row, text};
use crate::cost::Rule;
use crate::error::Error;
use crate::value::{Opaque, Value, to_string};

pub(super) const ROWS: &[Row] = &[
    row("ip", "string_to_ip", "string", "ip", Rule::Parse, |args| ip(parse(text(args, 0)?)?)),
    member("family", "ip_family", "ip", "int", Rule::Unit, |args| {
        Ok(Value::Int(if address(args, 0)?.0.is_ipv4() { 4 } else { 6 }))
    }),
    row("ip.isCanonical", "ip_is_canonical", "string", "bool", Rule::ParseTwice, |args| {
        let text = text(args, 0)?;
        Ok((parse(text)?.to_string() == text).into())
    }),
    row("isIP", "is_ip", "string", "bool", Rule::Parse, |args| Ok(parse(text(args, 0)?).is_ok().into())),
    member("isUnspecified", "ip_is_unspecified", "ip", "bool", Rule::Unit, |args| {
        Ok(address(args, 0)?.0.is_unspecified().into())
    }),
    member("isLoopback", "ip_is_loopback", "ip", "bool", Rule::Unit, |args| {
        Ok(address(args, 0)?.0.is_loopback().into())
    }),
    member("isLinkLocalMulticast", "ip_is_link_local_multicast", "ip", "bool", Rule::Unit, |args| {
        Ok(address(args, 0)?.is_link_local_multicast().into())
    }),
    member("isLinkLocalUnicast", "ip_is_link_local_unicast", "ip", "bool", Rule::Unit, |args| {
        Ok(address(args, 0)?.is_link_local_unicast().into())
    }),
    member("isGlobalUnicast", "ip_is_global_unicast", "ip", "bool", Rule::Unit, |args| {
        Ok(address(args, 0)?.is_global_unicast().into())
    }),
    row("string", "ip_to_string", "ip", "string", Rule::Unit, |args| to_string(&args[0])),
    row("cidr", "string_to_cidr", "string", "cidr", Rule::Parse, |args| cidr(network(text(args, 0)?)?)),
    member("containsIP", "cidr_contains_ip_string", "cidr, string", "bool", Rule::ContainsIp, |args| {
        // Upstream takes what is no address for a value of another type.
        let address = parse(text(args, 1)?).map_err(|_| Error::NO_OVERLOAD)?;
        Ok(block(args, 0)?.contains(address).into())
    }),
    member("containsIP", "cidr_contains_ip_ip", "cidr, ip", "bool", Rule::ContainsIp, |args| {
        Ok(block(args, 0)?.contains(address(args, 1)?).into())
    }),
    member("containsCIDR", "cidr_contains_cidr_string", "cidr, string", "bool", Rule::ContainsCidr, |args| {
        Ok(block(args, 0)?.covers(network(text(args, 1)?)?).into())
    }),
    member("containsCIDR", "cidr_contains_cidr", "cidr, cidr", "bool", Rule::ContainsCidr, |args| {
        Ok(block(args, 0)?.covers(block(args, 1)?).into())
    }),
    member("ip", "cidr_ip", "cidr", "ip", Rule::Unit, |args| ip(block(args, 0)?.address)),
    member("prefixLength", "cidr_prefix_length", "cidr", "int", Rule::Unit, |args| {
        Ok(Value::Int(i64::from(block(args, 0)?.bits)))
    }),
    member("masked", "cidr_masked", "cidr", "cidr", Rule::Unit, |args| {
        let Block { address, bits } = block(args, 0)?;
        cidr(Block { address: address.masked(bits), bits })
    }),
    row("isCIDR", "is_cidr", "string", "bool", Rule::Parse, |args| Ok(network(text(args, 0)?).is_ok().into())),
    row("string", "cidr_to_string", "cidr", "string", Rule::Unit, |args| to_string(&args[0])),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address(IpAddr);

/// An address, of which the first bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    address: Address,
    bits: u8,
}

impl Address {
    /// In bytes.
    pub fn size(self) -> usize {
        if self.0.is_ipv4() { 4 } else { 16 }
    }

    fn masked(self, bits: u8) -> Self {
        Self(match self.0 {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or_default();
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default();
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        })
    }

    fn is_link_local_multicast(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.octets()[0] == 0xff && v6.octets()[1] & 0x0f == 2,
        }
    }

    fn is_link_local_unicast(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        }
    }

    fn is_global_unicast(self) -> bool {
        let broadcast = matches!(self.0, IpAddr::V4(v4) if v4.is_broadcast());
        let other = self.0.is_unspecified() || self.0.is_loopback() || self.0.is_multicast();
        !(broadcast || other || self.is_link_local_unicast())
    }
}

impl Block {
    /// The bytes that count.
    pub fn size(self) -> usize {
        usize::from(self.bits).div_ceil(8)
    }

    fn contains(self, address: Address) -> bool {
        address.0.is_ipv4() == self.address.0.is_ipv4() && address.masked(self.bits) == self.address.masked(self.bits)
    }

    fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn parse(text: &str) -> Result<Address, Error> {
    let plain = text.split_once('%').map_or(text, |(plain, _)| plain);
    let Ok(address) = plain.parse::<IpAddr>() else {
        return Err(Error::new(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        )));
    };
    if plain != text {
        return Err(Error::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Error::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")));
    }
    Ok(Address(address))
}

fn network(text: &str) -> Result<Block, Error> {
    let wrong = |why: &str| {
        Error::new(format!(
            "network address parse error during conversion from string: network address parse error during conversion \
             from string: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let parsed: IpAddr = address.parse().map_err(|_| wrong(&format!("ParseAddr({address:?}): unable to parse IP")))?;
    let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
    let bits = match bits.parse::<u8>() {
        Ok(number) if digits && (bits == "0" || !bits.starts_with('0')) => number,
        _ => return Err(wrong(&format!("bad bits after slash: {bits:?}"))),
    };
    if bits > if parsed.is_ipv4() { 32 } else { 128 } {
        return Err(wrong("prefix length out of range"));
    }
    if matches!(parsed, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
        return Err(Error::new(format!(
            "network address parse error during conversion from string: IPv4-mapped IPv6 address {text:?} is not allowed"
        )));
    }
    Ok(Block { address: Address(parsed), bits })
}

fn ip<'v>(address: Address) -> Result<Value<'v>, Error> {
    Ok(Value::Opaque(Opaque::Ip(address)))
}

fn cidr<'v>(block: Block) -> Result<Value<'v>, Error> {
    Ok(Value::Opaque(Opaque::Cidr(block)))
}

fn address(args: &[Value<'_>], index: usize) -> Result<Address, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Ip(address))) => Ok(*address),
        _ => Err(Error::NO_OVERLOAD),
    }
}

fn block(args: &[Value<'_>], index: usize) -> Result<Block, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Cidr(block))) => Ok(*block),
        _ => Err(Error::NO_OVERLOAD),
    }
}
