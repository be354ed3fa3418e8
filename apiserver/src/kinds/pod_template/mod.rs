//! Pods as templates: the defaults and the validation of a PodSpec, shared by Pod and by every kind that makes pods.
//!
//! [`defaults`] fills a spec in; [`spec`] checks one and calls the files named after what they check, in upstream's order.

pub mod affinity;
pub mod annotations;
pub mod containers;
pub mod defaults;
pub mod disks;
mod dns;
mod env;
pub mod handlers;
mod image;
mod initiators;
pub mod kind;
mod mounts;
mod os;
pub mod paths;
pub mod pod_level;
mod projected;
pub mod resources;
mod security;
pub mod spec;
mod spread;
pub mod tolerations;
mod virtual_paths;
pub mod volume_defaults;
mod volume_drivers;
mod volumes;
pub mod warnings;
mod windows;

#[cfg(test)]
mod tests;
