//! Where a kind may differ from the generic pipeline. Every method has a default, so most kinds have no file.

use api::Object;
use api::field::{FieldError, Path};

/// What the generic code does after a DELETE request reached a kind's strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Remove now, unless finalizers keep the object.
    Immediate,
    /// Set deletionTimestamp and deletionGracePeriodSeconds and wait that many seconds for the owner (the kubelet) to
    /// delete with grace 0.
    Graceful { seconds: i64 },
}

/// What is allowed only in a namespace that a label with the value `true` marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// What asks for it.
    pub at: Path,
    pub label: &'static str,
    /// Why it is refused without the label.
    pub detail: &'static str,
    /// What it is called where the namespace cannot be read.
    pub topic: &'static str,
}

/// The order of a create: `defaults`, mutating admission, `defaults` again, `prepare_for_create`, `validate` and
/// `validate_create`, validating admission, commit. Of an update: `defaults`, mutating admission, `defaults`,
/// `prepare_for_update`, `validate` and `validate_update`, validating admission, commit. Of a subresource: the same with
/// `prepare_for_subresource` and `validate_subresource`.
///
/// Metadata (name, labels, uid, generation, timestamps, managedFields) is the generic code's, for all kinds.
pub trait Strategy: Send + Sync {
    /// Upstream's `SetDefaults_*` for the kind. Must be idempotent. `old` is the stored object of an update.
    fn defaults(&self, _new: &mut Object, _old: Option<&Object>) {}

    /// Drop what a client may not set on create. The generic code has removed `status` already when the kind has a status
    /// subresource.
    fn prepare_for_create(&self, _new: &mut Object) {}

    /// Carry over what a client may not change by PUT or PATCH of the main resource. The generic code has put the old `status`
    /// back already when the kind has a status subresource.
    fn prepare_for_update(&self, _new: &mut Object, _old: &Object) {}

    /// `subresource` is `status`, `ephemeralcontainers`, `resize`, ...; generic code restricts `status` to status and metadata.
    fn prepare_for_subresource(&self, _subresource: &str, _new: &mut Object, _old: &Object) {}

    /// Times that the server keeps in the object; `old` is `None` for a new one. Called after the `prepare` of a create and of a
    /// write to a subresource.
    fn stamp(&self, _new: &mut Object, _old: Option<&Object>, _now: &str) {}

    /// Whether `metadata.generation` grows with this update. Default: anything outside metadata and status changed.
    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        let strip = |object: &Object| {
            let mut rest = object.as_object().cloned().unwrap_or_default();
            rest.remove("metadata");
            rest.remove("status");
            rest
        };
        strip(new) != strip(old)
    }

    /// What goes with an allocation and follows from the object. What nothing is allocated to is not given this either.
    fn prepare_for_allocation(&self, _new: &mut Object, _old: Option<&Object>) {}

    /// What makes it senseless to allocate anything for the object. Asked before the other rules, which are not asked then.
    fn before_allocation(&self, _new: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    /// What the object asks of its namespace. A refusal stands in front of the other errors.
    fn demand(&self, _subresource: &str, _new: &Object, _old: Option<&Object>) -> Option<Demand> {
        None
    }

    /// Whether a name is made of a prefix and something at random; else it is the prefix.
    fn generates_names(&self) -> bool {
        true
    }

    /// What is wrong with a name, or with what names are generated from, where the object says what it must be. `found` is what the
    /// general rule for names of the kind has found.
    fn wrong_name(&self, _new: &Object, _name: &str, found: Vec<String>) -> Vec<String> {
        found
    }

    /// The rules of `validate` for an update, which may forgive what was there before.
    fn validate_again(&self, new: &Object, _old: &Object) -> Vec<FieldError> {
        self.validate(new)
    }

    fn validate(&self, _new: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    /// Rules for new objects only, in addition to `validate`.
    fn validate_create(&self, _new: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_update(&self, _new: &Object, _old: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    fn validate_subresource(&self, _subresource: &str, _new: &Object, _old: &Object) -> Vec<FieldError> {
        Vec::new()
    }

    /// Texts for `Warning` headers.
    fn warnings(&self, _new: &Object) -> Vec<String> {
        Vec::new()
    }

    fn warnings_of_update(&self, new: &Object, _old: &Object) -> Vec<String> {
        self.warnings(new)
    }

    fn on_delete(&self, _old: &Object, _grace_period_seconds: Option<i64>) -> Deletion {
        Deletion::Immediate
    }

    /// Whether something besides metadata.finalizers keeps an object that is deleted (a Namespace's spec.finalizers).
    fn keeps(&self, _object: &Object) -> bool {
        false
    }

    /// The first deletion only marks, whatever it asks for: what belongs to the object goes first.
    fn only_marked_at_first(&self) -> bool {
        false
    }

    /// What upstream's conversion from its internal form writes into an object in which nothing was ever set.
    fn complete_nothing(&self, _nothing: &mut Object) {}

    /// What a deletion that does not remove the object at once writes beside its timestamp (a Namespace's phase).
    fn mark_deleting(&self, _object: &mut Object) {}
}

/// A kind that is nothing special.
#[derive(Debug)]
pub struct Plain;

impl Strategy for Plain {}
