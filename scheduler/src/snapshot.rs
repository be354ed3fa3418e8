//! What is known of the nodes and the pods on them, in columns: one row per node, one column per resource.
//!
//! It is changed in place by what the informers tell and by what the scheduler itself assumes, so a decision copies nothing.
//! A pod counts on the node that its name says, also before the node is known and after it is gone.
//!
//! Invariant: the `requested` columns of a row are the sums over the pods of that node.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Taint};

use crate::node_selector::NodeFields;
use crate::pod::{HostPort, PodInfo, Uid};
use crate::requests::{self, CPU, EPHEMERAL_STORAGE, MEMORY, PODS, Requests};

/// A row. Valid until a node is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub usize);

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column(usize);

impl Column {
    pub const CPU: Column = Column(0);
    pub const MEMORY: Column = Column(1);
    const FIXED: [&str; 3] = [CPU, MEMORY, EPHEMERAL_STORAGE];
}

/// What a node says of itself, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeInfo {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
    /// With `pods`, the number of pods it takes.
    pub allocatable: Requests,
}

impl NodeInfo {
    pub fn of(node: &Node) -> NodeInfo {
        let spec = node.spec.as_ref();
        NodeInfo {
            name: node.metadata.name.clone().unwrap_or_default(),
            labels: node.metadata.labels.clone().unwrap_or_default(),
            taints: spec.and_then(|spec| spec.taints.clone()).unwrap_or_default(),
            unschedulable: spec.and_then(|spec| spec.unschedulable).unwrap_or(false),
            allocatable: requests::amounts(node.status.as_ref().and_then(|status| status.allocatable.as_ref())),
        }
    }

    pub fn fields(&self) -> NodeFields<'_> {
        NodeFields { name: &self.name, labels: &self.labels }
    }
}

#[derive(Clone, Debug)]
pub struct Snapshot {
    nodes: Vec<NodeInfo>,
    rows: HashMap<String, Row>,
    columns: Vec<Resource>,
    /// CPU and memory with the usual amounts for containers that name none.
    usual: [Vec<i64>; 2],
    pods_allowed: Vec<i64>,
    pods: Vec<Pods>,
    /// Pods on node names that are not known.
    homeless: BTreeMap<String, Pods>,
}

type Pods = BTreeMap<Uid, Arc<PodInfo>>;

#[derive(Clone, Debug)]
struct Resource {
    name: String,
    allocatable: Vec<i64>,
    requested: Vec<i64>,
}

impl Default for Snapshot {
    fn default() -> Self {
        let column = |name: &str| Resource { name: name.to_owned(), allocatable: Vec::new(), requested: Vec::new() };
        Self {
            nodes: Vec::new(),
            rows: HashMap::new(),
            columns: Column::FIXED.map(column).into(),
            usual: Default::default(),
            pods_allowed: Vec::new(),
            pods: Vec::new(),
            homeless: BTreeMap::new(),
        }
    }
}

