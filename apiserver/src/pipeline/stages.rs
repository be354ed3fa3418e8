//! The stages of a write.

use api::Object;
use api::apply::ManagedFields;
use api::field::{ErrorKind, FieldError};
use api::gvk::GroupVersionKind;
use api::meta::{self, Meta};
use api::schema::{SchemaSet, check};
use api::status::{Qualified, Status};
use bytes::Bytes;
use serde_json::Value;
use store::{Durability, Expect, Revision, Write};

use super::serialize::{serialize, stamped};
use super::{Committed, Target};
use crate::admission::policy::writers;
use crate::admission::{Operation, Reader};
use crate::allocation::Reservation;
use crate::core::{Existing, key, qualified_kind, store_error};
use crate::empties::{self, Empties};
use crate::managed::Managers;
use crate::rbac::escalation;
use crate::registry::Descriptor;
use crate::subresources::check_scale;
use crate::{gated, metadata};

/// As the client sent it (or a patch made it), in the stored form.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub object: Object,
    pub tracking: Tracking,
}

/// How the managers of the new object are found.
#[derive(Clone, Debug)]
pub(crate) enum Tracking {
    /// By what the request changes.
    Changes,
    /// They are known: an applied configuration says more than its changes.
    Known(ManagedFields),
    /// Nobody manages what this changes (a binding); the others keep what they have.
    Off,
}

/// Defaulted and seen by mutating admission. The object is without its managedFields from here on.
#[derive(Clone, Debug)]
pub(super) struct Admitted {
    object: Object,
    managers: Managers,
}

/// Complete, valid and allowed. Dropping it gives back what was allocated for it.
pub(super) struct Validated {
    object: Object,
    managers: Managers,
    reservation: Reservation,
    /// Of an update that takes the last thing away that kept a deleted object: what is answered, which no store has read.
    last: Option<Object>,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The key is not as expected any more; the state that is there.
    Conflict(Option<Bytes>),
    Other(Status),
}

impl Decoded {
    /// What a client sends, or makes by a patch.
    pub fn new(object: Object) -> Self {
        Self { object, tracking: Tracking::Changes }
    }

    /// What a client does not write itself.
    pub fn untracked(object: Object) -> Self {
        Self { object, tracking: Tracking::Off }
    }

    /// Defaults, managers, mutating admission, and defaults of what that added. What admission adds is nobody's.
    pub(super) async fn admit(self, target: &Target<'_>, existing: Option<&Existing>) -> Result<Admitted, Status> {
        let Self { mut object, tracking } = self;
        let old = existing.map(|existing| &existing.object);
        let defaults = |object: &mut Object| {
            if matches!(target.subresource, "" | "status") || old.is_some() {
                target.row.strategy.defaults(object, old);
            }
        };
        defaults(&mut object);
        let managers = match tracking {
            Tracking::Off => existing.map(|existing| existing.managers.clone()).unwrap_or_default(),
            Tracking::Known(managed) => {
                complete(&mut object);
                Managers::new(managed)
            }
            Tracking::Changes => {
                complete(&mut object);
                let empties = Empties::take_unowned(&mut object);
                let managers = target.track_with(&mut object, existing).await?;
                empties.put_back(&mut object);
                managers
            }
        };
        let name = object.name().to_owned();
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let attributes = target.attributes(operation, &name, old);
        target.mutate(&attributes, &mut object, false).await?;
        defaults(&mut object);
        target.warnings.extend(metadata::dedup_owners(&mut object));
        escalation::check(target, &object, old).await?;
        Ok(Admitted { object, managers })
    }
}

impl Admitted {
    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    pub(super) fn object_mut(&mut self) -> &mut Object {
        &mut self.object
    }

