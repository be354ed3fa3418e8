//! The scale subresource names one field of its parent otherwise: managers of the parent's replica count manage
//! `spec.replicas` of the Scale.

use super::PathElement;
use super::managers::{Managed, ManagedFields};
use super::set::Set;

pub const SCALE_VERSION: &str = "autoscaling/v1";

/// Where a version of the parent has its replica count; `None` when the version is unknown.
pub type ReplicasPath<'a> = &'a dyn Fn(&str) -> Option<Vec<PathElement>>;

fn in_scale() -> Vec<PathElement> {
    ["spec", "replicas"].map(PathElement::field).to_vec()
}

/// The managers of the parent as managers of its Scale.
pub fn to_scale(parent: &ManagedFields, replicas: ReplicasPath<'_>) -> ManagedFields {
    let mut scale = ManagedFields::default();
    for (id, managed) in parent.iter() {
        if replicas(&managed.api_version).is_some_and(|path| managed.fields.has(&path)) {
            let fields = Set::from_iter([in_scale().as_slice()]);
            scale.insert(id.clone(), Managed { fields, api_version: SCALE_VERSION.to_owned() });
            scale.set_time(id.clone(), parent.time(id).map(str::to_owned));
        }
    }
    scale
}

/// The managers of the parent after those of its Scale became `scale`. `api_version` is the parent's.
pub fn to_parent(
    parent: &ManagedFields,
    scale: &ManagedFields,
    api_version: &str,
    replicas: ReplicasPath<'_>,
) -> ManagedFields {
    let mut result = ManagedFields::default();
    let mut put = |id: &super::ManagerId, managed: Managed, time: Option<&str>| {
        result.insert(id.clone(), managed);
        result.set_time(id.clone(), time.map(str::to_owned));
    };
    let mut known = Vec::new();
    for (id, managed) in parent.iter() {
        let Some(path) = replicas(&managed.api_version) else { continue };
        let mut managed = managed.clone();
        if managed.fields.has(&path) {
            match scale.get(id) {
                Some(_) => known.push(id.clone()),
                // The count was taken from it.
                None => managed.fields = managed.fields.difference(&Set::from_iter([path.as_slice()])),
            }
        }
        put(id, managed, parent.time(id));
    }
    for (id, managed) in scale.iter().filter(|(id, _)| !known.contains(id)) {
        if managed.fields.has(&in_scale())
            && let Some(path) = replicas(api_version)
        {
            let fields = Set::from_iter([path.as_slice()]);
            // Upstream gives no time to a manager that comes by the subresource.
            put(id, Managed { fields, api_version: api_version.to_owned() }, parent.time(id));
        }
    }
    result
}
