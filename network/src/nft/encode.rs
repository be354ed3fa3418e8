//! Netlink messages as bytes (`linux/netfilter/nf_tables.h`): headers, attributes, nesting. Numbers are big-endian.

pub const NEW_TABLE: u8 = 0;
pub const DELETE_TABLE: u8 = 2;
pub const NEW_CHAIN: u8 = 3;
pub const DELETE_CHAIN: u8 = 5;
pub const NEW_RULE: u8 = 6;
pub const DELETE_RULE: u8 = 8;
pub const NEW_SET: u8 = 9;
pub const NEW_ELEMENTS: u8 = 12;
pub const DELETE_ELEMENTS: u8 = 14;

const SUBSYSTEM_NFTABLES: u8 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const FAMILY_UNSPEC: u8 = 0;
const FAMILY_IPV4: u8 = 2;

const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

const NESTED: u16 = 0x8000;

/// Attributes being written.
#[derive(Clone, Debug, Default)]
pub struct Attributes(Vec<u8>);

impl Attributes {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    /// A string with its terminating zero.
    pub fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn nested(self, kind: u16, inner: Attributes) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }

    /// As `NFTA_LIST_ELEM`, the kind that all list members have.
    pub fn list(self, kind: u16, members: impl IntoIterator<Item = Attributes>) -> Self {
        let inner = members.into_iter().fold(Attributes::new(), |list, member| list.nested(1, member));
        self.nested(kind, inner)
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// A transaction: all commands take effect, or none.
#[derive(Debug)]
pub struct Batch {
    bytes: Vec<u8>,
    /// What each sequence number stands for, for the error message.
    commands: Vec<&'static str>,
    last: usize,
}

impl Batch {
    pub fn new() -> Self {
        let mut batch = Self { bytes: Vec::new(), commands: Vec::new(), last: 0 };
        batch.message(BATCH_BEGIN, REQUEST, FAMILY_UNSPEC, u16::from(SUBSYSTEM_NFTABLES), &[]);
        batch.commands.push("begin");
        batch
    }

    pub fn create(&mut self, what: &'static str, command: u8, attributes: Attributes) {
        self.command(what, command, CREATE | APPEND, attributes);
    }

    pub fn delete(&mut self, what: &'static str, command: u8, attributes: Attributes) {
        self.command(what, command, 0, attributes);
    }

    fn command(&mut self, what: &'static str, command: u8, flags: u16, attributes: Attributes) {
        self.last = self.bytes.len();
        let kind = u16::from(SUBSYSTEM_NFTABLES) << 8 | u16::from(command);
        self.message(kind, REQUEST | flags, FAMILY_IPV4, 0, &attributes.0);
        self.commands.push(what);
    }

    fn message(&mut self, kind: u16, flags: u16, family: u8, resource: u16, attributes: &[u8]) {
        let length = (16 + 4 + attributes.len()) as u32;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(flags.to_ne_bytes());
        self.bytes.extend((self.commands.len() as u32).to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }

    pub fn is_empty(&self) -> bool {
        self.commands.len() == 1
    }

    /// The bytes to send, and the command of each sequence number. The last command is the one that is acknowledged.
    pub fn finish(mut self) -> (Vec<u8>, Vec<&'static str>) {
        let flags = self.last + 6;
        let acknowledged = u16::from_ne_bytes([self.bytes[flags], self.bytes[flags + 1]]) | ACK;
        self.bytes[flags..flags + 2].copy_from_slice(&acknowledged.to_ne_bytes());
        self.message(BATCH_END, REQUEST, FAMILY_UNSPEC, u16::from(SUBSYSTEM_NFTABLES), &[]);
        self.commands.push("end");
        (self.bytes, self.commands)
    }
}
