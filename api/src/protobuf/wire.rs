//! Tags, varints and lengths.

use super::DecodeError;

pub const VARINT: u8 = 0;
pub const FIXED64: u8 = 1;
pub const BYTES: u8 = 2;
const GROUP_START: u8 = 3;
const GROUP_END: u8 = 4;
const FIXED32: u8 = 5;

/// Reads the fields of one message.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Field number and wire type of the next field; None at the end.
    pub fn tag(&mut self) -> Result<Option<(u32, u8)>, DecodeError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let (number, wire_type) = ((tag >> 3) as u32, (tag & 7) as u8);
        if number == 0 || number > i32::MAX as u32 {
            return Err(DecodeError::IllegalTag { number: number as i32, wire_type });
        }
        Ok(Some((number, wire_type)))
    }

    pub fn varint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
            self.bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Overflow)
    }

    pub fn double(&mut self) -> Result<f64, DecodeError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(f64::from_le_bytes(*bytes))
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = usize::try_from(self.varint()?).map_err(|_| DecodeError::NegativeLength)?;
        if length > isize::MAX as usize {
            return Err(DecodeError::NegativeLength);
        }
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(bytes)
    }

    /// Passes over a field that nobody knows.
    pub fn skip(&mut self, wire_type: u8) -> Result<(), DecodeError> {
        let mut wire_type = wire_type;
        let mut groups = 0usize;
        loop {
            match wire_type {
                VARINT => drop(self.varint()?),
                FIXED64 => drop(self.take(8)?),
                BYTES => drop(self.bytes()?),
                FIXED32 => drop(self.take(4)?),
                GROUP_START => groups += 1,
                GROUP_END => groups = groups.checked_sub(1).ok_or(DecodeError::EndOfGroup)?,
                other => return Err(DecodeError::IllegalWireType(other)),
            }
            if groups == 0 {
                return Ok(());
            }
            wire_type = (self.varint()? & 7) as u8;
        }
    }
}

/// Writes the fields of messages.
#[derive(Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn tag(&mut self, number: u32, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    pub fn varint_field(&mut self, number: u32, value: u64) {
        self.tag(number, VARINT);
        self.varint(value);
    }

    /// Negative numbers take ten bytes, as in Go.
    pub fn int_field(&mut self, number: u32, value: i64) {
        self.varint_field(number, value as u64);
    }

    pub fn double_field(&mut self, number: u32, value: f64) {
        self.tag(number, FIXED64);
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn bytes_field(&mut self, number: u32, bytes: &[u8]) {
        self.tag(number, BYTES);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// A nested message; most are shorter than 128 bytes, so one byte is left for the length.
    pub fn message<E>(&mut self, number: u32, write: impl FnOnce(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.tag(number, BYTES);
        let start = self.bytes.len();
        self.bytes.push(0);
        write(self)?;
        let length = self.bytes.len() - start - 1;
        if length < 0x80 {
            self.bytes[start] = length as u8;
            return Ok(());
        }
        let mut prefix = Self::default();
        prefix.varint(length as u64);
        self.bytes.splice(start..=start, prefix.bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints() {
        let cases: [(u64, &[u8]); 5] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ];
        for (value, bytes) in cases {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(writer.into_bytes(), bytes);
            assert_eq!(Reader::new(bytes).varint(), Ok(value));
        }
        assert_eq!(Reader::new(&[0x80; 11]).varint(), Err(DecodeError::Overflow));
        assert_eq!(Reader::new(&[0x80]).varint(), Err(DecodeError::Truncated));
    }

    #[test]
    fn long_messages_get_long_lengths() {
        let mut writer = Writer::default();
        let inner = |writer: &mut Writer| -> Result<(), ()> {
            writer.bytes_field(1, &[7; 200]);
            Ok(())
        };
        assert_eq!(writer.message(2, inner), Ok(()));
        let bytes = writer.into_bytes();
        assert_eq!(bytes[..6], [0x12, 203, 1, 0x0a, 200, 1]);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.tag(), Ok(Some((2, BYTES))));
        assert_eq!(reader.bytes().map(<[u8]>::len), Ok(203));
        assert!(reader.is_empty());
    }

    #[test]
    fn skips_fields_of_every_wire_type() {
        let cases: [(&[u8], u8); 6] =
            [(&[1], 0), (&[0; 8], 1), (&[2, 0, 0], 2), (&[0; 4], 5), (&[0x08, 1, 0x0c], 3), (&[0x0b, 0x0c, 0x0c], 3)];
        for (bytes, wire_type) in cases {
            let mut reader = Reader::new(bytes);
            assert_eq!(reader.skip(wire_type), Ok(()), "{wire_type}");
            assert!(reader.is_empty(), "{wire_type}");
        }
        assert_eq!(Reader::new(&[]).skip(4), Err(DecodeError::EndOfGroup));
        assert_eq!(Reader::new(&[]).skip(6), Err(DecodeError::IllegalWireType(6)));
        assert_eq!(Reader::new(&[5, 0]).skip(2), Err(DecodeError::Truncated));
    }
}
