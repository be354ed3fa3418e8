//! WATCH: a stream of events that begins with the current state, or after a given revision.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::Object;
use api::schema::{SchemaSet, check};
use api::status::Status;
use api::table::TEMPLATE_GENERATION;
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::body::{Body, BoxError};
use crate::cache::{Change, EventType, Stored, Watcher, frame};
use crate::call::Call;
use crate::core::Core;
use crate::flowcontrol::{Lent, Seat};
use crate::media::View;
use crate::metrics::Tally;
use crate::options::ListOptions;
use crate::query::Query;
use crate::registry::Descriptor;
use crate::reply::{Reply, Viewer, included, table_metadata};
use crate::selection::Selection;
use crate::verbs::list::{parse_version, wanted};

/// Changes taken from the cache at a time.
const BATCH: usize = 256;
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// The last bookmark before the end of a watch, so that its client resumes from a recent revision.
const BOOKMARK_BEFORE_END: Duration = Duration::from_secs(2);
/// A watch without timeoutSeconds ends after this time or up to twice as long (upstream's `--min-request-timeout`).
const MIN_TIMEOUT: Duration = Duration::from_secs(1800);

pub(crate) async fn watch(call: &Call) -> Result<Reply, Status> {
    let (options, selection) = wanted(call, true)?;
    let viewer = Viewer::of(call);
    let version = match options.resource_version.as_str() {
        "" => 0,
        text => parse_version(text)?,
    };
    if viewer.view() == View::Table {
        included(&call.query)?;
    }
    let timeout = match options.timeout_seconds {
        Some(seconds) => Duration::from_secs(seconds),
        None => MIN_TIMEOUT + Duration::from_millis(call.core.random() % 1_800_000),
    };
    let now = Instant::now();
    let mut events = Events {
        core: call.core.clone(),
        row: call.row.clone(),
        viewer,
        selection,
        query: call.query.clone(),
        bookmarks: options.allow_bookmarks,
        deadline: now + timeout,
        next_bookmark: next_bookmark(now, now + timeout),
        watcher: None,
        initial: VecDeque::new(),
        after_initial: None,
        ready: VecDeque::new(),
        table_begun: false,
        seat: None,
        last: false,
        tally: call.core.watches.begin(&call.row),
    };
    // From here on errors are events: the request itself was fine.
    if let Err(status) = events.begin(&options, version).await {
        events.fail(&status);
    }
    if !events.initial.is_empty() {
        events.seat = call.take_seat().map(Seat::lend);
    }
    let body = stream::unfold(events, |mut events| async move {
        let frame = events.next().await?;
        events.tally.sent(frame.len());
        Some((Ok::<_, BoxError>(Frame::data(frame)), events))
    });
    let body: Body = StreamBody::new(body).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(call.accepted.stream_type()));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    Ok(Reply::Raw(response))
}

fn next_bookmark(now: Instant, deadline: Instant) -> Instant {
    let last = deadline.checked_sub(BOOKMARK_BEFORE_END).filter(|last| *last > now);
    last.map_or(now + BOOKMARK_INTERVAL, |last| last.min(now + BOOKMARK_INTERVAL))
}

/// The state of one watch.
struct Events {
    core: Arc<Core>,
    row: Arc<Descriptor>,
    viewer: Viewer,
    selection: Selection,
    query: Query,
    bookmarks: bool,
    deadline: Instant,
    next_bookmark: Instant,
    /// `None` after an error: what is ready is sent, then the stream ends.
    watcher: Option<Watcher>,
    /// The current state, still to be sent as additions.
    initial: VecDeque<Arc<Stored>>,
    /// The revision of the bookmark that ends the initial events.
    after_initial: Option<u64>,
    ready: VecDeque<Bytes>,
    /// Columns are sent with the first table only.
    table_begun: bool,
    /// Until the current state is sent.
    seat: Option<Lent>,
    /// The kind is not served like this any more: what is there is sent, then the stream ends.
    last: bool,
    tally: Tally,
}

