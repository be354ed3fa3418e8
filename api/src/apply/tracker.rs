//! What the API server does around the rules of ownership: whose fields count at all, under which name and since when.

use std::sync::LazyLock;

use serde_json::{Map, Value};
use thiserror::Error;

use super::check::{Misfits, check};
use super::last_applied;
use super::managers::{EntryError, Managed, ManagedFields, ManagerId, Operation};
use super::set::Set;
use super::update::{Merged, UpdateError, Updater, Versions};
use super::{Conflicts, PathElement};
use crate::Object;
use crate::meta::Meta;
use crate::schema::SchemaSet;

const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Of one request, on one resource or subresource.
#[derive(Clone, Copy)]
pub struct Tracker<'a> {
    pub versions: &'a dyn Versions,
    pub api_version: &'a str,
    pub kind: &'a str,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Names the sender of the request.
    pub manager: &'a str,
    /// What the server resets in a request like this.
    pub reset: &'a Set,
    /// RFC 3339, seconds.
    pub now: &'a str,
}

#[derive(Debug, Error)]
pub enum ApplyError {
    #[error("{0}")]
    BadRequest(String),
    #[error(transparent)]
    Conflicts(Conflicts),
    #[error("failed to create typed patch object ({object}): {misfits}")]
    Misfits { object: String, misfits: Misfits },
    /// What is there cannot be compared with anything.
    #[error(
        "failed to create manager for existing fields: failed to convert new object ({object}) to smd typed: {misfits}"
    )]
    Existing { object: String, misfits: Misfits },
    #[error("failed to decode managed fields: {0}")]
    Stored(#[from] EntryError),
    #[error(transparent)]
    Update(UpdateError),
}

impl From<UpdateError> for ApplyError {
    fn from(error: UpdateError) -> Self {
        match error {
            UpdateError::Conflicts(conflicts) => Self::Conflicts(conflicts),
            other => Self::Update(other),
        }
    }
}

/// What applying a configuration makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// May hold nulls and values as the configuration has them: to be conformed.
    pub object: Object,
    pub managed: ManagedFields,
}

/// Nobody manages what identifies an object.
static NEVER: LazyLock<Set> = LazyLock::new(|| {
    let mut set = Set::default();
    for field in ["apiVersion", "kind", "metadata"] {
        set.insert(&[PathElement::field(field)]);
    }
    for field in [
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    ] {
        set.insert(&[PathElement::field("metadata"), PathElement::field(field)]);
    }
    set
});

