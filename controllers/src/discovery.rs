//! Which resources the server has, for the controllers that work on all of them.

use kube::core::ApiResource;
use kube::discovery::{ApiCapabilities, Discovery, Scope};
use kube::{Api, Client};
use reconcile::Error;

/// The metadata of an object of any kind.
pub type Meta = kube::core::PartialObjectMeta<kube::core::DynamicObject>;

#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub api: ApiResource,
    pub namespaced: bool,
    pub verbs: Vec<String>,
}

impl Resource {
    fn new((api, capabilities): (ApiResource, ApiCapabilities)) -> Self {
        let namespaced = capabilities.scope == Scope::Namespaced;
        Self { api, namespaced, verbs: capabilities.operations }
    }

    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|has| has == verb))
    }

    /// `resource.group`, as kubectl names it; the core group's has the dot too, as in upstream's messages.
    pub fn dotted(&self) -> String {
        format!("{}.{}", self.api.plural, self.api.group)
    }

    /// Access to the metadata of the objects in a namespace, or of all.
    pub fn metas(&self, client: Client, namespace: Option<&str>) -> Api<Meta> {
        match namespace {
            Some(namespace) if self.namespaced => Api::namespaced_with(client, namespace, &self.api),
            _ => Api::all_with(client, &self.api),
        }
    }
}

/// All resources, each in the most stable version that has it; subresources are not among them.
pub async fn discover(client: &Client) -> Result<Vec<Resource>, Error> {
    let found = match Discovery::new(client.clone()).run_aggregated().await {
        Ok(found) => found,
        // A server without the aggregated form answers in parts.
        Err(_) => Discovery::new(client.clone()).run().await?,
    };
    let mut resources: Vec<Resource> =
        found.groups().flat_map(|group| group.resources_by_stability()).map(Resource::new).collect();
    resources.sort_by(|a, b| (&a.api.group, &a.api.plural).cmp(&(&b.api.group, &b.api.plural)));
    Ok(resources)
}
