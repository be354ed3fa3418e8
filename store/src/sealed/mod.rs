//! A store whose values below some keys are ciphertext: encryption at rest.
//!
//! It wraps any other store. Values are sealed by AES-256-GCM with the first of the [`Keys`] and opened with any of them; the
//! name of the value's key is authenticated with it, so that no value can be put in the place of another one. What was written
//! before there were keys is plaintext, stays readable, and is sealed when it is written next. [`Sealed::seal_again`] seals with
//! the first key what an older one has sealed.
//!
//! A sealed value is a zero byte (no object begins with one), the number of the format, the id of the key, the nonce, and the
//! ciphertext of the place of the stamp and the value.

mod keys;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use ring::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce};
use ring::rand::SecureRandom;

pub use keys::{Keys, KeysError};

use crate::{
    Durability, Error, Event, Expect, KeyValue, Page, Range, Result, Revision, Store, Value, WatchStream, Write,
};

const MARK: [u8; 2] = [0, 1];
const ID: usize = keys::ID_LENGTH;
const HEAD: usize = MARK.len() + ID + NONCE_LEN;
/// There is no stamp.
const NO_STAMP: u32 = u32::MAX;

/// See the module doc.
pub struct Sealed {
    inner: Arc<dyn Store>,
    seal: Arc<Seal>,
}

/// What a [`Sealed`] seals.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Values of keys that begin with one of these...
    pub prefixes: Vec<Bytes>,
    /// ...and with none of these.
    pub except: Vec<Bytes>,
    /// What is written is sealed; otherwise it stays plaintext, and only what was sealed before is opened.
    pub seals: bool,
}

struct Seal {
    keys: Keys,
    scope: Scope,
    random: ring::rand::SystemRandom,
}

impl Sealed {
    /// All values of keys that begin with one of these are sealed.
    pub fn new(inner: Arc<dyn Store>, keys: Keys, prefixes: Vec<Bytes>) -> Self {
        Self::within(inner, keys, Scope { prefixes, except: Vec::new(), seals: true })
    }

    pub fn within(inner: Arc<dyn Store>, keys: Keys, scope: Scope) -> Self {
        Self { inner, seal: Arc::new(Seal { keys, scope, random: ring::rand::SystemRandom::new() }) }
    }

    /// Whether there is a key for each value, as they are now; nothing is decrypted.
    ///
    /// # Errors
    /// [`Error::KeyGone`] of the first value without one, or the store's.
    pub async fn has_all_keys(&self) -> Result<()> {
        for prefix in &self.seal.scope.prefixes {
            for found in self.inner.range(Range::prefix(prefix.clone()), None, 0).await?.items {
                let id = found.value.strip_prefix(&MARK[..]).and_then(|rest| rest.get(..ID));
                if let Some(id) = id.filter(|id| self.seal.covers(&found.key) && self.seal.keys.by_id(id).is_none()) {
                    let name = String::from_utf8_lossy(&found.key).into_owned();
                    return Err(Error::KeyGone { name, id: keys::show(id) });
                }
            }
        }
        Ok(())
    }

