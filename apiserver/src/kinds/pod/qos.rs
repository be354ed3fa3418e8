//! The quality of service class that follows from a pod's resources.

use std::collections::BTreeMap;

use api::quantity::Quantity;
use serde_json::Value;

use super::super::cursor::{field, list};
use super::super::quantities::parse_value;
use super::prepare::is_positive;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed` when every container limits both cpu and memory and asks for just that, `BestEffort` when none says anything,
/// `Burstable` in between. Resources of the pod as a whole, where given, stand for those of its containers.
pub fn class(pod: &Value) -> &'static str {
    let spec = field(pod, "spec");
    let whole = field(spec, "resources");
    let parts: Vec<&Value> = if whole.is_null() {
        let containers = list(spec, "containers").iter().chain(list(spec, "initContainers"));
        containers.map(|container| field(container, "resources")).collect()
    } else {
        vec![whole]
    };
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut guaranteed = true;
    for resources in &parts {
        sum(&mut requests, field(resources, "requests"));
        sum(&mut limits, field(resources, "limits"));
        let limited = COMPUTE.iter().all(|name| is_positive(field(field(resources, "limits"), name)));
        // Upstream asks a pod-level spec for both only when it has limits at all.
        let exempt = !whole.is_null() && super::super::cursor::size(field(resources, "limits")) == 0;
        guaranteed &= limited || exempt;
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn sum(total: &mut BTreeMap<&'static str, Quantity>, amounts: &Value) {
    for name in COMPUTE {
        let amount = field(amounts, name);
        if let Some(quantity) = parse_value(amount).filter(|_| is_positive(amount)) {
            match total.get_mut(name) {
                Some(sum) => sum.add(&quantity),
                None => drop(total.insert(name, quantity)),
            }
        }
    }
}
