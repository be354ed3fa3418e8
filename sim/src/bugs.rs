//! Bugs that are planted on purpose, to see that the simulation finds such. Each is a switch of a simulation; production code
//! has none of them: they sit at the seams (disk, wire, the node's loop) where they make a component do what it would do with
//! the bug.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// The kubelet does not look at what runs when it starts.
    ForgetsContainers,
    /// A watch that begins after a compaction begins one revision too late.
    SkippingWatch,
    /// A list is answered from the cache, however old.
    StaleList,
    /// An eviction is a deletion: budgets do not count.
    EvictionIgnoresBudget,
    /// The controllers' driver does not learn the revision of what it created, so it acts again on a cache without it.
    NoExpectations,
    /// The scheduler forgets what it assumed once it is bound, until its watch tells of it: it takes its binding for refused.
    ForgetsAssumed,
    /// The garbage collector does not ask for the owner, if it has not heard of it: absent from the graph is gone.
    CollectsUnasked,
    /// What was written between the watch cache's list and its watch: the first such event is dropped.
    DropsFirstEvent,
    /// The kubelet takes a container for ended that it has told to end.
    BelievesSignals,
}

impl Bug {
    pub const ALL: [Bug; 9] = [
        Bug::ForgetsContainers,
        Bug::SkippingWatch,
        Bug::StaleList,
        Bug::EvictionIgnoresBudget,
        Bug::NoExpectations,
        Bug::ForgetsAssumed,
        Bug::CollectsUnasked,
        Bug::DropsFirstEvent,
        Bug::BelievesSignals,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Bug::ForgetsContainers => "forgets-containers",
            Bug::SkippingWatch => "skipping-watch",
            Bug::StaleList => "stale-list",
            Bug::EvictionIgnoresBudget => "eviction-ignores-budget",
            Bug::NoExpectations => "no-expectations",
            Bug::ForgetsAssumed => "forgets-assumed",
            Bug::CollectsUnasked => "collects-unasked",
            Bug::DropsFirstEvent => "drops-first-event",
            Bug::BelievesSignals => "believes-signals",
        }
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("there is no planted bug {0:?}")]
pub struct NoBug(String);

impl FromStr for Bug {
    type Err = NoBug;

    fn from_str(text: &str) -> Result<Bug, NoBug> {
        Bug::ALL.into_iter().find(|bug| bug.name() == text).ok_or_else(|| NoBug(text.to_owned()))
    }
}
