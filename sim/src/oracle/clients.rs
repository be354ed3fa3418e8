//! Rules about what a client is told.

use std::collections::BTreeMap;

use http::Method;

use super::Oracle;
use crate::clock::{self, SECOND};
use crate::wire::{Arrived, Connection, Parcel};

#[derive(Default)]
pub struct Clients {
    /// The newest revision of the store when a request reached the server.
    begun: BTreeMap<Connection, u64>,
    /// The revision up to which a watch has told everything.
    told: BTreeMap<Connection, u64>,
}

/// An answer or an event that reaches its client.
pub type Answered = Arrived;

impl Oracle {
    pub fn request_arrived(&mut self, connection: Connection) {
        let newest = self.revision();
        self.clients.begun.insert(connection, newest);
    }

    pub fn told(&mut self, told: &Answered) {
        let success = |status: &http::StatusCode| status.is_success();
        match &told.parcel {
            Parcel::Answer(status, None) if success(status) => self.watch_begun(told),
            Parcel::Answer(status, Some(body)) if success(status) => {
                let body = String::from_utf8_lossy(body);
                match told.method {
                    Method::GET => self.read(told, &body),
                    Method::DELETE => {}
                    _ => self.written(told, &body),
                }
            }
            Parcel::Frame(bytes) => {
                let lines = String::from_utf8_lossy(bytes);
                lines.lines().filter(|line| !line.is_empty()).for_each(|line| self.event(told, line));
            }
            Parcel::Fail if told.uri.contains("/binding") => {
                // It may be done, and the scheduler hears of it by its watch only.
                self.scheduler_doubts_until = clock::now() + 100 * SECOND;
            }
            Parcel::Fail if told.method == Method::POST => {
                // The controllers try again what may be done.
                self.rollout.blind_until = self.rollout.blind_until.max(clock::now() + 20 * SECOND);
            }
            _ => {}
        }
        if !matches!(told.parcel, Parcel::Frame(_) | Parcel::Answer(_, None)) {
            self.clients.begun.remove(&told.connection);
            self.clients.told.remove(&told.connection);
        }
    }

    fn watch_begun(&mut self, told: &Answered) {
        if let Some(from) =
            query(&told.uri, "resourceVersion").and_then(|from| from.parse().ok()).filter(|from| *from > 0)
        {
            self.clients.told.insert(told.connection, from);
        }
    }

    /// A watch tells of every write to its collection after where it began, in order.
    fn event(&mut self, told: &Answered, line: &str) {
        let (Some(revision), Some(position)) = (version(line), self.clients.told.get(&told.connection).copied()) else {
            return;
        };
        if line.starts_with("{\"type\":\"ERROR\"") {
            return;
        }
        let bookmark = line.starts_with("{\"type\":\"BOOKMARK\"");
        if revision < position || revision == position && !bookmark {
            self.violated(
                "what a watch tells only grows",
                format!("{} was told {revision} after {position}: {}", told.client, told.uri),
            );
        }
        if let Some(revisions) = self.by_resource.get(&resource(&told.uri)).filter(|_| !has_selector(&told.uri)) {
            let next = revisions.get(revisions.partition_point(|each| *each <= position)).copied();
            let skipped = next.filter(|next| *next < revision);
            if let Some(skipped) = skipped {
                self.violated(
                    "no watch skips an event",
                    format!("{} was told {revision} after {position}, not {skipped}: {}", told.client, told.uri),
                );
            }
        }
        self.clients.told.insert(told.connection, revision);
    }

    /// A read without a version shows everything that was written before it came. With the order of events on each watch, this
    /// makes what a client sees of a collection only grow.
    fn read(&mut self, told: &Answered, body: &str) {
        let list = body.contains("\"items\":[");
        let at = if list { list_version(body) } else { None };
        let Some(revision) = at.filter(|_| query(&told.uri, "resourceVersion").is_none()) else { return };
        let begun = self.clients.begun.get(&told.connection).copied().unwrap_or(0);
        if revision < begun {
            self.violated(
                "a list shows what was written before",
                format!("{} got {revision} when {begun} was written: {}", told.client, told.uri),
            );
        }
    }

    /// What was acknowledged is in the history, and was made of what the client had said it was made of.
    fn written(&mut self, told: &Answered, body: &str) {
        let Some(revision) = version(body) else { return };
        let known = usize::try_from(revision).ok().and_then(|at| self.log.get(at.wrapping_sub(1))).cloned();
        let Some((_, before)) = known else {
            return self.violated(
                "no acknowledged write is lost",
                format!("{} was told {revision}, the newest is {}: {}", told.client, self.revision(), told.uri),
            );
        };
        let sent = String::from_utf8_lossy(&told.body);
        let expected = version(&sent).filter(|_| told.method != Method::POST);
        if let Some(expected) = expected
            && expected != before
            && expected != revision
        {
            self.violated(
                "no write overwrites what its author had not seen",
                format!("{} wrote {revision} over {before}, having seen {expected}: {}", told.client, told.uri),
            );
        }
    }
}

/// The first resourceVersion of a text, which is that of the object.
fn version(text: &str) -> Option<u64> {
    number_after(text, "\"resourceVersion\":\"")
}

fn list_version(text: &str) -> Option<u64> {
    const START: &str = "\"metadata\":{\"resourceVersion\":\"";
    number_after(text, START).or_else(|| number_after(text, "\"metadata\":{\"remainingItemCount\":"))
}

fn number_after(text: &str, start: &str) -> Option<u64> {
    let at = text.find(start)? + start.len();
    let digits: String = text[at..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn query<'a>(uri: &'a str, key: &str) -> Option<&'a str> {
    let query = uri.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')).filter(|value| !value.is_empty())
}

fn has_selector(uri: &str) -> bool {
    uri.contains("fieldSelector=") || uri.contains("labelSelector=") || uri.contains("/namespaces/")
}

/// `core/pods` of `/api/v1/pods?watch=true`, `apps/deployments` of `/apis/apps/v1/deployments`.
fn resource(uri: &str) -> String {
    let path = uri.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match parts[..] {
        ["api", _, plural, ..] => format!("core/{plural}"),
        ["apis", group, _, plural, ..] => format!("{group}/{plural}"),
        _ => String::new(),
    }
}
