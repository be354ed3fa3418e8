//! What is asked about each identity.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::ask::Request;
use super::identities::Identity;
use crate::bench::client::Access;

/// Asked of every resource, everywhere.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Asked of every resource once.
const RARE: [&str; 11] =
    ["approve", "sign", "attest", "bind", "escalate", "impersonate", "proxy", "use", "report", "*", ""];
/// What is no resource, or none that is served, and means something to authorizers.
const UNSERVED: [(&str, &str, bool); 9] = [
    ("", "users", false),
    ("", "groups", false),
    ("authentication.k8s.io", "userextras/scopes", false),
    ("authentication.k8s.io", "uids", false),
    ("certificates.k8s.io", "signers", false),
    ("certificates.k8s.io", "certificatesigningrequests/nodeclient", false),
    ("certificates.k8s.io", "podcertificaterequests", true),
    ("extensions", "ingresses", true),
    ("example.com", "widgets", true),
];
/// Namespace and name. What is called `mine` belongs to the node of that name ([`super::world`]).
const PLACES: [(&str, &str); 6] =
    [("", ""), ("", "mine"), ("team", ""), ("team", "mine"), ("team", "other"), ("kube-system", "mine")];
const SIGNERS: [&str; 5] = [
    "kubernetes.io/kube-apiserver-client",
    "kubernetes.io/kube-apiserver-client-kubelet",
    "kubernetes.io/kubelet-serving",
    "kubernetes.io/legacy-unknown",
    "example.com/own",
];
const PATHS: [&str; 28] = [
    "/",
    "/api",
    "/api/v1",
    "/apis",
    "/apis/apps",
    "/healthz",
    "/healthz/etcd",
    "/livez",
    "/livez/ping",
    "/readyz",
    "/readyz/ping",
    "/version",
    "/version/",
    "/metrics",
    "/metrics/slis",
    "/openapi",
    "/openapi/v2",
    "/openapi/v3/api/v1",
    "/openid/v1/jwks",
    "/openid/v1/jwks/",
    "/.well-known/openid-configuration",
    "/logs",
    "/debug/pprof/profile",
    "/statusz",
    "/flagz",
    "/configz",
    "/healthy",
    "/other",
];

#[derive(Clone, Debug, Default)]
pub struct Question {
    verb: &'static str,
    group: String,
    /// With its subresource; empty for a path.
    resource: String,
    namespace: &'static str,
    name: &'static str,
    path: &'static str,
    /// Of fields, as raw text; empty is none.
    fields: &'static str,
    /// It is served, by this version, in namespaces or not.
    served: Option<(String, bool)>,
}

/// All of them, for the resources of upstream's discovery.
pub async fn all(theirs: &Access) -> Result<Vec<Question>> {
    let mut resources = discover(theirs).await?;
    resources.extend(UNSERVED.iter().map(|(group, resource, _)| Question {
        group: (*group).to_owned(),
        resource: (*resource).to_owned(),
        ..Question::default()
    }));
    let mut questions = Vec::new();
    for resource in &resources {
        for (namespace, name) in PLACES {
            let of = |verb| Question { verb, namespace, name, ..resource.clone() };
            questions.extend(VERBS.map(of));
            if (namespace, name) == ("team", "mine") {
                questions.extend(RARE.map(of));
            }
        }
    }
    questions.extend(special());
    for path in PATHS {
        let of = |verb| Question { verb, path, ..Question::default() };
        questions.extend(["get", "head", "post", "put", "delete", "*"].map(of));
    }
    Ok(questions)
}

/// Signers, selectors by which nodes ask, and their leases.
fn special() -> Vec<Question> {
    let mut questions = Vec::new();
    let of = |group: &str, resource: &str| Question {
        group: group.to_owned(),
        resource: resource.to_owned(),
        ..Question::default()
    };
    for name in SIGNERS {
        questions.extend(["approve", "sign", "attest"].map(|verb| Question {
            verb,
            name,
            ..of("certificates.k8s.io", "signers")
        }));
    }
    for name in ["", "mine", "other"] {
        let lease = Question { namespace: "kube-node-lease", name, ..of("coordination.k8s.io", "leases") };
        questions.extend(VERBS.map(|verb| Question { verb, ..lease.clone() }));
    }
    let selectors = [
        "spec.nodeName=mine",
        "spec.nodeName==mine,metadata.name=x",
        "spec.nodeName=other",
        "spec.nodeName!=mine",
        "spec.nodeName=mine=x",
        "nope",
    ];
    let kinds = [("", "pods"), ("resource.k8s.io", "resourceslices"), ("", "nodes"), ("", "secrets")];
    for (group, resource) in kinds {
        for fields in selectors.into_iter().chain(["metadata.name=mine"]) {
            let asking = Question { fields, ..of(group, resource) };
            questions
                .extend(["list", "watch", "deletecollection", "get"].map(|verb| Question { verb, ..asking.clone() }));
        }
    }
    questions
}

