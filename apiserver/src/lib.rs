//! The API server: one REST pipeline for every kind.
//!
//! A request's way: [`front`] (TLS, who is it) -> [`server`] (authorize, find the row) -> `verbs` or `subresources` -> for reads
//! the [`cache`], for writes the `pipeline` (decode, [`admission`], the kind's [`strategy`], commit) -> `reply` (the form that the
//! client reads).
//!
//! - [`registry`] is the table of kinds; [`kinds`] has what is special about some.
//! - [`custom`] are the kinds that CustomResourceDefinitions bring.
//! - [`flowcontrol`] says which requests wait or are refused when there are too many.
//! - [`audit`] tells who asked for what.
//! - [`rbac`] is roles and bindings: who may do what.
//! - [`config`] is everything that a server is given: store, clock, randomness, [`authorizer`], [`node_proxy`], [`token`] issuer.
//! - [`features`] is what is off unless it is asked for.
//! - `bootstrap` makes what every cluster has; `background` compacts and sweeps; `routes`, `health`, `metrics` and `openapi` are paths that are no
//!   resource.
//! - `conversion` asks webhooks for versions of custom resources; `outbound` is how the server reaches webhooks and other servers.
//! - [`aggregation`] are other API servers behind this one.
//! - `allocation` gives Services their addresses and ports; `servers` knows who else serves the same store.
//!
//! What is not here: no handler per kind, no typed Kubernetes struct, no way to the store past the pipeline but for sweeps,
//! claims and heartbeats.

pub mod admission;
pub mod aggregation;
mod allocation;
pub mod audit;
pub mod authorizer;
mod autoscaling;
mod background;
pub mod body;
mod bootstrap;
pub mod cache;
mod call;
pub mod config;
mod conversion;
mod core;
pub mod custom;
mod decode;
mod discovered;
mod empties;
mod events;
pub mod features;
pub mod flowcontrol;
pub mod front;
mod gated;
mod gzip;
mod health;
pub mod kinds;
mod managed;
mod media;
mod metadata;
mod metrics;
pub mod node_proxy;
pub mod nodes;
mod openapi;
mod options;
mod outbound;
mod pieces;
mod pipeline;
pub mod query;
pub mod rbac;
pub mod registry;
mod reply;
pub mod request;
mod routes;
mod selection;
pub mod server;
mod servers;
pub mod strategy;
mod subresources;
pub mod token;
pub mod user;
mod verbs;
mod warnings;
mod yaml;

pub use body::{Body, BoxError};
pub use config::Config;
pub use server::ApiServer;
pub use user::UserInfo;
