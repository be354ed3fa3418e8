//! NodeAffinity: `nodeSelector`, required and preferred node affinity.

use crate::framework::{Change, Filter, Normalize, Plugin, Refusal, Score};
use crate::pod::PodInfo;
use crate::snapshot::Snapshot;

pub struct NodeAffinity;

const REFUSED: &str = "node(s) didn't match Pod's node affinity/selector";
const CONFLICT: &str = "pod affinity terms conflict";

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        if pod.selector.is_empty() {
            return Filter::Pass;
        }
        let check = Box::new(|row| {
            let matches = pod.selector.matches(snapshot.node(row).fields());
            if matches { Ok(()) } else { Err(Refusal::unresolvable(REFUSED)) }
        });
        match pod.selector.names() {
            None => Filter::Check(check),
            Some(names) if names.is_empty() => Filter::Refuse(CONFLICT),
            Some(names) => Filter::Only(names, check),
        }
    }

    fn score<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Option<Score<'a>> {
        if pod.preferred.is_empty() {
            return None;
        }
        let weight = |row| pod.preferred.iter().map(|term| term.score(snapshot.node(row).fields())).sum();
        Some(Score { of: Box::new(weight), normalize: Normalize::Scale })
    }

    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool {
        match change {
            Change::NodeAdded(node) => pod.selector.matches(node.fields()),
            Change::NodeUpdated { old, new } => {
                !pod.selector.matches(old.fields()) && pod.selector.matches(new.fields())
            }
            Change::PodRemoved(_) | Change::PodShrunk(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{node, pod, refusals, scores};

    fn required(terms: Value) -> PodInfo {
        pod("p")
            .affinity(json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}))
            .info()
    }

    #[test]
    fn nodes_match_by_labels_and_name() {
        let nodes = [node("a").label("zone", "1").label("gen", "3"), node("b").label("zone", "2")];
        let expression = |key: &str, operator: &str, values: Value| {
            required(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
        };
        let field = |operator: &str, values: Value| json!({"matchFields": [{"key": "metadata.name", "operator": operator, "values": values}]});
        let cases = [
            ("selector", pod("p").selector("zone", "2").info(), "b"),
            ("selector on nothing", pod("p").selector("rack", "2").info(), ""),
            ("In", expression("zone", "In", json!(["1", "3"])), "a"),
            ("NotIn takes nodes without the label", expression("gen", "NotIn", json!(["3"])), "b"),
            ("Exists", expression("gen", "Exists", json!(null)), "a"),
            ("DoesNotExist", expression("gen", "DoesNotExist", json!(null)), "b"),
            ("Gt", expression("gen", "Gt", json!(["2"])), "a"),
            ("Gt is strict", expression("gen", "Gt", json!(["3"])), ""),
            ("Lt", expression("gen", "Lt", json!(["10"])), "a"),
            ("Lt of no number", expression("gen", "Lt", json!(["x"])), ""),
            (
                "terms are alternatives",
                required(json!([
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["1"]}]},
                {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["2"]}]}])),
                "a b",
            ),
            (
                "requirements add up",
                required(json!([{"matchExpressions": [
                {"key": "zone", "operator": "Exists"}, {"key": "gen", "operator": "Exists"}]}])),
                "a",
            ),
            ("an empty term matches nothing", required(json!([{}])), ""),
            ("no term matches nothing", required(json!([])), ""),
            ("name", required(json!([field("In", json!(["b", "c"]))])), "b"),
            ("not the name", required(json!([field("NotIn", json!(["b"]))])), "a"),
        ];
        for (name, pod, expected) in cases {
            let refusals = refusals(&NodeAffinity, &pod, &nodes);
            let fitting: Vec<_> = refusals.iter().filter_map(|line| line.strip_suffix(": fits")).collect();
            assert_eq!(fitting.join(" "), expected, "{name}");
        }
        let contradiction = required(json!([{"matchFields": [
            {"key": "metadata.name", "operator": "In", "values": ["a"]},
            {"key": "metadata.name", "operator": "In", "values": ["b"]}]}]));
        assert_eq!(refusals(&NodeAffinity, &contradiction, &nodes), ["pod affinity terms conflict"]);
    }

    #[test]
    fn preferences_add_up_and_scale() {
        let prefer = |key: &str, weight: i32| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
        let terms = json!({"preferredDuringSchedulingIgnoredDuringExecution": [prefer("x", 10), prefer("y", 30)]});
        let pod = pod("p").affinity(terms).info();
        let nodes =
            [node("x").label("x", ""), node("y").label("y", ""), node("xy").label("x", "").label("y", ""), node("n")];
        assert_eq!(scores(&NodeAffinity, &pod, &nodes), ["x: 25", "y: 75", "xy: 100", "n: 0"]);
    }
}
