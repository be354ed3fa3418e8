//! Resources of a pod as a whole, against those of its containers.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use serde_json::Value;

use super::super::cursor::{Cursor, Errors, field, list};
use super::super::quantities::{parse_at, parse_value};
use super::containers::is_sidecar;
use super::resources::is_huge_page;

pub type Amounts = BTreeMap<String, Quantity>;

/// What the containers of a pod need together at the worst moment: all containers and sidecars at once, or one init container
/// beside the sidecars before it. `which` is `requests` or `limits`.
pub fn aggregate(spec: &Value, which: &str) -> Amounts {
    let mut total = Amounts::new();
    for container in list(spec, "containers") {
        add(&mut total, &amounts(container, which));
    }
    let (mut sidecars, mut init) = (Amounts::new(), Amounts::new());
    for container in list(spec, "initContainers") {
        let mut moment = amounts(container, which);
        if is_sidecar(container) {
            add(&mut total, &moment);
            add(&mut sidecars, &moment);
            moment = sidecars.clone();
        } else {
            add(&mut moment, &sidecars);
        }
        raise(&mut init, &moment);
    }
    raise(&mut total, &init);
    total
}

fn amounts(container: &Value, which: &str) -> Amounts {
    let members = field(field(container, "resources"), which).as_object().into_iter().flatten();
    members.filter_map(|(name, value)| Some((name.clone(), parse_value(value)?))).collect()
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        match total.get_mut(name) {
            Some(sum) => sum.add(amount),
            None => drop(total.insert(name.clone(), amount.clone())),
        }
    }
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        if to.get(name).is_none_or(|current| current < amount) {
            to.insert(name.clone(), amount.clone());
        }
    }
}

/// `spec.resources` covers what the containers ask for.
pub fn consistent(spec: &Cursor, errors: &mut Errors) {
    let resources = spec.child("resources");
    let (requests, limits) = (resources.child("requests"), resources.child("limits"));
    for (name, wanted) in aggregate(spec.value, "requests") {
        let at = requests.key(&name);
        if let Some(given) = parse_at(&at).filter(|given| wanted > *given) {
            let detail = format!("must be greater than or equal to aggregate container requests of {wanted}");
            errors.invalid_as(&at, given.to_string(), detail);
        }
    }
    for (name, wanted) in aggregate(spec.value, "limits") {
        let at = limits.key(&name);
        if let Some(given) = parse_at(&at).filter(|given| is_huge_page(&name) && wanted > *given) {
            let detail = format!("must be greater than or equal to aggregate container limits of {wanted}");
            errors.invalid_as(&at, given.to_string(), detail);
        }
    }
    // Upstream's path leads through `resources` here.
    let places = resources.child("containers");
    for (index, container) in list(spec.value, "containers").iter().enumerate() {
        for (name, limit) in amounts(container, "limits") {
            if let Some(given) = parse_at(&limits.key(&name)).filter(|given| limit > *given) {
                let place = places.index(index);
                let place = place.key(&name);
                let detail = format!("must be less than or equal to pod limits of {given}");
                errors.invalid_as(&place.child("limits"), limit.to_string(), detail);
            }
        }
    }
}
