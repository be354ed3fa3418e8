//! Kubernetes' protobuf (`application/vnd.kubernetes.protobuf`), transcoded from and to JSON trees by the schema facts.
//!
//! - [`decode`] gives the JSON that Go would write after reading the message: empty values of plain `omitempty` fields are
//!   absent, and what Go always writes is there.
//! - [`encode`] gives the bytes that Go would write, to the last one: fields in order of their numbers, plain fields also when
//!   they are empty, map entries sorted.
//! - [`unwrap`] and [`wrap`] handle the envelope around a message, [`decode_object`] and [`encode_object`] both at once.
//!
//! Structs that Go embeds are flat in JSON and nested messages here ([`crate::schema::Message`]). Leaves of their own form
//! (times, quantities, embedded JSON) are in `leaf`.

mod decode;
mod encode;
mod envelope;
mod leaf;
mod wire;

pub use decode::{DecodeError, decode};
pub use encode::{EncodeError, encode};
pub use envelope::{
    CONTENT_TYPE, Envelope, MAGIC, decode_object, encode_list, encode_object, unwrap, watch_event, wrap,
};
