//! Rows as paths and operations, before any dialect.

use super::reach::list_kind;
use super::{OpenApi, roots};
use crate::discovery;
use crate::gvk::GroupVersionKind;
use crate::resource::{ResourceInfo, SubresourceInfo};
use crate::schema::{Scalar, SchemaSet, Shape};

/// One path and what can be done at it, by HTTP method, lower case.
pub(super) struct PathItem {
    pub path: String,
    pub operations: Vec<(&'static str, Operation)>,
}

pub(super) struct Operation {
    pub id: String,
    pub tag: String,
    /// `x-kubernetes-action`, and the kind that it is about.
    pub about: Option<(&'static str, GroupVersionKind)>,
    pub parameters: Vec<Parameter>,
    pub body: Body,
    /// The definition that the answer has; `None` for text.
    pub answer: Option<String>,
    /// Media types of the answer.
    pub types: &'static [&'static str],
    /// Status codes with that answer, beside 200.
    pub codes: &'static [&'static str],
}

/// In the order in which documents have them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parameter {
    pub name: String,
    /// `path` or `query`.
    pub place: &'static str,
    /// Type of its value.
    pub kind: &'static str,
}

pub(super) enum Body {
    None,
    Object(Option<String>),
    Patch { strategic: bool },
    DeleteOptions,
}

impl PathItem {
    /// What all its operations take, which documents say once.
    pub fn shared(&self) -> Vec<&Parameter> {
        let Some(((_, first), others)) = self.operations.split_first() else { return Vec::new() };
        let everywhere = |own: &&Parameter| others.iter().all(|(_, other)| other.parameters.contains(own));
        first.parameters.iter().filter(everywhere).collect()
    }
}

impl Operation {
    /// Media types of bodies, other than patches.
    pub fn consumed(&self) -> &'static [&'static str] {
        match (&self.about, &self.answer) {
            (None, None) => &[],
            (None, Some(_)) => self.types,
            (Some(_), _) if self.is_custom() => CUSTOM,
            (Some(_), _) => ANYTHING,
        }
    }

    /// Of a kind that is not built in.
    pub fn is_custom(&self) -> bool {
        self.about.is_some() && self.types == CUSTOM
    }

    /// What it takes beside what `item` says for all.
    pub fn own<'a>(&'a self, item: &PathItem) -> Vec<&'a Parameter> {
        let shared = item.shared();
        self.parameters.iter().filter(|own| !shared.contains(own)).collect()
    }
}

pub(super) const OBJECT: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAM: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
/// Of a kind that is not built in.
const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const LOG: &[&str] = &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const ANYTHING: &[&str] = &["*/*"];

type Parameters = &'static [(&'static str, &'static str)];
const WRITE: Parameters = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const PATCH: Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
const DELETE: Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];
const GET_CUSTOM: Parameters = &[("resourceVersion", "string")];
const LIST: Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const DELETE_COLLECTION: Parameters = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
];

/// All paths of some resources, sorted.
pub(super) fn paths(api: &OpenApi<'_>, resources: &[&ResourceInfo]) -> Vec<PathItem> {
    let mut paths: Vec<PathItem> = resources.iter().flat_map(|resource| Paths::new(api, resource).all()).collect();
    paths.extend(roots::of_versions(api, resources));
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    paths
}

struct Paths<'a> {
    api: &'a OpenApi<'a>,
    resource: &'a ResourceInfo,
    custom: bool,
}

impl<'a> Paths<'a> {
    fn new(api: &'a OpenApi<'a>, resource: &'a ResourceInfo) -> Self {
        Self { api, resource, custom: api.custom.contains_key(&resource.gvk()) }
    }

    fn all(&self) -> Vec<PathItem> {
        let resource = self.resource;
        let root = format!("/{}", super::v3_path(&resource.group, &resource.version));
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{scope}/{}", resource.plural);
        let mut items = Vec::new();
        let mut push = |path: String, operations: Vec<(&'static str, Operation)>| {
            if !operations.is_empty() {
                items.push(PathItem { path, operations });
            }
        };
        push(collection.clone(), self.collection());
        let everywhere = resource.namespaced && resource.allows("list");
        if everywhere {
            push(format!("{root}/{}", resource.plural), vec![("get", self.list("ForAllNamespaces"))]);
        }
        push(format!("{collection}/{{name}}"), self.object());
        for subresource in &resource.subresources {
            let path = format!("{collection}/{{name}}/{}", subresource.name);
            if is_proxy(subresource) {
                push(format!("{path}/{{path}}"), self.connect(subresource, "WithPath"));
            }
            push(path, self.subresource(subresource));
        }
        if resource.allows("watch") && !self.custom {
            let collection = format!("{root}/watch{scope}/{}", resource.plural);
            push(collection.clone(), vec![("get", self.watch("watchlist", "List"))]);
            push(format!("{collection}/{{name}}"), vec![("get", self.watch("watch", ""))]);
            if everywhere {
                let list = self.watch("watchlist", "ListForAllNamespaces");
                push(format!("{root}/watch/{}", resource.plural), vec![("get", list)]);
            }
        }
        items
    }

