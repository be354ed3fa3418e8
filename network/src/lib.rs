//! The service network of a node: Services and EndpointSlices become one rule set, the rule set becomes nftables.
//!
//! ```text
//! informers ──> rules::of_service (pure) ──> RuleSet ──> RuleSet::changes (pure) ──> nft::Table, one transaction each
//! ```
//! The pod network of one node (bridge, addresses) is the runtime's: a sandbox is made with its address. The ways between nodes'
//! pod networks are decided here: [`routes`] (pure), [`keep_routes`] (its driver).

mod between;
pub mod nft;
pub mod routes;
pub mod rules;
mod services;

pub use between::{Kernel, keep_routes};
pub use rules::{Backend, Frontend, Node, Protocol, Rule, RuleSet};
pub use services::{Config, remove, run};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("open a netlink socket: {0}")]
    Socket(#[source] std::io::Error),
    #[error("send a rule set to the kernel: {0}")]
    Send(#[source] std::io::Error),
    /// `what` is the command that the kernel refused; nothing of the transaction took place.
    #[error("change nftables ({what}): {source}")]
    Refused { what: &'static str, source: std::io::Error },
}

pub type Result<T> = std::result::Result<T, Error>;
