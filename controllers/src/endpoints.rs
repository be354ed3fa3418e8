//! Owns:    Endpoints of a Service that has a selector.
//! Watches: Services, Pods, Endpoints.
//! Writes:  Endpoints (create, replace, delete), events.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    EndpointAddress, EndpointPort, EndpointSubset, Endpoints as EndpointsObject, ObjectReference, Pod, Service,
};
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, mapped};

use crate::common::selector::{self, Labels};
use crate::common::{pods, services};

pub struct Endpoints;

pub struct View {
    pub pods: Vec<Arc<Pod>>,
    pub current: Option<Arc<EndpointsObject>>,
}

const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const NAME: &str = "endpoint-controller";
pub(crate) const HEADLESS: &str = "service.kubernetes.io/headless";

const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
/// The most addresses in one object; what needs more reads EndpointSlices.
const CAPACITY: usize = 1000;

impl Controller for Endpoints {
    const NAME: &'static str = NAME;
    const QUEUE: &'static str = "endpoint";
    type Root = Service;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![mapped::<Pod>(services::services_of), mapped::<EndpointsObject>(|endpoints, _| vec![Key::of(endpoints)])]
    }

    fn view(&self, root: &Service, caches: &Caches) -> View {
        View { pods: services::selected_pods(root, caches), current: caches.get().get(&Key::of(root)) }
    }

    fn decide(&self, root: &Service, view: &View, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if services::kept_selector(root).is_none() || root.metadata.deletion_timestamp.is_some() {
            return plan;
        }
        let mut subsets = subsets(root, &view.pods);
        let truncated = truncate(&mut subsets);
        let mut wanted = view.current.as_deref().cloned().unwrap_or_else(|| EndpointsObject {
            metadata: ObjectMeta {
                name: root.metadata.name.clone(),
                namespace: root.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            subsets: None,
        });
        wanted.metadata.labels = Some(labels(root));
        wanted.subsets = (!subsets.is_empty()).then_some(subsets);
        if truncated {
            let annotations = wanted.metadata.annotations.get_or_insert_default();
            annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
        } else if let Some(annotations) = &mut wanted.metadata.annotations {
            annotations.remove(OVER_CAPACITY);
        }
        let name = Key::of(root);
        match view.current.as_deref() {
            Some(current) if *current == wanted => {}
            Some(current) => {
                let failed = format!("Failed to update endpoint {name}: {{error}}");
                plan.push(
                    Action::replace(&wanted)
                        .unchanged(current)
                        .on_failure(PlanEvent::warning("FailedToUpdateEndpoint", failed)),
                );
            }
            None => {
                let failed = format!("Failed to create endpoint for service {name}: {{error}}");
                plan.push(Action::create(&wanted).on_failure(PlanEvent::warning("FailedToCreateEndpoint", failed)));
            }
        }
        plan
    }

    /// Endpoints have no owner reference, so they do not go with their Service by themselves. Those that somebody made without
    /// a Service stay.
    fn absent(&self, key: &Key, caches: &Caches) -> Plan {
        let mut plan = Plan::default();
        if let Some(endpoints) = caches.get::<EndpointsObject>().get(key)
            && selector::labels(&endpoints.metadata.labels).get(MANAGED_BY).is_some_and(|manager| manager == NAME)
        {
            plan.push(Action::delete(&*endpoints));
        }
        plan
    }
}

fn labels(service: &Service) -> Labels {
    let mut labels = selector::labels(&service.metadata.labels).clone();
    if services::is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels.insert(MANAGED_BY.to_owned(), NAME.to_owned());
    labels
}

/// An address with the order of upstream's canonical layout: by IP, then by the pod's UID.
type Address = (String, String);

