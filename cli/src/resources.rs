//! What the server serves, by all the names a person may use: `po`, `pod`, `pods`, `deploy.apps`, `deployments.v1.apps`.

use serde_json::Value;

use crate::session::{ApiError, Session};

/// One resource in the version that the server prefers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub verbs: Vec<String>,
    pub subresources: Vec<String>,
}

impl Resource {
    pub fn api_version(&self) -> String {
        api::gvk::api_version(&self.group, &self.version)
    }

    /// `/apis/apps/v1/namespaces/a/deployments[/name]`; `None` for all namespaces.
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group.is_empty() { "/api/".to_owned() } else { format!("/apis/{}/", self.group) };
        let mut path = format!("{root}{}", self.version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str(&format!("/namespaces/{namespace}"));
        }
        path.push_str(&format!("/{}", self.plural));
        if let Some(name) = name {
            path.push_str(&format!("/{name}"));
        }
        path
    }

    /// How kubectl names an object: `deployment.apps/web`, `pod/web`.
    pub fn display(&self, name: &str) -> String {
        let singular = if self.singular.is_empty() { self.kind.to_lowercase() } else { self.singular.clone() };
        match self.group.as_str() {
            "" => format!("{singular}/{name}"),
            group => format!("{singular}.{group}/{name}"),
        }
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|known| known == verb)
    }

    fn is_called(&self, name: &str) -> bool {
        self.plural == name
            || self.singular == name
            || self.kind.to_lowercase() == name
            || self.short_names.iter().any(|short| short == name)
    }
}

/// In the server's order of preference.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub resources: Vec<Resource>,
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";

impl Catalogue {
    pub async fn discover(session: &Session) -> Result<Self, ApiError> {
        let mut resources = Vec::new();
        for root in ["/api", "/apis"] {
            let document = session.call_accepting("GET", root, None, AGGREGATED).await?;
            if document["kind"] != "APIGroupDiscoveryList" {
                return Err(ApiError::Malformed(format!("{root} is not aggregated discovery (the server is too old)")));
            }
            collect(&document, &mut resources);
        }
        Ok(Self { resources })
    }

    /// By `name`, `name.group` or `name.version.group`, in any letter case.
    pub fn find(&self, name: &str) -> Option<&Resource> {
        let name = name.to_lowercase();
        if let Some(found) = self.resources.iter().find(|resource| resource.is_called(&name)) {
            return Some(found);
        }
        let (head, rest) = name.split_once('.')?;
        self.resources.iter().find(|resource| {
            let version_group = format!("{}.{}", resource.version, resource.group);
            // A group may be shortened to its first part, as in `deploy.apps`.
            let group = resource.group == rest || resource.group.starts_with(&format!("{rest}."));
            resource.is_called(head)
                && (group || version_group == rest || resource.group.is_empty() && resource.version == rest)
        })
    }

    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.kind == kind && resource.api_version() == api_version)
    }

    pub fn in_category(&self, category: &str) -> Vec<&Resource> {
        let has = |resource: &&Resource| resource.categories.iter().any(|own| own == category);
        self.resources.iter().filter(has).collect()
    }
}

fn collect(document: &Value, resources: &mut Vec<Resource>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    for group in list(&document["items"]) {
        for version in list(&group["versions"]) {
            for entry in list(&version["resources"]) {
                let subresources = list(&entry["subresources"]);
                resources.push(Resource {
                    group: text(&group["metadata"]["name"]),
                    version: text(&version["version"]),
                    kind: text(&entry["responseKind"]["kind"]),
                    plural: text(&entry["resource"]),
                    singular: text(&entry["singularResource"]),
                    short_names: texts(&entry["shortNames"]),
                    categories: texts(&entry["categories"]),
                    namespaced: entry["scope"] == "Namespaced",
                    verbs: texts(&entry["verbs"]),
                    subresources: subresources.iter().map(|sub| text(&sub["subresource"])).collect(),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_are_found_by_every_name() {
        let document = |group: &str, plural: &str, singular: &str, kind: &str, short: &str| {
            json!({"items": [{"metadata": {"name": group}, "versions": [{"version": "v1", "resources": [{
                "resource": plural, "singularResource": singular, "responseKind": {"kind": kind}, "shortNames": [short],
                "scope": "Namespaced", "verbs": ["get"], "categories": ["all"],
                "subresources": [{"subresource": "scale"}]}]}]}]})
        };
        let mut catalogue = Catalogue::default();
        collect(&document("", "pods", "pod", "Pod", "po"), &mut catalogue.resources);
        collect(&document("", "events", "event", "Event", "ev"), &mut catalogue.resources);
        collect(&document("apps", "deployments", "deployment", "Deployment", "deploy"), &mut catalogue.resources);
        collect(&document("events.k8s.io", "events", "event", "Event", "ev"), &mut catalogue.resources);
        let cases = [
            ("po", Some("/pods")),
            ("Pod", Some("/pods")),
            ("pods.v1", Some("/pods")),
            ("deploy.apps", Some("apps/deployments")),
            ("deployments.v1.apps", Some("apps/deployments")),
            ("ev", Some("/events")),
            ("events.events.k8s.io", Some("events.k8s.io/events")),
            ("events.events", Some("events.k8s.io/events")),
            ("pods.apps", None),
            ("nothing", None),
        ];
        for (name, expected) in cases {
            let found = catalogue.find(name).map(|resource| format!("{}/{}", resource.group, resource.plural));
            assert_eq!(found.as_deref(), expected, "{name}");
        }
        let deployment = catalogue.find("deploy").unwrap();
        assert_eq!(deployment.path(Some("a"), Some("x")), "/apis/apps/v1/namespaces/a/deployments/x");
        assert_eq!(deployment.display("x"), "deployment.apps/x");
        assert_eq!(catalogue.find("po").unwrap().path(None, None), "/api/v1/pods");
    }
}