impl Snapshot {
    /// How many nodes there are; rows are counted from 0.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn rows(&self) -> impl Iterator<Item = Row> + use<> {
        (0..self.len()).map(Row)
    }

    pub fn row(&self, name: &str) -> Option<Row> {
        self.rows.get(name).copied()
    }

    pub fn node(&self, row: Row) -> &NodeInfo {
        &self.nodes[row.0]
    }

    /// `None`: no node and no pod has ever spoken of the resource.
    pub fn column(&self, resource: &str) -> Option<Column> {
        self.columns.iter().position(|column| column.name == resource).map(Column)
    }

    pub fn allocatable(&self, row: Row, column: Column) -> i64 {
        self.columns[column.0].allocatable[row.0]
    }

    pub fn requested(&self, row: Row, column: Column) -> i64 {
        self.columns[column.0].requested[row.0]
    }

    /// [`Column::CPU`] or [`Column::MEMORY`] as scores see them.
    pub fn usual_requested(&self, row: Row, column: Column) -> i64 {
        self.usual[column.0][row.0]
    }

    pub fn pods_allowed(&self, row: Row) -> i64 {
        self.pods_allowed[row.0]
    }

    pub fn pods(&self, row: Row) -> impl ExactSizeIterator<Item = &Arc<PodInfo>> {
        self.pods[row.0].values()
    }

    pub fn used_ports(&self, row: Row) -> impl Iterator<Item = &HostPort> {
        self.pods(row).flat_map(|pod| &pod.host_ports)
    }

    /// Adds a node or takes its new state. Answers with the state before.
    pub fn set_node(&mut self, node: NodeInfo) -> Option<NodeInfo> {
        for name in node.allocatable.keys().filter(|name| *name != PODS) {
            self.make_column(name);
        }
        let (row, before) = match self.row(&node.name) {
            Some(row) => (row, Some(std::mem::replace(&mut self.nodes[row.0], node))),
            None => (self.push_row(node), None),
        };
        let node = &self.nodes[row.0];
        for column in &mut self.columns {
            column.allocatable[row.0] = node.allocatable.get(&column.name).copied().unwrap_or(0);
        }
        self.pods_allowed[row.0] = node.allocatable.get(PODS).copied().unwrap_or(0);
        before
    }

    fn push_row(&mut self, node: NodeInfo) -> Row {
        let row = Row(self.nodes.len());
        self.rows.insert(node.name.clone(), row);
        for column in &mut self.columns {
            column.allocatable.push(0);
            column.requested.push(0);
        }
        self.usual.iter_mut().for_each(|column| column.push(0));
        self.pods_allowed.push(0);
        let pods = self.homeless.remove(&node.name).unwrap_or_default();
        self.nodes.push(node);
        for pod in pods.values() {
            self.count(row, pod, 1);
        }
        self.pods.push(pods);
        row
    }

    pub fn remove_node(&mut self, name: &str) -> Option<NodeInfo> {
        let row = self.rows.remove(name)?;
        for column in &mut self.columns {
            column.allocatable.swap_remove(row.0);
            column.requested.swap_remove(row.0);
        }
        for column in &mut self.usual {
            column.swap_remove(row.0);
        }
        self.pods_allowed.swap_remove(row.0);
        let node = self.nodes.swap_remove(row.0);
        let pods = self.pods.swap_remove(row.0);
        if !pods.is_empty() {
            self.homeless.insert(name.to_owned(), pods);
        }
        if let Some(moved) = self.nodes.get(row.0) {
            self.rows.insert(moved.name.clone(), row);
        }
        Some(node)
    }

    /// Counts a pod on a node; a pod of the same UID there is replaced.
    pub fn add_pod(&mut self, node: &str, pod: Arc<PodInfo>) {
        self.remove_pod(node, &pod.uid);
        for name in pod.requests.keys() {
            self.make_column(name);
        }
        match self.row(node) {
            Some(row) => {
                self.count(row, &pod, 1);
                self.pods[row.0].insert(pod.uid.clone(), pod);
            }
            None => {
                self.homeless.entry(node.to_owned()).or_default().insert(pod.uid.clone(), pod);
            }
        }
    }

    pub fn remove_pod(&mut self, node: &str, uid: &str) -> Option<Arc<PodInfo>> {
        let Some(row) = self.row(node) else {
            let pods = self.homeless.get_mut(node)?;
            let pod = pods.remove(uid);
            if pods.is_empty() {
                self.homeless.remove(node);
            }
            return pod;
        };
        let pod = self.pods[row.0].remove(uid)?;
        self.count(row, &pod, -1);
        Some(pod)
    }

    /// One node alone, with those of its pods that are kept: the world in which a preemption is tried.
    pub fn alone(&self, row: Row, keep: impl Fn(&PodInfo) -> bool) -> Snapshot {
        let mut alone = Snapshot::default();
        alone.set_node(self.node(row).clone());
        for pod in self.pods(row).filter(|pod| keep(pod)) {
            alone.add_pod(&self.node(row).name, pod.clone());
        }
        alone
    }

    fn count(&mut self, row: Row, pod: &PodInfo, sign: i64) {
        for column in &mut self.columns {
            column.requested[row.0] += sign * pod.requests.get(&column.name).copied().unwrap_or(0);
        }
        for (column, name) in self.usual.iter_mut().zip([CPU, MEMORY]) {
            column[row.0] += sign * pod.usual.get(name).copied().unwrap_or(0);
        }
    }

    fn make_column(&mut self, name: &str) {
        if self.column(name).is_none() {
            let zeros = vec![0; self.nodes.len()];
            self.columns.push(Resource { name: name.to_owned(), allocatable: zeros.clone(), requested: zeros });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, pod};

    fn sums(snapshot: &Snapshot) -> Vec<String> {
        let gpu = snapshot.column("example.com/gpu");
        let rows = snapshot.rows().map(|row| {
            let gpus = gpu.map_or(0, |gpu| snapshot.requested(row, gpu));
            let cpu = snapshot.requested(row, Column::CPU);
            format!("{} cpu={cpu} gpu={gpus} pods={}", snapshot.node(row).name, snapshot.pods(row).len())
        });
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    }

    #[test]
    fn sums_follow_pods_and_nodes() {
        let mut snapshot = Snapshot::default();
        snapshot.add_pod("b", pod("early").request("cpu", "1").arc());
        for name in ["a", "b", "c"] {
            snapshot.set_node(node(name).allocatable("cpu", "8").info());
        }
        assert_eq!(sums(&snapshot), ["a cpu=0 gpu=0 pods=0", "b cpu=1000 gpu=0 pods=1", "c cpu=0 gpu=0 pods=0"]);
        snapshot.add_pod("c", pod("gpu").request("cpu", "2").request("example.com/gpu", "3").arc());
        snapshot.add_pod("c", pod("gpu").request("cpu", "1").request("example.com/gpu", "3").arc());
        snapshot.remove_node("a");
        assert_eq!(sums(&snapshot), ["b cpu=1000 gpu=0 pods=1", "c cpu=1000 gpu=3 pods=1"], "a pod counts once");
        snapshot.remove_node("c");
        snapshot.remove_pod("b", "early");
        snapshot.set_node(node("c").info());
        assert_eq!(sums(&snapshot), ["b cpu=0 gpu=0 pods=0", "c cpu=1000 gpu=3 pods=1"], "pods outlive their node");
        assert!(snapshot.remove_pod("c", "other").is_none());
    }
}
