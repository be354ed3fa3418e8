//! Owns:    EndpointSlices that mirror the Endpoints which somebody made for a Service without a selector.
//! Watches: Endpoints, Services, EndpointSlices.
//! Writes:  EndpointSlices (create, replace, delete), events.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointSlice};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, PlanEvent, Watch, indexed, mapped};

use crate::common::selector::{self, Labels};
use crate::endpointslices::{GroupKey, MANAGED_BY, PortKey, SERVICE_NAME};

pub struct EndpointSliceMirroring;

pub struct View {
    pub service: Option<Arc<Service>>,
    /// Those that mirror these Endpoints so far.
    pub slices: Vec<Arc<EndpointSlice>>,
}

const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
/// Endpoints by which a leader is elected are no endpoints.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// What is said of the Endpoints and not of what mirrors them.
const OWN_ANNOTATIONS: [&str; 2] =
    ["endpoints.kubernetes.io/last-change-trigger-time", "kubectl.kubernetes.io/last-applied-configuration"];

/// The most addresses of a subset that are mirrored (upstream's default).
const MOST: usize = 1000;

/// The index of mirroring EndpointSlices by the key of their Service.
const BY_SERVICE: &str = "mirrored service";

impl Controller for EndpointSliceMirroring {
    const NAME: &'static str = "endpoint-slice-mirroring-controller";
    const ACCOUNT: &'static str = "endpointslicemirroring-controller";
    const QUEUE: &'static str = "endpoint_slice_mirroring";
    type Root = Endpoints;
    type View = View;

    fn watches() -> Vec<Watch> {
        vec![
            mapped::<Service>(|service, _| vec![Key::of(service)]),
            mapped::<EndpointSlice>(|slice, _| service_of(slice).into_iter().collect()),
            indexed::<EndpointSlice>(BY_SERVICE, |slice| {
                service_of(slice).map(|key| key.to_string()).into_iter().collect()
            }),
        ]
    }

    fn view(&self, root: &Endpoints, caches: &Caches) -> View {
        let key = Key::of(root);
        View { service: caches.get::<Service>().get(&key), slices: slices_of(&key, caches) }
    }

    fn decide(&self, root: &Endpoints, view: &View, _now: Timestamp) -> Plan {
        if !is_mirrored(root, view.service.as_deref()) {
            return delete_all(&view.slices);
        }
        let wanted = wanted(root);
        let mut plan = write(root, wanted.groups, &view.slices);
        if !plan.actions.is_empty() {
            plan.events.extend(complaints(wanted.invalid, wanted.skipped));
        }
        plan
    }

    /// The slices go with their owner; those whose owner reference somebody took go here.
    fn absent(&self, key: &Key, caches: &Caches) -> Plan {
        delete_all(&slices_of(key, caches))
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    selector::labels(&slice.metadata.labels).get(MANAGED_BY).is_some_and(|manager| manager == MANAGER)
}

fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = selector::labels(&slice.metadata.labels).get(SERVICE_NAME).filter(|_| is_ours(slice))?;
    Some(Key::new(slice.metadata.namespace.as_deref(), name))
}

fn slices_of(key: &Key, caches: &Caches) -> Vec<Arc<EndpointSlice>> {
    let mut slices = caches.get::<EndpointSlice>().by_index(BY_SERVICE, &key.to_string());
    slices.retain(|slice| slice.metadata.deletion_timestamp.is_none());
    slices
}

/// Endpoints without a Service are nobody's; those of a Service that has a selector are the endpoint controller's.
fn is_mirrored(endpoints: &Endpoints, service: Option<&Service>) -> bool {
    let skipped = selector::labels(&endpoints.metadata.labels).get(SKIP).is_some_and(|skip| skip == "true");
    let elects = selector::labels(&endpoints.metadata.annotations).contains_key(LEADER);
    let selects = |service: &Service| {
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        selector.is_some_and(|selector| !selector.is_empty())
    };
    !skipped && !elects && service.is_some_and(|service| !selects(service))
}

fn delete_all(slices: &[Arc<EndpointSlice>]) -> Plan {
    Plan { actions: slices.iter().map(|slice| Action::delete(&**slice)).collect(), ..Plan::default() }
}

/// What tells one endpoint of a slice from another: address, hostname, and the target's namespace and name.
type Identity = (String, Option<String>, Option<String>, Option<String>);

