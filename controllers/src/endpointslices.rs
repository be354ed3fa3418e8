//! Owns:    EndpointSlices of a Service that has a selector.
//! Watches: Services, Pods, EndpointSlices; reads Nodes (zones).
//! Writes:  EndpointSlices (create, replace, delete), events.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped, read};

use crate::common::selector::{self, Labels};
use crate::common::{pods, services};
use crate::endpoints::{HEADLESS, pod_reference};

pub struct EndpointSlices;

pub struct View {
    pub pods: Vec<Arc<Pod>>,
    pub slices: Vec<Arc<EndpointSlice>>,
    /// Nodes in the order of `pods`' node names, as far as they exist.
    pub nodes: Vec<Arc<Node>>,
}

pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
pub(crate) const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The most endpoints in a slice (upstream's default).
const SLICE_SIZE: usize = 100;

impl Controller for EndpointSlices {
    const NAME: &'static str = "endpoint-slice-controller";
    const ACCOUNT: &'static str = "endpointslice-controller";
    const QUEUE: &'static str = "endpoint_slice";
    type Root = Service;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(services::services_of), mapped::<EndpointSlice>(service_of), read::<Node>()]
    }

    fn view(&self, root: &Service, caches: &Caches) -> View {
        let pods = services::selected_pods(root, caches);
        let mut slices = caches.get::<EndpointSlice>().controlled_by(root.metadata.uid.as_deref().unwrap_or(""));
        slices.retain(|slice| is_ours(slice) && slice.metadata.deletion_timestamp.is_none());
        let store = caches.get::<Node>();
        let nodes = pods.iter().filter_map(|pod| store.find(None, pods::node_name(pod))).collect();
        View { pods, slices, nodes }
    }

    fn decide(&self, root: &Service, view: &View, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if services::kept_selector(root).is_none() || root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let mut groups = wanted(root, view);
        let mut obsolete = Vec::new();
        for slice in &view.slices {
            // A group that has no endpoints any more keeps nothing.
            match groups.get_mut(&GroupKey::of(slice)) {
                Some(group) => group.existing.push(slice.clone()),
                None => obsolete.push(slice.clone()),
            }
        }
        for (key, group) in groups {
            group.distribute(root, &key, &mut plan, &mut obsolete);
        }
        for slice in obsolete {
            plan.push(Action::delete(&*slice));
        }
        let failed = format!("Error updating Endpoint Slices for Service {}: {{error}}", Key::of(root));
        for action in &mut plan.actions {
            action.on_failure = Some(PlanEvent::warning("FailedToUpdateEndpointSlices", failed.clone()));
        }
        plan
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    selector::labels(&slice.metadata.labels).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

fn service_of(slice: &EndpointSlice, _: &Caches) -> Vec<Key> {
    let name = selector::labels(&slice.metadata.labels).get(SERVICE_NAME).filter(|_| is_ours(slice));
    name.map(|name| Key::new(slice.metadata.namespace.as_deref(), name)).into_iter().collect()
}

/// Endpoints share slices when they have the same kind of address and the same ports.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GroupKey {
    pub address_type: String,
    /// In their order.
    pub ports: Vec<PortKey>,
}

/// Name, number, protocol and application protocol.
pub(crate) type PortKey = (Option<String>, Option<i32>, Option<String>, Option<String>);

impl GroupKey {
    pub fn of(slice: &EndpointSlice) -> Self {
        let key =
            |port: &EndpointPort| (port.name.clone(), port.port, port.protocol.clone(), port.app_protocol.clone());
        let mut ports: Vec<PortKey> = slice.ports.iter().flatten().map(key).collect();
        ports.sort();
        Self { address_type: slice.address_type.clone(), ports }
    }

    pub fn ports(&self) -> Option<Vec<EndpointPort>> {
        let port = |(name, port, protocol, app_protocol): PortKey| EndpointPort { name, port, protocol, app_protocol };
        (!self.ports.is_empty()).then(|| self.ports.iter().cloned().map(port).collect())
    }
}

#[derive(Default)]
struct Group {
    /// By the pod's UID.
    endpoints: BTreeMap<String, Endpoint>,
    existing: Vec<Arc<EndpointSlice>>,
}

/// The endpoints that there shall be. Each family of the Service has at least one slice, be it empty.
fn wanted(service: &Service, view: &View) -> BTreeMap<GroupKey, Group> {
    let families =
        service.spec.as_ref().and_then(|spec| spec.ip_families.clone()).filter(|families| !families.is_empty());
    let mut groups = BTreeMap::<GroupKey, Group>::new();
    for family in families.unwrap_or_else(|| vec!["IPv4".to_owned()]) {
        let mut empty = true;
        for pod in view.pods.iter().filter(|pod| services::can_serve(pod, true)) {
            let Some(address) = services::address(pod, family == "IPv6") else { continue };
            let key = GroupKey { address_type: family.clone(), ports: ports(service, pod) };
            let endpoint = endpoint(service, pod, address, &view.nodes);
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            groups.entry(key).or_default().endpoints.insert(uid, endpoint);
            empty = false;
        }
        if empty {
            groups.entry(GroupKey { address_type: family, ports: Vec::new() }).or_default();
        }
    }
    groups
}