/// Ports with the same addresses share a subset.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let publish = services::publishes_not_ready(service);
    let mut by_port = BTreeMap::<PortKey, BTreeMap<Address, (bool, EndpointAddress)>>::new();
    for pod in pods.iter().filter(|pod| services::can_serve(pod, publish)) {
        let Some(address) = address(service, pod) else { continue };
        let ready = publish || pods::is_ready(pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        for port in ports(service, pod) {
            by_port.entry(port).or_default().insert((address.ip.clone(), uid.clone()), (ready, address.clone()));
        }
    }
    let mut by_addresses = BTreeMap::<Vec<(Address, bool)>, (EndpointSubset, Vec<PortKey>)>::new();
    for (port, addresses) in by_port {
        let key = addresses.iter().map(|(address, (ready, _))| (address.clone(), *ready)).collect();
        let (_, ports) = by_addresses.entry(key).or_insert_with(|| (subset(addresses), Vec::new()));
        ports.push(port);
    }
    let mut subsets: Vec<_> = by_addresses.into_values().collect();
    subsets.sort_by(|(_, a), (_, b)| a.cmp(b));
    let with_ports = |(mut subset, ports): (EndpointSubset, Vec<PortKey>)| {
        let ports: Vec<EndpointPort> = ports.into_iter().filter_map(PortKey::port).collect();
        subset.ports = (!ports.is_empty()).then_some(ports);
        subset
    };
    subsets.into_iter().map(with_ports).collect()
}

fn subset(addresses: BTreeMap<Address, (bool, EndpointAddress)>) -> EndpointSubset {
    let (ready, not_ready): (Vec<_>, Vec<_>) = addresses.into_values().partition(|(ready, _)| *ready);
    let list = |addresses: Vec<(bool, EndpointAddress)>| {
        let addresses: Vec<_> = addresses.into_iter().map(|(_, address)| address).collect();
        (!addresses.is_empty()).then_some(addresses)
    };
    EndpointSubset { addresses: list(ready), not_ready_addresses: list(not_ready), ports: None }
}

fn address(service: &Service, pod: &Pod) -> Option<EndpointAddress> {
    let families = service.spec.as_ref().and_then(|spec| spec.ip_families.as_deref()).unwrap_or(&[]);
    let ipv6 = families.first().is_some_and(|family| family == "IPv6");
    Some(EndpointAddress {
        ip: services::address(pod, ipv6)?.to_owned(),
        hostname: services::hostname(pod, service),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(pod_reference(pod)),
    })
}

pub(crate) fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
        ..ObjectReference::default()
    }
}

/// Name, number, protocol and application protocol; `None` for a headless Service without ports.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PortKey(Option<PortParts>);

type PortParts = (Option<String>, i32, Option<String>, Option<String>);

impl PortKey {
    fn port(self) -> Option<EndpointPort> {
        self.0.map(|(name, port, protocol, app_protocol)| EndpointPort { name, port, protocol, app_protocol })
    }
}

fn ports(service: &Service, pod: &Pod) -> Vec<PortKey> {
    let ports = services::ports(service);
    if ports.is_empty() && services::is_headless(service) {
        return vec![PortKey(None)];
    }
    let key = |port: &k8s_openapi::api::core::v1::ServicePort| {
        let number = services::target_port(pod, port)?;
        Some(PortKey(Some((port.name.clone(), number, port.protocol.clone(), port.app_protocol.clone()))))
    };
    ports.iter().filter_map(key).collect()
}