    /// Removes what a creating client may not set, fills in what the server owns, allocates, and checks everything.
    pub(super) async fn validate_create(mut self, target: &Target<'_>) -> Result<Validated, Status> {
        must_have_version(target.row, &self.object)?;
        let (row, object) = (target.row, &mut self.object);
        if row.has_status() && !row.status_on_create {
            object.as_object_mut().and_then(|members| members.remove("status"));
        }
        let created = metadata::time(target.core.now());
        meta::set(object, "creationTimestamp", created.as_str());
        meta::set(object, "uid", metadata::uid(target.core.random(), target.core.random()));
        if row.generation {
            meta::set(object, "generation", 1);
        }
        if row.custom.is_none() {
            gated::drop_disabled(object);
        }
        row.strategy.prepare_for_create(object);
        row.strategy.stamp(object, None, &created);
        // What a write to a subresource creates is given nothing (upstream): the next write of the object is.
        let reservation = match target.subresource {
            "" => target.core.reserve(row, object, None, target.dry_run).await?,
            _ => Reservation::none(),
        };
        normalize(object);
        let errors = (row.strategy.validate(object), row.strategy.validate_create(object));
        let mut errors = metadata::of_create(row, object, errors, self.managers.errors());
        errors.splice(..0, refused(target, object, None).await);
        if errors.is_empty() {
            errors.extend(writers::refused(target, object, None).await);
        }
        if !errors.is_empty() {
            return Err(invalid(row, object, &errors));
        }
        target.warnings.extend(row.strategy.warnings(object));
        target.warnings.extend(row.inert.map(|why| format!("{} {why}", row.info.kind)));
        let name = object.name().to_owned();
        validating_admission(target, Operation::Create, &name, object, None).await?;
        let _ = Empties::take(object);
        Ok(Validated { object: self.object, managers: self.managers, reservation, last: None })
    }

    /// Puts back what a client may not change, counts the generation, and checks the new state and the change.
    pub(super) async fn validate_update(mut self, target: &Target<'_>, old: &Object) -> Result<Validated, Status> {
        must_have_version(target.row, &self.object)?;
        let (row, object) = (target.row, &mut self.object);
        metadata::carry_over(object, old);
        target.without_link(object);
        if row.custom.is_none() {
            gated::drop_disabled(object);
        }
        match target.subresource {
            "" => {
                if row.has_status() && !row.status_on_update {
                    put_back(object, old, "status");
                }
                row.strategy.prepare_for_update(object, old);
            }
            "status" => {
                restrict_to_status(object, old);
                if metadata::is_kept_by_status(row) {
                    metadata::keep(object, old);
                }
                row.strategy.prepare_for_subresource("status", object, old);
            }
            other => row.strategy.prepare_for_subresource(other, object, old),
        }
        if !target.subresource.is_empty() {
            row.strategy.stamp(object, Some(old), &metadata::time(target.core.now()));
        }
        let reservation = match target.subresource {
            "" => target.core.reserve(row, object, Some(old), target.dry_run).await?,
            _ => Reservation::none(),
        };
        let mut last = finishes_deletion(object, old).then(|| object.clone());
        normalize(object);
        // Where a pod runs is no change of what is wanted: upstream's binding goes past the strategy.
        let counts = !matches!(target.subresource, "status" | "binding");
        if row.generation && counts && row.strategy.bumps_generation(object, old) {
            meta::set(object, "generation", old.generation() + 1);
        }
        if target.subresource == "scale" {
            check_scale(row, object)?;
        }
        let errors = if target.subresource.is_empty() {
            (row.strategy.validate_again(object, old), row.strategy.validate_update(object, old))
        } else {
            (row.strategy.validate_subresource(target.subresource, object, old), Vec::new())
        };
        let managers = self.managers.errors();
        let mut errors = metadata::of_update(row, target.subresource, (object, old), errors, managers);
        errors.splice(..0, refused(target, object, Some(old)).await);
        if errors.is_empty() {
            errors.extend(writers::refused(target, object, Some(old)).await);
        }
        if !errors.is_empty() {
            return Err(invalid(row, object, &errors));
        }
        if matches!(target.subresource, "" | "scale") {
            target.warnings.extend(row.strategy.warnings_of_update(object, old));
        }
        let name = object.name().to_owned();
        validating_admission(target, Operation::Update, &name, object, Some(old)).await?;
        let _ = Empties::take(object);
        if let Some(last) = &mut last {
            round_trip(last);
            last["metadata"] = object["metadata"].clone();
        }
        Ok(Validated { object: self.object, managers: self.managers, reservation, last })
    }
}

