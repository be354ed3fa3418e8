//! How pods that ended are counted, each once, whatever crashes.
//!
//! ```text
//! ended, with finalizer --> UID in status.uncountedTerminatedPods --> finalizer removed --> counted, UID removed
//! ```
//!
//! Each arrow but the second is a write of the status. A completed index is noted in `completedIndexes` instead of by the pod's UID.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use reconcile::Action;

use super::ending::End;
use super::facts::{Facts, is_succeeded};
use super::pods::{index, is_tracked, uid, untrack};
use super::policies::{Verdict, judge};
use crate::common::pods;

/// The most UIDs in a status.
const MOST_UNCOUNTED: usize = 500;

#[derive(Default)]
pub(super) struct Tracked {
    /// Removals of finalizers.
    pub actions: Vec<Action>,
    /// The lists as they shall be.
    pub succeeded: Vec<String>,
    pub failed: Vec<String>,
    /// What the counters grow by.
    pub newly_succeeded: i32,
    pub newly_failed: i32,
    /// There is more to come before the Job can be called finished.
    pub pending: bool,
}

#[derive(PartialEq, Eq)]
enum Note {
    Succeeded,
    Index,
    Failed,
    /// Nothing, or it is noted already: the pod may go.
    None,
}

/// `release`: also let pods go, and do not only note them.
pub(super) fn track(facts: &Facts<'_>, end: Option<&End>, release: bool) -> Tracked {
    let mut tracked = Tracked {
        succeeded: facts.uncounted.succeeded.clone().unwrap_or_default(),
        failed: facts.uncounted.failed.clone().unwrap_or_default(),
        ..Tracked::default()
    };
    let mut kept: BTreeSet<&str> = facts.pods.iter().filter(|pod| is_tracked(pod)).map(|pod| uid(pod)).collect();
    // Before it is known why the Job ends no pod goes that may be the reason.
    let release = release && end.is_none_or(|end| end.told);
    let mut indexes = 0;
    for pod in facts.pods.iter().filter(|pod| is_tracked(pod) && may_go(facts, end, pod)) {
        if tracked.succeeded.len() + tracked.failed.len() + indexes >= MOST_UNCOUNTED {
            tracked.pending = true;
            break;
        }
        let note = note(facts, end, pod);
        tracked.pending |= note != Note::None || !release;
        match note {
            Note::Succeeded => tracked.succeeded.push(uid(pod).to_owned()),
            Note::Failed => tracked.failed.push(uid(pod).to_owned()),
            Note::Index => indexes += 1,
            Note::None if release => {
                tracked.actions.push(untrack(pod));
                kept.remove(uid(pod));
            }
            Note::None => {}
        }
    }
    tracked.newly_succeeded = count(&mut tracked.succeeded, &kept);
    tracked.newly_failed = count(&mut tracked.failed, &kept);
    tracked.pending |= !tracked.succeeded.is_empty() || !tracked.failed.is_empty();
    tracked
}

/// Those without a finalizer, or without a pod, leave the list.
fn count(uncounted: &mut Vec<String>, kept: &BTreeSet<&str>) -> i32 {
    let before = uncounted.len();
    uncounted.retain(|uid| kept.contains(uid.as_str()));
    (before - uncounted.len()) as i32
}

fn may_go(facts: &Facts<'_>, end: Option<&End>, pod: &Pod) -> bool {
    let is_predecessor = || {
        let last = index(pod).and_then(|index| facts.predecessors.get(&index));
        last.is_some_and(|last| uid(last) == uid(pod))
    };
    let ends = facts.job.metadata.deletion_timestamp.is_some() || end.is_some();
    ends || is_succeeded(pod) || (facts.is_failed(pod) && !is_predecessor())
}

fn note(facts: &Facts<'_>, end: Option<&End>, pod: &Pod) -> Note {
    let noted_failed = facts.is_noted_failed(pod);
    if is_succeeded(pod) && !noted_failed {
        if facts.is_indexed() {
            let new = index(pod).is_some_and(|index| facts.is_in_place(pod) && !facts.told_indexes.has(index));
            return if new { Note::Index } else { Note::None };
        }
        return if facts.is_noted_succeeded(pod) { Note::None } else { Note::Succeeded };
    }
    let failed = match end {
        // What still runs fails with its Job.
        Some(end) if end.fails => true,
        // Who is deleted because others were enough has not failed.
        Some(_) => pods::phase(pod) == "Failed",
        None => facts.is_failed(pod),
    };
    let counts = failed && !noted_failed && facts.is_in_place(pod) && judge(facts.spec, pod) != Verdict::Ignored;
    if counts { Note::Failed } else { Note::None }
}
