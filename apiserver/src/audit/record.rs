//! What is known of one request that is audited, and the events that tell it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::protobuf;
use api::schema::SchemaSet;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use super::Audit;
use super::event::{Event, micros};
use super::policy::{Level, Stage, Telling};
use crate::config::Clock;
use crate::media::PROTOBUF;

pub struct Record {
    audit: Arc<Audit>,
    clock: Clock,
    telling: Telling,
    event: Mutex<Event>,
    /// The answer goes on after its head is known.
    pub(super) lasts: bool,
}

impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record").finish_non_exhaustive()
    }
}

impl Record {
    pub(super) fn new(audit: Arc<Audit>, clock: Clock, telling: Telling, event: Event, lasts: bool) -> Self {
        Self { audit, clock, telling, event: Mutex::new(event), lasts }
    }

    fn event(&self) -> MutexGuard<'_, Event> {
        // Fields are put one by one: a poisoned lock guards an event.
        self.event.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn id(&self) -> String {
        self.event().audit_id.clone()
    }

    pub fn tells_answers(&self) -> bool {
        self.telling.level >= Level::RequestResponse
    }

    /// The first value of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: impl Into<String>) {
        self.event().annotations.entry(key.into()).or_insert_with(|| value.into());
    }

    /// As [`Record::annotate`], where at least so much is told.
    pub fn annotate_from(&self, level: Level, key: String, value: impl FnOnce() -> String) {
        if self.telling.level >= level {
            self.event().annotations.entry(key).or_insert_with(value);
        }
    }

    /// All different values of a key, in a list.
    pub fn annotate_also(&self, key: String, value: &str) {
        let mut event = self.event();
        match event.annotations.get_mut(&key) {
            Some(all) if all.split(", ").any(|own| own == value) => {}
            Some(all) => *all = format!("{all}, {value}"),
            None => drop(event.annotations.insert(key, value.to_owned())),
        }
    }

    /// The body of a request that changes something.
    pub fn sent(&self, bytes: &Bytes, content_type: &str) {
        if bytes.is_empty() {
            return;
        }
        let Some(body) = parse(bytes, content_type) else { return };
        let mut event = self.event();
        if let Some(reference) = event.object_ref.as_mut().filter(|_| !content_type.contains("patch")) {
            let text = |key: &str| body["metadata"][key].as_str().unwrap_or_default().to_owned();
            let own = [
                (&mut reference.namespace, "namespace"),
                (&mut reference.name, "name"),
                (&mut reference.uid, "uid"),
                (&mut reference.resource_version, "resourceVersion"),
            ];
            own.into_iter().filter(|(field, _)| field.is_empty()).for_each(|(field, key)| *field = text(key));
        }
        if self.telling.level >= Level::Request {
            event.request_object = Some(self.shown(body));
        }
    }

    /// What came of it. `body` is what is known of the answer's.
    pub fn answered(&self, code: StatusCode, body: Option<Value>) {
        let mut status = json!({"metadata": {}, "code": code.as_u16()});
        if let Some(body) = body.as_ref().filter(|body| body["kind"] == "Status" && body["apiVersion"] == "v1") {
            for key in ["status", "message", "reason", "details"] {
                if let Some(value) = body.get(key) {
                    status[key] = value.clone();
                }
            }
        }
        let mut event = self.event();
        event.response_status = Some(status);
        if self.tells_answers() {
            event.response_object = body.map(|body| self.shown(body));
        }
    }

    /// Before the answer is known: how it was tried to say who one is.
    pub fn attempted(&self, code: StatusCode, message: String) {
        self.event().response_status = Some(json!({"metadata": {}, "message": message, "code": code.as_u16()}));
    }

    fn shown(&self, mut body: Value) -> Value {
        if self.telling.omit_managed_fields {
            forget_managers(&mut body);
            body["items"].as_array_mut().into_iter().flatten().for_each(forget_managers);
            body["rows"].as_array_mut().into_iter().flatten().for_each(|row| forget_managers(&mut row["object"]));
            body.as_object_mut().into_iter().for_each(|body| body.retain(|_, value| !value.is_null()));
        }
        body
    }

    pub fn tell(&self, stage: Stage) {
        if self.telling.omit_stages.contains(stage) {
            return;
        }
        let now = (self.clock)();
        let mut event = self.event();
        event.stage = stage.as_str();
        if stage != Stage::RequestReceived {
            event.stage_timestamp = micros(now);
        }
        self.audit.write(&event, now);
    }

    /// The end of a request that did not come to one.
    pub fn broken(&self) {
        if std::thread::panicking() {
            let message = "APIServer panic'd";
            let status = json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message, "code": 500});
            self.event().response_status = Some(status);
            return self.tell(Stage::Panic);
        }
        self.event().response_status.get_or_insert_with(
            || json!({"metadata": {}, "status": "Success", "message": "Connection closed early", "code": 200}),
        );
        self.tell(Stage::ResponseComplete);
    }
}

fn forget_managers(object: &mut Value) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
}

/// A body as JSON, whatever it came as; `None` when it is nothing of the kind.
pub(super) fn parse(bytes: &Bytes, content_type: &str) -> Option<Value> {
    if content_type == PROTOBUF {
        return protobuf::decode_object(SchemaSet::builtin(), bytes, None).ok();
    }
    serde_json::from_slice(bytes).ok().or_else(|| crate::yaml::lenient(bytes).ok().filter(Value::is_object))
}
