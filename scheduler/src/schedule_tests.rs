//! Decisions as tables, and as a property against a judge of its own.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::plugins::default_profile;
use crate::schedule::{Decision, schedule};
use crate::testing::{NodeMaker, PodMaker, node, pod, snapshot};

fn decide(pod: &PodMaker, nodes: &[NodeMaker], tie: u64) -> String {
    match schedule(&pod.info(), &snapshot(nodes), &default_profile("default-scheduler"), tie) {
        Decision::Bind(node) => format!("-> {node}"),
        Decision::Unschedulable(diagnosis) => diagnosis.message(),
    }
}

#[test]
fn a_refusal_reads_as_upstream_writes_it() {
    let sized = |name: &str, cpu: &str| node(name).allocatable("cpu", cpu);
    let tainted = sized("t", "8").taint("dedicated", "x", "NoSchedule");
    let full = |name: &str| sized(name, "2").running(pod("r").request("cpu", "2"));
    let by_name = |names: serde_json::Value| {
        let term = serde_json::json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": names}]});
        let required = serde_json::json!({"nodeSelectorTerms": [term]});
        pod("p")
            .request("cpu", "1")
            .affinity(serde_json::json!({"requiredDuringSchedulingIgnoredDuringExecution": required}))
    };
    let one = || pod("p").request("cpu", "1");
    let cases = [
        ("no node", one(), vec![], "no nodes available to schedule pods"),
        (
            "reasons are counted and sorted",
            one(),
            vec![tainted.clone(), full("a"), full("b")],
            "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
        ),
        (
            "a node that is too small even when empty",
            pod("p").request("cpu", "4"),
            vec![full("a")],
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (
            "two reasons of one node",
            pod("p").request("cpu", "1").request("memory", "1Gi"),
            vec![full("a")],
            "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        ),
        (
            "no preemption wanted",
            one().set(&["spec", "preemptionPolicy"], "Never".into()),
            vec![full("a")],
            "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
        ),
        (
            "only named nodes are asked",
            by_name(serde_json::json!(["a", "gone"])),
            vec![full("a"), sized("b", "8"), sized("c", "8")],
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]. preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.",
        ),
        (
            "preemption would help",
            one().priority(1),
            vec![full("a"), tainted],
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: 1/2 nodes would fit without pods of lower priority, which this scheduler does not evict yet.",
        ),
        ("one fits", one(), vec![full("a"), sized("b", "8")], "-> b"),
        ("a named node", by_name(serde_json::json!(["c"])), vec![sized("b", "8"), sized("c", "8")], "-> c"),
        (
            "the emptier node",
            one(),
            vec![sized("a", "8"), sized("b", "8").running(pod("r").request("cpu", "4"))],
            "-> a",
        ),
    ];
    for (name, pod, nodes, expected) in cases {
        assert_eq!(decide(&pod, &nodes, 1), expected, "{name}");
    }
}

#[test]
fn ties_are_spread_and_repeatable() {
    let nodes: Vec<NodeMaker> = (0..4).map(|n| node(&format!("n{n}")).allocatable("cpu", "4")).collect();
    let chosen = |tie| decide(&pod("p"), &nodes, tie);
    let all: std::collections::BTreeSet<String> = (0..64).map(chosen).collect();
    assert_eq!(all.len(), 4, "{all:?}");
    assert!((0..64).all(|tie| chosen(tie) == chosen(tie)));
}

/// What a case is made of: small numbers, so that fits and refusals are both frequent.
#[derive(Clone, Debug)]
struct Facts {
    cpu: i64,
    zone: u8,
    tainted: bool,
    cordoned: bool,
    port: bool,
}

fn facts() -> impl Strategy<Value = Facts> {
    (0..4i64, 0..3u8, any::<bool>(), prop::bool::weighted(0.2), any::<bool>())
        .prop_map(|(cpu, zone, tainted, cordoned, port)| Facts { cpu, zone, tainted, cordoned, port })
}

fn make_node(index: usize, facts: &Facts) -> NodeMaker {
    let mut made = node(&format!("n{index}")).allocatable("cpu", "4").label("zone", &facts.zone.to_string());
    made = made.running(pod("running").request("cpu", &facts.cpu.to_string()));
    if facts.tainted {
        made = made.taint("dedicated", "", "NoSchedule");
    }
    if facts.cordoned {
        made = made.cordoned();
    }
    if facts.port { made.running(pod("port").host_port(80, "TCP", "")) } else { made }
}

/// The pod's facts: what it requests, the zone it wants if not 0, what it tolerates, whether it wants the port.
fn make_pod(facts: &Facts) -> PodMaker {
    let mut made = pod("p").request("cpu", &facts.cpu.to_string());
    if facts.zone > 0 {
        made = made.selector("zone", &facts.zone.to_string());
    }
    if facts.tainted {
        made = made.tolerate("dedicated", "Exists", "", "");
    }
    if facts.cordoned {
        made = made.tolerate("node.kubernetes.io/unschedulable", "Exists", "", "");
    }
    if facts.port { made.host_port(80, "TCP", "") } else { made }
}

fn really_fits(pod: &Facts, node: &Facts) -> bool {
    pod.cpu + node.cpu <= 4
        && (pod.zone == 0 || pod.zone == node.zone)
        && (pod.tainted || !node.tainted)
        && (pod.cordoned || !node.cordoned)
        && !(pod.port && node.port)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_bind_fits_and_no_fitting_node_is_refused(
        pod in facts(),
        nodes in prop::collection::vec(facts(), 1..6),
        copies in prop_oneof![9 => Just(1usize), 1 => Just(60usize)],
        tie in any::<u64>(),
    ) {
        let nodes: Vec<Facts> = nodes.iter().cycle().take(nodes.len() * copies).cloned().collect();
        let made: BTreeMap<String, &Facts> = nodes.iter().enumerate().map(|(index, node)| (format!("n{index}"), node)).collect();
        let makers: Vec<NodeMaker> = nodes.iter().enumerate().map(|(index, node)| make_node(index, node)).collect();
        let decision = schedule(&make_pod(&pod).info(), &snapshot(&makers), &default_profile("default-scheduler"), tie);
        match decision {
            Decision::Bind(name) => prop_assert!(really_fits(&pod, made[&name]), "{name} does not fit"),
            Decision::Unschedulable(diagnosis) => {
                prop_assert!(nodes.iter().all(|node| !really_fits(&pod, node)), "{}", diagnosis.message());
                prop_assert_eq!(diagnosis.refused.len(), nodes.len());
            }
        }
    }
}