type Mirrored = BTreeMap<Identity, Endpoint>;

#[derive(Default)]
struct Wanted {
    groups: BTreeMap<GroupKey, Mirrored>,
    /// Addresses that are none, and all that are not mirrored.
    invalid: usize,
    skipped: usize,
}

fn wanted(endpoints: &Endpoints) -> Wanted {
    let mut wanted = Wanted::default();
    for (ports, addresses) in repacked(endpoints.subsets.as_deref().unwrap_or(&[])) {
        let (ready, rest): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|(_, ready)| *ready);
        let mut room = MOST;
        for (address, ready) in ready.into_iter().chain(rest) {
            let ip = if room > 0 { parse(&address.ip) } else { None };
            let Some(ip) = ip else {
                wanted.skipped += 1;
                wanted.invalid += usize::from(room > 0);
                continue;
            };
            room -= 1;
            let address_type = if ip.is_ipv6() { "IPv6" } else { "IPv4" };
            let key = GroupKey { address_type: address_type.to_owned(), ports: ports.clone() };
            let endpoint = endpoint(address, ip, ready);
            wanted.groups.entry(key).or_default().insert(identity(&endpoint), endpoint);
        }
    }
    wanted
}

/// Ports, and the addresses that have them, with whether they are ready.
type Subset = (Vec<PortKey>, Vec<(EndpointAddress, bool)>);

/// Upstream's canonical form of subsets: a port is in one of them, together with those that have the same addresses. An address that is
/// ready here and not there is not.
fn repacked(subsets: &[EndpointSubset]) -> Vec<Subset> {
    type Address = (String, Option<String>);
    let mut known = BTreeMap::<Address, EndpointAddress>::new();
    let mut by_port = BTreeMap::<Option<PortKey>, BTreeMap<Address, bool>>::new();
    for subset in subsets {
        let ports: Vec<Option<PortKey>> = match subset.ports.as_deref().unwrap_or(&[]) {
            [] => vec![None],
            ports => ports.iter().map(|port| Some(port_key(port))).collect(),
        };
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        for (address, ready) in ready.chain(subset.not_ready_addresses.iter().flatten().map(|each| (each, false))) {
            let uid = address.target_ref.as_ref().and_then(|target| target.uid.clone());
            let key = (address.ip.clone(), uid);
            known.entry(key.clone()).or_insert_with(|| address.clone());
            for port in &ports {
                let all = by_port.entry(port.clone()).or_default();
                all.entry(key.clone()).and_modify(|before| *before &= ready).or_insert(ready);
            }
        }
    }
    let mut by_addresses = BTreeMap::<BTreeMap<Address, bool>, Vec<PortKey>>::new();
    for (port, addresses) in by_port {
        by_addresses.entry(addresses).or_default().extend(port);
    }
    let address = |(key, ready): (Address, bool)| Some((known.get(&key)?.clone(), ready));
    by_addresses
        .into_iter()
        .map(|(addresses, ports)| (ports, addresses.into_iter().filter_map(address).collect()))
        .collect()
}

/// In the order of [`GroupKey`]'s ports.
fn port_key(port: &EndpointPort) -> PortKey {
    let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    (Some(port.name.clone().unwrap_or_default()), Some(port.port), Some(protocol), port.app_protocol.clone())
}

/// Old objects may have leading zeros, which mean nothing.
fn parse(ip: &str) -> Option<IpAddr> {
    let plain: Vec<&str> = ip
        .split('.')
        .map(|part| part.trim_start_matches('0'))
        .map(|part| if part.is_empty() { "0" } else { part })
        .collect();
    let address = if ip.contains(':') { ip.parse().ok()? } else { plain.join(".").parse().ok()? };
    match address {
        IpAddr::V6(long) => Some(long.to_ipv4_mapped().map_or(address, IpAddr::V4)),
        IpAddr::V4(_) => Some(address),
    }
}

fn endpoint(address: EndpointAddress, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![ip.to_string()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.filter(|hostname| !hostname.is_empty()),
        node_name: address.node_name,
        target_ref: address.target_ref,
        ..Endpoint::default()
    }
}

fn identity(endpoint: &Endpoint) -> Identity {
    let target = endpoint.target_ref.as_ref();
    (
        endpoint.addresses.join(","),
        endpoint.hostname.clone(),
        target.and_then(|target| target.namespace.clone()),
        target.and_then(|target| target.name.clone()),
    )
}

