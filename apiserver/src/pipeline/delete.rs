//! DELETE: a plan is made from the stored object and the options, then carried out against exactly that object.

use std::collections::BTreeSet;

use api::Object;
use api::meta::{self, Meta};
use api::schema::check;
use api::status::Status;
use bytes::Bytes;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use store::{Durability, Expect, Revision, Write};

use super::stages::{CommitError, Validated};
use super::{Committed, Target};
use crate::admission::{Attributes, Operation};
use crate::core::{Existing, Precondition, key, precondition_failed, qualified, qualified_kind, store_error};
use crate::metadata::{self, FOREGROUND, ORPHAN};
use crate::options::{DeleteOptions, Propagation};
use crate::registry::Descriptor;
use crate::strategy::Deletion;

/// As for updates: each failure means that another writer succeeded.
const ATTEMPTS: usize = 64;

#[derive(Debug)]
pub(crate) enum Deleted {
    /// Gone; the last state.
    Removed(Bytes),
    /// Finalizers or a grace period keep it; the state now.
    Kept(Bytes),
    /// A dry run in which the deletion itself takes the last finalizers. Upstream answers what it meant to fill in then.
    Emptied(Object),
}

#[derive(Debug, PartialEq)]
enum Plan {
    /// A deletion under way goes on as it is.
    Leave,
    /// It stays, in this state.
    Mark(Object),
    /// A deletion without grace of a kind that has grace: it is seen to be deleted, then it is gone.
    MarkAndRemove(Object),
    /// The finalizers were the garbage collector's, and it is not asked any more.
    Release,
    Remove,
}

