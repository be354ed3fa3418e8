//! The controllers together, against the real API server over the memory store.

mod collection;
mod definitions;
mod roles;
mod services;
mod volumes;
mod workloads;
mod world;