/// One slice for each kind of address and set of ports. What is there is kept when it is right, else written over: with another slice's
/// content before one is made anew.
fn write(root: &Endpoints, groups: BTreeMap<GroupKey, Mirrored>, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut missing = Vec::new();
    let mut spare: Vec<Arc<EndpointSlice>> = slices.to_vec();
    let mut plan = Plan::default();
    for (key, endpoints) in groups {
        let Some(index) = spare.iter().position(|slice| GroupKey::of(slice) == key) else {
            missing.push((key, endpoints));
            continue;
        };
        let slice = spare.remove(index);
        if !is_right(root, &slice, &endpoints) {
            plan.push(replace(root, &slice, &key, endpoints));
        }
    }
    for (key, endpoints) in missing {
        match spare.iter().position(|slice| slice.address_type == key.address_type) {
            Some(index) => plan.push(replace(root, &spare.remove(index), &key, endpoints)),
            None if root.metadata.deletion_timestamp.is_none() => {
                let metadata = ObjectMeta {
                    generate_name: root.metadata.name.as_ref().map(|name| format!("{name}-")),
                    namespace: root.metadata.namespace.clone(),
                    ..ObjectMeta::default()
                };
                plan.push(Action::create(&slice(root, metadata, &key, endpoints)));
            }
            None => {}
        }
    }
    plan.actions.extend(spare.iter().map(|slice| Action::delete(&**slice)));
    plan
}

fn is_right(root: &Endpoints, slice: &EndpointSlice, wanted: &Mirrored) -> bool {
    let told = |endpoint: &Endpoint| {
        let mut endpoint = Endpoint { hints: None, ..endpoint.clone() };
        if let Some(target) = &mut endpoint.target_ref {
            target.resource_version = None;
        }
        endpoint
    };
    let owned = |owner: &OwnerReference| Some(&owner.uid) == root.metadata.uid.as_ref();
    slice.endpoints.len() == wanted.len()
        && slice
            .endpoints
            .iter()
            .all(|endpoint| wanted.get(&identity(endpoint)).is_some_and(|wanted| told(wanted) == told(endpoint)))
        && *selector::labels(&slice.metadata.labels) == labels(root)
        && *selector::labels(&slice.metadata.annotations) == annotations(root)
        && slice.metadata.owner_references.iter().flatten().any(owned)
}

fn replace(root: &Endpoints, old: &EndpointSlice, key: &GroupKey, endpoints: Mirrored) -> Action {
    Action::replace(&slice(root, old.metadata.clone(), key, endpoints)).unchanged(old)
}

fn slice(root: &Endpoints, mut metadata: ObjectMeta, key: &GroupKey, endpoints: Mirrored) -> EndpointSlice {
    metadata.labels = Some(labels(root));
    metadata.annotations = Some(annotations(root)).filter(|annotations| !annotations.is_empty());
    let owner = root.controller_owner_ref(&());
    metadata.owner_references = owner.map(|owner| vec![OwnerReference { block_owner_deletion: Some(true), ..owner }]);
    EndpointSlice {
        metadata,
        address_type: key.address_type.clone(),
        endpoints: endpoints.into_values().collect(),
        ports: key.ports(),
    }
}

fn labels(root: &Endpoints) -> Labels {
    let mut labels = selector::labels(&root.metadata.labels).clone();
    labels.insert(SERVICE_NAME.to_owned(), root.metadata.name.clone().unwrap_or_default());
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn annotations(root: &Endpoints) -> Labels {
    let mut annotations = selector::labels(&root.metadata.annotations).clone();
    annotations.retain(|key, _| !OWN_ANNOTATIONS.contains(&key.as_str()));
    annotations
}

fn complaints(invalid: usize, skipped: usize) -> Vec<PlanEvent> {
    let mut events = Vec::new();
    if invalid > 0 {
        let text = format!("Skipped {invalid} invalid IP addresses when mirroring to EndpointSlices");
        events.push(PlanEvent::warning("InvalidIPAddress", text));
    }
    if skipped > invalid {
        let text = format!(
            "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {skipped} addresses were skipped"
        );
        events.push(PlanEvent::warning("TooManyAddressesToMirror", text));
    }
    events
}

#[cfg(test)]
#[path = "endpointslicemirroring_tests.rs"]
mod tests;
