//! Rows as paths and operations, before any dialect.

use super::OpenApi;
use super::reach::list_kind;
use crate::discovery;
use crate::gvk::GroupVersionKind;
use crate::resource::{ResourceInfo, SubresourceInfo};

/// One path and what can be done at it.
pub(super) struct PathItem {
    pub path: String,
    /// Of the path itself: `name`, `namespace`.
    pub path_parameters: Vec<&'static str>,
    /// By HTTP method, lower case.
    pub operations: Vec<(&'static str, Operation)>,
}

pub(super) struct Operation {
    pub id: String,
    /// `x-kubernetes-action`.
    pub action: &'static str,
    pub kind: GroupVersionKind,
    pub tag: String,
    /// Query parameters: name and type.
    pub parameters: &'static [(&'static str, &'static str)],
    pub body: Body,
    /// The definition that the answer has; `None` for text.
    pub answer: Option<String>,
    /// A second status code with the same answer.
    pub also: Option<&'static str>,
}

pub(super) enum Body {
    None,
    Object(Option<String>),
    Patch { strategic: bool },
    DeleteOptions,
}

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
    let mut paths: Vec<PathItem> = resources.iter().flat_map(|resource| Paths { api, resource }.all()).collect();
    paths.sort_by(|a, b| a.path.cmp(&b.path));
    paths
}

struct Paths<'a> {
    api: &'a OpenApi<'a>,
    resource: &'a ResourceInfo,
}

impl Paths<'_> {
    fn all(&self) -> Vec<PathItem> {
        let resource = self.resource;
        let root = format!("/{}", super::v3_path(&resource.group, &resource.version));
        let (scope, outer): (String, Vec<&'static str>) = if resource.namespaced {
            (format!("{root}/namespaces/{{namespace}}"), vec!["namespace"])
        } else {
            (root.clone(), Vec::new())
        };
        let collection = format!("{scope}/{}", resource.plural);
        let named: Vec<&'static str> = std::iter::once("name").chain(outer.clone()).collect();
        let mut items = Vec::new();
        let mut push =
            |path: String, path_parameters: Vec<&'static str>, operations: Vec<(&'static str, Operation)>| {
                if !operations.is_empty() {
                    items.push(PathItem { path, path_parameters, operations });
                }
            };
        push(collection.clone(), outer, self.collection());
        if resource.namespaced && resource.allows("list") {
            let list = ("get", self.list("ForAllNamespaces"));
            push(format!("{root}/{}", resource.plural), Vec::new(), vec![list]);
        }
        push(format!("{collection}/{{name}}"), named.clone(), self.object());
        for subresource in &resource.subresources {
            let path = format!("{collection}/{{name}}/{}", subresource.name);
            push(path, named.clone(), self.subresource(subresource));
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
            let operation = self.operation("post", "create", "", WRITE, Body::Object(kind.clone()), kind);
            operations.push(("post", Operation { also: Some("201"), ..operation }));
        }
        if resource.allows("deletecollection") {
            let status = Some(STATUS.to_owned());
            let operation = self.operation(
                "deletecollection",
                "deleteCollection",
                "",
                DELETE_COLLECTION,
                Body::DeleteOptions,
                status,
            );
            operations.push(("delete", operation));
        }
        operations
    }

    fn object(&self) -> Vec<(&'static str, Operation)> {
        let mut operations = Vec::new();
        let kind = self.answer();
        for verb in &self.resource.verbs {
            let operation = match verb.as_str() {
                "get" => ("get", self.operation("get", "read", "", &[], Body::None, kind.clone())),
                "update" => {
                    let body = Body::Object(kind.clone());
                    let operation = self.operation("put", "replace", "", WRITE, body, kind.clone());
                    ("put", Operation { also: Some("201"), ..operation })
                }
                "patch" => {
                    let operation = self.operation("patch", "patch", "", PATCH, self.patch_body(), kind.clone());
                    ("patch", Operation { also: Some("201"), ..operation })
                }
                "delete" => {
                    let status = Some(STATUS.to_owned());
                    let operation = self.operation("delete", "delete", "", DELETE, Body::DeleteOptions, status);
                    ("delete", Operation { also: Some("202"), ..operation })
                }
                _ => continue,
            };
            operations.push(operation);
        }
        operations
    }

    fn subresource(&self, subresource: &SubresourceInfo) -> Vec<(&'static str, Operation)> {
        let connect = subresource.kind.kind.ends_with("Options");
        let definition = if subresource.name == "log" { None } else { self.api.definition_name(&subresource.kind) };
        let suffix = upper_first(&subresource.name);
        let mut operations = Vec::new();
        for verb in &subresource.verbs {
            let (method, verb) = match verb.as_str() {
                "get" => ("get", "read"),
                "create" => ("post", "create"),
                "update" => ("put", "replace"),
                "patch" => ("patch", "patch"),
                "delete" => ("delete", "delete"),
                _ => continue,
            };
            let mut operation = if connect {
                let verb = format!("connect{}", upper_first(method));
                self.operation("connect", &verb, &suffix, &[], Body::None, None)
            } else {
                let (parameters, body) = match method {
                    "get" => (&[][..], Body::None),
                    "patch" => (PATCH, self.patch_body()),
                    "delete" => (DELETE, Body::DeleteOptions),
                    _ => (WRITE, Body::Object(definition.clone())),
                };
                let action = if method == "get" { "get" } else { method };
                self.operation(action, verb, &suffix, parameters, body, definition.clone())
            };
            operation.kind = subresource.kind.clone();
            operations.push((method, operation));
        }
        operations
    }

    fn list(&self, suffix: &str) -> Operation {
        let answer = self.api.definition_name(&list_kind(self.resource));
        let mut operation = self.operation("list", "list", suffix, LIST, Body::None, answer);
        if !suffix.is_empty() {
            operation.id = operation.id.replacen("Namespaced", "", 1);
        }
        operation
    }

    fn operation(
        &self,
        action: &'static str,
        verb: &str,
        suffix: &str,
        parameters: Parameters,
        body: Body,
        answer: Option<String>,
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
        Operation { id, action, kind: resource.gvk(), tag, parameters, body, answer, also: None }
    }

    fn answer(&self) -> Option<String> {
        self.api.definition_name(&self.resource.gvk())
    }

    fn patch_body(&self) -> Body {
        Body::Patch { strategic: !self.api.custom.contains_key(&self.resource.gvk()) }
    }
}

const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";

/// `Core`, `Apps`, `RbacAuthorization`.
fn group_name(group: &str) -> String {
    if group.is_empty() {
        return "Core".to_owned();
    }
    let group = group.strip_suffix(".k8s.io").unwrap_or(group);
    group.split(['.', '-']).map(upper_first).collect()
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_lowercase().to_string() + chars.as_str()).unwrap_or_default()
}

/// All rows in document order.
pub(super) fn in_order<'a>(api: &OpenApi<'a>) -> Vec<&'a ResourceInfo> {
    let mut resources: Vec<&ResourceInfo> = api.resources.iter().collect();
    resources.sort_by(|a, b| a.group.cmp(&b.group).then_with(|| discovery::compare_versions(&a.version, &b.version)));
    resources
}
