//! What a container is launched with: from the pod's words to the runtime's specification. Pure.
//!
//! [`container`] brings it together from `env`, `mounts`, `security` and `resources`; [`sandbox`] is the pod around it.

pub mod container;
pub mod env;
pub mod expand;
pub mod fields;
pub mod hostfiles;
pub mod labels;
pub mod mounts;
pub mod objects;
pub mod qos;
pub mod resources;
pub mod sandbox;
pub mod security;
pub mod services;
pub mod signals;
