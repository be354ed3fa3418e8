//! Owns:    the ConfigMap `kube-root-ca.crt` of each namespace.
//! Watches: Namespaces, ConfigMaps.
//! Writes:  ConfigMaps (create, replace).

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::core::ObjectMeta;
use reconcile::informer::Caches;
use reconcile::{Action, Controller, Plan, Watch, chosen};

use crate::serviceaccount::{is_active, namespace_key};

/// Tells every pod by which CA it knows the API server.
pub struct RootCa {
    /// PEM.
    pub certificates: String,
}

const NAME: &str = "kube-root-ca.crt";
const SELECTED: &str = "metadata.name=kube-root-ca.crt";
const FILE: &str = "ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";

impl Controller for RootCa {
    const NAME: &'static str = "root-ca-certificate-publisher-controller";
    const ACCOUNT: &'static str = "root-ca-cert-publisher";
    const QUEUE: &'static str = "root_ca_cert_publisher";
    type Root = Namespace;
    type View = Option<Arc<ConfigMap>>;

    fn watches() -> Vec<Watch> {
        // The others are many, and somebody else's.
        vec![chosen::<ConfigMap>(SELECTED, |map, _| namespace_key(&map.metadata, NAME))]
    }

    fn view(&self, root: &Namespace, caches: &Caches) -> Option<Arc<ConfigMap>> {
        caches.chosen::<ConfigMap>(SELECTED).find(root.metadata.name.as_deref(), NAME)
    }

    fn decide(&self, root: &Namespace, current: &Option<Arc<ConfigMap>>, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if !is_active(root) {
            return plan;
        }
        let mut wanted = current.as_deref().cloned().unwrap_or_else(|| ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                namespace: root.metadata.name.clone(),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        });
        wanted.data = Some(BTreeMap::from([(FILE.to_owned(), self.certificates.clone())]));
        let annotations = wanted.metadata.annotations.get_or_insert_default();
        let described = annotations.get(DESCRIPTION).is_some_and(|text| !text.is_empty());
        if !described {
            let text = "The CA certificates by which clients inside the cluster verify the API server.";
            annotations.insert(DESCRIPTION.to_owned(), text.to_owned());
        }
        match current.as_deref() {
            None => plan.push(Action::create(&wanted)),
            Some(current) if *current != wanted => plan.push(Action::replace(&wanted).unchanged(current)),
            Some(_) => {}
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::testing::{actions, now, object};
    use serde_json::{Value, json};

    #[test]
    fn the_map_is_created_and_reset() {
        let map = |ca: &str, description: &str| json!({"metadata": {"name": NAME, "namespace": "shop", "annotations": {DESCRIPTION: description}}, "data": {FILE: ca}});
        let mut more = map("CA", "text");
        more["data"]["other"] = json!("x");
        let (create, replace) = ("create ConfigMap shop/kube-root-ca.crt", "replace ConfigMap shop/kube-root-ca.crt");
        let table: [(&str, Option<Value>, &[&str]); 5] = [
            ("missing", None, &[create]),
            ("right", Some(map("CA", "text")), &[]),
            ("edited", Some(map("other", "text")), &[replace]),
            ("with more in it", Some(more), &[replace]),
            ("without the description", Some(map("CA", "")), &[replace]),
        ];
        let controller = RootCa { certificates: "CA".to_owned() };
        for (name, current, expected) in table {
            let namespace = object(json!({"metadata": {"name": "shop"}}));
            let current = current.map(|value| Arc::new(object(value)));
            assert_eq!(actions(&controller.decide(&namespace, &current, now())), *expected, "{name}");
        }
    }
}
