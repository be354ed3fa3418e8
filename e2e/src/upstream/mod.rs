//! Kubernetes' own control plane and its end-to-end tests, at the version that this project follows: what ours is compared with.
//!
//! [`parts`] builds them from the module in `e2e/upstream`, [`server`] runs etcd and kube-apiserver (and the controllers and the
//! scheduler, when asked) in a network namespace, with certificates of [`pki`] on an address of [`network`]:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let upstream = e2e::upstream::start(&e2e::upstream::Options::default())?;
//! let api = e2e::Api::new(&upstream.kubeconfig, &upstream.namespace)?;
//! assert_eq!(api.get("/version")?["gitVersion"], "v1.35.4");
//! # Ok(()) }
//! ```

mod network;
mod parts;
mod pki;
mod server;

pub use network::ADDRESS;
pub use parts::{Part, VERSION};
pub use server::{Kept, Options, Upstream, start, stop};
