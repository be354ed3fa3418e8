//! Discovery of this server and of those behind it in one: groups in the order of their priorities, versions in them as well.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use api::discovery::compare_versions;
use bytes::Bytes;
use serde_json::{Value, json};

use super::index::{ApiService, Index};
use super::priorities;

impl Index {
    /// `/apis`, with the groups of others.
    pub fn group_list(&self, mut local: Value) -> Value {
        let remotes = self.remotes();
        if !remotes.is_empty() {
            let groups = local["groups"].as_array_mut().map(std::mem::take).unwrap_or_default();
            let merged = self.merge(
                groups,
                &remotes,
                |group| group["name"].as_str(),
                plain_version,
                |name| json!({"name": name}),
            );
            local["groups"] = merged.into_iter().map(preferring_first).collect();
        }
        local
    }

    /// `/apis/<group>`.
    pub fn group(&self, name: &str, local: Option<Value>) -> Option<Value> {
        let mut remotes = self.remotes();
        remotes.retain(|service| service.group == name);
        if remotes.is_empty() {
            return local;
        }
        let new = |name: &str| json!({"kind": "APIGroup", "apiVersion": "v1", "name": name});
        let merged =
            self.merge(local.into_iter().collect(), &remotes, |group| group["name"].as_str(), plain_version, new);
        merged.into_iter().next().map(preferring_first)
    }

    /// The aggregated document of `/apis`.
    pub fn aggregated(&self, key: &str, local: &Bytes) -> Bytes {
        let remotes = self.remotes();
        if remotes.is_empty() {
            return local.clone();
        }
        let mut document: Value = serde_json::from_slice(local).unwrap_or_default();
        let items = document["items"].as_array_mut().map(std::mem::take).unwrap_or_default();
        let new = |name: &str| json!({"metadata": {"name": name}});
        document["items"] = self
            .merge(items, &remotes, |item| item["metadata"]["name"].as_str(), |service| self.told(service), new)
            .into();
        let merged = Bytes::from(document.to_string());
        let mut known = self.merged.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(key) {
            // The same text is shared by all who ask.
            Some((_, text)) if *text == merged => text.clone(),
            _ => {
                known.insert(key.to_owned(), (local.clone(), merged.clone()));
                merged
            }
        }
    }

    /// A version as aggregated discovery has it.
    fn told(&self, service: &ApiService) -> Value {
        let told = self.documents.get(&service.name);
        let freshness = if service.available && told.is_some() { "Current" } else { "Stale" };
        let resources = told.map(|told| told.resources.clone()).unwrap_or_default();
        json!({"version": service.version, "resources": resources, "freshness": freshness})
    }

    fn merge(
        &self,
        local: Vec<Value>,
        remotes: &[Arc<ApiService>],
        name: impl Fn(&Value) -> Option<&str>,
        version: impl Fn(&ApiService) -> Value,
        new: impl Fn(&str) -> Value,
    ) -> Vec<Value> {
        let mut groups: BTreeMap<String, Value> =
            local.into_iter().filter_map(|group| Some((name(&group)?.to_owned(), group))).collect();
        for service in remotes {
            let group = groups.entry(service.group.clone()).or_insert_with(|| new(&service.group));
            let mut versions = group["versions"].as_array_mut().map(std::mem::take).unwrap_or_default();
            versions.retain(|own| own["version"] != service.version.as_str());
            versions.push(version(service));
            group["versions"] = versions.into();
        }
        for (name, group) in &mut groups {
            if let Some(versions) = group["versions"].as_array_mut() {
                self.sort_versions(name, versions);
            }
        }
        let mut groups: Vec<(Reverse<i64>, String, Value)> =
            groups.into_iter().map(|(name, group)| (Reverse(self.priority(&name)), name, group)).collect();
        groups.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        groups.into_iter().map(|(_, _, group)| group).collect()
    }

    /// Of a group: the highest that one of its versions asks for.
    pub(super) fn priority(&self, group: &str) -> i64 {
        let asked = self.services().into_iter().filter(|service| service.group == group);
        let asked = asked.map(|service| service.group_priority).max();
        if group == super::GROUP {
            priorities::of_group(group)
        } else {
            asked.unwrap_or_else(|| priorities::of_group(group))
        }
    }

    fn sort_versions(&self, group: &str, versions: &mut [Value]) {
        let name = |version: &Value| version["version"].as_str().unwrap_or_default().to_owned();
        let priority = |version: &str| {
            let asked = self.get(&format!("{version}.{group}")).map(|service| service.version_priority);
            asked.or_else(|| Some(priorities::built_in(group, version)?.1)).unwrap_or(priorities::CUSTOM.1)
        };
        versions.sort_by(|a, b| {
            let (a, b) = (name(a), name(b));
            priority(&b).cmp(&priority(&a)).then_with(|| compare_versions(&a, &b))
        });
    }
}

fn plain_version(service: &ApiService) -> Value {
    json!({"groupVersion": format!("{}/{}", service.group, service.version), "version": service.version})
}

fn preferring_first(mut group: Value) -> Value {
    group["preferredVersion"] = group["versions"][0].clone();
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Follower, Stored};

    fn index(services: &[(&str, &str, i64, i64)]) -> Index {
        let index = Index::default();
        for (number, (group, version, of_group, of_version)) in services.iter().enumerate() {
            let name = format!("{version}.{group}");
            let object = json!({"metadata": {"name": name, "resourceVersion": "1"}, "spec": {"group": group, "version": version,
                "groupPriorityMinimum": of_group, "versionPriority": of_version, "service": {"name": "s", "namespace": "n"}}});
            let stored = Stored::decode(object.to_string().into(), number as u64, &[]).unwrap();
            index.changed(super::super::SERVICES, &name, Some(&stored));
        }
        index
    }

    #[test]
    fn groups_and_versions_stand_by_priority() {
        let index =
            index(&[("late.example", "v1", 10, 1), ("early.example", "v1", 17_900, 1), ("own.example", "v2", 1000, 5)]);
        let local = json!({"groups": [{"name": "apps", "versions": [{"version": "v1"}]},
            {"name": "own.example", "versions": [{"version": "v1"}]}]});
        let merged = index.group_list(local);
        let names: Vec<&str> =
            merged["groups"].as_array().unwrap().iter().map(|group| group["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["early.example", "apps", "own.example", "late.example"]);
        let own = index.group("own.example", Some(merged["groups"][2].clone())).unwrap();
        assert_eq!(own["preferredVersion"]["version"], "v1", "{own}");
        let alone = index.group("late.example", None).unwrap();
        assert_eq!(alone["versions"], json!([{"groupVersion": "late.example/v1", "version": "v1"}]));
        assert_eq!(index.group("apps", None), None);
    }

    #[test]
    fn who_has_told_nothing_is_stale() {
        let index = index(&[("a.example", "v1", 1, 1)]);
        let local = Bytes::from(r#"{"items":[{"metadata":{"name":"apps"},"versions":[]}]}"#);
        let merged: Value = serde_json::from_slice(&index.aggregated("x", &local)).unwrap();
        let version = json!({"version": "v1", "resources": [], "freshness": "Stale"});
        assert_eq!(merged["items"][1], json!({"metadata": {"name": "a.example"}, "versions": [version]}));
    }
}
