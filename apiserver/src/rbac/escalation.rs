//! Nobody grants what they do not have: the check on writes of roles and bindings
//! (`kubernetes/pkg/registry/rbac/{escalation_check.go,*/policybased}`).
//!
//! A role may hold rules that its writer has, or any when the writer may `escalate` it. A binding may name a role whose rules
//! its writer has, or any that the writer may `bind`. Checked between mutating admission and validation.

use api::Object;
use api::meta::Meta;
use api::status::{Qualified, Status};

use super::bootstrap::GROUP;
use super::coverage;
use super::index::Index;
use super::rule::{Rule, quoted};
use crate::authorizer::{Decision, UserRules};
use crate::core::qualified;
use crate::pipeline::Target;
use crate::request::RequestInfo;

/// `old` is the stored object of an update.
///
/// # Errors
/// Forbidden; NotFound for a binding to a role that is not there.
pub(crate) async fn check(target: &Target<'_>, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    let Some(index) = target.core.config.rbac.as_deref().filter(|_| target.row.info.group == GROUP) else {
        return Ok(());
    };
    if target.user.in_group("system:masters") {
        return Ok(());
    }
    match target.row.info.plural.as_str() {
        "roles" | "clusterroles" => check_role(target, index, new, old).await,
        "rolebindings" | "clusterrolebindings" => check_binding(target, index, new, old).await,
        _ => Ok(()),
    }
}

async fn check_role(target: &Target<'_>, index: &Index, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    // A create has its name in the body, and the right to escalate is asked for the name in the path.
    let name = old.map(Meta::name).unwrap_or_default();
    if may(target, "escalate", &target.row.info.plural, name).await || collects_only(new, old) {
        return Ok(());
    }
    // What cannot be read cannot be judged.
    let rules: Option<Vec<Rule>> =
        serde_json::from_value(new["rules"].clone()).map_err(|error| Status::bad_request(error.to_string()))?;
    let owned = owned(target, index).await?;
    confirm(target, &owned, &rules.unwrap_or_default(), new.name())?;
    // What it gathers is not known yet: it may be anything.
    let gathers = |role: &Object| {
        role["aggregationRule"]["clusterRoleSelectors"].as_array().is_some_and(|selectors| !selectors.is_empty())
    };
    if (gathers(new) || old.is_some_and(gathers)) && !coverage::missing(&owned.rules, &Rule::everything()).is_empty() {
        let why = "must have cluster-admin privileges to use the aggregationRule";
        return Err(Status::forbidden(qualified(target.row), new.name(), why));
    }
    Ok(())
}

async fn check_binding(target: &Target<'_>, index: &Index, new: &Object, old: Option<&Object>) -> Result<(), Status> {
    if collects_only(new, old) {
        return Ok(());
    }
    let role = &new["roleRef"];
    let name = role["name"].as_str().unwrap_or_default();
    let (resource, namespace) = match role["kind"].as_str() {
        Some("Role") => ("roles", target.namespace),
        Some("ClusterRole") => ("clusterroles", ""),
        // Validation refuses it.
        _ => return Ok(()),
    };
    if may(target, "bind", resource, name).await {
        return Ok(());
    }
    let owned = owned(target, index).await?;
    let rules = index.role(namespace, name);
    let rules = rules.ok_or_else(|| Status::not_found(Qualified::new(GROUP, resource), name))?;
    confirm(target, &owned, &rules, new.name())
}

async fn may(target: &Target<'_>, verb: &str, resource: &str, name: &str) -> bool {
    let info = RequestInfo {
        is_resource: true,
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        version: "*".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        namespace: target.namespace.to_owned(),
        ..RequestInfo::default()
    };
    target.core.config.authorizer.authorize(target.user, &info).await == Decision::Allow
}

/// What the writer may do, every acknowledged write included: a right that was taken away is not passed on.
async fn owned(target: &Target<'_>, index: &Index) -> Result<UserRules, Status> {
    target.core.fresh().await?;
    Ok(index.rules(target.user, target.namespace))
}

fn confirm(target: &Target<'_>, owned: &UserRules, wanted: &[Rule], name: &str) -> Result<(), Status> {
    let missing = coverage::missing(&owned.rules, wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let mut why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        target.user.name,
        quoted(&target.user.groups),
        coverage::describe(missing)
    );
    if !owned.error.is_empty() {
        why = format!("{why}; resolution errors: [{}]", owned.error);
    }
    Err(Status::forbidden(qualified(target.row), name, &why))
}

/// The update changes only what the garbage collector needs to change for the object to go.
fn collects_only(new: &Object, old: Option<&Object>) -> bool {
    let strip = |object: &Object| {
        let mut object = object.clone();
        if let Some(metadata) = object.get_mut("metadata").and_then(|metadata| metadata.as_object_mut()) {
            for key in ["ownerReferences", "finalizers", "selfLink", "managedFields"] {
                metadata.remove(key);
            }
        }
        object
    };
    old.is_some_and(|old| strip(new) == strip(old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_garbage_collector_may_let_go() {
        let old = json!({"metadata": {"name": "r", "finalizers": ["x"]}, "rules": []});
        let table = [
            (json!({"metadata": {"name": "r"}, "rules": []}), true),
            (json!({"metadata": {"name": "r", "ownerReferences": []}, "rules": []}), true),
            (json!({"metadata": {"name": "r", "labels": {"a": "b"}}, "rules": []}), false),
            (json!({"metadata": {"name": "r"}, "rules": [{}]}), false),
        ];
        for (new, expected) in table {
            assert_eq!(collects_only(&new, Some(&old)), expected, "{new}");
        }
        assert!(!collects_only(&old, None));
    }
}
