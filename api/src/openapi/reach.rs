//! Which definitions a document needs.

use std::collections::{BTreeMap, BTreeSet};

use super::OpenApi;
use super::definition::{Leaf, leaf_of};
use crate::gvk::GroupVersionKind;
use crate::resource::ResourceInfo;
use crate::schema::{SchemaSet, Shape, TypeId};

/// What every write speaks beside its kind.
const ALWAYS: [&str; 2] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions", "io.k8s.apimachinery.pkg.apis.meta.v1.Status"];
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";

/// Everything that can be referred to, by name.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub types: BTreeMap<String, TypeId>,
    pub leaves: BTreeMap<&'static str, &'static Leaf>,
    /// Kinds that are not built in, and their lists.
    pub custom: BTreeMap<String, GroupVersionKind>,
}

pub(super) fn reach(api: &OpenApi<'_>, resources: &[&ResourceInfo]) -> Reached {
    let set = SchemaSet::builtin();
    let mut reached = Reached::default();
    let mut pending: Vec<TypeId> = ALWAYS.iter().filter_map(|name| set.named(name)).collect();
    for resource in resources {
        let mut kinds = vec![resource.gvk()];
        if resource.allows("list") {
            kinds.push(list_kind(resource));
        }
        kinds.extend(resource.subresources.iter().map(|subresource| subresource.kind.clone()));
        for kind in kinds {
            match (set.of_kind(&kind), api.definition_name(&kind)) {
                (Some(id), _) => pending.push(id),
                (None, Some(name)) => {
                    pending.extend([OBJECT_META, LIST_META].iter().filter_map(|name| set.named(name)));
                    reached.custom.insert(name, kind);
                }
                (None, None) => {}
            }
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
    reached.leaves.insert(super::definition::PATCH.name, &super::definition::PATCH);
    reached
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