/// The update removes the last thing that kept a deleted object.
fn finishes_deletion(new: &Object, old: &Object) -> bool {
    new.finalizers().next().is_none()
        && old.deletion_timestamp().is_some()
        && old.deletion_grace_period_seconds().unwrap_or_default() == 0
}

impl Validated {
    /// A stored object with the marks of its deletion, which admission of the deletion has allowed.
    pub(super) fn deleting(object: Object, managers: Managers) -> Self {
        Self { object, managers, reservation: Reservation::none(), last: None }
    }

    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    /// What a client sees of an object that ends with this update.
    pub(super) fn last(&mut self) -> Option<Object> {
        let mut object = self.last.take()?;
        self.managers.put_into(&mut object);
        Some(object)
    }

    /// `old` is what an update found; it must still be there. A create must find nothing.
    pub(super) async fn commit(
        mut self,
        target: &Target<'_>,
        old: Option<&Existing>,
    ) -> Result<Committed, CommitError> {
        let created = old.is_none();
        if let Some(custom) = &target.row.custom {
            custom.settle(&mut self.object);
        }
        if let Some(old) = old
            && !old.stale
            && same(&self.object, &old.object)
            && self.managers.same_but_times(&old.managers)
        {
            // A write that changes nothing makes no revision.
            return Ok(Committed { json: old.json.clone(), created });
        }
        if target.dry_run {
            return self.pretend(target, old).await;
        }
        let converted = target.core.to_store(target.row, &self.object, &self.managers).await;
        let (bytes, stamp) = match converted.map_err(CommitError::Other)? {
            Some(converted) => serialize(&converted, &self.managers),
            None => serialize(&target.row.to_store(&self.object), &self.managers),
        };
        let bytes = Bytes::from(bytes);
        let value = store::Value { bytes: bytes.clone(), stamp: Some(stamp) };
        let expect = old.map_or(Expect::Absent, |old| Expect::At(Revision(old.revision)));
        let durability = if target.row.relaxed { Durability::Relaxed } else { Durability::Synced };
        let key = key(target.row, self.object.namespace(), self.object.name());
        match target.core.config.store.write(key, Write::Put(value), expect, durability).await {
            Ok(revision) => {
                if self.reservation.keep() {
                    target.core.give_back().await;
                }
                Ok(Committed { json: stamped(&bytes, stamp, revision.0), created })
            }
            Err(store::Error::Conflict { actual }) => Err(CommitError::Conflict(actual.map(|actual| actual.value))),
            Err(error) => {
                self.reservation.leave();
                Err(CommitError::Other(store_error(error)))
            }
        }
    }

    /// A dry run: what the commit would answer, decided against the state of now.
    async fn pretend(self, target: &Target<'_>, old: Option<&Existing>) -> Result<Committed, CommitError> {
        let (namespace, name) = (self.object.namespace(), self.object.name());
        let now = target.core.read_bytes(target.row, namespace, name).await.map_err(CommitError::Other)?;
        let expected = match (&now, old) {
            (None, None) => true,
            (Some((_, revision)), Some(old)) => *revision == old.revision,
            _ => false,
        };
        if !expected {
            return Err(CommitError::Conflict(now.map(|(json, _)| json)));
        }
        let mut object = self.object;
        if let Some(old) = old {
            meta::set(&mut object, "resourceVersion", old.revision.to_string());
        }
        self.managers.put_into(&mut object);
        Ok(Committed { json: object.to_string().into(), created: old.is_none() })
    }
}

/// Writes the zero values that Go writes, so that what is stored is what upstream would show: its dry runs go through the stored form
/// as well.
fn normalize(object: &mut Object) {
    let set = SchemaSet::builtin();
    let kind = kind_of(object);
    let Some(ty) = set.of_kind(&kind) else { return };
    // These are stored as JSON, in which an empty list is not none.
    let as_json = ["apiextensions.k8s.io", "apiregistration.k8s.io"].contains(&kind.group.as_str());
    empties::without(object, |object| {
        match as_json {
            true => check::conform(set, ty, object),
            false => check::conform_stored(set, ty, object),
        };
        check::complete(set, ty, object);
    });
}

