//! OpenAPI documents of what is served: v3 per group version, v2 in one piece as JSON and as protobuf.
//!
//! They are made on demand from the schema facts and the resource rows, definition by definition straight into bytes, so that
//! no document exists as a tree; keeping and compressing the bytes is the server's. Only types that served kinds reach are in them.
//!
//! - `definition` turns types into JSON schemas, `custom` those of kinds that are not built in, `reach` finds which ones;
//! - `operation` turns rows into paths and operations, `roots` has the paths that tell what is served;
//! - [`v3`] and [`v2`] write them in their dialects, [`gnostic`] turns v2 into protobuf;
//! - `description` has the sentences of `kubectl explain`.

mod custom;
mod definition;
mod description;
mod gnostic;
mod operation;
mod reach;
mod roots;
mod v2;
mod v3;
mod write;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Value, json};

use crate::gvk::GroupVersionKind;
use crate::resource::ResourceInfo;
use crate::schema::SchemaSet;

/// Media type of the v2 document as protobuf, in the answer.
pub const V2_PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// What clients accept: the name as above, and that of old, which is no valid media type (so an answer must not carry it).
pub const V2_PROTOBUF_ACCEPTED: [&str; 2] = [V2_PROTOBUF, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"];

/// What the documents are made of.
#[derive(Clone, Copy, Debug)]
pub struct OpenApi<'a> {
    pub resources: &'a [ResourceInfo],
    /// OpenAPI v3 schemas of kinds that are not built in.
    pub custom: &'a BTreeMap<GroupVersionKind, Value>,
    /// `info.version`.
    pub version: &'a str,
}

impl OpenApi<'_> {
    /// `/openapi/v3`: where the documents are. The hash in each URL changes with the document's content, so clients may keep the
    /// document for ever.
    pub fn v3_index(&self) -> Value {
        let mut paths = serde_json::Map::new();
        for group in crate::discovery::groups(self.resources) {
            for version in crate::discovery::versions(self.resources, group) {
                let path = v3_path(group, version);
                let hash = self.v3_hash(group, version);
                let url = format!("/openapi/v3/{path}?hash={hash}");
                paths.insert(path, json!({"serverRelativeURL": url}));
            }
        }
        for (path, _) in roots::others(self) {
            let url = format!("/openapi/v3/{path}?hash={}", self.hash(|_| false));
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
        json!({"paths": paths})
    }

    /// Upper-case hexadecimal, as upstream's.
    pub fn v3_hash(&self, group: &str, version: &str) -> String {
        self.hash(|resource| resource.group == group && resource.version == version)
    }

    /// For the ETag of the v2 documents.
    pub fn v2_hash(&self) -> String {
        self.hash(|_| true)
    }

    /// The document of one group version, if it is served.
    pub fn v3(&self, group: &str, version: &str) -> Option<Vec<u8>> {
        let is_in = |resource: &&ResourceInfo| resource.group == group && resource.version == version;
        let resources: Vec<&ResourceInfo> = self.resources.iter().filter(is_in).collect();
        (!resources.is_empty()).then(|| v3::document(self, &operation::paths(self, &resources)))
    }

    /// The hash of a document that is of no group version, such as `apis/apps` or `version`; `None` if there is none.
    pub fn v3_hash_of_other(&self, path: &str) -> Option<String> {
        roots::others(self).iter().any(|(own, _)| own == path).then(|| self.hash(|_| false))
    }

    pub fn v3_other(&self, path: &str) -> Option<Vec<u8>> {
        let (_, item) = roots::others(self).into_iter().find(|(own, _)| own == path)?;
        Some(v3::document(self, &[item]))
    }

    /// `/openapi/v2`.
    pub fn v2_json(&self) -> Vec<u8> {
        v2::document(self)
    }

    /// The same as protobuf, `gnostic.openapi.v2.Document`.
    pub fn v2_protobuf(&self) -> Vec<u8> {
        gnostic::document(self)
    }

    /// A hash of what the documents are made of, this program included: cheaper than making them all.
    fn hash(&self, is_in: impl Fn(&ResourceInfo) -> bool) -> String {
        let mut low = DefaultHasher::new();
        (env!("OPENAPI_INPUTS"), self.version).hash(&mut low);
        for resource in self.resources.iter().filter(|resource| is_in(resource)) {
            format!("{resource:?}").hash(&mut low);
            self.custom.get(&resource.gvk()).map(Value::to_string).hash(&mut low);
        }
        let mut high = low.clone();
        "high".hash(&mut high);
        format!("{:016X}{:016X}", high.finish(), low.finish())
    }

    /// The name of a kind's definition: `io.k8s.api.core.v1.Pod`, `com.example.v1.Widget`.
    fn definition_name(&self, kind: &GroupVersionKind) -> Option<String> {
        if let Some(id) = SchemaSet::builtin().of_kind(kind) {
            return Some(SchemaSet::builtin().get(id).name.clone());
        }
        let element =
            kind.kind.strip_suffix("List").map(|element| GroupVersionKind { kind: element.into(), ..kind.clone() });
        let known = |kind: &GroupVersionKind| self.custom.contains_key(kind);
        (known(kind) || element.as_ref().is_some_and(known)).then(|| reach::custom_name(kind))
    }
}

/// A v2 document as protobuf.
pub fn v2_protobuf_of(document: &Value) -> Vec<u8> {
    gnostic::of_value(document)
}

/// `api/v1`, `apis/apps/v1`.
pub fn v3_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

#[cfg(test)]
mod tests;
