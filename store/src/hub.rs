//! Hands events to watchers.
//!
//! Each watcher has a bounded buffer. One that fills it is cut off: it still gets what is buffered, then
//! [`Error::Lagged`], so an event is never skipped and a slow watcher never holds up a writer.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::vec;

use futures::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::{Error, Event, Range, Result, Revision};

/// Events a watcher may lag behind. Room for many group commits in a row, and at most some megabytes of handles: the
/// values are shared.
const WATCH_BUFFER: usize = 16_384;

/// Why a stream ends.
#[derive(Debug)]
enum End {
    Lagged,
    Unavailable(String),
}

struct Watcher {
    range: Range,
    events: mpsc::Sender<Event>,
    end: Arc<OnceLock<End>>,
}

#[derive(Default)]
pub(crate) struct Hub {
    watchers: Vec<Watcher>,
}

impl Hub {
    pub(crate) fn subscribe(&mut self, range: Range, after: Revision, past: Vec<Event>) -> Subscription {
        // A watcher of a quiet range is only seen to be gone here: no event ever fails to reach it.
        self.watchers.retain(|watcher| !watcher.events.is_closed());
        let (events, receiver) = mpsc::channel(WATCH_BUFFER);
        let end = Arc::new(OnceLock::new());
        self.watchers.push(Watcher { range, events, end: end.clone() });
        Subscription { past: past.into_iter(), events: receiver, end, last: after, ended: false }
    }

    pub(crate) fn publish(&mut self, event: &Event) {
        self.watchers.retain(|watcher| {
            if !watcher.range.contains(&event.key) {
                return true;
            }
            match watcher.events.try_send(event.clone()) {
                Ok(()) => true,
                Err(TrySendError::Closed(_)) => false,
                Err(TrySendError::Full(_)) => {
                    tracing::warn!(revision = event.revision.0, "cutting off a slow watcher");
                    let _ = watcher.end.set(End::Lagged);
                    false
                }
            }
        });
    }

    /// Ends every watch with [`Error::Unavailable`].
    pub(crate) fn fail(&mut self, reason: &str) {
        for watcher in self.watchers.drain(..) {
            let _ = watcher.end.set(End::Unavailable(reason.to_owned()));
        }
    }
}

/// One watcher's side: first the events of the past, then the buffered ones, then the error that ended it.
pub(crate) struct Subscription {
    past: vec::IntoIter<Event>,
    events: mpsc::Receiver<Event>,
    end: Arc<OnceLock<End>>,
    /// Revision of the last event given out.
    last: Revision,
    ended: bool,
}

impl Stream for Subscription {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Event>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.past.next() {
            Some(event) => Some(event),
            None => ready!(self.events.poll_recv(cx)),
        };
        Poll::Ready(Some(match next {
            Some(event) => {
                self.last = event.revision;
                Ok(event)
            }
            None => {
                self.ended = true;
                Err(match self.end.get() {
                    Some(End::Lagged) => Error::Lagged { after: self.last },
                    Some(End::Unavailable(reason)) => Error::Unavailable(reason.clone()),
                    None => Error::Unavailable("the store was closed".to_owned()),
                })
            }
        }))
    }
}