impl<'a> Tracker<'a> {
    fn updater(&self) -> Updater<'a> {
        Updater { versions: self.versions, api_version: self.api_version, reset: self.reset }
    }

    fn id(&self, manager: &str, operation: Operation) -> ManagerId {
        ManagerId::new(manager, operation, self.api_version, self.subresource)
    }

    /// The managers of an object after a create, update or patch. `live` is `None` for a create; neither object has its
    /// managedFields in it. `managed` is from [`requested`].
    pub fn update(
        &self,
        live: Option<&Object>,
        new: &Object,
        managed: ManagedFields,
    ) -> Result<ManagedFields, UpdateError> {
        // An object that nobody applies need not be tracked once somebody has taken the managers out.
        if live.is_some() && managed.is_empty() {
            return Ok(managed);
        }
        match live {
            Some(live) => self.track(live, new, managed, self.manager),
            None => self.track(&self.empty(), new, managed, self.manager),
        }
    }

    /// A new object before anything was written to it, as Go has it.
    fn empty(&self) -> Object {
        let mut object = Value::Object(Map::new());
        if let Some(place) = self.versions.place(self.api_version) {
            place.complete(&mut object);
        }
        object
    }

    fn track(
        &self,
        live: &Object,
        new: &Object,
        mut managed: ManagedFields,
        manager: &str,
    ) -> Result<ManagedFields, UpdateError> {
        let id = self.id(manager, Operation::Update);
        // Under an id of its own, so that it shows whether this request changed anything.
        let current = ManagerId { api_version: "\0current".to_owned(), ..id.clone() };
        self.updater().update(live, new, &mut managed, &current)?;
        if let Some(Managed { mut fields, api_version }) = managed.remove(&current) {
            fields.subtract(&NEVER);
            if !fields.is_empty() {
                fields.add(managed.remove(&id).map(|known| known.fields).unwrap_or_default());
                managed.insert(id.clone(), Managed { fields, api_version });
                managed.set_time(id, Some(self.now.to_owned()));
            }
        }
        managed.cap();
        managed.settle();
        Ok(managed)
    }

    /// Applies a configuration to an object; an empty one is created by that.
    pub fn apply(
        &self,
        live: Option<&Object>,
        managed: ManagedFields,
        config: &Object,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        self.check_kind(config)?;
        let managed = match live {
            Some(live) if managed.is_empty() => self
                .track(&self.empty(), live, managed, BEFORE_FIRST_APPLY)
                .map_err(|error| self.existing(live, error))?,
            _ => managed,
        };
        self.check(config)?;
        let live = live.map_or_else(|| self.empty(), Object::clone);
        let mut spelled = live.clone();
        self.updater().place()?.spell_out_nulls(&mut spelled);
        let (object, managed) = self.apply_upgrading(&spelled, &managed, config, force)?;
        let mut object = object.unwrap_or(live);
        if self.manager == last_applied::KUBECTL {
            last_applied::renew(&mut object, config);
        }
        Ok(Applied { object, managed })
    }

    fn existing(&self, live: &Object, error: UpdateError) -> ApplyError {
        let misfits = self.updater().place().ok().and_then(|place| check(place, live).err());
        match (misfits, error) {
            (Some(misfits), UpdateError::Key(_)) | (_, UpdateError::Misfits(misfits)) => {
                ApplyError::Existing { object: self.named(live), misfits }
            }
            (_, error) => error.into(),
        }
    }

    /// As upstream names an object in its messages.
    fn named(&self, object: &Object) -> String {
        format!("{}/{}; {}", object.namespace(), object.name(), kind_text(self.api_version, self.kind))
    }

    fn check_kind(&self, config: &Object) -> Result<(), ApplyError> {
        let text = |key: &str| config[key].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if (api_version, kind) != (self.api_version, self.kind) {
            return Err(ApplyError::BadRequest(format!("invalid object type: {}", kind_text(api_version, kind))));
        }
        Ok(())
    }

    fn check(&self, config: &Object) -> Result<(), ApplyError> {
        if config.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
            return Err(ApplyError::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        let place = self.updater().place()?;
        check(place, config).map_err(|misfits| ApplyError::Misfits { object: self.named(config), misfits })
    }

    /// Kubectl may take what it has itself applied from the client's side before.
    fn apply_upgrading(
        &self,
        live: &Object,
        managed: &ManagedFields,
        config: &Object,
        force: bool,
    ) -> Result<(Merged, ManagedFields), ApplyError> {
        match self.apply_once(live, managed.clone(), config, force) {
            Err(ApplyError::Conflicts(conflicts)) if self.manager == last_applied::KUBECTL => {
                let place = self.updater().place()?;
                let Some(allowed) = last_applied::owned(place, self.api_version, live) else {
                    return Err(ApplyError::Conflicts(conflicts));
                };
                let left: Vec<_> = conflicts.0.into_iter().filter(|conflict| !allowed.has(&conflict.path)).collect();
                if !left.is_empty() {
                    return Err(ApplyError::Conflicts(Conflicts(left)));
                }
                self.apply_once(live, managed.clone(), config, true)
            }
            other => other,
        }
    }

    fn apply_once(
        &self,
        live: &Object,
        mut managed: ManagedFields,
        config: &Object,
        force: bool,
    ) -> Result<(Merged, ManagedFields), ApplyError> {
        let id = self.id(self.manager, Operation::Apply);
        let merged = self.updater().apply(live, config, &mut managed, &id, force)?;
        if let Some(mut own) = managed.remove(&id) {
            own.fields.subtract(&NEVER);
            managed.insert(id.clone(), own);
        }
        if merged.is_some() {
            managed.set_time(id, Some(self.now.to_owned()));
        }
        managed.settle();
        Ok((merged, managed))
    }
}

/// `apps/v1, Kind=Deployment`, `/v1, Kind=Pod`.
fn kind_text(api_version: &str, kind: &str) -> String {
    let slash = if api_version.contains('/') { "" } else { "/" };
    format!("{slash}{api_version}, Kind={kind}")
}

/// The managers that a request starts from. `sent` is the list in the object that the client sent: an empty list, or one empty
/// entry, takes all managers out; no list, or one that makes no sense, leaves them. Through a subresource nobody changes them.
pub fn requested(stored: ManagedFields, sent: Option<&Value>, subresource: &str) -> ManagedFields {
    let Some(list) = sent.filter(|sent| subresource.is_empty() && !sent.is_null()) else { return stored };
    let resets = match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(only)]) => only.is_empty(),
        _ => false,
    };
    if resets {
        return ManagedFields::default();
    }
    match ManagedFields::decode(list) {
        Ok(managed) if !managed.is_empty() => managed,
        _ => stored,
    }
}

/// A kind in one version: the usual case.
#[derive(Clone, Copy)]
pub struct OneVersion<'a> {
    pub set: &'a SchemaSet,
    pub ty: crate::schema::TypeId,
    pub api_version: &'a str,
}

impl Versions for OneVersion<'_> {
    fn place(&self, api_version: &str) -> Option<super::Place<'_>> {
        (api_version == self.api_version).then(|| super::Place::root(self.set, self.ty))
    }

    fn convert<'o>(&self, object: &'o Value, _from: &str, to: &str) -> Option<std::borrow::Cow<'o, Value>> {
        (to == self.api_version).then_some(std::borrow::Cow::Borrowed(object))
    }
}
