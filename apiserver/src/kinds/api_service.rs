//! APIService.

use api::Object;
use api::field::FieldError;
use api::names;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{default_to, get_mut};
use crate::strategy::Strategy;

#[derive(Debug)]
pub struct ApiService;

impl Strategy for ApiService {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(service) = get_mut(new, "spec").and_then(|spec| get_mut(spec, "service")) {
            default_to(service, "port", 443);
        }
    }

    /// What is served here is available from the beginning.
    fn stamp(&self, new: &mut Object, old: Option<&Object>, now: &str) {
        if old.is_none() && new["spec"]["service"].is_null() {
            new["status"] = json!({"conditions": [{"type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available", "lastTransitionTime": now}]});
        }
    }

    /// One that no path can have is told that.
    fn wrong_name(&self, new: &Object, name: &str, found: Vec<String>) -> Vec<String> {
        let spec = field(new, "spec");
        let wanted = format!("{}.{}", text(spec, "version"), text(spec, "group"));
        if !found.is_empty() || name == wanted {
            return found;
        }
        vec![format!("must be `spec.version+\".\"+spec.group`: {wanted:?}")]
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (group, version) = (spec.child("group"), spec.child("version"));
        if group.str().is_empty() && version.str() != "v1" {
            errors.required_because(&group, "only v1 may have an empty group and it better be legacy kube");
        }
        if !group.str().is_empty() {
            errors.messages(&group, names::dns1123_subdomain(group.str()));
        }
        errors.messages(&version, names::dns1035_label(version.str()));
        for (name, most) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
            let priority = spec.child(name);
            if !(1..=most).contains(&priority.int().unwrap_or_default()) {
                errors.invalid(&priority, format!("must be positive and less than {most}"));
            }
        }
        reach(&spec, &mut errors);
        errors.into_vec()
    }
}

/// Where the group is served: by a Service, or here.
fn reach(spec: &Cursor, errors: &mut Errors) {
    let (service, bundle) = (spec.child("service"), spec.child("caBundle"));
    let insecure = spec.child("insecureSkipTLSVerify");
    let is_insecure = spec.flag("insecureSkipTLSVerify") == Some(true);
    if !service.is_set() {
        if !bundle.str().is_empty() {
            let size = STANDARD.decode(bundle.str()).map(|bytes| bytes.len()).unwrap_or_default();
            errors.invalid_as(&bundle, format!("{size} bytes"), "local APIServices may not have a caBundle");
        }
        if is_insecure {
            errors.invalid(&insecure, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for name in ["namespace", "name"] {
        let part = service.child(name);
        if part.str().is_empty() {
            errors.required(&part);
        }
    }
    let port = service.child("port");
    let number = port.int().unwrap_or_default();
    if !(1..=65535).contains(&number) {
        errors.invalid_as(&port, number, format!("port is not valid: {}", names::inclusive_range(1, 65535)));
    }
    if is_insecure && !bundle.str().is_empty() {
        errors.invalid(&insecure, "may not be true if caBundle is present");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_service_is_named_by_what_it_serves() {
        let spec = json!({"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1});
        let good = json!({"metadata": {"name": "v1.g.example.com"}, "spec": spec});
        assert_eq!(ApiService.validate(&good), []);
        let bad = json!({"metadata": {"name": "a"}, "spec": spec});
        let expected = "must be `spec.version+\".\"+spec.group`: \"v1.g.example.com\"";
        assert_eq!(ApiService.wrong_name(&bad, "a", Vec::new()), [expected]);
        assert_eq!(ApiService.wrong_name(&bad, "a/b", vec!["no".to_owned()]), ["no"]);
        assert_eq!(ApiService.wrong_name(&good, "v1.g.example.com", Vec::new()), Vec::<String>::new());
        let table = [
            (
                json!({"caBundle": "MQ=="}),
                "spec.caBundle: Invalid value: \"1 bytes\": local APIServices may not have a caBundle",
            ),
            (
                json!({"service": {"name": "a", "namespace": "b", "port": 70000}}),
                "spec.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
            ),
        ];
        for (more, expected) in table {
            let mut object = good.clone();
            object["spec"].as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let errors: Vec<String> = ApiService.validate(&object).iter().map(ToString::to_string).collect();
            assert_eq!(errors, [expected]);
        }
    }
}
