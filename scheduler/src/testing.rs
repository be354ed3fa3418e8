//! Short words for tables of nodes and pods.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use serde_json::{Value, json};

use crate::framework::{Filter, Plugin};
use crate::pod::PodInfo;
use crate::snapshot::{NodeInfo, Row, Snapshot};

#[derive(Clone)]
pub struct PodMaker {
    value: Value,
}

/// An unassigned pod of one container; its UID is its name.
pub fn pod(name: &str) -> PodMaker {
    let container = json!({"name": "c", "ports": [], "resources": {"requests": {}}});
    let value = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"containers": [container], "tolerations": [], "schedulerName": "default-scheduler"},
        "status": {},
    });
    PodMaker { value }
}

impl PodMaker {
    pub fn set(mut self, pointer: &[&str], value: Value) -> Self {
        let mut at = &mut self.value;
        for part in pointer {
            at = match part.parse::<usize>() {
                Ok(index) => &mut at[index],
                Err(_) => &mut at[*part],
            };
        }
        *at = value;
        self
    }

    pub fn request(self, resource: &str, amount: &str) -> Self {
        self.set(&["spec", "containers", "0", "resources", "requests", resource], json!(amount))
    }

    pub fn host_port(mut self, port: i32, protocol: &str, ip: &str) -> Self {
        let port = json!({"containerPort": port, "hostPort": port, "protocol": protocol, "hostIP": ip});
        self.value["spec"]["containers"][0]["ports"].as_array_mut().expect("ports").push(port);
        self
    }

    pub fn tolerate(mut self, key: &str, operator: &str, value: &str, effect: &str) -> Self {
        let toleration = json!({"key": key, "operator": operator, "value": value, "effect": effect});
        self.value["spec"]["tolerations"].as_array_mut().expect("tolerations").push(toleration);
        self
    }

    pub fn selector(self, key: &str, value: &str) -> Self {
        self.set(&["spec", "nodeSelector", key], json!(value))
    }

    pub fn affinity(self, node_affinity: Value) -> Self {
        self.set(&["spec", "affinity"], json!({"nodeAffinity": node_affinity}))
    }

    pub fn priority(self, priority: i32) -> Self {
        self.set(&["spec", "priority"], json!(priority))
    }

    pub fn on(self, node: &str) -> Self {
        self.set(&["spec", "nodeName"], json!(node))
    }

    pub fn pod(&self) -> Pod {
        serde_json::from_value(self.value.clone()).expect("a pod")
    }

    pub fn info(&self) -> PodInfo {
        PodInfo::of(&self.pod())
    }

    pub fn arc(&self) -> Arc<PodInfo> {
        Arc::new(self.info())
    }
}

#[derive(Clone)]
pub struct NodeMaker {
    value: Value,
    pods: Vec<PodMaker>,
}

/// A node that takes 110 pods and has nothing else.
pub fn node(name: &str) -> NodeMaker {
    let value = json!({
        "metadata": {"name": name, "labels": {}},
        "spec": {"taints": []},
        "status": {"allocatable": {"pods": "110"}},
    });
    NodeMaker { value, pods: Vec::new() }
}

impl NodeMaker {
    pub fn allocatable(mut self, resource: &str, amount: &str) -> Self {
        self.value["status"]["allocatable"][resource] = json!(amount);
        self
    }

    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.value["metadata"]["labels"][key] = json!(value);
        self
    }

    pub fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({"key": key, "value": value, "effect": effect});
        self.value["spec"]["taints"].as_array_mut().expect("taints").push(taint);
        self
    }

    pub fn cordoned(mut self) -> Self {
        self.value["spec"]["unschedulable"] = json!(true);
        self
    }

    pub fn running(mut self, pod: PodMaker) -> Self {
        self.pods.push(pod);
        self
    }

    pub fn node(&self) -> Node {
        serde_json::from_value(self.value.clone()).expect("a node")
    }

    pub fn info(&self) -> NodeInfo {
        NodeInfo::of(&self.node())
    }
}

pub fn snapshot(nodes: &[NodeMaker]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for node in nodes {
        let info = node.info();
        for (index, pod) in node.pods.iter().enumerate() {
            let mut pod = pod.info();
            pod.uid = format!("{}-{index}", pod.uid);
            snapshot.add_pod(&info.name, Arc::new(pod));
        }
        snapshot.set_node(info);
    }
    snapshot
}

/// What a plugin says of each node, as `name: reasons`.
pub fn refusals(plugin: &dyn Plugin, pod: &PodInfo, nodes: &[NodeMaker]) -> Vec<String> {
    let snapshot = snapshot(nodes);
    let all: BTreeMap<Row, &str> = snapshot.rows().map(|row| (row, snapshot.node(row).name.as_str())).collect();
    let judge = |check: &dyn Fn(Row) -> Result<(), crate::framework::Refusal>, row: Row| match check(row) {
        Ok(()) => format!("{}: fits", all[&row]),
        Err(refusal) => format!("{}: {}", all[&row], refusal.reasons.join(", ")),
    };
    match plugin.filter(pod, &snapshot) {
        Filter::Pass => all.values().map(|name| format!("{name}: fits")).collect(),
        Filter::Refuse(reason) => vec![reason.to_owned()],
        Filter::Check(check) => all.keys().map(|row| judge(&check, *row)).collect(),
        Filter::Only(names, check) => {
            let rows = all.iter().filter(|(_, name)| names.contains(name));
            rows.map(|(row, _)| judge(&check, *row)).collect()
        }
    }
}

/// Normalized scores as `name: score`; empty when the plugin has no preference.
pub fn scores(plugin: &dyn Plugin, pod: &PodInfo, nodes: &[NodeMaker]) -> Vec<String> {
    let snapshot = snapshot(nodes);
    let Some(score) = plugin.score(pod, &snapshot) else { return Vec::new() };
    let mut scores: Vec<i64> = snapshot.rows().map(|row| (score.of)(row)).collect();
    score.normalize.apply(&mut scores);
    snapshot.rows().zip(scores).map(|(row, score)| format!("{}: {score}", snapshot.node(row).name)).collect()
}