fn ports(service: &Service, pod: &Pod) -> Vec<PortKey> {
    let key = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = services::target_port(pod, port)?;
        // The server sets an absent name to the empty string.
        let name = Some(port.name.clone().unwrap_or_default());
        Some((
            name,
            Some(number),
            Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
            port.app_protocol.clone(),
        ))
    };
    let mut ports: Vec<PortKey> = services::ports(service).iter().filter_map(key).collect();
    ports.sort();
    ports
}

fn endpoint(service: &Service, pod: &Pod, address: &str, nodes: &[Arc<Node>]) -> Endpoint {
    let serving = pods::is_ready(pod);
    let terminating = pod.metadata.deletion_timestamp.is_some();
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty());
    let node = nodes.iter().find(|node| node.metadata.name == node_name);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            // A leaving pod is never ready, for the sake of clients that know no more than that.
            ready: Some(services::publishes_not_ready(service) || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        hostname: services::hostname(pod, service),
        zone: node.and_then(|node| selector::labels(&node.metadata.labels).get(ZONE).cloned()),
        node_name,
        target_ref: Some(pod_reference(pod)),
        ..Endpoint::default()
    }
}

impl Group {
    /// Endpoints stay in the slice they are in; new ones fill the slices that are written anyway, then new slices.
    fn distribute(
        mut self,
        service: &Service,
        key: &GroupKey,
        plan: &mut Plan,
        obsolete: &mut Vec<Arc<EndpointSlice>>,
    ) {
        let labels = labels(service);
        let mut kept = Vec::new();
        for slice in std::mem::take(&mut self.existing) {
            let mut changed = (*slice).clone();
            changed.metadata.labels = Some(labels.clone());
            changed.endpoints = slice.endpoints.iter().filter_map(|endpoint| self.take(endpoint)).collect();
            kept.push((slice, changed));
        }
        let mut rest: Vec<Endpoint> = self.endpoints.into_values().collect();
        // Those that change anyway first, and of these the fullest.
        kept.sort_by_key(|(before, after)| (**before == *after, std::cmp::Reverse(after.endpoints.len())));
        for (_, slice) in &mut kept {
            let room = SLICE_SIZE.saturating_sub(slice.endpoints.len()).min(rest.len());
            slice.endpoints.extend(rest.drain(..room));
        }
        let mut any = !rest.is_empty();
        for (before, after) in kept {
            if after.endpoints.is_empty() && (any || !key.ports.is_empty()) {
                obsolete.push(before);
                continue;
            }
            any = true;
            if *before != after {
                plan.push(Action::replace(&after).unchanged(&*before));
            }
        }
        for chunk in rest.chunks(SLICE_SIZE) {
            plan.push(Action::create(&new_slice(service, key, &labels, chunk)).owned());
        }
        if !any {
            plan.push(Action::create(&new_slice(service, key, &labels, &[])).owned());
        }
    }

    /// What an endpoint of a slice shall be now.
    fn take(&mut self, endpoint: &Endpoint) -> Option<Endpoint> {
        let uid = endpoint.target_ref.as_ref()?.uid.as_ref()?;
        self.endpoints.remove(uid)
    }
}

fn new_slice(service: &Service, key: &GroupKey, labels: &Labels, endpoints: &[Endpoint]) -> EndpointSlice {
    EndpointSlice {
        metadata: ObjectMeta {
            generate_name: service.metadata.name.as_ref().map(|name| format!("{name}-")),
            namespace: service.metadata.namespace.clone(),
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        },
        address_type: key.address_type.clone(),
        endpoints: endpoints.to_vec(),
        ports: key.ports(),
    }
}

