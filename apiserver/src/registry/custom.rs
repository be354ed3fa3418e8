//! The rows that come and go with CustomResourceDefinitions.
//!
//! The watch cache tells of every change of a definition before anybody can see it, so that the rows of a definition that is
//! seen to be established are there. That holds for each of several servers, for it follows the store and not a server's own
//! writes. Readers take a snapshot; a change makes a new one.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use api::gvk::GroupVersionKind;
use serde_json::Value;

use super::descriptor::{Descriptor, Selectable};
use super::held::Held;
use crate::cache::Stored;
use crate::custom::Definition;

/// The definitions' part of keys.
pub const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";

#[derive(Default)]
pub struct CustomRows {
    snapshot: RwLock<Arc<Snapshot>>,
}

#[derive(Clone, Default)]
pub struct Snapshot {
    /// By the name of the definition.
    definitions: BTreeMap<Box<str>, Arc<Definition>>,
}

impl CustomRows {
    pub fn snapshot(&self) -> Arc<Snapshot> {
        // A snapshot is put as a whole.
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// These are all definitions.
    pub(crate) fn load<'a>(&self, definitions: impl Iterator<Item = &'a Stored>) {
        let before = self.snapshot();
        let mut next = Snapshot::default();
        for stored in definitions {
            if let Some(definition) = read(stored, before.definitions.get(&stored.name)) {
                next.definitions.insert(stored.name.clone(), definition);
            }
        }
        self.put(&before, next);
    }

    /// One definition is this now; `None` when it is gone.
    pub(crate) fn change(&self, name: &str, current: Option<&Stored>) {
        let before = self.snapshot();
        let mut next = (*before).clone();
        match current.and_then(|stored| read(stored, before.definitions.get(name))) {
            Some(definition) => next.definitions.insert(name.into(), definition),
            None => next.definitions.remove(name),
        };
        self.put(&before, next);
    }

    fn put(&self, before: &Snapshot, next: Snapshot) {
        let next = Arc::new(next);
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        for (name, definition) in &before.definitions {
            if !next.definitions.get(name).is_some_and(|now| Arc::ptr_eq(now, definition)) {
                definition.replace();
            }
        }
    }
}

fn read(stored: &Stored, before: Option<&Arc<Definition>>) -> Option<Arc<Definition>> {
    match serde_json::from_slice(&stored.json) {
        Ok(object) => Definition::read(&object, stored.revision, before),
        Err(error) => {
            tracing::error!(%error, name = %stored.name, "a definition is unreadable");
            None
        }
    }
}

impl Snapshot {
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Descriptor>> {
        let definition = self.definitions.get(format!("{plural}.{group}").as_str())?;
        definition.rows.iter().find(|row| row.info.version == version).cloned()
    }

    pub fn rows(&self) -> impl Iterator<Item = &Arc<Descriptor>> {
        self.definitions.values().flat_map(|definition| &definition.rows)
    }

    /// The schemas of all served kinds, for documents.
    pub fn schemas(&self) -> BTreeMap<GroupVersionKind, Value> {
        let custom = self.rows().filter_map(|row| row.custom.as_ref());
        custom.map(|custom| (custom.gvk().clone(), custom.schema().clone())).collect()
    }

    /// In the order of discovery: by group.
    pub fn listed(&self) -> impl Iterator<Item = &Descriptor> {
        let mut rows: Vec<&Descriptor> = self.rows().map(|row| &**row).collect();
        rows.sort_by(|a, b| (&a.info.group, &a.info.plural).cmp(&(&b.info.group, &b.info.plural)));
        rows.into_iter()
    }

    /// Each stored resource, with the fields that it can be selected by.
    pub fn stored(&self) -> BTreeMap<String, Held<[Selectable]>> {
        let stored = self.definitions.values();
        stored.map(|definition| (definition.storage.clone(), definition.selectable.clone())).collect()
    }
}
