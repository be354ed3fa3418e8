//! Conversions that are kept, as upstream's watch cache keeps objects in the version in which they are served: a webhook converts each state of
//! an object once for all lists and watches.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cache::Stored;

/// Beyond it everything is forgotten: what is in use is converted again, many at a time.
const MAX_BYTES: usize = 32 << 20;

/// By uid and revision.
#[derive(Default)]
pub(super) struct Kept {
    converted: BTreeMap<(Box<str>, u64), Arc<Stored>>,
    bytes: usize,
}

impl Kept {
    pub fn get(&self, stored: &Stored) -> Option<Arc<Stored>> {
        self.converted.get(&(stored.uid.clone(), stored.revision)).cloned()
    }

    pub fn put(&mut self, stored: &Stored, converted: Arc<Stored>) {
        if self.bytes > MAX_BYTES {
            *self = Self::default();
        }
        self.bytes += converted.json.len();
        self.converted.insert((stored.uid.clone(), stored.revision), converted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(revision: u64, filling: &str) -> Arc<Stored> {
        let json = format!(r#"{{"metadata":{{"name":"a","uid":"u","resourceVersion":"{revision}"}},"x":"{filling}"}}"#);
        Arc::new(Stored::decode(json.into(), revision, &[]).unwrap())
    }

    #[test]
    fn a_state_is_kept_until_there_are_too_many() {
        let mut kept = Kept::default();
        let (first, second) = (stored(1, "a"), stored(2, "b"));
        kept.put(&first, second.clone());
        assert!(kept.get(&first).is_some_and(|found| Arc::ptr_eq(&found, &second)) && kept.get(&second).is_none());
        kept.put(&second, stored(3, &"x".repeat(MAX_BYTES)));
        kept.put(&stored(4, ""), first.clone());
        assert!(kept.get(&first).is_none() && kept.get(&stored(4, "")).is_some());
    }
}
