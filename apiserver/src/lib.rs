//! The API server: one REST pipeline for every kind.

pub mod kinds;
pub mod strategy;
