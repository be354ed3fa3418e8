//! SPDY/3.1, which kubectl speaks for exec, attach and port-forward: many streams in one connection.
//!
//! ```text
//! socket ──bytes──> frame::Decoder ──frames──> connection::Connection ──events──> driver ──> Stream, Stream ...
//!        <─bytes─── frame::Encoder <────────── (no IO, no clock)      <─commands─ (one task)
//! ```
//! [`headers`] compresses header blocks with the [`dictionary`] of the protocol. The protocol is the public draft "SPDY Protocol -
//! Draft 3.1"; its only clients today are those of Kubernetes, made with the Go library spdystream. That one never sends
//! WINDOW_UPDATE, so windows limit us only after a peer has shown that it keeps them; what protects us from a peer that sends more
//! than a stream takes is that the connection is not read meanwhile.

mod connection;
mod dictionary;
mod driver;
mod frame;
mod headers;
#[cfg(test)]
mod tests;

pub use driver::{Incoming, Outlet, Stream, serve};

/// The peer does not keep to the protocol: the connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("version {0} of SPDY is not spoken here")]
    Version(u16),
    #[error("a control frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a frame is cut short")]
    Short,
    #[error("a header block cannot be read: {0}")]
    Headers(&'static str),
    #[error("stream 0 cannot be used")]
    StreamZero,
}
