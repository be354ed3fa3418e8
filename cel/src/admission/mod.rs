//! Expressions of admission: of policies, and of the match conditions of webhooks (`k8s.io/apiserver/pkg/admission/plugin/cel`).
//!
//! [`Environment`] says what they can use and compiles them, [`Activation`] computes them for one request and counts what they cost.

mod activation;
mod environment;

pub use activation::{Activation, Computed, Inputs, OutOfBudget, Variable};
pub use environment::{Compiled, Declared, Environment, Typed};

/// What the validations of one policy may cost for one request, and what its audit annotations may.
pub const BUDGET: u64 = 10_000_000;
/// What match conditions may cost.
pub const CONDITIONS_BUDGET: u64 = BUDGET / 4;
/// The longest text that a message expression may come to, in bytes.
pub const MAX_MESSAGE: usize = 5 * 1024;
