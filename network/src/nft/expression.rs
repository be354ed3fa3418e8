//! The expressions that our rules are made of, each as `nft` would print it.

use super::encode::Attributes;

/// 32-bit registers, by number of `enum nft_registers`. A value of several words fills the following ones.
#[derive(Clone, Copy, Debug)]
pub struct Register(u32);

pub const R0: Register = Register(8);
pub const R1: Register = Register(9);
pub const R2: Register = Register(10);
pub const R3: Register = Register(11);
const VERDICT: Register = Register(0);

pub const META_MARK: u32 = 3;
pub const META_OUT_NAME: u32 = 7;
pub const META_PROTOCOL: u32 = 16;

/// Packets with this bit of the mark are masqueraded on their way out (kube-proxy's bit).
pub const MASQUERADE_MARK: u32 = 0x4000;

fn expression(name: &str, data: Attributes) -> Attributes {
    Attributes::new().text(1, name).nested(2, data)
}

fn value(bytes: &[u8]) -> Attributes {
    Attributes::new().bytes(1, bytes)
}

pub fn source_address(to: Register) -> Attributes {
    payload(to, 1, 12, 4)
}

pub fn destination_address(to: Register) -> Attributes {
    payload(to, 1, 16, 4)
}

/// `th dport`.
pub fn destination_port(to: Register) -> Attributes {
    payload(to, 2, 2, 2)
}

fn payload(to: Register, base: u32, offset: u32, length: u32) -> Attributes {
    expression("payload", Attributes::new().u32(1, to.0).u32(2, base).u32(3, offset).u32(4, length))
}

pub fn meta(to: Register, key: u32) -> Attributes {
    expression("meta", Attributes::new().u32(1, to.0).u32(2, key))
}

fn set_meta(key: u32, from: Register) -> Attributes {
    expression("meta", Attributes::new().u32(2, key).u32(3, from.0))
}

pub fn equal(register: Register, bytes: &[u8]) -> Attributes {
    compare(register, 0, bytes)
}

pub fn not_equal(register: Register, bytes: &[u8]) -> Attributes {
    compare(register, 1, bytes)
}

fn compare(register: Register, operation: u32, bytes: &[u8]) -> Attributes {
    expression("cmp", Attributes::new().u32(1, register.0).u32(2, operation).nested(3, value(bytes)))
}

pub fn mask(register: Register, and: u32, xor: u32, network_order: bool) -> Attributes {
    let bytes = |number: u32| if network_order { number.to_be_bytes() } else { number.to_ne_bytes() };
    let data = Attributes::new().u32(1, register.0).u32(2, register.0).u32(3, 4);
    expression("bitwise", data.nested(4, value(&bytes(and))).nested(5, value(&bytes(xor))))
}

/// `register in set`, else the rule ends.
pub fn member(register: Register, set: &str) -> Attributes {
    expression("lookup", Attributes::new().text(1, set).u32(2, register.0))
}

/// Looks up a verdict and follows it.
pub fn verdict_of(register: Register, map: &str) -> Attributes {
    expression("lookup", Attributes::new().text(1, map).u32(2, register.0).u32(3, VERDICT.0))
}

/// Looks up a value; the rule ends when there is none.
pub fn value_of(register: Register, map: &str, to: Register) -> Attributes {
    expression("lookup", Attributes::new().text(1, map).u32(2, register.0).u32(3, to.0))
}

pub fn load(to: Register, bytes: &[u8]) -> Attributes {
    expression("immediate", Attributes::new().u32(1, to.0).nested(2, value(bytes)))
}

/// `numgen random mod N`.
pub fn random(to: Register, modulus: u32) -> Attributes {
    expression("numgen", Attributes::new().u32(1, to.0).u32(2, modulus).u32(3, 1))
}

/// `jhash … mod N`.
pub fn hash(from: Register, length: u32, to: Register, modulus: u32) -> Attributes {
    expression("hash", Attributes::new().u32(1, from.0).u32(2, to.0).u32(3, length).u32(4, modulus).u32(5, 1).u32(7, 0))
}

/// `dnat to address : port`.
pub fn translate_destination(address: Register, port: Register) -> Attributes {
    expression("nat", Attributes::new().u32(1, 1).u32(2, 2).u32(3, address.0).u32(5, port.0))
}

/// `masquerade fully-random`.
pub fn masquerade() -> Attributes {
    expression("masq", Attributes::new().u32(1, 1 << 4))
}

/// `reject with tcp reset`.
pub fn reset() -> Attributes {
    expression("reject", Attributes::new().u32(1, 1))
}

/// `reject with icmp port-unreachable`.
pub fn unreachable() -> Attributes {
    expression("reject", Attributes::new().u32(1, 0).bytes(2, &[3]))
}

/// `fib daddr type local`.
pub fn destination_is_local() -> [Attributes; 2] {
    const LOCAL: u32 = 2;
    let lookup = expression("fib", Attributes::new().u32(1, R0.0).u32(2, 3).u32(3, 2));
    [lookup, equal(R0, &LOCAL.to_ne_bytes())]
}

/// `meta mark set meta mark | bit`.
pub fn set_masquerade_mark() -> [Attributes; 3] {
    [meta(R0, META_MARK), mask(R0, !MASQUERADE_MARK, MASQUERADE_MARK, false), set_meta(META_MARK, R0)]
}

pub fn has_masquerade_mark() -> [Attributes; 3] {
    let bit = MASQUERADE_MARK.to_ne_bytes();
    [meta(R0, META_MARK), mask(R0, MASQUERADE_MARK, 0, false), equal(R0, &bit)]
}