fn labels(service: &Service) -> Labels {
    let mut labels = selector::labels(&service.metadata.labels).clone();
    labels.remove(HEADLESS);
    if services::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(SERVICE_NAME.to_owned(), service.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{now, object, service, service_pod, shared};
    use reconcile::plan::Verb;
    use serde_json::{Value, json};

    /// Numbers and states.
    type Pods<'a> = &'a [(&'a str, &'a str)];

    fn decide(root: Value, pods: Vec<Value>, slices: Vec<Value>) -> Plan {
        let nodes = shared([json!({"metadata": {"name": "n1", "labels": {ZONE: "z1"}}})]);
        let view = View { pods: shared(pods), slices: shared(slices), nodes };
        EndpointSlices.decide(&object(root), &view, now())
    }

    /// The written slices as stored objects.
    fn written(plan: &Plan) -> Vec<Value> {
        let body = |(index, action): (usize, &Action)| match &action.verb {
            Verb::Create(body) => {
                let mut body = body.clone();
                body["metadata"]["name"] = json!(format!("web-{index}"));
                body["metadata"]["uid"] = json!(format!("slice-{index}"));
                body["metadata"]["resourceVersion"] = json!("1");
                Some(body)
            }
            Verb::Replace(body) => Some(body.clone()),
            _ => None,
        };
        plan.actions.iter().enumerate().filter_map(body).collect()
    }

    /// `address flags`: Ready, Serving, Terminating.
    fn endpoints(slices: &[Value]) -> Vec<String> {
        let text = |endpoint: &Value| {
            let flag =
                |name: &str, letter: &'static str| if endpoint["conditions"][name] == true { letter } else { "" };
            let address = endpoint["addresses"][0].as_str().unwrap_or("");
            format!("{address} {}{}{}", flag("ready", "R"), flag("serving", "S"), flag("terminating", "T"))
        };
        slices.iter().flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten()).map(text).collect()
    }

    #[test]
    fn endpoints_follow_from_the_pods() {
        let publish = json!({"spec": {"publishNotReadyAddresses": true}});
        let table: &[(&str, Value, Pods, &[&str])] = &[
            ("ready and not", json!({}), &[("1", "ready"), ("2", "")], &["10.0.0.1 RS", "10.0.0.2 "]),
            (
                "leaving ones may still serve",
                json!({}),
                &[("1", "ready deleted"), ("2", "deleted")],
                &["10.0.0.1 ST", "10.0.0.2 T"],
            ),
            ("ended ones are out", json!({}), &[("1", "failed")], &[]),
            (
                "not ready ones are wanted",
                publish,
                &[("1", ""), ("2", "ready deleted")],
                &["10.0.0.1 R", "10.0.0.2 RST"],
            ),
        ];
        for (name, edit, pods, expected) in table {
            let pods = pods.iter().map(|(ip, state)| service_pod(ip, state)).collect();
            let slices = written(&decide(service(edit), pods, Vec::new()));
            assert_eq!(slices.len(), 1, "{name}");
            assert_eq!(endpoints(&slices), *expected, "{name}");
        }
    }

    #[test]
    fn a_slice_has_its_service_ports_and_topology() {
        let slice = written(&decide(service(&json!({})), vec![service_pod("1", "ready")], Vec::new())).remove(0);
        let labels = json!({"team": "a", SERVICE_NAME: "web", MANAGED_BY: MANAGER});
        assert_eq!(slice["metadata"]["labels"], labels);
        assert_eq!((&slice["metadata"]["generateName"], &slice["addressType"]), (&json!("web-"), &json!("IPv4")));
        assert_eq!(slice["ports"], json!([{"name": "web", "port": 8080, "protocol": "TCP"}]));
        let endpoint = &slice["endpoints"][0];
        assert_eq!((&endpoint["nodeName"], &endpoint["zone"]), (&json!("n1"), &json!("z1")));
        assert_eq!(endpoint["targetRef"], json!({"kind": "Pod", "namespace": "shop", "name": "pod-1", "uid": "uid-1"}));
    }

    #[test]
    fn named_ports_that_differ_make_slices_of_their_own() {
        let named = json!({"spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}]}});
        let pods = vec![service_pod("1", "ready http=81"), service_pod("2", "ready http=82")];
        let ports: Vec<Value> = written(&decide(service(&named), pods, Vec::new()))
            .iter()
            .map(|slice| slice["ports"][0]["port"].clone())
            .collect();
        assert_eq!(ports, [81, 82]);
    }

    #[test]
    fn slices_hold_a_hundred_and_change_little() {
        let pods = |count: u32| (0..count).map(|n| service_pod(&n.to_string(), "ready")).collect::<Vec<_>>();
        let slices = written(&decide(service(&json!({})), pods(150), Vec::new()));
        let sizes = |slices: &[Value]| {
            slices.iter().map(|slice| slice["endpoints"].as_array().map_or(0, Vec::len)).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&slices), [100, 50]);
        assert!(decide(service(&json!({})), pods(150), slices.clone()).is_empty(), "what is right stays unwritten");
        let one_more = decide(service(&json!({})), pods(151), slices.clone());
        assert_eq!(sizes(&written(&one_more)), [51]);
        let none = decide(service(&json!({})), Vec::new(), slices);
        let verbs: Vec<&str> = none
            .actions
            .iter()
            .map(|action| if matches!(action.verb, Verb::Create(_)) { "create" } else { "delete" })
            .collect();
        assert_eq!(verbs, ["create", "delete", "delete"], "an empty slice stands for the Service");
    }
}
