//! Connections that this server opens: to webhooks, which it asks, and to servers that it hands requests on to.
//!
//! [`Place`] says where somebody is, as objects say it, and becomes a [`Target`]; [`tls`] is whom the server trusts there; `connect` opens
//! the connection. [`Webhooks`] sends reviews over connections that are kept, [`relay`] hands on one request, upgrades included; [`Through`] makes links of its answer lead back through here.

mod connect;
mod place;
mod relay;
mod rewrite;
pub(crate) mod tls;
mod webhooks;

pub(crate) use connect::connect;
pub use place::Client;
pub(crate) use place::locate;
pub(crate) use relay::{RelayError, relay};
pub(crate) use rewrite::Through;
pub use webhooks::Webhooks;
