//! Patches, by the content type of the request: [`json`] (RFC 6902), [`merge`] (RFC 7386) and [`strategic`], which knows the
//! types.

pub mod json;
pub mod merge;
pub mod strategic;