    fn collection(&self) -> Vec<(&'static str, Operation)> {
        let resource = self.resource;
        let mut operations = Vec::new();
        if resource.allows("list") {
            operations.push(("get", self.list("")));
        }
        if resource.allows("create") {
            let kind = self.answer();
            let body = Body::Object(kind.clone());
            let codes = &["201", "202"];
            operations.push(("post", self.call("post", "create", "", WRITE, body, kind, codes)));
        }
        if resource.allows("deletecollection") {
            let (query, body) = if self.custom { (LIST, Body::None) } else { (DELETE_COLLECTION, Body::DeleteOptions) };
            let status = Some(STATUS.to_owned());
            let call = self.call("deletecollection", "deleteCollection", "", query, body, status, &[]);
            operations.push(("delete", call));
        }
        operations
    }

    fn object(&self) -> Vec<(&'static str, Operation)> {
        let mut operations = Vec::new();
        for verb in &self.resource.verbs {
            let kind = self.answer();
            let operation = match verb.as_str() {
                "get" => {
                    let query = if self.custom { GET_CUSTOM } else { &[] };
                    ("get", self.call("get", "read", "", query, Body::None, kind, &[]))
                }
                "update" => ("put", self.call("put", "replace", "", WRITE, Body::Object(kind.clone()), kind, &["201"])),
                "patch" => {
                    ("patch", self.call("patch", "patch", "", PATCH, self.patch_body(), kind, self.patch_codes()))
                }
                "delete" => {
                    let status = if self.documents_deleted() { kind } else { Some(STATUS.to_owned()) };
                    ("delete", self.call("delete", "delete", "", DELETE, Body::DeleteOptions, status, &["202"]))
                }
                _ => continue,
            };
            operations.push(operation);
        }
        operations
    }

    fn subresource(&self, subresource: &SubresourceInfo) -> Vec<(&'static str, Operation)> {
        if subresource.kind.kind.ends_with("Options") {
            return self.connect(subresource, "");
        }
        let is_log = subresource.name == "log";
        let definition = if is_log { None } else { self.api.definition_name(&subresource.kind) };
        let suffix = upper_first(&subresource.name);
        let mut operations = Vec::new();
        for verb in &subresource.verbs {
            let answer = definition.clone();
            let body = Body::Object(definition.clone());
            let (method, mut operation) = match verb.as_str() {
                "get" => {
                    let query = if self.custom { GET_CUSTOM } else { &[] };
                    ("get", self.call("get", "read", &suffix, query, Body::None, answer, &[]))
                }
                "create" => ("post", self.call("post", "create", &suffix, WRITE, body, answer, &["201", "202"])),
                "update" => ("put", self.call("put", "replace", &suffix, WRITE, body, answer, &["201"])),
                "patch" => {
                    let codes = self.patch_codes();
                    ("patch", self.call("patch", "patch", &suffix, PATCH, self.patch_body(), answer, codes))
                }
                "delete" => {
                    let body = Body::DeleteOptions;
                    ("delete", self.call("delete", "delete", &suffix, DELETE, body, answer, &["202"]))
                }
                _ => continue,
            };
            if is_log {
                operation.types = LOG;
                operation.parameters.extend(options(&GroupVersionKind::new("", "v1", "PodLogOptions")));
                operation.parameters.sort();
            } else if let Some((_, kind)) = operation.about.as_mut().filter(|_| !self.custom) {
                *kind = subresource.kind.clone();
            }
            operations.push((method, operation));
        }
        operations
    }

