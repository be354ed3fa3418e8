//! Which requests are audited, and how much of them is told (`audit.k8s.io/v1 Policy`, `k8s.io/apiserver/pkg/audit/policy`).

use api::field::{FieldError, Path};
use api::names;
use serde::Deserialize;
use serde_json::Value;

use crate::request::RequestInfo;
use crate::user::UserInfo;

#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("read the policy: {0}")]
    Unreadable(String),
    #[error("take it for an audit policy: it is {kind} of {api_version}, not Policy of audit.k8s.io/v1")]
    NoPolicy { api_version: String, kind: String },
    #[error("use the policy: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<FieldError>),
    #[error("use the policy: it has no rules")]
    Empty,
}

/// How much is told. Each tells what those before it tell, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    None,
    /// Who asked for what, and what came of it.
    Metadata,
    /// And the body of the request.
    Request,
    /// And the body of the answer.
    RequestResponse,
}

const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];

impl Level {
    pub fn as_str(self) -> &'static str {
        LEVELS[self as usize].0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    RequestReceived,
    /// Of answers that last: their head is sent.
    ResponseStarted,
    ResponseComplete,
    Panic,
}

const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

impl Stage {
    pub fn as_str(self) -> &'static str {
        STAGES[self as usize].0
    }
}

/// A set of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    pub fn contains(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }

    fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    omit_stages: Stages,
    omit_managed_fields: bool,
}

#[derive(Clone, Debug)]
struct Rule {
    level: Level,
    omit_stages: Stages,
    raw: RawRule,
}

/// What is told of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Telling {
    pub level: Level,
    pub omit_stages: Stages,
    pub omit_managed_fields: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Raw {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default)]
    rules: Vec<RawRule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RawRule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<Resources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Resources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Policy {
    /// From YAML or JSON. Upstream takes unknown fields with a warning in its log; a policy that says less than its author thinks is
    /// refused here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &[u8]) -> Result<Self, PolicyError> {
        let value = crate::yaml::strict(text).map_err(PolicyError::Unreadable)?;
        let own = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (own("apiVersion"), own("kind"));
        if (api_version.as_str(), kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            return Err(PolicyError::NoPolicy { api_version, kind });
        }
        let raw: Raw = serde_json::from_value(value).map_err(|error| PolicyError::Unreadable(error.to_string()))?;
        debug_assert_eq!((raw.api_version, raw.kind), (api_version, kind));
        let mut errors = Vec::new();
        let omit_stages = stages(&raw.omit_stages, &Path::new("omitStages"), &mut errors);
        let rules = raw.rules.into_iter().enumerate();
        let rules = rules.map(|(index, rule)| rule.check(&Path::new("rules").index(index), omit_stages, &mut errors));
        let rules: Vec<Rule> = rules.collect();
        match () {
            () if !errors.is_empty() => Err(PolicyError::Invalid(errors)),
            () if rules.is_empty() => Err(PolicyError::Empty),
            () => Ok(Self { rules, omit_stages, omit_managed_fields: raw.omit_managed_fields }),
        }
    }

    /// The first rule that is about the request decides; without one nothing is told.
    pub fn about(&self, user: &UserInfo, request: &RequestInfo) -> Telling {
        match self.rules.iter().find(|rule| rule.raw.matches(user, request)) {
            Some(rule) => Telling {
                level: rule.level,
                omit_stages: rule.omit_stages,
                omit_managed_fields: rule.raw.omit_managed_fields.unwrap_or(self.omit_managed_fields),
            },
            None => Telling {
                level: Level::None,
                omit_stages: self.omit_stages,
                omit_managed_fields: self.omit_managed_fields,
            },
        }
    }
}

fn stages(names: &[String], at: &Path, errors: &mut Vec<FieldError>) -> Stages {
    let mut set = Stages::default();
    for (index, name) in names.iter().enumerate() {
        match STAGES.iter().find(|(own, _)| own == name) {
            Some((_, stage)) => set = set.with(Stages(1 << *stage as u8)),
            None => {
                let all = STAGES.map(|(name, _)| name).join(",");
                errors.push(FieldError::invalid(&at.index(index), name.as_str(), format!("allowed stages are {all}")));
            }
        }
    }
    set
}

impl RawRule {
    fn check(self, at: &Path, omitted: Stages, errors: &mut Vec<FieldError>) -> Rule {
        let level = LEVELS.iter().find(|(name, _)| *name == self.level).map(|(_, level)| *level);
        match level {
            Some(_) => {}
            None if self.level.is_empty() => errors.push(FieldError::required(&at.child("level"), "")),
            None => {
                let all = LEVELS.map(|(name, _)| name);
                errors.push(FieldError::not_supported(&at.child("level"), self.level.as_str(), &all));
            }
        }
        let urls = at.child("nonResourceURLs");
        for (index, url) in self.urls.iter().enumerate().filter(|(_, url)| *url != "*") {
            let mut wrong = |detail: &str| errors.push(FieldError::invalid(&urls.index(index), url.as_str(), detail));
            if !url.starts_with('/') {
                wrong("non-resource URL rules must begin with a '/' character");
            }
            if url.strip_suffix('*').unwrap_or(url).contains('*') {
                wrong("non-resource URL wildcards '*' must be the final character of the rule");
            }
        }
        let resources = at.child("resources");
        for own in &self.resources {
            let messages = if own.group.is_empty() { Vec::new() } else { names::dns1123_subdomain(&own.group) };
            if !messages.is_empty() {
                let at = resources.child("group");
                errors.push(FieldError::invalid(&at, own.group.as_str(), messages.join(",")));
            }
            if !own.resource_names.is_empty() && own.resources.is_empty() {
                let detail = "using resourceNames requires at least one resource";
                let names = own.resource_names.clone();
                errors.push(FieldError::invalid(&resources.child("resourceNames"), names, detail));
            }
        }
        let omit_stages = omitted.with(stages(&self.omit_stages, &at.child("omitStages"), errors));
        let others = !self.resources.is_empty() || !self.namespaces.is_empty();
        if others && !self.urls.is_empty() {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&urls, self.urls.clone(), detail));
        }
        Rule { level: level.unwrap_or_default(), omit_stages, raw: self }
    }

    fn matches(&self, user: &UserInfo, request: &RequestInfo) -> bool {
        let any = |list: &[String], wanted: &str| list.is_empty() || list.iter().any(|own| own == wanted);
        if !any(&self.users, &user.name)
            || !self.user_groups.is_empty() && !self.user_groups.iter().any(|group| user.in_group(group))
            || !any(&self.verbs, &request.verb)
        {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return request.is_resource
                && any(&self.namespaces, &request.namespace)
                && (self.resources.is_empty() || self.resources.iter().any(|own| own.matches(request)));
        }
        self.urls.is_empty() || !request.is_resource && self.urls.iter().any(|url| leads(url, &request.path))
    }
}