impl Target<'_> {
    pub async fn delete(&self, name: &str, options: &DeleteOptions) -> Result<Deleted, Status> {
        // The uid, and the last state that this request wrote.
        let mut marked: Option<(String, Bytes)> = None;
        for _ in 0..ATTEMPTS {
            let found = self.core.read(self.row, self.namespace, name).await?;
            let old = match (found, &marked) {
                (Some(old), None) => {
                    self.check_delete_preconditions(&old.object, options)?;
                    old
                }
                (Some(old), Some((uid, _))) if old.object.uid() == uid => old,
                // Whoever acts on the mark, such as a kubelet, was quicker; what has the name now is another object.
                (_, Some((_, last))) => return Ok(Deleted::Removed(last.clone())),
                (None, None) => return Err(Status::not_found(qualified(self.row), name)),
            };
            let attributes =
                Attributes { deletion: Some(options), ..self.attributes(Operation::Delete, name, Some(&old.object)) };
            self.validate(&attributes, |_| None, false).await?;
            let done = match plan(self.row, &old.object, options, self.core.now()) {
                Plan::Leave => return Ok(Deleted::Kept(old.json)),
                Plan::Mark(object) => self.mark(object, &old).await?.map(Deleted::Kept),
                Plan::MarkAndRemove(object) => match self.mark(object, &old).await? {
                    Some(json) if self.dry_run => Some(Deleted::Removed(json)),
                    done => {
                        marked = done.map(|json| (old.object.uid().to_owned(), json)).or(marked);
                        None
                    }
                },
                Plan::Release if self.dry_run => return Ok(Deleted::Emptied(empty(self.row))),
                Plan::Release if options.resource_version.is_some() => return Err(self.no_revision(&old)),
                Plan::Release | Plan::Remove => {
                    self.remove(&old).await?.map(|gone| Deleted::Removed(self.last(old, gone)))
                }
            };
            if let Some(done) = done {
                return Ok(done);
            }
        }
        Err(Status::modified(qualified(self.row), name))
    }

    pub(crate) fn check_delete_preconditions(&self, old: &Object, options: &DeleteOptions) -> Result<(), Status> {
        if matches!(
            (self.row.info.group.as_str(), self.row.info.plural.as_str()),
            ("", "namespaces") | ("apiextensions.k8s.io", "customresourcedefinitions")
        ) {
            return self.check_emptied_preconditions(old, options);
        }
        // Upstream names the kind here, not the resource.
        let kind = qualified_kind(self.row);
        if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != old.uid()) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
                 deleted and then recreated",
                old.uid()
            );
            return Err(Status::conflict(kind, old.name(), &why));
        }
        if let Some(version) = options.resource_version.as_deref().filter(|version| *version != old.resource_version())
        {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). \
                 The object might have been modified",
                old.resource_version()
            );
            return Err(Status::conflict(kind, old.name(), &why));
        }
        Ok(())
    }

    /// Of what is emptied before it goes: that is deleted in a way of its own.
    fn check_emptied_preconditions(&self, old: &Object, options: &DeleteOptions) -> Result<(), Status> {
        let asked = [
            ("UID", options.uid.as_deref(), old.uid()),
            ("ResourceVersion", options.resource_version.as_deref(), old.resource_version()),
        ];
        let wrong =
            asked.into_iter().find_map(|(what, asked, own)| Some((what, asked.filter(|asked| *asked != own)?, own)));
        let Some((what, asked, own)) = wrong else { return Ok(()) };
        let why = format!("Precondition failed: {what} in precondition: {asked}, {what} in object meta: {own}");
        Err(Status::conflict(qualified(self.row), old.name(), &why))
    }

    /// Upstream takes finalizers by an update, after which it asks for the revision that this has made. It makes none where nothing is left
    /// to wait for.
    fn no_revision(&self, old: &Existing) -> Status {
        let (name, key) = (old.object.name(), self.row.object_key(old.object.namespace(), old.object.name()));
        let versions = ("", old.object.resource_version());
        precondition_failed(self.row, (&key, self.dry_run), name, Precondition::ResourceVersion, versions)
    }

    /// `None` when another write came between.
    async fn mark(&self, object: Object, old: &Existing) -> Result<Option<Bytes>, Status> {
        match Validated::deleting(object, old.managers.clone()).commit(self, Some(old)).await {
            Ok(committed) => Ok(Some(committed.json)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Other(status)) => Err(status),
        }
    }

    /// The last state, as of the revision of its deletion where that is told.
    fn last(&self, old: Existing, gone: Option<u64>) -> Bytes {
        let Some(gone) = gone.filter(|_| self.row.info.returns_deleted) else { return old.json };
        let mut object = old.object;
        meta::set(&mut object, "resourceVersion", gone.to_string());
        old.managers.put_into(&mut object);
        object.to_string().into()
    }

    /// `None` when another write came between; else the revision, which a dry run does not have.
    async fn remove(&self, old: &Existing) -> Result<Option<Option<u64>>, Status> {
        if self.dry_run {
            return Ok(Some(None));
        }
        let key = key(self.row, old.object.namespace(), old.object.name());
        let expect = Expect::At(Revision(old.revision));
        match self.core.config.store.write(key, Write::Delete, expect, Durability::Synced).await {
            Ok(revision) => {
                self.core.release(self.row, &old.object).await;
                Ok(Some(Some(revision.0)))
            }
            Err(store::Error::Conflict { .. }) => Ok(None),
            Err(error) => Err(store_error(error)),
        }
    }

    /// The end of an update that took away the last finalizer. Answers with the object as it was sent.
    pub(super) async fn remove_finalized(&self, last: Object, old: &Existing) -> Result<Option<Committed>, Status> {
        let removed = self.remove(old).await?;
        Ok(removed.map(|_| Committed { json: last.to_string().into(), created: false }))
    }
}

fn plan(row: &Descriptor, old: &Object, options: &DeleteOptions, now: Timestamp) -> Plan {
    let mut object = old.clone();
    if old.deletion_timestamp().is_none() && row.strategy.only_marked_at_first() {
        meta::set(&mut object, "deletionTimestamp", metadata::time(now));
        row.strategy.mark_deleting(&mut object);
        return Plan::Mark(object);
    }
    if row.info.kind == "Namespace" && old.deletion_timestamp().is_some() && row.strategy.keeps(old) {
        // What is being emptied is not asked anything again.
        return Plan::Leave;
    }
    // A negative grace period means one second.
    let asked = options.grace_period_seconds.map(|seconds| if seconds < 0 { 1 } else { seconds });
    let graceful = match old.deletion_timestamp() {
        Some(deadline) => match old.deletion_grace_period_seconds() {
            None | Some(0) => None,
            Some(granted) => match asked {
                Some(asked) if asked < granted => Some(shorten(&mut object, deadline, granted, asked, now)),
                _ => return Plan::Leave,
            },
        },
        None => match row.strategy.on_delete(old, asked) {
            Deletion::Immediate => None,
            Deletion::Graceful { seconds } => {
                set_deadline(&mut object, later(now, seconds), seconds);
                count_generation(&mut object);
                Some(seconds)
            }
        },
    };
    let finalizers = finalizers(row, old, options);
    let kept = !finalizers.is_empty() || row.strategy.keeps(&object);
    meta::set_finalizers(&mut object, finalizers);
    match graceful {
        Some(seconds) if kept || seconds > 0 => {
            row.strategy.mark_deleting(&mut object);
            Plan::Mark(object)
        }
        None if kept => {
            if old.deletion_timestamp().is_none() {
                count_generation(&mut object);
            }
            let deadline = old.deletion_timestamp().and_then(|text| text.parse::<Timestamp>().ok());
            let deadline = deadline.filter(|deadline| *deadline <= now).unwrap_or(now);
            set_deadline(&mut object, deadline, 0);
            row.strategy.mark_deleting(&mut object);
            Plan::Mark(object)
        }
        Some(_) => {
            row.strategy.mark_deleting(&mut object);
            Plan::MarkAndRemove(object)
        }
        None if old.finalizers().next().is_some() => Plan::Release,
        None => Plan::Remove,
    }
}

