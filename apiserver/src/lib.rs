//! The API server: one REST pipeline for every kind.

pub mod admission;
mod allocation;
pub mod authorizer;
pub mod body;
pub mod cache;
pub mod config;
mod core;
mod decode;
mod events;
pub mod front;
pub mod kinds;
mod media;
mod metadata;
pub mod node_proxy;
mod options;
mod pipeline;
pub mod query;
pub mod registry;
pub mod request;
mod selection;
pub mod server;
pub mod strategy;
pub mod token;
pub mod user;
mod warnings;

pub use body::{Body, BoxError};
pub use config::Config;
pub use server::ApiServer;
pub use user::UserInfo;
