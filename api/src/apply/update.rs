//! Ownership: a change takes fields from their managers, an applied configuration asks first.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;

use super::check::{Misfits, check_object};
use super::compare::{Comparison, Nulls, compare};
use super::conflict::{Conflict, Conflicts};
use super::element::same;
use super::managers::{Managed, ManagedFields, ManagerId};
use super::merge::merge;
use super::owned::field_set;
use super::place::{KeyError, Place};
use super::prune::prune;
use super::reconcile::reconcile;
use super::set::Set;

/// The versions in which managers name their fields.
pub trait Versions {
    /// The type of the object in a version; `None` when the version is not served any more.
    fn place(&self, api_version: &str) -> Option<Place<'_>>;

    /// Why an object cannot even be asked for in a version: upstream forgets the managers of versions that it does not have, but
    /// not those of a custom resource.
    fn refuses(&self, _api_version: &str) -> Option<String> {
        None
    }

    /// An object of one version in another one.
    fn convert<'o>(&self, object: &'o Value, from: &str, to: &str) -> Option<Cow<'o, Value>>;
}

#[derive(Debug, Error)]
pub enum UpdateError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Misfits(#[from] Misfits),
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
    #[error("no corresponding type for {0}")]
    NoType(String),
    #[error("{0}")]
    Refused(String),
}

/// The rules of ownership for objects of one kind, as a request in `api_version` meets them.
#[derive(Clone, Copy)]
pub struct Updater<'a> {
    pub versions: &'a dyn Versions,
    pub api_version: &'a str,
    /// What the server resets: nobody owns it by this request.
    pub reset: &'a Set,
}

/// `None` when the object stays as it is.
pub type Merged = Option<Value>;

impl<'a> Updater<'a> {
    pub(super) fn place(&self) -> Result<Place<'a>, UpdateError> {
        self.versions.place(self.api_version).ok_or_else(|| UpdateError::NoType(self.api_version.to_owned()))
    }

    /// After any change but an apply: whoever made it owns what it changed, and the others lose that.
    pub fn update(
        &self,
        live: &Value,
        new: &Value,
        managers: &mut ManagedFields,
        manager: &ManagerId,
    ) -> Result<(), UpdateError> {
        let place = self.place()?;
        check_object(place, new)?;
        check_object(place, live)?;
        self.reconcile(managers)?;
        let changes = self.transfer(live, new, managers, manager, true, Nulls::Implied)?;
        let mut fields = managers.remove(manager).map(|managed| managed.fields).unwrap_or_default();
        fields.subtract(&changes.removed);
        fields.subtract_recursively(self.reset);
        // These are without what is reset already.
        fields.add(changes.modified);
        fields.add(changes.added);
        managers.insert(manager.clone(), Managed { fields, api_version: self.api_version.to_owned() });
        Ok(())
    }

    /// Merges a configuration that has been checked. What the manager applied before and does not any more goes, unless
    /// somebody else has it. `live` has its nulls spelled out. Fails when somebody else manages what would change, unless it is forced.
    pub fn apply(
        &self,
        live: &Value,
        config: &Value,
        managers: &mut ManagedFields,
        manager: &ManagerId,
        force: bool,
    ) -> Result<Merged, UpdateError> {
        self.reconcile(managers)?;
        let place = self.place()?;
        let merged = merge(place, live, config)?;
        let last = managers.get(manager).cloned();
        let mut fields = field_set(place, config)?;
        fields.subtract_recursively(self.reset);
        let drops = |last: &Managed| last.api_version != self.api_version || !last.fields.is_within(&fields);
        let last = last.filter(drops);
        managers.insert(manager.clone(), Managed { fields, api_version: self.api_version.to_owned() });
        let new = match last {
            Some(last) => prune(self, merged, managers, &last),
            None => merged,
        };
        self.transfer(live, &new, managers, manager, force, Nulls::Explicit)?;
        Ok((!same(live, &new)).then_some(new))
    }

    /// Takes what changes between the states from all other managers, or tells who has it.
    fn transfer(
        &self,
        old: &Value,
        new: &Value,
        managers: &mut ManagedFields,
        manager: &ManagerId,
        force: bool,
        nulls: Nulls,
    ) -> Result<Comparison, UpdateError> {
        let own = compare(self.place()?, old, new, nulls)?.without(self.reset);
        if managers.is_empty() || own.is_empty() && !managers.speaks_other_versions(self.api_version) {
            return Ok(own);
        }
        let mut versions: BTreeMap<String, Option<Comparison>> = BTreeMap::new();
        versions.insert(self.api_version.to_owned(), Some(own));
        for (_, managed) in managers.iter().filter(|(id, _)| *id != manager) {
            if !versions.contains_key(&managed.api_version) {
                let comparison = self.compare_in(&managed.api_version, old, new, nulls)?;
                versions.insert(managed.api_version.clone(), comparison);
            }
        }
        let changed: BTreeMap<&str, Set> = versions
            .iter()
            .filter_map(|(version, found)| {
                Some((version.as_str(), found.as_ref().map(|c| c.modified.union(&c.added))?))
            })
            .collect();
        let mut conflicts = Vec::new();
        managers.retain(|id, managed| {
            if id == manager {
                return true;
            }
            // A version that is gone cannot be managed any more.
            let Some(comparison) = versions.get(&managed.api_version).and_then(Option::as_ref) else { return false };
            let Some(changed) = changed.get(managed.api_version.as_str()) else { return false };
            if !changed.is_empty() {
                let conflict = managed.fields.intersection(changed);
                if !conflict.is_empty() {
                    conflict.for_each(|path| conflicts.push(Conflict { manager: id.clone(), path: path.to_vec() }));
                    managed.fields.subtract(&conflict);
                }
            }
            managed.fields.subtract(&comparison.removed);
            true
        });
        if !force && !conflicts.is_empty() {
            return Err(Conflicts(conflicts).into());
        }
        Ok(versions.remove(self.api_version).flatten().unwrap_or_default())
    }

    /// `None` when the version is not served any more.
    fn compare_in(
        &self,
        version: &str,
        old: &Value,
        new: &Value,
        nulls: Nulls,
    ) -> Result<Option<Comparison>, UpdateError> {
        let convert = |object| self.versions.convert(object, self.api_version, version);
        let Some(place) = self.versions.place(version) else { return Ok(None) };
        let (Some(old), Some(new)) = (convert(old), convert(new)) else { return Ok(None) };
        Ok(Some(compare(place, &old, &new, nulls)?.without(self.reset)))
    }

    fn reconcile(&self, managers: &mut ManagedFields) -> Result<(), UpdateError> {
        let mut refused = None;
        managers.retain(|_, managed| {
            let place = self.versions.place(&managed.api_version);
            if let Some(fields) = place.and_then(|place| reconcile(place, &managed.fields)) {
                managed.fields = fields;
            } else if place.is_none() && refused.is_none() {
                refused = self.versions.refuses(&managed.api_version);
            }
            place.is_some()
        });
        refused.map_or(Ok(()), |why| Err(UpdateError::Refused(why)))
    }
}
