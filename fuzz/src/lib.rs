//! Fuzz targets: what strangers send, thrown at the code that reads it.
//!
//! A [`Target`] is a function of bytes that panics when something does not hold. [`limits::run`] calls it within a second of CPU time
//! and 256 MiB of memory. [`mutate`] makes other inputs of an input: of JSON by its schema, so that they reach what is behind parsers.
//!
//! `tests/sample.rs` runs every target on its corpus (`corpus/<target>`: seeds, and every input that once broke something) and on some
//! thousand mutations of a fixed seed. `cargo xtask fuzz` runs them for long under libFuzzer (`main.rs`), which follows the
//! branches and comparisons of instrumented code.

pub mod kinds;
pub mod limits;
pub mod mutate;
mod random;
mod server;
mod targets;

pub use random::Random;
pub use targets::{TARGETS, Target};

#[global_allocator]
static ALLOCATOR: limits::Counting = limits::Counting;
