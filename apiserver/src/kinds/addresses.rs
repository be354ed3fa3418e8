//! Validation of IP addresses and address ranges in text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::cursor::{Cursor, Errors};

const NOT_AN_IP: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
const NOT_A_RANGE: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

/// As old as these fields are, they allow any spelling of an IPv6 address and, with the gate StrictIPCIDRValidation off as by
/// default, IPv4 addresses with leading zeros.
pub fn ip(at: &Cursor, errors: &mut Errors) {
    if parse(at.str()).is_none() {
        errors.invalid_text(at, NOT_AN_IP);
    }
}

pub fn range(at: &Cursor, errors: &mut Errors) {
    if !is_range(at.str()) {
        errors.invalid_text(at, NOT_A_RANGE);
    }
}

/// As newer fields want it: a whole range, in the one form that there is.
pub fn canonical_range(at: &Cursor, errors: &mut Errors) {
    let text = at.str();
    let Some(range) = Range::parse(text) else { return errors.invalid_text(at, NOT_A_RANGE) };
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let strict = address.parse::<IpAddr>();
    if strict.is_err() || bits.len() > 1 && bits.starts_with('0') {
        errors.invalid_text(at, "must not have leading 0s in IP or prefix length");
    } else if matches!(strict, Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some()) {
        errors.invalid_text(at, "must not have an IPv4-mapped IPv6 address");
    } else if range.masked() != range.address {
        errors.invalid_text(at, "must not have bits set beyond the prefix length");
    } else if format!("{}/{}", range.address, range.bits) != text {
        errors.invalid_text(at, format!("must be in canonical form (\"{}/{}\")", range.address, range.bits));
    }
}

struct Range {
    address: IpAddr,
    bits: u32,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/').filter(|_| is_range(text))?;
        Some(Self { address: parse(address)?, bits: bits.parse().ok()? })
    }

    fn masked(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.bits)).unwrap_or_default();
                IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.bits)).unwrap_or_default();
                IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
            }
        }
    }
}

pub fn is_range(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let max = match parse(address) {
            Some(IpAddr::V4(_)) => 32,
            Some(IpAddr::V6(_)) => 128,
            None => return false,
        };
        !bits.is_empty()
            && bits.bytes().all(|digit| digit.is_ascii_digit())
            && bits.parse().is_ok_and(|bits: u32| bits <= max)
    })
}

/// The first address of a range and the bits that its addresses share.
fn parse_range(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    if !is_range(text) {
        return None;
    }
    let (address, bits) = (parse(address)?, bits.parse().ok()?);
    Some((first_of(address, bits), bits))
}

fn first_of(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or_default();
            IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from(u128::from(address) & mask))
        }
    }
}

/// Whether a range lies inside another one, and is smaller.
pub fn is_strict_part(part: &str, whole: &str) -> bool {
    let (Some((address, bits)), Some((first, whole_bits))) = (parse_range(part), parse_range(whole)) else {
        return false;
    };
    address.is_ipv4() == first.is_ipv4() && whole_bits < bits && first_of(address, whole_bits) == first
}

/// Warnings where a range is in a form that a later release will refuse, or says less than it seems to.
pub fn range_warnings(path: &str, text: &str) -> Vec<String> {
    let Some((address, bits)) =
        text.split_once('/').and_then(|(address, _)| Some((parse(address)?, parse_range(text)?.1)))
    else {
        return Vec::new();
    };
    let range = format!("{}/{bits}", first_of(address, bits));
    let mut warnings = Vec::new();
    if first_of(address, bits) != address {
        let single = format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
        warnings.push(format!(
            "{path}: CIDR value {text:?} is ambiguous in this context (should be {range:?} or {single:?}?)"
        ));
    }
    let (strict, length) = text.split_once('/').unwrap_or_default();
    let plain = strict.parse::<IpAddr>().ok().filter(|strict| *strict == address);
    match plain {
        Some(strict) if bits.to_string() == length => {
            let canonical = format!("{strict}/{bits}");
            if warnings.is_empty() && strict.is_ipv6() && canonical != text {
                let form = "should be in RFC 5952 canonical format";
                warnings.push(format!("{path}: IPv6 CIDR value {text:?} {form} ({canonical:?})"));
            }
        }
        _ => warnings.push(format!(
            "{path}: non-standard CIDR value {text:?} will be considered invalid in a future Kubernetes release: use {range:?}"
        )),
    }
    warnings
}

