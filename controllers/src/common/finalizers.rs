//! Finalizers that keep an object while something uses it.

use kube::Resource;
use reconcile::{Action, Plan};
use serde_json::json;

/// Puts the finalizer on what is not being deleted, and takes it from what is, once it is not `used`.
pub fn protect<K: Resource<DynamicType = ()>>(object: &K, finalizer: &str, used: impl FnOnce() -> bool) -> Plan {
    let mut plan = Plan::default();
    let mut finalizers = object.meta().finalizers.clone().unwrap_or_default();
    let present = finalizers.iter().any(|own| own == finalizer);
    match (object.meta().deletion_timestamp.is_some(), present) {
        (true, true) if !used() => finalizers.retain(|own| own != finalizer),
        (false, false) => finalizers.push(finalizer.to_owned()),
        _ => return plan,
    }
    plan.push(Action::merge_patch(object, json!({"metadata": {"finalizers": finalizers}})).unchanged(object));
    plan
}
