//! Rules about what runs on the nodes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Oracle, is_terminal, text};
use crate::disk::Commit;

/// A running container.
#[derive(Clone, Debug)]
pub struct Running {
    pub node: String,
    pub pod: String,
    pub uid: String,
    pub name: String,
    /// In thousandths of a CPU, of the whole pod.
    pub cpu: i64,
}

#[derive(Default)]
pub struct Nodes {
    /// UIDs of pods whose objects were removed without their kubelet.
    excused: BTreeSet<String>,
    /// UIDs of pods that their own kubelets said to have ended, or removed.
    ended: BTreeSet<String>,
}

impl Nodes {
    pub(super) fn excuse(&mut self, uid: &str) {
        self.excused.insert(uid.to_owned());
    }
}

/// A pod's own kubelet says that it has ended: by a status that ends it, or by the deletion it asks for last. A status that
/// removes the object says nothing: a deletion without grace is two writes, and whoever writes between them does the second.
/// Nor does one that leaves a phase as others have set it.
pub(super) fn is_kubelets_word(commit: &Commit, before: &Value, after: Option<&Value>) -> bool {
    let ends = |after: &Value| is_terminal(after) && !is_terminal(before);
    let said = after.map_or_else(|| commit.via.starts_with("DELETE "), ends);
    said && text(&before["spec"]["nodeName"]) == commit.client
}

impl Oracle {
    pub(super) fn note_end(&mut self, commit: &Commit, before: Option<&Value>, after: Option<&Value>) {
        let Some(before) = before else { return };
        if is_kubelets_word(commit, before, after) {
            self.nodes.ended.insert(text(&before["metadata"]["uid"]).to_owned());
        }
    }

    /// `capacity`: of each node, in thousandths of a CPU.
    pub fn check_running(&mut self, running: &[Running], capacity: impl Fn(&str) -> i64) {
        let mut identities: BTreeMap<(&str, &str), &Running> = BTreeMap::new();
        let mut names: BTreeMap<(&str, &str), &Running> = BTreeMap::new();
        let mut pods: BTreeMap<&str, BTreeMap<&str, i64>> = BTreeMap::new();
        let mut found = Vec::new();
        for one in running {
            if let Some(other) = identities.insert((&one.uid, &one.name), one) {
                found.push((
                    "no two containers have one identity",
                    format!("{} ({}) runs {} on {} and {}", one.pod, one.uid, one.name, other.node, one.node),
                ));
            }
            if !self.nodes.excused.contains(&one.uid)
                && let Some(other) = names.insert((&one.pod, &one.name), one)
            {
                found.push((
                    "no two running pods have one name",
                    format!("{} is {} on {} and {} on {}", one.pod, other.uid, other.node, one.uid, one.node),
                ));
            }
            if self.nodes.ended.contains(&one.uid) {
                found.push(("what its kubelet said to have ended does not run", format!("{} ({})", one.pod, one.uid)));
            }
            pods.entry(&one.node).or_default().insert(&one.uid, one.cpu);
        }
        for (node, pods) in &pods {
            let used: i64 = pods.values().sum();
            let capacity = capacity(node);
            if used > capacity {
                found.push(("no node runs more than it has", format!("{used}m of {capacity}m on {node}")));
            }
        }
        found.into_iter().for_each(|(rule, how)| self.violated(rule, how));
    }
}
