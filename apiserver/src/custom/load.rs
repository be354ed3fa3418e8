//! From what is stored to what a version shows, and back.
//!
//! What was stored before the definition changed is brought into the schema's form when it is read, as upstream does: pruned,
//! defaulted, and in the version that is asked for. What was written since is in that form already and is sent as it is.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use api::Object;
use api::gvk::GroupVersionKind;
use api::status::Status;
use api::structural::metadata::{self, Malformed};
use api::structural::{Structural, default, prune};
use bytes::Bytes;
use serde_json::Value;

use super::converter::{Converter, about};
use super::{CustomKind, numbers};
use crate::cache::Stored;
use crate::registry::Descriptor;

impl CustomKind {
    /// What decoding does: metadata is checked, unknown fields go. Answers with their paths.
    ///
    /// # Errors
    /// What is wrong with the metadata.
    pub fn coerce(&self, object: &mut Object, malformed: Malformed) -> Result<Vec<String>, String> {
        coerce(object, self.structural(), malformed)
    }

    /// What becomes of an applied configuration: as [`Self::coerce`], but its nulls stay until the rules have seen them.
    ///
    /// # Errors
    /// What is wrong with the metadata.
    pub fn coerce_applied(&self, object: &mut Object) -> Result<(), String> {
        // Whatever stands there, the server knows these times.
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.retain(|name, value| {
                let is_time = ["creationTimestamp", "deletionTimestamp"].contains(&name.as_str());
                !is_time || value.as_str().is_none_or(|text| api::time::parse_time(text).is_ok())
            });
        }
        coerce_but_nulls(object, self.structural(), Malformed::Refuse).map(drop)
    }

    /// What is stored has no nulls where the schema does not want them, and Go's numbers.
    pub fn settle(&self, object: &mut Object) {
        prune::prune_nulls(object, Some(self.structural()));
        numbers::settle(object);
    }

    pub fn fill(&self, object: &mut Object) {
        default::fill(object, self.structural());
    }

    /// A stored object in this version. Whether it is another than the storage version would have today is the answer.
    ///
    /// # Errors
    /// It is of another version, and those are converted by a webhook, which cannot be asked here.
    fn load(&self, object: &mut Object) -> Result<bool, Status> {
        let is_foreign = !self.is_own(object);
        if is_foreign && self.common.converter.is_some() {
            let about = about(std::slice::from_ref(object), &self.gvk);
            return Err(Status::plain(format!("conversion webhook for {about} failed: it cannot be asked here")));
        }
        let stale = self.prepare(object);
        if is_foreign {
            object["apiVersion"] = self.gvk.api_version().into();
            self.settle_converted(object);
        }
        Ok(stale)
    }

    /// Brings a stored object into the form that the schema of its own version wants today. Whether it is another than would be stored today is
    /// the answer.
    pub(crate) fn prepare(&self, object: &mut Object) -> bool {
        let stored = object.clone();
        let from = version_of(object);
        if let Some(schema) = self.common.schemas.get(&from) {
            self.repair(object, schema);
            default::fill(object, schema);
        }
        from != self.common.storage_version || *object != stored
    }

    /// What a conversion into this version makes of unknown fields: nothing.
    pub(crate) fn settle_converted(&self, object: &mut Object) {
        self.repair(object, self.structural());
    }

    /// The webhook that converts objects into other versions.
    pub(crate) fn converter(&self) -> Option<&Converter> {
        self.common.converter.as_ref()
    }

    pub(crate) fn is_own(&self, object: &Object) -> bool {
        version_of(object) == self.gvk.version
    }

    /// The kind in the version in which it is stored.
    pub(crate) fn stored_kind(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.gvk.group, &self.common.storage_version, &self.gvk.kind)
    }

    /// As [`Self::settle_converted`], into the version in which it is stored.
    pub(crate) fn settle_for_store(&self, object: &mut Object) {
        if let Some(schema) = self.common.schemas.get(&self.common.storage_version) {
            self.repair(object, schema);
        }
    }

    /// What an object at rest was converted into before.
    pub(crate) fn kept(&self, stored: &Stored) -> Option<Arc<Stored>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(stored)
    }

    pub(crate) fn keep(&self, stored: &Stored, converted: Arc<Stored>) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).put(stored, converted);
    }

    fn repair(&self, object: &mut Object, schema: &Structural) {
        // Nothing is refused, so nothing can fail.
        let _ = coerce(object, schema, Malformed::Drop);
    }
}

