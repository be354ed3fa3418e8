//! What a request changed is its sender's.

use std::borrow::Cow;

use api::Object;
use api::apply::{self, ManagedFields, Tracker};
use api::meta::Meta;
use api::status::{Cause, Status};
use serde_json::Value;

use super::list::{KEY, Managers};
use super::reset::reset;
use super::versions::Served;
use crate::conversion::Forms;
use crate::core::Existing;
use crate::metadata;
use crate::pipeline::Target;

/// Calls `with` with what tracks the managers of the target's objects. What it misses of `forms` has to be filled in, and `with` be called again.
pub(crate) fn tracker<R>(target: &Target<'_>, forms: &Forms, with: impl FnOnce(Tracker<'_>) -> R) -> R {
    let versions = Served::new(&target.core.registry, target.row, forms);
    let api_version = target.row.gvk().api_version();
    with(Tracker {
        versions: &versions,
        api_version: &api_version,
        kind: &target.row.info.kind,
        subresource: target.subresource,
        manager: target.manager,
        reset: reset(target.row, target.subresource),
        now: &metadata::time(target.core.now()),
    })
}

impl Target<'_> {
    /// Takes the list that the client sent out of a new object, and answers with the managers after this write.
    pub(crate) async fn track_with(&self, new: &mut Object, old: Option<&Existing>) -> Result<Managers, Status> {
        let forms = Forms::default();
        let sent = new.get_mut("metadata").and_then(Value::as_object_mut).and_then(|metadata| metadata.remove(KEY));
        loop {
            let managers = self.track(new, sent.as_ref(), old, &forms);
            if !forms.fill(self.core).await? {
                return Ok(managers);
            }
        }
    }

    /// The managers after this write of a new object, out of which `sent`, the list that came with it, was taken.
    fn track(&self, new: &Object, sent: Option<&Value>, old: Option<&Existing>, forms: &Forms) -> Managers {
        if let Some(old) = old.filter(|old| sent.is_none() && old.object == *new) {
            return old.managers.clone();
        }
        let stored = old.map(|old| old.managers.decode()).unwrap_or_default();
        let managed = apply::requested(stored, sent, self.subresource);
        let tracked = tracker(self, forms, |tracker| {
            let live = old.map(|old| self.served(&old.object));
            tracker.update(live.as_deref(), &self.served(new), managed)
        });
        Managers::new(tracked.unwrap_or_else(|error| {
            // Upstream does the same: garbage in the list would be worse than none.
            tracing::warn!(kind = %self.row.info.kind, name = new.name(), %error, "managed fields dropped");
            ManagedFields::default()
        }))
    }

    /// A stored object in the form that the request speaks.
    pub(crate) fn served<'o>(&self, object: &'o Object) -> Cow<'o, Object> {
        let Some(shape) = self.row.shape else { return Cow::Borrowed(object) };
        let mut object = object.clone();
        shape.serve(&mut object);
        Cow::Owned(object)
    }
}

/// Why a configuration was not applied, as clients read it.
pub(crate) fn refused(error: &apply::ApplyError) -> Status {
    match error {
        apply::ApplyError::BadRequest(why) => Status::bad_request(why.as_str()),
        apply::ApplyError::Conflicts(conflicts) => {
            let causes = conflicts.0.iter().map(|conflict| Cause {
                reason: "FieldManagerConflict".into(),
                message: conflict.message(),
                field: conflict.field(),
            });
            causes.fold(Status::apply_conflict(&conflicts.to_string()), Status::with_cause)
        }
        other => Status::plain(other.to_string()),
    }
}
