//! TaintToleration: taints keep pods away that do not tolerate them; those of effect PreferNoSchedule only cost score.

use k8s_openapi::api::core::v1::{Taint, Toleration};

use crate::framework::{Change, Filter, Normalize, Plugin, Refusal, Score};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Snapshot};

pub struct TaintToleration;

const REFUSED: &str = "node(s) had untolerated taint(s)";
const PREFER: &str = "PreferNoSchedule";

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        Filter::Check(Box::new(|row| {
            if is_tolerated(pod, snapshot.node(row)) { Ok(()) } else { Err(Refusal::unresolvable(REFUSED)) }
        }))
    }

    fn score<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Option<Score<'a>> {
        let untolerated = move |row| {
            let taints = snapshot.node(row).taints.iter();
            taints.filter(|taint| taint.effect == PREFER && !tolerates(&pod.tolerations, taint)).count() as i64
        };
        Some(Score { of: Box::new(untolerated), normalize: Normalize::Invert })
    }

    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool {
        match change {
            Change::NodeAdded(node) => is_tolerated(pod, node),
            Change::NodeUpdated { old, new } => !is_tolerated(pod, old) && is_tolerated(pod, new),
            Change::PodRemoved(_) | Change::PodShrunk(_) => false,
        }
    }
}

fn is_tolerated(pod: &PodInfo, node: &NodeInfo) -> bool {
    let mut binding = node.taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    binding.all(|taint| tolerates(&pod.tolerations, taint))
}

/// One of the tolerations covers the taint.
pub(super) fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let any_or = |wanted: &Option<String>, is: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || wanted == is)
        };
        let value = || toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("");
        any_or(&toleration.effect, &taint.effect)
            && any_or(&toleration.key, &taint.key)
            && match toleration.operator.as_deref() {
                None | Some("" | "Equal") => value(),
                Some("Exists") => true,
                Some(_) => false,
            }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, refusals, scores};

    #[test]
    fn taints_and_what_tolerates_them() {
        let refused = "n: node(s) had untolerated taint(s)";
        let none = pod("p");
        let with = |key, operator, value, effect| pod("p").tolerate(key, operator, value, effect);
        let cases = [
            ("no toleration", none, "NoSchedule", refused),
            ("preference only", pod("p"), "PreferNoSchedule", "n: fits"),
            ("equal", with("k", "Equal", "v", "NoSchedule"), "NoSchedule", "n: fits"),
            ("equal is the default", with("k", "", "v", "NoSchedule"), "NoSchedule", "n: fits"),
            ("another value", with("k", "Equal", "w", "NoSchedule"), "NoSchedule", refused),
            ("another effect", with("k", "Equal", "v", "NoExecute"), "NoSchedule", refused),
            ("another key", with("l", "Exists", "", ""), "NoSchedule", refused),
            ("exists", with("k", "Exists", "", ""), "NoExecute", "n: fits"),
            ("everything", with("", "Exists", "", ""), "NoExecute", "n: fits"),
        ];
        for (name, pod, effect, expected) in cases {
            let nodes = [node("n").taint("k", "v", effect)];
            assert_eq!(refusals(&TaintToleration, &pod.info(), &nodes), [expected], "{name}");
        }
    }

    #[test]
    fn fewer_untolerated_preferences_score_higher() {
        let two = node("two").taint("a", "", PREFER).taint("b", "", PREFER);
        let nodes = [node("none"), node("one").taint("a", "", PREFER), two];
        assert_eq!(scores(&TaintToleration, &pod("p").info(), &nodes), ["none: 100", "one: 50", "two: 0"]);
        let tolerant = pod("p").tolerate("a", "Exists", "", "").info();
        assert_eq!(scores(&TaintToleration, &tolerant, &nodes), ["none: 100", "one: 100", "two: 0"]);
    }
}
