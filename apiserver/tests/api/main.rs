//! The API server from outside: requests over the memory store.

mod harness;
mod lists;
mod model;
mod reads;
mod subresources;
mod watches;
mod writes;
