//! A pod as the scheduler sees it: parsed once when it arrives, so that looking at a node compares numbers and names.

use k8s_openapi::api::core::v1::{ObjectReference, Pod, Toleration};
use kube::Resource;

use crate::node_selector::{NodeSelector, PreferredTerm};
use crate::requests::{self, Requests};

/// Identity over the life of one pod; a later pod of the same name is another one.
pub type Uid = String;

/// A port on the node's own addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    pub protocol: String,
    /// `0.0.0.0` is every address.
    pub ip: String,
    pub port: i32,
}

impl HostPort {
    /// The two cannot be open on one node.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        const ANY: &str = "0.0.0.0";
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == ANY || other.ip == ANY)
    }
}

#[derive(Clone, Debug, Default)]
pub struct PodInfo {
    pub key: PodKey,
    pub uid: Uid,
    pub generation: Option<i64>,
    pub scheduler_name: String,
    /// `None`: not assigned yet.
    pub node: Option<String>,
    pub priority: i32,
    /// False for `preemptionPolicy: Never`.
    pub may_preempt: bool,
    pub deleting: bool,
    /// Succeeded or Failed: takes no resources any more.
    pub terminal: bool,
    /// Names of the scheduling gates that are still there.
    pub gates: Vec<String>,
    pub requests: Requests,
    /// As `requests`, where a container that names no CPU or memory counts as upstream's typical one; for scores only.
    pub usual: Requests,
    pub host_ports: Vec<HostPort>,
    pub tolerations: Vec<Toleration>,
    pub selector: NodeSelector,
    pub preferred: Vec<PreferredTerm>,
    /// What the condition PodScheduled says now, if it says no.
    pub refusal: Option<PostedRefusal>,
}

/// Reason and message of a PodScheduled condition that is False.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostedRefusal {
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodKey {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for PodKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl PodInfo {
    pub fn of(pod: &Pod) -> PodInfo {
        let meta = pod.meta();
        let mut info = PodInfo {
            key: PodKey {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            deleting: meta.deletion_timestamp.is_some(),
            may_preempt: true,
            requests: requests::of_pod(pod),
            usual: requests::usual_of_pod(pod),
            host_ports: host_ports(pod),
            selector: NodeSelector::of_pod(pod),
            preferred: PreferredTerm::of_pod(pod),
            ..PodInfo::default()
        };
        if let Some(spec) = &pod.spec {
            info.scheduler_name = spec.scheduler_name.clone().unwrap_or_else(|| "default-scheduler".to_owned());
            info.node = spec.node_name.clone().filter(|name| !name.is_empty());
            info.priority = spec.priority.unwrap_or(0);
            info.may_preempt = spec.preemption_policy.as_deref() != Some("Never");
            info.gates = spec.scheduling_gates.iter().flatten().map(|gate| gate.name.clone()).collect();
            info.tolerations = spec.tolerations.clone().unwrap_or_default();
        }
        if let Some(status) = &pod.status {
            info.terminal = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
            let condition = status.conditions.iter().flatten().find(|condition| condition.type_ == "PodScheduled");
            info.refusal = condition.filter(|condition| condition.status == "False").map(|condition| PostedRefusal {
                reason: condition.reason.clone().unwrap_or_default(),
                message: condition.message.clone().unwrap_or_default(),
            });
        }
        info
    }

    /// What an Event about it refers to.
    pub fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(self.key.namespace.clone()),
            name: Some(self.key.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    /// The same for all that matters to where it may run; a status that changed is not a reason to try again.
    pub fn same_wishes(&self, other: &PodInfo) -> bool {
        self.priority == other.priority
            && self.gates == other.gates
            && self.requests == other.requests
            && self.tolerations == other.tolerations
            && self.selector == other.selector
            && self.preferred == other.preferred
            && self.deleting == other.deleting
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let spec = pod.spec.iter();
    // Of the init containers only sidecars keep their ports.
    let sidecars =
        spec.clone().flat_map(|spec| spec.init_containers.iter().flatten()).filter(|c| requests::is_sidecar(c));
    let containers = spec.flat_map(|spec| &spec.containers).chain(sidecars);
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports
        .filter_map(|port| {
            let number = port.host_port.filter(|number| *number > 0)?;
            let ip = port.host_ip.clone().filter(|ip| !ip.is_empty()).unwrap_or_else(|| "0.0.0.0".to_owned());
            Some(HostPort { protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), ip, port: number })
        })
        .collect()
}