/// An object of the kind of which nothing is known: what Go's encoder makes of one.
fn empty(row: &Descriptor) -> Object {
    let mut object = json!({"apiVersion": row.info.api_version(), "kind": row.info.kind});
    if let Some((set, ty)) = row.types().filter(|_| row.custom.is_none()) {
        check::complete(set, ty, &mut object);
    }
    row.strategy.complete_nothing(&mut object);
    object
}

/// A grace period may only become shorter: the deadline moves back, but never before now.
fn shorten(object: &mut Object, deadline: &str, granted: i64, asked: i64, now: Timestamp) -> i64 {
    let deadline = deadline.parse::<Timestamp>().unwrap_or(now);
    let moved = later(deadline, asked - granted);
    // A whole second is the shortest that leaves the deletion to its owner.
    let (deadline, seconds) = if moved < now { (now, asked.min(1)) } else { (moved, asked) };
    set_deadline(object, deadline, seconds);
    seconds
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(seconds.seconds()).unwrap_or(time)
}

fn set_deadline(object: &mut Object, deadline: Timestamp, seconds: i64) {
    meta::set(object, "deletionTimestamp", metadata::time(deadline));
    meta::set(object, "deletionGracePeriodSeconds", seconds);
}

fn count_generation(object: &mut Object) {
    let generation = object.generation();
    if generation > 0 {
        meta::set(object, "generation", generation + 1);
    }
}

/// The finalizers that remain, with those that the garbage collector is asked to work through.
fn finalizers(row: &Descriptor, old: &Object, options: &DeleteOptions) -> Vec<String> {
    let has = |wanted: &str| old.finalizers().any(|finalizer| finalizer == wanted);
    // Upstream's namespaces have a way of their own the first time.
    let own_way = row.info.kind == "Namespace" && old.deletion_timestamp().is_none();
    let (orphan, foreground) = match (options.orphan_dependents, options.propagation) {
        _ if !row.collects_dependents => (false, false),
        (Some(false), _) if own_way => (false, true),
        (Some(orphan), _) => (orphan, false),
        (None, Some(Propagation::Orphan)) => (true, false),
        (None, Some(Propagation::Background)) => (false, false),
        (None, Some(Propagation::Foreground)) => (false, true),
        (None, None) => (has(ORPHAN) || (row.orphans_by_default() && !has(FOREGROUND)), has(FOREGROUND)),
    };
    let others = old.finalizers().filter(|finalizer| ![ORPHAN, FOREGROUND].contains(finalizer));
    let asked = [(orphan, ORPHAN), (foreground, FOREGROUND)];
    let asked = asked.into_iter().filter(|(wanted, _)| *wanted).map(|(_, name)| name);
    let mut finalizers: Vec<String> = others.chain(asked).map(str::to_owned).collect();
    let kept = |name: &str| finalizers.iter().any(|finalizer| finalizer == name);
    if finalizers.iter().all(|name| has(name)) && old.finalizers().all(kept) {
        // The order is the client's as long as the set is the same.
        return old.finalizers().map(str::to_owned).collect();
    }
    if own_way {
        // Taken from a map there, whose order is any.
        let mut seen = BTreeSet::new();
        finalizers.retain(|name| seen.insert(name.clone()));
    }
    finalizers
}

