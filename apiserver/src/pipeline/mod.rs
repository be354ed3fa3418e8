//! The way of a write. The stages are types, so that an order cannot be got wrong:
//!
//! ```text
//! Decoded --admit--> Admitted --validate--> Validated --commit--> Committed
//!          defaults,           prepare,                one compare-and-swap
//!          managers,           allocation,             in the store
//!          mutating            validation,
//!          admission,          validating admission
//!          defaults
//! ```
//! [`create`], [`update`] and [`delete`] drive it for their verbs; PATCH, /status and the other subresources are updates.

mod create;
mod delete;
mod serialize;
mod stages;
mod update;

use api::Object;
use api::status::Status;
use bytes::Bytes;

use crate::admission::{Admission, Attributes, Operation, Rounds, StatusChange, StatusWriter, Verdict};
use crate::core::{Core, Existing, qualified};
use crate::metrics::Phase;
use crate::query::Query;
use crate::registry::Descriptor;
use crate::user::UserInfo;
use crate::warnings::Warnings;

pub(crate) use delete::{Deleted, success};
pub(crate) use stages::{Decoded, Tracking};
pub(crate) use update::Change;

/// What is written, and by whom.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    pub core: &'a Core,
    pub user: &'a UserInfo,
    pub row: &'a Descriptor,
    /// Empty for the resource itself.
    pub subresource: &'a str,
    /// Empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// Names the sender in managedFields. May be empty.
    pub manager: &'a str,
    pub dry_run: bool,
    pub warnings: &'a Warnings,
    /// Of the request; `None` when the server writes for itself: policies and webhooks do not see that.
    pub query: Option<&'a Query>,
}

/// The outcome of a write: the object as it is stored now, or as it would be after a dry run.
#[derive(Clone, Debug)]
pub(crate) struct Committed {
    pub json: Bytes,
    pub created: bool,
}

impl Target<'_> {
    pub fn not_found(&self, name: &str) -> Status {
        Status::not_found(qualified(self.row), name)
    }

    /// An exec, attach, port-forward or proxy before there is a connection: its options, as admission leaves them.
    pub async fn connect(&self, name: &str, to: &Object, mut options: Object) -> Result<Object, Status> {
        let attributes = self.attributes(Operation::Connect, name, Some(to));
        self.mutate(&attributes, &mut options, true).await?;
        self.validate(&attributes, |step| step.sees_below().then_some(&options), false).await?;
        Ok(options)
    }

    /// What is created below an object, such as a Binding, as admission wants it. What is wrong with it is said next.
    pub async fn mutate_below(&self, name: &str, object: &mut Object) -> Result<(), Status> {
        self.mutate(&self.attributes(Operation::Create, name, None), object, true).await
    }

    /// The same, before anything comes of it.
    pub async fn admit_below(&self, name: &str, object: &Object) -> Result<(), Status> {
        let attributes = self.attributes(Operation::Create, name, None);
        self.validate(&attributes, |_| Some(object), true).await
    }

    /// All steps that change the object, or those that see what is below one, and once more if one of them asks for that.
    async fn mutate(&self, attributes: &Attributes<'_>, object: &mut Object, below: bool) -> Result<(), Status> {
        let mut watch = self.core.admissions.begin(Phase::Admit, attributes.operation);
        loop {
            for (index, step) in self.core.admission.iter().enumerate() {
                if below && !step.sees_below() {
                    continue;
                }
                let verdict = step.mutate(attributes, object).await;
                watch.step(index, verdict.is_err());
                if verdict.is_err() {
                    watch.end(true);
                    return verdict;
                }
            }
            if !attributes.rounds.begin_second() {
                watch.end(false);
                return Ok(());
            }
        }
    }

    /// All steps, or those that see what is below an object; `shown` is what each of them sees.
    async fn validate<'o>(
        &self,
        attributes: &Attributes<'_>,
        shown: impl Fn(&dyn Admission) -> Option<&'o Object>,
        below: bool,
    ) -> Result<(), Status> {
        let mut watch = self.core.admissions.begin(Phase::Validate, attributes.operation);
        for (index, step) in self.core.admission.iter().enumerate() {
            if below && !step.sees_below() {
                continue;
            }
            let verdict = step.validate(attributes, shown(&**step)).await;
            watch.step(index, verdict.is_err());
            if verdict.is_err() {
                watch.end(true);
                return verdict;
            }
        }
        watch.end(false);
        Ok(())
    }

    fn attributes<'s>(&'s self, operation: Operation, name: &'s str, old: Option<&'s Object>) -> Attributes<'s> {
        Attributes {
            operation,
            user: self.user,
            resource: &self.row.info,
            row: self.row,
            subresource: self.subresource,
            namespace: self.namespace,
            name,
            old,
            dry_run: self.dry_run,
            query: self.query,
            deletion: None,
            warnings: self.warnings,
            rounds: Rounds::default(),
            random: self.core.random(),
            reader: self.core,
            statuses: self,
            now: self.core.now(),
        }
    }
}

impl StatusWriter for Target<'_> {
    fn update_status<'a>(
        &'a self,
        group: &'a str,
        resource: &'a str,
        name: &'a str,
        change: StatusChange<'a>,
    ) -> Verdict<'a> {
        Box::pin(async move {
            let row = self.core.registry.find(group, resource);
            let row = row.ok_or_else(|| Status::internal(format!("{resource} are not served")))?;
            let target = Target { row, subresource: "status", query: None, ..*self };
            target.update(name, &Untracked(change)).await.map(drop)
        })
    }
}

struct Untracked<'a>(StatusChange<'a>);

impl Change for Untracked<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        (self.0)(&old.object).map(Decoded::untracked)
    }
}
