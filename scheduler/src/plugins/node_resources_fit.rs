//! NodeResourcesFit: a node must have what the pod requests; of those that do, the one with the most left is best
//! (strategy LeastAllocated over CPU and memory).

use crate::framework::{Change, Filter, MAX_SCORE, Normalize, Plugin, Reason, Refusal, Score};
use crate::pod::PodInfo;
use crate::requests::{CPU, MEMORY, PODS};
use crate::snapshot::{Column, NodeInfo, Row, Snapshot};

pub struct NodeResourcesFit;

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn filter<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Filter<'a> {
        let wanted = pod.requests.iter().filter(|(_, amount)| **amount > 0);
        let wanted: Vec<_> = wanted.map(|(name, amount)| (name.as_str(), snapshot.column(name), *amount)).collect();
        Filter::Check(Box::new(move |row| check(&wanted, snapshot, row)))
    }

    fn score<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Option<Score<'a>> {
        let wanted = [(Column::CPU, amount(pod, CPU)), (Column::MEMORY, amount(pod, MEMORY))];
        let least_allocated = move |row| {
            let known = wanted.iter().filter(|(column, _)| snapshot.allocatable(row, *column) > 0);
            let scores = known.map(|(column, amount)| {
                let requested = snapshot.usual_requested(row, *column) + amount;
                let allocatable = snapshot.allocatable(row, *column);
                share(allocatable.saturating_sub(requested), allocatable)
            });
            let (sum, count) = scores.fold((0, 0), |(sum, count), score| (sum + score, count + 1));
            if count == 0 { 0 } else { sum / count }
        };
        Some(Score { of: Box::new(least_allocated), normalize: Normalize::No })
    }

    fn helped_by(&self, pod: &PodInfo, change: &Change<'_>) -> bool {
        let could_fit = |node: &NodeInfo| {
            let has = |name: &str| node.allocatable.get(name).copied().unwrap_or(0);
            has(PODS) > 0 && pod.requests.iter().all(|(name, amount)| *amount <= has(name))
        };
        match change {
            Change::NodeAdded(node) => could_fit(node),
            Change::NodeUpdated { old, new } => {
                let grew = |name: &str| new.allocatable.get(name) > old.allocatable.get(name);
                could_fit(new) && (grew(PODS) || pod.requests.keys().any(|name| grew(name)))
            }
            Change::PodRemoved(_) => true,
            Change::PodShrunk(other) => other.requests.keys().any(|name| pod.requests.contains_key(name)),
        }
    }
}

/// From 0 to [`MAX_SCORE`]. Amounts that times 100 do not fit are divided first: they are petabytes.
fn share(left: i64, of: i64) -> i64 {
    let left = left.max(0);
    left.checked_mul(MAX_SCORE).map_or_else(|| left / (of / MAX_SCORE), |scaled| scaled / of)
}

fn amount(pod: &PodInfo, name: &str) -> i64 {
    pod.usual.get(name).copied().unwrap_or(0)
}

fn check(wanted: &[(&str, Option<Column>, i64)], snapshot: &Snapshot, row: Row) -> Result<(), Refusal> {
    let mut refusal = Refusal { reasons: Vec::new(), unresolvable: false };
    if snapshot.pods(row).len() as i64 + 1 > snapshot.pods_allowed(row) {
        refusal.reasons.push("Too many pods".into());
    }
    for (name, column, amount) in wanted {
        let (allocatable, requested) = match column {
            Some(column) => (snapshot.allocatable(row, *column), snapshot.requested(row, *column)),
            None => (0, 0),
        };
        if *amount > allocatable.saturating_sub(requested) {
            refusal.reasons.push(insufficient(name));
            refusal.unresolvable |= *amount > allocatable;
        }
    }
    if refusal.reasons.is_empty() { Ok(()) } else { Err(refusal) }
}

fn insufficient(resource: &str) -> Reason {
    match resource {
        CPU => "Insufficient cpu".into(),
        MEMORY => "Insufficient memory".into(),
        other => format!("Insufficient {other}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, refusals, scores};

    #[test]
    fn a_node_must_have_what_is_requested() {
        let nodes = [node("n")
            .allocatable("cpu", "2")
            .allocatable("memory", "1Gi")
            .allocatable("example.com/gpu", "1")
            .running(pod("r").request("cpu", "1").request("example.com/gpu", "1"))];
        let cases = [
            ("nothing", pod("p"), "n: fits"),
            ("the rest", pod("p").request("cpu", "1").request("memory", "1Gi"), "n: fits"),
            ("a bit more than the rest", pod("p").request("cpu", "1001m"), "n: Insufficient cpu"),
            (
                "two things",
                pod("p").request("cpu", "2").request("memory", "2Gi"),
                "n: Insufficient cpu, Insufficient memory",
            ),
            ("what is taken", pod("p").request("example.com/gpu", "1"), "n: Insufficient example.com/gpu"),
            ("what nobody has", pod("p").request("example.com/tpu", "1"), "n: Insufficient example.com/tpu"),
            ("none of it", pod("p").request("example.com/tpu", "0"), "n: fits"),
        ];
        for (name, pod, expected) in cases {
            assert_eq!(refusals(&NodeResourcesFit, &pod.info(), &nodes), [expected], "{name}");
        }
        let full = [node("n").allocatable("pods", "1").running(pod("r"))];
        assert_eq!(refusals(&NodeResourcesFit, &pod("p").info(), &full), ["n: Too many pods"]);
    }

    #[test]
    fn more_left_scores_higher() {
        let nodes = [
            node("empty").allocatable("cpu", "4").allocatable("memory", "10000Mi"),
            node("half")
                .allocatable("cpu", "4")
                .allocatable("memory", "10000Mi")
                .running(pod("r").request("cpu", "2").request("memory", "5000Mi")),
            node("usual").allocatable("cpu", "1").allocatable("memory", "2000Mi").running(pod("r")),
            node("no capacity"),
        ];
        let wanted = pod("p").request("cpu", "1").request("memory", "2500Mi").info();
        assert_eq!(scores(&NodeResourcesFit, &wanted, &nodes), ["empty: 75", "half: 25", "usual: 0", "no capacity: 0"]);
        let says_nothing = pod("p").info();
        assert_eq!(
            scores(&NodeResourcesFit, &says_nothing, &nodes),
            ["empty: 97", "half: 47", "usual: 80", "no capacity: 0"]
        );
    }
}