fn coerce(object: &mut Object, schema: &Structural, malformed: Malformed) -> Result<Vec<String>, String> {
    let unknown = coerce_but_nulls(object, schema, malformed)?;
    prune::prune_nulls(object, Some(schema));
    Ok(unknown)
}

fn coerce_but_nulls(object: &mut Object, schema: &Structural, malformed: Malformed) -> Result<Vec<String>, String> {
    let mut unknown = metadata::coerce(object, malformed)?;
    unknown.extend(prune::prune(object, schema));
    unknown.extend(metadata::coerce_embedded(object, schema, malformed)?);
    Ok(unknown)
}

fn version_of(object: &Object) -> String {
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    api_version.rsplit('/').next().unwrap_or_default().to_owned()
}

impl Descriptor {
    /// Brings a stored object that was written at `revision` into the form of the row. Answers whether it is not stored as it
    /// would be now. Does nothing to built-in kinds.
    ///
    /// # Errors
    /// It would have to be converted by a webhook.
    pub fn load(&self, object: &mut Object, revision: u64) -> Result<bool, Status> {
        match &self.custom {
            Some(custom) if !custom.shows(revision) => custom.load(object),
            _ => Ok(false),
        }
    }

    /// Whether a stored object is shown as it is.
    pub fn is_settled(&self, stored: &Stored) -> bool {
        self.custom.as_ref().is_none_or(|custom| custom.shows(stored.revision))
    }

    /// The stored text as the row shows it.
    ///
    /// # Errors
    /// What is stored is no JSON, or cannot be converted.
    pub fn served(&self, json: &Bytes, revision: u64) -> Result<Bytes, Status> {
        if self.custom.as_ref().is_none_or(|custom| custom.shows(revision)) {
            return Ok(json.clone());
        }
        let mut object: Object = serde_json::from_slice(json).map_err(Status::internal)?;
        self.load(&mut object, revision)?;
        Ok(object.to_string().into())
    }

    /// Objects that are not older than the definition are shown as they are stored.
    pub fn serves_as_stored(&self) -> bool {
        self.shape.is_none() && self.custom.as_ref().is_none_or(|custom| custom.stores_itself())
    }

    /// The object as it is stored.
    pub fn to_store<'o>(&self, object: &'o Object) -> Cow<'o, Object> {
        match &self.custom {
            Some(custom) if !custom.stores_itself() => {
                let mut object = object.clone();
                object["apiVersion"] = custom.stored_kind().api_version().into();
                custom.settle_for_store(&mut object);
                Cow::Owned(object)
            }
            _ => Cow::Borrowed(object),
        }
    }

    /// What the row is converted by, where that is a webhook.
    pub(crate) fn converted(&self) -> Option<(&CustomKind, &Converter)> {
        let custom = self.custom.as_deref()?;
        Some((custom, custom.converter()?))
    }

    /// Ends when the row is not served any more, or differently. Never for built-in kinds.
    pub async fn replaced(&self) {
        match &self.custom {
            Some(custom) => custom.replaced().await,
            None => std::future::pending().await,
        }
    }
}

impl CustomKind {
    pub(crate) fn stores_itself(&self) -> bool {
        self.gvk.version == self.common.storage_version
    }

    /// What was written at the revision is as this version shows it.
    pub(crate) fn shows(&self, revision: u64) -> bool {
        self.stores_itself() && revision > self.common.settled
    }
}
