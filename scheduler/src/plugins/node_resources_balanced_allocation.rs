//! NodeResourcesBalancedAllocation: prefers nodes whose CPU and memory would be used to the same degree, so that neither is
//! left over without the other.

use crate::framework::{Change, MAX_SCORE, Normalize, Plugin, Score};
use crate::pod::PodInfo;
use crate::requests::{CPU, MEMORY};
use crate::snapshot::{Column, Snapshot};

pub struct NodeResourcesBalancedAllocation;

impl Plugin for NodeResourcesBalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn score<'a>(&self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> Option<Score<'a>> {
        let amount = |name: &str| pod.requests.get(name).copied().unwrap_or(0);
        let wanted = [(Column::CPU, amount(CPU)), (Column::MEMORY, amount(MEMORY))];
        // A pod that requests neither changes no balance; scored, it would go where all of its kind go.
        if wanted.iter().all(|(_, amount)| *amount == 0) {
            return None;
        }
        let balance = move |row| {
            let fraction = |(column, amount): (Column, i64)| {
                let allocatable = snapshot.allocatable(row, column);
                let used = (snapshot.requested(row, column) + amount) as f64 / allocatable as f64;
                (allocatable > 0).then_some(used.min(1.0))
            };
            let [cpu, memory] = wanted.map(fraction);
            // The standard deviation of two numbers is half their distance; of one it is nothing.
            let deviation = cpu.zip(memory).map_or(0.0, |(cpu, memory)| (cpu - memory).abs() / 2.0);
            ((1.0 - deviation) * MAX_SCORE as f64) as i64
        };
        Some(Score { of: Box::new(balance), normalize: Normalize::No })
    }

    fn helped_by(&self, _pod: &PodInfo, _change: &Change<'_>) -> bool {
        // It refuses nothing.
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod, scores};

    #[test]
    fn even_use_scores_higher() {
        let nodes = [
            node("even").allocatable("cpu", "4").allocatable("memory", "4Gi"),
            node("cpu-heavy")
                .allocatable("cpu", "4")
                .allocatable("memory", "4Gi")
                .running(pod("r").request("cpu", "2")),
            node("full").allocatable("cpu", "1").allocatable("memory", "1000Gi"),
            node("no memory").allocatable("cpu", "4"),
        ];
        let wanted = pod("p").request("cpu", "1").request("memory", "1Gi").info();
        let expected = ["even: 100", "cpu-heavy: 75", "full: 50", "no memory: 100"];
        assert_eq!(scores(&NodeResourcesBalancedAllocation, &wanted, &nodes), expected);
        assert!(scores(&NodeResourcesBalancedAllocation, &pod("p").info(), &nodes).is_empty());
    }
}
