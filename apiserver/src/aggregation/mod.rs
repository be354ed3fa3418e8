//! API aggregation: other API servers behind this one (`k8s.io/kube-aggregator`).
//!
//! An APIService says who serves a version of a group: this server, or one behind a Service. [`Index`] knows all of them. `register` makes those
//! of what is served here, `available` finds out whether the others answer, and `proxy` hands them their requests, in the user's name.
//! `documents` are what they tell about themselves, which `discovery` and `openapi` merge with what this server tells
//! (`swagger` is how two documents of OpenAPI v2 become one). `trust` publishes
//! by what they know that a request comes from here.

mod available;
mod discovery;
mod documents;
mod index;
mod openapi;
mod priorities;
mod proxy;
mod register;
mod run;
mod swagger;
mod trust;

pub(crate) use index::Index;
pub(crate) use openapi::{document, merged};
pub(crate) use proxy::proxy;
pub(crate) use run::run;
pub use trust::{FRONT_PROXY, FrontProxy};

/// Where APIServices are in the store.
const SERVICES: &str = "apiregistration.k8s.io/apiservices";
const GROUP: &str = "apiregistration.k8s.io";
