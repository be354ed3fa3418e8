//! CustomResourceDefinitions (`registry/customresourcedefinition`, `apis/apiextensions/validation`). `validation` checks a whole
//! one, `version` what is said of a version, `schema` and `topology` its schema, `rules` the rules in it, `conversion` the way between
//! versions.

mod conversion;
mod rules;
mod schema;
mod topology;
mod validation;
mod version;

use std::collections::BTreeSet;

use api::Object;
use api::field::FieldError;
use api::meta::{self, Meta};
use serde_json::{Value, json};

use super::edit::keep_metadata;
use crate::empties::Empties;
use crate::strategy::Strategy;

/// Keeps a definition until all objects of its kind are gone; the controller takes it away.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

#[derive(Debug)]
pub struct CustomResourceDefinition;

impl Strategy for CustomResourceDefinition {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if new["spec"].is_null() {
            new["spec"] = json!({});
        }
        let spec = &mut new["spec"];
        if !spec.is_object() {
            return;
        }
        if let Some(names) = spec["names"].as_object_mut() {
            let kind = names.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
            let is_unset = |value: Option<&Value>| value.and_then(Value::as_str).is_none_or(str::is_empty);
            if is_unset(names.get("singular")) && !kind.is_empty() {
                names.insert("singular".into(), kind.to_lowercase().into());
            }
            if is_unset(names.get("listKind")) && !kind.is_empty() {
                names.insert("listKind".into(), format!("{kind}List").into());
            }
        }
        if !spec["conversion"].is_object() {
            spec["conversion"] = json!({"strategy": "None"});
        }
        if let Some(service) = spec["conversion"].pointer_mut("/webhook/clientConfig/service")
            && service.get("port").is_none_or(Value::is_null)
        {
            service["port"] = 443.into();
        }
    }

    fn prepare_for_create(&self, new: &mut Object) {
        store_version(new);
    }

    /// What a schema says in no words is the same as nothing here.
    fn bumps_generation(&self, new: &Object, old: &Object) -> bool {
        let mut new = new.clone();
        let _ = Empties::take(&mut new);
        new["spec"] != old["spec"]
    }

    fn prepare_for_update(&self, new: &mut Object, _old: &Object) {
        store_version(new);
    }

    fn prepare_for_subresource(&self, _subresource: &str, new: &mut Object, old: &Object) {
        keep_metadata(new, old);
    }

    fn wrong_name(&self, new: &Object, name: &str, mut found: Vec<String>) -> Vec<String> {
        if name != validation::name(new) {
            found.push("must be spec.names.plural+\".\"+spec.group".to_owned());
        }
        found
    }

    fn validate_create(&self, new: &Object) -> Vec<FieldError> {
        validation::validate(new, None)
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        validation::validate(new, Some(old))
    }

    fn validate_subresource(&self, _subresource: &str, new: &Object, _old: &Object) -> Vec<FieldError> {
        validation::status(new)
    }

    fn warnings(&self, new: &Object) -> Vec<String> {
        let versions = new["spec"]["versions"].as_array().into_iter().flatten();
        let schemas: Vec<&Value> = versions.map(|version| &version["schema"]["openAPIV3Schema"]).collect();
        schemas.iter().flat_map(|schema| unknown_formats(schema)).collect()
    }

    /// Objects of the kind go first.
    fn only_marked_at_first(&self) -> bool {
        true
    }

    fn mark_deleting(&self, object: &mut Object) {
        let mut finalizers: Vec<String> = object.finalizers().map(str::to_owned).collect();
        if finalizers.iter().any(|finalizer| finalizer == CLEANUP) {
            return;
        }
        finalizers.push(CLEANUP.to_owned());
        meta::set_finalizers(object, finalizers);
        let condition = json!({
            "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            "lastTransitionTime": object.deletion_timestamp(),
        });
        match object["status"]["conditions"].as_array_mut() {
            Some(conditions) => {
                conditions.retain(|condition| condition["type"] != "Terminating");
                conditions.push(condition);
            }
            None => object["status"]["conditions"] = json!([condition]),
        }
    }
}

/// Formats of texts that mean nothing here.
fn unknown_formats(schema: &Value) -> BTreeSet<String> {
    let found = std::cell::RefCell::new(BTreeSet::new());
    schema::has(schema, &|node| {
        if let ("string", Some(format)) = (node["type"].as_str().unwrap_or_default(), node["format"].as_str())
            && !format.is_empty()
            && !api::structural::is_known_format(format)
        {
            found.borrow_mut().insert(format!("unrecognized format {format:?}"));
        }
        false
    });
    found.into_inner()
}

/// The storage version is among those in which objects may be stored.
fn store_version(object: &mut Object) {
    let versions = object["spec"]["versions"].as_array();
    let storage = versions.and_then(|versions| versions.iter().find(|version| version["storage"] == true));
    let Some(name) = storage.map(|version| version["name"].clone()) else { return };
    if let Some(stored) = object["status"]["storedVersions"].as_array_mut() {
        if !stored.contains(&name) {
            stored.push(name);
        }
    } else {
        object["status"]["storedVersions"] = json!([name]);
    }
}

#[cfg(test)]
mod tests;