    /// What becomes a connection. Its options are the query.
    fn connect(&self, subresource: &SubresourceInfo, suffix: &str) -> Vec<(&'static str, Operation)> {
        let suffix = format!("{}{suffix}", upper_first(&subresource.name));
        let methods: &[&'static str] = if is_proxy(subresource) {
            &["delete", "get", "head", "options", "patch", "post", "put"]
        } else {
            &["get", "post"]
        };
        let operation = |method: &&'static str| {
            let verb = format!("connect{}", upper_first(method));
            let mut operation = self.call("connect", &verb, &suffix, &[], Body::None, None, &[]);
            operation.about = Some(("connect", subresource.kind.clone()));
            operation.types = ANYTHING;
            operation.parameters.retain(|parameter| parameter.place == "path");
            operation.parameters.extend(options(&subresource.kind));
            if suffix.ends_with("WithPath") {
                operation.parameters.push(parameter("path", "path", "string"));
            }
            operation.parameters.sort();
            (*method, operation)
        };
        methods.iter().map(operation).collect()
    }

    fn list(&self, suffix: &str) -> Operation {
        let answer = self.api.definition_name(&list_kind(self.resource));
        let mut operation = self.call("list", "list", suffix, LIST, Body::None, answer, &[]);
        if !self.custom {
            operation.types = STREAM;
        }
        self.everywhere(&mut operation, suffix);
        operation
    }

    /// By the path of old.
    fn watch(&self, action: &'static str, suffix: &str) -> Operation {
        let answer = Some(WATCH_EVENT.to_owned());
        let mut operation = self.call(action, "watch", suffix, LIST, Body::None, answer, &[]);
        operation.types = STREAM;
        if suffix.is_empty() {
            operation.parameters.push(parameter("name", "path", "string"));
            operation.parameters.sort();
        }
        self.everywhere(&mut operation, suffix);
        operation
    }

    /// Makes it one of all namespaces, where the suffix says so.
    fn everywhere(&self, operation: &mut Operation, suffix: &str) {
        if suffix.ends_with("ForAllNamespaces") {
            operation.id = operation.id.replacen("Namespaced", "", 1);
            operation.parameters.retain(|parameter| parameter.name != "namespace");
        }
    }

    fn call(
        &self,
        action: &'static str,
        verb: &str,
        suffix: &str,
        query: Parameters,
        body: Body,
        answer: Option<String>,
        codes: &'static [&'static str],
    ) -> Operation {
        let resource = self.resource;
        let group = group_name(&resource.group);
        let tag = format!("{}_{}", lower_first(&group), resource.version);
        let version = upper_first(&resource.version);
        let scope = if resource.namespaced { "Namespaced" } else { "" };
        let (verb, collection) = match verb.strip_suffix("Collection") {
            Some(verb) => (verb, "Collection"),
            None => (verb, ""),
        };
        let id = match verb.strip_prefix("connect") {
            Some(method) => format!("connect{group}{version}{method}{scope}{}{suffix}", resource.kind),
            None => format!("{verb}{group}{version}{collection}{scope}{}{suffix}", resource.kind),
        };
        let named =
            !matches!(action, "list" | "watch" | "watchlist" | "deletecollection") && (verb, suffix) != ("create", "");
        let query = query.iter().chain([&("pretty", "string")]).map(|(name, kind)| parameter(name, "query", kind));
        let mut parameters: Vec<Parameter> = query.collect();
        parameters.extend(resource.namespaced.then(|| parameter("namespace", "path", "string")));
        parameters.extend(named.then(|| parameter("name", "path", "string")));
        parameters.sort();
        let types = if self.custom { CUSTOM } else { OBJECT };
        Operation { id, tag, about: Some((action, resource.gvk())), parameters, body, answer, types, codes }
    }

    /// Upstream's Namespaces answer with the object, and their documents say a Status.
    fn documents_deleted(&self) -> bool {
        self.resource.returns_deleted && self.resource.kind != "Namespace"
    }

    fn answer(&self) -> Option<String> {
        self.api.definition_name(&self.resource.gvk())
    }

    fn patch_body(&self) -> Body {
        Body::Patch { strategic: !self.custom }
    }

    fn patch_codes(&self) -> &'static [&'static str] {
        if self.custom { &[] } else { &["201"] }
    }
}

/// The one that hands on what it does not know takes every method.
fn is_proxy(subresource: &SubresourceInfo) -> bool {
    subresource.name == "proxy"
}

/// Fields of options as parameters; a time is none.
fn options(kind: &GroupVersionKind) -> impl Iterator<Item = Parameter> {
    let set = SchemaSet::builtin();
    let fields = set.of_kind(kind).map(|id| &set.get(id).fields).into_iter().flatten();
    fields.filter(|field| !matches!(field.name.as_str(), "apiVersion" | "kind")).filter_map(|field| {
        let shape = match &field.shape {
            Shape::List(element) => element,
            other => other,
        };
        let kind = match shape {
            Shape::Scalar(Scalar::Boolean) => "boolean",
            Shape::Scalar(Scalar::Int32 | Scalar::Int64) => "integer",
            Shape::Scalar(Scalar::String) => "string",
            _ => return None,
        };
        Some(parameter(&field.name, "query", kind))
    })
}

fn parameter(name: &str, place: &'static str, kind: &'static str) -> Parameter {
    Parameter { name: name.to_owned(), place, kind }
}

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const WATCH_EVENT: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent";

/// `Core`, `Apps`, `RbacAuthorization`.
pub(super) fn group_name(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    group.split(['.', '-']).map(upper_first).collect()
}

pub(super) fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

pub(super) fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// All rows in document order.
pub(super) fn in_order<'a>(api: &OpenApi<'a>) -> Vec<&'a ResourceInfo> {
    let mut resources: Vec<&ResourceInfo> = api.resources.iter().collect();
    resources.sort_by(|a, b| a.group.cmp(&b.group).then_with(|| discovery::compare_versions(&a.version, &b.version)));
    resources
}
