//! Service: a union by `type`, whose fields depend on one another.
//!
//! [`fields`] infers what the user means by them, [`cluster_ips`] checks the addresses, [`validation`] the rest. Addresses and
//! ports are allocated by the generic pipeline, after `defaults` and before `validate`.

mod cluster_ips;
mod fields;
mod validation;

#[cfg(test)]
mod tests;

use api::Object;
use api::field::FieldError;
use serde_json::Value;

use super::addresses;
use super::cursor::{Cursor, Errors, field, list, number, size, text};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct Service;

impl Strategy for Service {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        fields::defaults(new);
    }

    fn prepare_for_update(&self, new: &mut Object, old: &Object) {
        fields::keep_allocated(new, old);
        fields::drop_by_type(new, old);
    }

    fn prepare_for_allocation(&self, new: &mut Object, old: Option<&Object>) {
        if old.is_none() {
            fields::both_addresses(new);
        }
        fields::infer_families(new, old);
    }

    fn before_allocation(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        cluster_ips::related(new, &mut errors);
        if errors.is_empty() {
            cluster_ips::single_stack(new, &mut errors);
        }
        errors.into_vec()
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        validation::service(new, &mut errors);
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        cluster_ips::changes(new, old, &mut errors);
        validation::changes(new, old, &mut errors);
        errors.into_vec()
    }

    fn validate_subresource(&self, subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        if subresource == "status" {
            validation::status(new, &mut errors);
        }
        errors.into_vec()
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        warnings(new)
    }
}

fn kind(service: &Value) -> &str {
    text(field(service, "spec"), "type")
}

fn is_headless(service: &Value) -> bool {
    let ips = list(field(service, "spec"), "clusterIPs");
    ips.len() == 1 && ips[0] == "None"
}

fn needs_cluster_ip(service: &Value) -> bool {
    kind(service) != "ExternalName"
}

fn needs_node_port(service: &Value) -> bool {
    matches!(kind(service), "NodePort" | "LoadBalancer")
}

fn needs_health_check(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(field(service, "spec"), "externalTrafficPolicy") == "Local"
}

fn is_external(service: &Value) -> bool {
    needs_node_port(service)
        || (kind(service) == "ClusterIP" && !list(field(service, "spec"), "externalIPs").is_empty())
}

/// Of the port; 0 where there is none.
fn node_port(port: &Value) -> i64 {
    number(port, "nodePort").unwrap_or_default()
}

fn warnings(service: &Value) -> Vec<String> {
    const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
    let mut warnings = Vec::new();
    let spec = Cursor::root(service, "spec");
    if !field(field(field(service, "metadata"), "annotations"), HINTS).is_null() {
        warnings
            .push(format!("annotation {HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    let headless = kind(service) == "ClusterIP" && spec.text("clusterIP") == "None";
    if headless {
        if !spec.text("loadBalancerIP").is_empty() {
            warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
        }
        if size(field(spec.value, "externalIPs")) > 0 {
            warnings.push("spec.externalIPs is ignored for headless services".to_owned());
        }
        if spec.text("sessionAffinity") != "None" {
            warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
        }
    }
    let lists = if headless { &["externalIPs"][..] } else { &["clusterIPs", "externalIPs"] };
    for name in lists {
        for ip in spec.child(name).items() {
            warnings.extend(addresses::warning(ip.path().as_str(), ip.str()));
        }
    }
    if kind(service) == "ExternalName" && size(field(spec.value, "externalIPs")) > 0 {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind(service) != "ExternalName" && !spec.text("externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if spec.text("trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}
