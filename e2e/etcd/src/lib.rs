//! A real etcd for tests: built once from its Go module, which is beside this file, and started as often as wanted.
#![allow(clippy::print_stderr, reason = "tests tell the person who runs them")]

mod build;
mod server;

pub use build::{VERSION, binary};
pub use server::{Place, Server};
