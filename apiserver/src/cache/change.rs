//! One change of one object, as all watchers share it.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};

use super::stored::Stored;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    Added,
    Modified,
    Deleted,
}

impl EventType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// `previous` and `current` are the states around the change; one of them is always there.
#[derive(Debug)]
pub struct Change {
    pub revision: u64,
    pub current: Option<Arc<Stored>>,
    pub previous: Option<Arc<Stored>>,
    frames: Frames,
    protobuf: Frames,
}

/// By type of event; made once for all watchers.
type Frames = [OnceLock<Bytes>; 3];

impl Change {
    pub fn new(revision: u64, current: Option<Arc<Stored>>, previous: Option<Arc<Stored>>) -> Self {
        Self { revision, current, previous, frames: Default::default(), protobuf: Default::default() }
    }

    /// What a watcher sees that selects objects by `matches`: an object that begins to match is added, one that ceases to
    /// is deleted.
    pub fn seen_by(&self, matches: impl Fn(&Stored) -> bool) -> Option<EventType> {
        let now = self.current.as_deref().is_some_and(&matches);
        let before = self.previous.as_deref().is_some_and(&matches);
        match (before, now) {
            (false, true) => Some(EventType::Added),
            (true, true) => Some(EventType::Modified),
            (true, false) => Some(EventType::Deleted),
            (false, false) => None,
        }
    }

    /// The object of an event. A deletion shows the last state that matched, at this change's revision.
    pub fn object(&self, event: EventType) -> Bytes {
        let current = self.current.as_ref().filter(|_| event != EventType::Deleted);
        match (current, &self.previous) {
            (Some(current), _) => current.json.clone(),
            (None, Some(previous)) => previous.json_at(self.revision),
            (None, None) => Bytes::from_static(b"{}"),
        }
    }

    /// The event as a line of a JSON watch.
    pub fn frame(&self, event: EventType) -> Bytes {
        self.frames[event as usize].get_or_init(|| frame(event.as_str(), &self.object(event))).clone()
    }

    /// The event as a frame of a protobuf watch, which `make` makes of the object.
    pub fn protobuf(&self, event: EventType, make: impl FnOnce(&[u8]) -> Bytes) -> Bytes {
        self.protobuf[event as usize].get_or_init(|| make(&self.object(event))).clone()
    }
}

/// `{"type":"ADDED","object":...}` and a newline.
pub fn frame(event: &str, object: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(object.len() + 40);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(event.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
    out.freeze()
}