fn leads(url: &str, path: &str) -> bool {
    url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

impl Resources {
    fn matches(&self, request: &RequestInfo) -> bool {
        if self.group != request.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let (resource, subresource) = (request.resource.as_str(), request.subresource.as_str());
        let named = self.resource_names.is_empty() || self.resource_names.contains(&request.name);
        let own = |own: &String| match own.split_once('/') {
            None => own == "*" || own == resource && subresource.is_empty(),
            Some(("*", sub)) => !subresource.is_empty() && sub == subresource || sub == "*" && resource == "*",
            Some((of, "*")) => of == resource,
            Some(pair) => pair == (resource, subresource),
        };
        named && self.resources.iter().any(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    fn policy(rules: &str) -> Policy {
        Policy::read(format!("{HEAD}{rules}").as_bytes()).unwrap()
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = policy(
            r#"
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: [robot]}
- {level: Request, userGroups: [ops], verbs: [delete], omitManagedFields: false}
- {level: RequestResponse, resources: [{resources: [configmaps, pods/log]}], namespaces: [a]}
- {level: Metadata, resources: [{group: apps, resources: ["deployments/*"], resourceNames: [d]}]}
- {level: Metadata, resources: [{resources: ["*/status"]}], omitStages: [Panic]}
- {level: Request, resources: [{group: batch}]}
- {level: Metadata, nonResourceURLs: ["/api*", "/version"]}
"#,
        );
        let table = [
            ("robot", "GET /version", "None"),
            ("jane", "GET /version", "Metadata"),
            ("jane", "GET /apis", "Metadata"),
            ("jane", "GET /healthz", "None"),
            ("jane", "DELETE /api/v1/nodes/n", "Request"),
            ("jane", "GET /api/v1/namespaces/a/configmaps/c", "RequestResponse"),
            ("jane", "GET /api/v1/namespaces/b/configmaps/c", "None"),
            ("jane", "GET /api/v1/namespaces/a/pods/p", "None"),
            ("jane", "GET /api/v1/namespaces/a/pods/p/log", "RequestResponse"),
            ("jane", "GET /apis/apps/v1/namespaces/a/deployments/d", "Metadata"),
            ("jane", "GET /apis/apps/v1/namespaces/a/deployments/d/scale", "Metadata"),
            ("jane", "GET /apis/apps/v1/namespaces/a/deployments/e", "None"),
            ("jane", "PUT /api/v1/nodes/n/status", "Metadata"),
            ("jane", "GET /apis/batch/v1/jobs", "Request"),
        ];
        for (user, request, expected) in table {
            let (method, path) = request.split_once(' ').unwrap();
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(""));
            let told = policy.about(&UserInfo::new(user, &["ops"]), &info);
            assert_eq!(told.level.as_str(), expected, "{user} {request}");
            assert!(told.omit_stages.contains(Stage::RequestReceived));
            assert_eq!(told.omit_stages.contains(Stage::Panic), path.ends_with("/status"));
            assert_eq!(told.omit_managed_fields, !request.starts_with("DELETE"), "{request}");
        }
    }

    #[test]
    fn bad_policies_are_refused_with_a_reason() {
        let table = [
            ("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\n", "it is Policy of audit.k8s.io/v1beta1"),
            ("- a", "it is  of "),
            ("a: [", "read the policy"),
            ("apiVersion: audit.k8s.io/v1\nkind: Policy\n", "it has no rules"),
            (
                &format!("{HEAD}rules:\n- level: All\n"),
                "rules[0].level: Unsupported value: \"All\": supported values: \"None\"",
            ),
            (&format!("{HEAD}rules:\n- {{}}\n"), "rules[0].level: Required value"),
            (&format!("{HEAD}rules:\n- {{level: None, user: [a]}}\n"), "unknown field `user`"),
            (
                &format!("{HEAD}omitStages: [End]\nrules:\n- level: None\n"),
                "omitStages[0]: Invalid value: \"End\": allowed stages are RequestReceived,ResponseStarted,",
            ),
            (
                &format!("{HEAD}rules:\n- {{level: None, nonResourceURLs: [api, '/a*b'], namespaces: [x]}}\n"),
                "rules[0].nonResourceURLs[0]: Invalid value: \"api\": non-resource URL rules must begin",
            ),
            (
                &format!("{HEAD}rules:\n- {{level: None, resources: [{{group: a/v1, resourceNames: [x]}}]}}\n"),
                "rules[0].resources.group: Invalid value: \"a/v1\"",
            ),
        ];
        for (text, expected) in table {
            let error = Policy::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}\n{error}");
        }
    }
}
