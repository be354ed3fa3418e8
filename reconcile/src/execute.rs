//! Performs a plan: the only place where controllers write.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::core::{ApiResource, Request};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::events::{Recorder, is_namespace_terminating};
use crate::expectation::Expectation;
use crate::informer::Caches;
use crate::metrics::Counters;
use crate::plan::{Action, Confirm, PatchKind, Plan, PlanEvent, Preconditions, StatusWrite, Verb};
use crate::request::http_request;
use crate::{Error, Key};

/// The object a plan is about. `None` of it for a key whose object is not there.
#[derive(Clone, Debug)]
pub struct Root {
    pub resource: ApiResource,
    pub key: Key,
    pub uid: String,
    pub resource_version: String,
}

impl Root {
    pub fn of<K: kube::Resource<DynamicType = ()>>(object: &K) -> Self {
        let meta = object.meta();
        Self {
            resource: ApiResource::erase::<K>(&()),
            key: Key::of(object),
            uid: meta.uid.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone().unwrap_or_default(),
        }
    }

    fn reference(&self) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.resource.api_version.clone()),
            kind: Some(self.resource.kind.clone()),
            namespace: self.key.namespace.clone(),
            name: Some(self.key.name.clone()),
            uid: Some(self.uid.clone()),
            ..ObjectReference::default()
        }
    }

    pub(crate) fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": self.resource.api_version, "kind": self.resource.kind, "name": self.key.name, "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }
}

/// Carries out plans for one controller.
#[derive(Clone)]
pub struct Executor {
    pub client: Client,
    pub caches: Caches,
    pub recorder: Recorder,
    pub counters: Arc<Counters>,
}

/// What of the answer matters. A delete may be answered with a Status instead.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    metadata: AnswerMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerMeta {
    name: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
}

/// The writes that were done, and what ended the plan early.
#[derive(Default)]
pub struct Performed {
    pub expectations: Vec<Expectation>,
    pub error: Option<Error>,
}

impl Executor {
    pub async fn perform(&self, root: Option<&Root>, plan: &Plan) -> Performed {
        let mut performed = Performed::default();
        let mut root = root.cloned();
        let mut confirmed: Vec<&Confirm> = Vec::new();
        for confirm in plan.actions.iter().filter_map(|action| action.confirm.as_ref()) {
            if performed.error.is_none() && !confirmed.contains(&confirm) {
                performed.error = self.confirm(confirm, root.as_ref()).await.err();
                confirmed.push(confirm);
            }
        }
        let mut rest = plan.actions.as_slice();
        while performed.error.is_none() && !rest.is_empty() {
            let (run, later) = rest.split_at(run_length(rest));
            rest = later;
            self.perform_run(run, &mut root, &mut performed).await;
        }
        let status = match &performed.error {
            None => plan.status.clone(),
            Some(error) if error.is_outdated() => None,
            Some(error) => plan.status_if_failed.as_ref().map(|status| status.with_error(&cause(error))),
        };
        if let (Some(status), Some(root)) = (status, &root) {
            let written = self.write_status(root, &status).await;
            self.note(&status_action(root, &status), written, &mut performed);
        }
        if performed.error.is_none() {
            for event in &plan.events {
                self.tell(root.as_ref(), event, "", "");
            }
        }
        performed
    }

    /// One action, or neighbours that may go out together.
    async fn perform_run(&self, run: &[Action], root: &mut Option<Root>, performed: &mut Performed) {
        let creates = matches!(run[0].verb, Verb::Create(_));
        let mut batch = if creates { 1 } else { run.len() };
        let mut rest = run;
        while performed.error.is_none() && !rest.is_empty() {
            let (now, later) = rest.split_at(batch.min(rest.len()));
            rest = later;
            batch *= 2;
            let answers = join_all(now.iter().map(|action| self.request(action, root.as_ref()))).await;
            for (action, answer) in now.iter().zip(answers) {
                self.settle(action, answer, root, performed);
            }
        }
    }

    fn settle(
        &self,
        action: &Action,
        answer: Result<Option<Answer>, Error>,
        root: &mut Option<Root>,
        performed: &mut Performed,
    ) {
        match &answer {
            Ok(None) => {}
            Ok(Some(answer)) => {
                if let Some(event) = &action.on_success {
                    let name = answer.metadata.name.as_deref().unwrap_or(&action.key.name);
                    self.tell(root.as_ref(), event, name, "");
                }
                // A write to the root itself: what follows builds on it.
                if let (Some(root), Some(revision)) = (root.as_mut(), &answer.metadata.resource_version)
                    && answer.metadata.uid.as_ref() == Some(&root.uid)
                {
                    root.resource_version.clone_from(revision);
                }
            }
            Err(error) => {
                if let (Some(event), false) = (&action.on_failure, error.is_outdated()) {
                    self.tell(root.as_ref(), event, &action.key.name, &cause(error));
                }
            }
        }
        self.note(action, answer, performed);
    }

