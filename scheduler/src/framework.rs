//! What a plugin is, and which of them a profile runs.

use std::borrow::Cow;
use std::sync::Arc;

use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Row, Snapshot};

/// One reason for or against nodes. Each implementation is one file under [`crate::plugins`], named as upstream names it.
pub trait Plugin: Send + Sync {
    /// Upstream's name, which users meet in messages and metrics.
    fn name(&self) -> &'static str;

    /// Looks at the pod once and says how nodes are to be judged.
    fn filter<'a>(&self, _pod: &'a PodInfo, _snapshot: &'a Snapshot) -> Filter<'a> {
        Filter::Pass
    }

    /// Likewise for the preference among nodes that fit; `None`: none for this pod.
    fn score<'a>(&self, _pod: &'a PodInfo, _snapshot: &'a Snapshot) -> Option<Score<'a>> {
        None
    }

    /// Whether this change could make the plugin accept a pod that it refused. Saying yes too often costs a try; saying no
    /// wrongly leaves the pod waiting.
    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool;
}

type Check<'a> = Box<dyn Fn(Row) -> Result<(), Refusal> + 'a>;

pub enum Filter<'a> {
    /// Has nothing against any node.
    Pass,
    /// Refuses the pod whatever the nodes.
    Refuse(&'static str),
    /// Asks each node.
    Check(Check<'a>),
    /// Asks only the nodes of these names, for no other can fit.
    Only(Vec<&'a str>, Check<'a>),
}

/// Thousands of nodes may say the same, so the frequent ones are not copied.
pub type Reason = Cow<'static, str>;

/// Why a node was refused, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reasons: Vec<Reason>,
    /// Fewer pods on the node would not change it, so preempting is no use.
    pub unresolvable: bool,
}

impl Refusal {
    pub fn unresolvable(reason: &'static str) -> Refusal {
        Refusal { reasons: vec![reason.into()], unresolvable: true }
    }

    pub fn resolvable(reason: &'static str) -> Refusal {
        Refusal { reasons: vec![reason.into()], unresolvable: false }
    }
}

pub struct Score<'a> {
    /// More is better, from 0.
    pub of: Box<dyn Fn(Row) -> i64 + 'a>,
    pub normalize: Normalize,
}

/// How raw scores become comparable, from 0 to [`MAX_SCORE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// They are.
    No,
    /// The largest becomes [`MAX_SCORE`].
    Scale,
    /// They count against the node: the largest becomes 0.
    Invert,
}

pub const MAX_SCORE: i64 = 100;

impl Normalize {
    pub(crate) fn apply(self, scores: &mut [i64]) {
        let largest = scores.iter().copied().max().unwrap_or(0);
        for score in scores {
            let scaled = if largest == 0 { 0 } else { MAX_SCORE * *score / largest };
            *score = match self {
                Normalize::No => *score,
                Normalize::Scale => scaled,
                Normalize::Invert => MAX_SCORE - scaled,
            };
        }
    }
}

/// What happened in the cluster, for [`Plugin::helped_by`].
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    NodeAdded(&'a NodeInfo),
    NodeUpdated {
        old: &'a NodeInfo,
        new: &'a NodeInfo,
    },
    /// It was assigned to a node, or assumed to be.
    PodRemoved(&'a PodInfo),
    /// Of an assigned pod.
    PodShrunk(&'a PodInfo),
}

/// The plugins that decide about the pods of one scheduler name, in the order in which nodes are judged.
#[derive(Clone)]
pub struct Profile {
    pub scheduler_name: String,
    pub plugins: Vec<Weighted>,
}

#[derive(Clone)]
pub struct Weighted {
    pub plugin: Arc<dyn Plugin>,
    /// Of its score.
    pub weight: i64,
}

impl Profile {
    pub fn plugin(&self, name: &str) -> Option<&dyn Plugin> {
        self.plugins.iter().find(|weighted| weighted.plugin.name() == name).map(|weighted| &*weighted.plugin)
    }
}