    /// Seals with the first key what another key has sealed. Answers with how many values those were; others may write
    /// meanwhile. Plaintext stays: it does not tell where its stamp is.
    ///
    /// # Errors
    /// The store's, or a value that none of the keys opens.
    pub async fn seal_again(&self) -> Result<usize> {
        let mut count = 0;
        for prefix in &self.seal.scope.prefixes {
            for found in self.inner.range(Range::prefix(prefix.clone()), None, 0).await?.items {
                let sealed = self.seal.covers(&found.key) && found.value.starts_with(&MARK);
                if !sealed || self.seal.is_current(&found.value) {
                    continue;
                }
                let (plain, stamp) = self.seal.open(&found)?;
                let value = Value { bytes: plain, stamp };
                let sealed = Write::Put(self.seal.close(&found.key, value)?);
                match self.inner.write(found.key, sealed, Expect::At(found.modified), Durability::Synced).await {
                    Ok(_) => count += 1,
                    // Somebody wrote it, and so sealed it.
                    Err(Error::Conflict { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(count)
    }
}

impl Seal {
    fn covers(&self, key: &[u8]) -> bool {
        let within = |prefixes: &[Bytes]| prefixes.iter().any(|prefix| key.starts_with(prefix));
        within(&self.scope.prefixes) && !within(&self.scope.except)
    }

    fn is_current(&self, value: &[u8]) -> bool {
        value.get(MARK.len()..MARK.len() + ID) == Some(&self.keys.first().id()[..])
    }

    fn close(&self, name: &[u8], value: Value) -> Result<Value> {
        let failed = |_| Error::Unavailable("encrypt a value: the cipher failed".to_owned());
        let key = self.keys.first();
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(failed)?;
        let stamp = value.stamp.map_or(NO_STAMP, |at| u32::try_from(at.min(value.bytes.len())).unwrap_or(NO_STAMP));
        let mut text = Vec::with_capacity(4 + value.bytes.len() + AES_256_GCM.tag_len());
        text.extend(stamp.to_be_bytes());
        text.extend_from_slice(&value.bytes);
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        key.cipher().seal_in_place_append_tag(nonce_used, Aad::from(name), &mut text).map_err(failed)?;
        let sealed = [&MARK[..], key.id(), &nonce, &text].concat();
        Ok(Value { bytes: sealed.into(), stamp: None })
    }

    /// The plaintext without its stamp, and where that belongs. What is not sealed has it already.
    fn open(&self, found: &KeyValue) -> Result<(Bytes, Option<usize>)> {
        if !found.value.starts_with(&MARK) {
            return Ok((found.value.clone(), None));
        }
        let name = || String::from_utf8_lossy(&found.key).into_owned();
        let broken = || Error::Unavailable(format!("decrypt {}: it is damaged, or not its own", name()));
        let (head, text) = found.value.split_at_checked(HEAD).ok_or_else(broken)?;
        let id = &head[MARK.len()..MARK.len() + ID];
        let gone = || Error::KeyGone { name: name(), id: keys::show(id) };
        let key = self.keys.by_id(id).ok_or_else(gone)?;
        let nonce = Nonce::try_assume_unique_for_key(&head[MARK.len() + ID..]).map_err(|_| broken())?;
        let mut text = text.to_vec();
        let plain = key.cipher().open_in_place(nonce, Aad::from(&found.key[..]), &mut text).map_err(|_| broken())?;
        let (stamp, plain) = plain.split_first_chunk::<4>().ok_or_else(broken)?;
        let stamp = u32::from_be_bytes(*stamp);
        let stamp = (stamp != NO_STAMP).then_some(stamp as usize);
        Ok((Bytes::copy_from_slice(plain), stamp))
    }

    /// As a reader wants it.
    fn show(&self, found: KeyValue) -> Result<KeyValue> {
        if !self.covers(&found.key) {
            return Ok(found);
        }
        let (plain, stamp) = self.open(&found)?;
        let value = match stamp {
            None => plain,
            Some(at) => {
                let (before, after) = plain.split_at_checked(at).unwrap_or((&plain, &[]));
                [before, found.modified.to_string().as_bytes(), after].concat().into()
            }
        };
        Ok(KeyValue { value, ..found })
    }

    fn show_error(&self, error: Error) -> Error {
        match error {
            Error::Conflict { actual: Some(found) } => match self.show(found) {
                Ok(shown) => Error::Conflict { actual: Some(shown) },
                Err(error) => error,
            },
            other => other,
        }
    }

    fn show_event(&self, event: Event) -> Result<Event> {
        let show = |state: Option<KeyValue>| state.map(|state| self.show(state)).transpose();
        Ok(Event { current: show(event.current)?, previous: show(event.previous)?, ..event })
    }
}

impl Store for Sealed {
    fn revision(&self) -> BoxFuture<'_, Result<Revision>> {
        self.inner.revision()
    }

    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<KeyValue>>> {
        let found = self.inner.get(key);
        found.map(|found| found?.map(|found| self.seal.show(found)).transpose()).boxed()
    }

    fn range(&self, range: Range, at: Option<Revision>, limit: usize) -> BoxFuture<'_, Result<Page>> {
        let page = self.inner.range(range, at, limit);
        let show = |page: Page| {
            let items = page.items.into_iter().map(|found| self.seal.show(found)).collect::<Result<_>>()?;
            Ok(Page { items, ..page })
        };
        page.map(move |page| page.and_then(show)).boxed()
    }

    fn write(
        &self,
        key: Bytes,
        write: Write,
        expect: Expect,
        durability: Durability,
    ) -> BoxFuture<'_, Result<Revision>> {
        let write = match write {
            Write::Put(value) if self.seal.scope.seals && self.seal.covers(&key) => {
                self.seal.close(&key, value).map(Write::Put)
            }
            other => Ok(other),
        };
        async move {
            let written = self.inner.write(key, write?, expect, durability).await;
            written.map_err(|error| self.seal.show_error(error))
        }
        .boxed()
    }

    fn watch(&self, range: Range, after: Revision) -> BoxFuture<'_, Result<WatchStream>> {
        let seal = self.seal.clone();
        let shown = move |events: WatchStream| -> WatchStream {
            events.map(move |event| event.and_then(|event| seal.show_event(event))).boxed()
        };
        self.inner.watch(range, after).map(move |events| events.map(shown)).boxed()
    }

    fn compact(&self, before: Revision) -> BoxFuture<'_, Result<()>> {
        self.inner.compact(before)
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn sealed(inner: &Arc<dyn Store>, keys: &Keys) -> Sealed {
        Sealed::new(inner.clone(), keys.clone(), vec!["secret/".into()])
    }

    fn value(text: &'static str, stamp: Option<usize>) -> Write {
        Write::Put(Value { bytes: text.into(), stamp })
    }

    async fn put(store: &dyn Store, key: &'static str, write: Write) -> Revision {
        store.write(key.into(), write, Expect::Any, Durability::Synced).await.unwrap()
    }

    async fn text(store: &dyn Store, key: &'static str) -> std::result::Result<String, String> {
        let found = store.get(key.into()).await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&found.ok_or("absent")?.value).into_owned())
    }

    #[tokio::test]
    async fn what_is_below_is_no_plaintext() {
        let inner: Arc<dyn Store> = Arc::new(Memory::new());
        let store = sealed(&inner, &Keys::generate().unwrap());
        put(&store, "secret/a", value("{rev:}hunter2", Some(5))).await;
        put(&store, "open/a", value("hunter2", None)).await;
        assert_eq!(text(&store, "secret/a").await.unwrap(), "{rev:1}hunter2");
        assert!(!text(&*inner, "secret/a").await.unwrap().contains("hunter2"));
        assert_eq!(text(&*inner, "open/a").await.unwrap(), "hunter2");
    }

    #[tokio::test]
    async fn keys_are_rotated() {
        let inner: Arc<dyn Store> = Arc::new(Memory::new());
        put(&*inner, "secret/before", value("plain", None)).await;
        let old = Keys::generate().unwrap();
        put(&sealed(&inner, &old), "secret/a", value("x:", Some(2))).await;
        let mut new = old.clone();
        new.rotate().unwrap();
        let store = sealed(&inner, &new);
        assert_eq!(text(&store, "secret/a").await.unwrap(), "x:2");
        assert_eq!(store.seal_again().await.unwrap(), 1);
        assert_eq!(store.seal_again().await.unwrap(), 0);
        assert_eq!(text(&store, "secret/a").await.unwrap(), "x:3", "the stamp tells the newest write");
        assert_eq!(text(&store, "secret/before").await.unwrap(), "plain");
        assert!(store.has_all_keys().await.is_ok());
        let told = sealed(&inner, &old).has_all_keys().await.unwrap_err();
        assert!(matches!(&told, Error::KeyGone { name, .. } if name == "secret/a"), "{told}");
        let gone = text(&sealed(&inner, &old), "secret/a").await.unwrap_err();
        assert!(gone.contains("decrypt secret/a: none of the keys has the id"), "{gone}");
    }

    #[tokio::test]
    async fn a_value_is_good_in_its_own_place_alone() {
        let inner: Arc<dyn Store> = Arc::new(Memory::new());
        let store = sealed(&inner, &Keys::generate().unwrap());
        put(&store, "secret/a", value("x", None)).await;
        let stolen = inner.get("secret/a".into()).await.unwrap().unwrap().value;
        put(&*inner, "secret/b", Write::Put(Value { bytes: stolen.clone(), stamp: None })).await;
        put(&*inner, "secret/c", Write::Put(Value { bytes: stolen.slice(..20), stamp: None })).await;
        for key in ["secret/b", "secret/c"] {
            let refused = text(&store, key).await.unwrap_err();
            assert_eq!(refused, format!("reach the store: decrypt {key}: it is damaged, or not its own"));
        }
    }
}
