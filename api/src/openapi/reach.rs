//! Which definitions a document needs.

use std::collections::{BTreeMap, BTreeSet};

use super::OpenApi;
use super::definition::{Leaf, PATCH, leaf_of};
use super::operation::{Body, PathItem};
use crate::gvk::GroupVersionKind;
use crate::resource::ResourceInfo;
use crate::schema::{SchemaSet, Shape, TypeId};

pub(super) const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
pub(super) const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
pub(super) const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Everything that can be referred to, by name.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub types: BTreeMap<String, TypeId>,
    pub leaves: BTreeMap<&'static str, &'static Leaf>,
    /// Kinds that are not built in, and their lists.
    pub custom: BTreeMap<String, GroupVersionKind>,
}

/// What some paths refer to, and what that refers to.
pub(super) fn reach(api: &OpenApi<'_>, paths: &[PathItem]) -> Reached {
    let set = SchemaSet::builtin();
    let mut reached = Reached::default();
    let mut named = BTreeSet::new();
    for (_, operation) in paths.iter().flat_map(|item| &item.operations) {
        named.extend(operation.answer.as_deref());
        match &operation.body {
            Body::None | Body::Object(None) => {}
            Body::Object(Some(name)) => drop(named.insert(name)),
            Body::DeleteOptions => drop(named.insert(DELETE_OPTIONS)),
            Body::Patch { .. } => drop(reached.leaves.insert(PATCH.name, &PATCH)),
        }
    }
    let mut pending: Vec<TypeId> = named.iter().filter_map(|name| set.named(name)).collect();
    for kind in api.custom.keys() {
        let list = GroupVersionKind { kind: format!("{}List", kind.kind), ..kind.clone() };
        let (name, list_name) = (custom_name(kind), custom_name(&list));
        let listed = named.contains(list_name.as_str());
        if listed || named.contains(name.as_str()) {
            pending.extend(set.named(OBJECT_META));
            reached.custom.insert(name, kind.clone());
        }
        if listed {
            pending.extend(set.named(LIST_META));
            reached.custom.insert(list_name, list);
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(id) = pending.pop() {
        if !seen.insert(id) {
            continue;
        }
        let ty = set.get(id);
        reached.types.insert(ty.name.clone(), id);
        for field in &ty.fields {
            match innermost(&field.shape) {
                Shape::Struct(id) => pending.push(*id),
                Shape::Scalar(scalar) => {
                    if let Some(leaf) = leaf_of(*scalar, field.form, &ty.name) {
                        reached.leaves.insert(leaf.name, leaf);
                    }
                }
                Shape::List(_) | Shape::Map(_) => {}
            }
        }
    }
    reached
}

/// `com.example.v1.Widget`
pub(super) fn custom_name(kind: &GroupVersionKind) -> String {
    let group: Vec<&str> = kind.group.rsplit('.').collect();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

pub(super) fn list_kind(resource: &ResourceInfo) -> GroupVersionKind {
    GroupVersionKind { kind: resource.list_kind(), ..resource.gvk() }
}

fn innermost(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(inner) | Shape::Map(inner) => innermost(inner),
        other => other,
    }
}
