//! Events have two forms: `v1` is stored, `events.k8s.io/v1` names some fields otherwise.

use api::Object;
use serde_json::{Map, Value};

use crate::registry::Shape;

#[derive(Debug)]
pub struct EventsV1;

pub static EVENTS_V1: EventsV1 = EventsV1;

/// `events.k8s.io/v1` name and `v1` name of the fields that differ (`pkg/apis/events/v1/conversion.go`).
const RENAMED: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
    ("reportingController", "reportingComponent"),
];

/// Stored names of the fields that selectors may name, by their `events.k8s.io/v1` names.
const FIELDS: [(&str, &str); 12] = [
    ("reason", "reason"),
    ("regarding.kind", "involvedObject.kind"),
    ("regarding.namespace", "involvedObject.namespace"),
    ("regarding.name", "involvedObject.name"),
    ("regarding.uid", "involvedObject.uid"),
    ("regarding.apiVersion", "involvedObject.apiVersion"),
    ("regarding.resourceVersion", "involvedObject.resourceVersion"),
    ("regarding.fieldPath", "involvedObject.fieldPath"),
    ("reportingController", "reportingComponent"),
    ("type", "type"),
    ("metadata.namespace", "metadata.namespace"),
    ("metadata.name", "metadata.name"),
];

impl Shape for EventsV1 {
    fn store(&self, object: &mut Object) {
        let Some(members) = object.as_object_mut() else { return };
        members.insert("apiVersion".into(), "v1".into());
        for (served, stored) in RENAMED {
            rename(members, served, stored);
        }
    }

    fn serve(&self, object: &mut Object) {
        let Some(members) = object.as_object_mut() else { return };
        members.insert("apiVersion".into(), "events.k8s.io/v1".into());
        for (served, stored) in RENAMED {
            rename(members, stored, served);
        }
    }

    fn stored_field(&self, field: &str) -> Option<&'static str> {
        FIELDS.iter().find(|(served, _)| *served == field).map(|(_, stored)| *stored)
    }
}

fn rename(members: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = members.remove(from) {
        members.insert(to.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_two_forms_turn_into_one_another() {
        let served = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": {"name": "a"}, "note": "n",
            "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "c", "reportingInstance": "i",
            "deprecatedSource": {}, "deprecatedFirstTimestamp": null, "deprecatedLastTimestamp": null,
        });
        let mut object = served.clone();
        EVENTS_V1.store(&mut object);
        assert_eq!(object["apiVersion"], "v1");
        assert_eq!(object["involvedObject"]["name"], "a");
        assert_eq!((&object["message"], &object["reportingComponent"]), (&json!("n"), &json!("c")));
        EVENTS_V1.serve(&mut object);
        assert_eq!(object, served);
    }
}
