//! Patches, by the content type of the request: [`json`] (RFC 6902) and [`merge`] (RFC 7386).

pub mod json;
pub mod merge;
