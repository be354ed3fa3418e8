//! What a served resource is called and can do: the row that discovery, OpenAPI and the registry share.

use crate::gvk::{GroupVersionKind, GroupVersionResource};

/// One resource in one version of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceInfo {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    /// Empty for the kind with `List` at its end.
    pub list_kind: String,
    /// The resource name of paths, lower case: `pods`.
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    /// `all` for the kinds that `kubectl get all` shows.
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// In discovery's order: create, delete, deletecollection, get, list, patch, update, watch. Empty for a kind that exists only as the
    /// parent of its subresources.
    pub verbs: Vec<String>,
    pub subresources: Vec<SubresourceInfo>,
    /// DELETE answers with the object that it removed, and not with a Status.
    pub returns_deleted: bool,
    /// Opaque; discovery leaves it out when it is `None`.
    pub storage_version_hash: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceInfo {
    /// The last path segment: `status`, `scale`, `log`.
    pub name: String,
    /// The kind that the subresource speaks: `autoscaling/v1, Kind=Scale` for `deployments/scale`, the parent's for `status`.
    pub kind: GroupVersionKind,
    pub verbs: Vec<String>,
}

impl ResourceInfo {
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.group, &self.version, &self.kind)
    }

    pub fn list_kind(&self) -> String {
        if self.list_kind.is_empty() { format!("{}List", self.kind) } else { self.list_kind.clone() }
    }

    pub fn gvr(&self) -> GroupVersionResource {
        GroupVersionResource { group: self.group.clone(), version: self.version.clone(), resource: self.plural.clone() }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        crate::gvk::api_version(&self.group, &self.version)
    }

    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|subresource| subresource.name == name)
    }

    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|allowed| allowed == verb)
    }
}

impl SubresourceInfo {
    pub fn allows(&self, verb: &str) -> bool {
        self.verbs.iter().any(|allowed| allowed == verb)
    }
}
