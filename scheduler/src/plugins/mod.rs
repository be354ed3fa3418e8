//! One file per plugin, by upstream's names. A new one is a file here and a row in [`default_profile`].

mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_balanced_allocation;
mod node_resources_fit;
mod node_unschedulable;
mod taint_toleration;

use std::sync::Arc;

use crate::framework::{Plugin, Profile, Weighted};

pub use node_affinity::NodeAffinity;
pub use node_name::NodeName;
pub use node_ports::NodePorts;
pub use node_resources_balanced_allocation::NodeResourcesBalancedAllocation;
pub use node_resources_fit::NodeResourcesFit;
pub use node_unschedulable::NodeUnschedulable;
pub use taint_toleration::TaintToleration;

/// Upstream's default order and weights.
pub fn default_profile(scheduler_name: &str) -> Profile {
    let row = |plugin: Arc<dyn Plugin>, weight| Weighted { plugin, weight };
    Profile {
        scheduler_name: scheduler_name.to_owned(),
        plugins: vec![
            row(Arc::new(NodeUnschedulable), 0),
            row(Arc::new(NodeName), 0),
            row(Arc::new(TaintToleration), 3),
            row(Arc::new(NodeAffinity), 2),
            row(Arc::new(NodePorts), 0),
            row(Arc::new(NodeResourcesFit), 1),
            row(Arc::new(NodeResourcesBalancedAllocation), 1),
        ],
    }
}
