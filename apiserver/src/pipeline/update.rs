//! PUT and PATCH: read, change, compare and swap; again when another write came between.

use api::Object;
use api::field::{FieldError, Path};
use api::meta::Meta;
use api::status::{Qualified, Reason, Status};

use super::stages::{CommitError, Decoded};
use super::{Committed, Target};
use crate::conversion::Forms;
use crate::core::{Existing, Precondition, precondition_failed, qualified};
use crate::metadata;
use crate::query::parse_uint;
use crate::request::RequestInfo;
use crate::server::authorize;

/// How often a change is applied anew because of writes that came between. Each failure means that another writer
/// succeeded, so this bounds a request's work and not the system's progress.
const ATTEMPTS: usize = 64;

/// What an update does to the stored object. Called again with the newest state when another write came between.
pub(crate) trait Change: Sync {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status>;

    /// The object to create when there is none; `None` answers 404.
    fn create(&self) -> Result<Option<Decoded>, Status> {
        Ok(None)
    }

    /// The object names the one that it replaces, also by its uid. A patch changes what is there: another uid is a change.
    fn names_uid(&self) -> bool {
        false
    }

    /// Conversions that it misses: when they are filled in, it is done again.
    fn forms(&self) -> Option<&Forms> {
        None
    }

    /// It creates also what PUT does not create.
    fn always_creates(&self) -> bool {
        false
    }
}

impl Target<'_> {
    pub async fn update(&self, name: &str, change: &dyn Change) -> Result<Committed, Status> {
        let (mut found, mut newest) = self.core.read_to_change(self.row, self.namespace, name).await?;
        for _ in 0..ATTEMPTS {
            let outcome = match &found {
                Some(old) => self.update_found(name, change, old).await,
                None => self.update_absent(name, change).await,
            };
            let unchanged = |committed: &Committed| found.as_ref().is_some_and(|old| old.json == committed.json);
            match outcome {
                Ok(None) => {}
                // What an old state makes impossible or unnecessary, the newest one may not (upstream's GuaranteedUpdate).
                Err(_) if !newest => {}
                Ok(Some(committed)) if !newest && unchanged(&committed) => {}
                Ok(Some(committed)) => return Ok(committed),
                Err(status) => return Err(status),
            }
            found = self.core.read(self.row, self.namespace, name).await?;
            newest = true;
        }
        Err(Status::modified(qualified(self.row), name))
    }

    /// `None` when another write came between.
    async fn update_found(&self, name: &str, change: &dyn Change, old: &Existing) -> Result<Option<Committed>, Status> {
        let mut new = change.apply(old);
        if let Some(forms) = change.forms() {
            while forms.fill(self.core).await? {
                new = change.apply(old);
            }
        }
        let new = new?;
        if change.names_uid() {
            self.check_uid(name, &new.object, old)?;
        }
        self.update_once(name, new, old).await
    }

    /// `None` when another write came between.
    async fn update_absent(&self, name: &str, change: &dyn Change) -> Result<Option<Committed>, Status> {
        let allowed = self.row.create_on_update || change.always_creates();
        let new = if allowed { change.create()? } else { None };
        let Some(new) = new else { return Err(self.not_found(name)) };
        if change.names_uid() && !new.object.uid().is_empty() {
            return Err(self.another_uid(name, new.object.uid(), ""));
        }
        match self.create_named(name, new).await {
            // Somebody else was faster: what is there now is changed.
            Err(status) if status.reason == Reason::AlreadyExists && change.always_creates() => Ok(None),
            other => other.map(Some),
        }
    }

    async fn create_named(&self, name: &str, new: Decoded) -> Result<Committed, Status> {
        let object = &new.object;
        metadata::match_name(object, name)?;
        if !object.resource_version().is_empty() {
            parse_uint(object.resource_version()).map_err(Status::plain)?;
        }
        if !object.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                object.uid()
            );
            return Err(Status::conflict(qualified(self.row), name, &why));
        }
        // Who may update may not create by that alone.
        let info = RequestInfo {
            is_resource: true,
            verb: "create".to_owned(),
            group: self.row.info.group.clone(),
            version: self.row.info.version.clone(),
            resource: self.row.info.plural.clone(),
            subresource: self.subresource.to_owned(),
            namespace: self.namespace.to_owned(),
            name: name.to_owned(),
            ..RequestInfo::default()
        };
        authorize(self.core, self.user, &info).await?;
        self.create_as_sent(new, false).await
    }

    /// `None` when another write came between.
    async fn update_once(&self, name: &str, mut new: Decoded, old: &Existing) -> Result<Option<Committed>, Status> {
        metadata::match_namespace(&mut new.object, self.namespace)?;
        metadata::match_name(&new.object, name)?;
        self.check_version(name, &new.object, old)?;
        self.warnings.extend(metadata::dedup_owners(&mut new.object));
        let admitted = new.admit(self, Some(old)).await?;
        let mut validated = admitted.validate_update(self, &old.object).await?;
        if let Some(last) = validated.last()
            && !self.row.strategy.keeps(validated.object())
        {
            return self.remove_finalized(last, old).await;
        }
        match validated.commit(self, Some(old)).await {
            Ok(committed) => Ok(Some(committed)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Other(status)) => Err(status),
        }
    }

    fn check_uid(&self, name: &str, new: &Object, old: &Existing) -> Result<(), Status> {
        let uid = new.uid();
        if !uid.is_empty() && uid != old.object.uid() {
            return Err(self.another_uid(name, uid, old.object.uid()));
        }
        Ok(())
    }

    fn another_uid(&self, name: &str, asked: &str, own: &str) -> Status {
        let key = self.row.object_key(self.namespace, name);
        precondition_failed(self.row, (&key, self.dry_run), name, Precondition::Uid, (asked, own))
    }

    fn check_version(&self, name: &str, new: &Object, old: &Existing) -> Result<(), Status> {
        match new.resource_version() {
            "" | "0" if self.row.unconditional_update => Ok(()),
            "" | "0" => {
                let path = Path::new("metadata").child("resourceVersion");
                let error = FieldError::invalid(&path, 0, "must be specified for an update");
                let resource = Qualified::new(&self.row.info.group, &self.row.info.plural);
                Err(Status::invalid(resource, name, &[error]))
            }
            version if version == old.revision.to_string() => Ok(()),
            version => {
                parse_uint(version).map_err(Status::plain)?;
                Err(Status::modified(qualified(self.row), name))
            }
        }
    }
}
