//! The object model and the API machinery that needs no IO.

pub mod apply;
pub mod discovery;
pub mod exposition;
pub mod field;
pub mod gvk;
pub mod jsonpath;
pub mod meta;
pub mod names;
pub mod nesting;
pub mod openapi;
pub mod patch;
pub mod protobuf;
pub mod quantity;
pub mod quota;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod status;
pub mod structural;
pub mod table;
pub mod time;

/// An object in flight: a JSON tree. At rest it is bytes.
pub type Object = serde_json::Value;
