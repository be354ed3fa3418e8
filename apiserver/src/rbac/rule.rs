//! One rule of a role, and whether it allows a request (`kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`).

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::request::RequestInfo;

const ALL: &str = "*";

/// A `PolicyRule`. It is about resources or about paths that are none; one with neither allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<Box<str>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<Box<str>>,
    /// `pods`, `pods/log`, `*/scale`, `*`.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Box<str>>,
    /// Empty means objects of any name, and requests that name none.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<Box<str>>,
    /// Paths; a trailing `*` stands for anything.
    #[serde(rename = "nonResourceURLs", deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<Box<str>>,
}

/// Go writes an absent list as null.
pub(super) fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

impl Rule {
    /// Everything: what cluster-admin may do, as two rules.
    pub fn everything() -> [Self; 2] {
        let all = || vec![Box::from(ALL)];
        [
            Self { verbs: all(), api_groups: all(), resources: all(), ..Self::default() },
            Self { verbs: all(), non_resource_urls: all(), ..Self::default() },
        ]
    }

    pub fn allows(&self, request: &RequestInfo) -> bool {
        if !has_or_all(&self.verbs, &request.verb) {
            return false;
        }
        if !request.is_resource {
            return self.non_resource_urls.iter().any(|own| path_covers(own, &request.path));
        }
        has_or_all(&self.api_groups, &request.group)
            && self.resources.iter().any(|own| resource_matches(own, &request.resource, &request.subresource))
            && (self.resource_names.is_empty() || has(&self.resource_names, &request.name))
    }
}

/// As upstream shows rules in messages: `{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        let parts = lists.iter().filter(|(_, list)| !list.is_empty());
        let parts: Vec<String> = parts.map(|(name, list)| format!("{name}:{}", quoted(list))).collect();
        write!(f, "{{{}}}", parts.join(", "))
    }
}

/// A list as Go's `%q` shows it.
pub(super) fn quoted(list: &[impl AsRef<str>]) -> String {
    let items: Vec<String> = list.iter().map(|item| format!("{:?}", item.as_ref())).collect();
    format!("[{}]", items.join(" "))
}

pub(super) fn has(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|own| **own == *wanted)
}

pub(super) fn has_or_all(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|own| **own == *ALL || **own == *wanted)
}

/// Whether a rule's path stands for another, which may end with `*` too.
pub(super) fn path_covers(own: &str, path: &str) -> bool {
    own == path || own.ends_with('*') && path.starts_with(own.trim_end_matches('*'))
}

fn resource_matches(own: &str, resource: &str, subresource: &str) -> bool {
    if own == ALL {
        return true;
    }
    if subresource.is_empty() {
        return own == resource;
    }
    let parent = own.strip_suffix(subresource).and_then(|rest| rest.strip_suffix('/'));
    parent.is_some_and(|parent| parent == ALL || parent == resource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use serde_json::json;

    #[test]
    fn a_rule_allows_what_it_names() {
        let table = [
            // verbs, groups, resources, names; method and path; allowed
            ("get core pods", "GET /api/v1/namespaces/a/pods/p", true),
            ("get core pods", "GET /api/v1/namespaces/a/pods", false),
            ("* core pods", "GET /api/v1/namespaces/a/pods", true),
            ("get core pods", "GET /apis/apps/v1/namespaces/a/pods/p", false),
            ("get * pods", "GET /apis/apps/v1/namespaces/a/pods/p", true),
            ("get core pods", "GET /api/v1/namespaces/a/pods/p/log", false),
            ("get core pods/log", "GET /api/v1/namespaces/a/pods/p/log", true),
            ("get core pods/log", "GET /api/v1/namespaces/a/pods/p", false),
            ("get core *", "GET /api/v1/namespaces/a/pods/p/log", true),
            ("get core */log", "GET /api/v1/namespaces/a/pods/p/log", true),
            ("get core */log", "GET /api/v1/namespaces/a/pods/p", false),
            ("get core */dialog", "GET /api/v1/namespaces/a/pods/p/log", false),
            ("update * */scale", "PUT /apis/apps/v1/namespaces/a/deployments/d/scale", true),
            ("get core pods/*", "GET /api/v1/namespaces/a/pods/p/log", false),
            ("get core pods named p", "GET /api/v1/namespaces/a/pods/p", true),
            ("get core pods named p", "GET /api/v1/namespaces/a/pods/q", false),
            ("list,create core pods named p", "GET /api/v1/namespaces/a/pods", false),
            ("list core pods named p", "GET /api/v1/namespaces/a/pods?fieldSelector=metadata.name=p", true),
            ("create core pods named p", "POST /api/v1/namespaces/a/pods", false),
            ("deletecollection core pods", "DELETE /api/v1/namespaces/a/pods", true),
            ("get url /metrics", "GET /metrics", true),
            ("get url /metrics", "GET /metrics/slis", false),
            ("get url /healthz/*", "GET /healthz/etcd", true),
            ("get url /healthz/*", "GET /healthz", false),
            ("get url /heal*", "GET /healthz", true),
            ("get url *", "GET /anything", true),
            ("get url /metrics", "HEAD /metrics", false),
            ("* * *", "GET /metrics", false),
            ("* url *", "GET /api/v1/pods", false),
        ];
        for (rule, request, allowed) in table {
            let (method, target) = request.split_once(' ').unwrap();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
            assert_eq!(super::super::bootstrap::rule(rule).unwrap().allows(&info), allowed, "{rule}: {request}");
        }
    }

    #[test]
    fn rules_are_read_and_shown() {
        let json = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"], "resourceNames": null});
        let rule: Rule = serde_json::from_value(json).unwrap();
        assert_eq!(rule.to_string(), r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#);
        let back = json!({"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]});
        assert_eq!(serde_json::to_value(&rule).unwrap(), back);
        let [_, paths] = Rule::everything();
        assert_eq!(paths.to_string(), r#"{NonResourceURLs:["*"], Verbs:["*"]}"#);
    }
}
