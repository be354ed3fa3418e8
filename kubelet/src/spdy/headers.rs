//! Header blocks: names and values, compressed by one zlib stream for each direction of a connection.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Error;
use super::dictionary::dictionary;

/// Names are lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// Of a block without compression, and how many it may hold: what Kubernetes sends has a few hundred bytes.
pub const BLOCK_MAX: usize = 64 << 10;
const COUNT_MAX: u32 = 1000;

impl Headers {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn parse(block: &[u8]) -> Result<Self, Error> {
        let mut rest = block;
        let count = number(&mut rest)?;
        if count > COUNT_MAX {
            return Err(Error::Headers("it names too many"));
        }
        (0..count).map(|_| Ok((text(&mut rest)?, text(&mut rest)?))).collect()
    }

    fn write(&self) -> Vec<u8> {
        let mut block = (self.0.len() as u32).to_be_bytes().to_vec();
        for text in self.0.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        block
    }
}

impl FromIterator<(String, String)> for Headers {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(headers: I) -> Self {
        Self(headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect())
    }
}

fn number(rest: &mut &[u8]) -> Result<u32, Error> {
    let (number, after) = rest.split_first_chunk::<4>().ok_or(Error::Short)?;
    *rest = after;
    Ok(u32::from_be_bytes(*number))
}

fn text(rest: &mut &[u8]) -> Result<String, Error> {
    let length = number(rest)? as usize;
    let (text, after) = rest.split_at_checked(length).ok_or(Error::Short)?;
    *rest = after;
    String::from_utf8(text.to_vec()).map_err(|_| Error::Headers("it is no text"))
}

pub struct Deflater(Compress);

impl Deflater {
    pub fn new() -> Self {
        let mut compress = Compress::new(Compression::fast(), true);
        // It can fail only in the middle of a stream.
        let _ = compress.set_dictionary(&dictionary());
        Self(compress)
    }

    pub fn encode(&mut self, headers: &Headers) -> Result<Vec<u8>, Error> {
        let block = headers.write();
        // A block that does not shrink grows by some bytes for each 16 KiB, and by those of the flush.
        let mut output = Vec::with_capacity(block.len() + block.len() / 1000 + 64);
        let start = self.0.total_in();
        loop {
            let done = (self.0.total_in() - start) as usize;
            let status = self.0.compress_vec(&block[done..], &mut output, FlushCompress::Sync);
            status.map_err(|_| Error::Headers("it cannot be compressed"))?;
            if output.len() < output.capacity() {
                return Ok(output);
            }
            output.reserve(256);
        }
    }
}

pub struct Inflater(Decompress);

impl Inflater {
    pub fn new() -> Self {
        Self(Decompress::new(true))
    }

    /// After an error the stream cannot be read any further.
    pub fn decode(&mut self, block: &[u8]) -> Result<Headers, Error> {
        let broken = Error::Headers("it is not compressed as it should be");
        let mut output = Vec::with_capacity((block.len() * 4).clamp(256, BLOCK_MAX));
        let start = self.0.total_in();
        loop {
            let input = &block[(self.0.total_in() - start) as usize..];
            match self.0.decompress_vec(input, &mut output, FlushDecompress::Sync) {
                Err(error) if error.needs_dictionary().is_some() => {
                    self.0.set_dictionary(&dictionary()).map_err(|_| broken.clone())?;
                    continue;
                }
                Err(_) | Ok(Status::StreamEnd) => return Err(broken),
                Ok(Status::Ok | Status::BufError) => {}
            }
            if output.len() < output.capacity() {
                break;
            }
            if output.len() >= BLOCK_MAX {
                return Err(Error::Headers("it is too long"));
            }
            output.reserve(output.len().min(BLOCK_MAX - output.len()));
        }
        match (self.0.total_in() - start) as usize == block.len() {
            true => Headers::parse(&output),
            false => Err(broken),
        }
    }
}
