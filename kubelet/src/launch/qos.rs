//! Quality of service: what a pod's requests and limits say about how to treat it.

use std::collections::BTreeMap;

use api::quantity::Quantity as Number;
use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl QosClass {
    pub fn as_str(self) -> &'static str {
        match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        }
    }
}

pub type ResourceMap = BTreeMap<String, Quantity>;

/// A positive amount, in units or milli-units; `None` when absent or zero.
pub fn milli(map: Option<&ResourceMap>, name: &str) -> Option<i64> {
    let value = Number::parse(&map?.get(name)?.0).ok()?.milli_value();
    (value > 0).then_some(value)
}

pub fn whole(map: Option<&ResourceMap>, name: &str) -> Option<i64> {
    let value = Number::parse(&map?.get(name)?.0).ok()?.value();
    (value > 0).then_some(value)
}

pub fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

type Set<'a> = (Option<&'a ResourceMap>, Option<&'a ResourceMap>);

/// core/v1 PodStatus.qosClass.
pub fn class(spec: &PodSpec) -> QosClass {
    fn set(resources: &ResourceRequirements) -> Set<'_> {
        (resources.requests.as_ref(), resources.limits.as_ref())
    }
    // Resources of the pod as a whole stand for those of its containers.
    let of_pod = spec.resources.as_ref().filter(|own| own.requests.is_some() || own.limits.is_some());
    match of_pod {
        Some(own) => of_sets(&[set(own)]),
        None => of_sets(
            &containers(spec)
                .map(|container| container.resources.as_ref().map_or((None, None), set))
                .collect::<Vec<_>>(),
        ),
    }
}

fn of_sets(sets: &[Set<'_>]) -> QosClass {
    const COUNTED: [&str; 2] = ["cpu", "memory"];
    let any = sets.iter().any(|(requests, limits)| {
        COUNTED.iter().any(|name| milli(*requests, name).is_some() || milli(*limits, name).is_some())
    });
    let all_equal = sets.iter().all(|(requests, limits)| {
        COUNTED.iter().all(|name| {
            let limit = milli(*limits, name);
            // A request that is not given is the limit.
            limit.is_some() && milli(*requests, name).is_none_or(|request| Some(request) == limit)
        })
    });
    match (any, all_equal) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn classes() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let table: [(&str, Value, QosClass); 6] = [
            ("nothing", json!({}), QosClass::BestEffort),
            ("zero counts as nothing", json!({"requests": {"cpu": "0"}}), QosClass::BestEffort),
            ("a request", json!({"requests": {"cpu": "100m"}}), QosClass::Burstable),
            ("limits alone", full.clone(), QosClass::Guaranteed),
            (
                "equal in another notation",
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}),
                QosClass::Guaranteed,
            ),
            (
                "memory without limit",
                json!({"limits": {"cpu": "1"}, "requests": {"memory": "1Gi"}}),
                QosClass::Burstable,
            ),
        ];
        for (name, resources, expected) in table {
            let spec: PodSpec =
                serde_json::from_value(json!({"containers": [{"name": "c", "resources": resources}]})).expect(name);
            assert_eq!(class(&spec), expected, "{name}");
        }
        let two = json!({"containers": [{"name": "a", "resources": full}, {"name": "b"}]});
        let spec: PodSpec = serde_json::from_value(two).expect("two containers");
        assert_eq!(class(&spec), QosClass::Burstable, "one of two has no limits");
    }
}
