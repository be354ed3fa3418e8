//! The API server: one REST pipeline for every kind.

pub mod admission;
pub mod authorizer;
pub mod body;
pub mod config;
pub mod front;
pub mod kinds;
pub mod node_proxy;
pub mod query;
pub mod request;
pub mod server;
pub mod strategy;
pub mod token;
pub mod user;

pub use body::{Body, BoxError};
pub use config::Config;
pub use server::ApiServer;
pub use user::UserInfo;
