//! The registry: one row for every served resource. [`rows`] is the table of built-in kinds, [`custom`] has those that come and
//! go; everything generic reads [`Descriptor`]s.

mod custom;
mod descriptor;
mod held;
mod inert;
mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::gvk::GroupVersionKind;
use api::resource::ResourceInfo;

use crate::features::Features;

pub use custom::{CustomRows, DEFINITIONS};
pub use descriptor::{Descriptor, Role, Selectable, Shape};
pub(crate) use descriptor::{row, version_hash};
pub use held::Held;

/// All served resources.
pub struct Registry {
    /// By group, version and plural.
    rows: BTreeMap<(String, String, String), Arc<Descriptor>>,
    /// In the order of the table, which is the order of discovery.
    order: Vec<Arc<Descriptor>>,
    custom: CustomRows,
}

impl Registry {
    /// What every server has.
    pub fn built_in() -> Self {
        Self::with(&Features::default())
    }

    /// With what is off unless it is asked for.
    pub fn with(features: &Features) -> Self {
        Self::new(Self::known().into_iter().filter(|row| features.serves(row)).collect())
    }

    /// All built-in kinds, whether they are served or not.
    pub fn known() -> Vec<Descriptor> {
        rows::built_in()
    }

    pub fn new(rows: Vec<Descriptor>) -> Self {
        let order: Vec<Arc<Descriptor>> = rows.into_iter().map(Arc::new).collect();
        let key = |row: &Arc<Descriptor>| (row.info.group.clone(), row.info.version.clone(), row.info.plural.clone());
        let rows = order.iter().map(|row| (key(row), row.clone())).collect();
        Self { rows, order, custom: CustomRows::default() }
    }

    /// Built-in kinds are found without a lock.
    pub fn lookup(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Descriptor>> {
        self.get(group, version, plural).cloned().or_else(|| self.custom.snapshot().get(group, version, plural))
    }

    /// A built-in kind.
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Descriptor>> {
        self.rows.get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    /// Any version of a built-in resource: where the stored object matters and not its shape.
    pub fn find(&self, group: &str, plural: &str) -> Option<&Arc<Descriptor>> {
        self.order.iter().find(|row| row.info.group == group && row.info.plural == plural)
    }

    /// A served kind, whatever its resource is called.
    pub fn of_kind(&self, kind: &GroupVersionKind) -> Option<Arc<Descriptor>> {
        let is_kind = |row: &&Arc<Descriptor>| row.role == Role::Stored && row.gvk() == *kind;
        self.order.iter().find(is_kind).cloned().or_else(|| self.custom.snapshot().rows().find(is_kind).cloned())
    }

    /// All built-in kinds.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Descriptor>> {
        self.order.iter()
    }

    /// The rows as discovery and OpenAPI see them.
    pub fn infos(&self) -> Vec<ResourceInfo> {
        let custom = self.custom.snapshot();
        let rows = self.order.iter().map(|row| &**row).chain(custom.listed());
        rows.map(|row| row.info.clone()).collect()
    }

    pub fn custom(&self) -> &CustomRows {
        &self.custom
    }

    /// All forms in which the objects of a row are served, itself included.
    pub fn versions(&self, row: &Descriptor) -> Vec<Arc<Descriptor>> {
        let is_version = |other: &&Arc<Descriptor>| other.storage == row.storage && other.info.kind == row.info.kind;
        match row.custom {
            None => self.order.iter().filter(is_version).cloned().collect(),
            Some(_) => self.custom.snapshot().rows().filter(is_version).cloned().collect(),
        }
    }

    /// Each built-in stored resource once, with its part of the key and its selectable fields.
    pub fn stored(&self) -> BTreeMap<String, Held<[Selectable]>> {
        let stored = self.order.iter().filter(|row| row.role == Role::Stored);
        stored.map(|row| (row.storage.clone(), row.selectable.clone())).collect()
    }
}

/// A row of its own for tests of strategies.
#[cfg(test)]
pub(crate) fn test_row(strategy: &'static dyn crate::strategy::Strategy) -> Descriptor {
    Descriptor { strategy: Held::Static(strategy), ..descriptor::row("", "v1", "Test", "tests") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete_and_unique() {
        let registry = Registry::built_in();
        assert_eq!(registry.rows.len(), registry.order.len(), "two rows name the same resource");
        for row in registry.all() {
            let info = &row.info;
            assert!(info.verbs.is_sorted(), "{}", info.plural);
            assert_eq!(info.plural, info.plural.to_lowercase());
            assert!(info.subresources.is_sorted_by_key(|sub| &sub.name), "{}", info.plural);
            // Stored::select slices each parent once and relies on this.
            let mut parents: Vec<&str> =
                row.selectable.iter().map(|field| field.path.split('.').next().unwrap()).collect();
            parents.dedup();
            let distinct: std::collections::BTreeSet<&str> = parents.iter().copied().collect();
            assert_eq!(distinct.len(), parents.len(), "{}", info.plural);
        }
        assert!(registry.get("", "v1", "pods").is_some_and(|row| row.info.namespaced));
        assert!(registry.find("events.k8s.io", "events").is_some_and(|row| row.storage == "core/events"));
        let hash =
            |group, plural| registry.find(group, plural).and_then(|row| row.info.storage_version_hash.as_deref());
        assert_eq!(hash("policy", "poddisruptionbudgets"), Some("EVWiDmWqyJw="));
        assert_eq!(hash("events.k8s.io", "events"), hash("", "events"));
        assert_eq!(hash("authentication.k8s.io", "tokenreviews"), None);
    }
}
