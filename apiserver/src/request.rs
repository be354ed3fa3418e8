//! What a request is about, read from its method, path and query (`k8s.io/apiserver/pkg/endpoints/request`).

use http::Method;

use crate::query::Query;

/// Subresources of a namespace; any other third segment is a resource inside the namespace.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    pub is_resource: bool,
    pub path: String,
    /// get, list, watch, create, update, patch, delete, deletecollection; the lower-case HTTP method when `is_resource` is
    /// false. Empty for a method that means nothing on resources.
    pub verb: String,
    /// `api` or `apis`; empty for other paths.
    pub prefix: String,
    pub group: String,
    pub version: String,
    /// Empty for cluster-wide requests.
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    /// Empty when the request names no object (a create names it in the body).
    pub name: String,
    /// What follows the subresource, for proxies: `a/b`. Keeps a trailing slash.
    pub rest: String,
    pub field_selector: String,
    pub label_selector: String,
}

impl RequestInfo {
    pub fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let mut info = Self { path: path.to_owned(), verb: method.as_str().to_ascii_lowercase(), ..Self::default() };
        let trimmed = path.trim_matches('/');
        let mut parts: Vec<String> = trimmed.split('/').map(decode).collect();
        if parts.len() < 3 || !matches!(parts[0].as_str(), "api" | "apis") {
            return info;
        }
        if parts[0] == "apis" && parts.len() < 4 {
            return info;
        }
        info.is_resource = true;
        info.prefix = parts.remove(0);
        if info.prefix == "apis" {
            info.group = parts.remove(0);
        }
        info.version = parts.remove(0);
        let mut special = false;
        if parts[0] == "watch" && parts.len() > 1 {
            parts.remove(0);
            special = true;
        }
        info.verb = if special { "watch" } else { verb_of(method) }.to_owned();
        info.take_parts(parts, path);
        if !special {
            info.refine_verb(query);
        }
        info
    }

    fn take_parts(&mut self, mut parts: Vec<String>, path: &str) {
        if parts[0] == "namespaces" && parts.len() > 1 {
            self.namespace = parts[1].clone();
            if parts.len() > 2 && !NAMESPACE_SUBRESOURCES.contains(&parts[2].as_str()) {
                parts.drain(..2);
            }
        }
        let mut parts = parts.into_iter();
        self.resource = parts.next().unwrap_or_default();
        self.name = parts.next().unwrap_or_default();
        self.subresource = parts.next().unwrap_or_default();
        self.rest = parts.collect::<Vec<_>>().join("/");
        if !self.rest.is_empty() && path.ends_with('/') {
            self.rest.push('/');
        }
    }

    fn refine_verb(&mut self, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
            if let Some(name) = exact_name(query.get("fieldSelector").unwrap_or_default()) {
                self.name = name;
            }
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            self.field_selector = query.get("fieldSelector").unwrap_or_default().to_owned();
            self.label_selector = query.get("labelSelector").unwrap_or_default().to_owned();
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The name that a field selector pins down, if it does: what lets a single-object list be authorized by name.
fn exact_name(selector: &str) -> Option<String> {
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once("==").or_else(|| term.split_once('='))?;
        (field.trim() == "metadata.name" && !value.is_empty() && !value.contains(['/', '%'])).then(|| value.to_owned())
    })
}

fn decode(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_they_are_about() {
        let table = [
            ("GET", "/version", "", "get", "", "", "", ""),
            ("GET", "/apis/apps/v1", "", "get", "", "", "", ""),
            ("GET", "/api/v1/pods", "", "list", "", "pods", "", ""),
            ("GET", "/api/v1/pods", "watch=true", "watch", "", "pods", "", ""),
            ("GET", "/api/v1/pods", "watch=0", "list", "", "pods", "", ""),
            ("GET", "/api/v1/watch/namespaces/a/pods/b", "", "watch", "a", "pods", "b", ""),
            ("GET", "/api/v1/namespaces/a/pods", "fieldSelector=metadata.name%3Db", "list", "a", "pods", "b", ""),
            ("POST", "/api/v1/namespaces/a/pods/b/exec", "", "create", "a", "pods", "b", "exec"),
            ("PUT", "/api/v1/namespaces/a/finalize", "", "update", "a", "namespaces", "a", "finalize"),
            ("GET", "/api/v1/namespaces/a", "", "get", "a", "namespaces", "a", ""),
            ("DELETE", "/apis/apps/v1/namespaces/a/deployments", "", "deletecollection", "a", "deployments", "", ""),
            ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", "", "patch", "a", "deployments", "d", "scale"),
        ];
        for (method, path, query, verb, namespace, resource, name, subresource) in table {
            let info = RequestInfo::parse(&method.parse().unwrap(), path, &Query::parse(query));
            let got = (&*info.verb, &*info.namespace, &*info.resource, &*info.name, &*info.subresource);
            assert_eq!(got, (verb, namespace, resource, name, subresource), "{method} {path}?{query}");
            assert_eq!(info.is_resource, !resource.is_empty(), "{path}");
        }
    }

    #[test]
    fn what_follows_a_proxy_is_kept() {
        let info = RequestInfo::parse(&Method::GET, "/api/v1/nodes/n/proxy/a/b/", &Query::parse(""));
        assert_eq!((&*info.subresource, &*info.rest), ("proxy", "a/b/"));
    }
}
