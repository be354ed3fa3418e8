//! Why a pod was refused: the reason of each node, and the sentence that users read.

use std::collections::{BTreeMap, BTreeSet};

use crate::framework::{Profile, Reason, Refusal};
use crate::pod::PodInfo;
use crate::preemption::{self, Preemption};
use crate::snapshot::Snapshot;

/// One node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub node: String,
    pub plugin: &'static str,
    pub refusal: Refusal,
}

#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// Nodes that there are.
    pub nodes: usize,
    /// What the nodes that were asked said; empty when the pod was refused whatever the nodes.
    pub refused: Vec<Refused>,
    /// The plugins that refused; what could help them makes the pod worth another try.
    pub plugins: Vec<&'static str>,
    /// What is said before the reasons of nodes.
    outright: Option<&'static str>,
    /// How many nodes were not asked, and what is said of them.
    unasked: Option<(usize, String)>,
    preemption: Option<Preemption>,
}

impl Diagnosis {
    pub(crate) fn no_nodes() -> Diagnosis {
        Diagnosis::default()
    }

    pub(crate) fn refused_outright(
        pod: &PodInfo,
        nodes: usize,
        plugin: &'static str,
        reason: &'static str,
    ) -> Diagnosis {
        Diagnosis {
            nodes,
            plugins: vec![plugin],
            outright: Some(reason),
            preemption: Some(Preemption::not_helpful(pod)),
            ..Diagnosis::default()
        }
    }

    /// `narrowed`: the plugins that let only some nodes be asked.
    pub(crate) fn new(
        pod: &PodInfo,
        snapshot: &Snapshot,
        profile: &Profile,
        refused: Vec<Refused>,
        narrowed: Option<Vec<&'static str>>,
    ) -> Diagnosis {
        let nodes = snapshot.len();
        let mut plugins: BTreeSet<&'static str> = refused.iter().map(|refused| refused.plugin).collect();
        let unasked = narrowed.map(|narrowed| {
            plugins.extend(&narrowed);
            (nodes - refused.len(), format!("node(s) didn't satisfy plugin(s) [{}]", narrowed.join(" ")))
        });
        let plugins = plugins.into_iter().collect();
        let preemption = Some(preemption::try_out(pod, snapshot, profile, &refused));
        Diagnosis { nodes, refused, plugins, outright: None, unasked, preemption }
    }

    /// The sentence, word for word upstream's.
    pub fn message(&self) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".to_owned();
        }
        let mut message = format!("0/{} nodes are available:", self.nodes);
        match self.outright {
            Some(reason) => message.push_str(&format!(" {reason}.")),
            None => {
                let mut counts = Counts::default();
                for reason in self.refused.iter().flat_map(|refused| &refused.refusal.reasons) {
                    counts.add(reason.clone(), 1);
                }
                if let Some((count, reason)) = &self.unasked {
                    counts.add(reason.clone().into(), *count);
                }
                message.push_str(&counts.sentence());
            }
        }
        if let Some(preemption) = &self.preemption {
            message.push_str(&format!(" preemption: {}", preemption.message(self.nodes)));
        }
        message
    }
}

/// Reasons and how many nodes have them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(BTreeMap<Reason, usize>);

impl Counts {
    pub(crate) fn add(&mut self, reason: Reason, count: usize) {
        if count > 0 {
            *self.0.entry(reason).or_default() += count;
        }
    }

    /// ` 1 this, 2 that.`, sorted as text: that is how upstream's sentences are stable.
    pub(crate) fn sentence(&self) -> String {
        let mut parts: Vec<String> = self.0.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        parts.sort();
        if parts.is_empty() { String::new() } else { format!(" {}.", parts.join(", ")) }
    }
}
