//! The four kinds of role-based access control.

use api::Object;
use api::field::FieldError;
use api::names;
use serde_json::{Value, json};

use super::cursor::{Cursor, Errors, field, text};
use super::edit::{default_text, get_mut, list_mut};
use super::selectors::label_selector;
use crate::strategy::Strategy;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Whether a kind lives in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Namespace,
    Cluster,
}

/// Role and ClusterRole.
#[derive(Debug)]
pub struct Role(pub Scope);

/// RoleBinding and ClusterRoleBinding.
#[derive(Debug)]
pub struct Binding(pub Scope);

impl Strategy for Role {
    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        for at in Cursor::root(new, "rules").items() {
            rule(&at, self.0, &mut errors);
        }
        let aggregation = Cursor::root(new, "aggregationRule");
        if self.0 == Scope::Cluster && aggregation.is_set() {
            let selectors = aggregation.child("clusterRoleSelectors");
            if selectors.is_empty() {
                let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
                errors.required_because(&selectors, detail);
            }
            for selector in selectors.items() {
                let before = errors.len();
                label_selector(&selector, &mut errors);
                if errors.len() > before {
                    // Upstream tries to use it, too.
                    errors.invalid_as(&selector, Value::Null, "invalid label selector.");
                }
            }
        }
        errors.into_vec()
    }
}

impl Strategy for Binding {
    fn defaults(&self, new: &mut Object, _old: Option<&Object>) {
        if let Some(role) = get_mut(new, "roleRef") {
            default_text(role, "apiGroup", GROUP);
        }
        for subject in list_mut(new, "subjects") {
            if matches!(text(subject, "kind"), "User" | "Group") {
                default_text(subject, "apiGroup", GROUP);
            }
        }
    }

    fn validate(&self, new: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let role = Cursor::root(new, "roleRef");
        let (group, kind, name) = (role.child("apiGroup"), role.child("kind"), role.child("name"));
        if group.str() != GROUP {
            errors.not_supported(&group, &[GROUP]);
        }
        let kinds: &[&str] = if self.0 == Scope::Namespace { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
        if !kinds.contains(&kind.str()) {
            errors.not_supported(&kind, kinds);
        }
        if name.str().is_empty() {
            errors.required(&name);
        } else {
            errors.messages(&name, names::path_segment(name.str()));
        }
        for at in Cursor::root(new, "subjects").items() {
            subject(&at, self.0, &mut errors);
        }
        errors.into_vec()
    }

    fn validate_update(&self, new: &Object, old: &Object) -> Vec<FieldError> {
        let mut errors = Errors::default();
        let (role, before) = (Cursor::root(new, "roleRef"), field(old, "roleRef"));
        if ["apiGroup", "kind", "name"].iter().any(|name| role.text(name) != text(before, name)) {
            // Upstream shows the names of its own struct.
            let shown: Value = json!({
                "APIGroup": role.text("apiGroup"), "Kind": role.text("kind"), "Name": role.text("name"),
            });
            errors.invalid_as(&role, shown, "cannot change roleRef");
        }
        errors.into_vec()
    }
}

fn rule(at: &Cursor, scope: Scope, errors: &mut Errors) {
    let (verbs, urls) = (at.child("verbs"), at.child("nonResourceURLs"));
    if verbs.is_empty() {
        errors.required_because(&verbs, "verbs must contain at least one value");
    }
    if !urls.is_empty() {
        if scope == Scope::Namespace {
            errors.invalid(&urls, "namespaced rules cannot apply to non-resource URLs");
        }
        if ["apiGroups", "resources", "resourceNames"].iter().any(|name| !at.child(name).is_empty()) {
            errors.invalid(&urls, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    for (name, what) in [("apiGroups", "api group"), ("resources", "resource")] {
        if at.child(name).is_empty() {
            errors.required_because(&at.child(name), format!("resource rules must supply at least one {what}"));
        }
    }
}

fn subject(at: &Cursor, scope: Scope, errors: &mut Errors) {
    let (name, group) = (at.child("name"), at.child("apiGroup"));
    if name.str().is_empty() {
        errors.required(&name);
    }
    match at.text("kind") {
        "ServiceAccount" => {
            if !name.str().is_empty() {
                errors.messages(&name, names::dns1123_subdomain(name.str()));
            }
            if !group.str().is_empty() {
                errors.not_supported(&group, &[""]);
            }
            if scope == Scope::Cluster && at.text("namespace").is_empty() {
                errors.required(&at.child("namespace"));
            }
        }
        "User" | "Group" => {
            if group.str() != GROUP {
                errors.not_supported(&group, &[GROUP]);
            }
        }
        _ => errors.not_supported(&at.child("kind"), &["ServiceAccount", "User", "Group"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(errors: Vec<FieldError>) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_name_verbs_and_resources() {
        let role = json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]});
        let verbs = "rules[0].verbs: Required value: verbs must contain at least one value";
        let urls =
            "rules[1].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to non-resource URLs";
        assert_eq!(texts(Role(Scope::Namespace).validate(&role)), [verbs, urls]);
        assert_eq!(texts(Role(Scope::Cluster).validate(&role)), [verbs]);
    }

    #[test]
    fn bindings_bind_one_role() {
        let mut binding = json!({
            "roleRef": {"kind": "ClusterRole", "name": "view"},
            "subjects": [{"kind": "User", "name": "jane"}, {"kind": "ServiceAccount", "name": "robot"}],
        });
        Binding(Scope::Cluster).defaults(&mut binding, None);
        assert_eq!(binding["subjects"][0]["apiGroup"], GROUP);
        assert_eq!(texts(Binding(Scope::Namespace).validate(&binding)), Vec::<String>::new());
        assert_eq!(texts(Binding(Scope::Cluster).validate(&binding)), ["subjects[1].namespace: Required value"]);
        let mut other = binding.clone();
        other["roleRef"]["name"] = json!("edit");
        let expected = "roleRef: Invalid value: {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"ClusterRole\",\"Name\":\
                        \"edit\"}: cannot change roleRef";
        assert_eq!(texts(Binding(Scope::Cluster).validate_update(&other, &binding)), [expected]);
    }
}
