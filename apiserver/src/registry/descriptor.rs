//! A row of the registry: what the generic pipeline must know about a resource.

use std::borrow::Cow;
use std::sync::Arc;

use api::Object;
use api::gvk::GroupVersionKind;
use api::names;
use api::resource::{ResourceInfo, SubresourceInfo};
use api::schema::{SchemaSet, TypeId};
use api::table::{self, Columns};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::held::Held;
use crate::custom::CustomKind;
use crate::kinds;
use crate::strategy::Strategy;

/// A field that field selectors may name, besides `metadata.name` and `metadata.namespace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selectable {
    /// As selectors name it.
    pub name: Cow<'static, str>,
    /// Where the stored object has it. Fields of one parent stand together in a table.
    pub path: Cow<'static, str>,
    /// What an absent field reads as.
    pub default: &'static str,
    /// A field of the object itself that is read in place of an absent or empty one; empty without.
    pub or: &'static str,
}

impl Selectable {
    /// Named by its path and empty when absent.
    pub const fn plain(path: &'static str) -> Self {
        Self::new(path, path, "")
    }

    pub const fn new(name: &'static str, path: &'static str, default: &'static str) -> Self {
        Self { name: Cow::Borrowed(name), path: Cow::Borrowed(path), default, or: "" }
    }

    pub const fn or(mut self, field: &'static str) -> Self {
        self.or = field;
        self
    }
}

/// A second form of a stored kind, such as an older version.
pub trait Shape: Send + Sync {
    /// Rewrites an object of this form into the stored one, `apiVersion` and `kind` included.
    fn store(&self, object: &mut Object);
    /// The inverse of [`Shape::store`].
    fn serve(&self, object: &mut Object);
    /// The stored kind's name of a field that selectors may name in this form.
    fn stored_field(&self, field: &str) -> Option<&'static str>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Stored,
    /// A question with an answer, never stored: created only (SubjectAccessReview). A Binding is one to the pod that it names.
    Review,
    /// Made when it is asked for, never stored (ComponentStatus).
    Made,
    /// A kind without verbs of its own.
    Absent,
}

pub struct Descriptor {
    pub info: ResourceInfo,
    pub role: Role,
    pub strategy: Held<dyn Strategy>,
    /// The resource's part of its keys: `core/pods`.
    pub storage: String,
    pub selectable: Held<[Selectable]>,
    pub name_rule: fn(&str) -> Vec<String>,
    /// Whether the server counts `metadata.generation`.
    pub generation: bool,
    /// A client that creates the object may set its status (Node).
    pub status_on_create: bool,
    /// A client that writes the object writes its status as well (ServiceCIDR).
    pub status_on_update: bool,
    /// Addresses and ports are allocated to it (Service).
    pub allocates: bool,
    /// PUT of a missing object creates it.
    pub create_on_update: bool,
    /// PUT without a resourceVersion is taken as it is.
    pub unconditional_update: bool,
    /// Upstream stores such a new one without a default that it fills in when it reads it: the first write of the same is no empty
    /// one.
    pub completed_by_reads: fn(&Object) -> bool,
    /// A warning in every answer; empty for none.
    pub deprecation: &'static str,
    /// Acknowledged before it is on disk: heartbeats.
    pub relaxed: bool,
    /// Whether DELETE may leave dependents to the garbage collector; Events have none.
    pub collects_dependents: bool,
    pub shape: Option<&'static dyn Shape>,
    /// What a CustomResourceDefinition says about the kind; `None` for built-in ones.
    pub custom: Option<Arc<CustomKind>>,
    /// It is served only where it, or its group version, is switched on.
    pub off: bool,
    /// Why nothing happens when one is created: who creates it is warned.
    pub inert: Option<&'static str>,
}

const ALL_VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A namespaced, stored kind with all verbs that is nothing special; the methods change one fact each.
pub(crate) fn row(group: &str, version: &str, kind: &str, plural: &str) -> Descriptor {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let info = ResourceInfo {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        namespaced: true,
        verbs: owned(&ALL_VERBS),
        storage_version_hash: Some(version_hash(group, version, kind)),
        ..ResourceInfo::default()
    };
    Descriptor {
        storage: format!("{}/{plural}", if group.is_empty() { "core" } else { group }),
        info,
        role: Role::Stored,
        strategy: Held::Static(kinds::strategy(group, plural)),
        selectable: Held::Static(&[]),
        name_rule: names::dns1123_subdomain,
        generation: false,
        status_on_create: false,
        status_on_update: false,
        allocates: false,
        create_on_update: false,
        unconditional_update: true,
        completed_by_reads: |_| false,
        deprecation: "",
        relaxed: false,
        collects_dependents: true,
        shape: None,
        custom: None,
        off: false,
        inert: None,
    }
}

/// By which clients see that the form in which a kind is stored has changed (upstream's `StorageVersionHash`).
pub(crate) fn version_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{group}/{version}/{kind}").as_bytes());
    STANDARD.encode(&digest.as_ref()[..8])
}