async fn discover(access: &Access) -> Result<Vec<Question>> {
    let mut connection = access.connect().await?;
    let mut places = vec![(String::new(), "/api/v1".to_owned())];
    let groups = connection.get("/apis").await?;
    for group in groups["groups"].as_array().into_iter().flatten() {
        let version = group["preferredVersion"]["groupVersion"].as_str().context("a group has no version")?;
        places.push((group["name"].as_str().unwrap_or_default().to_owned(), format!("/apis/{version}")));
    }
    let mut found = Vec::new();
    for (group, path) in places {
        let list = connection.get(&path).await?;
        for resource in list["resources"].as_array().into_iter().flatten() {
            found.push(Question {
                group: group.clone(),
                resource: resource["name"].as_str().unwrap_or_default().to_owned(),
                served: Some((path.clone(), resource["namespaced"] == true)),
                ..Question::default()
            });
        }
    }
    Ok(found)
}

impl Question {
    pub fn review(&self, identity: &Identity) -> Value {
        let mut spec = identity.spec();
        if self.resource.is_empty() {
            spec.insert("nonResourceAttributes".to_owned(), json!({"path": self.path, "verb": self.verb}));
        } else {
            let (resource, subresource) = self.parts();
            let mut attributes = json!({
                "verb": self.verb, "group": self.group, "resource": resource, "subresource": subresource,
                "namespace": self.namespace, "name": self.name,
            });
            if !self.fields.is_empty() {
                attributes["fieldSelector"] = json!({"rawSelector": self.fields});
            }
            spec.insert("resourceAttributes".to_owned(), attributes);
        }
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    }

    fn parts(&self) -> (&str, &str) {
        self.resource.split_once('/').unwrap_or((&self.resource, ""))
    }

    /// The same as a request that changes nothing, where there is one: whether it is forbidden, and why, is the answer.
    pub fn request(&self, identity: &Identity) -> Option<Request> {
        let headers = identity.headers();
        if self.resource.is_empty() {
            let asked = self.verb == "get" && identity.user != "system:node:";
            return asked.then(|| Request { method: "GET", path: self.path.to_owned(), headers });
        }
        let (version, namespaced) = self.served.as_ref()?;
        let (resource, subresource) = self.parts();
        let scoped = *namespaced != self.namespace.is_empty() && (*namespaced || resource != "namespaces");
        let named = !self.name.is_empty();
        let (method, fits) = match self.verb {
            "get" => ("GET", named),
            "list" => ("GET", !named),
            "create" => ("POST", named != subresource.is_empty()),
            "patch" => ("PATCH", named),
            "delete" => ("DELETE", named),
            _ => return None,
        };
        let streams = ["exec", "attach", "portforward", "proxy", "log"].contains(&subresource);
        // One place of each; what is allowed must change nothing.
        let there = ["", "other"].contains(&self.name) && ["", "team"].contains(&self.namespace);
        if !scoped || !fits || streams || !there || self.verb == "list" && !subresource.is_empty() {
            return None;
        }
        let mut path = version.clone();
        if *namespaced {
            path += &format!("/namespaces/{}", self.namespace);
        }
        for part in [resource, self.name, subresource].into_iter().filter(|part| !part.is_empty()) {
            path += &format!("/{part}");
        }
        path += if method == "GET" { "?limit=1" } else { "?dryRun=All" };
        Some(Request { method, path, headers })
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, group, resource, namespace, name, path, fields, .. } = self;
        if resource.is_empty() {
            return write!(f, "{verb:?} {path}");
        }
        write!(f, "{verb:?} {resource}.{group} {namespace}/{name} {fields}")
    }
}
