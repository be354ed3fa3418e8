//! Paths that say what is there: discovery, the version, the keys of tokens.

use std::collections::BTreeSet;

use super::OpenApi;
use super::operation::{Body, OBJECT, Operation, PathItem, group_name, lower_first, upper_first};
use crate::discovery;
use crate::resource::ResourceInfo;

/// What is no group version has a document of its own in v3, by this path.
pub(super) fn others(api: &OpenApi<'_>) -> Vec<(String, PathItem)> {
    let json = &["application/json"];
    let mut all = vec![
        item("version", "version", "getCodeVersion", Some("io.k8s.apimachinery.pkg.version.Info"), json),
        item(".well-known/openid-configuration", "WellKnown", "getServiceAccountIssuerOpenIDConfiguration", None, json),
        item("openid/v1/jwks", "openid", "getServiceAccountIssuerOpenIDKeyset", None, &["application/jwk-set+json"]),
        item("apis", "apis", "getAPIVersions", Some(&meta("APIGroupList")), OBJECT),
    ];
    for group in discovery::groups(api.resources) {
        let name = group_name(group);
        let is_custom = |resource: &ResourceInfo| api.custom.contains_key(&resource.gvk());
        if group.is_empty() {
            all.push(item("api", "core", "getCoreAPIVersions", Some(&meta("APIVersions")), OBJECT));
        } else if !api.resources.iter().any(|resource| resource.group == group && is_custom(resource)) {
            let (path, id) = (format!("apis/{group}"), format!("get{name}APIGroup"));
            all.push(item(&path, &lower_first(&name), &id, Some(&meta("APIGroup")), OBJECT));
        }
    }
    all
}

/// The lists of resources of the built-in group versions.
pub(super) fn of_versions(api: &OpenApi<'_>, resources: &[&ResourceInfo]) -> Vec<PathItem> {
    let built_in = resources.iter().filter(|resource| !api.custom.contains_key(&resource.gvk()));
    let versions: BTreeSet<(&str, &str)> =
        built_in.map(|resource| (resource.group.as_str(), resource.version.as_str())).collect();
    let list = |(group, version): (&str, &str)| {
        let (name, path) = (group_name(group), super::v3_path(group, version));
        let tag = format!("{}_{version}", lower_first(&name));
        item(
            &path,
            &tag,
            &format!("get{name}{}APIResources", upper_first(version)),
            Some(&meta("APIResourceList")),
            OBJECT,
        )
        .1
    };
    versions.into_iter().map(list).collect()
}

fn meta(kind: &str) -> String {
    format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")
}

fn item(path: &str, tag: &str, id: &str, answer: Option<&str>, types: &'static [&'static str]) -> (String, PathItem) {
    let operation = Operation {
        id: id.to_owned(),
        tag: tag.to_owned(),
        about: None,
        parameters: Vec::new(),
        body: Body::None,
        answer: answer.map(str::to_owned),
        types,
        codes: &[],
    };
    (path.to_owned(), PathItem { path: format!("/{path}/"), operations: vec![("get", operation)] })
}
