//! The server's front door: who may come in, and the transports on both sides.
//!
//! ```text
//! client ──TLS──> serve ──authn──> ApiServer::handle ──> NodeProxy (kubelet) ──TLS──> node
//!                  │ certificate, front proxy or token -> UserInfo, or whom that user impersonates
//! ```
//! In-process clients skip this module: whoever wires the process gives them their identity.

pub mod authn;
pub mod authz;
pub mod bootstrap;
pub mod impersonate;
pub mod kubelet;
pub mod oidc;
pub mod pki;
pub mod request_header;
pub mod requests;
pub mod serve;
pub mod tokens;
