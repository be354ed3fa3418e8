//! Nobody reads by a policy what they may not read themselves: the check on writes of policies and bindings that name parameters
//! (`kubernetes/pkg/registry/admissionregistration/*/authz.go`). Made of well-formed objects alone.

use api::Object;
use api::field::{FieldError, Path};
use api::gvk::GroupVersionKind;
use serde_json::Value;

use crate::authorizer::Decision;
use crate::pipeline::Target;
use crate::request::RequestInfo;
use crate::user::UserInfo;

const GROUP: &str = "admissionregistration.k8s.io";

/// `old` is the stored object of an update.
pub(crate) async fn refused(target: &Target<'_>, new: &Object, old: Option<&Object>) -> Option<FieldError> {
    let own = target.row.info.group == GROUP && target.subresource.is_empty();
    if !own || target.user.in_group("system:masters") {
        return None;
    }
    let (member, why) = match target.row.info.plural.as_str() {
        "validatingadmissionpolicies" | "mutatingadmissionpolicies" => ("paramKind", kind(target, new, old).await?),
        "validatingadmissionpolicybindings" => ("paramRef", named(target, new, "validatingadmissionpolicies").await?),
        "mutatingadmissionpolicybindings" => ("paramRef", named(target, new, "mutatingadmissionpolicies").await?),
        _ => return None,
    };
    Some(FieldError::forbidden(&Path::new("spec").child(member), why))
}

async fn kind(target: &Target<'_>, new: &Object, old: Option<&Object>) -> Option<String> {
    let wanted = Some(&new["spec"]["paramKind"]).filter(|kind| kind.is_object())?;
    if old.is_some_and(|old| old["spec"]["paramKind"] == *wanted) {
        return None;
    }
    let (wanted, resource) = asked(target, wanted);
    let asked = RequestInfo { name: "*".to_owned(), namespace: "*".to_owned(), verb: "get".to_owned(), ..resource };
    if may(target, &asked).await {
        return None;
    }
    let GroupVersionKind { kind, .. } = &wanted;
    Some(format!(
        "user {} must have \"get\" permission on all objects of the referenced paramKind (kind={kind}, apiVersion={})",
        shown(target.user),
        wanted.api_version()
    ))
}

/// Also of an update that changes nothing here: upstream compares where the parts are, not what they say.
async fn named(target: &Target<'_>, new: &Object, policies: &str) -> Option<String> {
    let reference = Some(&new["spec"]["paramRef"]).filter(|reference| reference.is_object())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, policy) = (text(&reference["name"]), text(&new["spec"]["policyName"]));
    let verb = if name.is_empty() { "list" } else { "get" };
    let row = target.core.registry.find(GROUP, policies)?;
    let found = target.core.read(row, "", &policy).await.ok().flatten();
    let wanted = found.as_ref().map(|found| &found.object["spec"]["paramKind"]).filter(|kind| kind.is_object());
    let asked = wanted.map(|wanted| asked(target, wanted));
    let resolved = asked.as_ref().is_none_or(|(_, resource)| resource.resource != "*");
    let resource = asked.map_or_else(anything, |(_, resource)| resource);
    let namespace = text(&reference["namespace"]);
    if may(target, &RequestInfo { name, namespace, verb: verb.to_owned(), ..resource }).await {
        return None;
    }
    let user = shown(target.user);
    let unknown = |what: String| {
        format!(
            "unable to {what} to determine minimum required permissions and user {user} does not have \"{verb}\" \
             permission for all groups, versions and resources"
        )
    };
    Some(match wanted {
        _ if found.is_none() => unknown(format!("get policy {policy}")),
        Some(wanted) if !resolved => {
            unknown(format!("resolve paramKind &{{{} {}}}", text(&wanted["apiVersion"]), text(&wanted["kind"])))
        }
        _ => format!("user {user} does not have \"{verb}\" permission on the object referenced by paramRef"),
    })
}

/// A `paramKind`, and its resource: any of its version where it is not served.
fn asked(target: &Target<'_>, wanted: &Value) -> (GroupVersionKind, RequestInfo) {
    let text = |key: &str| wanted[key].as_str().unwrap_or_default();
    let kind = GroupVersionKind::from_api_version(text("apiVersion"), text("kind"));
    let served = target.core.registry.of_kind(&kind);
    let resource = served.map_or_else(|| "*".to_owned(), |row| row.info.plural.clone());
    let (group, version) = (kind.group.clone(), kind.version.clone());
    (kind, RequestInfo { group, version, resource, ..anything() })
}

fn anything() -> RequestInfo {
    let any = || "*".to_owned();
    RequestInfo { is_resource: true, group: any(), version: any(), resource: any(), ..RequestInfo::default() }
}

async fn may(target: &Target<'_>, asked: &RequestInfo) -> bool {
    target.core.config.authorizer.authorize(target.user, asked).await == Decision::Allow
}

/// As Go prints it.
fn shown(user: &UserInfo) -> String {
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key}:[{}]", values.join(" "))).collect();
    format!("&{{{} {} [{}] map[{}]}}", user.name, user.uid, user.groups.join(" "), extra.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_shown_as_go_prints_them() {
        let mut user = UserInfo::new("jane", &["a", "system:authenticated"]);
        assert_eq!(shown(&user), "&{jane  [a system:authenticated] map[]}");
        user.uid = "u".to_owned();
        user.extra.insert("k".to_owned(), vec!["x".to_owned(), "y".to_owned()]);
        assert_eq!(shown(&user), "&{jane u [a system:authenticated] map[k:[x y]]}");
    }
}
