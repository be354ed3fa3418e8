//! POST, and the PUT that creates.

use api::Object;
use api::meta::{self, Meta};
use api::status::Status;
use serde_json::Value;

use super::stages::{CommitError, Decoded};
use super::{Committed, Target};
use crate::core::qualified;
use crate::metadata;

/// How often a new name is generated when one is taken. Enough for a million names of one prefix (upstream).
const NAME_ATTEMPTS: usize = 8;

impl Target<'_> {
    /// What a POST creates has nothing that only the server sets.
    pub async fn create(&self, mut new: Decoded) -> Result<Committed, Status> {
        let versioned = metadata::wipe_system_fields(&mut new.object);
        self.create_as_sent(new, versioned).await
    }

    /// What a PUT or an applied configuration creates may be on its way out already (upstream). `versioned`: it came with a
    /// resourceVersion.
    pub(super) async fn create_as_sent(&self, object: Decoded, versioned: bool) -> Result<Committed, Status> {
        let Decoded { mut object, tracking } = object;
        if self.row.custom.as_ref().is_some_and(|custom| custom.is_terminating()) {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(qualified(self.row), object.name(), why));
        }
        self.without_link(&mut object);
        metadata::match_namespace(&mut object, self.namespace)?;
        self.warnings.extend(metadata::dedup_owners(&mut object));
        // Upstream takes any name beside a prefix for one that it made.
        let has_prefix = !object.generate_name().is_empty();
        if object.name().is_empty() && !self.row.strategy.generates_names() {
            let prefix = object.generate_name().to_owned();
            meta::set(&mut object, "name", prefix);
        }
        let generated = object.name().is_empty() && has_prefix;
        let mut admitted = Decoded { object, tracking }.admit(self, None).await?;
        // Admission may have changed it.
        metadata::match_namespace(admitted.object_mut(), self.namespace)?;
        let mut admitted = Some(admitted);
        for attempt in 1.. {
            // Another attempt comes only to another name.
            let candidate = if generated { admitted.clone() } else { admitted.take() };
            let Some(mut candidate) = candidate else { break };
            if generated {
                candidate.set_name(metadata::generate_name(candidate.generate_name(), self.core.random()));
            }
            let name = candidate.name().to_owned();
            let validated = candidate.validate_create(self).await?;
            if versioned && !self.dry_run {
                // Only upstream's store looks: everything else that is wrong is said before, and a dry run does not say it.
                return Err(Status::plain("resourceVersion should not be set on objects to be created"));
            }
            match validated.commit(self, None).await {
                Ok(committed) => return Ok(committed),
                Err(CommitError::Conflict(_)) if generated && attempt < NAME_ATTEMPTS => {}
                Err(CommitError::Conflict(there)) => return Err(self.already_exists(&name, has_prefix, there)),
                Err(CommitError::Other(status)) => return Err(status),
            }
        }
        Err(Status::internal("no attempt to create was made"))
    }

    /// Upstream stores no link to itself; a dry run answers with it.
    pub(super) fn without_link(&self, object: &mut Object) {
        if !self.dry_run {
            meta::metadata_mut(object).remove("selfLink");
        }
    }

    fn already_exists(&self, name: &str, has_prefix: bool, there: Option<bytes::Bytes>) -> Status {
        let mut status = if has_prefix {
            Status::generate_name_conflict(qualified(self.row), name)
        } else {
            Status::already_exists(qualified(self.row), name)
        };
        let there: Option<Object> = there.and_then(|json| serde_json::from_slice(&json).ok());
        if there.is_some_and(|there| there.deletion_timestamp().is_some()) {
            status.message = format!("object is being deleted: {}", status.message);
        }
        status
    }
}

impl super::stages::Admitted {
    fn name(&self) -> &str {
        self.object().name()
    }

    fn generate_name(&self) -> &str {
        self.object().generate_name()
    }

    fn set_name(&mut self, name: String) {
        meta::set(self.object_mut(), "name", Value::String(name));
    }
}
