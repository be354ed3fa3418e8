//! The node's bridge and its sandboxes' links, by raw rtnetlink.

use std::net::IpAddr;

#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}: not built yet")]
    Missing(&'static str),
}

/// Makes (or repairs) the bridge that sandboxes are plugged into, with `gateway` as the host's address on it. Blocks.
/// Acts in the network namespace of the calling thread.
pub fn ensure_bridge(_name: &str, _gateway: IpAddr, _prefix_len: u8, _mtu: u32) -> Result<(), NetError> {
    Err(NetError::Missing("make the bridge"))
}

/// Removes the bridge; no error when there is none. Blocks.
pub fn remove_bridge(_name: &str) -> Result<(), NetError> {
    Err(NetError::Missing("remove the bridge"))
}
