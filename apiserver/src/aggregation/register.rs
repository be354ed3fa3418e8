//! APIServices for what is served here (`controllers/autoregister`, `crdregistration`): those of built-in kinds are made when a server
//! starts, those of definitions are kept true. A label says which ones are looked after; without it they are their owner's.

use std::collections::{BTreeMap, BTreeSet};

use api::Object;
use api::meta::Meta;
use api::status::{Reason, Status};
use futures::future::join_all;
use serde_json::{Value, json};

use super::index::ApiService;
use super::{GROUP, priorities};
use crate::bootstrap::write;
use crate::core::{Core, Existing};
use crate::options::DeleteOptions;
use crate::pipeline::{Change, Decoded};

const LABEL: &str = "kube-aggregator.kubernetes.io/automanaged";
const ON_START: &str = "onstart";
const ALWAYS: &str = "true";

/// What a server has done so far.
#[derive(Default)]
pub(super) struct Registrar {
    /// Those that were there when it began; `None` before.
    at_start: Option<BTreeSet<String>>,
    /// Those that were right once.
    synced: BTreeSet<String>,
}

/// An APIService as it should be.
#[derive(Clone, Debug, PartialEq)]
struct Desired {
    label: &'static str,
    spec: Value,
}

#[derive(Debug, PartialEq)]
enum Action {
    Nothing,
    Create,
    Update,
    Delete,
}

/// Whom one may change, and when.
fn action(current: Option<&ApiService>, desired: Option<&Desired>, synced: bool, at_start: bool) -> Action {
    if desired.is_some_and(|desired| desired.label == ON_START) && synced {
        return Action::Nothing;
    }
    let Some(current) = current else { return if desired.is_some() { Action::Create } else { Action::Nothing } };
    match current.object.label(LABEL) {
        Some(ON_START) if synced || !at_start => return Action::Nothing,
        Some(ON_START | ALWAYS) => {}
        _ => return Action::Nothing,
    }
    match desired {
        None => Action::Delete,
        Some(desired) if desired.spec == current.object["spec"] => Action::Nothing,
        Some(_) => Action::Update,
    }
}

/// By name.
fn desired(core: &Core, defined: Vec<(String, String)>) -> BTreeMap<String, Desired> {
    let spec = |group: &str, version: &str, (group_priority, version_priority): (i64, i64)| {
        let mut spec =
            json!({"version": version, "groupPriorityMinimum": group_priority, "versionPriority": version_priority});
        if !group.is_empty() {
            spec["group"] = group.into();
        }
        spec
    };
    let name = |group: &str, version: &str| format!("{version}.{group}");
    let mut all = BTreeMap::new();
    for (group, version) in defined {
        let spec = spec(&group, &version, priorities::CUSTOM);
        all.insert(name(&group, &version), Desired { label: ALWAYS, spec });
    }
    for row in core.registry.all() {
        let (group, version) = (&row.info.group, &row.info.version);
        if let Some(priorities) = priorities::built_in(group, version) {
            all.insert(name(group, version), Desired { label: ON_START, spec: spec(group, version, priorities) });
        }
    }
    all
}

impl Registrar {
    /// Brings what is there to what should be. Whether all is well is the answer.
    pub async fn sync(&mut self, core: &Core) -> bool {
        let Some(defined) = core.aggregation.defined() else { return true };
        let current = core.aggregation.services();
        let names = || current.iter().map(|service| service.name.clone());
        let at_start = self.at_start.get_or_insert_with(|| names().collect());
        let desired = desired(core, defined);
        let all: BTreeSet<String> = names().chain(desired.keys().cloned()).collect();
        let steps = all.iter().map(|name| {
            let (service, desired) = (core.aggregation.get(name), desired.get(name));
            let (synced, at_start) = (self.synced.contains(name), at_start.contains(name));
            let action = action(service.as_deref(), desired, synced, at_start);
            async move {
                match (action, desired, service) {
                    (Action::Create, Some(desired), _) => create(core, name, desired).await,
                    (Action::Update, Some(desired), _) => update(core, name, &desired.spec).await,
                    (Action::Delete, _, Some(service)) => delete(core, &service).await,
                    _ => Ok(()),
                }
            }
        });
        let outcomes = join_all(steps).await;
        let mut well = true;
        for (name, outcome) in all.into_iter().zip(outcomes) {
            match outcome {
                Ok(()) => drop(self.synced.insert(name)),
                Err(status) => {
                    tracing::warn!(%status, name, "an APIService is not as it should be yet");
                    well = false;
                }
            }
        }
        well
    }
}

async fn create(core: &Core, name: &str, desired: &Desired) -> Result<(), Status> {
    let object = json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": name, "labels": {LABEL: desired.label}}, "spec": desired.spec});
    write(core, GROUP, "apiservices", "", async |target| target.create(Decoded::new(object)).await.map(drop)).await
}

async fn update(core: &Core, name: &str, spec: &Value) -> Result<(), Status> {
    let change = Respecify(spec);
    absent_is_well(
        write(core, GROUP, "apiservices", "", async |target| target.update(name, &change).await.map(drop)).await,
    )
}

async fn delete(core: &Core, service: &ApiService) -> Result<(), Status> {
    let options = DeleteOptions { uid: Some(service.object.uid().to_owned()), ..DeleteOptions::default() };
    let name = service.name.as_str();
    absent_is_well(
        write(core, GROUP, "apiservices", "", async |target| target.delete(name, &options).await.map(drop)).await,
    )
}

/// Another server was faster.
fn absent_is_well(done: Result<(), Status>) -> Result<(), Status> {
    match done {
        Err(status) if matches!(status.reason, Reason::NotFound | Reason::Conflict) => Ok(()),
        other => other,
    }
}

struct Respecify<'a>(&'a Object);

impl Change for Respecify<'_> {
    fn apply(&self, old: &Existing) -> Result<Decoded, Status> {
        let mut new = old.object.clone();
        new["spec"] = self.0.clone();
        Ok(Decoded::new(new))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_looked_after_is_changed() {
        let spec = json!({"version": "v1"});
        let current = |label: &str, spec: &Value| {
            let labels = if label.is_empty() { json!({}) } else { json!({LABEL: label}) };
            ApiService::read(json!({"metadata": {"name": "v1.a", "labels": labels}, "spec": spec}))
        };
        let wanted = |label| Desired { label, spec: spec.clone() };
        let (own, other) = (current(ALWAYS, &spec), json!({"version": "v1", "x": 1}));
        let table = [
            ("missing", None, Some(wanted(ALWAYS)), false, Action::Create),
            ("missing, deleted since", None, Some(wanted(ON_START)), true, Action::Nothing),
            ("right", Some(own.clone()), Some(wanted(ALWAYS)), false, Action::Nothing),
            ("wrong", Some(current(ALWAYS, &other)), Some(wanted(ALWAYS)), true, Action::Update),
            (
                "wrong, of a built-in kind",
                Some(current(ON_START, &other)),
                Some(wanted(ON_START)),
                false,
                Action::Update,
            ),
            ("somebody's", Some(current("", &other)), Some(wanted(ALWAYS)), false, Action::Nothing),
            ("of a definition that is gone", Some(own), None, true, Action::Delete),
            ("of nothing, somebody's", Some(current("", &spec)), None, false, Action::Nothing),
        ];
        for (name, current, desired, synced, expected) in table {
            assert_eq!(action(current.as_ref(), desired.as_ref(), synced, true), expected, "{name}");
        }
        let late = current(ON_START, &other);
        assert_eq!(action(Some(&late), None, false, false), Action::Nothing, "it came after this server");
    }
}
