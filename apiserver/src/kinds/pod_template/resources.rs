//! Validation of resource requests and limits.

use std::collections::BTreeSet;

use api::names;
use api::quantity::Quantity;

use super::super::cursor::{Cursor, Errors, IS_NEGATIVE};
use super::super::quantities::{is_integer, parse, parse_at};

const CONTAINER_RESOURCES: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

const STANDARD_RESOURCES: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
];

const INTEGER_RESOURCES: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whose requirements they are: that decides which names are allowed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Container,
    Pod,
    /// Anything that a quota or a range may speak of.
    Other,
}

/// A ResourceRequirements. `claims` are the names in `spec.resourceClaims`.
pub fn requirements(at: &Cursor, owner: Owner, claims: &BTreeSet<&str>, errors: &mut Errors) {
    let (limits, requests) = (at.child("limits"), at.child("requests"));
    for (name, amount) in limits.entries() {
        resource_name(&amount, name, owner, errors);
        amount_of(&amount, name, errors);
    }
    for (name, amount) in requests.entries() {
        resource_name(&amount, name, owner, errors);
        amount_of(&amount, name, errors);
        match (parse_at(&amount), parse_at(&limits.key(name))) {
            (Some(request), Some(limit)) => {
                if request != limit && !overcommit_allowed(name) {
                    errors.invalid_as(
                        &requests,
                        request.to_string(),
                        format!("must be equal to {name} limit of {limit}"),
                    );
                } else if request > limit {
                    let detail = format!("must be less than or equal to {name} limit of {limit}");
                    errors.invalid_as(&requests, request.to_string(), detail);
                }
            }
            (_, None) if !overcommit_allowed(name) => {
                errors.required_because(&limits, "Limit must be set for non overcommitable resources");
            }
            _ => {}
        }
    }
    let any = |wanted: &dyn Fn(&str) -> bool| limits.entries().chain(requests.entries()).any(|(name, _)| wanted(name));
    if any(&is_huge_page) && !any(&|name| name == "cpu" || name == "memory") {
        errors.forbidden(at, "HugePages require cpu or memory");
    }
    claim_names(&at.child("claims"), claims, errors);
}

/// A quantity of the resource `name`: readable, not negative, whole where only whole ones exist.
pub fn amount_of(at: &Cursor, name: &str, errors: &mut Errors) {
    let Some(amount) = parse_at(at) else { return };
    if amount.is_negative() {
        errors.invalid_as(at, amount.to_string(), IS_NEGATIVE);
    }
    if is_integer_resource(name) && !is_integer(&amount) {
        errors.invalid_as(at, amount.to_string(), "must be an integer");
    }
    if let Some(size) = name.strip_prefix("hugepages-") {
        let divisible = parse(size).is_some_and(|size| is_multiple(&amount, &size));
        if !divisible {
            errors.invalid_as(at, amount.to_string(), format!("{amount} is not positive integer multiple of {name}"));
        }
    }
}

fn is_multiple(amount: &Quantity, size: &Quantity) -> bool {
    let size = size.value();
    size > 0 && amount.value() % size == 0
}

/// The name of a resource; `at` is where its amount stands.
pub fn resource_name(at: &Cursor, name: &str, owner: Owner, errors: &mut Errors) {
    let before = errors.len();
    for message in names::qualified_name(name) {
        errors.invalid_as(at, name, message);
    }
    let qualified = name.contains('/');
    if errors.len() == before && !qualified && !is_standard(name) {
        errors.invalid_as(at, name, "must be a standard resource type or fully qualified");
    }
    match owner {
        Owner::Other => {}
        Owner::Pod => {
            let supported = matches!(name, "cpu" | "memory") || is_huge_page(name);
            if errors.len() == before && !supported {
                errors.push(api::field::FieldError::not_supported(&at.path(), name, &["cpu", "hugepages-", "memory"]));
            }
        }
        Owner::Container if !qualified => {
            if !CONTAINER_RESOURCES.contains(&name) && !is_huge_page(name) {
                errors.invalid_as(at, name, "must be a standard resource for containers");
            }
        }
        Owner::Container => {
            if !is_native(name) && !is_extended(name) {
                errors.invalid_as(at, name, "doesn't follow extended resource name standard");
            }
        }
    }
}

pub fn is_huge_page(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// In the `kubernetes.io` domain; a name without a domain is.
pub fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// A resource of somebody else's domain, such as `example.com/gpu`.
pub fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::qualified_name(&format!("requests.{name}")).is_empty()
}

fn is_standard(name: &str) -> bool {
    STANDARD_RESOURCES.contains(&name) || is_huge_page(name) || name.starts_with("requests.hugepages-")
}

fn is_integer_resource(name: &str) -> bool {
    INTEGER_RESOURCES.contains(&name) || is_extended(name)
}

pub fn overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_huge_page(name)
}

fn claim_names(at: &Cursor, claims: &BTreeSet<&str>, errors: &mut Errors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for claim in at.items() {
        let (name, request) = (claim.text("name"), claim.text("request"));
        if name.is_empty() {
            errors.required(&claim);
            continue;
        }
        if seen.contains(name) {
            errors.duplicate_as(&claim, name);
        } else {
            let key = if request.is_empty() { name.to_owned() } else { format!("{name}/{request}") };
            if !request.is_empty() {
                errors.messages(&claim.child("request"), names::dns1123_label(request));
            }
            let overlaps = request.is_empty() && seen.iter().any(|other| other.starts_with(&format!("{name}/")));
            if seen.contains(&key) || overlaps {
                errors.duplicate_as(&claim, key.as_str());
            }
            seen.insert(key);
        }
        if !claims.contains(name) {
            let mut error = api::field::FieldError::not_found(&claim.path(), name);
            let known: Vec<&str> = claims.iter().copied().collect();
            error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
            match known.is_empty() {
                true => error.detail.push_str(" which is empty"),
                false => error.detail.push_str(&format!(": {}", known.join(", "))),
            }
            errors.push(error);
        }
    }
}