impl Events {
    async fn begin(&mut self, options: &ListOptions, version: u64) -> Result<(), Status> {
        let initial = options.send_initial_events == Some(true);
        let complete = match (initial, version) {
            (true, 0) if options.resource_version.is_empty() => self.core.fresh().await?,
            (true, version) => self.core.at_least(version).await?,
            (false, _) => self.core.at_least(0).await?,
        };
        let missing = || Status::internal("a served resource has no cache");
        let cache = self.core.caches.get(&self.row.storage).ok_or_else(missing)?;
        let after = if initial {
            let snapshot = cache.list(&self.selection.key_prefix(&self.row), complete);
            let shown = self.core.shown_all(&self.row, snapshot.objects).await?;
            self.initial = shown.into_iter().filter(|object| self.selection.matches(object)).collect();
            if self.bookmarks {
                self.after_initial = Some(snapshot.revision);
            }
            snapshot.revision
        } else if version == 0 {
            complete
        } else {
            version
        };
        self.watcher = Some(cache.watch(after).map_err(|error| too_old(error.asked, error.oldest))?);
        Ok(())
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            // Also when there is always something to send.
            if Instant::now() >= self.deadline {
                return None;
            }
            let pending = !self.ready.is_empty() || !self.initial.is_empty() || self.after_initial.is_some();
            if pending && self.viewer.view() == View::MetadataList && self.watcher.is_some() {
                // No event is a list: upstream fails to write it, and ends.
                return None;
            }
            if let Some(frame) = self.ready.pop_front() {
                return Some(frame);
            }
            if let Some(object) = self.initial.pop_front() {
                return Some(self.added(&object));
            }
            if let Some(revision) = self.after_initial.take() {
                return Some(self.bookmark(revision, true));
            }
            self.seat = None;
            self.tally.tell();
            // Read before the changes are, so that everything up to it is among them.
            let complete = self.core.caches.complete();
            let watcher = self.watcher.as_mut()?;
            match watcher.read(BATCH, complete) {
                Err(error) => self.fail(&too_old(error.asked, error.oldest)),
                Ok(changes) if changes.is_empty() => {
                    if self.last || !self.wait().await {
                        return None;
                    }
                }
                Ok(changes) => self.see_all(changes).await,
            }
        }
    }

    /// Until something happened or a bookmark is due; false at the end of the watch.
    async fn wait(&mut self) -> bool {
        let Some(watcher) = self.watcher.as_mut() else { return false };
        let position = watcher.position();
        tokio::select! {
            () = watcher.changed() => {}
            () = tokio::time::sleep_until(self.deadline) => return false,
            () = self.core.stopping.cancelled() => return false,
            () = self.row.replaced() => self.last = true,
            () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                let now = Instant::now();
                self.next_bookmark = next_bookmark(now, self.deadline);
                // Nothing is left to read up to here.
                let complete = self.core.caches.complete();
                let caught_up = watcher.read(BATCH, complete);
                match caught_up {
                    Ok(changes) if changes.is_empty() => {
                        let position = watcher.position().max(position);
                        let frame = self.bookmark(position, false);
                        self.ready.push_back(frame);
                    }
                    Ok(changes) => self.see_all(changes).await,
                    Err(error) => self.fail(&too_old(error.asked, error.oldest)),
                }
            }
        }
        true
    }

    async fn see_all(&mut self, changes: Vec<Arc<Change>>) {
        match self.core.shown_changes(&self.row, changes).await {
            Ok(changes) => changes.iter().for_each(|change| self.see(change)),
            Err(status) => self.fail(&status),
        }
    }

    fn see(&mut self, change: &Change) {
        let Some(event) = change.seen_by(|object| self.selection.matches(object)) else { return };
        let settled =
            [&change.current, &change.previous].into_iter().flatten().all(|object| self.row.is_settled(object));
        let frame = if self.viewer.is_plain() && settled {
            change.frame(event)
        } else if self.viewer.shares_protobuf() && settled {
            change.protobuf(event, |json| self.view(event, json))
        } else {
            self.view(event, &change.object(event))
        };
        self.ready.push_back(frame);
    }

    fn added(&mut self, object: &Stored) -> Bytes {
        let plain = self.viewer.is_plain() && self.row.is_settled(object);
        if plain { frame("ADDED", &object.json) } else { self.view(EventType::Added, &object.json) }
    }

    fn view(&mut self, event: EventType, json: &[u8]) -> Bytes {
        if self.viewer.view() == View::Metadata
            && let Some(cut) = self.viewer.cut(json)
        {
            return frame(event.as_str(), &cut);
        }
        let viewed = self.viewer.parse(json).and_then(|object| self.show(object));
        match viewed {
            Ok(value) => self.viewer.frame(event.as_str(), &value),
            Err(status) => self.viewer.frame("ERROR", &status.to_json()),
        }
    }

    fn show(&mut self, object: Object) -> Result<Value, Status> {
        match self.viewer.view() {
            // An event is no list: upstream then shows the whole object.
            View::Whole | View::MetadataList => Ok(object),
            View::Metadata => Ok(self.viewer.partial(&object)),
            View::Table => {
                let headers = !std::mem::replace(&mut self.table_begun, true);
                let metadata = table_metadata(&object);
                self.viewer.table(&[object], metadata, &self.query, headers, self.core.now())
            }
        }
    }

    fn bookmark(&mut self, revision: u64, ends_initial_events: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        // The metadata of a table has no annotations.
        if ends_initial_events && self.viewer.view() != View::Table {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.viewer.view() {
            View::Table => {
                self.table_begun = true;
                json!({"kind": "Table", "apiVersion": self.viewer.meta_version(), "metadata": metadata,
                    "columnDefinitions": null, "rows": []})
            }
            View::Metadata => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": self.viewer.meta_version(), "metadata": metadata})
            }
            View::Whole | View::MetadataList => {
                let info = &self.row.info;
                let mut object = json!({"kind": info.kind, "apiVersion": info.api_version(), "metadata": metadata});
                let set = SchemaSet::builtin();
                if let Some(ty) = set.of_kind(&self.row.gvk()) {
                    check::complete(set, ty, &mut object);
                }
                // Only in what upstream works with these are no pointers.
                match (&*info.group, &*info.kind) {
                    ("apps", "Deployment" | "ReplicaSet" | "StatefulSet") => object["spec"]["replicas"] = 0.into(),
                    ("apps", "DaemonSet") => object["metadata"]["annotations"][TEMPLATE_GENERATION] = "0".into(),
                    _ => {}
                }
                object
            }
        };
        self.viewer.frame("BOOKMARK", &object)
    }

    /// The last event.
    fn fail(&mut self, status: &Status) {
        self.ready.push_back(self.viewer.frame("ERROR", &status.to_json()));
        self.watcher = None;
        self.initial.clear();
        self.after_initial = None;
    }
}

fn too_old(asked: u64, oldest: u64) -> Status {
    Status::expired(format!("too old resource version: {asked} ({oldest})"))
}