    /// Remember what must come back by the watch, or the first failure.
    fn note(&self, action: &Action, answer: Result<Option<Answer>, Error>, performed: &mut Performed) {
        let answer = match answer {
            Ok(answer) => answer.unwrap_or_default(),
            Err(error) => {
                performed.error.get_or_insert(error);
                return;
            }
        };
        let Some(store) = self.caches.erased(&action.resource.api_version, &action.resource.kind) else { return };
        if matches!(action.verb, Verb::Delete { .. } | Verb::Evict) {
            if let Some(uid) = &action.preconditions.uid {
                performed.expectations.push(Expectation::deleted(store, action.key.clone(), uid.clone()));
            }
        } else if let Some(revision) = answer.metadata.resource_version.and_then(|revision| revision.parse().ok()) {
            performed.expectations.push(Expectation::revision(store, revision));
        }
    }

    fn tell(&self, root: Option<&Root>, event: &PlanEvent, name: &str, error: &str) {
        let regarding = event.regarding.as_deref().cloned().or_else(|| root.map(Root::reference));
        if let Some(regarding) = regarding {
            let message = event.message.replace("{name}", name).replace("{error}", error);
            self.recorder.event_about(&regarding, event.kind, &event.reason, &message);
        }
    }

    async fn confirm(&self, confirm: &Confirm, root: Option<&Root>) -> Result<(), Error> {
        match (confirm, root) {
            (Confirm::RootLives, None) => Err(Error::Outdated("the object is gone")),
            (Confirm::RootLives, Some(root)) => {
                let live = self.live(&root.resource, &root.key).await?.unwrap_or_default();
                let lives =
                    live["metadata"]["uid"] == root.uid.as_str() && live["metadata"]["deletionTimestamp"].is_null();
                lives.then_some(()).ok_or(Error::Outdated("the object is gone"))
            }
            (Confirm::Absent { resource, key }, _) => match self.live(resource, key).await? {
                None => Ok(()),
                Some(_) => Err(Error::Outdated("what was missing is there")),
            },
        }
    }

    /// The object as the server has it now.
    pub async fn live(&self, resource: &ApiResource, key: &Key) -> Result<Option<Value>, Error> {
        let path = <kube::core::DynamicObject as kube::Resource>::url_path(resource, key.namespace.as_deref());
        let request = Request::new(path).get(&key.name, &Default::default()).map_err(kube::Error::BuildRequest)?;
        match self.client.request::<Value>(request).await {
            Ok(live) => Ok(Some(live)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(source) => Err(Error::Request { what: format!("get {} {key}", resource.kind), source }),
        }
    }

    async fn write_status(&self, root: &Root, status: &StatusWrite) -> Result<Option<Answer>, Error> {
        self.request(&status_action(root, status), None).await
    }

    /// `None`: what was wanted is so already, or can never be, and nobody needs to hear of it.
    async fn request(&self, action: &Action, root: Option<&Root>) -> Result<Option<Answer>, Error> {
        let request = http_request(action, root)?;
        self.counters.writes.fetch_add(1, Ordering::Relaxed);
        let gone = |status: &kube::core::Status| match action.verb {
            Verb::Delete { .. } | Verb::Evict => status.is_not_found(),
            Verb::Create(_) => is_namespace_terminating(status),
            _ => false,
        };
        match self.client.request::<Answer>(request).await {
            Ok(answer) => Ok(Some(answer)),
            Err(kube::Error::Api(status)) if gone(&status) => Ok(None),
            Err(source) => Err(Error::Request { what: action.to_string(), source }),
        }
    }
}

/// How many of the first actions may go out together.
fn run_length(actions: &[Action]) -> usize {
    let alike = |action: &Action| {
        let first = &actions[0];
        let together = matches!(first.verb, Verb::Create(_) | Verb::Delete { .. } | Verb::Evict);
        let same_verb = discriminant(&first.verb) == discriminant(&action.verb);
        together && same_verb && first.resource == action.resource
    };
    actions.iter().take_while(|action| alike(action)).count().max(1)
}

fn status_action(root: &Root, status: &StatusWrite) -> Action {
    let body = json!({ "status": status.0 });
    let verb = Verb::Patch { kind: PatchKind::Merge, body, subresource: Some("status") };
    let mut action = Action::raw(root.resource.clone(), root.key.clone(), verb);
    action.preconditions =
        Preconditions { uid: Some(root.uid.clone()), resource_version: Some(root.resource_version.clone()) };
    action
}

/// The server's own sentence where there is one.
fn cause(error: &Error) -> String {
    match error {
        Error::Request { source: kube::Error::Api(status), .. } => status.message.clone(),
        other => other.to_string(),
    }
}

impl StatusWrite {
    fn with_error(&self, error: &str) -> Self {
        fn fill(value: &mut Value, error: &str) {
            match value {
                Value::String(text) if text.contains("{error}") => *text = text.replace("{error}", error),
                Value::Array(items) => items.iter_mut().for_each(|item| fill(item, error)),
                Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, error)),
                _ => {}
            }
        }
        let mut status = self.0.clone();
        fill(&mut status, error);
        Self(status)
    }
}
