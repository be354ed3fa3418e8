//! Owns:    the ServiceAccount `default` of each namespace.
//! Watches: Namespaces, ServiceAccounts.
//! Writes:  ServiceAccounts (create).

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Key, Plan, Watch, mapped};

pub struct ServiceAccounts;

const DEFAULT: &str = "default";

impl Controller for ServiceAccounts {
    const NAME: &'static str = "serviceaccount-controller";
    const ACCOUNT: &'static str = "service-account-controller";
    const QUEUE: &'static str = "serviceaccount";
    type Root = Namespace;
    /// Whether it is there.
    type View = bool;

    fn watches() -> Vec<Watch> {
        vec![mapped::<ServiceAccount>(|account, _| namespace_key(&account.metadata, DEFAULT))]
    }

    fn view(&self, root: &Namespace, caches: &Caches) -> bool {
        caches.get::<ServiceAccount>().find(root.metadata.name.as_deref(), DEFAULT).is_some()
    }

    fn decide(&self, root: &Namespace, exists: &bool, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if is_active(root) && !exists {
            let metadata = ObjectMeta {
                name: Some(DEFAULT.to_owned()),
                namespace: root.metadata.name.clone(),
                ..ObjectMeta::default()
            };
            plan.push(Action::create(&ServiceAccount { metadata, ..ServiceAccount::default() }));
        }
        plan
    }
}

/// Nothing can be created in a namespace that is going away.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

/// The namespace of an object, if it has the one name that matters.
pub(crate) fn namespace_key(meta: &ObjectMeta, name: &str) -> Vec<Key> {
    let namespace = meta.namespace.as_deref().filter(|_| meta.name.as_deref() == Some(name));
    namespace.map(Key::cluster).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object, time_ago};
    use serde_json::json;

    #[test]
    fn every_active_namespace_has_the_account() {
        let create = vec!["create ServiceAccount shop/default".to_owned()];
        let table = [
            ("new", json!({"metadata": {"name": "shop"}, "status": {"phase": "Active"}}), false, create),
            ("there", json!({"metadata": {"name": "shop"}}), true, vec![]),
            ("leaving", json!({"metadata": {"name": "shop", "deletionTimestamp": time_ago(1)}}), false, vec![]),
        ];
        for (name, namespace, exists, expected) in table {
            let plan = ServiceAccounts.decide(&object(namespace), &exists, now());
            assert_eq!(actions(&plan), expected, "{name}");
        }
    }
}
