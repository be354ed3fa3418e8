//! As much of an object's metadata as the graph needs. All objects of the cluster come by, and most of what their metadata says is who
//! manages which field: that is skipped unread.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicObject, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug)]
pub(super) struct Bare {
    pub metadata: ObjectMeta,
}

#[derive(Deserialize)]
struct Read {
    metadata: Few,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Few {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl<'de> Deserialize<'de> for Bare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let few = Read::deserialize(deserializer)?.metadata;
        let metadata = ObjectMeta {
            name: few.name,
            namespace: few.namespace,
            uid: few.uid,
            resource_version: few.resource_version,
            deletion_timestamp: few.deletion_timestamp,
            finalizers: few.finalizers,
            owner_references: few.owner_references,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata })
    }
}

impl Resource for Bare {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    /// Requests ask for PartialObjectMetadata.
    fn metadata_api() -> bool {
        true
    }

    fn kind(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(dt)
    }

    fn group(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(dt)
    }

    fn version(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(dt)
    }

    fn api_version(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(dt)
    }

    fn plural(dt: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_graph_needs_is_read_and_no_more() {
        let owner = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "o", "blockOwnerDeletion": true});
        let text = json!({"kind": "PartialObjectMetadata", "metadata": {"name": "n", "namespace": "s", "uid": "u",
            "resourceVersion": "5", "labels": {"a": "b"}, "managedFields": [{"manager": "m"}], "finalizers": ["f"],
            "ownerReferences": [owner], "deletionTimestamp": "2024-01-01T00:00:00Z"}});
        let metadata = serde_json::from_value::<Bare>(text).expect("metadata").metadata;
        assert_eq!((metadata.name.as_deref(), metadata.namespace.as_deref()), (Some("n"), Some("s")));
        assert_eq!((metadata.uid.as_deref(), metadata.resource_version.as_deref()), (Some("u"), Some("5")));
        assert_eq!(metadata.finalizers, Some(vec!["f".to_owned()]));
        assert_eq!(metadata.owner_references.iter().flatten().count(), 1);
        assert!(
            metadata.deletion_timestamp.is_some() && metadata.managed_fields.is_none() && metadata.labels.is_none()
        );
    }
}
