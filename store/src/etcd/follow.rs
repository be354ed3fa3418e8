//! A watch that outlives its connections.
//!
//! It knows the last revision up to which it has delivered everything, and after a break goes on from there, at the same
//! member or another. etcd keeps the events of one revision together, so that revision is all of the state there is. A
//! progress notification moves it on while nothing happens in the range, so that a compaction in the meantime is no loss.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::client::{Responses, words};
use super::members::{ANSWER, Backoff, Members};
use super::proto::{Event as Sent, WatchCreateRequest, WatchResponse};
use super::value::{key_value, number, revision};
use crate::{Error, Event, Range, Result, Revision};

/// When nothing came for so long, etcd is asked how far it is. No answer for as long again: another connection is made.
const SILENCE: Duration = Duration::from_secs(20);

pub(super) struct Follow {
    members: Arc<Members>,
    range: Range,
    /// Everything up to here was delivered.
    last: Revision,
    /// Received and not delivered yet.
    ready: VecDeque<Event>,
    connection: Option<Connection>,
    backoff: Backoff,
    ended: bool,
}

struct Connection {
    responses: Responses,
    member: usize,
    /// Nothing came since etcd was asked how far it is.
    asked: bool,
}

impl Follow {
    pub fn new(members: Arc<Members>, range: Range, after: Revision) -> Follow {
        let backoff = Backoff::default();
        Follow { members, range, last: after, ready: VecDeque::new(), connection: None, backoff, ended: false }
    }

    /// Connects if it is not connected. A member that cannot is given up.
    pub async fn connect(&mut self) {
        while self.connection.is_none() {
            let (number, member) = self.members.current();
            let why = match timeout(ANSWER, member.watch(self.request())).await {
                Ok(Ok(responses)) => {
                    self.connection = Some(Connection { responses, member: number, asked: false });
                    return;
                }
                Ok(Err(error)) => words(&error),
                Err(_) => format!("no answer from etcd within {ANSWER:?}"),
            };
            tracing::debug!(why, member = number, "watch not begun, trying another member of etcd");
            self.members.give_up(number);
            self.backoff.pause(&self.members).await;
        }
    }

    fn request(&self) -> WatchCreateRequest {
        WatchCreateRequest {
            key: super::start(&self.range),
            range_end: super::end(&self.range),
            start_revision: number(self.last).saturating_add(1),
            progress_notify: true,
            prev_kv: true,
        }
    }

    pub async fn next(&mut self) -> Option<Result<Event>> {
        while !self.ended {
            if let Some(event) = self.ready.pop_front() {
                self.last = event.revision;
                return Some(Ok(event));
            }
            self.connect().await;
            let Some(connection) = &mut self.connection else { continue };
            match timeout(SILENCE, connection.responses.next()).await {
                Ok(Ok(Some(response))) => {
                    connection.asked = false;
                    self.backoff.reset();
                    if let Some(error) = self.take(response).await {
                        self.ended = true;
                        return Some(Err(error));
                    }
                }
                Ok(Ok(None)) => self.disconnect("etcd ended the watch").await,
                Ok(Err(error)) => self.disconnect(&words(&error)).await,
                Err(_) if connection.asked => self.disconnect("etcd says nothing").await,
                Err(_) => {
                    connection.asked = true;
                    if !connection.responses.ask_progress() {
                        self.disconnect("etcd takes no request").await;
                    }
                }
            }
        }
        None
    }

    /// Answers with the error that ends the watch.
    async fn take(&mut self, response: WatchResponse) -> Option<Error> {
        if response.compact_revision > 0 {
            return Some(Error::Compacted { oldest: revision(response.compact_revision) });
        }
        if response.canceled {
            tracing::debug!(why = response.cancel_reason, "etcd cancelled the watch, beginning it again");
            self.connection = None;
            return None;
        }
        let is_progress = response.events.is_empty() && !response.created;
        if let Some(header) = response.header.filter(|_| is_progress) {
            self.last = self.last.max(revision(header.revision));
        }
        // A member that lags behind may send the past.
        let new = response.events.into_iter().filter_map(event).filter(|(event, _)| event.revision > self.last);
        for (event, is_whole) in new.collect::<Vec<_>>() {
            if !is_whole {
                let before = Revision(event.revision.0 - 1);
                return Some(
                    super::oldest(&self.members, before)
                        .await
                        .map_or_else(|error| error, |oldest| Error::Compacted { oldest }),
                );
            }
            self.ready.push_back(event);
        }
        None
    }

    async fn disconnect(&mut self, why: &str) {
        tracing::debug!(why, after = self.last.0, "watch broke, connecting again");
        if let Some(connection) = self.connection.take() {
            self.members.give_up(connection.member);
        }
        self.backoff.pause(&self.members).await;
    }
}

/// And whether it is whole: etcd looks up the state before it when it sends it, and a compaction may have been quicker.
fn event(sent: Sent) -> Option<(Event, bool)> {
    let current = sent.kv?;
    let began = current.create_revision == current.mod_revision;
    let (revision, key) = (revision(current.mod_revision), current.key.clone());
    // A deletion is kind 1.
    let current = (sent.kind == 0).then(|| key_value(current));
    let is_whole = sent.prev_kv.is_some() || (began && current.is_some());
    Some((Event { revision, key, current, previous: sent.prev_kv.map(key_value) }, is_whole))
}

#[cfg(test)]
mod tests {
    use super::super::proto::KeyValue;
    use super::*;

    #[test]
    fn an_event_without_the_state_before_it_is_not_whole() {
        let state = |created, modified| KeyValue {
            key: "a".into(),
            create_revision: created,
            mod_revision: modified,
            ..KeyValue::default()
        };
        for (name, kind, kv, prev_kv, expected) in [
            ("creation", 0, state(7, 7), None, true),
            ("change", 0, state(5, 7), Some(state(5, 5)), true),
            ("change, compacted", 0, state(5, 7), None, false),
            ("deletion", 1, state(0, 7), Some(state(5, 5)), true),
            ("deletion, compacted", 1, state(0, 7), None, false),
        ] {
            let (event, is_whole) = event(Sent { kind, kv: Some(kv), prev_kv }).unwrap();
            assert_eq!((event.revision, is_whole), (Revision(7), expected), "{name}");
        }
    }
}
