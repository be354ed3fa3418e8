//! One watcher: it knows where it is in the history and what it must see next.

use serde_json::Value;

use super::history::{self, Change, History, Pod};
use super::random::Random;
use super::selector::Selector;
use super::{COMPACTION, PODS};
use crate::harness::{Server, Watch};

pub struct Watcher {
    selector: Selector,
    watch: Watch,
    /// Index of the first change that it has not seen.
    pub at: usize,
    /// What it would resume from.
    revision: u64,
    /// So many were as expected.
    pub events: u64,
}

impl Watcher {
    /// One that begins somewhere: at a revision of the past, with what is there, or with a bookmark after that.
    pub async fn start(server: &Server, history: &History, random: &mut Random) -> Self {
        let selector = Selector::random(random);
        let seconds = 3 + random.below(20);
        let options = format!("watch=1&allowWatchBookmarks=true&timeoutSeconds={seconds}&{}", selector.query());
        let at = history.first() + random.below(history.len() - history.first() + 1);
        if let (true, Some(revision)) = (random.below(3) > 0, history.revision_before(at)) {
            let watch = server.watch(&format!("{PODS}?{options}&resourceVersion={revision}")).await;
            return Self { selector, watch, at, revision, events: 0 };
        }
        let at = history.len();
        let mut initial: Vec<(String, Pod)> = history.state().clone().into_iter().collect();
        initial.retain(|(name, pod)| selector.selects(name, pod));
        let bookmark = random.below(2) == 0;
        let how = if bookmark { "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" } else { "" };
        let watch = server.watch(&format!("{PODS}?{options}{how}")).await;
        let mut watcher = Self { selector, watch, at, revision: history.revision_before(at).unwrap_or(0), events: 0 };
        for expected in &initial {
            let event = watcher.watch.next().await.expect("an initial event");
            assert_eq!((&event["type"], &history::read(&event["object"])), (&"ADDED".into(), expected));
            watcher.events += 1;
        }
        if bookmark {
            let event = watcher.watch.next().await.expect("a bookmark");
            assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{event}");
            watcher.bookmark(history, &event);
        }
        watcher
    }

    /// Reads what it must see of the changes below `end`.
    pub async fn follow(&mut self, server: &Server, history: &History, end: usize) {
        while self.at < end {
            let change = history.get(self.at);
            let Some(expected) = self.expected(change) else {
                self.at += 1;
                continue;
            };
            match self.watch.next().await {
                None => self.resume(server).await,
                Some(event) if event["type"] == "BOOKMARK" => self.bookmark(history, &event),
                Some(event) if event["type"] == "ERROR" => {
                    assert_eq!(event["object"]["code"], 410, "{event}");
                    assert!(
                        history.may_be_compacted(history.after(self.revision), COMPACTION),
                        "{event} though it is not that old"
                    );
                    return self.begin_anew(server, history).await;
                }
                Some(event) if event["type"] == "MODIFIED" && change.after.is_none() => self.dying(&expected.1, &event),
                Some(event) => self.event(history, expected, &event),
            }
        }
    }

    /// What it sees of a change: how, and what the object was or is.
    fn expected(&self, change: &Change) -> Option<(&'static str, Pod)> {
        let selects = |pod: &&Pod| self.selector.selects(&change.name, pod);
        match (change.before.as_ref().filter(selects), change.after.as_ref().filter(selects)) {
            (None, None) => None,
            (None, Some(after)) => Some(("ADDED", after.clone())),
            (Some(_), Some(after)) => Some(("MODIFIED", after.clone())),
            (Some(before), None) => Some(("DELETED", before.clone())),
        }
    }

    fn event(&mut self, history: &History, (how, pod): (&'static str, Pod), event: &Value) {
        let change = history.get(self.at);
        let selector = &self.selector;
        assert_eq!(event["type"], how, "{selector:?} {change:?}: {event}");
        assert_eq!(history::read(&event["object"]), (change.name.clone(), pod), "{selector:?} {change:?}: {event}");
        let revision = super::revision(&event["object"]);
        let is_exact = change.after.is_some();
        let fits = if is_exact { revision == change.revision } else { revision <= change.revision };
        assert!(fits && revision > self.revision, "revision {revision} after {}: {change:?}", self.revision);
        self.revision = revision;
        self.at += 1;
        self.events += 1;
    }

    /// A pod is told to be dying before it is gone, even where it has no time to die.
    fn dying(&mut self, pod: &Pod, event: &Value) {
        assert!(event["object"]["metadata"]["deletionTimestamp"].is_string(), "{event}");
        assert_eq!(&history::read(&event["object"]).1, pod, "{event}");
        let revision = super::revision(&event["object"]);
        assert!(revision > self.revision, "revision {revision} after {}", self.revision);
        self.revision = revision;
        self.events += 1;
    }

    /// Everything up to its revision was seen, or is not selected.
    fn bookmark(&mut self, history: &History, event: &Value) {
        let revision = super::revision(&event["object"]);
        assert!(revision >= self.revision, "a bookmark of {revision} after {}", self.revision);
        while self.at < history.len() && history.get(self.at).revision <= revision {
            let change = history.get(self.at);
            assert_eq!(self.expected(change), None, "a bookmark of {revision} before {change:?}");
            self.at += 1;
        }
        self.revision = revision;
    }

    async fn resume(&mut self, server: &Server) {
        let query = self.selector.query();
        let path = format!("{PODS}?watch=1&resourceVersion={}&timeoutSeconds=20&{query}", self.revision);
        self.watch = server.watch(&path).await;
    }

    /// As clients do that are told that their revision is gone: a list, and a watch from it.
    async fn begin_anew(&mut self, server: &Server, history: &History) {
        let list = server.get(&format!("{PODS}?{}", self.selector.query())).await;
        self.at = history.len();
        self.revision = list.version().parse().unwrap();
        self.resume(server).await;
    }
}
