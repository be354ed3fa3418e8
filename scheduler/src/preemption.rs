//! What preemption could do for a refused pod: tried out, and told. Evicting is not done yet; a pod that it would help is told
//! so.

use crate::diagnosis::{Counts, Refused};
use crate::framework::Profile;
use crate::pod::PodInfo;
use crate::schedule::fits;
use crate::snapshot::Snapshot;

#[derive(Clone, Debug)]
pub(crate) enum Preemption {
    /// The pod says that it must not.
    Never,
    /// The number of nodes on which it was tried, and their reasons.
    Useless(usize, Counts),
    /// The nodes on which the pod would fit without the pods of lower priority.
    WouldHelp(Vec<String>),
}

const NOT_HELPFUL: &str = "Preemption is not helpful for scheduling";
const NO_VICTIMS: &str = "No preemption victims found for incoming pod";

impl Preemption {
    /// No node could be helped.
    pub(crate) fn not_helpful(pod: &PodInfo) -> Preemption {
        if pod.may_preempt { Preemption::Useless(0, Counts::default()) } else { Preemption::Never }
    }

    pub(crate) fn message(&self, nodes: usize) -> String {
        match self {
            Preemption::Never => "not eligible due to preemptionPolicy=Never.".to_owned(),
            Preemption::Useless(tried, reasons) => {
                let mut counts = reasons.clone();
                counts.add(NOT_HELPFUL.into(), nodes - tried);
                format!("0/{nodes} nodes are available:{}", counts.sentence())
            }
            Preemption::WouldHelp(names) => format!(
                "{}/{nodes} nodes would fit without pods of lower priority, which this scheduler does not evict yet.",
                names.len()
            ),
        }
    }
}

/// Looks at each node whose refusal fewer pods could lift.
pub(crate) fn try_out(pod: &PodInfo, snapshot: &Snapshot, profile: &Profile, refused: &[Refused]) -> Preemption {
    if !pod.may_preempt {
        return Preemption::Never;
    }
    let (mut helped, mut tried, mut reasons) = (Vec::new(), 0, Counts::default());
    for refused in refused.iter().filter(|refused| !refused.refusal.unresolvable) {
        let Some(row) = snapshot.row(&refused.node) else { continue };
        tried += 1;
        if snapshot.pods(row).all(|other| other.priority >= pod.priority) {
            reasons.add(NO_VICTIMS.into(), 1);
            continue;
        }
        let alone = snapshot.alone(row, |other| other.priority >= pod.priority);
        let fit = alone.rows().next().map(|row| fits(pod, &alone, profile, row));
        match fit {
            Some(Err((_, refusal))) => refusal.reasons.into_iter().for_each(|reason| reasons.add(reason, 1)),
            _ => helped.push(refused.node.clone()),
        }
    }
    if helped.is_empty() { Preemption::Useless(tried, reasons) } else { Preemption::WouldHelp(helped) }
}