/// As [`normalize`], of what is not stored: an empty list is not none.
fn round_trip(object: &mut Object) {
    let set = SchemaSet::builtin();
    if let Some(ty) = set.of_kind(&kind_of(object)) {
        check::conform(set, ty, object);
        check::complete(set, ty, object);
    }
}

/// As [`normalize`], of what has been conformed already.
fn complete(object: &mut Object) {
    let set = SchemaSet::builtin();
    if let Some(ty) = set.of_kind(&kind_of(object)) {
        check::complete(set, ty, object);
    }
}

fn kind_of(object: &Object) -> GroupVersionKind {
    let text = |key: &str| object[key].as_str().unwrap_or_default();
    GroupVersionKind::from_api_version(text("apiVersion"), text("kind"))
}

async fn validating_admission(
    target: &Target<'_>,
    operation: Operation,
    name: &str,
    object: &Object,
    old: Option<&Object>,
) -> Result<(), Status> {
    let attributes = target.attributes(operation, name, old);
    target.validate(&attributes, |_| Some(object), false).await
}

/// What the object asks of its namespace, where it does not get it.
async fn refused(target: &Target<'_>, object: &Object, old: Option<&Object>) -> Option<FieldError> {
    let demand = target.row.strategy.demand(target.subresource, object, old)?;
    match target.core.get("", "namespaces", "", target.namespace).await {
        Ok(Some(namespace)) if namespace.label(demand.label) == Some("true") => None,
        Ok(Some(_)) => Some(FieldError::forbidden(&demand.at, demand.detail)),
        other => {
            let missing = || format!("namespaces {:?} not found", target.namespace);
            let why = other.err().map_or_else(missing, |status| status.message);
            let detail = format!("could not retrieve namespace to verify {}: {why}", demand.topic);
            Some(FieldError { kind: ErrorKind::Internal, path: demand.at, value: Value::Null, detail })
        }
    }
}

/// Upstream asks a custom resource what it is before it looks at it.
fn must_have_version(row: &Descriptor, object: &Object) -> Result<(), Status> {
    let version = object["apiVersion"].as_str().unwrap_or_default().rsplit('/').next();
    if row.custom.is_some() && version.is_none_or(str::is_empty) {
        return Err(Status::internal("Object 'apiVersion' is missing in 'object has no apiVersion field'"));
    }
    Ok(())
}

/// Upstream names a custom resource by what it says that it is.
fn invalid(row: &Descriptor, object: &Object, errors: &[FieldError]) -> Status {
    let own = object["kind"].as_str().filter(|_| row.custom.is_some());
    let kind = own.map_or_else(|| qualified_kind(row), |kind| Qualified::new(&row.info.group, kind));
    Status::invalid(kind, object.name(), errors)
}

fn put_back(object: &mut Object, old: &Object, member: &str) {
    let Some(members) = object.as_object_mut() else { return };
    match old.get(member) {
        Some(value) => members.insert(member.to_owned(), value.clone()),
        None => members.remove(member),
    };
}

/// A write to /status changes status and metadata only.
fn restrict_to_status(object: &mut Object, old: &Object) {
    let keep = |key: &String| matches!(key.as_str(), "status" | "metadata");
    let Some(members) = object.as_object_mut() else { return };
    members.retain(|key, _| keep(key));
    for (key, value) in old.as_object().into_iter().flatten().filter(|(key, _)| !keep(key)) {
        members.insert(key.clone(), value.clone());
    }
}

/// Equal but for the resourceVersion.
fn same(new: &Object, old: &Object) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return new == old };
    let equal_but = |new: &serde_json::Map<String, Value>, old: &serde_json::Map<String, Value>, skipped: &str| {
        let rest = |map: &serde_json::Map<String, Value>| map.keys().filter(|key| *key != skipped).count();
        rest(new) == rest(old) && new.iter().all(|(key, value)| key == skipped || old.get(key) == Some(value))
    };
    let metadata = |map: &serde_json::Map<String, Value>| map.get("metadata").and_then(Value::as_object).cloned();
    equal_but(new, old, "metadata")
        && match (metadata(new), metadata(old)) {
            (Some(new), Some(old)) => equal_but(&new, &old, "resourceVersion"),
            (new, old) => new == old,
        }
}
