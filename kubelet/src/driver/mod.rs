//! The driver: brings news to the pod machines and does their effects.
//!
//! ```text
//!  pods (watch) ─┐                                     ┌─> runtime calls, volumes, probes (perform, start, set_up)
//!  exits ────────┤                                     ├─> status and deletion, in order   (publisher)
//!  answers ──────┼─> manager: machine.handle() ─effects┼─> events                           (reconcile's recorder)
//!  objects ──────┤      one loop, one owner            └─> the server's table
//!  images, time ─┘
//! ```
//! Nothing is asked twice and nothing polls: an effect's answer comes back as news.

mod admit;
mod manager;
mod object_cache;
mod observe;
mod orphans;
mod perform;
mod publisher;
mod service_cache;
mod set_up;
mod start;
mod status_patch;
mod tokens;

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use reconcile::events::Recorder;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::config::Config;
use crate::launch::hostfiles::Dns;
use crate::launch::objects::ObjectKey;
use crate::launch::qos::ResourceMap;
use crate::node_runtime::NodeRuntime;
use crate::paths::Paths;
use crate::pod::Input;
use crate::table::Table;

pub use admit::{Refusal, admit};
pub use manager::{Manager, Sources};
pub use object_cache::ObjectCache;
pub use publisher::Publisher;
pub use service_cache::ServiceCache;
pub use tokens::Tokens;

/// Answers that wait for the loop: more than a burst of pods makes at once; a task with an answer then waits a moment.
pub const NEWS: usize = 1024;

/// What the loop hears from its own tasks.
#[derive(Debug)]
pub enum News {
    Input(String, Input),
    /// A pod's volumes are set up, or why not.
    Volumes(String, Result<set_up::Volumes, String>),
    /// They were brought up to date.
    Refreshed(String, set_up::Volumes),
}

/// What every task of the driver needs.
pub struct Shared {
    pub config: Config,
    pub paths: Paths,
    pub client: Client,
    pub runtime: Arc<dyn NodeRuntime>,
    pub recorder: Recorder,
    pub objects: ObjectCache,
    pub tokens: Tokens,
    pub services: ServiceCache,
    pub table: Table,
    pub clock: Clock,
    pub node_dns: Dns,
    pub allocatable: ResourceMap,
    /// bytes
    pub node_memory: i64,
}

/// A pod event from the API.
#[derive(Debug)]
pub enum PodNews {
    /// Everything there is, at the start and whenever the watch began anew.
    All(Vec<Arc<Pod>>),
    Changed(Arc<Pod>),
    Deleted(Arc<Pod>),
}

pub type ImageChanges = watch::Receiver<u64>;
pub type ObjectChanges = tokio::sync::mpsc::Receiver<ObjectKey>;
