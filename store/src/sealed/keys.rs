//! Keys of encryption at rest, and the text that a file of them has.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::rand::SecureRandom;

pub const ID_LENGTH: usize = 8;
const LENGTH: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("read keys: line {0} is not an id and a key, both in hexadecimal digits")]
    Line(usize),
    #[error("read keys: there are none")]
    None,
    #[error("use a key: the cipher refuses it")]
    Unusable,
    #[error("make a key: the system gives no random bytes")]
    Random,
}

/// At least one. The first one seals; all open.
#[derive(Clone)]
pub struct Keys(Vec<Key>);

#[derive(Clone)]
pub struct Key {
    id: [u8; ID_LENGTH],
    bytes: [u8; LENGTH],
    cipher: Arc<LessSafeKey>,
}

impl Keys {
    /// # Errors
    /// [`KeysError::Random`].
    pub fn generate() -> Result<Self, KeysError> {
        Ok(Self(vec![Key::generate()?]))
    }

    /// Keys that somebody has named, the first one first. Their ids follow from their names.
    ///
    /// # Errors
    /// [`KeysError::None`].
    pub fn named(keys: &[(String, [u8; LENGTH])]) -> Result<Self, KeysError> {
        let key = |(name, bytes): &(String, [u8; LENGTH])| {
            let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
            let id = digest.as_ref().first_chunk().ok_or(KeysError::Unusable)?;
            Key::new(*id, *bytes).ok_or(KeysError::Unusable)
        };
        let keys = keys.iter().map(key).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self(keys)) }
    }

    /// A new first one.
    ///
    /// # Errors
    /// [`KeysError::Random`].
    pub fn rotate(&mut self) -> Result<(), KeysError> {
        self.0.insert(0, Key::generate()?);
        Ok(())
    }

    pub fn first(&self) -> &Key {
        &self.0[0]
    }

    pub fn by_id(&self, id: &[u8]) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// What a file of them holds: a line for each, the first one first.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|key| format!("{} {}\n", show(&key.id), show(&key.bytes))).collect()
    }
}

impl Key {
    fn generate() -> Result<Self, KeysError> {
        let random = ring::rand::SystemRandom::new();
        let (mut id, mut bytes) = ([0; ID_LENGTH], [0; LENGTH]);
        random.fill(&mut id).and_then(|()| random.fill(&mut bytes)).map_err(|_| KeysError::Random)?;
        Self::new(id, bytes).ok_or(KeysError::Random)
    }

    fn new(id: [u8; ID_LENGTH], bytes: [u8; LENGTH]) -> Option<Self> {
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
        Some(Self { id, bytes, cipher: Arc::new(cipher) })
    }

    /// Tells it from others; no secret.
    pub fn id(&self) -> &[u8; ID_LENGTH] {
        &self.id
    }

    pub(super) fn cipher(&self) -> &LessSafeKey {
        &self.cipher
    }
}

/// The ids alone: a log must not have the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| show(&key.id))).finish()
    }
}

impl FromStr for Keys {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        let key = |line: &str| {
            let (id, key) = line.split_once(' ')?;
            Key::new(digits(id)?, digits(key)?)
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let keys: Vec<Key> = lines
            .map(|(number, line)| key(line.trim()).ok_or(KeysError::Line(number + 1)))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeysError::None) } else { Ok(Self(keys)) }
    }
}

pub fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_text() {
        let mut keys = Keys::generate().unwrap();
        let old = *keys.first().id();
        keys.rotate().unwrap();
        let read: Keys = keys.to_text().parse().unwrap();
        assert_eq!((read.first().id(), read.to_text()), (keys.first().id(), keys.to_text()));
        assert!(read.by_id(&old).is_some());
        assert!(!format!("{keys:?}").contains(&show(&keys.first().bytes)));
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line() {
        let good = Keys::generate().unwrap().to_text();
        let table = [
            (String::new(), "read keys: there are none"),
            (format!("{good}x y\n"), "read keys: line 2 is not an id and a key, both in hexadecimal digits"),
            (good.replace(' ', ""), "read keys: line 1 is not an id and a key, both in hexadecimal digits"),
            (
                good.to_uppercase().replacen(' ', " é", 1),
                "read keys: line 1 is not an id and a key, both in hexadecimal digits",
            ),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<Keys>().unwrap_err().to_string(), expected);
        }
    }
}
