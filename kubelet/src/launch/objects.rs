//! The ConfigMaps and Secrets that a pod refers to: which they are, and what they held when they were looked up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, Secret, Volume};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    ConfigMap,
    Secret,
}

/// Namespace and name of a ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    pub kind: ObjectKind,
    pub namespace: String,
    pub name: String,
}

/// What was found; a key that is not in here was not looked up.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    pub config_maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    pub secrets: BTreeMap<String, Option<Arc<Secret>>>,
}

impl Objects {
    pub fn config_map(&self, name: &str) -> Result<&ConfigMap, String> {
        let found = self.config_maps.get(name).and_then(Option::as_deref);
        found.ok_or_else(|| format!("configmap {name:?} not found"))
    }

    pub fn secret(&self, name: &str) -> Result<&Secret, String> {
        let found = self.secrets.get(name).and_then(Option::as_deref);
        found.ok_or_else(|| format!("secret {name:?} not found"))
    }
}

fn of_volume(volume: &Volume, add: &mut impl FnMut(ObjectKind, &str)) {
    if let Some(source) = &volume.config_map {
        add(ObjectKind::ConfigMap, &source.name);
    }
    if let Some(name) = volume.secret.as_ref().and_then(|source| source.secret_name.as_ref()) {
        add(ObjectKind::Secret, name);
    }
    for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
        if let Some(source) = &source.config_map {
            add(ObjectKind::ConfigMap, &source.name);
        }
        if let Some(source) = &source.secret {
            add(ObjectKind::Secret, &source.name);
        }
    }
}

fn of_container(container: &Container, add: &mut impl FnMut(ObjectKind, &str)) {
    for source in container.env_from.iter().flatten() {
        if let Some(source) = &source.config_map_ref {
            add(ObjectKind::ConfigMap, &source.name);
        }
        if let Some(source) = &source.secret_ref {
            add(ObjectKind::Secret, &source.name);
        }
    }
    for source in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
        if let Some(source) = &source.config_map_key_ref {
            add(ObjectKind::ConfigMap, &source.name);
        }
        if let Some(source) = &source.secret_key_ref {
            add(ObjectKind::Secret, &source.name);
        }
    }
}

/// Everything that the pod's volumes and variables refer to.
pub fn references(pod: &Pod) -> BTreeSet<ObjectKey> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let mut out = BTreeSet::new();
    let mut add = |kind, name: &str| {
        if !name.is_empty() {
            out.insert(ObjectKey { kind, namespace: namespace.clone(), name: name.to_owned() });
        }
    };
    let Some(spec) = &pod.spec else { return BTreeSet::new() };
    spec.volumes.iter().flatten().for_each(|volume| of_volume(volume, &mut add));
    super::qos::containers(spec).for_each(|container| of_container(container, &mut add));
    for ephemeral in spec.ephemeral_containers.iter().flatten() {
        of_container(&crate::pod::from_ephemeral(ephemeral), &mut add);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_of_a_pod() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "ns"},
            "spec": {
                "volumes": [
                    {"name": "a", "configMap": {"name": "cm1"}},
                    {"name": "b", "secret": {"secretName": "s1"}},
                    {"name": "c", "projected": {"sources": [{"configMap": {"name": "cm2"}}, {"secret": {"name": "s2"}}]}}
                ],
                "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "cm3"}}]}],
                "containers": [{"name": "c", "env": [
                    {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "k"}}},
                    {"name": "Y", "valueFrom": {"configMapKeyRef": {"name": "cm1", "key": "k"}}}
                ]}]
            }
        }))
        .expect("a pod");
        let names: Vec<String> = references(&pod).into_iter().map(|key| key.name).collect();
        assert_eq!(names, ["cm1", "cm2", "cm3", "s1", "s2", "s3"]);
    }
}
