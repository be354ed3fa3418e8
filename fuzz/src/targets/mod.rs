//! The targets, one a file. An input is a few bytes that choose (a kind, a way to send it) and the rest, which is what is read.

mod cel;
mod field_paths;
mod http;
mod json;
mod patches;
mod protobuf;
mod selectors;
mod yaml;

use api::gvk::GroupVersionKind;

/// Of what kind the rest is, by the bytes that choose and by itself.
pub type KindOf = fn(&[u8], &[u8]) -> GroupVersionKind;

/// One thing to fuzz.
pub struct Target {
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
    /// So many bytes choose.
    pub header: usize,
    /// Where the rest may be JSON.
    pub tree: Option<KindOf>,
    /// Words of the language that is read.
    pub words: &'static [&'static str],
}

/// All of them, by name.
pub static TARGETS: [Target; 8] = [
    cel::TARGET,
    field_paths::TARGET,
    http::TARGET,
    json::TARGET,
    patches::TARGET,
    protobuf::TARGET,
    selectors::TARGET,
    yaml::TARGET,
];

/// The bytes that choose, and the rest.
fn split<const N: usize>(data: &[u8]) -> Option<([u8; N], &[u8])> {
    data.split_first_chunk::<N>().map(|(header, rest)| (*header, rest))
}