/// An address as Go's old parser read it: with leading zeros, and an IPv4 address written as IPv6 is the IPv4 one.
pub fn parse(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    let parts: Vec<&str> = text.split('.').collect();
    let octets: Option<Vec<u8>> = parts
        .iter()
        .map(|part| if part.bytes().all(|byte| byte.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect();
    let octets: [u8; 4] = octets?.try_into().ok()?;
    Some(IpAddr::V4(Ipv4Addr::from(octets)))
}

/// An address with the length of its network's prefix, in the one form that there is; `None` for anything else.
pub fn interface(text: &str) -> Option<String> {
    let (address, length) = text.split_once('/')?;
    let (ip, max) = (parse(address)?, if address.contains(':') { 128 } else { 32 });
    let digits = !length.is_empty() && length.bytes().all(|digit| digit.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|length| digits && *length <= max)?;
    let written_longer = ip.is_ipv4() && max == 128;
    Some(format!("{ip}/{}", if written_longer { length.saturating_sub(96) } else { length }))
}

/// `IPv4` or `IPv6`.
pub fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

/// A warning where an address is in a form that a later release will refuse.
pub fn warning(path: &str, text: &str) -> Option<String> {
    let address = parse(text)?;
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(strict)) if strict.to_ipv4_mapped().is_none() && strict.to_string() != text => Some(format!(
            "{path}: IPv6 address {text:?} should be in RFC 5952 canonical format ({:?})",
            strict.to_string()
        )),
        Ok(strict) if strict == address => None,
        _ => Some(format!(
            "{path}: non-standard IP address {text:?} will be considered invalid in a future Kubernetes release: use {:?}",
            address.to_string()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_old_fields() {
        let table = [
            ("10.0.0.1", Some("10.0.0.1")),
            ("010.000.000.001", Some("10.0.0.1")),
            ("2001:DB8::1", Some("2001:db8::1")),
            ("::ffff:1.2.3.4", Some("1.2.3.4")),
            ("10.0.0", None),
            ("10.0.0.256", None),
            ("a.b.c.d", None),
            ("", None),
            ("fe80::1%eth0", None),
        ];
        for (text, expected) in table {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn ranges_lie_in_each_other() {
        let table = [
            ("10.1.0.0/16", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.0.0.0/8", false),
            ("11.1.0.0/16", "10.0.0.0/8", false),
            ("10.1.0.0/16", "0.0.0.0/0", true),
            ("2001:db8:1::/48", "2001:db8::/32", true),
            ("10.1.0.0/16", "2001:db8::/32", false),
        ];
        for (part, whole, expected) in table {
            assert_eq!(is_strict_part(part, whole), expected, "{part} in {whole}");
        }
    }

    #[test]
    fn warnings_name_the_better_range() {
        let table = [
            ("10.0.0.0/8", vec![]),
            (
                "10.0.0.1/8",
                vec![
                    "p: CIDR value \"10.0.0.1/8\" is ambiguous in this context (should be \"10.0.0.0/8\" or \"10.0.0.1/32\"?)",
                ],
            ),
            (
                "10.0.0.0/08",
                vec![
                    "p: non-standard CIDR value \"10.0.0.0/08\" will be considered invalid in a future Kubernetes release: use \"10.0.0.0/8\"",
                ],
            ),
            (
                "2001:DB8::/32",
                vec!["p: IPv6 CIDR value \"2001:DB8::/32\" should be in RFC 5952 canonical format (\"2001:db8::/32\")"],
            ),
        ];
        for (range, expected) in table {
            assert_eq!(range_warnings("p", range), expected);
        }
    }

    #[test]
    fn addresses_of_interfaces() {
        let table = [
            ("10.0.0.1/24", Some("10.0.0.1/24")),
            ("010.0.0.1/24", Some("10.0.0.1/24")),
            ("2001:DB8::1/064", Some("2001:db8::1/64")),
            ("::ffff:1.2.3.4/120", Some("1.2.3.4/24")),
            ("10.0.0.1/33", None),
            ("10.0.0.1", None),
            ("10.0.0.1/+1", None),
        ];
        for (text, expected) in table {
            assert_eq!(interface(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn warnings_name_the_better_form() {
        assert_eq!(warning("spec.ip", "10.0.0.1"), None);
        assert_eq!(warning("spec.ip", "2001:db8::1"), None);
        assert!(warning("spec.ip", "010.0.0.1").is_some_and(|text| text.ends_with("use \"10.0.0.1\"")));
        assert!(warning("spec.ip", "2001:DB8::1").is_some_and(|text| text.contains("RFC 5952")));
    }
}
