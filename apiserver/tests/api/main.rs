//! The API server from outside: requests over the memory store.

mod clients;
mod harness;
mod lists;
mod model;
mod rbac;
mod reads;
mod subresources;
mod watches;
mod writes;
