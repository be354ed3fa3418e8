//! One connection's streams, without IO: bytes in, events out; calls in, bytes out.
//!
//! ```text
//! peer's SYN_STREAM ──> opened ──accept──> open ──fin of both sides, or a reset──> (gone)
//!                          └────refuse───────────────────────────────────────────────^
//! ```

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

use super::Error;
use super::frame::{CANCEL, Decoder, Encoder, Frame, INITIAL_WINDOW, PROTOCOL_ERROR, REFUSED_STREAM};
use super::headers::Headers;

/// What a peer takes of a stream before it grants more, unless it says otherwise.
const WINDOW: u64 = 64 << 10;
/// At once. kubectl has two for each forwarded connection.
const STREAMS_MAX: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opens a stream: to be accepted or refused.
    Opened {
        id: u32,
        headers: Headers,
    },
    /// The peer has accepted a stream of ours.
    Accepted(u32),
    Data {
        id: u32,
        data: Bytes,
    },
    /// The peer sends no more.
    Finished(u32),
    /// Neither side can use it any more.
    Reset(u32),
}

#[derive(Debug)]
struct Stream {
    /// We may still send, the peer may still send.
    sending: bool,
    receiving: bool,
    sent: u64,
    /// As far as the peer has granted.
    granted: u64,
}

pub struct Connection {
    decoder: Decoder,
    encoder: Encoder,
    output: BytesMut,
    streams: BTreeMap<u32, Stream>,
    /// The highest stream of the peer.
    last: u32,
    /// Streams of the peer have odd numbers.
    is_server: bool,
    /// The peer keeps windows: it has set one, or moved one.
    windows: bool,
    initial: u64,
    /// We open and take no more streams.
    going: bool,
}

impl Connection {
    pub fn new(is_server: bool) -> Self {
        Self {
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            output: BytesMut::new(),
            streams: BTreeMap::new(),
            last: 0,
            is_server,
            windows: false,
            initial: WINDOW,
            going: false,
        }
    }

    /// What has to be sent; the caller takes it away.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// After an error the connection must be closed, once the output is sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Error> {
        self.decoder.push(bytes);
        let mut events = Vec::new();
        loop {
            match self.decoder.next() {
                Ok(Some(frame)) => self.handle(frame, &mut events)?,
                Ok(None) => return Ok(events),
                Err(error) => {
                    self.write(&Frame::GoAway { last: self.last, status: PROTOCOL_ERROR })?;
                    return Err(error);
                }
            }
        }
    }

    fn handle(&mut self, frame: Frame, events: &mut Vec<Event>) -> Result<(), Error> {
        match frame {
            Frame::SynStream { id, fin, headers } => return self.opened(id, fin, headers, events),
            Frame::SynReply { id, fin, .. } => {
                if self.streams.contains_key(&id) {
                    events.push(Event::Accepted(id));
                    self.finished(id, fin, events);
                }
            }
            Frame::Headers { id, fin, .. } => self.finished(id, fin, events),
            Frame::Data { id, fin, data } => {
                // What comes after a reset was under way.
                if self.streams.get(&id).is_some_and(|stream| stream.receiving) {
                    if !data.is_empty() {
                        events.push(Event::Data { id, data });
                    }
                    self.finished(id, fin, events);
                }
            }
            Frame::Reset { id, .. } => {
                if self.streams.remove(&id).is_some() {
                    events.push(Event::Reset(id));
                }
            }
            Frame::Ping(id) => {
                // Those of the peer have its parity; others answer ours.
                if (id % 2 == 1) == self.is_server {
                    self.write(&Frame::Ping(id))?;
                }
            }
            Frame::GoAway { .. } => self.going = true,
            Frame::Settings(entries) => {
                for (_, value) in entries.into_iter().filter(|(name, _)| *name == INITIAL_WINDOW) {
                    let before = std::mem::replace(&mut self.initial, u64::from(value));
                    self.windows = true;
                    for stream in self.streams.values_mut() {
                        stream.granted = (stream.granted + self.initial).saturating_sub(before);
                    }
                }
            }
            Frame::WindowUpdate { id, delta } => {
                self.windows = true;
                if let Some(stream) = self.streams.get_mut(&id) {
                    stream.granted = stream.granted.saturating_add(u64::from(delta));
                }
            }
        }
        Ok(())
    }

    fn opened(&mut self, id: u32, fin: bool, headers: Headers, events: &mut Vec<Event>) -> Result<(), Error> {
        if (id % 2 == 1) != self.is_server || id <= self.last {
            return self.write(&Frame::Reset { id, status: PROTOCOL_ERROR });
        }
        self.last = id;
        if self.going || self.streams.len() >= STREAMS_MAX {
            return self.write(&Frame::Reset { id, status: REFUSED_STREAM });
        }
        self.streams.insert(id, Stream { sending: true, receiving: true, sent: 0, granted: self.initial });
        events.push(Event::Opened { id, headers });
        self.finished(id, fin, events);
        Ok(())
    }

    fn finished(&mut self, id: u32, fin: bool, events: &mut Vec<Event>) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| fin && stream.receiving) else { return };
        stream.receiving = false;
        events.push(Event::Finished(id));
        self.forget(id);
    }

    fn forget(&mut self, id: u32) {
        if self.streams.get(&id).is_some_and(|stream| !stream.sending && !stream.receiving) {
            self.streams.remove(&id);
        }
    }

    fn write(&mut self, frame: &Frame) -> Result<(), Error> {
        self.encoder.encode(frame, &mut self.output)
    }

    /// Opens a stream of ours.
    #[cfg(test)]
    pub fn open(&mut self, id: u32, headers: Headers) -> Result<(), Error> {
        self.streams.insert(id, Stream { sending: true, receiving: true, sent: 0, granted: self.initial });
        self.write(&Frame::SynStream { id, fin: false, headers })
    }

    pub fn accept(&mut self, id: u32) -> Result<(), Error> {
        match self.streams.contains_key(&id) {
            true => self.write(&Frame::SynReply { id, fin: false, headers: Headers::default() }),
            false => Ok(()),
        }
    }

    /// How much of a stream may be sent now; 0 as well when it is gone.
    pub fn room(&self, id: u32) -> u64 {
        match self.streams.get(&id) {
            Some(stream) if stream.sending && self.windows => stream.granted.saturating_sub(stream.sent),
            Some(stream) if stream.sending => u64::MAX,
            _ => 0,
        }
    }

    pub fn is_open(&self, id: u32) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.sending)
    }

    /// At most as much as there is room.
    pub fn send(&mut self, id: u32, data: Bytes, fin: bool) -> Result<(), Error> {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.sending) else { return Ok(()) };
        stream.sent += data.len() as u64;
        stream.sending = !fin;
        self.write(&Frame::Data { id, fin, data })?;
        self.forget(id);
        Ok(())
    }

    pub fn reset(&mut self, id: u32) -> Result<(), Error> {
        match self.streams.remove(&id) {
            Some(_) => self.write(&Frame::Reset { id, status: CANCEL }),
            None => Ok(()),
        }
    }

    /// So much of a stream was taken by whom it was meant for.
    pub fn consumed(&mut self, id: u32, length: u32) -> Result<(), Error> {
        match self.streams.get(&id).is_some_and(|stream| stream.receiving) {
            true => self.write(&Frame::WindowUpdate { id, delta: length }),
            false => Ok(()),
        }
    }

    /// No more streams. Those that are open go on.
    pub fn go_away(&mut self) -> Result<(), Error> {
        self.going = true;
        self.write(&Frame::GoAway { last: self.last, status: 0 })
    }
}
