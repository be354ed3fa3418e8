//! CEL, the Common Expression Language, as Kubernetes v1.35 uses it.
//!
//! An [`Env`] says what an expression can use. [`Env::compile`] makes a tree of its text (`syntax`) and finds out its types (`check`);
//! [`cost::estimate`] says how much it can cost. A [`Program`] computes it (`eval`) over values that may stay in the JSON they came in
//! (`value`), with a limit on its cost. The functions are one table (`library`). `schema` is what an OpenAPI schema says about data: its
//! types, and how large it may be. `admission` is what expressions of policies and webhooks can use,
//! `patch` what mutating ones make.
//!
//! The specification is cel-go 0.26 with the libraries of `k8s.io/apiserver/pkg/cel`. What an expression may cost decides which
//! definitions are accepted, so costs are computed exactly as there.

pub mod admission;
mod check;
pub mod cost;
mod env;
mod error;
mod eval;
mod issue;
mod library;
pub mod patch;
pub mod schema;
mod syntax;
mod types;
mod value;

pub use check::Checked;
pub use env::Env;
pub use error::Error;
pub use eval::{Outcome, Program, Variables};
pub use issue::{Issue, Issues};
pub use library::{Authorizer, Check, Decision, Libraries, Library, Subject};
pub use types::Type;
pub use value::{Key, List, Map, Opaque, Text, Time, Value, equal};

/// What one expression may cost when it is computed.
pub const CALL_LIMIT: u64 = 1_000_000;
/// What all rules of one object may cost together.
pub const OBJECT_BUDGET: u64 = 10_000_000;
