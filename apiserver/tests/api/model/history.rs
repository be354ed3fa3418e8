//! The model: what was written, in order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::random::Random;
use super::watcher::Watcher;

/// What selectors see of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub labels: BTreeMap<String, String>,
    pub phase: String,
    pub node: String,
}

#[derive(Debug)]
pub struct Change {
    /// The write's revision; of a deletion, one that is not smaller and less than the next write's.
    pub revision: u64,
    pub name: String,
    pub before: Option<Pod>,
    pub after: Option<Pod>,
    at: Instant,
}

/// Changes of the past are forgotten where nobody is; indices go on.
#[derive(Debug, Default)]
pub struct History {
    changes: Vec<Change>,
    forgotten: usize,
    state: BTreeMap<String, Pod>,
}

/// So many changes stay for watchers that start in the past.
const KEPT: usize = 600;

impl Pod {
    pub fn random(random: &mut Random) -> Self {
        let mut labels = BTreeMap::new();
        for (key, values) in [("l", ["0", "1", "2", ""]), ("m", ["0", "", "", ""])] {
            let value = random.pick(&values);
            if !value.is_empty() {
                labels.insert(key.to_owned(), value.to_owned());
            }
        }
        let phase = random.pick(&["Pending", "Running", "Failed"]).to_owned();
        Self { labels, phase, node: random.pick(&["", "n1", "n2"]).to_owned() }
    }

    /// As it is created: every pod begins as pending.
    pub fn object(&self, name: &str) -> Value {
        let mut spec = json!({"containers": [{"name": "c", "image": "i"}]});
        if !self.node.is_empty() {
            spec["nodeName"] = self.node.as_str().into();
        }
        json!({"metadata": {"name": name, "labels": self.labels}, "spec": spec})
    }
}

/// The name of a pod, and what selectors see of it.
pub fn read(object: &Value) -> (String, Pod) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let labels = object["metadata"]["labels"].as_object().into_iter().flatten();
    let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
    (text("/metadata/name"), Pod { labels, phase: text("/status/phase"), node: text("/spec/nodeName") })
}

impl History {
    pub fn state(&self) -> &BTreeMap<String, Pod> {
        &self.state
    }

    /// One past the index of the last change.
    pub fn len(&self) -> usize {
        self.forgotten + self.changes.len()
    }

    pub fn first(&self) -> usize {
        self.forgotten
    }

    pub fn get(&self, index: usize) -> &Change {
        &self.changes[index - self.forgotten]
    }

    /// The revision after which the change of an index comes; `None` where that is forgotten.
    pub fn revision_before(&self, index: usize) -> Option<u64> {
        (index > self.forgotten).then(|| self.get(index - 1).revision)
    }

    /// The index of the first change after a revision.
    pub fn after(&self, revision: u64) -> usize {
        self.forgotten + self.changes.partition_point(|change| change.revision <= revision)
    }

    /// Whether who has not seen a change may be told that its past is compacted: something newer is older than an interval.
    pub fn may_be_compacted(&self, index: usize, interval: Duration) -> bool {
        let change = self.changes.get(index - self.forgotten).or(self.changes.last());
        change.is_some_and(|change| change.at.elapsed() >= interval)
    }

    /// A write that changed nothing makes no revision.
    pub fn push(&mut self, revision: u64, name: &str, after: Option<Pod>) {
        if self.changes.last().is_some_and(|last| revision <= last.revision) || self.is_unchanged(name, after.as_ref())
        {
            assert!(self.is_unchanged(name, after.as_ref()), "a change of {name} without a revision of its own");
            return;
        }
        let before = match after.clone() {
            Some(pod) => self.state.insert(name.to_owned(), pod),
            None => self.state.remove(name),
        };
        self.changes.push(Change { revision, name: name.to_owned(), before, after, at: Instant::now() });
    }

    fn is_unchanged(&self, name: &str, after: Option<&Pod>) -> bool {
        self.state.get(name) == after
    }

    pub fn forget(&mut self, watchers: &[Watcher]) {
        let needed = watchers.iter().map(|watcher| watcher.at).min().unwrap_or(self.len());
        let keep_from = needed.min(self.len().saturating_sub(KEPT)).saturating_sub(1);
        if keep_from > self.forgotten {
            self.changes.drain(..keep_from - self.forgotten);
            self.forgotten = keep_from;
        }
    }
}
