//! APIService.

use api::Object;
use api::field::FieldError;
use api::names;

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

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let spec = Cursor::root(new, "spec");
        let (group, version) = (spec.child("group"), spec.child("version"));
        let name = format!("{}.{}", version.str(), group.str());
        let own = text(field(new, "metadata"), "name");
        // What has no name is told so.
        if !own.is_empty() && own != name {
            let metadata = Cursor::root(new, "metadata");
            errors.invalid_text(&metadata.child("name"), format!("must be `spec.version+\".\"+spec.group`: {name:?}"));
        }
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
        let (service, bundle) = (spec.child("service"), spec.child("caBundle"));
        let insecure = spec.child("insecureSkipTLSVerify");
        if spec.flag("insecureSkipTLSVerify") == Some(true) && !bundle.str().is_empty() {
            errors.invalid(&insecure, "may not be true if caBundle is present");
        }
        if service.is_set() {
            for name in ["namespace", "name"] {
                let part = service.child(name);
                if part.str().is_empty() {
                    errors.required(&part);
                }
            }
        }
        errors.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_api_service_is_named_by_what_it_serves() {
        let spec = json!({"group": "g.example.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1});
        let good = json!({"metadata": {"name": "v1.g.example.com"}, "spec": spec});
        assert_eq!(ApiService.validate(&good), []);
        let bad = json!({"metadata": {"name": "a"}, "spec": spec});
        let errors = ApiService.validate(&bad);
        let expected =
            "metadata.name: Invalid value: \"a\": must be `spec.version+\".\"+spec.group`: \"v1.g.example.com\"";
        assert_eq!(errors[0].to_string(), expected);
    }
}
