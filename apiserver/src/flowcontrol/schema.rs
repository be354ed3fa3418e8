//! FlowSchemas: which requests they are about (`k8s.io/apiserver/pkg/util/flowcontrol/rule.go`).

use serde::Deserialize;
use serde_json::Value;

use crate::request::RequestInfo;
use crate::user::UserInfo;

/// What is read of a FlowSchema.
#[derive(Clone, Debug, Default)]
pub struct SchemaSpec {
    pub name: Box<str>,
    pub uid: Box<str>,
    /// The name of the priority level.
    pub level: Box<str>,
    /// Lower ones are asked first.
    pub precedence: i64,
    pub distinguisher: Distinguisher,
    pub rules: Vec<PolicyRule>,
    /// Of the condition `Dangling`.
    pub dangling: Condition,
}

/// What makes requests of one schema different flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distinguisher {
    #[default]
    Nothing,
    User,
    Namespace,
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<UrlRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    user: Option<Named>,
    group: Option<Named>,
    service_account: Option<Account>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Account {
    namespace: Box<str>,
    name: Box<str>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<Box<str>>,
    api_groups: Vec<Box<str>>,
    resources: Vec<Box<str>>,
    cluster_scope: bool,
    namespaces: Vec<Box<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct UrlRule {
    verbs: Vec<Box<str>>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<Box<str>>,
}

impl SchemaSpec {
    pub fn read(name: &str, object: &Value) -> Self {
        let spec = &object["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().into();
        let conditions = object["status"]["conditions"].as_array();
        let dangling = conditions.and_then(|all| all.iter().rfind(|condition| condition["type"] == "Dangling"));
        Self {
            name: name.into(),
            uid: text(&object["metadata"]["uid"]),
            level: text(&spec["priorityLevelConfiguration"]["name"]),
            precedence: spec["matchingPrecedence"].as_i64().unwrap_or_default(),
            distinguisher: match spec["distinguisherMethod"]["type"].as_str() {
                Some("ByUser") => Distinguisher::User,
                Some("ByNamespace") => Distinguisher::Namespace,
                _ => Distinguisher::Nothing,
            },
            // Validation has seen them: what cannot be read is not there.
            rules: Option::deserialize(&spec["rules"]).ok().flatten().unwrap_or_default(),
            dangling: dangling.and_then(|condition| Condition::deserialize(condition).ok()).unwrap_or_default(),
        }
    }

    pub fn matches(&self, user: &UserInfo, request: &RequestInfo) -> bool {
        self.rules.iter().any(|rule| rule.matches(user, request))
    }

    /// What the flow of a request has in this schema for a name.
    pub fn flow<'a>(&self, user: &'a UserInfo, request: &'a RequestInfo) -> &'a str {
        match self.distinguisher {
            Distinguisher::Nothing => "",
            Distinguisher::User => &user.name,
            Distinguisher::Namespace => &request.namespace,
        }
    }
}

impl PolicyRule {
    fn matches(&self, user: &UserInfo, request: &RequestInfo) -> bool {
        if !self.subjects.iter().any(|subject| subject.is(user)) {
            return false;
        }
        if request.is_resource {
            self.resource_rules.iter().any(|rule| rule.matches(request))
        } else {
            self.non_resource_rules.iter().any(|rule| rule.matches(request))
        }
    }
}

impl Subject {
    fn is(&self, user: &UserInfo) -> bool {
        let own = |named: &Named| &*named.name == "*" || *named.name == *user.name;
        let member = |group: &Named| &*group.name == "*" || user.in_group(&group.name);
        self.user.as_ref().is_some_and(own)
            || self.group.as_ref().is_some_and(member)
            || self.service_account.as_ref().is_some_and(|account| account.is(&user.name))
    }
}

impl Account {
    fn is(&self, user: &str) -> bool {
        let rest = user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.strip_prefix(&*self.namespace));
        rest.and_then(|rest| rest.strip_prefix(':')).is_some_and(|name| &*self.name == "*" || *self.name == *name)
    }
}

impl ResourceRule {
    fn matches(&self, request: &RequestInfo) -> bool {
        let placed = match request.namespace.as_str() {
            "" => self.cluster_scope,
            namespace => has(&self.namespaces, namespace),
        };
        placed && has(&self.verbs, &request.verb) && has(&self.api_groups, &request.group) && self.names(request)
    }

    /// Its resource, or `resource/subresource`.
    fn names(&self, request: &RequestInfo) -> bool {
        let same = |own: &str| match request.subresource.as_str() {
            "" => own == request.resource,
            subresource => own.split_once('/') == Some((request.resource.as_str(), subresource)),
        };
        self.resources.iter().any(|own| &**own == "*" || same(own))
    }
}

impl UrlRule {
    fn matches(&self, request: &RequestInfo) -> bool {
        // A path is also about what is below it.
        let leads = |own: &str| {
            let prefix = own.strip_suffix('*').unwrap_or(own);
            let rest = request.path.strip_prefix(prefix);
            own == "*" || own == request.path || rest.is_some_and(|rest| prefix.ends_with('/') || rest.starts_with('/'))
        };
        has(&self.verbs, &request.verb) && self.urls.iter().any(|own| leads(own))
    }
}

/// The list has it, or a `*` that stands for all.
fn has(list: &[Box<str>], wanted: &str) -> bool {
    list.iter().any(|own| &**own == "*" || **own == *wanted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::query::Query;

    fn schema(subject: Value, rules: Value) -> SchemaSpec {
        let mut rule = json!({"subjects": [subject]});
        rule.as_object_mut().unwrap().extend(rules.as_object().cloned().unwrap());
        SchemaSpec::read("s", &json!({"spec": {"rules": [rule]}}))
    }

    #[test]
    fn subjects_and_rules_choose_requests() {
        let all = json!({"resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
            "clusterScope": true}], "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]});
        let leases = json!({"resourceRules": [{"verbs": ["get", "update"], "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"], "namespaces": ["a"]}]});
        let status = json!({"resourceRules": [{"verbs": ["*"], "apiGroups": [""], "resources": ["nodes/status"],
            "clusterScope": true}]});
        let urls = json!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/x/*"]}]});
        let group = |name: &str| json!({"kind": "Group", "group": {"name": name}});
        let user = |name: &str| json!({"kind": "User", "user": {"name": name}});
        let account =
            |name: &str| json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "n", "name": name}});
        let (jane, robot) = ("jane", "system:serviceaccount:n:robot");
        let lease = "/apis/coordination.k8s.io/v1/namespaces/a/leases/l";
        let table = [
            (user("jane"), &all, jane, "GET /api/v1/pods", true),
            (user("joe"), &all, jane, "GET /api/v1/pods", false),
            (user("*"), &all, jane, "GET /version", true),
            (group("devs"), &all, jane, "GET /api/v1/pods", true),
            (group("ops"), &all, jane, "GET /api/v1/pods", false),
            (account("robot"), &all, robot, "GET /api/v1/pods", true),
            (account("*"), &all, robot, "GET /api/v1/pods", true),
            (account("rob"), &all, robot, "GET /api/v1/pods", false),
            (account("*"), &all, "system:serviceaccount:nn:robot", "GET /api/v1/pods", false),
            (group("*"), &leases, jane, &format!("PUT {lease}"), true),
            (group("*"), &leases, jane, &format!("DELETE {lease}"), false),
            (group("*"), &leases, jane, "GET /apis/coordination.k8s.io/v1/namespaces/b/leases/l", false),
            (group("*"), &leases, jane, "GET /apis/coordination.k8s.io/v1/leases", false),
            (group("*"), &status, jane, "PATCH /api/v1/nodes/x/status", true),
            (group("*"), &status, jane, "PATCH /api/v1/nodes/x", false),
            (group("*"), &urls, jane, "GET /healthz", true),
            (group("*"), &urls, jane, "GET /healthz/etcd", true),
            (group("*"), &urls, jane, "GET /healthzz", false),
            (group("*"), &urls, jane, "GET /x/y", true),
            (group("*"), &urls, jane, "GET /x", false),
            (group("*"), &urls, jane, "GET /api/v1/pods", false),
        ];
        for (subject, rules, who, request, expected) in table {
            let (method, path) = request.split_once(' ').unwrap();
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""));
            let got = schema(subject.clone(), (*rules).clone()).matches(&UserInfo::new(who, &["devs"]), &info);
            assert_eq!(got, expected, "{subject} {rules} {who} {request}");
        }
    }
}
