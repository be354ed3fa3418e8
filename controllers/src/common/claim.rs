//! Which of the objects that a selector matches belong to a controller: adoption of orphans, release of strangers.

use kube::Resource;
use kube::core::ObjectMeta;
use reconcile::Action;
use serde_json::{Value, json};

/// What is to be done about one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Keep,
    /// An orphan that matches: becomes ours.
    Adopt,
    /// Ours, and it does not match any more: let it go.
    Release,
    /// Somebody else's, or nothing to us.
    Ignore,
}

/// The rule of upstream's controller references. `matches`: the owner's selector selects the object.
pub fn claim(owner: &ObjectMeta, object: &ObjectMeta, matches: bool) -> Claim {
    let owner_lives = owner.deletion_timestamp.is_none();
    let controller = object.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    match controller {
        Some(controller) if Some(&controller.uid) != owner.uid.as_ref() => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        Some(_) if owner_lives => Claim::Release,
        None if matches
            && owner_lives
            && object.deletion_timestamp.is_none()
            && owner.namespace == object.namespace =>
        {
            Claim::Adopt
        }
        _ => Claim::Ignore,
    }
}

/// Only while the owner lives, asked of the server: the cache may not know yet that it was deleted with its children orphaned.
pub fn adopt<O: Resource<DynamicType = ()>, K: Resource<DynamicType = ()>>(owner: &O, object: &K) -> Action {
    Action::strategic_patch(object, adoption(owner)).same_uid(object).confirm_root()
}

/// The same, with a finalizer for what is adopted.
pub fn adopt_tracked<O, K>(owner: &O, object: &K, finalizer: &str) -> Action
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()>,
{
    let mut body = adoption(owner);
    body["metadata"]["finalizers"] = json!([finalizer]);
    Action::strategic_patch(object, body).same_uid(object).confirm_root()
}

fn adoption<O: Resource<DynamicType = ()>>(owner: &O) -> Value {
    json!({"metadata": {"ownerReferences": [{
        "apiVersion": O::api_version(&()), "kind": O::kind(&()), "name": owner.meta().name, "uid": owner.meta().uid,
        "controller": true, "blockOwnerDeletion": true,
    }]}})
}

pub fn release<O: Resource<DynamicType = ()>, K: Resource<DynamicType = ()>>(owner: &O, object: &K) -> Action {
    let body = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner.meta().uid}]}});
    Action::strategic_patch(object, body).same_uid(object)
}

/// The same, and its finalizer goes with the owner.
pub fn release_tracked<O, K>(owner: &O, object: &K, finalizer: &str) -> Action
where
    O: Resource<DynamicType = ()>,
    K: Resource<DynamicType = ()>,
{
    let body = json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner.meta().uid}],
        "$deleteFromPrimitiveList/finalizers": [finalizer]}});
    Action::strategic_patch(object, body).same_uid(object)
}