impl Descriptor {
    pub fn gvk(&self) -> GroupVersionKind {
        self.info.gvk()
    }

    pub fn has_status(&self) -> bool {
        self.info.subresource("status").is_some()
    }

    /// What an old client deletes without a word about dependents, it wants to keep them of.
    pub fn orphans_by_default(&self) -> bool {
        matches!((self.info.group.as_str(), self.info.kind.as_str()), ("batch", "Job") | ("", "ReplicationController"))
    }

    /// The type of the kind, and what it refers to.
    pub fn types(&self) -> Option<(&SchemaSet, TypeId)> {
        let set = match &self.custom {
            Some(custom) => custom.types(),
            None => SchemaSet::builtin(),
        };
        Some((set, set.of_kind(&self.gvk())?))
    }

    pub fn columns(&self) -> Columns {
        match &self.custom {
            Some(custom) => Columns::Custom(custom.columns().to_vec()),
            None => Columns::BuiltIn(table::columns(&self.gvk())),
        }
    }

    /// The key of an object within its resource: `namespace/name`, or `name` when `namespace` is empty.
    pub fn object_key(&self, namespace: &str, name: &str) -> String {
        if self.info.namespaced { format!("{namespace}/{name}") } else { name.to_owned() }
    }

    pub(super) fn short(mut self, names: &[&str]) -> Self {
        self.info.short_names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    pub(super) fn category(mut self, name: &str) -> Self {
        self.info.categories.push(name.to_owned());
        self
    }

    pub(super) fn cluster(mut self) -> Self {
        self.info.namespaced = false;
        self
    }

    pub(super) fn verbs(mut self, verbs: &[&str]) -> Self {
        self.info.verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
        self
    }

    pub(super) fn review(mut self) -> Self {
        self.role = Role::Review;
        self.info.storage_version_hash = None;
        self.verbs(&["create"])
    }

    pub(super) fn made(mut self) -> Self {
        self.role = Role::Made;
        self.info.storage_version_hash = None;
        self.verbs(&["get", "list"])
    }

    pub(super) fn selectable(mut self, fields: &'static [Selectable]) -> Self {
        self.selectable = Held::Static(fields);
        self
    }

    pub(super) fn named(mut self, rule: fn(&str) -> Vec<String>) -> Self {
        self.name_rule = rule;
        self
    }

    pub(super) fn generation(mut self) -> Self {
        self.generation = true;
        self
    }

    pub(super) fn status_on_create(mut self) -> Self {
        self.status_on_create = true;
        self
    }

    pub(super) fn status_on_update(mut self) -> Self {
        self.status_on_update = true;
        self
    }

    pub(super) fn allocates(mut self) -> Self {
        self.allocates = true;
        self
    }

    pub(super) fn create_on_update(mut self) -> Self {
        self.create_on_update = true;
        self
    }

    pub(super) fn versioned_update(mut self) -> Self {
        self.unconditional_update = false;
        self
    }

    pub(super) fn returns_deleted(mut self) -> Self {
        self.info.returns_deleted = true;
        self
    }

    pub(super) fn completed_by_reads(mut self, which: fn(&Object) -> bool) -> Self {
        self.completed_by_reads = which;
        self
    }

    pub(super) fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecation = warning;
        self
    }

    pub(super) fn relaxed(mut self) -> Self {
        self.relaxed = true;
        self
    }

    /// `why` follows the kind's name in a sentence.
    pub(super) fn inert(mut self, why: &'static str) -> Self {
        self.inert = Some(why);
        self
    }

    /// Its group version is off by default: see [`crate::features`].
    pub(super) fn off(mut self) -> Self {
        self.off = true;
        self
    }

    pub(super) fn without_dependents(mut self) -> Self {
        self.collects_dependents = false;
        self
    }

    pub(crate) fn status(self) -> Self {
        let gvk = self.gvk();
        self.subresource("status", gvk, &["get", "patch", "update"])
    }

    pub(crate) fn scale(self) -> Self {
        self.subresource("scale", GroupVersionKind::new("autoscaling", "v1", "Scale"), &["get", "patch", "update"])
    }

    /// A subresource that speaks the parent's kind.
    pub(super) fn own_subresource(self, name: &str, verbs: &[&str]) -> Self {
        let gvk = self.gvk();
        self.subresource(name, gvk, verbs)
    }

    pub(super) fn subresource(mut self, name: &str, kind: GroupVersionKind, verbs: &[&str]) -> Self {
        let verbs = verbs.iter().map(|&verb| verb.to_owned()).collect();
        self.info.subresources.push(SubresourceInfo { name: name.to_owned(), kind, verbs });
        self.info.subresources.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// Upstream stores it in this version.
    pub(super) fn hashed_as(mut self, group: &str, version: &str) -> Self {
        self.info.storage_version_hash = Some(version_hash(group, version, &self.info.kind));
        self
    }

    /// Served in another form but stored as `storage`.
    pub(super) fn stored_as(mut self, storage: &str, shape: &'static dyn Shape) -> Self {
        self.storage = storage.to_owned();
        self.shape = Some(shape);
        self
    }
}