/// Keep to the capacity: addresses that are not ready go first. Returns whether any went.
fn truncate(subsets: &mut [EndpointSubset]) -> bool {
    let mut room = CAPACITY;
    let mut cut = |addresses: &mut Option<Vec<EndpointAddress>>| {
        let Some(list) = addresses else { return false };
        let before = list.len();
        list.truncate(room);
        room -= list.len();
        let truncated = list.len() < before;
        if list.is_empty() {
            *addresses = None;
        }
        truncated
    };
    let mut truncated = false;
    for subset in &mut *subsets {
        truncated |= cut(&mut subset.addresses);
    }
    for subset in &mut *subsets {
        truncated |= cut(&mut subset.not_ready_addresses);
    }
    truncated
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, service, service_pod, shared};
    use reconcile::plan::Verb;
    use serde_json::{Value, json};

    /// Numbers and states.
    type Pods<'a> = &'a [(&'a str, &'a str)];

    fn decide(root: Value, pods: Vec<Value>, current: Option<Value>) -> Plan {
        let view = View { pods: shared(pods), current: current.map(|value| Arc::new(object(value))) };
        Endpoints.decide(&object(root), &view, now())
    }

    /// `ready/not ready:port,port` for each subset.
    fn subsets_of(plan: &Plan) -> Vec<String> {
        let [action] = &plan.actions[..] else { panic!("one action: {plan}") };
        let (Verb::Create(body) | Verb::Replace(body)) = &action.verb else { panic!("{plan}") };
        let ips = |list: &Value| {
            let list = list.as_array().into_iter().flatten();
            list.filter_map(|address| address["ip"].as_str()).collect::<Vec<_>>().join(",")
        };
        let text = |subset: &Value| {
            let ports = subset["ports"].as_array().into_iter().flatten().map(|port| port["port"].to_string());
            format!(
                "{}/{}:{}",
                ips(&subset["addresses"]),
                ips(&subset["notReadyAddresses"]),
                Vec::from_iter(ports).join(",")
            )
        };
        body["subsets"].as_array().into_iter().flatten().map(text).collect()
    }

    #[test]
    fn subsets_follow_from_the_pods() {
        let headless = json!({"spec": {"clusterIP": "None", "ports": null}});
        let named = json!({"spec": {"ports": [{"name": "web", "port": 80, "targetPort": "http"}]}});
        let publish = json!({"spec": {"publishNotReadyAddresses": true}});
        let two =
            json!({"spec": {"ports": [{"name": "a", "port": 80, "targetPort": 8080}, {"name": "b", "port": 81}]}});
        let table: &[(&str, Value, Pods, &[&str])] = &[
            ("no pods", json!({}), &[], &[]),
            ("ready and not", json!({}), &[("1", "ready"), ("2", "")], &["10.0.0.1/10.0.0.2:8080"]),
            ("ended and leaving ones", json!({}), &[("1", "ready failed"), ("2", "ready deleted")], &[]),
            ("not ready ones are wanted", publish, &[("1", ""), ("2", "ready deleted")], &["10.0.0.1,10.0.0.2/:8080"]),
            (
                "named ports differ",
                named,
                &[("1", "ready http=81"), ("2", "ready http=82"), ("3", "ready")],
                &["10.0.0.1/:81", "10.0.0.2/:82"],
            ),
            ("headless without ports", headless, &[("1", "ready")], &["10.0.0.1/:"]),
            ("two ports, one subset", two, &[("1", "ready"), ("2", "ready")], &["10.0.0.1,10.0.0.2/:8080,81"]),
        ];
        for (name, edit, pods, expected) in table {
            let pods = pods.iter().map(|(ip, state)| service_pod(ip, state)).collect();
            assert_eq!(subsets_of(&decide(service(edit), pods, None)), *expected, "{name}");
        }
    }

    #[test]
    fn what_is_right_stays_unwritten() {
        let plan = decide(service(&json!({})), vec![service_pod("1", "ready")], None);
        let Verb::Create(mut body) = plan.actions[0].verb.clone() else { panic!("{plan}") };
        body["metadata"]["resourceVersion"] = json!("7");
        assert!(decide(service(&json!({})), vec![service_pod("1", "ready")], Some(body.clone())).is_empty());
        let changed = decide(service(&json!({})), Vec::new(), Some(body));
        assert_eq!(actions(&changed), ["replace Endpoints shop/web"]);
        assert_eq!(changed.actions[0].preconditions.resource_version.as_deref(), Some("7"));
    }

    #[test]
    fn services_without_a_selector_are_left_alone() {
        for edit in [json!({"spec": {"selector": null}}), json!({"spec": {"type": "ExternalName"}})] {
            assert!(decide(service(&edit), Vec::new(), None).is_empty(), "{edit}");
        }
    }

    #[test]
    fn only_our_own_endpoints_go_with_their_service() {
        for (manager, expected) in [("endpoint-controller", 1), ("somebody", 0)] {
            let caches = Caches::default();
            caches.insert::<EndpointsObject>(vec![object(
                json!({"metadata": {"name": "web", "namespace": "shop", "labels": {MANAGED_BY: manager}}}),
            )]);
            assert_eq!(Endpoints.absent(&Key::namespaced("shop", "web"), &caches).actions.len(), expected, "{manager}");
        }
    }

    #[test]
    fn there_is_room_for_a_thousand() {
        let address = |ip: usize| EndpointAddress { ip: ip.to_string(), ..EndpointAddress::default() };
        let mut subsets = vec![EndpointSubset {
            addresses: Some((0..900).map(address).collect()),
            not_ready_addresses: Some((0..200).map(address).collect()),
            ports: None,
        }];
        assert!(truncate(&mut subsets));
        let lengths =
            (subsets[0].addresses.as_ref().map(Vec::len), subsets[0].not_ready_addresses.as_ref().map(Vec::len));
        assert_eq!(lengths, (Some(900), Some(100)));
        assert!(!truncate(&mut subsets));
    }
}