/// What a DELETE answers when the kind does not show the deleted object.
pub(crate) fn success(row: &Descriptor, last: &[u8]) -> Value {
    let last: Object = serde_json::from_slice(last).unwrap_or_default();
    Status::success(qualified(row), last.name(), last.uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;
    use crate::strategy::Strategy;

    struct Graceful;

    impl Strategy for Graceful {
        fn on_delete(&self, _old: &Object, grace: Option<i64>) -> Deletion {
            Deletion::Graceful { seconds: grace.unwrap_or(30) }
        }
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:10Z".parse().unwrap()
    }

    fn options(grace: Option<i64>, propagation: Option<Propagation>) -> DeleteOptions {
        DeleteOptions { grace_period_seconds: grace, propagation, ..DeleteOptions::default() }
    }

    fn marked(metadata: Value) -> Plan {
        Plan::Mark(json!({"metadata": metadata}))
    }

    #[test]
    fn plain_kinds_go_at_once_unless_finalizers_keep_them() {
        let registry = Registry::built_in();
        let row = registry.get("apps", "v1", "deployments").unwrap();
        let deleted = |finalizer: &str| {
            marked(
                json!({"deletionGracePeriodSeconds": 0, "deletionTimestamp": "2026-01-01T00:00:10Z", "generation": 4,
                "finalizers": [finalizer]}),
            )
        };
        let plain = json!({"metadata": {"generation": 3}});
        let kept = json!({"metadata": {"generation": 3, "finalizers": ["a/b"]}});
        let orphaning = json!({"metadata": {"generation": 3, "finalizers": ["orphan"]}});
        let table = [
            (&plain, None, Plan::Remove),
            (&plain, Some(Propagation::Background), Plan::Remove),
            (&plain, Some(Propagation::Foreground), deleted("foregroundDeletion")),
            (&plain, Some(Propagation::Orphan), deleted("orphan")),
            (&kept, None, deleted("a/b")),
            (&orphaning, None, deleted("orphan")),
            (&orphaning, Some(Propagation::Background), Plan::Release),
        ];
        for (old, propagation, expected) in table {
            assert_eq!(plan(row, old, &options(None, propagation), now()), expected, "{old} {propagation:?}");
        }
        let events = registry.get("", "v1", "events").unwrap();
        assert_eq!(plan(events, &orphaning, &options(None, Some(Propagation::Orphan)), now()), Plan::Release);
        let spec = json!({"replicas": 0, "strategy": {}, "template": {"metadata": {}, "spec": {}}});
        let nothing =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": spec, "status": {}});
        assert_eq!(empty(row), nothing);
    }

    #[test]
    fn definitions_are_marked_and_nothing_else_at_first() {
        let registry = Registry::built_in();
        let row = registry.get("apiextensions.k8s.io", "v1", "customresourcedefinitions").unwrap();
        let plan =
            plan(row, &json!({"metadata": {"generation": 1}}), &options(Some(5), Some(Propagation::Foreground)), now());
        let Plan::Mark(object) = plan else { panic!("{plan:?}") };
        let metadata = json!({"deletionTimestamp": "2026-01-01T00:00:10Z", "generation": 1,
            "finalizers": ["customresourcecleanup.apiextensions.k8s.io"]});
        assert_eq!(object["metadata"], metadata);
    }

    #[test]
    fn grace_may_become_shorter_and_never_longer() {
        let row = crate::registry::test_row(&Graceful);
        let old = json!({"metadata": {"generation": 1}});
        let deadline = |time: &str, seconds: i64, generation: i64| {
            marked(json!({"deletionGracePeriodSeconds": seconds, "deletionTimestamp": time, "generation": generation}))
        };
        let removed = |time: &str| match deadline(time, 0, 2) {
            Plan::Mark(object) => Plan::MarkAndRemove(object),
            other => other,
        };
        let going = json!({"metadata": {"generation": 2, "deletionTimestamp": "2026-01-01T00:00:35Z",
            "deletionGracePeriodSeconds": 30}});
        let table = [
            (&old, None, deadline("2026-01-01T00:00:40Z", 30, 2)),
            (&old, Some(5), deadline("2026-01-01T00:00:15Z", 5, 2)),
            (&old, Some(-3), deadline("2026-01-01T00:00:11Z", 1, 2)),
            (&old, Some(0), removed("2026-01-01T00:00:10Z")),
            (&going, None, Plan::Leave),
            (&going, Some(60), Plan::Leave),
            (&going, Some(10), deadline("2026-01-01T00:00:15Z", 10, 2)),
            (&going, Some(2), deadline("2026-01-01T00:00:10Z", 1, 2)),
            (&going, Some(0), removed("2026-01-01T00:00:10Z")),
        ];
        for (old, grace, expected) in table {
            assert_eq!(plan(&row, old, &options(grace, None), now()), expected, "{old} {grace:?}");
        }
    }
}
