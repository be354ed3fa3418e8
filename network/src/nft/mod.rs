//! nftables by netlink: no `nft` binary, one atomic batch for each change.
//!
//! ```text
//! table ip <name>
//!   map services   address . protocol . port -> goto chain       every frontend with an address
//!   map nodeports  protocol . port           -> goto chain       looked up for the node's own addresses only
//!   map backends   address . protocol . port . index -> address . port
//!   set refused    address . protocol . port                     frontends without a backend
//!   set hairpin    address . address                             a backend that reaches itself through its service
//!   chain prerouting, output   (nat)      look up services, then nodeports
//!   chain postrouting          (nat)      masquerade what is marked, hairpins, and pods that leave the cluster
//!   chain forward, local       (filter)   refuse what is refused
//!   chain <frontend>                      pick a backend, translate the destination
//! ```

mod encode;
mod expression;
mod socket;
mod table;

pub use table::{PodNetwork, Table};
