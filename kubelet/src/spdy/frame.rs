//! Frames and their bytes. The decoder takes bytes as they come and holds no more than one control frame; data passes through it in
//! the pieces in which it arrives.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;
use super::headers::{Deflater, Headers, Inflater};

const VERSION: u16 = 3;
const HEADER: usize = 8;
/// Of a control frame: a compressed block of headers, with room for one that does not shrink.
const CONTROL_MAX: usize = super::headers::BLOCK_MAX + 1024;
const FIN: u8 = 1;
const ID: u32 = 0x7fff_ffff;

pub const REFUSED_STREAM: u32 = 3;
pub const CANCEL: u32 = 5;
pub const PROTOCOL_ERROR: u32 = 1;
/// The setting that says how much a peer takes of each stream at first.
pub const INITIAL_WINDOW: u32 = 7;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    SynStream {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    SynReply {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    Reset {
        id: u32,
        status: u32,
    },
    /// Names and values.
    Settings(Vec<(u32, u32)>),
    Ping(u32),
    GoAway {
        last: u32,
        status: u32,
    },
    Headers {
        id: u32,
        fin: bool,
        headers: Headers,
    },
    WindowUpdate {
        id: u32,
        delta: u32,
    },
    /// A frame of data, or a piece of one: only the last piece has its `fin`.
    Data {
        id: u32,
        fin: bool,
        data: Bytes,
    },
}

pub struct Decoder {
    buffer: BytesMut,
    inflater: Inflater,
    /// Of a data frame that is not complete.
    rest: Option<Rest>,
}

struct Rest {
    id: u32,
    fin: bool,
    length: usize,
}

impl Decoder {
    pub fn new() -> Self {
        Self { buffer: BytesMut::new(), inflater: Inflater::new(), rest: None }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for more.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame, when enough has come for it. To be asked until there is none.
    pub fn next(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(rest) = self.rest.take() {
                return Ok(self.piece(rest));
            }
            let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
            let (first, second) = (word(&header[..4]), word(&header[4..]));
            let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
            if first & !ID == 0 {
                if first == 0 {
                    return Err(Error::StreamZero);
                }
                self.buffer.advance(HEADER);
                self.rest = Some(Rest { id: first, fin: flags & FIN != 0, length });
                continue;
            }
            let (version, kind) = ((first >> 16) as u16 & 0x7fff, first as u16);
            if version != VERSION {
                return Err(Error::Version(version));
            }
            if length > CONTROL_MAX {
                return Err(Error::TooLong(length));
            }
            if self.buffer.len() < HEADER + length {
                return Ok(None);
            }
            self.buffer.advance(HEADER);
            let body = self.buffer.split_to(length);
            // A kind that nobody knows is passed over, as the draft wants it.
            if let Some(frame) = self.control(kind, flags & FIN != 0, &body)? {
                return Ok(Some(frame));
            }
        }
    }

    fn piece(&mut self, rest: Rest) -> Option<Frame> {
        let Rest { id, fin, length } = rest;
        if self.buffer.is_empty() && length > 0 {
            self.rest = Some(rest);
            return None;
        }
        let data = self.buffer.split_to(length.min(self.buffer.len())).freeze();
        let left = length - data.len();
        if left > 0 {
            self.rest = Some(Rest { id, fin, length: left });
        }
        Some(Frame::Data { id, fin: fin && left == 0, data })
    }

    fn control(&mut self, kind: u16, fin: bool, mut body: &[u8]) -> Result<Option<Frame>, Error> {
        let mut next = || body.try_get_u32().map_err(|_| Error::Short);
        let frame = match kind {
            1 => {
                let (id, _associated) = (stream(next()?)?, next()?);
                // Priority and slot, which nobody uses.
                let block = body.get(2..).ok_or(Error::Short)?;
                Frame::SynStream { id, fin, headers: self.inflater.decode(block)? }
            }
            2 => Frame::SynReply { id: stream(next()?)?, fin, headers: self.inflater.decode(body)? },
            3 => Frame::Reset { id: stream(next()?)?, status: next()? },
            4 => {
                let count = next()? as usize;
                let entries = body.chunks_exact(8).map(|entry| (word(&entry[..4]) & 0x00ff_ffff, word(&entry[4..])));
                Frame::Settings(entries.take(count).collect())
            }
            6 => Frame::Ping(next()?),
            7 => Frame::GoAway { last: next()? & ID, status: next()? },
            8 => Frame::Headers { id: stream(next()?)?, fin, headers: self.inflater.decode(body)? },
            9 => Frame::WindowUpdate { id: next()? & ID, delta: next()? & ID },
            _ => return Ok(None),
        };
        Ok(Some(frame))
    }
}

/// Of four bytes.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn stream(word: u32) -> Result<u32, Error> {
    match word & ID {
        0 => Err(Error::StreamZero),
        id => Ok(id),
    }
}

pub struct Encoder(Deflater);

impl Encoder {
    pub fn new() -> Self {
        Self(Deflater::new())
    }

    /// Data must be shorter than 16 MiB.
    pub fn encode(&mut self, frame: &Frame, output: &mut BytesMut) -> Result<(), Error> {
        let mut body = Vec::new();
        let (kind, fin) = match frame {
            Frame::Data { id, fin, data } => {
                output.put_u32(*id);
                output.put_u32(u32::from(*fin) << 24 | data.len() as u32);
                output.extend_from_slice(data);
                return Ok(());
            }
            Frame::SynStream { id, fin, headers } => {
                body.put_u32(*id);
                body.put_slice(&[0; 6]);
                body.extend(self.0.encode(headers)?);
                (1, *fin)
            }
            Frame::SynReply { id, fin, headers } | Frame::Headers { id, fin, headers } => {
                body.put_u32(*id);
                body.extend(self.0.encode(headers)?);
                (if matches!(frame, Frame::SynReply { .. }) { 2 } else { 8 }, *fin)
            }
            Frame::Settings(entries) => {
                body.put_u32(entries.len() as u32);
                entries.iter().for_each(|(name, value)| body.put_u64(u64::from(*name) << 32 | u64::from(*value)));
                (4, false)
            }
            Frame::Ping(id) => {
                body.put_u32(*id);
                (6, false)
            }
            Frame::Reset { id: first, status: second }
            | Frame::GoAway { last: first, status: second }
            | Frame::WindowUpdate { id: first, delta: second } => {
                body.put_u32(*first);
                body.put_u32(*second);
                let kind = match frame {
                    Frame::Reset { .. } => 3,
                    Frame::GoAway { .. } => 7,
                    _ => 9,
                };
                (kind, false)
            }
        };
        output.put_u32(0x8000_0000 | u32::from(VERSION) << 16 | kind);
        output.put_u32(u32::from(fin) << 24 | body.len() as u32);
        output.extend_from_slice(&body);
        Ok(())
    }
}
