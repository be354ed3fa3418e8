//! Event, in both its forms: the core one is lenient, that of events.k8s.io strict. They are one stored object, and errors name
//! its (core) fields.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::Value;

use super::cursor::{Cursor, Errors, IS_IMMUTABLE, field, number, text};
use super::equality::same_field;
use super::selectors::label_name;
use crate::strategy::Strategy;

const MAX_TEXT: usize = 128;
const MAX_MESSAGE: usize = 1024;

/// Written through the core API.
#[derive(Debug)]
pub struct Event;

/// Written through events.k8s.io.
#[derive(Debug)]
pub struct NewEvent;

impl Strategy for Event {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        common(new, "reportingComponent", &mut errors);
        errors.into_vec()
    }
}

impl Strategy for NewEvent {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        common(new, "reportingController", &mut errors);
        errors.into_vec()
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        series(new, &mut errors);
        if text(new, "eventTime").is_empty() {
            errors.required(&Cursor::root(new, "eventTime"));
        }
        let kind = text(new, "type");
        if !matches!(kind, "Normal" | "Warning") {
            errors.invalid_as(&Cursor::root(new, "type"), "", format!("has invalid value: {kind}"));
        }
        let source = field(new, "source");
        let unset = [
            ("firstTimestamp", text(new, "firstTimestamp").is_empty()),
            ("lastTimestamp", text(new, "lastTimestamp").is_empty()),
            ("count", number(new, "count").unwrap_or_default() == 0),
            ("source", text(source, "component").is_empty() && text(source, "host").is_empty()),
        ];
        for (name, _) in unset.iter().filter(|(_, unset)| !unset) {
            errors.invalid_as(&Cursor::root(new, name), "", "needs to be unset");
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        // One of them twice, as upstream has it.
        const FIXED: [&str; 14] = [
            "involvedObject",
            "reason",
            "message",
            "source",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "reason",
            "type",
            "eventTime",
            "action",
            "related",
            "reportingComponent",
            "reportingInstance",
        ];
        let mut errors = Errors::default();
        if !same_field(new, old, "series") {
            series(new, &mut errors);
        }
        for name in FIXED {
            if !same_field(new, old, name) {
                let shown = if name == "reportingComponent" { "reportingController" } else { name };
                let at = Cursor::root(new, shown);
                let value = field(new, name);
                // Of a text that is not there Go has an empty one; of a time or an object nothing.
                match name {
                    "action" | "message" | "reason" | "type" | "reportingComponent" | "reportingInstance" => {
                        errors.invalid_text(&at.showing(value), IS_IMMUTABLE);
                    }
                    "count" if value.is_null() => errors.invalid_as(&at, 0, IS_IMMUTABLE),
                    _ => errors.invalid(&at.showing(value), IS_IMMUTABLE),
                }
            }
        }
        errors.into_vec()
    }
}

fn series(event: &Value, errors: &mut Errors) {
    let series = Cursor::root(event, "series");
    if !series.is_set() {
        return;
    }
    if series.number("count").unwrap_or_default() < 2 {
        errors.invalid_as(&Cursor::root(event, "series.count"), "", "should be at least 2");
    }
    if series.text("lastObservedTime").is_empty() {
        errors.required(&Cursor::root(event, "series.lastObservedTime"));
    }
}

/// The rules for both forms. `controller` is the name of the field as the client knows it.
fn common(event: &Value, controller: &str, errors: &mut Errors) {
    let namespace = text(field(event, "metadata"), "namespace");
    let object = Cursor::root(event, "involvedObject");
    let own = object.child("namespace");
    let dated = !text(event, "eventTime").is_empty();
    let agrees = match (own.str(), dated) {
        ("", true) => matches!(namespace, "default" | "kube-system"),
        ("", false) => matches!(namespace, "" | "default"),
        (_, true) => true,
        (own, false) => own == namespace,
    };
    if !agrees {
        errors.invalid_text(&own, "does not match event.namespace");
    }
    if dated {
        let at = Cursor::root(event, controller).showing(field(event, "reportingComponent"));
        if at.str().is_empty() {
            errors.required(&at);
        }
        label_name(&at, errors);
        for name in ["reportingInstance", "action", "reason"] {
            let at = Cursor::root(event, name);
            if at.str().is_empty() {
                errors.required(&at);
            }
            if at.len() > MAX_TEXT {
                errors.invalid_as(&at, "", format!("can have at most {MAX_TEXT} characters"));
            }
        }
        let message = Cursor::root(event, "message");
        if message.len() > MAX_MESSAGE {
            errors.invalid_as(&message, "", format!("can have at most {MAX_MESSAGE} characters"));
        }
    }
    for message in names::dns1123_subdomain(namespace) {
        errors.invalid_as(&Cursor::root(event, "namespace"), namespace, message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_event_lies_beside_its_object() {
        let old = json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}});
        let expected = ["involvedObject.namespace: Invalid value: \"b\": does not match event.namespace"];
        assert_eq!(texts(Event.validate(&old)), expected);
        let same = json!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"}});
        assert_eq!(texts(Event.validate(&same)), Vec::<String>::new());
        let cluster = json!({"metadata": {"namespace": "default"}, "involvedObject": {}});
        assert_eq!(texts(Event.validate(&cluster)), Vec::<String>::new());
    }

    #[test]
    fn new_events_are_complete() {
        let event = json!({
            "metadata": {"namespace": "default"},
            "involvedObject": {"namespace": "default"},
            "eventTime": "2024-01-01T00:00:00.000000Z",
            "reportingComponent": "example.com/robot",
            "reportingInstance": "robot-1",
            "action": "Binding",
            "reason": "Scheduled",
            "type": "Normal",
        });
        assert_eq!(texts(NewEvent.validate(&event)), Vec::<String>::new());
        assert_eq!(texts(NewEvent.validate_create(&event)), Vec::<String>::new());
        let mut bad = event.clone();
        bad["action"] = json!("");
        bad["count"] = json!(3);
        bad["series"] = json!({"count": 1, "lastObservedTime": "2024-01-01T00:00:00.000000Z"});
        assert_eq!(texts(NewEvent.validate(&bad)), ["action: Required value"]);
        let expected = [
            "series.count: Invalid value: \"\": should be at least 2",
            "count: Invalid value: \"\": needs to be unset",
        ];
        assert_eq!(texts(NewEvent.validate_create(&bad)), expected);
        bad = event.clone();
        bad["reason"] = json!("Other");
        let fixed = "reason: Invalid value: \"Other\": field is immutable";
        assert_eq!(texts(NewEvent.validate_update(&bad, &event)), [fixed, fixed]);
        bad = event.clone();
        bad["action"] = Value::Null;
        let fixed = "action: Invalid value: \"\": field is immutable";
        assert_eq!(texts(NewEvent.validate_update(&bad, &event)), [fixed]);
    }
}
