//! From Services to the pods behind them.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reconcile::Key;
use reconcile::informer::Caches;

use super::selector::{self, Labels};
use super::{nonzero, pods};

/// The selector of a Service whose endpoints are ours to keep: without one they come from elsewhere, and an ExternalName has
/// none.
pub fn kept_selector(service: &Service) -> Option<&Labels> {
    let spec = service.spec.as_ref()?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    spec.selector.as_ref().filter(|selector| !selector.is_empty())
}

/// The Services that select a pod.
pub fn services_of(pod: &Pod, caches: &Caches) -> Vec<Key> {
    let (Some(namespace), labels) = (&pod.metadata.namespace, selector::labels(&pod.metadata.labels)) else {
        return Vec::new();
    };
    let services = caches.get::<Service>().in_namespace(namespace);
    let selecting = services
        .iter()
        .filter(|service| kept_selector(service).is_some_and(|selector| selector::is_subset(selector, labels)));
    selecting.map(|service| Key::of(&**service)).collect()
}

/// The pods that a Service selects, in the order of their names.
pub fn selected_pods(service: &Service, caches: &Caches) -> Vec<Arc<Pod>> {
    let (Some(selector), Some(namespace)) = (kept_selector(service), &service.metadata.namespace) else {
        return Vec::new();
    };
    let mut pods = caches.get::<Pod>().in_namespace(namespace);
    pods.retain(|pod| selector::is_subset(selector, selector::labels(&pod.metadata.labels)));
    pods
}

/// The Service has no address of its own.
pub fn is_headless(service: &Service) -> bool {
    let cluster_ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    cluster_ip.is_none_or(|address| address.is_empty() || address == "None")
}

pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses) == Some(true)
}

pub fn ports(service: &Service) -> &[ServicePort] {
    service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or(&[])
}

/// A pod that has an address and has not ended can be an endpoint.
pub fn can_serve(pod: &Pod, include_terminating: bool) -> bool {
    !pods::is_terminal(pod)
        && addresses(pod).next().is_some()
        && (include_terminating || pod.metadata.deletion_timestamp.is_none())
}

fn addresses(pod: &Pod) -> impl Iterator<Item = &str> {
    let status = pod.status.as_ref();
    let all = status.and_then(|status| status.pod_ips.as_deref()).unwrap_or(&[]);
    let first = status.and_then(|status| status.pod_ip.as_deref()).filter(|_| all.is_empty());
    all.iter().map(|address| address.ip.as_str()).chain(first).filter(|address| !address.is_empty())
}

/// The pod's address of a family.
pub fn address(pod: &Pod, ipv6: bool) -> Option<&str> {
    addresses(pod).find(|address| address.contains(':') == ipv6)
}

/// The hostname under which DNS knows the pod within the Service's domain.
pub fn hostname(pod: &Pod, service: &Service) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let named = spec.subdomain.is_some() && spec.subdomain == service.metadata.name;
    spec.hostname.clone().filter(|hostname| named && !hostname.is_empty())
}

/// The port of the pod that a port of the Service leads to; a name is looked up in the pod's containers.
pub fn target_port(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return nonzero(port.port),
        Some(IntOrString::Int(number)) => return Some(if *number == 0 { port.port } else { *number }),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let spec = pod.spec.as_ref()?;
    let sidecars =
        spec.init_containers.iter().flatten().filter(|init| init.restart_policy.as_deref() == Some("Always"));
    let all = spec.containers.iter().chain(sidecars);
    all.flat_map(|container: &Container| container.ports.iter().flatten())
        .find(|port| port.name.as_ref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .map(|port| port.container_port)
}
