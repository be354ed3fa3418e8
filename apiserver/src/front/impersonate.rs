//! A request in another's name: who may, and whose it then is (`k8s.io/apiserver/pkg/endpoints/filters/impersonation`).

use api::names;
use api::status::Status;
use http::HeaderMap;

use super::authn::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::request::RequestInfo;
use crate::server::ApiServer;
use crate::user::UserInfo;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const ACCOUNT: &str = "system:serviceaccount:";

/// The user that the headers ask to be, with each right that this takes. `None` when they ask for nobody.
///
/// # Errors
/// BadRequest when they name groups and no user.
fn wanted(headers: &HeaderMap) -> Result<Option<(UserInfo, Vec<RequestInfo>)>, Status> {
    let text = |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let one = |name: &str| headers.get(name).map(text).filter(|text| !text.is_empty());
    let groups: Vec<String> = headers.get_all(GROUP).iter().map(text).collect();
    let extra = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix(EXTRA)?, text(value))));
    let extra: Vec<(String, String)> = extra.map(|(key, value)| (unescape(key), value)).collect();
    let uid = one(UID);
    let Some(name) = one(USER) else {
        return if groups.is_empty() && extra.is_empty() && uid.is_none() {
            Ok(None)
        } else {
            Err(Status::bad_request("requested groups, uid or extra without impersonating a user"))
        };
    };
    let mut user = UserInfo { name, uid: uid.clone().unwrap_or_default(), groups, ..UserInfo::default() };
    let mut rights = Vec::new();
    match account(&user.name) {
        Some((namespace, name)) => {
            rights.push(RequestInfo { namespace: namespace.to_owned(), ..right("", "serviceaccounts", "", name) });
        }
        None => rights.push(right("", "users", "", &user.name)),
    }
    rights.extend(user.groups.iter().map(|group| right("", "groups", "", group)));
    for (key, value) in extra {
        rights.push(right("authentication.k8s.io", "userextras", &key, &value));
        user.extra.entry(key).or_default().push(value);
    }
    rights.extend(uid.iter().map(|uid| right("authentication.k8s.io", "uids", "", uid)));
    complete_groups(&mut user);
    Ok(Some((user, rights)))
}

fn right(group: &str, resource: &str, subresource: &str, name: &str) -> RequestInfo {
    RequestInfo {
        is_resource: true,
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        name: name.to_owned(),
        ..RequestInfo::default()
    }
}

/// Namespace and name of the service account that has this user name.
fn account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix(ACCOUNT)?.split_once(':')?;
    let valid = names::dns1123_label(namespace).is_empty() && names::dns1123_subdomain(name).is_empty();
    valid.then_some((namespace, name))
}

/// Groups that are named are all there are, but for the one that says whether somebody is known.
fn complete_groups(user: &mut UserInfo) {
    if user.groups.is_empty()
        && let Some((namespace, _)) = account(&user.name)
    {
        user.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let known = user.name != ANONYMOUS;
    let said = user.in_group(UNAUTHENTICATED) || known && user.in_group(AUTHENTICATED);
    if !said {
        user.groups.push(if known { AUTHENTICATED } else { UNAUTHENTICATED }.to_owned());
    }
}

/// A key of extra information; a broken escape stands for itself.
fn unescape(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), Into::into)
}

/// Whose request it is. The headers that ask for another are gone afterwards.
///
/// # Errors
/// Forbidden when the user may not be the other.
pub async fn impersonate(server: &ApiServer, user: UserInfo, headers: &mut HeaderMap) -> Result<UserInfo, Status> {
    let Some((other, rights)) = wanted(headers)? else { return Ok(user) };
    for right in &rights {
        server.authorize(&user, right).await?;
    }
    tracing::debug!(user = %user.name, other = %other.name, "impersonated");
    let names: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in names {
        headers.remove(name);
    }
    Ok(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(text: &str) -> HeaderMap {
        let pairs = text.split(' ').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_ask_for_a_user_and_for_rights() {
        let table = [
            ("", "", ""),
            ("Impersonate-User=jane", "jane: system:authenticated", "users jane"),
            (
                "Impersonate-User=jane Impersonate-Group=ops Impersonate-Group=dev Impersonate-Uid=7",
                "jane: ops dev system:authenticated",
                "users jane, groups ops, groups dev, uids 7",
            ),
            (
                "Impersonate-User=jane Impersonate-Group=system:unauthenticated",
                "jane: system:unauthenticated",
                "users jane, groups system:unauthenticated",
            ),
            (
                "Impersonate-User=system:serviceaccount:n:robot",
                "system:serviceaccount:n:robot: system:serviceaccounts system:serviceaccounts:n system:authenticated",
                "n/serviceaccounts robot",
            ),
            (
                "Impersonate-User=system:serviceaccount:n:robot Impersonate-Group=ops",
                "system:serviceaccount:n:robot: ops system:authenticated",
                "n/serviceaccounts robot, groups ops",
            ),
            (
                "Impersonate-User=system:serviceaccount:N",
                "system:serviceaccount:N: system:authenticated",
                "users system:serviceaccount:N",
            ),
            ("Impersonate-User=system:anonymous", "system:anonymous: system:unauthenticated", "users system:anonymous"),
            (
                "Impersonate-User=jane Impersonate-Extra-Acme.com%2Fproject=x",
                "jane: system:authenticated acme.com/project=[\"x\"]",
                "users jane, userextras/acme.com/project x",
            ),
        ];
        for (text, user, expected) in table {
            let (got, rights) = wanted(&headers(text)).unwrap().unwrap_or_default();
            let mut shown = if got.name.is_empty() { String::new() } else { format!("{}:", got.name) };
            got.groups.iter().for_each(|group| shown.push_str(&format!(" {group}")));
            got.extra.iter().for_each(|(key, values)| shown.push_str(&format!(" {key}={values:?}")));
            assert_eq!(shown, user, "{text}");
            let rights = rights.iter().map(|right| {
                let slash = |text: &str| if text.is_empty() { String::new() } else { format!("/{text}") };
                let namespace =
                    if right.namespace.is_empty() { String::new() } else { format!("{}/", right.namespace) };
                format!("{namespace}{}{} {}", right.resource, slash(&right.subresource), right.name)
            });
            assert_eq!(Vec::from_iter(rights).join(", "), expected, "{text}");
        }
        for text in ["Impersonate-Group=ops", "Impersonate-Uid=7", "Impersonate-Extra-a=b"] {
            assert_eq!(wanted(&headers(text)).unwrap_err().code, 400, "{text}");
        }
    }
}
